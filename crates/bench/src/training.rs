//! Training orders among peers of a network of its own: how many a minute are trained, checked and over, and how long each takes.

use std::{
    collections::BTreeMap,
    num::NonZeroUsize,
    path::Path,
    time::{Duration, Instant},
};

use dtn_participant::{Behaviour, Draft, Folder, Hand, Mode, Options, Participant, Peer, Roles};
use dtn_primitives::{B256, SecretKey, TrainingTerms, keccak256};
use dtn_report::{Progress, Table, Tell, left, right, units};
use dtn_testbed::{Home, training};
use dtn_train::{Family, Grid, Recipe, shipped};
use dtn_training::{Beacon, Ending, Phase, TrainingOrder};
use serde::Serialize;
use tokio::{task::JoinHandle, time::sleep};

use crate::{
    BenchError, Result,
    l1::{self, Latency},
};

/// What everybody begins with, in wei.
const MONEY: u128 = 1_000_000_000_000_000_000_000;

/// What an order pays, in wei.
const REWARD: u128 = 1_000_000_000_000_000_000;

/// How often orders are looked at.
const LOOK: Duration = Duration::from_millis(200);

/// What is measured.
#[derive(Debug, Clone)]
pub struct Plan {
    /// How many peers, which all take part.
    pub peers: usize,
    /// How many providers without a peer.
    pub providers: usize,
    /// How many orders are open at a time.
    pub open: usize,
    /// How long orders are handed in.
    pub duration: Duration,
    /// How long a view lasts, of which windows are multiples.
    pub view_timeout: Duration,
    /// Transactions a second beside the orders, whose latency is measured with the orders and before them; none of 0.
    pub rate: f64,
}

/// What came of it.
#[derive(Debug, Serialize)]
pub struct Outcome {
    /// How many peers.
    pub peers: usize,
    /// How many providers.
    pub providers: usize,
    /// How many orders are over.
    pub orders: usize,
    /// Of these, with a winner.
    pub won: usize,
    /// Why the others have none, and how many.
    pub void: BTreeMap<String, usize>,
    /// How many claims they had.
    pub claims: usize,
    /// How many a minute ended with a winner.
    pub won_a_minute: f64,
    /// From the order to its end, in milliseconds: the median and the longest.
    pub life_ms: [u64; 2],
    /// Whether all of the ledger's money is where it was, or was moved by the rules: nobody who kept them has lost a stake.
    pub honest_slashed: usize,
    /// What the orders did to other transactions, if there were any.
    pub beside: Option<Beside>,
}

/// Transactions beside orders.
#[derive(Debug, Serialize)]
pub struct Beside {
    /// How many were due a second.
    pub rate: f64,
    /// From when one was due to its verified finality, without orders.
    pub alone: Latency,
    /// The same with orders.
    pub with_orders: Latency,
    /// How many a second became final, without orders and with them.
    pub throughput: [f64; 2],
}

/// Runs until it is dropped.
struct Acting(Vec<JoinHandle<std::convert::Infallible>>);

impl Drop for Acting {
    fn drop(&mut self) {
        self.0.iter().for_each(JoinHandle::abort);
    }
}

