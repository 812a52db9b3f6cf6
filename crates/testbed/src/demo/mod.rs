//! The main job from the first key to the last payout, on real processes and a real chain: orders are submitted, raced for,
//! agreed on, certified and paid, beside a round of sequential work in which one peer cheats.

mod check;
mod error;
mod training;

use std::{
    collections::HashSet,
    time::{Duration, Instant},
};

use alloy_primitives::{Address, B256, U256};
use dtn_api::Status;
use dtn_bindings::{ContractAddresses, RewardDistributor};
use dtn_chain::{Account, Chain, gas_ledger::GasLedger};
use dtn_client::{Client, Event};
use dtn_keys::dev_key;
use dtn_participant::Behaviour;
use dtn_primitives::{Order, Round, TrainingTerms, Transaction};
use dtn_report::{Progress, RoundEntry, RunReport, Tell};
use dtn_settlement::{
    aow::{Aow, ClaimStatus},
    deploy::Deployment,
};

pub use self::error::DemoError;
use self::{check::Awaited, training::Market};
use crate::{
    Home, Service,
    account::{Finals, payee_balances, report},
    rounds::{self, Asked},
};

/// What each peer earns that completes the round, in wei.
const ROUND_REWARD_WEI: u128 = 10_000_000_000_000_000;

/// How long the payouts may make no progress.
const PATIENCE: Duration = Duration::from_secs(120);

/// How long a primary has before its view ends, in milliseconds; the windows of training orders are multiples of it.
pub const VIEW_TIMEOUT_MS: u64 = 500;

/// What the demo's network demands of training orders: windows and epochs for who looks on.
pub fn training_terms() -> TrainingTerms {
    TrainingTerms { view_timeout_ms: VIEW_TIMEOUT_MS, ruling_ms: 50, epoch_ms: 2_000, ..TrainingTerms::default() }
}

const POLL: Duration = Duration::from_millis(100);

/// What is to be done.
#[derive(Debug, Clone)]
pub struct Demo {
    /// How many peers the network has.
    pub nodes: usize,
    /// The orders, without nonces.
    pub orders: Vec<Order>,
    /// Steps of sequential work for each peer.
    pub steps: u64,
    /// Whether models are ordered. Not where blocks are mined: what is challenged there is final too late for windows that people
    /// wait for.
    pub train: bool,
    /// Whether a peer that is not the primary is killed once the first reward is paid.
    pub crash: bool,
}

/// What has been done so far.
#[derive(Debug)]
pub enum Happening<'a> {
    /// The settlement chain runs.
    ChainRuns(&'a Chain),
    /// The contracts are there, and the distributor holds what was promised.
    Deployed(&'a Deployment),
    /// So many peers are connected to each other.
    Connected(usize),
    /// Everybody who takes part in training orders has money in the ledger.
    Deposited {
        /// Who claims what another trains.
        thief: Address,
        /// Which validator states what it has not worked for.
        lazy: Address,
    },
    /// So many training orders are handed in.
    TrainingOrdered(usize),
    /// The training orders are over, and what was earned is paid on chain.
    Trained {
        /// How many orders.
        orders: usize,
        /// How many accounts were paid.
        paid: usize,
        /// The longest of them, until it was over, in milliseconds.
        longest_ms: u64,
    },
    /// A block has opened the round of sequential work, in which a peer was told to cheat.
    RoundOpened {
        /// The block's height.
        height: u64,
        /// Who cheats.
        cheat: Address,
    },
    /// So many orders are final.
    OrdersFinal(usize),
    /// The round is closed.
    RoundClosed {
        /// How many peers have completed it.
        completions: usize,
        /// How many others have accepted what the cheat claims.
        accepted: usize,
    },
    /// So many races are won and so many rewards paid.
    Settling {
        /// Races that are won.
        won: usize,
        /// Of so many.
        races: usize,
        /// Rewards that are paid.
        paid: usize,
        /// Of so many.
        rewards: usize,
    },
    /// A peer was killed.
    Killed(usize),
    /// All races are won, all rewards are paid, and the false claim of the round is slashed.
    Settled {
        /// How many races.
        races: usize,
        /// How many rewards.
        rewards: usize,
    },
    /// Every payee's balance has grown by its rewards.
    Checked,
}

/// What came of it.
#[derive(Debug)]
pub struct Done {
    /// What happened, and what it cost.
    pub report: RunReport,
    /// The settlement chain.
    pub chain: Chain,
    /// The contracts on it.
    pub contracts: ContractAddresses,
}

/// Who is told what happens, and how far that is.
struct Audience<'a> {
    happens: &'a mut dyn FnMut(Happening<'_>),
    tell: Tell<'a>,
}

