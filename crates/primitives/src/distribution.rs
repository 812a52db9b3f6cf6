//! Distributions: what accounts have earned since the beginning, in one Merkle root, and the money that its claims may
//! take.

use alloy_primitives::{Address, B256, U256, keccak256};
use alloy_sol_types::SolValue;
use serde::{Deserialize, Serialize};

use crate::{Kind, WorkResult, merkle, quantity};

mod abi {
    alloy_sol_types::sol! {
        struct Allotment { address token; uint128 amount; }
        struct Distribution { address distributor; uint32 number; bytes32 root; Allotment[] allotments; }
    }
}

/// Money of one token that distributions make available.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Allotment {
    /// The token; zero for the native currency.
    pub token: Address,
    /// What has been made available since the beginning, this distribution's part included, in the token's unit. In JSON it
    /// is text, as all amounts are: many readers of JSON have no numbers of this size.
    #[serde(with = "quantity")]
    pub amount: u128,
}

/// What accounts have earned up to some point. Validators certify its hash, and the distributor contract pays by it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Distribution {
    /// The contract that pays.
    pub distributor: Address,
    /// From 1 on, and greater than that of the one before.
    pub number: u32,
    /// The root of [`Earnings`].
    pub root: B256,
    /// What claims of all roots up to this one may take, in strictly ascending order of token.
    pub allotments: Vec<Allotment>,
}

/// Why a distribution is unusable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DistributionError {
    /// The registry takes a number only if it is greater than the last one, which is 0 before the first.
    #[error("distributions are numbered from 1")]
    NumberZero,
    /// A token that came twice would have its cap twice.
    #[error("the allotment of {0} is not in strictly ascending order of token")]
    TokensNotAscending(Address),
    /// What an account has earned of a token is stated twice.
    #[error("the earnings of {account} in {token} are stated twice")]
    DuplicateEarning {
        /// Whose.
        account: Address,
        /// Of which token.
        token: Address,
    },
}

impl Distribution {
    /// Checks what the contracts check of the distribution alone.
    pub fn validate(&self) -> Result<(), DistributionError> {
        if self.number == 0 {
            return Err(DistributionError::NumberZero);
        }
        let descent = self.allotments.windows(2).find(|pair| pair[0].token >= pair[1].token);
        descent.map_or(Ok(()), |pair| Err(DistributionError::TokensNotAscending(pair[1].token)))
    }

    /// `keccak256(abi.encode(distribution))`.
    pub fn hash(&self) -> B256 {
        let allotments = self.allotments.iter().map(|&Allotment { token, amount }| abi::Allotment { token, amount });
        let distribution = abi::Distribution {
            distributor: self.distributor,
            number: self.number,
            root: self.root,
            allotments: allotments.collect(),
        };
        keccak256(distribution.abi_encode())
    }
}

/// What an account has earned of a token since the beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Earning {
    /// Who has earned it.
    pub account: Address,
    /// The token; zero for the native currency.
    pub token: Address,
    /// All of it, claimed or not, in the token's unit.
    pub cumulative: U256,
}

impl Earning {
    /// The leaf of this earning in the tree of a distribution.
    pub fn leaf(&self) -> B256 {
        merkle::leaf(&(self.account, self.token, self.cumulative).abi_encode())
    }
}

/// What the ledger states of earnings: the form in which a result of kind [`Kind::EARNINGS`] carries it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Statement {
    /// From 1 on, without a gap.
    pub number: u32,
    /// What the ledger's money is; zero for the native currency.
    pub token: Address,
    /// What all accounts have earned since the beginning, in the token's unit.
    #[serde(with = "quantity")]
    pub total: u128,
    /// The root of their [`Earnings`].
    pub root: B256,
}

impl Statement {
    /// The id of its result: eight zero bytes, the number, the token.
    pub fn id(number: u32, token: Address) -> B256 {
        let mut id = B256::ZERO;
        id[8..12].copy_from_slice(&number.to_be_bytes());
        id[12..].copy_from_slice(token.as_slice());
        id
    }

    /// As a result.
    pub fn result(&self) -> WorkResult {
        let Self { number, token, total, root } = *self;
        let (worker, payee) = (Address::ZERO, Address::ZERO);
        let (kind, id, amount) = (Kind::EARNINGS, Self::id(number, token), U256::from(total));
        WorkResult { kind, id, worker, payee, amount, digest: root }
    }

    /// What a result states, if it is of this kind.
    pub fn of(result: &WorkResult) -> Option<Self> {
        let (front, number) = (&result.id[..8], u32::from_be_bytes(result.id[8..12].try_into().ok()?));
        let total = u128::try_from(result.amount).ok()?;
        let is_one = result.kind == Kind::EARNINGS && front == [0; 8];
        is_one.then(|| Self { number, token: Address::from_slice(&result.id[12..]), total, root: result.digest })
    }
}

