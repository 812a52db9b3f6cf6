//! `dtn-cli l1`: a network of peers, from its keys to its blocks.

mod doctor;
pub(crate) mod engine;
mod evidence;
mod lies;
mod migrate;
mod node;
mod status;
mod store;
mod tail;

use std::{
    fmt::Display,
    num::NonZeroUsize,
    ops::ControlFlow,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use anyhow::{Result, bail, ensure};
use clap::{Args, Subcommand};
use dtn_client::Event;
use dtn_documents::{blocks, fates::Fates, orders};
use dtn_peer::files::exists;
use dtn_primitives::{Address, B256, Genesis, MIN_VALIDATORS, Order, Question, Work};
use dtn_testbed::{Found, Home, Plan, Ports};
use serde_json::json;

use crate::{
    context::Context,
    failure::{Coded, Unfinished},
    interruption::{self, Interrupted},
    output,
};
use engine::{Engine, EngineOptions, Transport};
use lies::Lies;

/// The port that the first peer listens on unless told otherwise.
const BASE_PORT: u16 = 26600;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make the keys, the genesis and the configurations of a new network.
    #[command(after_help = "Example:\n  dtn-cli l1 init --nodes 4 && dtn-cli l1 up\n\n\
        Results settle on the chain of --network; its chain id becomes part of every signature. The new keystores open\n\
        with --password-file; without it a random password is written to the network's folder.")]
    Init {
        /// How many validators; f = ⌊(n − 1) / 3⌋ of them may be faulty.
        #[arg(long, default_value_t = 4)]
        nodes: usize,
        /// The network's name, which is part of its identity.
        #[arg(long, default_value = "dtn")]
        name: String,
        /// Peer N listens on this port + 2N and answers its API on the next; all on loopback.
        #[arg(long, default_value_t = BASE_PORT)]
        base_port: u16,
        /// How many threads each peer works on proofs with.
        #[arg(long, default_value = "1")]
        threads: NonZeroUsize,
        /// What peers talk over.
        #[arg(long, value_enum, default_value_t)]
        transport: Transport,
        /// How many observers to make: peers that follow and serve certified blocks without voting.
        #[arg(long, default_value_t = 0)]
        observers: usize,
        /// How long the ledger waits at least from one statement of earnings to the next [default: 1h]
        #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
        earnings_epoch: Option<Duration>,
        #[command(flatten)]
        engine: EngineOptions,
        #[command(flatten)]
        lies: Lies,
    },
    /// Start every peer that is not running, each as a process, and wait until all are connected.
    #[command(after_help = "Examples:\n  dtn-cli l1 up\n  dtn-cli l1 up --engine nakamoto --block-interval 1s\n  \
        dtn-cli l1 up --lie 0=equivocator\n\n\
        With --engine, a network of four is made first if there is none. A peer or an observer that cannot start is\n\
        named with the end of its log. Exit codes: 0 a quorum is up, 1 it is not.")]
    Up {
        #[command(flatten)]
        engine: EngineOptions,
        #[command(flatten)]
        lies: Lies,
    },
    /// Run one peer in this process.
    #[command(after_help = "Examples:\n  dtn-cli l1 node .dtn/peers/0\n  \
        dtn-cli l1 node .dtn/peers/0 --log-format json --set view_timeout_ms=500\n\n\
        Every key of node.toml can be overridden: by a variable, as DTN_NODE_LOG__LEVEL=debug, and by --set, as\n\
        --set log.level=debug; the later wins. docs/operate/operation.md lists the keys.")]
    Node(node::Options),
    /// Sign orders, hand them in and wait until they are final (a quorum of peers says so).
    #[command(after_help = "Examples:\n  dtn-cli l1 submit examples/transactions.jsonl\n  \
        dtn-cli l1 submit --dataset MNIST --model LeNet-5 --metric 'accuracy >= 0.99' \\\n      \
        --reward '0.01 ether' --expected-hashes 1000000\n\n\
        If it ends before that, it says which are final, and which may become so yet: to submit those again would order\n\
        them again. Exit codes: 0 all are final, 1 they are not.")]
    Submit(Submit),
    /// Show how every peer is doing.
    Status {
        /// Show it again and again, until Ctrl-C; every second, or as often as given.
        #[arg(long, num_args = 0..=1, default_missing_value = "1s", value_name = "TIME")]
        #[arg(value_parser = humantime::parse_duration)]
        watch: Option<Duration>,
    },
    /// Print final blocks as they come, each verified here against the genesis, until Ctrl-C.
    #[command(after_help = "Example:\n  dtn-cli l1 tail --from 1 --json | jq .height")]
    Tail {
        /// Begin with this height instead of the next one.
        #[arg(long, value_name = "HEIGHT", value_parser = clap::value_parser!(u64).range(1..))]
        from: Option<u64>,
    },
    /// Say what is wrong with the network or a peer, and what to do about it.
    #[command(
        after_help = "Exit codes: 0 healthy, 1 a problem was found. docs/operate/operation.md explains each check."
    )]
    Doctor {
        /// Only what concerns this peer.
        #[arg(long, value_name = "N")]
        peer: Option<usize>,
        /// How long to watch the network for.
        #[arg(long, default_value = "2s", value_parser = humantime::parse_duration, value_name = "TIME")]
        watch: Duration,
    },
    /// Show a final block.
    Block {
        /// Its height; 1 is the first.
        #[arg(value_parser = clap::value_parser!(u64).range(1..))]
        height: u64,
    },
    /// Show the certificate of a final block, verified here against the genesis.
    Certificate {
        /// The block's height; 1 is the first.
        #[arg(value_parser = clap::value_parser!(u64).range(1..))]
        height: u64,
    },
    /// Ask about an account or an order; the answer is one that a quorum of peers signs.
    #[command(after_help = "Examples:\n  dtn-cli l1 read nonce 0xf39F...2266\n  dtn-cli l1 read order 0x5c1f...9a0e")]
    Read {
        #[command(subcommand)]
        what: Subject,
    },
    /// Show which validators are proven to have contradicted themselves, and have the registry bar them.
    Evidence(evidence::Command),
    /// Say that a validator's key has never signed a vote, so that its peer votes from its first start on.
    #[command(after_help = "Example:\n  dtn-cli l1 never-voted .dtn/peers/0\n\n\
        Only for a key that was made by hand and never used. Without, a peer without a store takes it for lost and is\n\
        silent until it cannot contradict what it may have said. docs/operate/operation.md tells more.")]
    NeverVoted {
        /// The peer's folder.
        peer: PathBuf,
    },
    /// Copy the store of a stopped peer to a file.
    #[command(after_help = "Example:\n  dtn-cli l1 backup .dtn/peers/0 ledger-0.backup")]
    Backup {
        /// The peer's folder.
        peer: PathBuf,
        /// A file that is not there yet.
        file: PathBuf,
    },
    /// Put a copy in the place of a stopped peer's store that is gone.
    #[command(after_help = "Example:\n  dtn-cli l1 restore ledger-0.backup .dtn/peers/0\n\n\
        A validator is silent then until it cannot contradict what it said after the copy was made.")]
    Restore {
        /// What `l1 backup` wrote.
        file: PathBuf,
        /// The peer's folder.
        peer: PathBuf,
    },
    /// Bring the store of a stopped peer to this version of the program.
    #[command(after_help = "Example:\n  dtn-cli l1 migrate .dtn/peers/0\n\n\
        The store as it was stays beside it. docs/operate/operation.md says what each version keeps.")]
    Migrate {
        /// The peer's folder.
        peer: PathBuf,
    },
    /// Stop all peers.
    Down,
}

