//! The multisig wallet: proposals, their ids, and where they stand.

use std::fmt;

use alloy::{
    consensus::Transaction as _,
    primitives::{Address, B256, Bytes, U256},
    providers::Provider,
    sol_types::{SolCall, SolEvent},
};
use dtn_bindings::{MULTISIG, MultiSigWallet, RewardDistributor};
use dtn_chain::{
    connection::{Chain, ReadError, retrying},
    gas_ledger::GasRecord,
    sender::{Account, Call, SendError},
};
use dtn_primitives::FinalizedResult;
use serde::{Deserialize, Serialize};

use crate::execution::{Execution, Preview, SignedExecution};

mod typed {
    alloy::sol! {
        struct Transaction { address to; uint256 value; bytes data; uint64 expiry; bytes32 salt; }
    }
}

/// The call that owners decide about.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct WalletTransaction {
    /// The account to call.
    pub to: Address,
    /// Wei to send.
    pub value: U256,
    /// Calldata.
    pub data: Bytes,
    /// The last second at which it can be confirmed or executed, in Unix time; 0 for no end.
    pub expiry: u64,
    /// Tells apart proposals of the same call.
    pub salt: B256,
}

impl WalletTransaction {
    /// The transaction that pays results of one block. Every owner derives the same one from its own ledger. `None` if
    /// there is no result.
    pub fn payout(distributor: Address, results: &[FinalizedResult]) -> Option<Self> {
        let first = results.first()?;
        let header = (&first.header).into();
        let data = match results {
            [one] => RewardDistributor::payCall {
                header,
                result: (&one.result).into(),
                proof: one.proof.clone(),
                solution: (&one.solution).into(),
            }
            .abi_encode(),
            many => RewardDistributor::payManyCall {
                header,
                results: many.iter().map(|one| (&one.result).into()).collect(),
                proofs: many.iter().map(|one| one.proof.clone()).collect(),
                solutions: many.iter().map(|one| (&one.solution).into()).collect(),
            }
            .abi_encode(),
        };
        // A result is paid once, so its id tells apart whatever is proposed for it.
        Some(Self { to: distributor, value: U256::ZERO, data: data.into(), expiry: 0, salt: first.result.id })
    }

    /// What its proposal is known by in a wallet, with its parts.
    pub fn preview(&self, wallet: Address, chain_id: u64) -> Preview {
        let Self { to, value, data, expiry, salt } = self.clone();
        Preview::of(wallet, chain_id, &typed::Transaction { to, value, data, expiry, salt })
    }

    /// Its id in a wallet: the EIP-712 hash that the contract computes too.
    pub fn id(&self, wallet: Address, chain_id: u64) -> B256 {
        self.preview(wallet, chain_id).digest
    }
}

/// Where a proposal stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ProposalStatus {
    /// Nobody has proposed it.
    None,
    /// It can be confirmed and executed, unless it has expired.
    Pending,
    /// Its call has been made.
    Executed,
    /// It is off the table and may be proposed anew.
    Cancelled,
}

impl ProposalStatus {
    fn from_contract(status: u8) -> Result<Self, MultisigError> {
        match status {
            0 => Ok(Self::None),
            1 => Ok(Self::Pending),
            2 => Ok(Self::Executed),
            3 => Ok(Self::Cancelled),
            other => Err(MultisigError::UnknownStatus(other)),
        }
    }
}

impl fmt::Display for ProposalStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "not proposed",
            Self::Pending => "pending",
            Self::Executed => "executed",
            Self::Cancelled => "cancelled",
        })
    }
}

/// A proposal as the contract sees it, with who has and who has not confirmed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProposalState {
    /// The proposal.
    pub id: B256,
    /// Where it stands.
    pub status: ProposalStatus,
    /// Its end in Unix seconds, or 0.
    pub expiry: u64,
    /// Who proposed it; zero if nobody did.
    pub proposer: Address,
    /// The owners who confirm it.
    pub confirmed: Vec<Address>,
    /// The owners who do not.
    pub missing: Vec<Address>,
    /// Confirmations that it needs.
    pub threshold: usize,
}

