//! What many measurements of one thing come to.

use std::fmt;

/// The middle of several measurements, and how far they lie apart.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spread {
    /// The middle one; between the two middle ones of an even number.
    pub median: f64,
    /// The smallest.
    pub lowest: f64,
    /// The largest.
    pub highest: f64,
}

impl Spread {
    /// Of at least one number; `None` without any.
    pub fn of(numbers: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut sorted: Vec<f64> = numbers.into_iter().collect();
        sorted.sort_by(f64::total_cmp);
        let (lowest, highest) = (*sorted.first()?, *sorted.last()?);
        let (low, high) = (sorted[(sorted.len() - 1) / 2], sorted[sorted.len() / 2]);
        Some(Self {
            median: f64::midpoint(low, high),
            lowest,
            highest,
        })
    }
}

/// What something takes where nothing else runs on the machine, which only makes it longer, and does so for seconds on
/// end: only a twentieth of all measurements is below.
pub fn undisturbed(numbers: &[f64]) -> Option<f64> {
    let mut sorted = numbers.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 20).copied()
}

/// `median (lowest-highest)`, with the precision that is asked for.
impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            median,
            lowest,
            highest,
        } = self;
        let digits = f.precision().unwrap_or(0);
        write!(
            f,
            "{median:.digits$} ({lowest:.digits$}-{highest:.digits$})"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_is_the_middle() {
        assert_eq!(Spread::of([]), None);
        assert_eq!(format!("{}", Spread::of([7.0]).unwrap()), "7 (7-7)");
        let odd = Spread::of([9.0, 1.0, 4.0]).unwrap();
        assert_eq!(format!("{odd:.1}"), "4.0 (1.0-9.0)");
        let even = Spread::of([10.0, 1.0, 5.0, 4.0]).unwrap();
        assert_eq!(format!("{even:.2}"), "4.50 (1.00-10.00)");
    }

    #[test]
    fn the_undisturbed_one_is_among_the_lowest() {
        assert_eq!(undisturbed(&[]), None);
        assert_eq!(undisturbed(&[3.0, 2.0]), Some(2.0));
        let many: Vec<f64> = (0..100).rev().map(f64::from).collect();
        assert_eq!(undisturbed(&many), Some(5.0));
    }
}
