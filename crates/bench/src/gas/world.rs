//! The network whose steps are measured: its keys, its contracts and a wallet of five.

use std::{
    num::NonZeroUsize,
    path::{Path, PathBuf},
};

use alloy_primitives::{Address, B256, U256, keccak256};
use dtn_bindings::{REGISTRY, ResultRegistry};
use dtn_chain::{Account, Call, Chain, Network, gas_ledger::GasLedger};
use dtn_keys::dev_key;
use dtn_pow::{Cancel, Puzzle, mine};
use dtn_primitives::{
    Bytes, Certificate, Claim, FinalizedResult, Genesis, Header, Kind, Order, Payload, SecretKey, Solution,
    Transaction, ValidatorSet, Vote, VoteKind, Work, WorkResult, codec, merkle,
};
use dtn_settlement::{
    deploy::{DEPLOYER, DeployPlan, Deployment, deploy, fund, top_up},
    execution::{Execution, SignedExecution},
    multisig::{Multisig, WalletTransaction},
};

use crate::{BenchError, Result};

const ETHER: u64 = 1_000_000_000_000_000_000;

pub(super) struct World {
    pub(super) chain: Chain,
    pub(super) genesis: Genesis,
    /// In ascending order of address.
    pub(super) validators: Vec<SecretKey>,
    /// Five, in ascending order of address, of whom three decide.
    pub(super) owners: Vec<SecretKey>,
    pub(super) deployment: Deployment,
    pub(super) multisig: Multisig,
    /// An account that has money already.
    pub(super) existing: Address,
    folder: PathBuf,
}

fn sorted(mut keys: Vec<SecretKey>) -> Vec<SecretKey> {
    keys.sort_by_key(SecretKey::address);
    keys
}

impl World {
    pub(super) async fn new(endpoint: &str, folder: &Path, validators: u8) -> Result<Self> {
        let chain = Chain::connect(&Network { poll_interval_ms: 10, ..Network::local(endpoint) }).await?;
        let key = |byte: u8| Ok(SecretKey::from_bytes(&[byte; 32])?);
        let validators = sorted((1..=validators).map(key).collect::<Result<_>>()?);
        let owners = (1..=5)
            .map(|index| dev_key(index).ok_or(BenchError::Missing("anvil has ten keys")))
            .collect::<Result<_>>()?;
        let owners = sorted(owners);
        let genesis = Genesis {
            version: dtn_primitives::VERSION,
            name: "gas".into(),
            chain_id: chain.chain_id(),
            timestamp: 1,
            max_block_bytes: 1 << 20,
            validators: validators.iter().map(SecretKey::public_key).collect(),
            requesters: Vec::new(),
            engine: dtn_primitives::Engine::Pbft,
            kinds: Vec::new(),
            training: None,
        };
        let accounts: Vec<_> = owners.iter().map(SecretKey::address).collect();
        let plan = DeployPlan::new(&genesis, Some(accounts), Some(3))?;
        let payer = Account::new(
            chain.clone(),
            dev_key(0).ok_or(BenchError::Missing("anvil has ten keys"))?,
            GasLedger::new(folder.join("gas")),
        );
        let deployment = deploy(&payer, &plan, |_| ()).await?;
        let (at, ether) = (deployment.addresses, U256::from(ETHER));
        top_up(&payer, at.distributor, ether).await?;
        top_up(&payer, at.multisig, ether).await?;
        let accounts: Vec<_> = validators.iter().map(SecretKey::address).collect();
        fund(&payer, &accounts, ether).await?;
        let (multisig, existing) = (Multisig::new(chain.clone(), at.multisig), payer.address());
        Ok(Self { chain, genesis, validators, owners, deployment, multisig, existing, folder: folder.to_path_buf() })
    }

    pub(super) fn account(&self, key: &SecretKey) -> Account {
        Account::new(self.chain.clone(), key.clone(), GasLedger::new(self.folder.join("gas")))
    }

