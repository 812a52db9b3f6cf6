//! [`Element`] as winterfell has fields: it proves and verifies in our arithmetic, which is faster than that of its `f128`.
//!
//! Bytes, roots of unity and the quadratic extension are those of `f128`, so a proof is the same with either.

use std::ops;

use winter_prover::{ByteReader, ByteWriter, Deserializable, DeserializationError, Serializable};
use winter_utils::{AsBytes, Randomizable};
use winterfell::math::{ExtensibleField, FieldElement, StarkField};

use crate::Element;

/// Bytes of an element.
const BYTES: usize = size_of::<Element>();

fn below_the_modulus(value: u128) -> Result<Element, DeserializationError> {
    Element::new(value)
        .ok_or_else(|| DeserializationError::InvalidValue(format!("{value} is not below the field's size")))
}

impl FieldElement for Element {
    type PositiveInteger = u128;
    type BaseField = Self;

    const EXTENSION_DEGREE: usize = 1;
    const ELEMENT_BYTES: usize = BYTES;
    /// Where memory has other bytes than a proof, winterfell serializes what it hashes.
    const IS_CANONICAL: bool = cfg!(target_endian = "little");
    const ZERO: Self = Element::ZERO;
    const ONE: Self = Element::ONE;

    #[inline]
    fn square(self) -> Self {
        Element::square(self)
    }

    #[inline]
    fn cube(self) -> Self {
        Element::cube(self)
    }

    fn inv(self) -> Self {
        self.inverse()
    }

    #[inline]
    fn conjugate(&self) -> Self {
        *self
    }

    fn base_element(&self, index: usize) -> Self {
        assert_eq!(index, 0, "an element is of degree 1");
        *self
    }

    fn slice_as_base_elements(elements: &[Self]) -> &[Self] {
        elements
    }

    fn slice_from_base_elements(elements: &[Self]) -> &[Self] {
        elements
    }

    #[allow(unsafe_code, reason = "the trait lends bytes of elements, which safe code can only copy")]
    fn elements_as_bytes(elements: &[Self]) -> &[u8] {
        // SAFETY: the slice is as long as the memory of the elements. They are transparent numbers without padding, each of
        // whose bytes is one, and bytes may stand anywhere. What is returned borrows from `elements`.
        unsafe { std::slice::from_raw_parts(elements.as_ptr().cast(), size_of_val(elements)) }
    }

    /// Refused, because bytes are not checked this way. Nothing in winterfell reads elements so.
    #[allow(unsafe_code, reason = "the trait declares it unsafe; this is not")]
    unsafe fn bytes_as_elements(_bytes: &[u8]) -> Result<&[Self], DeserializationError> {
        Err(DeserializationError::InvalidValue("elements are only read one by one".to_string()))
    }
}

impl StarkField for Element {
    const MODULUS: u128 = Element::MODULUS;
    const MODULUS_BITS: u32 = 128;
    const GENERATOR: Self = Element::from_u64(3);
    const TWO_ADICITY: u32 = 40;
    /// 3 to the power of (p − 1) / 2⁴⁰.
    const TWO_ADIC_ROOT_OF_UNITY: Self = match Element::new(23_953_097_886_125_630_542_083_529_559_205_016_746) {
        Some(root) => root,
        None => unreachable!(),
    };

    fn get_modulus_le_bytes() -> Vec<u8> {
        Element::MODULUS.to_le_bytes().to_vec()
    }

    #[inline]
    fn as_int(&self) -> u128 {
        self.value()
    }
}

/// a + bφ with φ² = φ + 1.
impl ExtensibleField<2> for Element {
    /// Winterfell interpolates at points of the field itself as if they were of the extension, which takes much of a
    /// verifier's time: of these, half of the product is not needed.
    #[inline(always)]
    fn mul([a0, a1]: [Self; 2], [b0, b1]: [Self; 2]) -> [Self; 2] {
        if a1 == Self::ZERO {
            return [a0 * b0, if b1 == Self::ZERO { b1 } else { a0 * b1 }];
        }
        if b1 == Self::ZERO {
            return [a0 * b0, a1 * b0];
        }
        [Self::sum_of_products([a0, b0], [a1, b1]), Self::sum_of_products([a0, b1], [a1, b0 + b1])]
    }

    #[inline(always)]
    fn square([a0, a1]: [Self; 2]) -> [Self; 2] {
        [Self::sum_of_products([a0, a0], [a1, a1]), (a0 + a0 + a1) * a1]
    }

    #[inline(always)]
    fn mul_base([a0, a1]: [Self; 2], b: Self) -> [Self; 2] {
        [a0 * b, a1 * b]
    }

