//! `dtn-cli demo`: the main job from the first key to the last payout, on real processes and a real chain.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use clap::Args;
use dtn_bindings::{ContractAddresses, RewardDistributor};
use dtn_chain::{Account, Chain, Network, amount::format_amount, gas_ledger::GasLedger};
use dtn_client::{Client, Event, Race};
use dtn_documents::orders;
use dtn_keys::dev_key;
use dtn_peer::files;
use dtn_primitives::{Address, B256, Order, Payload, Round, Transaction, U256};
use dtn_report::{RunReport, units};
use dtn_settlement::aow::{Aow, ClaimStatus};
use dtn_testbed::{
    Home, OwnNetwork, Plan, Service,
    account::{Finals, payee_balances, report},
    rounds::{self, Asked},
};
use indicatif::ProgressBar;

use crate::commands::l1::engine::EngineOptions;
use crate::{commands::l1, interruption, output};

/// What each peer earns that completes the round, in wei.
const ROUND_REWARD_WEI: u128 = 10_000_000_000_000_000;

/// How long the payouts may make no progress.
const PATIENCE: Duration = Duration::from_secs(120);

const POLL: Duration = Duration::from_millis(100);

/// The orders of the repository.
const EXAMPLE: &str = "examples/transactions.jsonl";

/// The main job, end to end: orders are submitted, raced for, agreed on, certified and paid.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  dtn-cli demo\n  dtn-cli demo --nodes 7 --json report.json\n  \
    dtn-cli demo --steps 4194304      a longer round of sequential work\n  \
    dtn-cli demo --engine nakamoto --block-interval 1s      blocks are mined\n  \
    dtn-cli demo --crash        one peer is killed in mid-run; every reward is still paid once\n  \
    dtn-cli demo --keep         look around afterwards with `dtn-cli l1 status` and cast")]
pub(crate) struct Demo {
    /// How many peers.
    #[arg(long, default_value_t = 4)]
    nodes: usize,
    /// The orders, one JSON object a line.
    #[arg(long, default_value = EXAMPLE, value_name = "FILE")]
    transactions: PathBuf,
    /// Steps of sequential work for each peer, 1 to 4,096 or a multiple of that.
    #[arg(long, default_value_t = 1 << 20)]
    steps: u64,
    #[command(flatten)]
    engine: EngineOptions,
    /// Kill a peer that is not the primary (SIGKILL) once the first reward is paid.
    #[arg(long)]
    crash: bool,
    /// Leave the peers and the chain running, and print where they are.
    #[arg(long)]
    keep: bool,
    /// Write the report there as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// The folder of the network, which must hold none yet; a temporary one without it.
    #[arg(long, value_name = "DIR")]
    home: Option<PathBuf>,
}

pub(crate) async fn run(demo: Demo) -> Result<()> {
    let orders = orders::read(&demo.transactions).map_err(|error| match demo.transactions == Path::new(EXAMPLE) {
        true => anyhow::Error::from(error).context(
            "the demo takes its orders from the folder that this program was built from: run it there, or name a file of orders \
             with --transactions",
        ),
        false => error.into(),
    })?;
    if let Some(file) = &demo.json {
        // Before a minute of work, not after it.
        let opened = fs::OpenOptions::new().create(true).append(true).open(file);
        opened.with_context(|| format!("cannot write {}", file.display()))?;
    }
    let network = OwnNetwork::at(demo.home.as_deref(), |what| output::note(what))?;
    // A network that is there already is not the demo's to stop.
    dtn_testbed::ensure_vacant(network.home())?;
    let outcome = interruption::unless_asked(perform(&demo, orders, network.home())).await;
    if demo.keep && outcome.is_ok() {
        network.leave();
    } else {
        network.end(outcome.is_err(), |what| output::note(what)).await?;
    }
    outcome
}

/// A line that says what is being done, with the time since the beginning.
struct Narrator(Instant);

impl Narrator {
    fn say(&self, text: impl std::fmt::Display) {
        output::note(format_args!("[{:>6.2} s] {text}", self.0.elapsed().as_secs_f64()));
    }
}

