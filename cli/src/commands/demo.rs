//! `dtn-cli demo`: the main job from the first key to the last payout, on real processes and a real chain.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use alloy::{primitives::I256, providers::Provider};
use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use dtn_client::{Blocks, Client, Event, Part, Race, Races};
use dtn_peer::SettlementConfig;
use dtn_primitives::{Address, B256, Order, Payload, Round, Transaction, U256};
use dtn_report::{
    Agreement, CertificateEntry, ClaimEntry, GasEntry, Payout, RoundEntry, RunReport, Settlement, SlashEntry,
    WorkEntry, units,
};
use dtn_settlement::{
    Account, Chain, ContractAddresses, Network,
    amount::format_amount,
    aow::{Aow, ClaimStatus},
    connection::ConnectError,
    contracts::RewardDistributor,
    deploy::{DeployPlan, deploy, fund, top_up},
    dev_keys::dev_key,
    gas_ledger::{GasLedger, GasRecord, TransactionStatus},
    networks::LOCAL_CHAIN_ID,
    payouts::{self, payouts},
};
use dtn_testbed::{Home, OwnNetwork, Plan, Ports, Service};
use indicatif::ProgressBar;

use crate::commands::l1::engine::EngineOptions;
use crate::{
    commands::aow::rounds::{self, Asked},
    commands::l1::{self, orders},
    interruption, output,
};

/// What each owner gets for its transactions.
const OWNER_GAS_WEI: u128 = 1_000_000_000_000_000_000;

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
        true => error.context(
            "the demo takes its orders from the folder that this program was built from: run it there, or name a file of orders \
             with --transactions",
        ),
        false => error,
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

    let plan = Plan { nodes: demo.nodes, mining: demo.engine.mining()?, ..Plan::new("demo", LOCAL_CHAIN_ID) };
    l1::make(home, &plan)?;
    let client = dtn_testbed::client(home)?;
    let chain = start_chain(home).await?;
    let network = chain.network().clone();
    narrator.say(format_args!("keys and genesis of {} peers; anvil at {}", demo.nodes, network.rpc));

    let deployer = dev_key(0).context("anvil's first development key")?;
    let deployer_gas = GasLedger::new(home.path().join("gas.jsonl"));
    let account = Account::new(chain.clone(), deployer, deployer_gas.clone());
    let deployment = deploy(&account, &DeployPlan::new(&client.genesis, None, None)?, |_| ()).await?;
    let contracts = deployment.addresses;
    fund(&account, &deployment.owners, U256::from(OWNER_GAS_WEI), |_, _| ()).await?;
    top_up(&account, contracts.distributor, promised).await?;
    narrator.say(format_args!(
        "contracts deployed ({} of {} owners); the distributor holds {}",
        deployment.threshold,
        deployment.owners.len(),
        format_amount(promised)
    ));

    let settlement = SettlementConfig { name: network.name.clone(), contracts, chain: network.clone() };
    dtn_testbed::set_settlement(home, &settlement)?;
    // One peer is told to cheat: it claims half of its work as all of it, to its peers and on chain.
    let cheat = demo.nodes - 1;
    dtn_testbed::set_half_work(home, cheat)?;
    let before = payee_balances(home, &chain).await?;
    let bar = output::progress(demo.nodes as u64, "peers");
    let statuses = dtn_testbed::up_all(home, |ready| bar.set_position(ready as u64)).await?;
    bar.finish_and_clear();
    narrator.say(format_args!("{} peers are connected to each other", statuses.len()));

    let cheat = statuses[cheat].address;
    let asked = Asked { steps: demo.steps, deadline: PATIENCE };
    let quorum = demo.nodes as u16 - 1;
    let round = rounds::begin(&client, home, &asked, quorum, round_reward).await?;
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

    let (closed, round) = rounds::end(&client, round, &asked, quorum).await?;
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
    let report = report(&finals, home, &chain, contracts, &deployer_gas, &awaited, round).await?;
    check(&report, &awaited, &finals.races, &before, &payee_balances(home, &chain).await?)?;
    narrator.say("every payee's balance, read back from the chain, grew by its rewards");
    if let Some(file) = &demo.json {
        fs::write(file, serde_json::to_string_pretty(&report)? + "\n")
            .with_context(|| format!("cannot write {}", file.display()))?;
        narrator.say(format_args!("report written to {}", file.display()));
    }
    output::line(format_args!("\n{}", report.tables("ETH")))?;
    if demo.keep {
        left_running(home, &network, contracts)?;
    }
    Ok(())
}

/// Starts the network's own anvil as a process that can outlive this one.
async fn start_chain(home: &Home) -> Result<Chain> {
    let port = dtn_testbed::ports(Ports::Free, 1)?[0];
    let service = Service::chain(home, port);
    let mut child = service.spawn()?;
    let network = Network::local(format!("http://127.0.0.1:{port}"));
    let began = Instant::now();
    loop {
        match Chain::connect(&network).await {
            Err(ConnectError::Unreachable { .. }) if began.elapsed() < PATIENCE => {
                if let Some(why) = service.ended(&mut child)? {
                    bail!(why);
                }
            }
            connected => return Ok(connected?),
        }
    }
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

/// What became final since the network began, as far as it was read.
struct Finals {
    blocks: Blocks,
    open: Races,
    /// Those that are over.
    races: Vec<Race>,
    /// Of every block.
    certificates: Vec<CertificateEntry>,
}

impl Finals {
    async fn of(home: &Home) -> Result<Self> {
        let (blocks, open) = (dtn_testbed::blocks(home, None).await?, Races::default());
        Ok(Self { blocks, open, races: Vec::new(), certificates: Vec::new() })
    }

    fn height(&self) -> u64 {
        self.certificates.len() as u64
    }

    /// Reads every block that became final in the meantime.
    async fn read_on(&mut self) -> Result<()> {
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

async fn payee_balances(home: &Home, chain: &Chain) -> Result<BTreeMap<Address, U256>> {
    let mut balances = BTreeMap::new();
    for peer in home.peers()? {
        let payee = peer.config(&[])?.payee;
        balances.insert(payee, chain.provider().get_balance(payee).await?);
    }
    Ok(balances)
}

/// Gathers what happened from the peers' blocks, the chain's events and everybody's gas ledgers.
async fn report(
    finals: &Finals,
    home: &Home,
    chain: &Chain,
    contracts: ContractAddresses,
    deployer_gas: &GasLedger,
    awaited: &Awaited,
    round: RoundEntry,
) -> Result<RunReport> {
    let mut work = Vec::new();
    for race in &finals.races {
        let Part { worker, claim, .. } = race.winner()?;
        work.push(WorkEntry {
            transaction: race.transaction,
            subject: awaited.subjects.get(&race.transaction).cloned().unwrap_or_default(),
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
    for ledger in std::iter::once(deployer_gas.clone()).chain(ledgers) {
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
    Ok(RunReport { work, rounds: vec![round], agreement, settlement, claims, gas })
}

/// The claims of sequential work on chain, and what became of them.
async fn claims(chain: &Chain, address: Address) -> Result<Vec<ClaimEntry>> {
    let aow = Aow::new(chain.clone(), address);
    let head = chain.provider().get_block_number().await?;
    let bond = aow.terms().await?.bond;
    let slashed = aow.slashed(0..=head).await?;
    let posted = aow.posted(0..=head).await?.into_iter().map(|claim| {
        let slashed = slashed.iter().find(|slashing| slashing.id == claim.id).map(|slashing| SlashEntry {
            challenger: slashing.challenger,
            segment: slashing.segment,
            reward_wei: slashing.reward,
            burned_wei: slashing.burned,
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
