//! What each step costs on an anvil of its own, by receipts, beside another wallet.

mod safe;
mod world;

use std::path::Path;

use alloy::providers::Provider;
use alloy_primitives::{Address, B256, U256, keccak256};
use dtn_bindings::{DISTRIBUTOR, RewardDistributor};
use dtn_chain::{
    connection::{AnvilOptions, start_anvil},
    preflight::{self, Hardfork},
    sender::Call,
};
use dtn_keys::bls::bls_key;
use dtn_primitives::{Allotment, Batch, Bytes, Distribution, Earning, Earnings, Kind, Payout, Round, U96, WorkResult};
use dtn_report::{Progress, Table, Tell, left, right, units};
use dtn_settlement::{
    bls_keys::BlsKeys,
    message::{CertificateKind, Content, SignedMessage},
    rewards::Distributor,
};
use serde::Serialize;

use crate::{BenchError, Result};
use world::World;

/// One figure.
#[derive(Debug, Serialize)]
pub struct Row {
    /// The step.
    pub what: String,
    /// What it took.
    pub gas: u64,
    /// What it should cost at most.
    pub goal: Option<u64>,
    /// What Safe takes for the same, measured in this run.
    pub safe: Option<u64>,
}

/// What each step costs.
#[derive(Debug, Serialize)]
pub struct Report {
    /// By the rules of which fork.
    pub hardfork: Hardfork,
    /// The steps.
    pub rows: Vec<Row>,
    /// Whether Safe was measured too.
    #[serde(skip)]
    pub has_safe: bool,
}

#[derive(Debug, Default)]
struct Rows(Vec<Row>);

impl Rows {
    fn add(&mut self, what: impl Into<String>, gas: u64, goal: impl Into<Option<u64>>) {
        self.0.push(Row { what: what.into(), gas, goal: goal.into(), safe: None });
    }

    fn beside(&mut self, what: &str, safe: u64) {
        if let Some(row) = self.0.iter_mut().find(|row| row.what == what) {
            row.safe = Some(safe);
        }
    }
}

/// Measures every step on a development chain that ends with it, 3 of 5 owners and 4 validators unless the step says
/// otherwise; beside Safe where `safe` has the npm package with its contracts.
pub async fn measure(safe: &Path, tell: Tell<'_>) -> Result<Report> {
    tell(Progress::Stage { what: "gas", parts: 6 });
    let step = |what: &'static str| {
        tell(Progress::Part);
        tell(Progress::About(what));
    };
    let anvil = start_anvil(Path::new("."), AnvilOptions::default()).await?;
    // For a gas ledger that nobody keeps.
    let folder = tempfile::tempdir().map_err(BenchError::NoFolder)?;
    let world = World::new(&anvil.endpoint(), folder.path(), 4).await?;
    let mut rows = Rows::default();

    step("deploying");
    deployments(&world, &mut rows).await?;
    step("the wallet");
    wallet(&world, &mut rows).await?;
    step("certificates");
    certificates(&world, &mut rows).await?;
    step("payouts");
    payouts(&world, &mut rows).await?;
    step("61 of 90 validators");
    aggregates(&anvil.endpoint(), folder.path(), &mut rows).await?;
    step("Safe");
    let has_safe = safe.is_dir();
    if has_safe {
        safe::measure(&world, safe, &mut rows).await?;
    }
    tell(Progress::Over);
    Ok(Report { hardfork: preflight::hardfork(&world.chain).await?, rows: rows.0, has_safe })
}

impl Report {
    /// As people read it.
    pub fn table(&self) -> Table {
        let heads = [left("step"), right("gas"), right("goal"), left(""), right("Safe 1.5")];
        let mut table = Table::new(format!("Gas by receipts, {} rules", self.hardfork), heads);
        for Row { what, gas, goal, safe } in &self.rows {
            let verdict = match goal {
                Some(goal) if gas > goal => "missed",
                Some(_) => "kept",
                None => "",
            };
            let shown = |figure: &Option<u64>| figure.map_or(units::NONE.to_string(), units::thousands);
            table.row([what.clone(), units::thousands(*gas), shown(goal), verdict.to_string(), shown(safe)]);
        }
        table
    }
}

async fn deployments(world: &World, rows: &mut Rows) -> Result<()> {
    for (owners, goal) in [(5, Some(600_000)), (30, Some(1_200_000)), (100, None)] {
        let gas = world.deploy_wallet(owners).await?;
        rows.add(format!("deploy a wallet, {owners} owners"), gas, goal);
    }
    for contract in &world.deployment.contracts {
        if contract.contract != "MultiSigWallet" {
            rows.add(format!("deploy {}", contract.contract), contract.gas_used.unwrap_or(0), None);
        }
    }
    Ok(())
}