async fn perform(demo: &Demo, orders: Vec<Order>, home: &Home) -> Result<()> {
    let narrator = Narrator(Instant::now());
    let round_reward = U256::from(ROUND_REWARD_WEI);
    let promised: U256 = orders.iter().map(|order| order.reward).sum();
    // All peers but one complete the round.
    let promised = promised + round_reward * U256::from(demo.nodes.saturating_sub(1));
    let races = orders.iter().filter(|order| order.work.is_some()).count();
    narrator.say(format_args!(
        "{} orders from {}: {races} ask for work, {} in rewards",
        orders.len(),
        demo.transactions.display(),
        format_amount(promised)
    ));

    let plan = Plan { mining: demo.engine.mining()?, ..Plan::local("demo", demo.nodes) };
    l1::make(home, &plan)?;
    let client = dtn_testbed::client(home)?;
    let chain = dtn_testbed::start_chain(home, PATIENCE).await?;
    let network = chain.network().clone();
    narrator.say(format_args!("keys and genesis of {} peers; anvil at {}", demo.nodes, network.rpc));

    let deployer = dev_key(0).context("anvil's first development key")?;
    let deployer_gas = GasLedger::new(home.path().join("gas.jsonl"));
    let account = Account::new(chain.clone(), deployer, deployer_gas.clone());
    let deployment = dtn_testbed::settle_on(home, &account, promised).await?;
    let contracts = deployment.addresses;
    narrator.say(format_args!(
        "contracts deployed ({} of {} owners); the distributor holds {}",
        deployment.threshold,
        deployment.owners.len(),
        format_amount(promised)
    ));

    // One peer is told to cheat: it claims half of its work as all of it, to its peers and on chain.
    let cheat = demo.nodes - 1;
    dtn_testbed::set_half_work(home, cheat)?;
    let before = payee_balances(home, &chain).await?;
    let statuses = dtn_testbed::up_all(home, &output::bars()).await?;
    narrator.say(format_args!("{} peers are connected to each other", statuses.len()));

    let cheat = statuses[cheat].address;
    let quorum = demo.nodes as u16 - 1;
    let asked = Asked { steps: demo.steps, deadline: PATIENCE, quorum, reward: round_reward };
    let round = rounds::open(&client, home, &asked).await?;
    narrator.say(format_args!(
        "block {round} opens a round of {} steps of sequential work; {} was told to cheat",
        units::thousands(demo.steps),
        units::short(cheat)
    ));
    let transactions = client.sign(orders, &dtn_testbed::client_key(home)?).await?;
    let bar = output::progress(transactions.len() as u64, "orders final");
    let count = |event: Event<'_>| bar.inc(u64::from(matches!(event, Event::Final(..))));
    client.execute_all(&transactions, count).await?;
    bar.finish_and_clear();
    narrator.say(format_args!("{} orders are final, as a quorum of peers says", transactions.len()));

    let (closed, round) = rounds::end(&client, round, &asked, &output::bars()).await?;
    let accepted = round.verifications.iter().filter(|it| it.node == cheat && it.valid).count();
    narrator.say(format_args!(
        "the round is closed: {} peers completed it, and {accepted} of {} accepted what the cheat claims",
        round.completions.len(),
        demo.nodes - 1
    ));

    let awaited = Awaited::new(&transactions, &closed, cheat, &client);
    let crash =
        demo.crash.then(|| statuses.iter().filter_map(|status| status.validator).rfind(|v| *v != statuses[0].primary));
    let mut finals = Finals::of(home).await?;
    settle(&awaited, &mut finals, &chain, contracts, crash.flatten().map(usize::from), home, &narrator).await?;

    finals.read_on().await?;
    let subjects = &awaited.subjects;
    let report = report(&finals, home, &chain, contracts, &deployer_gas, subjects, vec![round]).await?;
    check(&report, &awaited, &finals.races, &before, &payee_balances(home, &chain).await?)?;
    narrator.say("every payee's balance, read back from the chain, grew by its rewards");
    if let Some(file) = &demo.json {
        files::write_json(file, &report)?;
        narrator.say(format_args!("report written to {}", file.display()));
    }
    output::line(format_args!("\n{}", report.tables("ETH")))?;
    if demo.keep {
        left_running(home, &network, contracts)?;
    }
    Ok(())
}

/// The orders whose work is to be done and paid.
struct Awaited {
    /// The reward by order.
    rewards: HashMap<B256, U256>,
    /// All orders that ask for work.
    races: HashSet<B256>,
    subjects: HashMap<B256, String>,
    /// The claim on chain that is false and must be slashed.
    false_claim: B256,
    cheat: Address,
}

impl Awaited {
    /// The orders, and what each completion of the round earns; `cheat` has not done its work.
    fn new(transactions: &[Transaction], round: &Round, cheat: Address, client: &Client) -> Self {
        let (mut rewards, mut races, mut subjects) = (HashMap::new(), HashSet::new(), HashMap::new());
        for transaction in transactions {
            let Payload::Order(order) = &transaction.payload else { continue };
            let hash = transaction.hash(&client.domain);
            subjects.insert(hash, format!("{}, {}", order.dataset, order.model));
            if order.work.is_some() {
                races.insert(hash);
            }
            if !order.reward.is_zero() {
                rewards.insert(hash, order.reward);
            }
        }
        let completions = round.completed.iter().map(|completed| Round::id(round.number, completed.node));
        rewards.extend(completions.map(|id| (id, round.reward)));
        Self { rewards, races, subjects, false_claim: Round::id(round.number, cheat), cheat }
    }
}

