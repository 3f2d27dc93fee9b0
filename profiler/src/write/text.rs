//! A report for a person: what was recorded, the sums, what is doubtful, and the largest stacks as
//! a table. Never wider than [`WIDTH`] columns. No colours, no escapes: any terminal, any file.

mod table;

use std::collections::HashMap;
use std::io::Write;
use std::sync::Arc;

use crate::profile::{Frame, Mode, Profile, Stack, Weight};

use super::frames::ours;
use super::shorten::shorten;
use super::wrap::{columns, fit, wrap};
use super::{Options, Weigh, Writer, human, name, reconciled, summary};

/// Columns.
pub const WIDTH: usize = 100;

/// Frames of a row.
const FRAMES: usize = 5;

/// Where the values of the header begin.
pub const INDENT: usize = 12;

/// The format.
pub struct Text;

impl Writer for Text {
    fn name(&self) -> &'static str {
        "text"
    }

    fn extension(&self) -> &'static str {
        "txt"
    }

    fn write(
        &self,
        profile: &Profile,
        options: &Options,
        out: &mut dyn Write,
    ) -> anyhow::Result<()> {
        for (label, value) in header(profile, options) {
            let words = value.split(' ').map(str::to_owned);
            for (i, line) in wrap(words, WIDTH - INDENT).iter().enumerate() {
                let label = if i == 0 { label } else { "" };
                writeln!(out, "{label:<INDENT$}{line}")?;
            }
        }
        writeln!(out)?;
        if profile.stacks.is_empty() {
            writeln!(out, "{}", summary::nothing(profile))?;
        } else {
            table::write(profile, options, out)?;
        }
        if let Some(reconciliation) = &profile.reconciliation {
            writeln!(out)?;
            for (index, line) in reconciled::lines(reconciliation).iter().enumerate() {
                let label = if index == 0 { "RSS" } else { "" };
                let words = line.split(' ').map(str::to_owned);
                for (part, text) in wrap(words, WIDTH - INDENT).iter().enumerate() {
                    let label = if part == 0 { label } else { "" };
                    writeln!(out, "{label:<INDENT$}{text}")?;
                }
            }
        }
        Ok(())
    }
}

/// Labels and values of the lines above the table.
pub fn header(profile: &Profile, options: &Options) -> Vec<(&'static str, String)> {
    let mut lines = Vec::new();
    if let Some(title) = &options.title {
        lines.push(("title", name::clean(title).into_owned()));
    }
    let exe = name::clean(&profile.process.exe);
    lines.push(("process", format!("{}, {exe}", summary::process(profile))));
    let noun = summary::noun(profile.view);
    let what = match profile.mode {
        Mode::Unfreed if profile.min_age.is_zero() => "unfreed".to_owned(),
        Mode::Unfreed => format!(
            "unfreed ({noun}s younger than {} at the end are left out)",
            human::duration(profile.min_age)
        ),
        Mode::All => "everything taken, given back or not".to_owned(),
    };
    lines.push(("view", format!("{}, {what}", profile.view.name())));
    lines.push((
        "recorded",
        format!(
            "{} from {}; ended: {}",
            human::duration(profile.duration),
            name::clean(&profile.started_at),
            name::clean(&profile.end.to_string())
        ),
    ));
    if let Some(sampled) = summary::sampled(profile) {
        lines.push(("sampled", sampled));
    }
    if let Some(observed) = summary::observed(profile) {
        lines.push(("observed", observed));
    }
    let totals = &profile.totals;
    lines.push((
        "taken",
        format!(
            "{}; given back {}",
            summary::weight(totals.taken, profile.view),
            summary::weight(totals.given_back, profile.view)
        ),
    ));
    lines.push(("unfreed", summary::unfreed(profile)));
    lines.push(("memory", summary::reconciliation(profile)));
    lines.push(("stacks", summary::stacks(profile)));
    lines.push(("losses", summary::losses(profile)));
    let notes = summary::nonzero(&profile.notes);
    if !notes.is_empty() {
        lines.push(("notes", notes));
    }
    for warning in &profile.warnings {
        lines.push(("warning", name::clean(&warning.to_string()).into_owned()));
    }
    lines
}

