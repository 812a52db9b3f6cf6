//! A kind of work of your own: four peers that know it take an order for a matrix product, somebody does it, they check it
//! without doing it again, and the contracts pay.
//!
//! docs/start/work.md explains it. The rules are in `rules.rs`; the rest is any network's. Everything runs on this machine and
//! ends with the program.

mod rules;

use std::{ops::ControlFlow, path::Path, time::Duration};

use alloy::{
    primitives::{Address, U256, utils::format_ether},
    providers::Provider,
};
use anyhow::{Context, Result, bail, ensure};
use dtn_client::{Client, ClientError};
use dtn_ledger::Kinds;
use dtn_peer::{PeerHome, SettlementConfig, hold::hold};
use dtn_primitives::{B256, Custom, Kind, Payload, SecretKey, Transaction, codec};
use dtn_settlement::{
    Account, Chain, Network,
    connection::{AnvilOptions, start_anvil},
    deploy::{DeployPlan, deploy, fund, top_up},
    dev_keys::dev_key,
    gas_ledger::GasLedger,
};
use dtn_testbed::{Home, OwnNetwork, Plan};
use futures::TryStreamExt;

use crate::rules::{Ask, MatrixProduct, N, multiply};

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
    let anvil = start_anvil(Path::new("."), AnvilOptions::default()).await?;
    let local = Network { poll_interval_ms: 10, ..Network::local(anvil.endpoint()) };
    let chain = Chain::connect(&local).await?;

    // A network whose genesis names the kind, with contracts that take it.
    let plan = Plan { kinds: vec![MatrixProduct::NAME.into()], ..Plan::new("products", chain.chain_id()) };
    let genesis = dtn_testbed::init(home, &plan, || ControlFlow::Continue(()))?;
    let account =
        Account::new(chain.clone(), dev_key(0).context("anvil's first key")?, GasLedger::new(home.path().join("gas")));
    let deployed = deploy(&account, &DeployPlan::new(&genesis, None, None)?, |_| ()).await?;
    fund(&account, &deployed.owners, ether(1), |_, _| ()).await?;
    top_up(&account, deployed.addresses.distributor, ether(5)).await?;
    let settlement = SettlementConfig { name: "local".into(), contracts: deployed.addresses, chain: local };
    dtn_testbed::set_settlement(home, &settlement)?;
    let peers = dtn_testbed::up_all(home, |_| ()).await?;
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
    let paid = async {
        while chain.provider().get_balance(payee).await?.is_zero() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        chain.provider().get_balance(payee).await
    };
    let paid = tokio::time::timeout(Duration::from_secs(60), paid).await.context("nothing was paid")??;
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
    let all = blocks.up_to(blocks.tip().await?);
    let found = all.try_filter_map(async |block| {
        let at = block.transaction_hashes.iter().position(|it| *it == hash);
        Ok::<_, ClientError>(at.and_then(|at| block.block.transactions.into_iter().nth(at)))
    });
    match std::pin::pin!(found).try_next().await?.map(|found| found.payload) {
        Some(Payload::Custom(call)) => Ok(codec::decode(&call.body, call.body.len())?),
        _ => bail!("{hash} is in no block"),
    }
}

fn ether(count: u64) -> U256 {
    U256::from(count) * U256::from(10).pow(U256::from(18))
}
