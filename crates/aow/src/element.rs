//! The field of the delay function: integers modulo p = 2¹²⁸ − 45·2⁴⁰ + 1, that of winterfell's `f128`.

use std::{fmt, ops, str::FromStr};

use alloy_primitives::{B256, U256};

/// p, the order of the field.
const P: u128 = 0u128.wrapping_sub(C);

/// What 2¹²⁸ is modulo p.
const C: u128 = 45 * (1 << 40) - 1;

/// A number modulo p. Its memory is that of the number below p.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[repr(transparent)]
pub struct Element(u128);

impl Element {
    /// a · b + c · d.
    #[inline(always)]
    pub(crate) fn sum_of_products([a, b]: [Self; 2], [c, d]: [Self; 2]) -> Self {
        let mut products = Products::default();
        products.add(a, b);
        products.add(c, d);
        products.sum()
    }

    /// 0.
    pub const ZERO: Self = Self(0);

    /// 1.
    pub const ONE: Self = Self(1);

    /// The order of the field.
    pub const MODULUS: u128 = P;

    /// A number below p; none above has an element of its own.
    pub const fn new(value: u128) -> Option<Self> {
        if value < P { Some(Self(value)) } else { None }
    }

    pub(crate) const fn from_u64(value: u64) -> Self {
        Self(value as u128)
    }

    /// Of any number below 2¹²⁸.
    #[inline]
    pub(crate) const fn reduced(value: u128) -> Self {
        Self(canonical(value))
    }

    /// A hash of 256 bits modulo p. That leaves no bias above 2⁻¹²⁷.
    pub fn from_hash(hash: B256) -> Self {
        Self(U256::from_be_bytes(hash.0).reduce_mod(U256::from(P)).to())
    }

    /// Reads 16 big-endian bytes, as the chain has them.
    pub fn from_bytes(bytes: [u8; 16]) -> Option<Self> {
        Self::new(u128::from_be_bytes(bytes))
    }

    /// The 16 big-endian bytes.
    pub fn to_bytes(self) -> [u8; 16] {
        self.0.to_be_bytes()
    }

    /// The number below p.
    pub const fn value(self) -> u128 {
        self.0
    }

    /// Its square.
    #[inline]
    pub fn square(self) -> Self {
        Self(canonical(square(self.0)))
    }

    /// Its cube.
    #[inline]
    pub fn cube(self) -> Self {
        Self(canonical(multiply(square(self.0), self.0)))
    }

    /// The one element whose cube it is. There is one for each, because 3 does not divide p − 1.
    ///
    /// The exponent is 1/3 modulo p − 1, which is (2p − 1)/3: in binary, 41 times `10`, `001100`, 19 times `10` and `11`. So
    /// 129 squarings and 13 multiplications do, each of which needs the one before it. What comes between is not brought
    /// below p, only below 2¹²⁸.
    #[inline]
    pub fn cube_root(self) -> Self {
        let x = self.0;
        // x to the power of so many times `10`.
        let one = square(x);
        let two = append(one, 2, one);
        let four = append(two, 4, two);
        let eight = append(four, 8, four);
        let sixteen = append(eight, 16, eight);
        let many = append(append(append(sixteen, 32, sixteen), 16, eight), 2, one);
        let three = multiply(one, x);
        let twelve = square(square(three));
        let many = append(many, 6, twelve);
        let many = append(append(append(many, 32, sixteen), 4, two), 2, one);
        Self(canonical(append(many, 2, three)))
    }

    /// What it makes 1 with; 0 for 0.
    ///
    /// The exponent is p − 2: in binary, 82 ones, `010010` and 40 ones.
    pub fn inverse(self) -> Self {
        let x = self.0;
        // x to the power of so many ones.
        let two = append(x, 1, x);
        let four = append(two, 2, two);
        let five = append(four, 1, x);
        let ten = append(five, 5, five);
        let twenty = append(ten, 10, ten);
        let forty = append(twenty, 20, twenty);
        let many = append(append(forty, 40, forty), 2, two);
        let many = append(append(many, 2, x), 3, x);
        Self(canonical(append(many, 41, forty)))
    }
}