    fn owner(&self, index: usize) -> Account {
        self.account(&self.owners[index])
    }

    /// An account that nobody has used, the same for the same number.
    pub(super) fn fresh(&self, number: u64) -> Address {
        Address::from_word(keccak256(format!("fresh {number}")))
    }

    /// Sends a call from an account that is no part of anything.
    pub(super) async fn send(&self, call: &Call) -> Result<u64> {
        let stranger = self.account(&dev_key(9).ok_or(BenchError::Missing("anvil has ten keys"))?);
        stranger.send(call).await?.gas_used.ok_or(BenchError::Missing("there is no receipt"))
    }

    /// Creates a contract by the deployment proxy. Gives its address and the gas.
    pub(super) async fn create(&self, init_code: &[u8]) -> Result<(Address, u64)> {
        let (salt, address) = (B256::ZERO, DEPLOYER.create2(B256::ZERO, keccak256(init_code)));
        let data = [salt.as_slice(), init_code].concat().into();
        let call = Call { data, to: DEPLOYER, ..Call::transfer("constructor", DEPLOYER, U256::ZERO) };
        let gas = self.send(&call).await?;
        match self.chain.has_code(address).await? {
            true => Ok((address, gas)),
            false => Err(BenchError::NotCreated(address)),
        }
    }

    /// What it costs to deploy a wallet of so many owners.
    pub(super) async fn deploy_wallet(&self, owners: u64) -> Result<u64> {
        let owners = (0..owners).map(|index| self.fresh(10_000 + index)).collect();
        let plan = DeployPlan::new(&self.genesis, Some(owners), Some(3))?;
        let payer = self.account(&dev_key(9).ok_or(BenchError::Missing("anvil has ten keys"))?);
        let deployed = deploy(&payer, &plan, |_| ()).await?;
        let wallet = deployed.contracts.iter().find(|contract| contract.address == deployed.addresses.multisig);
        wallet.and_then(|wallet| wallet.gas_used).ok_or(BenchError::Missing("the wallet was there"))
    }

    /// Proposes, confirms once, and executes with the third confirmation. Gives the gas of each.
    pub(super) async fn settle(&self, transaction: WalletTransaction) -> Result<[u64; 3]> {
        let records = [
            self.multisig.propose(&self.owner(0), &transaction).await?,
            self.multisig.confirm(&self.owner(1), self.multisig.id(&transaction)).await?,
            self.multisig.execute(&self.owner(2), &transaction).await?,
        ];
        Ok(records.map(|record| record.gas_used.unwrap_or(0)))
    }

    /// The same for a transfer.
    pub(super) async fn agree(&self, to: Address, value: U256) -> Result<[u64; 3]> {
        let salt = keccak256(format!("{to} {value}"));
        self.settle(WalletTransaction { to, value, data: Default::default(), expiry: 0, salt }).await
    }

    /// A transfer by so many signatures in one transaction.
    pub(super) async fn sign(&self, to: Address, value: U256, signatures: usize) -> Result<u64> {
        let nonce = self.multisig.nonce().await?;
        let execution = Execution { to, value, data: Default::default(), expiry: 0, nonce };
        let mut signed = SignedExecution::new(self.multisig.address(), self.chain.chain_id(), execution);
        for owner in &self.owners[..signatures] {
            signed.sign(owner);
        }
        let sender = self.account(&dev_key(9).ok_or(BenchError::Missing("anvil has ten keys"))?);
        self.multisig.execute_signed(&sender, &signed).await?.gas_used.ok_or(BenchError::Missing("there is no receipt"))
    }