/// The stacks that look the same in the table.
pub struct Row {
    /// Of all of them.
    pub weight: Weight,
    /// The innermost ones that are the program's own.
    pub frames: Vec<Shown>,
}

/// A frame as it is shown: the short name, and for the first of a row where in the source.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Shown {
    /// Short and clean.
    pub name: Arc<str>,
    /// ` (file.c:12)`, or empty.
    pub place: String,
}

/// The frames that are shown of one stack.
pub fn shown(frames: &[Arc<Frame>]) -> Vec<Shown> {
    shown_with(frames, &mut HashMap::new())
}

/// The same, with the names that are known from other stacks by now.
fn shown_with(frames: &[Arc<Frame>], names: &mut HashMap<*const Frame, Arc<str>>) -> Vec<Shown> {
    let frames = ours(frames).iter().take(FRAMES).enumerate();
    let shown = frames.map(|(i, frame)| Shown {
        name: names
            .entry(Arc::as_ptr(frame))
            .or_insert_with(|| name::clean(&shorten(&frame.label())).into())
            .clone(),
        place: if i == 0 { place(frame) } else { String::new() },
    });
    shown.collect()
}

/// Heaviest first; equally heavy ones by name, so that the same profile is the same report.
pub fn rows(stacks: &[Stack], weigh: Weigh) -> Vec<Row> {
    let mut names: HashMap<*const Frame, Arc<str>> = HashMap::new();
    let mut merged: HashMap<Vec<Shown>, Weight> = HashMap::new();
    for stack in stacks {
        let shown = shown_with(&stack.frames, &mut names);
        *merged.entry(shown).or_default() += stack.weight;
    }
    let mut rows: Vec<_> = merged
        .into_iter()
        .map(|(frames, weight)| Row { weight, frames })
        .collect();
    rows.sort_unstable_by(|a, b| {
        let by_weight = weigh.of(b.weight).cmp(&weigh.of(a.weight));
        by_weight
            .then_with(|| b.weight.cmp(&a.weight))
            .then_with(|| a.frames.cmp(&b.frames))
    });
    rows
}

/// ` (file.c:12)`, or nothing where it is not known.
fn place(frame: &Frame) -> String {
    let Some(file) = &frame.file else {
        return String::new();
    };
    let base = name::clean(file.rsplit('/').next().unwrap_or(file));
    match frame.line {
        Some(line) => format!(" ({base}:{line})"),
        None => format!(" ({base})"),
    }
}