/// Why the wallet could not be read or used.
#[derive(Debug, thiserror::Error)]
pub enum MultisigError {
    /// A transaction.
    #[error(transparent)]
    Send(#[from] SendError),
    /// A read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The node.
    #[error("the node: {0}")]
    Rpc(#[from] alloy::transports::TransportError),
    /// The contract is not what it should be.
    #[error("the multisig answers with the unknown status {0}")]
    UnknownStatus(u8),
    /// The contract computes another id, so it is not the contract or not the version that it should be.
    #[error("the multisig at {wallet} computes the id {theirs} where {ours} is right: it is another contract")]
    IdMismatch {
        /// The contract.
        wallet: Address,
        /// The id computed here.
        ours: B256,
        /// The id computed there.
        theirs: B256,
    },
}

/// A deployed multisig wallet, for reading.
#[derive(Debug, Clone)]
pub struct Multisig {
    chain: Chain,
    address: Address,
}

impl Multisig {
    /// The wallet at an address.
    pub fn new(chain: Chain, address: Address) -> Self {
        Self { chain, address }
    }

    /// Its address.
    pub fn address(&self) -> Address {
        self.address
    }

    /// The id of a transaction in this wallet, computed here.
    pub fn id(&self, transaction: &WalletTransaction) -> B256 {
        transaction.id(self.address, self.chain.chain_id())
    }

    /// The same with the hashes that it consists of.
    pub fn preview(&self, transaction: &WalletTransaction) -> Preview {
        transaction.preview(self.address, self.chain.chain_id())
    }

    async fn read<C: SolCall>(&self, call: &C) -> Result<C::Return, ReadError> {
        self.chain.read(self.address, call).await
    }

    /// The current owners, in the order in which they were added.
    pub async fn owners(&self) -> Result<Vec<Address>, MultisigError> {
        Ok(self.read(&MultiSigWallet::ownersCall {}).await?)
    }

    /// The confirmations that a proposal needs.
    pub async fn threshold(&self) -> Result<usize, MultisigError> {
        Ok(self.read(&MultiSigWallet::thresholdCall {}).await?.saturating_to())
    }

    /// A proposal's status, and the current owners who confirm it.
    pub async fn status(&self, id: B256) -> Result<(ProposalStatus, Vec<Address>), MultisigError> {
        let state = self.read(&MultiSigWallet::getTransactionCall { id }).await?;
        Ok((ProposalStatus::from_contract(state.status)?, state.confirmations))
    }

    /// How many calls it has made by signatures, which is the nonce of the next one.
    pub async fn nonce(&self) -> Result<U256, MultisigError> {
        Ok(self.read(&MultiSigWallet::nonceCall {}).await?)
    }

    /// All that there is to know about a proposal.
    pub async fn state(&self, id: B256) -> Result<ProposalState, MultisigError> {
        let transaction = MultiSigWallet::getTransactionCall { id };
        let (state, owners, threshold) =
            futures::try_join!(async { Ok(self.read(&transaction).await?) }, self.owners(), self.threshold())?;
        Ok(ProposalState {
            id,
            status: ProposalStatus::from_contract(state.status)?,
            expiry: state.expiry,
            proposer: state.proposer,
            missing: owners.into_iter().filter(|owner| !state.confirmations.contains(owner)).collect(),
            confirmed: state.confirmations,
            threshold,
        })
    }

    /// The ids that were proposed, each with its call, from a block on: all, or that of one id. The events name the ids;
    /// the calls are in the transactions that proposed them, so they are known unless another contract was in between.
    pub async fn proposals(
        &self,
        id: Option<B256>,
        from_block: u64,
    ) -> Result<Vec<(B256, Option<WalletTransaction>)>, MultisigError> {
        let provider = self.chain.provider();
        let mut proposals: Vec<(B256, Option<WalletTransaction>)> = Vec::new();
        for log in self.chain.logs_since::<MultiSigWallet::Proposed>(self.address, from_block, id).await? {
            let (Ok(event), Some(tx)) = (MultiSigWallet::Proposed::decode_log(&log.inner), log.transaction_hash) else {
                continue;
            };
            // An id may be proposed again after it was cancelled.
            if proposals.iter().any(|(known, _)| *known == event.id) {
                continue;
            }
            let sent = retrying(|| provider.get_transaction_by_hash(tx)).await?;
            let call = sent.and_then(|sent| MultiSigWallet::proposeTransactionCall::abi_decode(sent.input()).ok());
            let transaction = call.map(|call| WalletTransaction {
                to: call.to,
                value: call.value,
                data: call.data,
                expiry: call.expiry,
                salt: call.salt,
            });
            proposals.push((event.id, transaction.filter(|transaction| self.id(transaction) == event.id)));
        }
        Ok(proposals)
    }

    /// Fails if the contract computes another id for a transaction than this program.
    pub async fn check_id(&self, transaction: &WalletTransaction) -> Result<B256, MultisigError> {
        let WalletTransaction { to, value, data, expiry, salt } = transaction.clone();
        let theirs = self.read(&MultiSigWallet::hashTransactionCall { to, value, data, expiry, salt }).await?;
        let ours = self.id(transaction);
        if ours == theirs { Ok(ours) } else { Err(MultisigError::IdMismatch { wallet: self.address, ours, theirs }) }
    }

    fn call<C: SolCall>(&self, call: &C) -> Call {
        Call::new(MULTISIG, self.address, call)
    }

    /// Proposes a transaction, and thereby confirms it.
    pub async fn propose(&self, owner: &Account, proposal: &WalletTransaction) -> Result<GasRecord, SendError> {
        let WalletTransaction { to, value, data, expiry, salt } = proposal.clone();
        owner.send(&self.call(&MultiSigWallet::proposeTransactionCall { to, value, data, expiry, salt })).await
    }

    /// Confirms a proposal.
    pub async fn confirm(&self, owner: &Account, id: B256) -> Result<GasRecord, SendError> {
        owner.send(&self.call(&MultiSigWallet::confirmTransactionCall { id })).await
    }

    /// Takes a confirmation back.
    pub async fn revoke(&self, owner: &Account, id: B256) -> Result<GasRecord, SendError> {
        owner.send(&self.call(&MultiSigWallet::revokeConfirmationCall { id })).await
    }

    /// Takes a proposal off the table.
    pub async fn cancel(&self, owner: &Account, id: B256) -> Result<GasRecord, SendError> {
        owner.send(&self.call(&MultiSigWallet::cancelTransactionCall { id })).await
    }

    /// Makes the call of a proposal that enough owners confirm.
    pub async fn execute(&self, owner: &Account, proposal: &WalletTransaction) -> Result<GasRecord, SendError> {
        let WalletTransaction { to, value, data, expiry, salt } = proposal.clone();
        owner.send(&self.call(&MultiSigWallet::executeTransactionCall { to, value, data, expiry, salt })).await
    }

    /// Makes a call that enough owners have signed.
    pub async fn execute_signed(&self, sender: &Account, signed: &SignedExecution) -> Result<GasRecord, SendError> {
        let Execution { to, value, data, expiry, .. } = signed.execution.clone();
        let signatures = signed.packed();
        let call = MultiSigWallet::executeSignedTransactionCall { to, value, data, expiry, signatures };
        sender.send(&self.call(&call)).await
    }
}
