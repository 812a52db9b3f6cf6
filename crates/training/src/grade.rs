//! How good a model is, as the rules compare it: against the baseline, against others, and on one table against another.

use dtn_primitives::U256;
use dtn_train::{Fraction, ONE, Score};
use serde::{Deserialize, Serialize};

/// A score without its rows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grade {
    /// The rows that are right; 0 of numbers.
    pub correct: u32,
    /// The sum of losses, or of the squares of errors.
    pub loss: u64,
}

/// What a claim is worth on both tables.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grades {
    /// On the rows that were drawn, if the requester has opened them.
    pub hidden: Option<Grade>,
    /// On the rows that everybody knows, if there are any.
    pub fold: Option<Grade>,
}

/// How many standard errors a difference has at least that is no accident.
const ERRORS: u64 = 5;

impl From<Score> for Grade {
    fn from(score: Score) -> Self {
        match score {
            Score::Classes { correct, loss, .. } => Self { correct, loss },
            Score::Number { squared_error, .. } => Self { correct: 0, loss: squared_error },
        }
    }
}

impl Grade {
    /// All rows, as a baseline has them.
    pub(crate) const WHOLE: u32 = ONE as u32;

    /// For people: the part of so many rows that is right, or the mean square of errors of numbers.
    pub fn summary(self, classes: u16, rows: u32) -> f64 {
        match classes {
            // Q32.
            0 => self.loss as f64 / (1u64 << 32) as f64 / f64::from(rows.max(1)),
            _ => f64::from(self.correct) / f64::from(rows.max(1)),
        }
    }

    /// For people: the mean loss of a row in bits, or the mean square of errors of numbers.
    pub fn loss_a_row(self, classes: u16, rows: u32) -> f64 {
        match classes {
            0 => self.summary(classes, rows),
            // Q16.
            _ => self.loss as f64 / f64::from(1u32 << 16) / f64::from(rows.max(1)),
        }
    }

    /// The order of grades on the same rows: more rows are right; of as many, the loss is less.
    pub fn rank(self) -> (u32, std::cmp::Reverse<u64>) {
        (self.correct, std::cmp::Reverse(self.loss))
    }

    /// Whether a model of so many classes, or of numbers, can have it on so many rows.
    pub(crate) fn is_of(self, classes: u16, rows: u32) -> bool {
        self.correct <= if classes == 0 { 0 } else { rows }
    }

    /// Whether it is at least the baseline on so many rows.
    pub fn reaches(self, baseline: Fraction, classes: u16, rows: u32) -> bool {
        let (baseline, rows) = (u128::from(baseline.0), u128::from(rows));
        if classes == 0 {
            // Q32 of Q16.
            u128::from(self.loss) <= (baseline << 16) * rows
        } else {
            (u128::from(self.correct) << 16) >= baseline * rows
        }
    }

    /// Whether it is more than five standard errors worse on so many rows than another on others. Of classes, the error
    /// is that of the difference of two shares with the same mean. Of numbers, that of a mean of squares whose variance
    /// is at most four times the square of their mean, which normal errors have twice.
    pub(crate) fn is_far_below(self, rows: u32, other: Self, other_rows: u32, classes: u16) -> bool {
        let [n, m] = [rows, other_rows].map(U256::from);
        let error = U256::from(ERRORS * ERRORS);
        if classes == 0 {
            let [mine, others] = [U256::from(self.loss) * m, U256::from(other.loss) * n];
            let Some(worse) = mine.checked_sub(others) else { return false };
            worse * worse * n * m > error * U256::from(4) * others * others * (n + m)
        } else {
            let [mine, others] = [U256::from(self.correct) * m, U256::from(other.correct) * n];
            let Some(worse) = others.checked_sub(mine) else { return false };
            let right = U256::from(self.correct) + U256::from(other.correct);
            worse * worse * (n + m) > error * right * (n + m - right) * n * m
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    /// The same by fractions, in Python.
    #[test]
    fn what_is_no_accident_is_so_for_an_independent_implementation() {
        let golden: Value = serde_json::from_str(include_str!("../tests/vectors.json")).expect("it is JSON");
        let cases = golden["far_below"].as_array().expect("a list");
        let number = |value: &Value| value.as_u64().expect("a number") as u32;
        let mut seen = [0; 2];
        for case in cases {
            let [classes, rows, fold_rows, fold] =
                ["classes", "rows", "fold_rows", "fold"].map(|key| number(&case[key]));
            let grade = |amount: u32| match classes {
                0 => Grade { correct: 0, loss: amount.into() },
                _ => Grade { correct: amount, loss: 9 },
            };
            for (verdict, key) in [(true, "far"), (false, "near")] {
                for hidden in case[key].as_array().expect("a list") {
                    let far = grade(number(hidden)).is_far_below(rows, grade(fold), fold_rows, classes as u16);
                    assert_eq!(far, verdict, "{case} {hidden}");
                    seen[usize::from(verdict)] += 1;
                }
            }
        }
        assert!(seen[0] > 100 && seen[1] > 100, "{seen:?}");
    }

    #[test]
    fn the_largest_grades_are_compared_without_overflow() {
        let worst = Grade { correct: 0, loss: u64::MAX };
        let best = Grade { correct: 1_000_000, loss: 0 };
        assert!(worst.is_far_below(1_000_000, Grade { loss: 1, ..worst }, 1_000_000, 0));
        assert!(worst.is_far_below(1_000_000, best, 1_000_000, 10));
        assert!(!best.is_far_below(1_000_000, worst, 1_000_000, 10));
        assert!(worst.reaches(Fraction(u32::MAX), 0, u32::MAX));
    }
}