/// Waits until every race is won, every reward is paid and the false claim is slashed, as the chain says.
async fn settle(
    awaited: &Awaited,
    finals: &mut Finals,
    chain: &Chain,
    contracts: ContractAddresses,
    mut crash: Option<usize>,
    home: &Home,
    narrator: &Narrator,
) -> Result<()> {
    let (won_bar, paid_bar) = (
        output::progress(awaited.races.len() as u64, "races won"),
        output::progress(awaited.rewards.len() as u64, "rewards paid"),
    );
    let mut unpaid: HashSet<B256> = awaited.rewards.keys().copied().collect();
    let (mut moved, mut slashed) = (Instant::now(), false);
    let aow = Aow::new(chain.clone(), contracts.aow);
    while finals.races.len() < awaited.races.len() || !unpaid.is_empty() || !slashed {
        let before = (finals.races.len(), unpaid.len());
        if !slashed {
            let claim = aow.claim(awaited.false_claim).await?;
            slashed = claim.is_some_and(|claim| claim.status == ClaimStatus::Slashed);
        }
        finals.read_on().await?;
        for id in unpaid.clone() {
            if chain.read(contracts.distributor, &RewardDistributor::isPaidCall { id }).await? {
                unpaid.remove(&id);
            }
        }
        won_bar.set_position(finals.races.len() as u64);
        paid_bar.set_position((awaited.rewards.len() - unpaid.len()) as u64);
        // The one that is killed may be the cheat, whose claim is to be seen to fail.
        if slashed
            && unpaid.len() < awaited.rewards.len()
            && let Some(peer) = crash.take()
        {
            Service::peer(&home.peer(peer)).crash().await?;
            narrator.say(format_args!("peer {peer} was killed"));
        }
        if before != (finals.races.len(), unpaid.len()) {
            moved = Instant::now();
        }
        ensure!(
            moved.elapsed() < PATIENCE,
            "no progress for {PATIENCE:?}: {} of {} races are won, {} of {} rewards are unpaid, and the false claim is \
             {}slashed",
            finals.races.len(),
            awaited.races.len(),
            unpaid.len(),
            awaited.rewards.len(),
            if slashed { "" } else { "not " }
        );
        tokio::time::sleep(POLL).await;
    }
    [won_bar, paid_bar].iter().for_each(ProgressBar::finish_and_clear);
    narrator.say(format_args!(
        "{} races are won, {} rewards are paid, and the false claim of the round is slashed",
        finals.races.len(),
        awaited.rewards.len()
    ));
    Ok(())
}

/// Holds the report against the orders, and the payees' balances against the report.
fn check(
    report: &RunReport,
    awaited: &Awaited,
    races: &[Race],
    before: &BTreeMap<Address, U256>,
    after: &BTreeMap<Address, U256>,
) -> Result<()> {
    let mut paid = HashMap::new();
    let mut owed: BTreeMap<Address, U256> = BTreeMap::new();
    for payout in &report.settlement.payouts {
        ensure!(paid.insert(payout.result, payout.amount_wei).is_none(), "{} was paid twice", payout.result);
        *owed.entry(payout.payee).or_default() += payout.amount_wei;
    }
    ensure!(paid == awaited.rewards, "the rewards that were paid are not those that were offered");
    let won: HashSet<_> = races.iter().map(|race| race.transaction).collect();
    ensure!(
        won == awaited.races && won.len() == races.len(),
        "the races that were won are not those that were asked for"
    );
    for race in races {
        let payee = race.winner()?.claim.payee;
        let astray = report.settlement.payouts.iter().find(|it| it.result == race.transaction && it.payee != payee);
        ensure!(astray.is_none(), "not the winner of {} was paid, whose payee is {payee}", race.transaction);
    }
    for claim in &report.claims {
        let (is_false, was_slashed) = (claim.node == awaited.cheat, claim.slashed.is_some());
        ensure!(is_false == was_slashed, "the claim of {} was judged wrongly", claim.node);
    }
    for round in &report.rounds {
        let wrong = round.verifications.iter().find(|it| it.valid == (it.node == awaited.cheat));
        ensure!(wrong.is_none(), "a completion was judged wrongly: {wrong:?}");
    }
    for (payee, old) in before {
        let (new, owed) = (after.get(payee).copied().unwrap_or_default(), owed.remove(payee).unwrap_or_default());
        ensure!(
            new == *old + owed,
            "the balance of {payee} went from {old} to {new} wei; it should have grown by {}",
            units::ether(owed, "ETH")
        );
    }
    ensure!(owed.is_empty(), "somebody else than the payees was paid: {owed:?}");
    Ok(())
}

fn left_running(home: &Home, network: &Network, contracts: ContractAddresses) -> Result<()> {
    let ContractAddresses { registry, multisig, distributor, aow: _ } = contracts;
    let (rpc, home_shown) = (&network.rpc, home.path().display());
    let peers = home.client()?.peers;
    let peers: String = peers.iter().enumerate().map(|(i, api)| format!("\n  peer {i}  http://{api}")).collect();
    output::line(format_args!(
        "
Left running:
  anvil   {rpc}  (chain id {}){peers}

Look around:
  dtn-cli l1 status --home {home_shown}
  cast call {registry} 'latestHeight()(uint64)' --rpc-url {rpc}
  cast call {multisig} 'threshold()(uint256)' --rpc-url {rpc}
  cast balance {distributor} --rpc-url {rpc}

Stop it:
  dtn-cli l1 down --home {home_shown}",
        network.chain_id
    ))
}
