//! The numbers that everything is computed with: integers that stand for binary fractions, and how they are rounded.
//!
//! Qn means that the integer stands for so many 2⁻ⁿ. Sums of integers are the same in any order, which is what makes a run
//! the same on every machine. That no sum overflows follows from the bounds here, see the page on the kernel.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A one of features, Q12.
pub const FEATURE_ONE: i32 = 1 << 12;

/// A one of activations, errors, labels of a regression, and hyperparameters, Q16.
pub const ONE: i32 = 1 << 16;

/// The largest magnitude of an activation, a logit, an error that is passed back, or a label of a regression, Q16: 64.
pub const MAX_ACTIVATION: i32 = 1 << 22;

/// The largest magnitude of a weight, Q24: 16.
pub const MAX_WEIGHT: i32 = 1 << 28;

/// The largest magnitude of a velocity, Q32: 4,096. Its product with a fraction has 60 bits.
pub const MAX_VELOCITY: i64 = 1 << 44;

/// `value / 2^shift`, to the nearest integer, halves upward. The shift is 1 to 62, and the value at most 2⁶² in magnitude.
#[inline(always)]
pub(crate) const fn round_shift(value: i64, shift: u32) -> i64 {
    value.wrapping_add(1 << (shift - 1)) >> shift
}

/// A sum in Q16 that an activation can be.
#[inline(always)]
pub(crate) const fn activation(value: i64) -> i32 {
    let limit = MAX_ACTIVATION as i64;
    // Not `clamp`, which is not const.
    (if value > limit {
        limit
    } else if value < -limit {
        -limit
    } else {
        value
    }) as i32
}

/// log₂ e, Q30.
const LOG2_E: i64 = 1_549_082_005;

/// 2⁻ᶠ for f from 0 to 1 as a polynomial, Q30, from the constant up. It is off by at most 2⁻²³ of its value.
const EXP2: [i64; 6] = [1 << 30, -744_257_403, 257_891_465, -59_375_086, 9_884_650, -1_014_583];

/// How far a logit is below the largest one, in bits, Q30: its distance in Q16 times log₂ e.
fn bits_below(distance: i64) -> i64 {
    (distance * LOG2_E) >> 16
}

/// 2 to the minus `bits`, Q30 of Q30.
fn exp2_minus(bits: i64) -> i64 {
    let (whole, fraction) = ((bits >> 30).min(63), bits & ((1 << 30) - 1));
    let mut value = EXP2[5];
    for constant in EXP2[..5].iter().rev() {
        value = constant + ((value * fraction) >> 30);
    }
    value >> whole
}

/// e to the power of each logit less the largest, Q30, and their sum.
fn powers(logits: &[i32], mut each: impl FnMut(i64)) -> i64 {
    let largest = logits.iter().copied().max().unwrap_or_default();
    let mut sum = 0;
    for logit in logits {
        let power = exp2_minus(bits_below(i64::from(largest) - i64::from(*logit)));
        each(power);
        sum += power;
    }
    sum
}

/// The probabilities of classes, Q16, from their logits, Q16.
pub(crate) fn softmax(logits: &[i32], probabilities: &mut Vec<i32>) {
    probabilities.clear();
    // A power is at most 2³⁰, and fits until the sum is known.
    let sum = powers(logits, |power| probabilities.push(power as i32));
    for power in probabilities {
        *power = (((i64::from(*power) << 16) + sum / 2) / sum) as i32;
    }
}

/// The surprise at the class that is right, -log₂ of its probability, Q16 in bits.
pub(crate) fn surprise(logits: &[i32], class: usize) -> u64 {
    let sum = powers(logits, |_| {});
    let largest = logits.iter().copied().max().unwrap_or_default();
    let below = bits_below(i64::from(largest) - i64::from(logits[class])) >> 14;
    (log2(sum as u64) + below).max(0) as u64
}

/// log₂ of a positive number in Q30, Q16, rounded down: sixteen squarings, each of which gives a bit.
fn log2(value: u64) -> i64 {
    let whole = i64::from(value.ilog2()) - 30;
    // From 1 to 2, Q31.
    let mut rest = if whole > 1 { value >> (whole - 1) } else { value << (1 - whole) };
    let mut fraction = 0;
    for _ in 0..16 {
        rest = (rest * rest) >> 31;
        let bit = rest >> 32;
        rest >>= bit;
        fraction = fraction << 1 | bit as i64;
    }
    (whole << 16) + fraction
}

/// A decimal number as it is written: `digits` times ten to the minus `places`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Decimal {
    pub(crate) digits: i128,
    pub(crate) places: u32,
}

