//! What people have the registry and the distributor do when something is wrong or changes hands: what only a wallet of
//! owners can, and what anybody may, each by its own call.

use alloy::{
    primitives::{Address, B256, Bytes, U256},
    sol_types::SolCall,
};
use dtn_bindings::{ContractAddresses, DISTRIBUTOR, REGISTRY, ResultRegistry, RewardDistributor};
use dtn_chain::{
    connection::{Chain, ReadError},
    sender::Call,
};

use crate::{
    action::{Action, Deed},
    multisig::WalletTransaction,
};

/// What only a wallet of owners can have the contracts do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OwnersCall {
    /// What validators certify is not taken, for a while.
    Pause,
    /// What validators have resolved, or may, is not done.
    Veto(B256),
    /// A block is not final any more, which the validators have resolved.
    Retract {
        /// Its height.
        height: u64,
    },
    /// Another wallet is the guardian.
    SetGuardian(Address),
    /// Other validators are named for a lock that is stolen or lost.
    ProposeRecovery {
        /// The epoch of those who sign.
        epoch: u64,
        /// The next validators, in strictly ascending order.
        next: Vec<Address>,
        /// The signatures of more than a third of them, or nothing.
        certificate: Bytes,
    },
    /// A recovery is off the table.
    CancelRecovery,
    /// A requester has another allowance.
    SetAllowance {
        /// Whose.
        requester: Address,
        /// What it is when nothing of it is used, in wei.
        cap: u128,
    },
    /// The scheduled distribution is off the table.
    Cancel,
    /// The statement of the ledger's earnings that waits is off the table for good.
    CancelEarned,
    /// What has not been pushed of a batch never will be.
    CancelBatch(B256),
    /// No block above a height is paid any more.
    Close {
        /// The last height that is paid.
        height: u64,
    },
    /// Another wallet is to take this one's place.
    HandOver(Address),
    /// No other wallet is.
    CancelHandOver,
    /// The wallet that is to take over does.
    TakeOver,
    /// What is free of a token goes to the next distributor.
    MoveOn {
        /// The closed distributor, if it is another than the one that is in use.
        closed: Option<Address>,
        /// The token; zero for the native currency.
        token: Address,
        /// The next distributor.
        successor: Address,
    },
    /// Claims of a token that has shrunk may take so much less.
    WriteOff {
        /// The token.
        token: Address,
    },
    /// What nobody has claimed of a token goes to the wallet.
    Sweep {
        /// The token; zero for the native currency.
        token: Address,
    },
}

impl OwnersCall {
    /// Whether the registry takes it, from its guardian; else it is the distributor's.
    fn is_guardians(&self) -> bool {
        use OwnersCall as Of;
        matches!(
            self,
            Of::Pause
                | Of::Veto(_)
                | Of::Retract { .. }
                | Of::SetGuardian(_)
                | Of::ProposeRecovery { .. }
                | Of::CancelRecovery
        )
    }

    /// The wallet that has to make it. They are one until they change hands.
    pub async fn wallet(&self, chain: &Chain, contracts: &ContractAddresses) -> Result<Address, ReadError> {
        match self {
            Self::MoveOn { closed: Some(closed), .. } => chain.read(*closed, &RewardDistributor::multisigCall {}).await,
            Self::TakeOver => chain.read(contracts.distributor, &RewardDistributor::heirCall {}).await,
            guardians if guardians.is_guardians() => {
                chain.read(contracts.registry, &ResultRegistry::guardianCall {}).await
            }
            _ => chain.read(contracts.distributor, &RewardDistributor::multisigCall {}).await,
        }
    }

    /// What the wallet's owners decide about.
    pub fn transaction(&self, contracts: &ContractAddresses, salt: B256) -> WalletTransaction {
        let to = match self {
            Self::MoveOn { closed: Some(closed), .. } => *closed,
            guardians if guardians.is_guardians() => contracts.registry,
            _ => contracts.distributor,
        };
        WalletTransaction { to, value: U256::ZERO, data: self.data().into(), expiry: 0, salt }
    }

    fn data(&self) -> Vec<u8> {
        use ResultRegistry as Registry;
        use RewardDistributor as Distributor;
        match self.clone() {
            Self::Pause => Registry::pauseCall {}.abi_encode(),
            Self::Veto(action) => Registry::vetoCall { action }.abi_encode(),
            Self::Retract { height } => Registry::retractCall { height }.abi_encode(),
            Self::SetGuardian(next) => Registry::setGuardianCall { next }.abi_encode(),
            Self::ProposeRecovery { epoch, next, certificate } => {
                Registry::proposeRecoveryCall { epoch_: epoch, next, certificate }.abi_encode()
            }
            Self::CancelRecovery => Registry::cancelRecoveryCall {}.abi_encode(),
            Self::SetAllowance { requester, cap } => Distributor::setAllowanceCall { requester, cap }.abi_encode(),
            Self::Cancel => Distributor::cancelCall {}.abi_encode(),
            Self::CancelEarned => Distributor::cancelEarnedCall {}.abi_encode(),
            Self::CancelBatch(id) => Distributor::cancelBatchCall { id }.abi_encode(),
            Self::Close { height } => Distributor::closeCall { height }.abi_encode(),
            Self::HandOver(next) => Distributor::handOverCall { next }.abi_encode(),
            Self::CancelHandOver => Distributor::cancelHandOverCall {}.abi_encode(),
            Self::TakeOver => Distributor::takeOverCall {}.abi_encode(),
            Self::MoveOn { token, successor, .. } => Distributor::moveOnCall { token, successor }.abi_encode(),
            Self::WriteOff { token } => Distributor::writeOffCall { token }.abi_encode(),
            Self::Sweep { token } => Distributor::sweepCall { token }.abi_encode(),
        }
    }
}