/// What can be asked about.
#[derive(Debug, Subcommand)]
pub(crate) enum Subject {
    /// The nonce of an account's next transaction.
    Nonce {
        /// The account's address.
        #[arg(value_parser = dtn_primitives::parse_address)]
        account: Address,
    },
    /// What became of an order.
    Order {
        /// Its transaction hash.
        order: B256,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Submit {
    /// A file with one order a line, as JSON.
    #[arg(value_name = "FILE", required_unless_present = "dataset", conflicts_with_all = ["dataset", "model", "metric"])]
    file: Option<PathBuf>,
    /// The public data set to train on.
    #[arg(long, requires_all = ["model", "metric"])]
    dataset: Option<String>,
    /// The model family.
    #[arg(long, requires = "dataset")]
    model: Option<String>,
    /// How a result is measured, with its goal.
    #[arg(long, requires = "dataset")]
    metric: Option<String>,
    /// What the work earns, with a unit, as '0.01 ether'. Needs --expected-hashes.
    #[arg(long, requires_all = ["dataset", "expected_hashes"])]
    reward: Option<String>,
    /// Ask for a proof of work of this many expected hashes.
    #[arg(long, requires = "dataset")]
    expected_hashes: Option<u64>,
}

impl Submit {
    fn orders(self) -> Result<Vec<Order>> {
        match self {
            Self { file: Some(file), .. } => Ok(orders::read(&file)?),
            Self {
                dataset: Some(dataset), model: Some(model), metric: Some(metric), reward, expected_hashes, ..
            } => {
                let work = expected_hashes.map(|expected_hashes| Work { expected_hashes });
                Ok(vec![orders::order(dataset, model, metric, reward.as_deref(), work)?])
            }
            _ => bail!(Coded::argument("nothing to submit: name a file, or give --dataset, --model and --metric")),
        }
    }
}

/// Runs an `l1` command.
pub(crate) async fn run(command: Command, context: &Context) -> Result<()> {
    let home = Home::new(&context.home);
    let json = context.json;
    match command {
        Command::Init { nodes, name, base_port, threads, transport, observers, earnings_epoch, engine, lies } => {
            let (chain_id, password_file) = (context.network()?.chain_id, context.password_file.clone());
            lies.check(nodes, chain_id)?;
            let (ports, engine) = (Ports::From(base_port), engine.named()?);
            let transport = transport.into();
            let local = Plan::local(&name, nodes).with_earnings_epoch(earnings_epoch);
            let plan = Plan { chain_id, ports, threads, password_file, transport, observers, engine, ..local };
            let genesis = make(&home, &plan)?;
            lies.tell(&home)?;
            let shown = context.home.display();
            print(json, &json!({ "home": home.path(), "network_id": genesis.network_id(), "nodes": nodes }), || {
                format!("{nodes} peers, network {}\nnext: dtn-cli l1 up --home {shown}", genesis.network_id())
            })
        }
        Command::Up { engine, lies } => up(&home, &engine, &lies, context).await,
        Command::Node(options) => node::run(options, context.verbose).await,
        Command::Submit(submit) => self::submit(&home, submit.orders()?, json).await,
        Command::Status { watch } => status::run(&home, watch, json).await,
        Command::Tail { from } => interruption::until_asked(tail::run(&home, from, json)).await,
        Command::Doctor { peer, watch } => doctor::run(&home, peer, watch, json).await,
        Command::Block { height } => {
            let Some(block) = dtn_testbed::blocks(&home, None).await?.at(height).await? else {
                dtn_testbed::client(&home)?.certificate(height).await?;
                bail!("no peer that answers has the block at height {height}, which is final");
            };
            print(json, &block, || blocks::block(&block))
        }
        Command::Certificate { height } => {
            let client = dtn_testbed::client(&home)?;
            let certified = client.certificate(height).await?;
            print(json, &certified, || blocks::certificate(&certified, client.validators()))
        }
        Command::Read { what } => {
            let question = match what {
                Subject::Nonce { account } => Question::Nonce(account),
                Subject::Order { order } => Question::Order(order),
            };
            let read = dtn_testbed::client(&home)?.read(question).await?;
            print(json, &read, || format!("{}\n{} peers signed this", blocks::answer(&read.answer), read.answers))
        }
        Command::Evidence(command) => evidence::run(command, &home, context).await,
        Command::NeverVoted { peer } => {
            store::never_voted(&peer)?;
            print(json, &json!({ "peer": peer, "never_voted": true }), || {
                format!("{} votes from its first start on", peer.display())
            })
        }
        Command::Backup { peer, file } => {
            store::back_up(&peer, &file)?;
            print(json, &json!({ "peer": peer, "file": file }), || {
                format!("{} is a copy of the store of {}", file.display(), peer.display())
            })
        }
        Command::Restore { file, peer } => {
            store::restore(&file, &peer)?;
            print(json, &json!({ "peer": peer, "file": file }), || {
                format!("{} has a store again, which does not know all that the peer said", peer.display())
            })
        }
        Command::Migrate { peer } => migrate::run(&peer, json),
        Command::Down => {
            let stopped = dtn_testbed::down(&home).await?;
            print(json, &json!({ "stopped": stopped }), || format!("{stopped} peers stopped"))
        }
    }
}

/// Starts every peer, of a network that is made first if there is none and one was asked for.
async fn up(home: &Home, engine: &EngineOptions, lies: &Lies, context: &Context) -> Result<()> {
    prepare(home, engine, context)?;
    lies.tell(home)?;
    let bar = output::progress(home.peers()?.len() as u64, "peers");
    let quorum = home.genesis()?.validator_set()?.quorum();
    let up = async { Ok(dtn_testbed::up(home, quorum, |ready| bar.set_position(ready as u64)).await?) };
    let up = interruption::unless_asked(up).await.map_err(|error| match error.is::<Interrupted>() {
        true => error.context(format!(
            "peers that were started go on, until `dtn-cli l1 down --home {}`",
            home.path().display()
        )),
        false => error,
    })?;
    bar.finish_and_clear();
    up.failures.iter().for_each(output::warn);
    status::print(context.json, home, up.statuses.into_iter().map(Found::from).collect())
}

/// Makes the files of a network while a bar shows how far that is.
pub(crate) fn make(home: &Home, plan: &Plan) -> Result<Genesis> {
    let bar = output::progress((2 * plan.nodes + plan.observers) as u64 + 1, "keys");
    let (asked, interrupted) = (interruption::asked(), Arc::new(AtomicBool::new(false)));
    let waiting = tokio::spawn({
        let interrupted = interrupted.clone();
        async move { interrupted.store(asked.await.is_ok(), Relaxed) }
    });
    let made = || {
        bar.inc(1);
        // What is made is removed then: keys and a password that nobody knows of are worse than none.
        if interrupted.load(Relaxed) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let genesis = tokio::task::block_in_place(|| dtn_testbed::init(home, plan, made));
    waiting.abort();
    bar.finish_and_clear();
    Ok(genesis?)
}

/// Sees to it that there is a network with the engine that is asked for, if one is.
fn prepare(home: &Home, engine: &EngineOptions, context: &Context) -> Result<()> {
    let named = engine.named()?;
    let Some(wanted) = engine.engine else { return Ok(()) };
    if !exists(&home.genesis_file())? {
        let plan = Plan {
            ports: Ports::From(BASE_PORT),
            password_file: context.password_file.clone(),
            engine: named,
            chain_id: context.network()?.chain_id,
            ..Plan::local("dtn", MIN_VALIDATORS)
        };
        return make(home, &plan).map(|_| ());
    }
    let has = Engine::from(home.genesis()?.engine);
    ensure!(
        has == wanted,
        "the network in {} has the engine {has:?}, which is part of its genesis: choose another folder with --home",
        home.path().display()
    );
    Ok(())
}

fn print<T: Display>(json: bool, data: &impl serde::Serialize, text: impl FnOnce() -> T) -> Result<()> {
    if json { output::json(data) } else { output::line(text()) }
}

async fn submit(home: &Home, orders: Vec<Order>, json: bool) -> Result<()> {
    let client = dtn_testbed::client(home)?;
    let key = dtn_testbed::client_key(home)?;
    let transactions = client.sign(orders, &key).await?;
    let bar = output::progress(transactions.len() as u64, "final");
    let fates = Fates::new(&client.domain, &transactions);
    let tell = |event: Event<'_>| {
        bar.inc(u64::from(matches!(event, Event::Final(..))));
        fates.learn(event);
    };
    let accepted = interruption::unless_asked(async { Ok(client.execute_all(&transactions, tell).await?) }).await;
    bar.finish_and_clear();
    let accepted = accepted.map_err(|error| {
        output::note(&fates);
        error.context(Unfinished(fates.json()))
    })?;
    print(json, &accepted, || blocks::orders(&transactions, &accepted))
}