impl Decimal {
    /// Reads a number with at most 30 digits, `-1.5e-3` at its most; there are neither infinities nor NaN.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (number, exponent) = match text.split_once(['e', 'E']) {
            Some((number, exponent)) => (number, exponent.parse::<i32>().ok()?),
            None => (text, 0),
        };
        let unsigned = number.strip_prefix(['-', '+']).unwrap_or(number);
        let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
        let written = [whole, fraction].concat();
        let is_number = !written.is_empty() && written.bytes().all(|byte| byte.is_ascii_digit());
        let significant = written.trim_start_matches('0');
        if !is_number || significant.len() > 30 || exponent.unsigned_abs() > 40 {
            return None;
        }
        let mut digits: i128 = if significant.is_empty() { 0 } else { significant.parse().ok()? };
        if number.starts_with('-') {
            digits = -digits;
        }
        let places = i32::try_from(fraction.len()).ok()? - exponent;
        if places > 60 {
            return (digits == 0).then_some(Self { digits, places: 0 });
        }
        match u32::try_from(places) {
            Ok(places) => Some(Self { digits, places }),
            Err(_) => {
                let digits = digits.checked_mul(10i128.checked_pow(places.unsigned_abs())?)?;
                Some(Self { digits, places: 0 })
            }
        }
    }

    /// It with so many decimal places, halves away from zero; nothing if that has more than 36 digits.
    pub(crate) fn at(self, places: u32) -> Option<i128> {
        if places >= self.places {
            return self.digits.checked_mul(10i128.checked_pow(places - self.places)?);
        }
        let Some(divisor) = 10i128.checked_pow(self.places - places) else { return Some(0) };
        Some(divide(self.digits, divisor))
    }

    /// It times a power of two, halves away from zero; nothing if it does not fit.
    pub(crate) fn fixed(self, bits: u32) -> Option<i64> {
        let Some(divisor) = 10i128.checked_pow(self.places) else { return Some(0) };
        divide(self.digits.checked_mul(1 << bits)?, divisor).try_into().ok()
    }
}

/// A quotient to the nearest integer, halves away from zero. The divisor is positive.
pub(crate) fn divide(dividend: i128, divisor: i128) -> i128 {
    let (quotient, rest) = (dividend / divisor, dividend % divisor);
    // Not 2·rest, which may not fit.
    if rest.abs() >= divisor - rest.abs() { quotient + dividend.signum() } else { quotient }
}

/// A number from 0 up in steps of 2⁻¹⁶, which is what hyperparameters are.
///
/// Where people write and read it, it is a decimal number, the shortest of those that are nearest to it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fraction(pub u32);

impl fmt::Display for Fraction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = i128::from(self.0);
        let shortest = (0..5).find(|places| {
            let digits = divide(value * 10i128.pow(*places), 1 << 16);
            Decimal { digits, places: *places }.fixed(16) == Some(self.0.into())
        });
        // Five are always enough: 10⁻⁵ is less than 2⁻¹⁶.
        let places = shortest.unwrap_or(5);
        let scale = 10i128.pow(places);
        let digits = divide(value * scale, 1 << 16);
        match places {
            0 => f.pad(&digits.to_string()),
            _ => f.pad(&format!("{}.{:0width$}", digits / scale, digits % scale, width = places as usize)),
        }
    }
}

/// A text is no number from 0 to 65,535.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no number from 0 to 65535")]
pub struct NoFraction(String);

impl std::str::FromStr for Fraction {
    type Err = NoFraction;

    fn from_str(text: &str) -> Result<Self, NoFraction> {
        let fixed = Decimal::parse(text.trim()).and_then(|decimal| decimal.fixed(16));
        fixed.and_then(|fixed| u32::try_from(fixed).ok()).map(Self).ok_or_else(|| NoFraction(text.into()))
    }
}

impl Serialize for Fraction {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() { serializer.collect_str(self) } else { self.0.serialize(serializer) }
    }
}

impl<'de> Deserialize<'de> for Fraction {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            deserializer.deserialize_any(Written)
        } else {
            u32::deserialize(deserializer).map(Self)
        }
    }
}

/// Reads a fraction from a text or a number of JSON or TOML: from the shortest decimal that is this number.
struct Written;