/// Appends `bits` bits to an exponent: those of the power `tail`.
#[inline(always)]
fn append(mut power: u128, bits: u32, tail: u128) -> u128 {
    for _ in 0..bits {
        power = square(power);
    }
    multiply(power, tail)
}

#[inline(always)]
const fn canonical(value: u128) -> u128 {
    if value >= P { value - P } else { value }
}

#[inline(always)]
fn halves(value: u128) -> (u128, u128) {
    (value & u128::from(u64::MAX), value >> 64)
}

#[inline(always)]
fn square(a: u128) -> u128 {
    let (low, high) = halves(a);
    let middle = low * high;
    reduce(low * low, middle << 1, middle >> 127 != 0, high * high)
}

#[inline(always)]
fn multiply(a: u128, b: u128) -> u128 {
    let ((a_low, a_high), (b_low, b_high)) = (halves(a), halves(b));
    let (middle, carry) = (a_low * b_high).overflowing_add(a_high * b_low);
    reduce(a_low * b_low, middle, carry, a_high * b_high)
}

/// bottom + 2⁶⁴ · (middle + 2¹²⁸ · carry) + 2¹²⁸ · top modulo p, below 2¹²⁸, for the parts of a product.
///
/// What counts 2¹²⁸ times counts C times instead. Each step waits for this, so it is arranged to wait for little: the parts
/// are not added up before they are reduced, and the sum that overflows hardly ever is made last, behind a branch.
#[inline(always)]
fn reduce(bottom: u128, middle: u128, carry: bool, top: u128) -> u128 {
    let if_so = |condition: bool, value: u128| if condition { value } else { 0 };
    let (top_low, top_high) = halves(top);
    // Below 2¹¹⁰; its upper half, below 2⁴⁶, counts 2¹²⁸ times once more.
    let high = top_high * C;
    let beyond = (high >> 64) * C;
    let low = (top_low * C).wrapping_add((middle >> 64) * C);
    let (sum, first) = bottom.overflowing_add(middle << 64);
    let (sum, second) = sum.overflowing_add(high << 64);
    let carries = if_so(carry, C << 64).wrapping_add(if_so(first, C)).wrapping_add(if_so(second, C));
    // Below 2¹¹³ all together.
    let (sum, third) = sum.overflowing_add(low.wrapping_add(carries).wrapping_add(beyond));
    if third { once_more(sum) } else { sum }
}

/// A sum of products, reduced once: of any number of them below 2³².
#[derive(Clone, Copy, Default)]
pub(crate) struct Products {
    low: u128,
    high: u128,
    beyond: u32,
}

impl Products {
    #[inline(always)]
    pub(crate) fn add(&mut self, a: Element, b: Element) {
        let (low, high) = product(a.0, b.0);
        let (low, carry) = self.low.overflowing_add(low);
        // No product is so large that a carry makes its upper half overflow.
        let (high, beyond) = self.high.overflowing_add(high + u128::from(carry));
        *self = Self { low, high, beyond: self.beyond + u32::from(beyond) };
    }

    #[inline(always)]
    pub(crate) fn sum(self) -> Element {
        let (high_low, high_high) = halves(self.high);
        let high = high_high * C;
        let (sum, carry) = self.low.overflowing_add(high << 64);
        // 2²⁵⁶ counts C². Below 2¹²⁵ all together.
        let beyond = high_low * C + (high >> 64) * C + u128::from(self.beyond) * (C * C) + if carry { C } else { 0 };
        let (sum, overflow) = sum.overflowing_add(beyond);
        Element(canonical(if overflow { once_more(sum) } else { sum }))
    }
}

/// a · b, the lower and the upper half.
#[inline(always)]
fn product(a: u128, b: u128) -> (u128, u128) {
    let ((a_low, a_high), (b_low, b_high)) = (halves(a), halves(b));
    // No sum overflows: (2⁶⁴ − 1)² + 2 · (2⁶⁴ − 1) is 2¹²⁸ − 1.
    let bottom = a_low * b_low;
    let middle = a_low * b_high + (bottom >> 64);
    let other = a_high * b_low + (middle & u128::from(u64::MAX));
    (other << 64 | bottom & u128::from(u64::MAX), a_high * b_high + (middle >> 64) + (other >> 64))
}

