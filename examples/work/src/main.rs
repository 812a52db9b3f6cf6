//! A kind of work of your own: four peers that know it take an order for a matrix product, somebody does it, they check it
//! without doing it again, and the contracts pay.
//!
//! docs/start/work.md explains it. The rules are in `rules.rs`; the rest is any network's. Everything runs on this machine and
//! ends with the program.

mod rules;

use std::{
    ops::ControlFlow,
    path::Path,
    time::{Duration, Instant},
};

use alloy::{
    primitives::{Address, U256, utils::format_ether},
    providers::Provider,
};
use anyhow::{Context, Result, bail, ensure};
use dtn_chain::{
    Account, Chain, Network,
    connection::{AnvilOptions, start_anvil},
    gas_ledger::GasLedger,
};
use dtn_client::Client;
use dtn_keys::dev_key;
use dtn_ledger::Kinds;
use dtn_peer::{PeerHome, hold::hold};
use dtn_primitives::{B256, Custom, Kind, Payload, SecretKey, Transaction, codec};
use dtn_testbed::{Home, OwnNetwork, Plan};
use futures::TryStreamExt;
use tokio::time::sleep;

use crate::rules::{Ask, MatrixProduct, N, multiply};

/// How long a payment may take.
const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::main]
async fn main() -> Result<()> {
    // The test bed starts this program again for each peer, as `l1 node FOLDER`.
    if let [_, first, second, folder, ..] = &std::env::args().collect::<Vec<_>>()[..]
        && (first.as_str(), second.as_str()) == ("l1", "node")
    {
        return peer(Path::new(folder)).await;
    }
    let network = OwnNetwork::at(None, |note| println!("{note}"))?;
    let outcome = perform(network.home()).await;
    network.end(outcome.is_err(), |note| println!("{note}")).await?;
    outcome
}

/// A peer as `dtn-cli l1 node` runs it, with one more kind of work.
async fn peer(folder: &Path) -> Result<()> {
    let home = PeerHome::new(folder);
    let config = home.config(&[])?;
    let _held = hold(&home.pid_file())?;
    dtn_peer::log::start(&config.log)?;
    Ok(dtn_peer::run(&home, config, Kinds::default().with(MatrixProduct)?).await?)
}

async fn perform(home: &Home) -> Result<()> {
    // A network whose genesis names the kind, with contracts that take it.
    let anvil = start_anvil(Path::new("."), AnvilOptions::default()).await?;
    let chain = Chain::connect(&Network { poll_interval_ms: 10, ..Network::local(anvil.endpoint()) }).await?;
    let plan = Plan { kinds: vec![MatrixProduct::NAME.into()], ..Plan::local("products", 4) };
    dtn_testbed::init(home, &plan, || ControlFlow::Continue(()))?;
    let payer = dev_key(0).context("anvil's first key")?;
    let payer = Account::new(chain.clone(), payer, GasLedger::new(home.path().join("gas.jsonl")));
    dtn_testbed::settle_on(home, &payer, ether(5)).await?;
    let peers = dtn_testbed::up_all(home, &|_| ()).await?;
    println!("{} peers do the work {:?}", peers.len(), MatrixProduct::NAME);

    // The requester of the genesis orders a product.
    let (client, requester) = (dtn_testbed::client(home)?, dtn_testbed::client_key(home)?);
    let numbers = |factor: usize| (0..N * N).map(|i| (i * factor % 1_000) as u16).collect::<Vec<_>>();
    let order = Ask::Order { left: numbers(7_919), right: numbers(104_729), reward: ether(1) };
    let order = hand_in(&client, &requester, &order).await?;
    println!("order {order} is final");

    // Who does it needs a key and nothing else, and finds the order in the blocks.
    let (worker, payee) = (SecretKey::from_bytes(&[77; 32])?, Address::repeat_byte(0x77));
    let Ask::Order { left, right, .. } = find(home, order).await? else { bail!("the order is an order") };
    let mut product = multiply(&left, &right);
    product[3] += 1;
    let wrong = hand_in(&client, &worker, &Ask::Product { order, product: product.clone(), payee }).await;
    println!("a product with a wrong cell: {}", wrong.err().context("it was taken")?);
    product[3] -= 1;
    let claim = hand_in(&client, &worker, &Ask::Product { order, product, payee }).await?;
    println!("the product {claim} is final: all peers have checked it");

    // The peers' relayers show the certificate to the chain, and agree to pay.
    let began = Instant::now();
    let paid = loop {
        match chain.provider().get_balance(payee).await? {
            nothing if nothing.is_zero() && began.elapsed() < PATIENCE => sleep(Duration::from_millis(50)).await,
            paid => break paid,
        }
    };
    ensure!(paid == ether(1), "{paid} wei were paid");
    println!("{payee} is paid {} ether", format_ether(paid));
    Ok(())
}

/// Has the network execute a call, and gives its hash.
async fn hand_in(client: &Client, key: &SecretKey, ask: &Ask) -> Result<B256> {
    let (nonce, body) = (client.next_nonce(key).await?, codec::encode(ask).into());
    let call = Custom { nonce, kind: Kind::of_name(MatrixProduct::NAME)?, body };
    let call = Transaction::sign(Payload::Custom(call), key, &client.domain);
    client.execute_all(std::slice::from_ref(&call), |_| ()).await?;
    Ok(call.hash(&client.domain))
}

/// Finds what a call said in the final blocks, each of which the client verifies.
async fn find(home: &Home, hash: B256) -> Result<Ask> {
    let blocks = dtn_testbed::blocks(home, None).await?;
    let all: Vec<_> = blocks.up_to(blocks.tip().await?).try_collect().await?;
    let mut transactions = all.iter().flat_map(|it| it.transaction_hashes.iter().zip(&it.block.transactions));
    match transactions.find(|(it, _)| **it == hash) {
        Some((_, Transaction { payload: Payload::Custom(call), .. })) => {
            Ok(codec::decode(&call.body, call.body.len())?)
        }
        _ => bail!("{hash} is in no block"),
    }
}

fn ether(count: u64) -> U256 {
    U256::from(count) * U256::from(10).pow(U256::from(18))
}
