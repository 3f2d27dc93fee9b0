//! The page in a real browser.

use std::fs;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use unfreed_tests::browser::Browser;
use unfreed_tests::daemon::Daemon;

use super::{Copy, target};
use crate::session::Session;

/// A file name that would do something if it were shown as it is.
const HOSTILE: &str = "<img src=x onerror=console.log(1)>&'";

/// A daemon with two recordings of a program of that name.
fn daemon() -> Result<(Daemon, Copy, Vec<Value>)> {
    let program = Copy::of("endings")?;
    let hostile = program.path.with_file_name(HOSTILE);
    fs::rename(&program.path, &hostile)?;
    let daemon = Daemon::start(&target("it", &program.path.with_file_name("*"), ""))?;
    let mut entries = Vec::new();
    for turns in 1..=2 {
        let mut process = Session::ready(&mut Command::new(&hostile))?;
        let pid = process.pid();
        daemon.until_recorded(pid, "heap")?;
        process.tell("go")?;
        process.expect("done")?;
        drop(process);
        entries.push(daemon.until_stored(|entry| entry["pid"] == json!(pid))?);
        ensure!(entries.len() == turns);
    }
    Ok((daemon, program, entries))
}

#[test]
fn pages_load_a_frame_zooms_and_a_comparison_is_shown() -> Result<()> {
    let (daemon, _program, entries) = daemon()?;
    let root = format!("http://{}/", daemon.address);
    let mut browser = Browser::start()?;
    browser.open(&root)?;
    let id = |entry: &Value| entry["id"].as_str().map(str::to_owned).context("no name");
    // Newest first.
    let shown = browser
        .value("[...document.querySelectorAll('tr.recording')].map(row => row.dataset.id)")?;
    ensure!(
        shown == json!([id(&entries[1])?, id(&entries[0])?]),
        "{shown}"
    );
    let text = browser.value("document.querySelector('#recordings').innerText")?;
    ensure!(
        text.as_str()
            .is_some_and(|text| text.contains(&HOSTILE[..15])),
        "{text}"
    );
    ensure!(browser.value("document.querySelectorAll('img').length")? == json!(0));
    ensure!(browser.value("document.querySelector('article.target').dataset.name")? == json!("it"));

    // A recording opens, and its flame graph zooms at a click.
    browser.value("document.querySelector('tr.recording a').click()")?;
    browser.loaded()?;
    browser.until("document.querySelector('iframe#flame') !== null")?;
    let centre = "(() => { const of = name => [...document.querySelectorAll('#frames > g')].find(\
                  frame => frame.querySelector('title').textContent.startsWith(name)); \
                  const box = of('site_kept').querySelector('rect').getBoundingClientRect(); \
                  return [box.x + box.width / 2, box.y + box.height / 2]; })()";
    browser.value_in_frame("new Promise(done => document.readyState === 'complete' ? done(1) : addEventListener('load', done))")?;
    let unzoomed = "document.getElementById('unzoom').classList.contains('hide')";
    ensure!(
        browser.value_in_frame(unzoomed)? == json!(true),
        "zoomed at first"
    );
    let number = |value: &Value, index: usize| value[index].as_f64().context("a number");
    let begin = std::time::Instant::now();
    // Until the sandboxed frame has been drawn for the first time, the browser gives clicks to the page behind it.
    while browser.value_in_frame(unzoomed)? != json!(false) {
        ensure!(begin.elapsed().as_secs() < 60, "a click does not zoom");
        let frame = browser.value_in_frame(centre)?;
        let place = browser.value("(() => { const frame = document.querySelector('iframe#flame'); frame.scrollIntoView(); \
                                   const box = frame.getBoundingClientRect(); return [box.x, box.y]; })()")?;
        browser.click(
            number(&place, 0)? + number(&frame, 0)?,
            number(&place, 1)? + number(&frame, 1)?,
        )?;
        // Not for readiness: the interval of a poll that has a limit.
        std::thread::sleep(std::time::Duration::from_millis(200));
    }
    let rows = browser.value("document.querySelector('#top-stacks').innerText")?;
    ensure!(
        rows.as_str().is_some_and(|rows| rows.contains("site_kept")),
        "{rows}"
    );

    // Two recordings are compared.
    browser.open(&root)?;
    browser.value(
        "(() => { const rows = document.querySelectorAll('tr.recording'); \
                   rows[1].querySelector('input[name=before]').click(); \
                   rows[0].querySelector('input[name=after]').click(); \
                   document.querySelector('#compare-button').click(); })()",
    )?;
    browser.loaded()?;
    browser.until(
        "document.querySelector('#compared') !== null && document.querySelector('#flame') !== null",
    )?;

    let (complaints, asked) = browser.heard();
    ensure!(complaints.is_empty(), "{complaints:?}");
    let elsewhere: Vec<_> = asked
        .iter()
        .filter(|url| !url.starts_with(&root) && !url.starts_with("data:"))
        .collect();
    ensure!(elsewhere.is_empty(), "{elsewhere:?}");
    Ok(())
}