    /// The other root of φ² = φ + 1 is 1 − φ.
    #[inline(always)]
    fn frobenius([a0, a1]: [Self; 2]) -> [Self; 2] {
        [a0 + a1, -a1]
    }
}

/// None: the quadratic extension has room enough. That it is not supported says [`ExtensibleField::is_supported`], which
/// winterfell asks before it proves or verifies.
impl ExtensibleField<3> for Element {
    fn mul(_: [Self; 3], _: [Self; 3]) -> [Self; 3] {
        unreachable!("there is no cubic extension")
    }

    fn mul_base(_: [Self; 3], _: Self) -> [Self; 3] {
        unreachable!("there is no cubic extension")
    }

    fn frobenius(_: [Self; 3]) -> [Self; 3] {
        unreachable!("there is no cubic extension")
    }

    fn is_supported() -> bool {
        false
    }
}

impl ops::Neg for Element {
    type Output = Self;

    #[inline]
    fn neg(self) -> Self {
        Self::ZERO - self
    }
}

impl ops::Div for Element {
    type Output = Self;

    #[allow(clippy::suspicious_arithmetic_impl, reason = "a quotient is a product with the inverse")]
    fn div(self, other: Self) -> Self {
        self * other.inverse()
    }
}

impl ops::AddAssign for Element {
    #[inline]
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl ops::SubAssign for Element {
    #[inline]
    fn sub_assign(&mut self, other: Self) {
        *self = *self - other;
    }
}

impl ops::MulAssign for Element {
    #[inline]
    fn mul_assign(&mut self, other: Self) {
        *self = *self * other;
    }
}

impl ops::DivAssign for Element {
    fn div_assign(&mut self, other: Self) {
        *self = *self / other;
    }
}

impl From<u8> for Element {
    fn from(value: u8) -> Self {
        Self::from_u64(value.into())
    }
}

impl From<u16> for Element {
    fn from(value: u16) -> Self {
        Self::from_u64(value.into())
    }
}

impl From<u32> for Element {
    fn from(value: u32) -> Self {
        Self::from_u64(value.into())
    }
}

impl From<u64> for Element {
    fn from(value: u64) -> Self {
        Self::from_u64(value)
    }
}

impl TryFrom<u128> for Element {
    type Error = DeserializationError;

    fn try_from(value: u128) -> Result<Self, Self::Error> {
        below_the_modulus(value)
    }
}

/// Little-endian, as winterfell has them.
impl TryFrom<&[u8]> for Element {
    type Error = DeserializationError;

    fn try_from(bytes: &[u8]) -> Result<Self, Self::Error> {
        let wrong_length =
            |_| DeserializationError::InvalidValue(format!("an element has {BYTES} bytes, not {}", bytes.len()));
        below_the_modulus(u128::from_le_bytes(bytes.try_into().map_err(wrong_length)?))
    }
}

impl AsBytes for Element {
    fn as_bytes(&self) -> &[u8] {
        Self::elements_as_bytes(std::slice::from_ref(self))
    }
}

impl Randomizable for Element {
    const VALUE_SIZE: usize = BYTES;

    fn from_random_bytes(bytes: &[u8]) -> Option<Self> {
        Self::try_from(bytes).ok()
    }
}

impl Serializable for Element {
    fn write_into<W: ByteWriter>(&self, target: &mut W) {
        target.write_bytes(&self.value().to_le_bytes());
    }

    fn get_size_hint(&self) -> usize {
        BYTES
    }
}

impl Deserializable for Element {
    fn read_from<R: ByteReader>(source: &mut R) -> Result<Self, DeserializationError> {
        below_the_modulus(source.read_u128()?)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;
    use winter_prover::SliceReader;
    use winterfell::math::fields::{QuadExtension, f128::BaseElement};

    use super::*;

    type Pair = QuadExtension<Element>;
    type TheirPair = QuadExtension<BaseElement>;

    fn theirs(element: Element) -> BaseElement {
        BaseElement::new(element.value())
    }

    fn their_pair(pair: Pair) -> TheirPair {
        let [a, b] = pair.to_base_elements().map(theirs);
        TheirPair::new(a, b)
    }

    fn element() -> impl Strategy<Value = Element> {
        let limits = [0, 1, 2, u128::from(u64::MAX), 1 << 64, Element::MODULUS - 2, Element::MODULUS - 1];
        let any = any::<u128>().prop_map(|value| value % Element::MODULUS);
        prop_oneof![4 => any, 1 => prop::sample::select(limits.to_vec())].prop_map(|value| Element::new(value).unwrap())
    }

    fn pair() -> impl Strategy<Value = Pair> {
        let second = prop_oneof![3 => element(), 1 => Just(Element::ZERO)];
        (element(), second).prop_map(|(a, b)| Pair::new(a, b))
    }

    #[test]
    fn the_constants_are_those_of_winterfell() {
        assert_eq!(<Element as StarkField>::MODULUS, BaseElement::MODULUS);
        assert_eq!(Element::get_modulus_le_bytes(), BaseElement::get_modulus_le_bytes());
        assert_eq!(
            (Element::MODULUS_BITS, Element::TWO_ADICITY, Element::ELEMENT_BYTES, Element::VALUE_SIZE),
            (BaseElement::MODULUS_BITS, BaseElement::TWO_ADICITY, BaseElement::ELEMENT_BYTES, BaseElement::VALUE_SIZE)
        );
        assert_eq!(theirs(Element::GENERATOR), BaseElement::GENERATOR);
        assert_eq!(Element::GENERATOR.exp((Element::MODULUS - 1) >> 40), Element::TWO_ADIC_ROOT_OF_UNITY);
        for order in 1..=Element::TWO_ADICITY {
            assert_eq!(theirs(Element::get_root_of_unity(order)), BaseElement::get_root_of_unity(order));
        }
        assert!(Pair::is_supported() && !<Element as ExtensibleField<3>>::is_supported());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(5000))]