impl Demo {
    /// What all orders and the round earn together, in wei. All peers but one complete the round.
    pub fn promised(&self) -> U256 {
        let orders: U256 = self.orders.iter().map(|order| order.reward).sum();
        orders + U256::from(ROUND_REWARD_WEI) * U256::from(self.nodes.saturating_sub(1))
    }

    /// Does it on the network whose files are in a folder and of which nothing runs yet, and holds what came of it against
    /// the orders. The peers and the chain are left running.
    pub async fn perform(
        self,
        home: &Home,
        happens: &mut dyn FnMut(Happening<'_>),
        tell: Tell<'_>,
    ) -> Result<Done, DemoError> {
        let mut audience = Audience { happens, tell };
        let client = crate::client(home)?;
        let chain = crate::start_chain(home, PATIENCE).await?;
        (audience.happens)(Happening::ChainRuns(&chain));
        let deployer = dev_key(0).ok_or(DemoError::NoKey)?;
        let gas = GasLedger::new(home.path().join(GasLedger::FILE_NAME));
        let account = Account::new(chain.clone(), deployer, gas.clone());
        let deployment = crate::settle_on(home, &account, self.promised()).await?;
        (audience.happens)(Happening::Deployed(&deployment));
        let contracts = deployment.addresses;

        // One peer is told to cheat: it claims half of its work as all of it, to its peers and on chain.
        let cheat = self.nodes - 1;
        crate::set_half_work(home, cheat)?;
        // Another one takes part in training orders lazily; the rest does by the rules.
        let lazy = cheat - 1;
        for peer in (0..self.nodes).filter(|_| self.train) {
            let behaviour = if peer == lazy { Behaviour::Lazy } else { Behaviour::Honest };
            crate::training::set_training(home, peer, behaviour)?;
            crate::change(home, peer, |config| config.view_timeout_ms = VIEW_TIMEOUT_MS)?;
        }
        let before = payee_balances(home, &chain).await?;
        let statuses = crate::up_all(home, tell).await?;
        (audience.happens)(Happening::Connected(statuses.len()));
        let mut market = None;
        if self.train {
            let addresses: Vec<_> = statuses.iter().map(|status| status.address).collect();
            let lazy = statuses[lazy].address;
            let opened = market.insert(Market::open(home, &account, contracts, (addresses, lazy)).await?);
            (audience.happens)(Happening::Deposited { thief: opened.thief(), lazy });
            (audience.happens)(Happening::TrainingOrdered(opened.order().await?));
        }
        let crash = self.crash.then(|| backup(&statuses)).flatten();
        let worked = self.work(&client, home, statuses[cheat].address, &mut audience).await?;

        let awaited = Awaited::new(&worked.transactions, &worked.closed, worked.cheat, &client);
        let mut finals = Finals::of(home).await?;
        let settling = Settling { awaited: &awaited, chain: &chain, contracts, home };
        settling.run(&mut finals, crash, &mut audience).await?;

        let (mut training, mut earned) = (Vec::new(), Vec::new());
        if let Some(market) = &market {
            (training, earned) = market.settle(home, &chain).await?;
            let longest_ms = training.iter().map(|order| order.took_ms).max().unwrap_or_default();
            (audience.happens)(Happening::Trained { orders: training.len(), paid: earned.len(), longest_ms });
        }
        finals.read_on().await?;
        let report = report(&finals, home, &chain, contracts, &gas, &awaited.subjects, vec![worked.round]).await?;
        awaited.check(&report, &finals.races, &before, &payee_balances(home, &chain).await?)?;
        (audience.happens)(Happening::Checked);
        let report = RunReport { training, earned, ..report };
        Ok(Done { report, chain, contracts })
    }

    /// Has the orders made final while the peers work for the round.
    async fn work(
        self,
        client: &Client,
        home: &Home,
        cheat: Address,
        Audience { happens, tell }: &mut Audience<'_>,
    ) -> Result<Worked, DemoError> {
        let (quorum, reward) = (self.nodes as u16 - 1, U256::from(ROUND_REWARD_WEI));
        let asked = Asked { steps: self.steps, deadline: PATIENCE, quorum, reward };
        let height = rounds::open(client, home, &asked).await?;
        happens(Happening::RoundOpened { height, cheat });
        let transactions = client.sign(self.orders, &crate::client_key(home)?).await?;
        tell(Progress::Stage { what: "orders final", parts: transactions.len() as u64 });
        let count = |event: Event<'_>| {
            if matches!(event, Event::Final(..)) {
                tell(Progress::Part);
            }
        };
        client.execute_all(&transactions, count).await?;
        tell(Progress::Over);
        happens(Happening::OrdersFinal(transactions.len()));
        let (closed, round) = rounds::end(client, height, &asked, *tell).await?;
        let accepted = round.verifications.iter().filter(|it| it.node == cheat && it.valid).count();
        happens(Happening::RoundClosed { completions: round.completions.len(), accepted });
        Ok(Worked { transactions, closed, round, cheat })
    }
}