/// Adds C for an overflow to something tiny: one product in 2¹⁵ or fewer gets here. A function, so that it stays a branch.
#[cold]
#[inline(never)]
fn once_more(sum: u128) -> u128 {
    sum.wrapping_add(C)
}

/// A number that many are multiplied by, with what that takes known beforehand: five products of halves rather than eight.
/// What it multiplies and what comes out are any numbers below 2¹²⁸.
#[derive(Clone, Copy)]
pub(crate) struct Multiplier {
    once: u128,
    /// 2⁶⁴ times as much.
    shifted: u128,
}

impl Multiplier {
    pub(crate) fn new(factor: Element) -> Self {
        Self { once: factor.0, shifted: multiply(factor.0, 1 << 64) }
    }

    #[inline(always)]
    pub(crate) fn times(self, value: u128) -> u128 {
        let ((low, high), (once_low, once_high), (shifted_low, shifted_high)) =
            (halves(value), halves(self.once), halves(self.shifted));
        let if_so = |condition: bool, value: u128| if condition { value } else { 0 };
        let (bottom, first) = (once_low * low).overflowing_add(shifted_low * high);
        let (middle, carry) = (once_high * low).overflowing_add(shifted_high * high);
        let (sum, second) = bottom.overflowing_add(middle << 64);
        // Below 2¹¹² all together.
        let beyond = (middle >> 64) * C + if_so(first, C) + if_so(second, C) + if_so(carry, C << 64);
        let (sum, third) = sum.overflowing_add(beyond);
        if third { once_more(sum) } else { sum }
    }
}

/// a + b and a − b modulo p, of any numbers below 2¹²⁸ and as such.
#[inline(always)]
pub(crate) fn sum_and_difference(a: u128, b: u128) -> (u128, u128) {
    let (sum, overflow) = a.overflowing_add(b);
    let (sum, again) = sum.overflowing_add(if overflow { C } else { 0 });
    let (difference, borrow) = a.overflowing_sub(b);
    let (difference, below) = difference.overflowing_sub(if borrow { C } else { 0 });
    (if again { once_more(sum) } else { sum }, if below { once_less(difference) } else { difference })
}

#[cold]
#[inline(never)]
fn once_less(difference: u128) -> u128 {
    difference.wrapping_sub(C)
}

impl ops::Add for Element {
    type Output = Self;

    #[inline]
    fn add(self, other: Self) -> Self {
        let (sum, overflow) = self.0.overflowing_add(other.0);
        // Beyond 2¹²⁸ it is less than p still.
        if overflow { Self(sum + C) } else { Self(canonical(sum)) }
    }
}

impl ops::Sub for Element {
    type Output = Self;

    #[inline]
    fn sub(self, other: Self) -> Self {
        let (difference, borrow) = self.0.overflowing_sub(other.0);
        if borrow { Self(difference.wrapping_add(P)) } else { Self(difference) }
    }
}

impl ops::Mul for Element {
    type Output = Self;

    #[inline]
    fn mul(self, other: Self) -> Self {
        Self(canonical(multiply(self.0, other.0)))
    }
}

/// A text that is no element.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text} is no number below {}", Element::MODULUS)]
pub struct NoElement {
    text: String,
}

impl FromStr for Element {
    type Err = NoElement;

    /// Reads a decimal number below the modulus.
    fn from_str(text: &str) -> Result<Self, NoElement> {
        text.parse().ok().and_then(Self::new).ok_or_else(|| NoElement { text: text.into() })
    }
}

impl fmt::Display for Element {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Element {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// 1/3 modulo p − 1.
    const THIRD: u128 = 226_854_911_280_625_642_308_916_371_969_163_307_691;

