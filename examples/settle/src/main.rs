//! A service of your own settles with DTN's contracts and without a DTN network: its auditors sign what it owes, its owners
//! agree to pay, and whoever is owed is paid once.
//!
//! docs/start/settle.md explains it. Everything runs on a development chain that ends with the program.

use std::path::Path;

use alloy::{
    primitives::{Address, B256, U256, keccak256, utils::format_ether},
    providers::Provider,
};
use anyhow::{Context, Result, ensure};
use dtn_bindings::{DISTRIBUTOR, REGISTRY, ResultRegistry, RewardDistributor};
use dtn_chain::{
    Account, Call, Chain, Network, SendError,
    connection::{AnvilOptions, start_anvil},
    gas_ledger::GasLedger,
};
use dtn_keys::dev_key;
use dtn_primitives::{
    Batch, Certificate, Domain, Engine, FinalizedResult, Genesis, Header, Payout, SecretKey, U96, ValidatorSet, Vote,
    VoteKind, WorkResult, merkle,
};
use dtn_settlement::{
    deploy::{DeployPlan, deploy, fund, top_up},
    multisig::{Multisig, WalletTransaction},
};

/// Your service: who vouches for what it owes. Three of four have to agree, so that one may be wrong.
struct Service {
    genesis: Genesis,
    domain: Domain,
    auditors: Vec<SecretKey>,
    validators: ValidatorSet,
}

impl Service {
    fn new(chain_id: u64) -> Result<Self> {
        let keys = (1..=4).map(|byte| SecretKey::from_bytes(&[byte; 32])).collect::<Result<Vec<_>, _>>();
        let mut auditors = keys.context("32 bytes are a key")?;
        auditors.sort_by_key(SecretKey::address);
        let genesis = Genesis {
            version: dtn_primitives::VERSION,
            name: "render-farm".into(),
            chain_id,
            timestamp: 1_700_000_000_000,
            max_block_bytes: 1 << 20,
            validators: auditors.iter().map(SecretKey::public_key).collect(),
            requesters: Vec::new(),
            engine: Engine::Pbft,
            kinds: Vec::new(),
            training: None,
        };
        let (domain, validators) = (genesis.domain(), genesis.validator_set()?);
        Ok(Self { genesis, domain, auditors, validators })
    }