#[test]
fn by_key_and_in_the_dark() -> Result<()> {
    let (daemon, _program, _) = daemon()?;
    let mut browser = Browser::start()?;
    browser.open(&format!("http://{}/", daemon.address))?;
    // What can be used can be reached, and one sees where one is.
    let usable = browser.value("document.querySelectorAll('a[href], button, input:not([type=hidden]), select, summary').length")?;
    let usable = usable.as_u64().context("a number")?;
    ensure!(usable > 5, "{usable}");
    let mut reached = std::collections::BTreeSet::new();
    for _ in 0..2 * usable {
        browser.tab()?;
        let focus = browser.value("(() => { const it = document.activeElement; const style = getComputedStyle(it); \
                                   return [it.tagName + ' ' + (it.id || it.name || it.href || it.textContent) + ' ' + it.value, \
                                   style.outlineStyle !== 'none' || style.boxShadow !== 'none']; })()")?;
        if focus[0]
            .as_str()
            .is_some_and(|name| !name.starts_with("BODY"))
        {
            ensure!(
                focus[1] == json!(true),
                "the focus is not seen on {}",
                focus[0]
            );
            reached.insert(focus[0].to_string());
        }
    }
    // Radio buttons of one name are one stop.
    ensure!(
        reached.len() as u64 * 2 >= usable,
        "{} of {usable}: {reached:?}",
        reached.len()
    );

    let contrast = "(() => { const rgb = text => text.match(/[0-9.]+/g).map(Number); \
        const light = text => { const [r, g, b] = rgb(text).map(c => c / 255).map(c => c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4); \
        return 0.2126 * r + 0.7152 * g + 0.0722 * b; }; \
        const behind = it => { for (; it; it = it.parentElement) { const color = getComputedStyle(it).backgroundColor; \
        if ((rgb(color)[3] ?? 1) > 0.99) return color; } return 'rgb(255,255,255)'; }; \
        const texts = [...document.querySelectorAll('body *')].filter(it => [...it.childNodes].some(node => node.nodeType === 3 && node.data.trim()) && it.checkVisibility() && !it.disabled && !it.closest('svg') && !['SCRIPT', 'STYLE', 'OPTION'].includes(it.tagName)); \
        const of = it => { const a = light(getComputedStyle(it).color), b = light(behind(it)); return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05); }; \
        const worst = texts.map(it => [of(it), it.outerHTML.slice(0, 80)]).sort((a, b) => a[0] - b[0])[0]; \
        return [...worst, getComputedStyle(document.body).backgroundColor + behind(document.body)]; })()";
    let mut backgrounds = Vec::new();
    for scheme in ["light", "dark"] {
        browser.prefer(scheme)?;
        let worst = browser.value(contrast)?;
        ensure!(
            worst[0].as_f64().is_some_and(|contrast| contrast >= 4.5),
            "{scheme}: {worst}"
        );
        backgrounds.push(worst[2].clone());
    }
    ensure!(backgrounds[0] != backgrounds[1], "{backgrounds:?}");
    Ok(())
}

/// The picture in the README: `cargo test -p unfreed-tests --test suite -- --ignored picture`.
#[test]
#[ignore = "writes docs/page.png"]
fn picture() -> Result<()> {
    let grower = Copy::of("grow")?;
    let others = Copy::of("endings")?;
    let more = "[[target.trigger]]\nrss_grows = \"50MiB\"\nwithin = \"10m\"";
    let daemon = Daemon::start(
        &(grower.target("orders", more) + &others.target("mailer", "window = \"20s\"")),
    )?;
    let mut process = Session::ready(&mut Command::new(&grower.path))?;
    let mut other = Session::ready(&mut Command::new(&others.path))?;
    daemon.until_recorded(process.pid(), "heap")?;
    daemon.until_recorded(other.pid(), "heap")?;
    other.tell("go")?;
    for turn in 0..70 {
        process.tell(if turn % 9 == 8 { "4" } else { "1" })?;
        process.expect("done")?;
        // A leak takes its time.
        std::thread::sleep(std::time::Duration::from_secs(1));
    }
    let mut browser = Browser::start()?;
    browser.open(&format!("http://{}/", daemon.address))?;
    let picture = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/page.png");
    fs::write(picture, browser.picture()?).context(picture)
}