    /// A block with these results that a quorum of the validators has made final.
    pub(super) fn block(
        &self,
        height: u64,
        results: Vec<(WorkResult, Option<Solution>)>,
    ) -> Result<Vec<FinalizedResult>> {
        let (results, solutions): (Vec<_>, Vec<_>) = results.into_iter().unzip();
        let (domain, set) = (self.genesis.domain(), ValidatorSet::new(0, self.genesis.validators.iter().copied()));
        let header = Header {
            network_id: domain.network_id,
            chain_id: domain.chain_id,
            epoch: 0,
            height,
            timestamp: height,
            proposer: self.validators[0].address(),
            parent_hash: domain.network_id,
            transactions_root: B256::ZERO,
            results_root: WorkResult::root(&results),
        };
        let voters = self.validators.iter().take(set.quorum());
        let vote = |key: &SecretKey| {
            let index = set.index_of(key.address()).ok_or(BenchError::Missing("a validator"))?;
            Ok(Vote::sign(VoteKind::Commit, (0, 0, height), header.hash(), index, key, &domain))
        };
        let votes = voters.map(vote).collect::<Result<Vec<_>>>()?;
        let certificate = Certificate::from_votes(&votes).ok_or(BenchError::Missing("there are votes"))?;
        let leaves: Vec<_> = results.iter().map(WorkResult::leaf).collect();
        let finalized = |(index, (result, solution))| {
            let proof = merkle::proof(&leaves, index).ok_or(BenchError::Missing("it is in the tree"))?;
            let (header, certificate) = (header.clone(), certificate.clone());
            Ok(FinalizedResult { header, certificate, result, proof, solution })
        };
        results.into_iter().zip(solutions).enumerate().map(finalized).collect()
    }

    /// The result of a race for an account's reward of one wei, whose work was done.
    pub(super) fn race(&self, number: u64, payee: Address) -> Result<(WorkResult, Option<Solution>)> {
        let (domain, requester, worker) = (self.genesis.domain(), self.fresh(8), self.fresh(9));
        let (expected_hashes, amount) = (1_000_000, U256::from(1));
        let order = Order {
            nonce: number,
            dataset: "MNIST".into(),
            model: "multilayer perceptron".into(),
            metric: "accuracy >= 0.97".into(),
            reward: amount,
            work: Some(Work { expected_hashes }),
        };
        let order = Bytes::from(codec::encode(&Payload::Order(order)));
        let (id, race) = (Transaction::hash_of(requester, order.clone(), &domain), keccak256("race"));
        let puzzle = Puzzle::new(domain.network_id, race, id, worker, expected_hashes)?;
        // One thread finds the same nonce every time, so that the figures are the same.
        let found = mine(&puzzle, 0..=u64::MAX, NonZeroUsize::MIN, &Cancel::new()).solution;
        let found = found.ok_or(BenchError::Missing("there are enough nonces"))?;
        let claim = Claim {
            order: id,
            race,
            payee,
            nonce: found.nonce,
            hash: found.hash,
            started_at_us: 1_700_000_000_000_000,
            ended_at_us: 1_700_000_000_500_000,
            duration_us: 499_998,
        };
        let claim = Bytes::from(codec::encode(&Payload::Claim(claim)));
        let digest = Transaction::hash_of(worker, claim.clone(), &domain);
        let result = WorkResult { kind: Kind::RACE, id, worker, payee, amount, digest };
        Ok((result, Some(Solution { requester, order, claim })))
    }

    /// Posts a block to the registry.
    pub(super) async fn finalize(&self, block: &[FinalizedResult]) -> Result<u64> {
        let FinalizedResult { header, certificate, .. } =
            block.first().ok_or(BenchError::Missing("the block has no results"))?;
        let call = ResultRegistry::finalizeCall {
            header: header.into(),
            view_: certificate.view,
            certificate: certificate.signature_bytes().into(),
        };
        self.send(&Call::new(REGISTRY, self.deployment.addresses.registry, &call)).await
    }

    /// Pays the results of a block.
    pub(super) async fn pay(&self, block: &[FinalizedResult]) -> Result<[u64; 3]> {
        let transaction = WalletTransaction::payout(self.deployment.addresses.distributor, block);
        self.settle(transaction.ok_or(BenchError::Missing("the block has no results"))?).await
    }
}
