//! Secrets that are values of a polynomial (Shamir, CACM 22, 1979), and what everybody may know of one.

use dtn_primitives::{B256, BlsPublicKey, BlsSecretKey, GROUP_ORDER, U256, ValidatorIndex, keccak256};

/// A polynomial that somebody has chosen. Whoever knows it knows every share. Never printed.
pub(super) struct Polynomial(Vec<U256>);

/// Each coefficient as a key (Feldman, FOCS '87): it shows of every value whether it is one of the polynomial, and hides them
/// all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Commitments(Vec<BlsPublicKey>);

/// The place at which a replica's share is the value: 0 is that of the secret.
pub(super) fn place(replica: ValidatorIndex) -> U256 {
    U256::from(replica.0) + U256::ONE
}

/// A number below the order of the groups, none likelier than another: it is of 512 bits.
pub(super) fn number(seed: &[u8]) -> U256 {
    let [high, low] = [0, 1].map(|half: u8| U256::from_be_bytes(keccak256([seed, &[half]].concat()).0));
    let [high, low] = [high, low].map(|half| half.reduce_mod(GROUP_ORDER));
    let shift = U256::MAX.reduce_mod(GROUP_ORDER).add_mod(U256::ONE, GROUP_ORDER);
    high.mul_mod(shift, GROUP_ORDER).add_mod(low, GROUP_ORDER)
}

/// The powers of a number, from the 0th.
fn powers(x: U256, count: usize) -> impl Iterator<Item = U256> {
    std::iter::successors(Some(U256::ONE), move |power| Some(power.mul_mod(x, GROUP_ORDER))).take(count)
}

/// What each of these counts in the value at 0 of the polynomial through them (Lagrange).
pub(super) fn weights(xs: &[U256]) -> Option<Vec<U256>> {
    let weight = |own: &U256| {
        let (mut over, mut under) = (U256::ONE, U256::ONE);
        for x in xs.iter().filter(|x| *x != own) {
            over = over.mul_mod(*x, GROUP_ORDER);
            under = under.mul_mod(x.add_mod(GROUP_ORDER - *own, GROUP_ORDER), GROUP_ORDER);
        }
        Some(over.mul_mod(under.inv_mod(GROUP_ORDER)?, GROUP_ORDER))
    };
    xs.iter().map(weight).collect()
}

impl Polynomial {
    /// The one with so many coefficients that 32 random bytes determine.
    pub(super) fn new(seed: B256, terms: usize) -> Self {
        Self((0..terms as u64).map(|degree| number(&[&seed[..], &degree.to_be_bytes()].concat())).collect())
    }

    /// Its value.
    pub(super) fn at(&self, x: U256) -> U256 {
        let horner = |sum: U256, coefficient: &U256| sum.mul_mod(x, GROUP_ORDER).add_mod(*coefficient, GROUP_ORDER);
        self.0.iter().rev().fold(U256::ZERO, horner)
    }

    /// None where a coefficient is zero, which is as likely as to guess it.
    pub(super) fn commitments(&self) -> Option<Commitments> {
        let key = |coefficient: &U256| Some(BlsSecretKey::from_scalar(*coefficient)?.public_key());
        self.0.iter().map(key).collect::<Option<_>>().map(Commitments)
    }
}

impl Commitments {
    /// Of these keys, which are points of the group and no infinity.
    pub(super) fn new(keys: Vec<BlsPublicKey>) -> Self {
        Self(keys)
    }

    /// One for each coefficient.
    pub(super) fn keys(&self) -> &[BlsPublicKey] {
        &self.0
    }

    /// The key whose secret is the value there. None for the value zero, which is nobody's key.
    pub(super) fn at(&self, x: U256) -> Option<BlsPublicKey> {
        let terms: Vec<_> = self.0.iter().copied().zip(powers(x, self.0.len())).collect();
        BlsPublicKey::weighted_sum(&terms)
    }

    /// Those of the sum of polynomials with as many coefficients. None for none, and where they cancel each other out.
    pub(super) fn sum(all: &[&Self]) -> Option<Self> {
        let degrees = 0..all.first()?.0.len();
        let coefficient = |degree: usize| {
            let terms: Option<Vec<_>> = all.iter().map(|one| Some((*one.0.get(degree)?, U256::ONE))).collect();
            BlsPublicKey::weighted_sum(&terms?)
        };
        degrees.map(coefficient).collect::<Option<_>>().map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commitments_show_every_value_and_add_up() {
        let (one, other) = (Polynomial::new(B256::repeat_byte(1), 3), Polynomial::new(B256::repeat_byte(2), 3));
        let (of_one, of_other) = (one.commitments().expect("keys"), other.commitments().expect("keys"));
        let sum = Commitments::sum(&[&of_one, &of_other]).expect("keys");
        let key = |value| BlsSecretKey::from_scalar(value).map(|secret| secret.public_key());
        for x in [U256::ZERO, U256::ONE, U256::from(255), GROUP_ORDER - U256::ONE] {
            assert_eq!(of_one.at(x), key(one.at(x)));
            assert_eq!(sum.at(x), key(one.at(x).add_mod(other.at(x), GROUP_ORDER)));
            assert_ne!(of_one.at(x), of_other.at(x));
        }
        assert_eq!(Commitments::sum(&[]), None);
        let negative = Polynomial(one.0.iter().map(|coefficient| GROUP_ORDER - coefficient).collect());
        assert_eq!(Commitments::sum(&[&of_one, &negative.commitments().expect("keys")]), None);
    }

    #[test]
    fn as_many_values_as_coefficients_are_the_polynomial() {
        let polynomial = Polynomial::new(B256::repeat_byte(3), 4);
        let xs = [2u64, 3, 5, 7].map(U256::from);
        let value = |xs: &[U256]| {
            let terms = xs.iter().zip(weights(xs).expect("distinct"));
            terms.fold(U256::ZERO, |sum, (x, weight)| {
                sum.add_mod(weight.mul_mod(polynomial.at(*x), GROUP_ORDER), GROUP_ORDER)
            })
        };
        assert_eq!(value(&xs), polynomial.at(U256::ZERO));
        assert_ne!(value(&xs[..3]), polynomial.at(U256::ZERO));
    }
}