impl<'de> de::Visitor<'de> for Written {
    type Value = Fraction;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number such as 0.05")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Fraction, E> {
        text.parse().map_err(E::custom)
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Fraction, E> {
        self.visit_str(&value.to_string())
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Fraction, E> {
        self.visit_str(&value.to_string())
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Fraction, E> {
        self.visit_str(&value.to_string())
    }

    /// `serde_json` hands a number over as a map of one entry where some crate of the build asks it to keep all digits.
    fn visit_map<A: de::MapAccess<'de>>(self, mut map: A) -> Result<Fraction, A::Error> {
        let number = map.next_entry::<String, String>()?;
        self.visit_str(&number.ok_or_else(|| de::Error::custom("a number such as 0.05 is missing"))?.1)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn probabilities(logits: &[i32]) -> Vec<i32> {
        let mut found = Vec::new();
        softmax(logits, &mut found);
        found
    }

    #[test]
    fn probabilities_and_surprise_are_those_of_real_numbers_to_four_digits() {
        for logits in [[0, 0, 0], [ONE, 0, -ONE], [5 * ONE, 4 * ONE, 123], [MAX_ACTIVATION, 0, -MAX_ACTIVATION]] {
            let real = logits.map(|logit| (f64::from(logit) / 65536.0).exp());
            let sum: f64 = real.iter().sum();
            for (class, (found, real)) in probabilities(&logits).into_iter().zip(real).enumerate() {
                assert!((f64::from(found) / 65536.0 - real / sum).abs() < 2e-5, "{logits:?}");
                let surprise = surprise(&logits, class) as f64 / 65536.0;
                assert!((surprise + (real / sum).log2()).abs() < 5e-4, "{logits:?}: {surprise}");
            }
        }
    }

    #[test]
    fn of_the_most_classes_and_the_farthest_logits_nothing_overflows() {
        let mut logits = vec![MAX_ACTIVATION; 4096];
        assert_eq!(probabilities(&logits), vec![16; 4096]);
        assert_eq!(surprise(&logits, 7), 12 << 16);
        logits[7] = -MAX_ACTIVATION;
        assert_eq!(probabilities(&logits)[7], 0);
        assert!(surprise(&logits, 7) > (184 + 11) << 16);
    }

    #[test]
    fn decimals_are_read_exactly_and_what_is_none_is_refused() {
        let parse = |text| Decimal::parse(text).map(|decimal| (decimal.digits, decimal.places));
        assert_eq!(parse("-1.50"), Some((-150, 2)));
        assert_eq!(parse("1e3"), Some((1000, 0)));
        assert_eq!(parse("+2.5E-3"), Some((25, 4)));
        assert_eq!(parse(".5"), Some((5, 1)));
        for text in ["", "-", ".", "nan", "inf", "1,5", "1.2.3", "0x10", "1e", "e1", "1e99", " 1", "--1", "1_0"] {
            assert_eq!(parse(text), None, "{text}");
        }
        let half = Decimal::parse("-0.125").expect("a number");
        assert_eq!((half.at(2), half.at(0), half.at(5)), (Some(-13), Some(0), Some(-12500)));
        assert_eq!((half.fixed(3), half.fixed(2)), (Some(-1), Some(-1)));
        assert_eq!(Decimal::parse("1e-40").expect("a number").fixed(16), Some(0));
    }

    #[test]
    fn a_fraction_is_read_from_text_and_from_numbers_alike() {
        let read = |json: &str| serde_json::from_str::<Fraction>(json).ok();
        assert_eq!(read("0.05"), Some(Fraction(3277)));
        assert_eq!(read("\"0.05\""), Some(Fraction(3277)));
        assert_eq!(read("1"), Some(Fraction(1 << 16)));
        for wrong in ["-0.1", "65536", "\"x\"", "null", "1e300"] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
        assert_eq!(Fraction(3277).to_string(), "0.05");
        assert_eq!(Fraction(58982).to_string(), "0.9");
        assert_eq!(Fraction(1).to_string(), "0.00002");
        assert_eq!(Fraction(ONE as u32).to_string(), "1");
    }

    proptest! {
        #[test]
        fn what_is_printed_of_a_fraction_is_that_fraction(bits: u32) {
            prop_assert_eq!(Fraction(bits).to_string().parse(), Ok(Fraction(bits)));
        }

        #[test]
        fn rounding_is_to_the_nearest_and_halves_go_up(value in -(1i64 << 62)..1 << 62, shift in 1u32..62) {
            let exact = (i128::from(value) * 2 + (1i128 << shift)).div_euclid(1i128 << (shift + 1));
            prop_assert_eq!(i128::from(round_shift(value, shift)), exact);
        }

        #[test]
        fn probabilities_add_up_to_one_but_for_their_rounding(
            logits in prop::collection::vec(-MAX_ACTIVATION..=MAX_ACTIVATION, 1..300),
        ) {
            let found = probabilities(&logits);
            prop_assert!(found.iter().all(|one| (0..=ONE).contains(one)));
            prop_assert!((found.iter().sum::<i32>() - ONE).abs() <= logits.len() as i32);
        }
    }
}
