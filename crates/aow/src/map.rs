//! The map of the published prototype, x ↦ xᵈ + α over any prime field of up to 256 bits.

use alloy_primitives::U256;
use sha2::{Digest, Sha256};

/// Rounds of the primality test: a composite passes all with a probability below 4⁻⁴⁰.
const ROUNDS: u64 = 40;

/// Why there is no such map.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MapError {
    /// Modulo a number that is not prime there is no field, and values run into few.
    #[error("{0} is not a prime: there is no field of that size")]
    NotPrime(U256),
    /// Numbers modulo 2 and 3 show nothing.
    #[error("a field of {0} elements is too small")]
    TooSmall(U256),
    /// A power of 0 or 1 is no work.
    #[error("the exponent {0} makes no work: give 2 or more")]
    Exponent(u64),
    /// The constant is not an element.
    #[error("α is {alpha}, which is not below the field's size, {modulus}")]
    Alpha {
        /// What was given.
        alpha: U256,
        /// The size of the field.
        modulus: U256,
    },
    /// The start is not an element.
    #[error("{value} is not below the field's size, {modulus}")]
    NotAnElement {
        /// What was given.
        value: U256,
        /// The size of the field.
        modulus: U256,
    },
}

/// x ↦ xᵈ + α modulo a prime.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Map {
    modulus: U256,
    exponent: u64,
    alpha: U256,
}

impl Map {
    /// Checks that it is a map over a field: the modulus a prime (by 40 rounds of Miller and Rabin), the constant below it.
    pub fn new(modulus: U256, exponent: u64, alpha: U256) -> Result<Self, MapError> {
        if modulus < U256::from(5) {
            return Err(MapError::TooSmall(modulus));
        }
        if !is_prime(modulus) {
            return Err(MapError::NotPrime(modulus));
        }
        if exponent < 2 {
            return Err(MapError::Exponent(exponent));
        }
        if alpha >= modulus {
            return Err(MapError::Alpha { alpha, modulus });
        }
        Ok(Self { modulus, exponent, alpha })
    }

    /// The size of the field.
    pub fn modulus(&self) -> U256 {
        self.modulus
    }

    /// One step.
    pub fn step(&self, x: U256) -> U256 {
        let power = if self.exponent == 2 {
            x.mul_mod(x, self.modulus)
        } else {
            x.pow_mod(U256::from(self.exponent), self.modulus)
        };
        power.add_mod(self.alpha, self.modulus)
    }

    /// So many steps from an element.
    pub fn iterate(&self, start: U256, steps: u64) -> Result<U256, MapError> {
        self.element(start)?;
        Ok((0..steps).fold(start, |x, _| self.step(x)))
    }

    /// All that so many steps pass, the start included.
    pub fn trace(&self, start: U256, steps: usize) -> Result<Vec<U256>, MapError> {
        self.element(start)?;
        let next = |x: &U256| Some(self.step(*x));
        Ok(std::iter::successors(Some(start), next).take(steps.saturating_add(1)).collect())
    }

    fn element(&self, value: U256) -> Result<(), MapError> {
        let modulus = self.modulus;
        if value < modulus { Ok(()) } else { Err(MapError::NotAnElement { value, modulus }) }
    }
}

/// SHA-256 of bytes, modulo the size of a field, as the prototype has it.
pub fn hash_to_field(bytes: &[u8], modulus: U256) -> U256 {
    U256::from_be_bytes(Sha256::digest(bytes).into()).reduce_mod(modulus)
}

/// Miller and Rabin's test, with bases that follow from the number.
fn is_prime(number: U256) -> bool {
    let one = U256::from(1);
    for small in [2u64, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37] {
        if number.reduce_mod(U256::from(small)).is_zero() {
            return number == U256::from(small);
        }
    }
    let below = number - one;
    let twos = below.trailing_zeros();
    let odd = below >> twos;
    (0..ROUNDS).all(|round| {
        let seed = [&number.to_be_bytes::<32>()[..], &round.to_be_bytes()].concat();
        let base = hash_to_field(&seed, number - U256::from(3)) + U256::from(2);
        let mut power = base.pow_mod(odd, number);
        if power == one || power == below {
            return true;
        }
        (1..twos).any(|_| {
            power = power.mul_mod(power, number);
            power == below
        })
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn number(decimal: &str) -> U256 {
        decimal.parse().unwrap()
    }

    /// The scalar field of BN254.
    fn bn254() -> U256 {
        number("21888242871839275222246405745257275088548364400416034343698204186575808495617")
    }

    #[test]
    fn the_vectors_of_the_prototype_come_out() {
        let small = Map::new(U256::from(1_000_003), 2, U256::from(5)).unwrap();
        for (steps, result) in [(10, 982_599), (20, 588_373), (1000, 270_750)] {
            assert_eq!(small.iterate(U256::from(123), steps), Ok(U256::from(result)));
        }
        let large = Map::new(bn254(), 2, U256::from(5)).unwrap();
        let result = "11072894953478855921248958610713581104372573605493853420027873387838841689773";
        assert_eq!(large.iterate(U256::from(123_456), 100), Ok(number(result)));
        let hash = "18149469767584732552991861025120904666601524803017597654373315627649680264678";
        assert_eq!(hash_to_field(b"hello world", bn254()), number(hash));
        let trace = small.trace(U256::from(123), 10).unwrap();
        assert_eq!((trace.len(), trace[0], trace[10]), (11, U256::from(123), U256::from(982_599)));
    }

    #[test]
    fn what_is_no_field_is_refused_with_the_reason() {
        let map = |modulus, exponent, alpha| Map::new(modulus, exponent, U256::from(alpha as u64));
        // The prototype's 2^256 does not even fit; one below is no prime either, nor is a Carmichael number.
        assert_eq!(map(U256::MAX, 2, 5), Err(MapError::NotPrime(U256::MAX)));
        assert_eq!(map(U256::from(561), 2, 5), Err(MapError::NotPrime(U256::from(561))));
        let square = U256::from(1_000_003).pow(U256::from(2));
        assert_eq!(map(square, 2, 5), Err(MapError::NotPrime(square)));
        assert_eq!(map(U256::from(3), 2, 1), Err(MapError::TooSmall(U256::from(3))));
        assert_eq!(map(U256::ZERO, 2, 1), Err(MapError::TooSmall(U256::ZERO)));
        assert_eq!(map(bn254(), 1, 5), Err(MapError::Exponent(1)));
        assert!(matches!(map(U256::from(7), 2, 7), Err(MapError::Alpha { .. })));
        let seven = map(U256::from(7), 2, 5).unwrap();
        assert!(matches!(seven.iterate(U256::from(7), 1), Err(MapError::NotAnElement { .. })));
    }

    #[test]
    fn primes_are_told_from_the_rest() {
        let sieve = |number: u64| {
            number > 1 && (2..number).take_while(|by| by * by <= number).all(|by| !number.is_multiple_of(by))
        };
        for number in 0..5000u64 {
            let known = Map::new(U256::from(number), 2, U256::ZERO).is_ok();
            assert_eq!(known, number >= 5 && sieve(number), "{number}");
        }
        // 2^61 − 1 and 2^127 − 1 are primes; 2^67 − 1 = 193707721 · 761838257287 is not.
        for (power, prime) in [(61, true), (67, false), (127, true)] {
            assert_eq!(is_prime((U256::from(1) << power) - U256::from(1)), prime, "2^{power} - 1");
        }
        assert!(is_prime(U256::from(crate::Element::MODULUS)));
    }
}