/// Makes a network in a folder, starts it and orders models from it.
pub async fn measure(plan: &Plan, home: &Home, tell: Tell<'_>) -> Result<Outcome> {
    let view_timeout_ms = u64::try_from(plan.view_timeout.as_millis()).unwrap_or(u64::MAX);
    let terms = TrainingTerms { view_timeout_ms, ruling_ms: 50, ..TrainingTerms::default() };
    let local = dtn_testbed::Plan::local("train", plan.peers);
    let local = dtn_testbed::Plan { training: Some(terms), threads: NonZeroUsize::MIN, ..local };
    let genesis = dtn_testbed::init_and_tell(home, &local, tell)?;
    for peer in 0..plan.peers {
        training::set_training(home, peer, Behaviour::Honest)?;
        dtn_testbed::change(home, peer, |config| {
            (config.mine, config.view_timeout_ms) = (false, view_timeout_ms.max(100))
        })?;
    }
    dtn_testbed::up_all(home, tell).await?;
    let client = dtn_testbed::client(home)?;
    let requester = dtn_testbed::client_key(home)?;
    let providers: Vec<_> = (0..plan.providers as u8).map(provider).collect::<Result<_>>()?;
    let accounts = client.validators().iter().map(|(_, validator)| validator.address);
    let accounts: Vec<_> =
        accounts.chain([requester.address()]).chain(providers.iter().map(SecretKey::address)).collect();
    training::credit(home, &accounts, MONEY).await?;

    let peer = Peer::at(home.client()?.peers[0]).await?;
    let mut acting = Acting(Vec::new());
    for key in &providers {
        acting.0.push(act(&peer, key, home.path(), Roles { provide: true, ..Roles::default() }));
    }
    acting.0.push(act(&peer, &requester, home.path(), Roles::default()));
    let load = l1::Plan::beside(plan.peers, plan.duration.as_secs_f64());
    let network = (plan.rate > 0.0).then(|| l1::Network::of(home, genesis)).transpose()?;
    let alone = match &network {
        Some(network) => Some(l1::load(&load, plan.rate, network, tell).await?),
        None => None,
    };
    tell(Progress::Stage { what: "orders over", parts: 0 });
    let ordering = order(plan, &peer, &requester, home.path(), tell);
    let (ended, beside) = match network.as_ref().zip(alone) {
        Some((network, alone)) => {
            let (ended, run) = tokio::try_join!(ordering, l1::load(&load, plan.rate, network, &|_: Progress| ()))?;
            let throughput = [alone.throughput, run.throughput];
            (ended, Some(Beside { rate: plan.rate, alone: alone.latency, with_orders: run.latency, throughput }))
        }
        None => (ordering.await?, None),
    };
    tell(Progress::Over);
    Ok(Outcome { beside, ..outcome(plan, &ended) })
}

fn provider(number: u8) -> Result<SecretKey> {
    SecretKey::from_bytes(&keccak256([b"provider", &[number][..]].concat())).map_err(|_| BenchError::Missing("a key"))
}

fn act(peer: &Peer, key: &SecretKey, folder: &Path, roles: Roles) -> JoinHandle<std::convert::Infallible> {
    let folder = Folder::new(folder.join("training").join(format!("{:x}", key.address())));
    let options = Options::new(roles, key.address());
    tokio::spawn(Participant::new(peer.clone(), key.clone(), folder, None, options).run())
}

/// An order that is over: how long it took, and its state.
type Ended = (Duration, TrainingOrder);

/// Hands orders in, so many at a time, and waits for all of them.
async fn order(
    plan: &Plan,
    peer: &Peer,
    key: &SecretKey,
    folder: &Path,
    tell: Tell<'_>,
) -> Result<(Vec<Ended>, Duration)> {
    let (hand, began) = (Hand::new(peer.clone(), key.clone()), Instant::now());
    let folder = Folder::new(folder.join("training").join(format!("{:x}", key.address())));
    let (mut open, mut ended, mut number) = (BTreeMap::<B256, Instant>::new(), Vec::new(), 0u64);
    let mut last = began;
    while began.elapsed() < plan.duration || !open.is_empty() {
        if began.elapsed() < plan.duration && open.len() < plan.open {
            let drafted = draft(plan)?.make(peer.genesis(), keccak256(number.to_be_bytes()))?;
            number += 1;
            let keep = |id| folder.keep_holdout(id, &drafted.holdout, drafted.secret);
            let handed_in = Instant::now();
            open.insert(hand.order(&drafted.terms, &drafted.blobs, keep).await?, handed_in);
            continue;
        }
        sleep(LOOK).await;
        let still: Vec<_> = peer.orders(false).await?.iter().map(|order| order.order).collect();
        let over: Vec<_> = open.keys().filter(|id| !still.contains(id)).copied().collect();
        for id in over {
            let took = open.remove(&id).map(|since| since.elapsed()).unwrap_or_default();
            ended.push((took, peer.order(id).await?));
            last = Instant::now();
            tell(Progress::Part);
        }
        if last.elapsed() > plan.duration + Duration::from_secs(120) {
            return Err(BenchError::Missing("an order that ends"));
        }
    }
    Ok((ended, began.elapsed()))
}

