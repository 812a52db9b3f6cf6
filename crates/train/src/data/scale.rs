//! How decimal numbers of a column become features: exactly, whatever a machine's floats are.

use crate::number::{Decimal, divide};

/// The largest magnitude of a number, with the decimal places that are kept.
const MAX_DIGITS: i128 = 1 << 36;

/// How a column is scaled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scaling {
    /// As it is.
    None,
    /// Its mean becomes 0 and its standard deviation 1. A column that is the same everywhere becomes 0.
    Standard,
    /// Its least value becomes 0 and its greatest 1. A column that is the same everywhere becomes 0.
    MinMax,
}

/// A column, each number as so many 2⁻ᵇⁱᵗˢ, halves away from zero. Nothing if a number has too many digits before the point.
///
/// Of each number as many decimal places are kept as have the largest below 2³⁶ without its point, and not more than are
/// written. There are at most 2²⁰ numbers.
pub(super) fn scaled(column: &[Decimal], scaling: Scaling, bits: u32) -> Option<Vec<i64>> {
    if scaling == Scaling::None {
        return column.iter().map(|number| number.fixed(bits)).collect();
    }
    let numbers = aligned(column)?;
    match scaling {
        Scaling::MinMax => {
            let (least, greatest) = (numbers.iter().min()?, numbers.iter().max()?);
            let width = (greatest - least).max(1);
            Some(numbers.iter().map(|number| divide((number - least) << bits, width) as i64).collect())
        }
        _ => {
            let count = numbers.len() as i128;
            let sum: i128 = numbers.iter().sum();
            let squares: i128 = numbers.iter().map(|number| number * number).sum();
            // The variance times the square of the count; below 2^112.
            let spread = (count * squares - sum * sum) as u128;
            // A root of 62 bits or more: its remainder is lost.
            let shift = (spread.leading_zeros().saturating_sub(3)) / 2;
            let root = (spread << (2 * shift)).isqrt().max(1) as i128;
            let standard = |number: &i128| divide((number * count - sum) << (bits + shift), root) as i64;
            Some(if spread == 0 { vec![0; numbers.len()] } else { numbers.iter().map(standard).collect() })
        }
    }
}

/// The numbers without their points, all with the same number of places.
fn aligned(column: &[Decimal]) -> Option<Vec<i128>> {
    let written = column.iter().map(|number| number.places).max()?;
    let fits = |number: i128| number.abs() < MAX_DIGITS;
    let at = |places| column.iter().map(|number| number.at(places).filter(|number| fits(*number))).collect();
    (0..=written).rev().find_map(at)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn column(numbers: &[&str]) -> Vec<Decimal> {
        numbers.iter().map(|number| Decimal::parse(number).expect("a number")).collect()
    }

    #[test]
    fn columns_are_scaled_as_by_hand() {
        let numbers = column(&["1", "2.0", "3"]);
        assert_eq!(scaled(&numbers, Scaling::None, 12), Some(vec![4096, 8192, 12288]));
        assert_eq!(scaled(&numbers, Scaling::MinMax, 12), Some(vec![0, 2048, 4096]));
        // The deviation is the root of 2/3: 4096 · 1.2247 = 5016.6.
        assert_eq!(scaled(&numbers, Scaling::Standard, 12), Some(vec![-5017, 0, 5017]));
        let constant = column(&["7.5", "7.5"]);
        assert_eq!(scaled(&constant, Scaling::Standard, 12), Some(vec![0, 0]));
        assert_eq!(scaled(&constant, Scaling::MinMax, 12), Some(vec![0, 0]));
    }

    #[test]
    fn places_that_nobody_can_tell_apart_are_rounded_and_numbers_too_large_refused() {
        let long = column(&["0.1234567890123456789", "70000000000", "-1"]);
        assert_eq!(scaled(&long, Scaling::MinMax, 12), None, "70 thousand million is more than 2^36");
        let long = column(&["0.1234567890123456789", "60000000000", "-1"]);
        assert_eq!(aligned(&long), Some(vec![0, 60_000_000_000, -1]));
        assert_eq!(aligned(&column(&["0.123456789012345", "1"])), Some(vec![1_234_567_890, 10_000_000_000]));
    }

    proptest! {
        #[test]
        fn standard_scaling_is_that_of_real_numbers(
            numbers in prop::collection::vec(-9_999_999i64..9_999_999, 2..200), places in 0u32..6,
        ) {
            let column: Vec<_> = numbers.iter().map(|digits| Decimal { digits: (*digits).into(), places }).collect();
            let found = scaled(&column, Scaling::Standard, 12).expect("small");
            let count = numbers.len() as f64;
            let mean = numbers.iter().map(|number| *number as f64).sum::<f64>() / count;
            let variance = numbers.iter().map(|number| (*number as f64 - mean).powi(2)).sum::<f64>() / count;
            for (found, number) in found.into_iter().zip(numbers) {
                let real = if variance == 0.0 { 0.0 } else { (number as f64 - mean) / variance.sqrt() * 4096.0 };
                prop_assert!((found as f64 - real).abs() < 0.51, "{} {}", found, real);
            }
        }
    }
}