        #[test]
        fn arithmetic_is_that_of_winterfell(a in element(), b in element(), power in any::<u128>()) {
            let (x, y) = (theirs(a), theirs(b));
            prop_assert_eq!(theirs(a + b), x + y);
            prop_assert_eq!(theirs(a - b), x - y);
            prop_assert_eq!(theirs(a * b), x * y);
            prop_assert_eq!(theirs(-a), -x);
            prop_assert_eq!(theirs(a / b), x / y);
            prop_assert_eq!(theirs(a.inv()), x.inv());
            prop_assert_eq!(theirs(FieldElement::square(a)), x.square());
            prop_assert_eq!(theirs(FieldElement::cube(a)), x.cube());
            prop_assert_eq!(theirs(a.exp(power)), x.exp(power));
            let mut c = a;
            c += b;
            c *= a;
            c -= b;
            c /= b;
            prop_assert_eq!(c, ((a + b) * a - b) / b);
        }

        #[test]
        fn the_quadratic_extension_is_that_of_winterfell(a in pair(), b in pair(), c in element()) {
            let (x, y) = (their_pair(a), their_pair(b));
            prop_assert_eq!(their_pair(a * b), x * y);
            prop_assert_eq!(their_pair(a.square()), x.square());
            prop_assert_eq!(their_pair(a / b), x / y);
            prop_assert_eq!(their_pair(a.conjugate()), x.conjugate());
            let by_base = winterfell::math::ExtensionOf::mul_base(a, c);
            prop_assert_eq!(their_pair(by_base), winterfell::math::ExtensionOf::mul_base(x, theirs(c)));
            prop_assert_eq!(a.to_bytes(), x.to_bytes());
            let (ours, others) = ([a, b], [x, y]);
            prop_assert_eq!(Pair::elements_as_bytes(&ours), TheirPair::elements_as_bytes(&others));
        }

        #[test]
        fn bytes_are_those_of_winterfell(elements in prop::collection::vec(element(), 0..5), seed in any::<[u8; 16]>()) {
            let others: Vec<_> = elements.iter().copied().map(theirs).collect();
            prop_assert_eq!(Element::elements_as_bytes(&elements), BaseElement::elements_as_bytes(&others));
            for (element, other) in elements.into_iter().zip(others) {
                let bytes = Serializable::to_bytes(&element);
                prop_assert_eq!(&bytes, &other.to_bytes());
                prop_assert_eq!(element.as_bytes(), other.as_bytes());
                prop_assert_eq!(element.get_size_hint(), other.get_size_hint());
                prop_assert_eq!(Element::read_from(&mut SliceReader::new(&bytes)), Ok(element));
                prop_assert_eq!(Element::try_from(&bytes[..]), Ok(element));
            }
            let random = Element::from_random_bytes(&seed);
            prop_assert_eq!(random.map(theirs), BaseElement::from_random_bytes(&seed));
        }
    }

    #[test]
    fn numbers_from_the_modulus_on_are_not_read() {
        for value in [Element::MODULUS, Element::MODULUS + 1, u128::MAX] {
            let bytes = value.to_le_bytes();
            assert!(Element::read_from(&mut SliceReader::new(&bytes)).is_err());
            assert!(Element::try_from(&bytes[..]).is_err() && Element::try_from(value).is_err());
            assert_eq!(Element::from_random_bytes(&bytes), None);
        }
        let last = Element::MODULUS - 1;
        assert_eq!(Element::try_from(last).map(Element::value), Ok(last));
        assert!(Element::try_from(&last.to_le_bytes()[..15]).is_err());
        assert!(Element::try_from(&[0; 17][..]).is_err());
    }
}