    fn element() -> impl Strategy<Value = Element> {
        let limits = [0, 1, 2, C - 1, C, C + 1, 1 << 64, u128::from(u64::MAX), 1 << 127, P - 2, P - 1];
        let any = any::<u128>().prop_map(|value| Element(value % P));
        prop_oneof![4 => any, 1 => prop::sample::select(limits.map(Element).to_vec())]
    }

    fn wide(element: Element) -> U256 {
        U256::from(element.0)
    }

    #[test]
    fn the_modulus_is_the_one_of_winterfell_and_the_third_is_a_third() {
        assert_eq!(P, 340_282_366_920_938_463_463_374_557_953_744_961_537);
        let below = U256::from(P - 1);
        assert_eq!(U256::from(THIRD).mul_mod(U256::from(3), below), U256::from(1));
        assert_eq!((Element::new(P), Element::new(P - 1)), (None, Some(Element(P - 1))));
        assert_eq!(Element::from_bytes([0xff; 16]), None);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20_000))]

        #[test]
        fn sums_differences_and_products_are_those_of_big_integers(a in element(), b in element()) {
            let p = U256::from(P);
            prop_assert_eq!(wide(a + b), wide(a).add_mod(wide(b), p));
            prop_assert_eq!((a - b) + b, a);
            prop_assert_eq!(wide(a * b), wide(a).mul_mod(wide(b), p));
            prop_assert_eq!(wide(a.cube()), wide(a).mul_mod(wide(a), p).mul_mod(wide(a), p));
            prop_assert_eq!(Element::from_bytes(a.to_bytes()), Some(a));
        }

        #[test]
        fn sums_of_products_are_those_of_big_integers(pairs in prop::collection::vec((element(), element()), 0..70)) {
            let p = U256::from(P);
            let sum = pairs.iter().fold(U256::ZERO, |sum, (a, b)| wide(*a).mul_mod(wide(*b), p).add_mod(sum, p));
            let mut products = Products::default();
            pairs.iter().for_each(|(a, b)| products.add(*a, *b));
            prop_assert_eq!(wide(products.sum()), sum);
        }

        #[test]
        fn a_multiplier_takes_any_number_below_2_to_the_128(factor in element(), value in any::<u128>()) {
            let product = Multiplier::new(factor).times(value);
            prop_assert_eq!(U256::from(canonical(product)), wide(factor).mul_mod(U256::from(value), U256::from(P)));
        }

        #[test]
        fn any_numbers_below_2_to_the_128_are_added_and_subtracted_right(
            a in prop_oneof![any::<u128>(), Just(u128::MAX), 0..C],
            b in prop_oneof![any::<u128>(), Just(u128::MAX), 0..C],
        ) {
            let p = U256::from(P);
            let (sum, difference) = sum_and_difference(a, b);
            prop_assert_eq!(U256::from(canonical(sum)), U256::from(a).add_mod(U256::from(b), p));
            prop_assert_eq!(U256::from(canonical(difference)).add_mod(U256::from(b), p), U256::from(canonical(a)));
        }

        #[test]
        fn any_numbers_below_2_to_the_128_are_multiplied_right(a in any::<u128>(), b in any::<u128>()) {
            let p = U256::from(P);
            let product = U256::from(a).mul_mod(U256::from(b), p);
            prop_assert_eq!(U256::from(canonical(multiply(a, b))), product);
            prop_assert_eq!(U256::from(canonical(square(a))), U256::from(a).mul_mod(U256::from(a), p));
        }

        #[test]
        fn the_root_of_a_cube_is_what_was_cubed(a in element()) {
            prop_assert_eq!(a.cube().cube_root(), a);
            prop_assert_eq!(a.cube_root().cube(), a);
        }
    }

    #[test]
    fn a_cube_root_is_the_power_of_a_third() {
        for value in [0, 1, 2, 5, 8, C, P - 1, 123_456_789_012_345_678_901_234_567_890] {
            let power = U256::from(value).pow_mod(U256::from(THIRD), U256::from(P));
            assert_eq!(wide(Element(value).cube_root()), power, "{value}");
        }
        assert_eq!(Element(8).cube_root(), Element(2));
    }
}
