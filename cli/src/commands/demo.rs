//! `dtn-cli demo`: the main job from the first key to the last payout, on real processes and a real chain.

use std::{
    fmt::Display,
    fs,
    path::{Path, PathBuf},
    time::Instant,
};

use anyhow::{Context, Result};
use clap::Args;
use dtn_bindings::ContractAddresses;
use dtn_chain::{Network, amount::format_amount};
use dtn_documents::orders;
use dtn_peer::files;
use dtn_primitives::{Order, U256};
use dtn_report::units;
use dtn_testbed::{
    Home, OwnNetwork, Plan,
    demo::{Demo as Job, Done, Happening, training_terms},
};
use indicatif::ProgressBar;

use crate::{
    commands::l1::{self, engine::EngineOptions},
    interruption, output,
};

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

/// Says what is being done, with the time since the beginning.
struct Narrator {
    began: Instant,
    /// Of races that are won and rewards that are paid, while they are waited for.
    bars: Option<[ProgressBar; 2]>,
}

impl Narrator {
    fn say(&self, text: impl Display) {
        output::note(format_args!("[{:>6.2} s] {text}", self.began.elapsed().as_secs_f64()));
    }

    fn tell(&mut self, happening: Happening<'_>, demo: &Demo, promised: U256) {
        match happening {
            Happening::ChainRuns(chain) => {
                let rpc = &chain.network().rpc;
                self.say(format_args!("keys and genesis of {} peers; anvil at {rpc}", demo.nodes));
            }
            Happening::Deployed(deployment) => self.say(format_args!(
                "contracts deployed ({} of {} owners); the distributor holds {}",
                deployment.threshold,
                deployment.owners.len(),
                format_amount(promised)
            )),
            Happening::Connected(peers) => self.say(format_args!("{peers} peers are connected to each other")),
            Happening::Deposited { thief, lazy } => self.say(format_args!(
                "validators, a requester and three providers have put money in; {} claims what another trains, and validator {} \
                 is lazy",
                units::short(thief),
                units::short(lazy)
            )),
            Happening::TrainingOrdered(orders) => self.say(format_args!("{orders} models are ordered")),
            Happening::Trained { orders, paid, longest_ms } => self.say(format_args!(
                "{orders} models are trained, checked and paid after {} at most; it is on chain for {paid} accounts, and the lazy \
                 validator lost its stake",
                units::duration(longest_ms * 1_000)
            )),
            Happening::RoundOpened { height, cheat } => self.say(format_args!(
                "block {height} opens a round of {} steps of sequential work; {} was told to cheat",
                units::thousands(demo.steps),
                units::short(cheat)
            )),
            Happening::OrdersFinal(orders) => {
                self.say(format_args!("{orders} orders are final, as a quorum of peers says"));
            }
            Happening::RoundClosed { completions, accepted } => self.say(format_args!(
                "the round is closed: {completions} peers completed it, and {accepted} of {} accepted what the cheat claims",
                demo.nodes - 1
            )),
            Happening::Settling { won, races, paid, rewards } => {
                let [won_bar, paid_bar] = self.bars.get_or_insert_with(|| {
                    [(races, "races won"), (rewards, "rewards paid")]
                        .map(|(length, what)| output::progress(length as u64, what))
                });
                won_bar.set_position(won as u64);
                paid_bar.set_position(paid as u64);
            }
            Happening::Killed(peer) => self.say(format_args!("peer {peer} was killed")),
            Happening::Settled { races, rewards } => {
                self.bars.take().iter().flatten().for_each(ProgressBar::finish_and_clear);
                self.say(format_args!(
                    "{races} races are won, {rewards} rewards are paid, and the false claim of the round is slashed"
                ));
            }
            Happening::Checked => {
                self.say("every payee's balance, read back from the chain, grew by its rewards");
            }
        }
    }
}

async fn perform(demo: &Demo, orders: Vec<Order>, home: &Home) -> Result<()> {
    let mut narrator = Narrator { began: Instant::now(), bars: None };
    let races = orders.iter().filter(|order| order.work.is_some()).count();
    let engine = demo.engine.named()?;
    let job = Job { nodes: demo.nodes, orders, steps: demo.steps, train: engine.mining().is_none(), crash: demo.crash };
    let promised = job.promised();
    narrator.say(format_args!(
        "{} orders from {}: {races} ask for work, {} in rewards",
        job.orders.len(),
        demo.transactions.display(),
        format_amount(promised)
    ));
    let training = Some(training_terms());
    let plan = Plan { engine, training, ..Plan::local("demo", demo.nodes) };
    l1::make(home, &plan)?;
    let bars = output::bars();
    let Done { report, chain, contracts } =
        job.perform(home, &mut |happening| narrator.tell(happening, demo, promised), &bars).await?;
    if let Some(file) = &demo.json {
        files::write_json(file, &report)?;
        narrator.say(format_args!("report written to {}", file.display()));
    }
    output::line(format_args!("\n{}", report.tables("ETH")))?;
    if demo.keep {
        left_running(home, chain.network(), contracts)?;
    }
    Ok(())
}

fn left_running(home: &Home, network: &Network, contracts: ContractAddresses) -> Result<()> {
    let ContractAddresses { registry, multisig, distributor, .. } = contracts;
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
