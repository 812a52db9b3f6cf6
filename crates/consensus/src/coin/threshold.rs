//! A coin that everybody has in common.

use std::{collections::BTreeMap, sync::Arc};

use dtn_primitives::{B256, BlsPublicKey, BlsSecretKey, BlsSignature, U256, ValidatorIndex, keccak256};

use super::{
    Coin,
    polynomial::{Commitments, Polynomial, place, weights},
};
use crate::Party;

/// A coin in common (Cachin, Kursawe & Shoup, "Random Oracles in Constantinople", J. Cryptology 18, 2005): a bit of the hash
/// of the one signature (Boldyreva, PKC 2003) that n − f replicas together make of the round. Fewer know nothing of it,
/// and since it is unique, nobody has a choice.
///
/// Shares are put together before they are looked at, which is enough where nobody lies; if what comes of it is not the
/// signature, each share is verified, and who sent a false one is named.
#[derive(Debug, Clone)]
pub struct Threshold {
    party: Party,
    secret: BlsSecretKey,
    dealt: Arc<Dealt>,
    verifies: bool,
}

/// What everybody knows of a secret that was dealt.
#[derive(Debug, PartialEq, Eq)]
pub struct Dealt {
    /// What signatures are verified against.
    group: BlsPublicKey,
    /// What each share is.
    shares: Vec<BlsPublicKey>,
    /// How many shares are a signature.
    threshold: usize,
}

impl Dealt {
    /// What n replicas have in common of a polynomial. None where somebody's share is zero, which is no key.
    pub(super) fn of(commitments: &Commitments, n: usize) -> Option<Self> {
        let share = |replica| commitments.at(place(ValidatorIndex(replica)));
        let shares = (0..u16::try_from(n).ok()?).map(share).collect::<Option<_>>()?;
        Some(Self { group: commitments.at(U256::ZERO)?, shares, threshold: commitments.keys().len() })
    }

    /// What the signatures of so many together are verified against.
    pub fn group(&self) -> &BlsPublicKey {
        &self.group
    }

    /// How many shares are a signature.
    pub fn threshold(&self) -> usize {
        self.threshold
    }

    /// Whether a secret is the share of this replica.
    pub fn is_share(&self, of: ValidatorIndex, secret: &BlsSecretKey) -> bool {
        self.shares.get(of.as_usize()) == Some(&secret.public_key())
    }
}

/// Deals a secret, which 32 random bytes determine, to n replicas, any `threshold` of which together sign with it: values at
/// 1 to n of a polynomial of one degree less (Shamir, CACM 22, 1979). Whoever deals knows the secret, so this is for simulations:
/// a [`Ceremony`](super::Ceremony) has no such dealer. `None` if there is no threshold from 1 to n.
pub fn deal(seed: B256, n: usize, threshold: usize) -> Option<(Arc<Dealt>, Vec<BlsSecretKey>)> {
    if threshold == 0 || threshold > n {
        return None;
    }
    let polynomial = Polynomial::new(seed, threshold);
    let secret = |replica| BlsSecretKey::from_scalar(polynomial.at(place(ValidatorIndex(replica))));
    let secrets: Vec<_> = (0..u16::try_from(n).ok()?).map(secret).collect::<Option<_>>()?;
    let group = BlsSecretKey::from_scalar(polynomial.at(U256::ZERO))?.public_key();
    let shares = secrets.iter().map(BlsSecretKey::public_key).collect();
    Some((Arc::new(Dealt { group, shares, threshold }), secrets))
}

impl Threshold {
    /// The coin of this replica, with its share of what was dealt.
    pub fn new(party: Party, dealt: Arc<Dealt>, secret: BlsSecretKey) -> Self {
        Self { party, secret, dealt, verifies: true }
    }

    /// The same that believes whatever comes of the shares: who leaves out this rule can be told any coin.
    #[must_use]
    pub fn without_verification(self) -> Self {
        Self { verifies: false, ..self }
    }

    fn digest(&self, round: u64) -> B256 {
        self.party.digest("coin/1", &round)
    }

