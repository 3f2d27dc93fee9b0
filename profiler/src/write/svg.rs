//! A flame graph to look at in a browser, made by inferno from the folded lines. Which stacks and
//! frames it has is said in [`super::folded`], except that a frame too narrow to be seen is not drawn.

#[cfg(test)]
pub mod tests;

use std::io::Write;
use std::str::FromStr;

use anyhow::Context;
use inferno::flamegraph::{self, Palette};

use crate::profile::Profile;

use super::lines::Lines;
use super::{Options, Weigh, Writer, human, name, summary};

/// Characters of a subtitle that fit into inferno's 1200 pixels.
const SUBTITLE: usize = 150;

/// Frames are drawn from this width on, in per cent of the whole: a tenth of a pixel.
pub const NARROWEST: f64 = 0.01;

/// The format.
pub struct Svg;

impl Writer for Svg {
    fn name(&self) -> &'static str {
        "svg"
    }

    fn extension(&self) -> &'static str {
        "svg"
    }

    fn write(
        &self,
        profile: &Profile,
        options: &Options,
        out: &mut dyn Write,
    ) -> anyhow::Result<()> {
        let lines = Lines::of(profile, options.weight);
        let (title, subtitle) = titles(profile, options);
        if lines.is_empty() {
            let text = summary::nothing(profile);
            return nothing(text, &notes(profile), &title, &subtitle, out);
        }
        let mut graph = flamegraph::Options::default();
        graph.title = title;
        graph.subtitle = Some(subtitle);
        graph.notes = notes(profile);
        graph.colors = Palette::from_str("mem")
            .ok()
            .context("inferno has no palette called mem")?;
        graph.deterministic = true;
        graph.count_name = match options.weight {
            Weigh::Bytes => "bytes".to_owned(),
            Weigh::Count => format!("{}s", summary::noun(profile.view)),
        };
        // Otherwise inferno sorts whole lines, and a name with a character below `;` in it (such
        // as a space) can come between two lines of one function, which is then drawn twice. Our
        // lines are sorted by frame; of a chart inferno keeps the order, and only turns it round.
        graph.flame_chart = true;
        //
        // What would be too narrow to be drawn is cut off before: with tens of thousands of
        // stacks that is most of the text, and inferno has all of it in memory.
        let least = (lines.total() as f64 * NARROWEST / 100.0) as u64;
        graph.min_width = NARROWEST;
        let lines: Vec<String> = lines.pruned(least, |weight| weight).iter().rev().collect();
        flamegraph::from_lines(&mut graph, lines.iter().map(String::as_str), &mut *out)?;
        Ok(writeln!(out)?)
    }
}

/// The two lines above the graph.
fn titles(profile: &Profile, options: &Options) -> (String, String) {
    let facts = format!(
        "{}: {}, {}, {}, {}",
        summary::process(profile),
        profile.view.name(),
        profile.mode.name(),
        summary::weight(summary::total(profile), profile.view),
        losses(profile.lost()),
    );
    let stacks = format!("stacks: {}", summary::whole(profile));
    let mut below = vec![summary::reconciliation(profile), stacks];
    below.extend(summary::observed(profile).map(|observed| format!("observed: {observed}")));
    below.extend(summary::sampled(profile).map(|sampled| format!("sampled: {sampled}")));
    let title = match &options.title {
        Some(title) => {
            below.insert(0, facts);
            name::clean(title).into_owned()
        }
        None => facts,
    };
    if let Some(first) = profile.warnings.first() {
        let number = human::counted(profile.warnings.len() as u64, "warning");
        below.push(format!("{number}: {}", name::clean(&first.to_string())));
    }
    let mut subtitle = below.join("; ");
    fit(&mut subtitle);
    (title, subtitle)
}

/// Cuts a subtitle to what there is room for.
pub fn fit(subtitle: &mut String) {
    if let Some((end, _)) = subtitle.char_indices().nth(SUBTITLE) {
        subtitle.truncate(end);
        subtitle.push_str("..");
    }
}

fn losses(lost: u64) -> String {
    if lost == 0 {
        return "nothing lost".to_owned();
    }
    format!("{} lost", human::counted(lost, "event"))
}

/// What has no room above the graph, in a comment.
fn notes(profile: &Profile) -> String {
    let stacks = format!("stacks: {}", summary::stacks(profile));
    let mut notes = vec![summary::losses(profile), stacks];
    notes.extend(profile.warnings.iter().map(ToString::to_string));
    comment(&notes)
}

/// Sentences as an XML comment's text: there `--` would end it, or be an error.
pub fn comment(sentences: &[String]) -> String {
    let mut notes = name::clean(&sentences.join("; ")).into_owned();
    while notes.contains("--") {
        notes = notes.replace("--", "- -");
    }
    notes.push('.');
    notes
}

/// A picture for when there is no graph; inferno would fail.
pub fn nothing(
    text: &str,
    notes: &str,
    title: &str,
    subtitle: &str,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    writeln!(
        out,
        r##"<?xml version="1.0" encoding="utf-8"?>
<svg version="1.1" width="1200" height="120" viewBox="0 0 1200 120" xmlns="http://www.w3.org/2000/svg">
<!--NOTES: {}-->
<rect width="100%" height="100%" fill="#eeeeee"/>
<g font-family="monospace" font-size="12" text-anchor="middle">
<text x="50%" y="24" id="title" font-size="17">{}</text>
<text x="50%" y="48" id="subtitle">{}</text>
<text x="50%" y="88" font-size="17">{text}</text>
</g>
</svg>"##,
        escape(notes),
        escape(title),
        escape(subtitle),
    )?;
    Ok(())
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}