const PROPOSE: &str = "propose, with the first confirmation";
const CONFIRM: &str = "confirm";
const EXISTING: &str = "confirm and execute, to an existing account";
const NEW: &str = "confirm and execute, to a new account";
const NO_VALUE: &str = "confirm and execute, a call without value";
const SIGNED_EXISTING: &str = "3 signatures in one transaction, to an existing account";
const SIGNED_NEW: &str = "3 signatures in one transaction, to a new account";
const SIGNED_NO_VALUE: &str = "3 signatures in one transaction, a call without value";

async fn wallet(world: &World, rows: &mut Rows) -> Result<()> {
    let [existing, new, none] = [
        world.agree(world.existing, U256::from(1)).await?,
        world.agree(world.fresh(1), U256::from(1)).await?,
        world.agree(world.existing, U256::ZERO).await?,
    ];
    rows.add(PROPOSE, existing[0], 49_500);
    rows.add(CONFIRM, existing[1], 31_000);
    rows.add(EXISTING, existing[2], 37_000);
    rows.add(NEW, new[2], 52_000);
    rows.add(NO_VALUE, none[2], 37_000);

    // The first one makes the nonce's slot.
    world.sign(world.existing, U256::from(1), 3).await?;
    let existing = world.sign(world.existing, U256::from(1), 3).await?;
    let more = world.sign(world.existing, U256::from(1), 5).await?;
    rows.add(SIGNED_EXISTING, existing, 52_000);
    rows.add(SIGNED_NEW, world.sign(world.fresh(2), U256::from(1), 3).await?, 69_000);
    rows.add(SIGNED_NO_VALUE, world.sign(world.existing, U256::ZERO, 3).await?, 52_000);
    rows.add("each further signature", more.saturating_sub(existing) / 2, 4_500);
    Ok(())
}

/// A distribution of one wei each to some accounts.
fn distribution(world: &World, number: u32, accounts: u64) -> Result<(SignedMessage, Earnings)> {
    let earning = |account: u64| Earning {
        account: world.fresh(1_000 + account),
        token: Address::ZERO,
        cumulative: U256::from(number),
    };
    let earnings = Earnings::new((0..accounts).map(earning))?;
    let distribution = Distribution {
        distributor: world.deployment.addresses.distributor,
        number,
        root: earnings.root(),
        allotments: vec![Allotment { token: Address::ZERO, amount: accounts.into() }],
    };
    let content = Content::Distribution { epoch: 0, distribution, earnings: earnings.as_slice().to_vec() };
    Ok((SignedMessage::new(world.deployment.network_id, world.deployment.chain_id, content)?, earnings))
}

/// Has a quorum sign a distribution, and posts it.
async fn certify(world: &World, signed: &mut SignedMessage, kind: CertificateKind) -> Result<u64> {
    let keys = BlsKeys::new(world.chain.clone(), world.deployment.addresses.registry, 0);
    for key in world.validators.iter().take(dtn_primitives::quorum(world.validators.len())) {
        signed.sign(key);
    }
    let (_, validators) = keys.validators().await?;
    let certificate = signed.certificate(&validators, &keys.published().await?, Some(kind))?;
    world.send(&signed.post(world.deployment.addresses.registry, &certificate)?).await
}

async fn certificates(world: &World, rows: &mut Rows) -> Result<()> {
    const ACCOUNTS: u64 = 10_000;
    let (mut first, _) = distribution(world, 1, 1)?;
    rows.add("certify a distribution, the first", certify(world, &mut first, CertificateKind::Ecdsa).await?, None);
    let (mut signed, earnings) = distribution(world, 2, ACCOUNTS)?;
    let gas = certify(world, &mut signed, CertificateKind::Ecdsa).await?;
    rows.add("certify a distribution, 3 of 4 validators", gas, 55_000);

    let distributor = Distributor::new(world.chain.clone(), world.deployment.addresses.distributor);
    let Content::Distribution { distribution, .. } = &signed.content else { return Ok(()) };
    let scheduled = world.settle(distributor.schedule(distribution, B256::ZERO)).await?;
    rows.add("schedule a distribution (propose, confirm, execute)", scheduled.iter().sum(), None);
    let _: serde_json::Value = world.chain.provider().raw_request("evm_increaseTime".into(), (60,)).await?;
    rows.add("activate a distribution", world.send(&distributor.activate(distribution)).await?, None);
    let earning = *earnings.as_slice().first().ok_or(BenchError::Missing("there are earnings"))?;
    let (earning, proof) =
        earnings.claim(earning.account, earning.token).ok_or(BenchError::Missing("there are earnings"))?;
    let gas = world.send(&distributor.claim(&earning, proof)).await?;
    rows.add(format!("claim, of {} accounts, to a new one", units::thousands(ACCOUNTS)), gas, None);
    Ok(())
}

const WORK: &str = "of which to show and verify the proof of work";

/// What a cold account takes that is called, of the Berlin rules.
const COLD_CALL: u64 = 2_600;

