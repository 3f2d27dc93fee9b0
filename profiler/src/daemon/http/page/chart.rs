//! A line over time, as inline SVG: axes with units, a title for those who do not see it, and marks where
//! triggers fired.

use jiff::Timestamp;
use maud::{Markup, html};

use crate::write::human;

use super::figures;

/// Size of the drawing, and where in it the line is. In units of the view box.
const WIDTH: f64 = 420.0;
const HEIGHT: f64 = 132.0;
const LEFT: f64 = 64.0;
const RIGHT: f64 = 412.0;
const TOP: f64 = 10.0;
const BOTTOM: f64 = 108.0;

/// What to draw.
pub struct Chart<'a> {
    /// What it is: `RSS`.
    pub name: &'a str,
    /// Whose: `storefront (4711)`.
    pub of: &'a str,
    /// Moments and bytes, oldest first.
    pub values: &'a [(Timestamp, u64)],
    /// When triggers fired.
    pub fired: &'a [Timestamp],
}

impl Chart<'_> {
    /// The drawing; words where there are too few values.
    pub fn draw(&self) -> Markup {
        let (Some(first), Some(last)) = (self.values.first(), self.values.last()) else {
            return too_few(self.name);
        };
        let (begin, end) = (first.0.as_millisecond(), last.0.as_millisecond());
        if end <= begin {
            return too_few(self.name);
        }
        let top = ceiling(self.values.iter().map(|value| value.1).max().unwrap_or(0));
        let x = |at: Timestamp| {
            let share = (at.as_millisecond() - begin) as f64 / (end - begin) as f64;
            LEFT + share.clamp(0.0, 1.0) * (RIGHT - LEFT)
        };
        let y = |bytes: u64| BOTTOM - bytes as f64 / top as f64 * (BOTTOM - TOP);
        let points: Vec<String> = self
            .values
            .iter()
            .map(|&(at, bytes)| format!("{:.1},{:.1}", x(at), y(bytes)))
            .collect();
        let line = points.join(" ");
        let area = format!("{LEFT},{BOTTOM} {line} {RIGHT},{BOTTOM}");
        let said = format!(
            "{} of {} from {} to {}: from {} to {}",
            self.name,
            figures::clean(self.of),
            clock(first.0),
            clock(last.0),
            human::bytes(first.1),
            human::bytes(last.1),
        );
        let within = |at: &&Timestamp| (begin..=end).contains(&at.as_millisecond());
        html! {
            figure.chart data-series=(self.name) {
                figcaption { (self.name) " " b { (human::bytes(last.1)) } }
                svg viewBox={ "0 0 " (WIDTH) " " (HEIGHT) } role="img" aria-label=(said) {
                    title { (said) }
                    @for part in [0, 1, 2] {
                        @let bytes = top / 2 * part;
                        @let height = format!("{:.1}", y(bytes));
                        line.grid x1=(LEFT) x2=(RIGHT) y1=(height) y2=(height) {}
                        text.y x=(LEFT - 6.0) y=(height) dy="0.32em" { (axis(bytes)) }
                    }
                    polygon.area points=(area) {}
                    polyline.line points=(line) {}
                    @for at in self.fired.iter().filter(within) {
                        @let place = format!("{:.1}", x(*at));
                        line.fired x1=(place) x2=(place) y1=(TOP) y2=(BOTTOM) {
                            title { "a trigger fired at " (clock(*at)) }
                        }
                    }
                    text.x x=(LEFT) y=(HEIGHT - 8.0) { (clock(first.0)) }
                    text.x.end x=(RIGHT) y=(HEIGHT - 8.0) { (clock(last.0)) " UTC" }
                }
            }
        }
    }
}

fn too_few(name: &str) -> Markup {
    html! { p.empty { (name) " over time appears here after the second look at the process." } }
}

fn clock(at: Timestamp) -> String {
    at.strftime("%H:%M:%S").to_string()
}

/// The upper end of the axis: 2, 4 or 8 times a power of 16, or of 1024 with such a factor, so that it and its half
/// are short numbers in binary units.
fn ceiling(largest: u64) -> u64 {
    let largest = largest.max(2048);
    let power = largest.checked_next_power_of_two().unwrap_or(1 << 63);
    // a quarter of the axis less where that is enough
    let three_quarters = power / 4 * 3;
    if largest <= three_quarters {
        three_quarters
    } else {
        power
    }
}

/// `96 MiB`: no more digits than the axis needs.
fn axis(bytes: u64) -> String {
    let text = human::bytes(bytes);
    text.replace(".00", "").replace(".50", ".5")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_axis_is_just_above_the_largest() {
        const MIB: u64 = 1 << 20;
        for (largest, expected) in [
            (0, 2048),
            (90 * MIB, 96 * MIB),
            (97 * MIB, 128 * MIB),
            (128 * MIB, 128 * MIB),
            (129 * MIB, 192 * MIB),
            (u64::MAX, 1 << 63),
        ] {
            assert_eq!(ceiling(largest), expected);
        }
        assert_eq!(axis(96 * MIB), "96 MiB");
        assert_eq!(axis(3 * MIB / 2), "1.5 MiB");
    }

    #[test]
    fn the_line_is_where_the_values_are() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let values = [(at(0), 0), (at(50), 64 << 20), (at(100), 128 << 20)];
        let chart = Chart {
            name: "RSS",
            of: "<b>",
            values: &values,
            fired: &[at(50), at(500)],
        };
        let svg = chart.draw().into_string();
        assert!(
            svg.contains("points=\"64.0,108.0 238.0,59.0 412.0,10.0\""),
            "{svg}"
        );
        assert_eq!(svg.matches("class=\"fired\"").count(), 1);
        assert!(svg.contains("RSS of &lt;b&gt; from 00:00:00 to 00:01:40: from 0 B to 128.00 MiB"));
    }

    #[test]
    fn nothing_is_drawn_of_one_value() {
        let one = [(Timestamp::UNIX_EPOCH, 5)];
        for values in [&[][..], &one, &[one[0], one[0]]] {
            let chart = Chart {
                name: "RSS",
                of: "a",
                values,
                fired: &[],
            };
            assert!(!chart.draw().into_string().contains("<svg"));
        }
    }
}
