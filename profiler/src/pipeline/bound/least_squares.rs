//! Linear least squares of a few unknowns.

/// `row` times the unknowns is `value`, or off by about `error`.
pub struct Observation {
    /// As many as there are unknowns.
    pub row: Vec<f64>,
    /// What was seen.
    pub value: f64,
    /// The standard error of that.
    pub error: f64,
}

/// The unknowns, and the variance of the first one. `None`: the observations do not tell.
pub fn solve(observations: &[Observation]) -> Option<(Vec<f64>, f64)> {
    let unknowns = observations.first()?.row.len();
    let mut equations = Equations::of(unknowns);
    for it in observations {
        equations.add(&it.row, it.value, it.error);
    }
    equations.solve()
}

/// How much farther than expected observations lie from what was found, in units of what was expected: at least 1.
pub fn scatter(observations: &[Observation], solution: &[f64]) -> f64 {
    let squares = observations.iter().map(|it| {
        let found: f64 = it
            .row
            .iter()
            .zip(solution)
            .map(|(factor, value)| factor * value)
            .sum();
        ((it.value - found) / it.error).powi(2)
    });
    (squares.sum::<f64>() / observations.len().max(1) as f64)
        .sqrt()
        .max(1.0)
}

/// The normal equations of a linear least-squares problem. Two more columns: the right side, and that of the first
/// column of the inverse matrix, which begins with the variance of the first unknown.
struct Equations(Vec<Vec<f64>>);

impl Equations {
    fn of(unknowns: usize) -> Self {
        let mut rows = vec![vec![0.0; unknowns + 2]; unknowns];
        rows[0][unknowns + 1] = 1.0;
        Self(rows)
    }

    /// `row` times the unknowns is `value`, or off by about `error`.
    fn add(&mut self, row: &[f64], value: f64, error: f64) {
        let weight = 1.0 / (error * error);
        for (equation, factor) in self.0.iter_mut().zip(row) {
            for (sum, other) in equation.iter_mut().zip(row.iter().chain([&value])) {
                *sum += weight * factor * other;
            }
        }
    }

    /// By Gaussian elimination: the matrix is positive definite, which needs no other order of its rows. `None`: it is
    /// not. The unknowns, and the variance of the first one.
    fn solve(mut self) -> Option<(Vec<f64>, f64)> {
        let rows = &mut self.0;
        for at in 0..rows.len() {
            let pivot = rows[at][at];
            if pivot.is_nan() || pivot <= 0.0 {
                return None;
            }
            let row: Vec<f64> = rows[at].iter().map(|value| value / pivot).collect();
            for (index, other) in rows.iter_mut().enumerate() {
                let factor = other[at];
                if index != at {
                    for (value, pivot) in other.iter_mut().zip(&row) {
                        *value -= factor * pivot;
                    }
                }
            }
            rows[at] = row;
        }
        let unknowns = rows.len();
        let variance = *rows.first()?.last()?;
        Some((rows.iter().map(|row| row[unknowns]).collect(), variance))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of a line, `2 + 3 x`, its height at 0 and its slope.
    fn line(values: &[(f64, f64)], error: f64) -> Vec<Observation> {
        let observation = |&(x, off): &(f64, f64)| Observation {
            row: vec![1.0, x],
            value: 2.0 + 3.0 * x + off,
            error,
        };
        values.iter().map(observation).collect()
    }

    #[test]
    fn a_line_is_found_with_its_error() {
        let exact = line(&[(-1.0, 0.0), (0.0, 0.0), (1.0, 0.0)], 0.3);
        let (found, variance) = solve(&exact).unwrap();
        assert!((found[0] - 2.0).abs() < 1e-12 && (found[1] - 3.0).abs() < 1e-12);
        // Of the mean of three.
        assert!((variance - 0.03).abs() < 1e-12, "{variance}");
        assert!((scatter(&exact, &found) - 1.0).abs() < 1e-12);
        let off = line(&[(-1.0, 0.9), (0.0, -1.8), (1.0, 0.9)], 0.3);
        let (found, _) = solve(&off).unwrap();
        assert!((found[0] - 2.0).abs() < 1e-12 && (found[1] - 3.0).abs() < 1e-12);
        // Three, six and three times as far off as expected.
        assert!((scatter(&off, &found) - 18_f64.sqrt()).abs() < 1e-9);
    }

    #[test]
    fn what_is_not_determined_is_not_found() {
        assert!(solve(&[]).is_none());
        assert!(solve(&line(&[(1.0, 0.0), (1.0, 0.0)], 0.25)).is_none());
    }
}