/// The last validator that is not the primary.
fn backup(statuses: &[Status]) -> Option<usize> {
    let primary = statuses.first()?.primary;
    statuses.iter().filter_map(|status| status.validator).rfind(|validator| *validator != primary).map(usize::from)
}

/// Orders and a round that are to be paid.
struct Worked {
    transactions: Vec<Transaction>,
    closed: Round,
    round: RoundEntry,
    cheat: Address,
}

/// The way from final results to payouts, as the chain tells it.
struct Settling<'a> {
    awaited: &'a Awaited,
    chain: &'a Chain,
    contracts: ContractAddresses,
    home: &'a Home,
}

impl Settling<'_> {
    /// Waits until every race is won, every reward is paid and the false claim is slashed.
    async fn run(
        &self,
        finals: &mut Finals,
        mut crash: Option<usize>,
        Audience { happens, .. }: &mut Audience<'_>,
    ) -> Result<(), DemoError> {
        let (races, rewards) = (self.awaited.races.len(), self.awaited.rewards.len());
        let mut unpaid: HashSet<B256> = self.awaited.rewards.keys().copied().collect();
        let (mut moved, mut slashed) = (Instant::now(), false);
        while finals.races.len() < races || !unpaid.is_empty() || !slashed {
            let before = (finals.races.len(), unpaid.len());
            slashed = slashed || self.is_slashed().await?;
            finals.read_on().await?;
            self.strike_paid(&mut unpaid).await?;
            let (won, paid) = (finals.races.len(), rewards - unpaid.len());
            happens(Happening::Settling { won, races, paid, rewards });
            // The one that is killed may be the cheat, whose claim is to be seen to fail.
            if slashed
                && paid > 0
                && let Some(peer) = crash.take()
            {
                Service::peer(&self.home.peer(peer)).crash().await?;
                happens(Happening::Killed(peer));
            }
            if before != (won, unpaid.len()) {
                moved = Instant::now();
            }
            if moved.elapsed() >= PATIENCE {
                return Err(DemoError::NoProgress {
                    patience: PATIENCE,
                    won,
                    races,
                    unpaid: unpaid.len(),
                    rewards,
                    slashed,
                });
            }
            tokio::time::sleep(POLL).await;
        }
        happens(Happening::Settled { races: finals.races.len(), rewards });
        Ok(())
    }

    async fn is_slashed(&self) -> Result<bool, DemoError> {
        let aow = Aow::new(self.chain.clone(), self.contracts.aow);
        let claim = aow.claim(self.awaited.false_claim).await?;
        Ok(claim.is_some_and(|claim| claim.status == ClaimStatus::Slashed))
    }

    /// Takes out what is paid.
    async fn strike_paid(&self, unpaid: &mut HashSet<B256>) -> Result<(), DemoError> {
        for id in unpaid.clone() {
            if self.chain.read(self.contracts.distributor, &RewardDistributor::isPaidCall { id }).await? {
                unpaid.remove(&id);
            }
        }
        Ok(())
    }
}
