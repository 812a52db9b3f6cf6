//! Batches: many payouts of one token that are one result, which the owners approve at once.

use alloy_primitives::{Address, B256, U256, aliases::U96};
use alloy_sol_types::SolStruct;
use serde::{Deserialize, Serialize};

use crate::{Kind, WorkResult};

mod typed {
    alloy_sol_types::sol! {
        struct Batch { address token; bytes32[] payouts; }
    }
}

/// Money for one account of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Payout {
    /// Who is paid. The contract passes over nobody (zero) and whoever the registry bars.
    pub account: Address,
    /// How much, in the token's unit.
    pub amount: U96,
}

impl Payout {
    /// As a batch has it: the account in 20 bytes, the amount in 12.
    pub fn word(&self) -> B256 {
        let mut word = self.account.into_word();
        word.rotate_left(12);
        word[20..].copy_from_slice(&self.amount.to_be_bytes::<12>());
        word
    }

    /// What a word of a batch says. Every word says something.
    pub fn from_word(word: B256) -> Self {
        let (account, amount) = word.split_at(20);
        Self { account: Address::from_slice(account), amount: U96::from_be_slice(amount) }
    }
}

/// Payouts of one token that are made together.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Batch {
    /// What all are paid in; zero for the native currency.
    pub token: Address,
    /// In the order in which they are made. An account may be there more than once.
    pub payouts: Vec<Payout>,
}

impl Batch {
    /// The payouts as `RewardDistributor.push` takes them.
    pub fn words(&self) -> Vec<B256> {
        self.payouts.iter().map(Payout::word).collect()
    }

    /// `hashStruct` (EIP-712) of `Batch(address token,bytes32[] payouts)`.
    pub fn hash(&self) -> B256 {
        typed::Batch { token: self.token, payouts: self.words() }.eip712_hash_struct()
    }

    /// The sum of the payouts in the token's unit. So many amounts of 96 bits that it overflowed fit no memory.
    pub fn total(&self) -> U256 {
        self.payouts.iter().map(|payout| U256::from(payout.amount)).sum()
    }

    /// The result that stands for the batch: to pay it is to approve the payouts.
    ///
    /// `id` is paid for at most once; `worker` is who is to answer for the whole batch, or zero.
    pub fn result(&self, id: B256, worker: Address, distributor: Address) -> WorkResult {
        WorkResult { kind: Kind::BATCH, id, worker, payee: distributor, amount: self.total(), digest: self.hash() }
    }
}

#[cfg(test)]
mod tests {
    use alloy_primitives::keccak256;
    use alloy_sol_types::SolValue;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_batch_has_the_hash_that_the_format_spells_out() {
        let payout = |account, amount| Payout { account: Address::repeat_byte(account), amount };
        let batch =
            Batch { token: Address::repeat_byte(9), payouts: vec![payout(1, U96::from(1)), payout(2, U96::MAX)] };
        let words = [[1; 20].as_slice(), &[0; 11], &[1], &[2; 20], &[0xff; 12]].concat();
        let encoded = (keccak256("Batch(address token,bytes32[] payouts)"), Address::repeat_byte(9), keccak256(&words))
            .abi_encode();
        assert_eq!(batch.hash(), keccak256(encoded));
        assert_eq!(batch.words().concat(), words);
        assert_eq!(batch.total(), U256::from(1) << 96);
        let result = batch.result(B256::repeat_byte(7), Address::ZERO, Address::repeat_byte(8));
        assert_eq!((result.payee, result.amount), (Address::repeat_byte(8), batch.total()));
        assert_eq!(result.digest, batch.hash());
    }

    proptest! {
        #[test]
        fn every_word_is_a_payout_and_every_payout_a_word(word in any::<[u8; 32]>()) {
            let payout = Payout::from_word(word.into());
            prop_assert_eq!(payout.word(), B256::from(word));
            prop_assert_eq!(payout.account.as_slice(), &word[..20]);
        }
    }
}
