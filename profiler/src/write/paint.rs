//! A flame graph of inferno's in other colours, frame by frame. inferno takes colours by a function's name, and
//! a function has more than one frame.

use anyhow::Context as _;

/// Before the first frame.
const FRAMES: &str = "<svg id=\"frames\"";

/// Gives each frame a colour, and adds to what the mouse shows of it. `look`: from how deep a frame is (0: all
/// of it) and from the sum of what is left of it to its colour and to what is added; fails for `None`.
pub fn paint(
    svg: &str,
    look: impl Fn(usize, u64) -> Option<(String, String)>,
) -> anyhow::Result<String> {
    let unexpected = "inferno's flame graph is not as it used to be";
    let (head, body) = svg.split_once(FRAMES).context(unexpected)?;
    let frames: Vec<Frame<'_>> = body
        .split("<title>")
        .skip(1)
        .map(|text| Frame::of(text).context(unexpected))
        .collect::<Result<_, _>>()?;
    // A row for each depth: nothing is drawn without its caller.
    let mut rows: Vec<u64> = frames.iter().map(|frame| frame.y).collect();
    rows.sort_unstable_by(|a, b| b.cmp(a));
    rows.dedup();

    let mut out = String::with_capacity(svg.len() + frames.len() * 40);
    out.push_str(head);
    out.push_str(FRAMES);
    let before_first = body.split("<title>").next().unwrap_or_default();
    out.push_str(before_first);
    for frame in frames {
        let depth = rows
            .iter()
            .position(|&y| y == frame.y)
            .context(unexpected)?;
        let (colour, more) = look(depth, frame.left).context(unexpected)?;
        let Frame {
            title,
            to_colour,
            rest,
            ..
        } = frame;
        for part in ["<title>", title, "; ", &more, ")", to_colour, &colour, rest] {
            out.push_str(part);
        }
    }
    Ok(out)
}

/// What is written of a frame, in parts.
struct Frame<'a> {
    /// Without the last bracket.
    title: &'a str,
    /// From the title's end to the colour.
    to_colour: &'a str,
    /// From the colour's end to the next frame's title.
    rest: &'a str,
    y: u64,
    left: u64,
}

impl<'a> Frame<'a> {
    fn of(text: &'a str) -> Option<Self> {
        let end = text.find(")</title>")?;
        let (title, after) = (&text[..end], &text[end + 1..]);
        let colour = after.find("fill=\"")? + "fill=\"".len();
        let (to_colour, rest) = after.split_at(colour);
        let rest = &rest[rest.find('"')?..];
        Some(Self {
            title,
            to_colour,
            rest,
            y: attribute(to_colour, " y=\"")?,
            left: attribute(rest, " fg:x=\"")?,
        })
    }
}

fn attribute(text: &str, name: &str) -> Option<u64> {
    let (_, value) = text.split_once(name)?;
    value.split_once('"')?.0.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_graph_is_an_error() {
        for svg in [
            "<svg>",
            "<svg id=\"frames\"><title>a</title>",
            "<svg id=\"frames\"><title>a (1)</title><rect y=\"1\" fill=\"x\"/>",
            "<svg id=\"frames\"><title>a (1)</title><rect y=\"x\" fill=\"x\" fg:x=\"1\"/>",
        ] {
            assert!(
                paint(svg, |_, _| Some(Default::default())).is_err(),
                "{svg}"
            );
        }
    }

    #[test]
    fn a_frame_that_nobody_knows_is_an_error() {
        let svg =
            "<svg id=\"frames\"><g><title>a (1)</title><rect y=\"1\" fill=\"x\" fg:x=\"1\"/></g>";
        let painted = paint(svg, |depth, left| {
            Some(("red".to_owned(), format!("{depth} {left}")))
        });
        assert_eq!(
            painted.unwrap(),
            "<svg id=\"frames\"><g><title>a (1; 0 1)</title><rect y=\"1\" fill=\"red\" fg:x=\"1\"/></g>"
        );
        assert!(paint(svg, |_, _| None).is_err());
    }
}