    fn is_genuine(&self, round: u64, by: ValidatorIndex, share: &BlsSignature) -> bool {
        self.dealt.shares.get(by.as_usize()).is_some_and(|key| share.verify(self.digest(round), key).is_ok())
    }
}

impl Coin for Threshold {
    type Share = BlsSignature;

    fn share(&self, round: u64) -> Option<BlsSignature> {
        Some(self.secret.sign(self.digest(round)))
    }

    fn combine(
        &self,
        round: u64,
        shares: &BTreeMap<ValidatorIndex, BlsSignature>,
    ) -> Result<Option<bool>, Vec<ValidatorIndex>> {
        if shares.len() < self.dealt.threshold {
            return Ok(None);
        }
        let chosen: Vec<_> = shares.iter().take(self.dealt.threshold).collect();
        let xs: Vec<_> = chosen.iter().map(|(by, _)| place(**by)).collect();
        let terms =
            weights(&xs).map(|weights| chosen.iter().map(|(_, share)| **share).zip(weights).collect::<Vec<_>>());
        let signature = terms.and_then(|terms| BlsSignature::weighted_sum(&terms));
        let right = |it: &BlsSignature| !self.verifies || it.verify(self.digest(round), &self.dealt.group).is_ok();
        match signature.filter(right) {
            Some(signature) => Ok(Some(keccak256(signature.to_bytes())[31] & 1 == 1)),
            None => {
                Err(shares.iter().filter(|(by, it)| !self.is_genuine(round, **by, it)).map(|(by, _)| *by).collect())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::party::tests::parties;

    fn coins(n: u8, threshold: usize) -> Vec<Threshold> {
        let (dealt, secrets) = deal(B256::repeat_byte(n), n.into(), threshold).expect("a threshold");
        let coin = |(party, secret)| Threshold::new(party, dealt.clone(), secret);
        parties(n).into_iter().zip(secrets).map(coin).collect()
    }

    fn shares(coins: &[Threshold], who: &[u16], round: u64) -> BTreeMap<ValidatorIndex, BlsSignature> {
        let share = |who: &u16| Some((ValidatorIndex(*who), coins[usize::from(*who)].share(round)?));
        who.iter().filter_map(share).collect()
    }

    #[test]
    fn any_shares_that_are_enough_give_everyone_the_same_coin_and_fewer_give_none() {
        for (n, threshold) in [(1, 1), (4, 3), (7, 5)] {
            let coins = coins(n, threshold);
            let mut heads = 0;
            for round in 0..40 {
                let all: Vec<_> = (0..u16::from(n)).collect();
                let first = coins[0].combine(round, &shares(&coins, &all, round));
                for from in 0..=usize::from(n) - threshold {
                    let some = shares(&coins, &all[from..from + threshold], round);
                    assert_eq!(coins[0].combine(round, &some), first, "n = {n}, round {round}");
                    let fewer = shares(&coins, &all[from + 1..from + threshold], round);
                    assert_eq!(coins[0].combine(round, &fewer), Ok(None));
                }
                heads += usize::from(first == Ok(Some(true)));
            }
            assert!((8..=32).contains(&heads), "{heads} of 40");
        }
        assert!(deal(B256::ZERO, 3, 0).is_none() && deal(B256::ZERO, 3, 4).is_none());
    }

    #[test]
    fn who_sends_a_false_share_is_named_and_without_it_the_coin_is_the_same() {
        let coins = coins(4, 3);
        let mut given = shares(&coins, &[0, 1, 2, 3], 5);
        let coin = coins[0].combine(5, &given);
        // A share of another round, in another's place, and one's own twice.
        for false_share in [coins[1].share(6), coins[2].share(5)].into_iter().flatten() {
            given.insert(ValidatorIndex(1), false_share);
            assert_eq!(coins[0].combine(5, &given), Err(vec![ValidatorIndex(1)]));
            let believing = coins[0].clone().without_verification();
            assert!(believing.combine(5, &given).is_ok_and(|coin| coin.is_some()));
        }
        given.remove(&ValidatorIndex(1));
        assert_eq!(coins[0].combine(5, &given), coin);
    }
}