/// `a < b < c` in lines of at most `width` columns, each but the first beginning with `<`.
pub fn wrap_frames(frames: &[Shown], width: usize) -> Vec<String> {
    if frames.is_empty() {
        return vec!["[unknown]".to_owned()];
    }
    let tokens = frames.iter().enumerate().map(|(i, frame)| {
        let lead = if i == 0 { "" } else { "< " };
        // a long place must not push the name out
        let place = fit(&frame.place, width / 2);
        let room = width - lead.len() - columns(&place);
        format!("{lead}{}{place}", fit(&frame.name, room))
    });
    wrap(tokens, width)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::End;
    use crate::warning::Warning;
    use crate::write::sample;
    use proptest::prelude::*;

    fn text(profile: &Profile, options: &Options) -> String {
        let mut out = Vec::new();
        Text.write(profile, options, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    fn widest(text: &str) -> usize {
        text.lines().map(columns).max().unwrap_or(0)
    }

    #[test]
    fn unfreed() {
        insta::assert_snapshot!(text(&sample::profile(), &Options::default()));
    }

    #[test]
    fn everything_by_count() {
        let mut profile = sample::profile();
        profile.mode = Mode::All;
        profile.end = End::Exited(Some(3));
        let options = Options {
            weight: Weigh::Count,
            top: 2,
            title: Some("before the fix".to_owned()),
        };
        insta::assert_snapshot!(text(&profile, &options));
    }

    #[test]
    fn with_gaps() {
        let options = Options {
            top: 2,
            ..Options::default()
        };
        insta::assert_snapshot!(text(&sample::gaps(), &options));
    }

    #[test]
    fn of_an_empty_profile() {
        insta::assert_snapshot!(text(&sample::empty(), &Options::default()));
    }

    #[test]
    fn long_names_stay_within_the_width() {
        let parts = "deeply::nested::".repeat(25);
        let template = format!("{parts}Map<{parts}Key, {parts}Value>::insert({parts}Key const&)");
        let wide = "日本語".repeat(140);
        let mut profile = sample::profile();
        profile.process.comm = parts.clone();
        profile.process.exe = format!("/{parts}");
        profile.warnings.push(Warning::UnreadableModule {
            module: parts.clone(),
            reason: parts.clone(),
        });
        profile.losses.insert(parts.clone(), u64::MAX / 2);
        profile.totals.taken.count = u64::MAX;
        profile.stacks = vec![
            sample::stack(
                u64::MAX / 2,
                u64::MAX / 2,
                &["malloc", &parts, &template, &wide, &"f(".repeat(200)],
            ),
            sample::stack(1, 1, &[]),
        ];
        let mut frame = (*profile.stacks[0].frames[1]).clone();
        frame.file = Some(format!("{}.cpp", "x".repeat(400)));
        frame.line = Some(u32::MAX);
        profile.stacks[0].frames[1] = Arc::new(frame);
        let options = Options {
            title: Some(template.clone()),
            ..Options::default()
        };
        let text = text(&profile, &options);
        assert_eq!(widest(&text), WIDTH, "{text}");
        let (_, table) = text.split_once("innermost first\n").unwrap();
        let leads: Vec<_> = table.lines().filter(|line| line.contains(" < ")).collect();
        assert_eq!(leads.len(), 3, "{text}");
        assert!(text.contains("nested::Map<..>::insert"), "{text}");
    }

    #[test]
    fn rows_that_look_the_same_are_one_row() {
        let mut profile = sample::empty();
        profile.stacks = vec![
            sample::stack(5, 1, &["malloc", "a(int)", "b", "c", "d", "e", "f"]),
            sample::stack(6, 2, &["malloc", "g"]),
            sample::stack(7, 3, &["calloc", "a(char)", "b", "c", "d", "e", "g"]),
        ];
        let text = text(&profile, &Options::default());
        let rows: Vec<_> = text.lines().rev().take(2).collect();
        assert_eq!(
            rows,
            [
                "  6 B      2  33.3%  g",
                " 12 B      4  66.7%  a < b < c < d < e"
            ]
        );
    }

    #[test]
    fn names_cannot_steer_the_terminal() {
        let mut profile = sample::profile();
        let evil = "\u{1b}[2J\u{1b}]0;x\u{7}\r\u{9b}1m\u{202e}";
        profile.process.comm = evil.to_owned();
        profile.process.exe = evil.to_owned();
        profile.warnings = vec![Warning::LateModule {
            module: evil.to_owned(),
        }];
        profile.notes.insert(evil.to_owned(), 1);
        profile.stacks.push(sample::stack(1, 1, &["malloc", evil]));
        let options = Options {
            title: Some(evil.to_owned()),
            ..Options::default()
        };
        let text = text(&profile, &options);
        assert!(!text.contains(|c: char| c != '\n' && c.is_control()));
        assert!(!text.contains('\u{202e}'));
    }

    proptest! {
        #[test]
        fn never_wider(names in prop::collection::vec("\\PC{0,120}", 0..8), top in 0..3_usize, gaps: bool) {
            let names: Vec<_> = names.iter().map(String::as_str).collect();
            let mut profile = if gaps { sample::gaps() } else { sample::profile() };
            profile.stacks = vec![sample::stack(1, 1, &names), sample::stack(2, 1, &["a"])];
            let options = Options { top, ..Options::default() };
            prop_assert!(widest(&text(&profile, &options)) <= WIDTH);
        }
    }
}