/// What anybody may have the contracts do, or each account for itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OpenCall {
    /// The stakes of all validators are there, and certificates are taken.
    Open,
    /// What the validators have resolved is said in words, so that people can look at it: the delay counts from then on.
    Announce(Action),
    /// Another wallet is the guardian, which was announced long ago.
    ReplaceGuardian(Address),
    /// The validators of a recovery take over.
    Recover(Vec<Address>),
    /// The sender asks for its stake.
    Unstake,
    /// The sender's stake goes to an account.
    Reclaim(Address),
    /// What evidence has brought the sender goes to an account.
    Collect(Address),
    /// What owners agree to waits, which the validators have resolved.
    PauseOwners,
    /// Another wallet is to take the place of one that is lost, which the validators have resolved.
    HandOverLost(Address),
    /// Another account may claim and withdraw for the sender; zero for none.
    SetClaimer(Address),
    /// An account's credit goes to another one.
    WithdrawFor {
        /// Whose credit.
        account: Address,
        /// Of which token.
        token: Address,
        /// To whom.
        to: Address,
    },
}

impl OpenCall {
    /// The call.
    pub fn call(&self, contracts: &ContractAddresses) -> Call {
        let registry = contracts.registry;
        let distributor = contracts.distributor;
        match self.clone() {
            Self::Open => Call::new(REGISTRY, registry, &ResultRegistry::openCall {}),
            Self::Announce(Action { deed: Deed::ReplaceGuardian, value, .. }) => {
                let next = Address::from_word(value.into());
                Call::new(REGISTRY, registry, &ResultRegistry::announceGuardianCall { next })
            }
            Self::Announce(Action { deed, target, value }) => {
                let what = deed.name().into();
                Call::new(REGISTRY, registry, &ResultRegistry::announceCall { what, target, value })
            }
            Self::ReplaceGuardian(next) => Call::new(REGISTRY, registry, &ResultRegistry::replaceGuardianCall { next }),
            Self::Recover(next) => Call::new(REGISTRY, registry, &ResultRegistry::recoverCall { next }),
            Self::Unstake => Call::new(REGISTRY, registry, &ResultRegistry::unstakeCall {}),
            Self::Reclaim(to) => Call::new(REGISTRY, registry, &ResultRegistry::reclaimCall { to }),
            Self::Collect(to) => Call::new(REGISTRY, registry, &ResultRegistry::collectCall { to }),
            Self::PauseOwners => Call::new(DISTRIBUTOR, distributor, &RewardDistributor::pauseOwnersCall {}),
            Self::HandOverLost(next) => {
                Call::new(DISTRIBUTOR, distributor, &RewardDistributor::handOverLostCall { next })
            }
            Self::SetClaimer(claimer) => {
                Call::new(DISTRIBUTOR, distributor, &RewardDistributor::setClaimerCall { claimer })
            }
            Self::WithdrawFor { account, token, to } => {
                let call = RewardDistributor::withdrawForCall { account, token, to };
                Call::new(DISTRIBUTOR, distributor, &call)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_guardian_says_goes_to_the_registry_and_all_else_to_the_distributor_that_it_is_about() {
        let [registry, aow, multisig, distributor, vault, closed] = [1, 2, 3, 4, 6, 5].map(Address::repeat_byte);
        let contracts = ContractAddresses { registry, aow, multisig, distributor, vault };
        let to = |call: OwnersCall| call.transaction(&contracts, B256::ZERO).to;
        for call in [OwnersCall::Pause, OwnersCall::Veto(B256::ZERO), OwnersCall::CancelRecovery] {
            assert_eq!(to(call), registry);
        }
        let move_on = |closed| OwnersCall::MoveOn { closed, token: Address::ZERO, successor: distributor };
        for call in [OwnersCall::Close { height: 1 }, OwnersCall::TakeOver, move_on(None)] {
            assert_eq!(to(call), distributor);
        }
        assert_eq!(to(move_on(Some(closed))), closed);
        assert_eq!(OpenCall::Open.call(&contracts).to, registry);
        assert_eq!(OpenCall::PauseOwners.call(&contracts).to, distributor);
    }
}
