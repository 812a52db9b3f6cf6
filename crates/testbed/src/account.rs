//! What came of a network's work and of the money for it, as its blocks, its chain and everybody's gas ledgers tell.

use std::collections::{BTreeMap, HashMap};

use alloy::{primitives::I256, providers::Provider, transports::TransportError};
use dtn_bindings::ContractAddresses;
use dtn_chain::{
    Chain,
    connection::ReadError,
    gas_ledger::{GasLedger, GasLedgerError, GasRecord, ReconcileError, TransactionStatus},
};
use dtn_client::{Blocks, ClientError, Part, Race, RaceError, Races};
use dtn_peer::ConfigError;
use dtn_primitives::{Address, B256, U256};
use dtn_report::{
    Agreement, CertificateEntry, ClaimEntry, GasEntry, Payout, RoundEntry, RunReport, Settlement, SlashEntry, WorkEntry,
};
use dtn_settlement::{
    aow::Aow,
    payouts::{self, PayoutsError, payouts},
};

use crate::{Home, TestbedError, blocks};

/// Why what happened cannot be gathered.
#[derive(Debug, thiserror::Error)]
pub enum AccountError {
    /// The network's folder.
    #[error("{0}")]
    Testbed(#[from] TestbedError),
    /// A peer's configuration.
    #[error("{0}")]
    Config(#[from] ConfigError),
    /// The blocks.
    #[error("{0}")]
    Blocks(#[from] ClientError),
    /// A race in them.
    #[error("{0}")]
    Race(#[from] RaceError),
    /// What the contracts answer.
    #[error("{0}")]
    Read(#[from] ReadError),
    /// What the chain's node answers.
    #[error("{0}")]
    Rpc(#[from] TransportError),
    /// The payouts.
    #[error("{0}")]
    Payouts(#[from] PayoutsError),
    /// A gas ledger.
    #[error("{0}")]
    Gas(#[from] GasLedgerError),
    /// The receipts that it lacks.
    #[error("{0}")]
    Receipts(#[from] ReconcileError),
}

/// What became final since the network began, as far as it was read.
#[derive(Debug)]
pub struct Finals {
    blocks: Blocks,
    open: Races,
    /// Those that are over.
    pub races: Vec<Race>,
    /// Of every block.
    certificates: Vec<CertificateEntry>,
}

impl Finals {
    /// Nothing is read yet of what the peers serve.
    pub async fn of(home: &Home) -> Result<Self, AccountError> {
        let (blocks, open) = (blocks(home, None).await?, Races::default());
        Ok(Self { blocks, open, races: Vec::new(), certificates: Vec::new() })
    }

    fn height(&self) -> u64 {
        self.certificates.len() as u64
    }

    /// Reads every block that became final in the meantime.
    pub async fn read_on(&mut self) -> Result<(), AccountError> {
        while let Some(block) = self.blocks.at(self.height() + 1).await? {
            let signers = block.certificate.signatures.iter();
            let signers = signers.filter_map(|(index, _)| self.blocks.validators().get(*index));
            self.certificates.push(CertificateEntry {
                height: block.certificate.height,
                block: block.hash,
                transactions: block.transaction_hashes.len(),
                latency_us: block.latency_us,
                signers: signers.map(|validator| validator.address).collect(),
            });
            self.races.extend(self.open.next(block)?);
        }
        Ok(())
    }
}

/// What the payees of all peers hold.
pub async fn payee_balances(home: &Home, chain: &Chain) -> Result<BTreeMap<Address, U256>, AccountError> {
    let mut balances = BTreeMap::new();
    for peer in home.peers()? {
        let payee = peer.config(&[])?.payee;
        balances.insert(payee, chain.provider().get_balance(payee).await?);
    }
    Ok(balances)
}

/// Gathers what happened from the peers' blocks, the chain's events, and the gas ledgers of the peers and of whoever else
/// paid. The orders' subjects are theirs by transaction.
pub async fn report(
    finals: &Finals,
    home: &Home,
    chain: &Chain,
    contracts: ContractAddresses,
    own_gas: &GasLedger,
    subjects: &HashMap<B256, String>,
    rounds: Vec<RoundEntry>,
) -> Result<RunReport, AccountError> {
    let mut work = Vec::new();
    for race in &finals.races {
        let Part { worker, claim, .. } = race.winner()?;
        work.push(WorkEntry {
            transaction: race.transaction,
            subject: subjects.get(&race.transaction).cloned().unwrap_or_default(),
            winner: *worker,
            nonce: claim.nonce,
            hash: claim.hash,
            duration_us: claim.duration_us,
        });
    }
    let (nodes, quorum) = (finals.blocks.validators().len(), finals.blocks.validators().quorum());
    let height = finals.height();
    let agreement = Agreement { nodes, quorum, height, certificates: finals.certificates.clone() };
    let paid = payouts(chain, contracts.distributor, 0).await?;
    let payouts = paid.into_iter().map(|payout| Payout {
        result: payout.id,
        payee: payout.payee,
        amount_wei: payout.amount,
        balance_delta_wei: own_delta(&payout),
        tx: payout.tx,
    });
    let settlement = Settlement {
        chain_id: chain.chain_id(),
        registry: contracts.registry,
        multisig: contracts.multisig,
        distributor: contracts.distributor,
        payouts: payouts.collect(),
    };
    let mut gas = Vec::new();
    let ledgers = home.peers()?.into_iter().map(|peer| GasLedger::new(peer.gas_ledger()));
    for ledger in std::iter::once(own_gas.clone()).chain(ledgers) {
        // A peer that was killed may have left receipts out.
        ledger.reconcile(chain).await?;
        let records = ledger.read()?.records.into_iter();
        gas.extend(records.filter(|record| record.status != TransactionStatus::Dropped).filter_map(|record| {
            let GasRecord { contract, function, tx, gas_used, block, .. } = record;
            let entry = GasEntry { contract, function, gas_used: gas_used?, tx };
            Some((block, entry))
        }));
    }
    gas.sort_by_key(|(block, _)| *block);
    let gas = gas.into_iter().map(|(_, entry)| entry).collect();
    let claims = claims(chain, contracts.aow).await?;
    let (training, earned) = (Vec::new(), Vec::new());
    Ok(RunReport { work, rounds, training, earned, agreement, settlement, claims, gas })
}

/// The claims of sequential work on chain, and what became of them.
async fn claims(chain: &Chain, address: Address) -> Result<Vec<ClaimEntry>, AccountError> {
    let aow = Aow::new(chain.clone(), address);
    let head = chain.provider().get_block_number().await?;
    let bond = aow.terms().await?.bond;
    let slashed = aow.slashed(0..=head).await?;
    let posted = aow.posted(0..=head).await?.into_iter().map(|claim| {
        let slashed = slashed.iter().find(|slashing| slashing.id == claim.id).map(|slashing| SlashEntry {
            challenger: slashing.challenger,
            segment: slashing.segment,
            reward_wei: slashing.reward,
            forfeited_wei: slashing.forfeited,
        });
        ClaimEntry { round: claim.round, node: claim.node, bond_wei: bond, slashed, tx: claim.tx }
    });
    Ok(posted.collect())
}

/// What a payout did to the payee's balance. Others to the same payee may share its block.
fn own_delta(payout: &payouts::Payout) -> U256 {
    let others = I256::try_from(payout.rewards_in_block.saturating_sub(payout.amount)).unwrap_or(I256::MAX);
    U256::try_from(payout.balance_delta().saturating_sub(others)).unwrap_or(U256::ZERO)
}