/// All earnings that a distribution states, in their one order (by account, then by token), and their tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Earnings {
    earnings: Vec<Earning>,
    tree: merkle::Tree,
}

impl Earnings {
    /// Puts earnings in order. The same earnings have the same root, whatever order they come in.
    pub fn new(earnings: impl IntoIterator<Item = Earning>) -> Result<Self, DistributionError> {
        let mut earnings: Vec<_> = earnings.into_iter().collect();
        earnings.sort_unstable();
        let twice =
            earnings.windows(2).find(|pair| (pair[0].account, pair[0].token) == (pair[1].account, pair[1].token));
        if let Some(&[Earning { account, token, .. }, _]) = twice {
            return Err(DistributionError::DuplicateEarning { account, token });
        }
        let tree = merkle::Tree::new(earnings.iter().map(Earning::leaf).collect());
        Ok(Self { earnings, tree })
    }

    /// The root that the distribution states; zero if nobody has earned anything.
    pub fn root(&self) -> B256 {
        self.tree.root()
    }

    /// All earnings in their order.
    pub fn as_slice(&self) -> &[Earning] {
        &self.earnings
    }

    /// What an account has earned of a token, and the siblings from its leaf up to the root, as a claim takes both.
    /// `None` if nothing is stated.
    pub fn claim(&self, account: Address, token: Address) -> Option<(Earning, Vec<B256>)> {
        let by_place = |earning: &Earning| (earning.account, earning.token);
        let index = self.earnings.binary_search_by_key(&(account, token), by_place).ok()?;
        Some((self.earnings[index], self.tree.proof(index)?))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn earning(account: u8, token: u8, cumulative: u64) -> Earning {
        let (account, token) = (Address::repeat_byte(account), Address::repeat_byte(token));
        Earning { account, token, cumulative: U256::from(cumulative) }
    }

    #[test]
    fn what_is_stated_twice_is_refused_even_if_both_agree() {
        for other in [5, 6] {
            let twice = [earning(1, 2, 5), earning(1, 1, 5), earning(1, 2, other)];
            let (account, token) = (Address::repeat_byte(1), Address::repeat_byte(2));
            assert_eq!(Earnings::new(twice), Err(DistributionError::DuplicateEarning { account, token }));
        }
    }

    #[test]
    fn earnings_of_nobody_have_the_root_zero() {
        let nothing = Earnings::new([]).expect("nothing is there twice");
        assert_eq!((nothing.root(), nothing.claim(Address::ZERO, Address::ZERO)), (B256::ZERO, None));
    }

    #[test]
    fn a_distribution_has_a_number_and_each_token_once_in_ascending_order() {
        let distribution = |number, tokens: &[u8]| {
            let allotments = tokens.iter().map(|token| Allotment { token: Address::repeat_byte(*token), amount: 1 });
            Distribution { distributor: Address::ZERO, number, root: B256::ZERO, allotments: allotments.collect() }
                .validate()
        };
        for tokens in [&[][..], &[0], &[0, 1, 2]] {
            assert_eq!(distribution(1, tokens), Ok(()));
        }
        assert_eq!(distribution(0, &[]), Err(DistributionError::NumberZero));
        for tokens in [[0, 2, 2], [0, 2, 1]] {
            let token = Address::repeat_byte(tokens[2]);
            assert_eq!(distribution(1, &tokens), Err(DistributionError::TokensNotAscending(token)));
        }
    }

    proptest! {
        #[test]
        fn every_earning_has_its_claim_whatever_order_they_come_in(
            stated in prop::collection::btree_map((0u8..6, 0u8..6), any::<u64>(), 1..30), seed in any::<u64>(),
        ) {
            let ordered: Vec<_> = stated.iter().map(|((account, token), sum)| earning(*account, *token, *sum)).collect();
            let mut shuffled = ordered.clone();
            shuffled.sort_by_key(|earning| keccak256([&earning.leaf()[..], &seed.to_be_bytes()].concat()));
            let earnings = Earnings::new(shuffled).expect("no duplicates");
            prop_assert_eq!(earnings.as_slice(), &ordered[..]);
            let leaves: Vec<_> = ordered.iter().map(Earning::leaf).collect();
            prop_assert_eq!(earnings.root(), merkle::root(&leaves));
            for earning in ordered {
                let (stated, proof) = earnings.claim(earning.account, earning.token).expect("it is stated");
                prop_assert_eq!(stated, earning);
                prop_assert!(merkle::verify(earnings.root(), earning.leaf(), &proof));
                let more = Earning { cumulative: earning.cumulative + U256::from(1), ..earning };
                prop_assert!(!merkle::verify(earnings.root(), more.leaf(), &proof));
            }
            prop_assert_eq!(earnings.claim(Address::repeat_byte(7), Address::ZERO), None);
        }
    }
}