/// What the owners' lock takes where no work is verified: that of a round, whose outcome here takes hardly more than the
/// call that asks for it, which is taken off.
async fn unworked(world: &World, payee: Address) -> Result<u64> {
    let (worker, digest) = (world.fresh(9), keccak256("outcome"));
    let result =
        WorkResult { kind: Kind::ROUND, id: Round::id(1, worker), worker, payee, amount: U256::from(1), digest };
    // Puts the word into memory and returns it.
    let answer = [&[0x7f][..], digest.as_slice(), &[0x5f, 0x52, 0x60, 0x20, 0x5f, 0xf3]].concat();
    let aow = world.deployment.addresses.aow;
    let code = world.chain.provider().get_code_at(aow).await?;
    let set = async |code: Bytes| -> Result<()> {
        let provider = world.chain.provider();
        Ok(provider.raw_request::<_, ()>("anvil_setCode".into(), (aow, code)).await?)
    };
    set(answer.into()).await?;
    let block = world.block(1_000, vec![(result, None)])?;
    world.finalize(&block).await?;
    let owners = world.pay(&block).await?.iter().sum::<u64>();
    set(code).await?;
    Ok(owners.saturating_sub(COLD_CALL))
}

async fn payouts(world: &World, rows: &mut Rows) -> Result<()> {
    for (what, payee, id) in [("an existing account", world.existing, 1), ("a new account", world.fresh(3), 2)] {
        let block = world.block(id, vec![world.race(id, payee)?])?;
        let posted = world.finalize(&block).await?;
        let owners = world.pay(&block).await?.iter().sum::<u64>();
        if id == 1 {
            rows.add("the validators' lock: post a block, 3 of 4 validators", posted, None);
            rows.add("the owners' lock: propose, confirm, pay", owners, None);
            rows.add(WORK, owners.saturating_sub(unworked(world, payee).await?), None);
        }
        rows.add(format!("one reward through both locks, to {what}"), posted + owners, None);
    }

    let ten = (0..10).map(|i| world.race(100 + i, world.existing)).collect::<Result<_>>()?;
    let block = world.block(3, ten)?;
    let gas = world.finalize(&block).await? + world.pay(&block).await?.iter().sum::<u64>();
    rows.add("each of 10 rewards of a block through both locks", gas / 10, None);

    let payouts = (0..50).map(|account| Payout { account: world.fresh(2_000 + account), amount: U96::from(1) });
    let batch = Batch { token: Address::ZERO, payouts: payouts.collect() };
    for payout in &batch.payouts {
        world.send(&Call::transfer("exist", payout.account, U256::from(1))).await?;
    }
    let distributor = world.deployment.addresses.distributor;
    let approved = batch.result(keccak256("batch"), Address::ZERO, distributor);
    let block = world.block(4, vec![(approved.clone(), None)])?;
    let locks = world.finalize(&block).await? + world.pay(&block).await?.iter().sum::<u64>();
    let _: serde_json::Value = world.chain.provider().raw_request("evm_increaseTime".into(), (60,)).await?;
    let push = RewardDistributor::pushCall {
        id: approved.id,
        token: batch.token,
        payouts: batch.words(),
        count: U256::from(batch.payouts.len()),
    };
    let push = world.send(&Call::new(DISTRIBUTOR, distributor, &push)).await?;
    rows.add("each of a batch of 50 payouts", push / 50, 11_000);
    rows.add("each of a batch of 50 payouts, with both locks", (push + locks) / 50, None);
    Ok(())
}

async fn aggregates(endpoint: &str, folder: &Path, rows: &mut Rows) -> Result<()> {
    let world = World::new(endpoint, folder, 90).await?;
    let keys = BlsKeys::new(world.chain.clone(), world.deployment.addresses.registry, 0);
    let signers = dtn_primitives::quorum(world.validators.len());
    let mut registered = 0;
    for key in &world.validators {
        let call = keys.register(&bls_key(key), key.address(), &world.genesis.domain());
        registered = world.account(key).send(&call).await?.gas_used.unwrap_or(0);
    }
    rows.add("register a BLS key", registered, None);
    let (publish, count) = keys.publish().await?.ok_or(BenchError::Missing("there are keys to publish"))?;
    if count != world.validators.len() {
        return Err(BenchError::Registered(count));
    }
    rows.add(format!("publish {count} BLS keys"), world.send(&publish).await?, None);
    let (mut first, _) = distribution(&world, 1, 1)?;
    certify(&world, &mut first, CertificateKind::Ecdsa).await?;
    let (mut signed, _) = distribution(&world, 2, 1)?;
    let gas = certify(&world, &mut signed, CertificateKind::Bls).await?;
    rows.add(format!("certify a distribution by BLS, {signers} of {count} validators"), gas, 225_000);
    let (mut signed, _) = distribution(&world, 3, 1)?;
    let gas = certify(&world, &mut signed, CertificateKind::Ecdsa).await?;
    rows.add(format!("certify a distribution by ECDSA, {signers} of {count} validators"), gas, None);
    Ok(())
}