    /// What the service owes for a day, as a result that a quorum of auditors has signed. The day takes the place of a
    /// height: each is certified once.
    fn certify(&self, day: u64, owed: &Batch, distributor: Address) -> Result<FinalizedResult> {
        let result = owed.result(keccak256(format!("render-farm, day {day}")), Address::ZERO, distributor);
        let header = Header {
            network_id: self.domain.network_id,
            chain_id: self.domain.chain_id,
            epoch: 0,
            height: day,
            timestamp: 1_700_000_000_000 + day * 86_400_000,
            proposer: self.auditors[0].address(),
            parent_hash: self.domain.network_id,
            transactions_root: B256::ZERO,
            results_root: WorkResult::root(std::slice::from_ref(&result)),
        };
        // In your service each auditor looks at its own books and signs on its own machine.
        let votes = self.auditors.iter().take(self.validators.quorum()).map(|auditor| {
            let index = self.validators.index_of(auditor.address()).context("an auditor of the genesis")?;
            Ok(Vote::sign(VoteKind::Commit, (0, 0, day), header.hash(), index, auditor, &self.domain))
        });
        let certificate = Certificate::from_votes(&votes.collect::<Result<Vec<_>>>()?).context("they agree")?;
        let proof = merkle::proof(&[result.leaf()], 0).context("it is the only one")?;
        Ok(FinalizedResult { header, certificate, result, proof, solution: None })
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    let anvil = start_anvil(Path::new("."), AnvilOptions::default()).await?;
    let chain = Chain::connect(&Network { poll_interval_ms: 10, ..Network::local(anvil.endpoint()) }).await?;
    let folder = tempfile::tempdir()?;
    let account = |key: SecretKey| Account::new(chain.clone(), key, GasLedger::new(folder.path().join("gas.jsonl")));
    let dev = |index| dev_key(index).map(account).context("the chain has ten accounts");
    let (payer, owners) = (dev(0)?, [dev(1)?, dev(2)?, dev(3)?]);

    // Once: the contracts of your service, and the money that they pay from.
    let service = Service::new(chain.chain_id())?;
    let plan = DeployPlan::new(&service.genesis, Some(owners.iter().map(Account::address).collect()), Some(2))?;
    let at = deploy(&payer, &plan, |_| ()).await?.addresses;
    top_up(&payer, at.distributor, U256::from(10).pow(U256::from(18))).await?;
    let wallets: Vec<_> = owners.iter().map(Account::address).collect();
    fund(&payer, &wallets, U256::from(10).pow(U256::from(17))).await?;
    println!("distributor {} holds {} ether", at.distributor, balance(&chain, at.distributor).await?);

    // Every day: what is owed, certified by the auditors and posted by anyone.
    let users: Vec<_> = (0..3).map(|user| Address::from_word(keccak256(format!("user {user}")))).collect();
    let owes =
        |(user, rendered): (&Address, u64)| Payout { account: *user, amount: U96::from(rendered * 10_u64.pow(15)) };
    let owed = Batch { token: Address::ZERO, payouts: users.iter().zip([120, 45, 80]).map(owes).collect() };
    let certified = service.certify(1, &owed, at.distributor)?;
    let post = ResultRegistry::finalizeCall {
        header: (&certified.header).into(),
        view_: certified.certificate.view,
        certificate: certified.certificate.signature_bytes().into(),
    };
    let posted = payer.send(&Call::new(REGISTRY, at.registry, &post)).await?;
    println!("day 1 is certified by {} auditors: {} gas", certified.certificate.signatures.len(), gas(&posted));

    // The owners agree: one proposes, the next confirms and executes.
    let multisig = Multisig::new(chain.clone(), at.multisig);
    let approval = WalletTransaction::payout(at.distributor, std::slice::from_ref(&certified)).context("one result")?;
    let proposed = multisig.propose(&owners[0], &approval).await?;
    let executed = multisig.execute(&owners[1], &approval).await?;
    println!("2 of 3 owners approve: {} gas", gas(&proposed) + gas(&executed));

    // After a delay, in which the owners may still cancel it, anyone may push what is approved, in as many parts as one
    // likes, and nobody can push anything else. This chain has a clock that can be moved on.
    let _: i64 = chain.provider().raw_request("evm_increaseTime".into(), (plan.rewards.delay,)).await?;
    let push = RewardDistributor::pushCall {
        id: certified.result.id,
        token: owed.token,
        payouts: owed.words(),
        count: U256::from(owed.payouts.len()),
    };
    let push = Call::new(DISTRIBUTOR, at.distributor, &push);
    let pushed = payer.send(&push).await?;
    for (user, payout) in users.iter().zip(&owed.payouts) {
        let has = balance(&chain, *user).await?;
        ensure!(has == format_ether(U256::from(payout.amount)), "{user} has {has}");
        println!("{user} is paid {has} ether");
    }
    println!("3 payouts: {} gas", gas(&pushed));

    // A second time, nothing is paid.
    match payer.send(&push).await {
        Err(SendError::WouldRevert { revert, .. }) => println!("again: refused, {revert}"),
        other => anyhow::bail!("paid twice: {other:?}"),
    }
    Ok(())
}

async fn balance(chain: &Chain, of: Address) -> Result<String> {
    Ok(format_ether(chain.provider().get_balance(of).await?))
}

fn gas(record: &dtn_chain::gas_ledger::GasRecord) -> u64 {
    record.gas_used.unwrap_or_default()
}