fn draft(plan: &Plan) -> Result<Draft> {
    let fractions = |text: &str| text.parse().map(|fraction| vec![fraction]).unwrap_or_default();
    let grid = Grid { learning_rate: fractions("0.1"), momentum: fractions("0.9"), ..Grid::default() };
    Ok(Draft {
        data: shipped("digits").map_err(|_| BenchError::Missing("the data that ships"))?,
        holdout: 300,
        fold: 200,
        draw: None,
        mode: Mode::Trace,
        recipe: Recipe { family: Family::Linear, grid, epochs: 10, batch: 32, segment_steps: 64 },
        baseline: "0.8".parse().unwrap_or(dtn_train::Fraction(1)),
        reward: REWARD,
        stake: None,
        claims: plan.providers as u8,
        committee: None,
        redundancy: None,
        beacon: Beacon::Block,
        claim_ms: 20_000,
        window_ms: None,
        challenge_ms: None,
    })
}

fn outcome(plan: &Plan, (ended, took): &(Vec<Ended>, Duration)) -> Outcome {
    let mut void = BTreeMap::new();
    let mut won = 0;
    for (_, at) in ended {
        match at.order.phase() {
            Phase::Ended(Ending::Final { .. }) => won += 1,
            Phase::Ended(Ending::Void(why)) => *void.entry(why.to_string()).or_default() += 1,
            _ => {}
        }
    }
    let mut lives: Vec<_> = ended.iter().map(|(life, _)| life.as_millis() as u64).collect();
    lives.sort_unstable();
    let out = |at: &TrainingOrder| {
        let claims = at.order.claims().iter().filter(|claim| claim.out.is_some()).count();
        claims + at.order.committee().iter().filter(|member| member.out.is_some()).count()
    };
    Outcome {
        peers: plan.peers,
        providers: plan.providers,
        orders: ended.len(),
        won,
        void,
        claims: ended.iter().map(|(_, at)| at.order.claims().len()).sum(),
        won_a_minute: won as f64 * 60.0 / took.as_secs_f64(),
        life_ms: [lives.get(lives.len() / 2), lives.last()].map(|life| life.copied().unwrap_or_default()),
        honest_slashed: ended.iter().map(|(_, at)| out(at)).sum(),
        beside: None,
    }
}

impl Outcome {
    /// As people read it.
    pub fn table(&self) -> Table {
        let title = format!("{} training orders, {} peers, {} providers", self.orders, self.peers, self.providers);
        let mut table = Table::new(title, [left("figure"), right("value")]);
        let [median, longest] = self.life_ms.map(|life| units::duration(life * 1_000));
        table.row(["with a winner".to_string(), self.won.to_string()]);
        for (why, count) in &self.void {
            table.row([format!("without: {why}"), count.to_string()]);
        }
        table.row(["claims".to_string(), self.claims.to_string()]);
        table.row(["with a winner, a minute".to_string(), format!("{:.1}", self.won_a_minute)]);
        table.row(["from the order to its end, median".to_string(), median]);
        table.row(["from the order to its end, longest".to_string(), longest]);
        table.row(["honest accounts that lost a stake".to_string(), self.honest_slashed.to_string()]);
        if let Some(Beside { rate, alone, with_orders, throughput }) = &self.beside {
            let ms = |of: fn(&Latency) -> f64| [alone, with_orders].map(|run| units::duration((of(run) * 1e3) as u64));
            for (what, [before, with]) in [("median", ms(|run| run.p50)), ("99 in 100", ms(|run| run.p99))] {
                table.row([
                    format!("other transactions, {what}: without orders, with them"),
                    format!("{before}, {with}"),
                ]);
            }
            let [before, with] = throughput;
            table.row([format!("of {rate} such a second, final"), format!("{before:.0}, {with:.0}")]);
        }
        table
    }
}
