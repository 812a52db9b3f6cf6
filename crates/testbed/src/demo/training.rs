//! The training orders of the main job: models that are really trained, by three providers of which one is a thief, and checked
//! by all validators, of which one is lazy.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use alloy::providers::Provider;
use alloy_primitives::{Address, B256, U256};
use dtn_api::ApiClient;
use dtn_bindings::ContractAddresses;
use dtn_chain::{Account, Chain};
use dtn_participant::{Behaviour, Draft, Folder, Hand, Mode, Options, Participant, Peer, Roles};
use dtn_primitives::{SecretKey, keccak256};
use dtn_report::{EarnedEntry, TrainingEntry, TrainingPart};
use dtn_settlement::deposits::deposit_calls;
use dtn_train::{Family, Fraction, Grid, Recipe, shipped};
use dtn_training::{Beacon, Ending, Grade, Order, Phase, Stage, TrainingOrder, Why};
use tokio::{task::JoinHandle, time::sleep};

use super::{DemoError, PATIENCE, POLL};
use crate::{Home, client_key};

/// What everybody who takes part deposits, in wei.
const DEPOSIT: u128 = 1_000_000_000_000_000_000;

/// What an order pays, in wei.
const REWARD: u128 = 50_000_000_000_000_000;

/// How long claims are taken at most: all providers are there.
const CLAIM_MS: u64 = 30_000;

/// How long each other phase lasts at most, in milliseconds: a peer that was killed is waited for so long.
const WINDOW_MS: u64 = 10_000;

/// The providers: two honest ones, and the thief, who claims what the first of them trains.
const PROVIDERS: usize = 3;

const PROVIDE: Roles = Roles { provide: true, validate: false, challenge: false };

/// Whoever takes part beside the peers, until it is dropped.
pub(super) struct Market {
    peer: Peer,
    requester: SecretKey,
    providers: Vec<SecretKey>,
    folder: std::path::PathBuf,
    acting: Vec<JoinHandle<std::convert::Infallible>>,
    /// What they had on chain before.
    before: BTreeMap<Address, U256>,
    /// The validators, and which of them is lazy.
    validators: Vec<Address>,
    lazy: Address,
    /// The orders, what they are called, and when they were handed in.
    ordered: Vec<(B256, &'static str, Instant)>,
}

impl Drop for Market {
    fn drop(&mut self) {
        self.acting.iter().for_each(JoinHandle::abort);
    }
}

/// What is ordered: data, recipe, baseline and how it is called.
fn orders(validators: usize) -> Result<[(Draft, &'static str); 2], DemoError> {
    // All of them, so that whoever is lazy is among them.
    let committee = validators.min(7) as u8;
    let fractions = |text: &str| text.parse::<Fraction>().into_iter().collect::<Vec<_>>();
    let rate = |text| Grid { learning_rate: fractions(text), momentum: fractions("0.9"), ..Grid::default() };
    let draft = |data: &str, holdout, fold, recipe, baseline: &str| -> Result<Draft, DemoError> {
        Ok(Draft {
            data: shipped(data).map_err(|_| DemoError::NoData)?,
            holdout,
            fold,
            draw: None,
            mode: Mode::Trace,
            recipe,
            baseline: baseline.parse().map_err(|_| DemoError::NoData)?,
            reward: REWARD,
            stake: None,
            claims: PROVIDERS as u8,
            committee: Some(committee),
            redundancy: Some(committee.min(3)),
            beacon: Beacon::Block,
            claim_ms: CLAIM_MS,
            window_ms: Some(WINDOW_MS),
            challenge_ms: None,
        })
    };
    let digits = Recipe {
        family: Family::Mlp { hidden: vec![32] },
        grid: rate("0.05"),
        epochs: 10,
        batch: 32,
        segment_steps: 32,
    };
    let diabetes = Recipe { family: Family::Linear, grid: rate("0.01"), epochs: 40, batch: 16, segment_steps: 64 };
    Ok([
        (draft("digits", 360, 200, digits, "0.85")?, "digits, a network with 32 hidden units"),
        (draft("diabetes", 90, 50, diabetes, "0.9")?, "diabetes, least squares"),
    ])
}

impl Market {
    /// Has everybody deposit what taking part takes, and starts the providers and the requester.
    pub(super) async fn open(
        home: &Home,
        payer: &Account,
        contracts: ContractAddresses,
        (validators, lazy): (Vec<Address>, Address),
    ) -> Result<Self, DemoError> {
        let (peer, requester) = (Peer::at(home.client()?.peers[0]).await?, client_key(home)?);
        let provider = |number: usize| {
            let secret = keccak256([b"provider", &number.to_be_bytes()[..], &requester.address()[..]].concat());
            SecretKey::from_bytes(&secret).map_err(|_| DemoError::NoKey)
        };
        let providers = (0..PROVIDERS).map(provider).collect::<Result<Vec<_>, _>>()?;
        let accounts =
            || validators.iter().copied().chain([requester.address()]).chain(providers.iter().map(SecretKey::address));
        for account in accounts() {
            let calls = deposit_calls(payer.chain(), contracts.vault, (payer.address(), account), U256::from(DEPOSIT));
            for call in calls.await? {
                payer.send(&call).await.map_err(DemoError::Deposit)?;
            }
        }
        let mut before = BTreeMap::new();
        for account in accounts() {
            before.insert(account, balance_on(payer.chain(), account).await?);
        }
        let folder = home.path().join("training");
        let (acting, ordered) = (Vec::new(), Vec::new());
        let mut market = Self { peer, requester, providers, folder, acting, before, validators, lazy, ordered };
        market.wait_for_deposits(home).await?;
        market.start();
        Ok(market)
    }

    /// Who claims what another trains.
    pub(super) fn thief(&self) -> Address {
        self.providers[PROVIDERS - 1].address()
    }

    async fn wait_for_deposits(&self, home: &Home) -> Result<(), DemoError> {
        let (client, began) = (crate::client(home)?, Instant::now());
        for account in self.before.keys() {
            while client.peers[0].balance(*account).await.is_ok_and(|balance| balance.free < U256::from(DEPOSIT)) {
                if began.elapsed() > PATIENCE {
                    return Err(DemoError::NoDeposit(*account));
                }
                sleep(POLL).await;
            }
        }
        Ok(())
    }

    /// Starts the requester, who opens rows, and the thief, who is faster than the others.
    fn start(&mut self) {
        let victim = Behaviour::Thief(self.providers[0].address());
        let requester = self.act(&self.requester, Roles::default(), Behaviour::Honest);
        self.acting = vec![requester, self.act(&self.providers[PROVIDERS - 1], PROVIDE, victim)];
    }

    /// Starts the honest providers once the thief has claimed.
    async fn start_others(&mut self) -> Result<(), DemoError> {
        for (id, _, handed_in) in &self.ordered {
            while self.peer.order(*id).await?.order.claims().is_empty() {
                if handed_in.elapsed() > PATIENCE {
                    return Err(DemoError::OrderOpen { order: *id, phase: Phase::Claiming.to_string() });
                }
                sleep(POLL).await;
            }
        }
        for key in &self.providers[..PROVIDERS - 1] {
            self.acting.push(self.act(key, PROVIDE, Behaviour::Honest));
        }
        Ok(())
    }

    fn folder_of(&self, key: &SecretKey) -> Folder {
        Folder::new(self.folder.join(format!("{:x}", key.address())))
    }

    fn act(&self, key: &SecretKey, roles: Roles, behaviour: Behaviour) -> JoinHandle<std::convert::Infallible> {
        let options = Options { behaviour, ..Options::new(roles, key.address()) };
        tokio::spawn(Participant::new(self.peer.clone(), key.clone(), self.folder_of(key), None, options).run())
    }

    /// Hands the orders in, and has the others begin.
    pub(super) async fn order(&mut self) -> Result<usize, DemoError> {
        let (hand, folder) = (Hand::new(self.peer.clone(), self.requester.clone()), self.folder_of(&self.requester));
        for (number, (draft, subject)) in orders(self.validators.len())?.into_iter().enumerate() {
            let secret = keccak256([&self.requester.address()[..], &number.to_be_bytes()].concat());
            let drafted = draft.make(self.peer.genesis(), secret)?;
            let handed_in = Instant::now();
            let keep = |id| folder.keep_holdout(id, &drafted.holdout, drafted.secret);
            let id = hand.order(&drafted.terms, &drafted.blobs, keep).await?;
            self.ordered.push((id, subject, handed_in));
        }
        self.start_others().await?;
        Ok(self.ordered.len())
    }

    /// Waits until all orders are over. How long each took, and its state.
    async fn end(&self) -> Result<Vec<(TrainingOrder, &'static str, Duration)>, DemoError> {
        let mut over = Vec::new();
        for (id, subject, handed_in) in &self.ordered {
            let at = loop {
                let at = self.peer.order(*id).await?;
                if at.order.is_over() {
                    break at;
                }
                if handed_in.elapsed() > PATIENCE {
                    return Err(DemoError::OrderOpen { order: *id, phase: at.order.phase().to_string() });
                }
                sleep(POLL).await;
            };
            let windows = handed_in.elapsed();
            over.push((at, *subject, windows));
        }
        Ok(over)
    }

    /// Waits until all orders are over and everything that was earned is paid on chain, and holds that against the rules.
    pub(super) async fn settle(
        &self,
        home: &Home,
        chain: &Chain,
    ) -> Result<(Vec<TrainingEntry>, Vec<EarnedEntry>), DemoError> {
        let over = self.end().await?;
        let thief = self.thief();
        let entries: Vec<_> = over.iter().map(|(at, subject, took)| self.entry(at, subject, *took, thief)).collect();
        for (at, ..) in &over {
            let Phase::Ended(Ending::Final { claim }) = at.order.phase() else {
                return Err(DemoError::NoWinner(at.order.id()));
            };
            if at.order.claims()[usize::from(claim)].worker == thief {
                return Err(DemoError::ThiefWon(at.order.id()));
            }
            let lazy = at.order.committee().iter().find(|member| member.account == self.lazy);
            // On a machine that is too busy it may have been late, and stated nothing.
            if lazy.is_none_or(|member| member.out.is_none() && member.audit.is_some()) {
                return Err(DemoError::NotCaught { order: at.order.id(), account: self.lazy });
            }
        }
        let (client, began) = (crate::client(home)?, Instant::now());
        let mut earned = Vec::new();
        for provider in self.providers.iter().map(SecretKey::address) {
            let entry = loop {
                let balance =
                    client.peers[0].balance(provider).await.map_err(dtn_participant::ParticipantError::from)?;
                let now = balance_on(chain, provider).await?;
                let delta = now.saturating_sub(self.before.get(&provider).copied().unwrap_or_default());
                if delta == balance.earned {
                    break EarnedEntry { account: provider, earned_wei: balance.earned, balance_delta_wei: delta };
                }
                if delta > balance.earned || began.elapsed() > PATIENCE {
                    return Err(DemoError::Unpaid { account: provider, earned: balance.earned, delta });
                }
                sleep(POLL).await;
            };
            if !entry.earned_wei.is_zero() {
                earned.push(entry);
            }
        }
        Ok((entries, earned))
    }

    fn entry(&self, at: &TrainingOrder, subject: &str, took: Duration, thief: Address) -> TrainingEntry {
        let order = &at.order;
        let parts = (0u8..).zip(order.claims()).map(|(number, claim)| {
            let role = if claim.worker == thief { "provider, a thief" } else { "provider" };
            let grades = claim.grades.unwrap_or_default();
            let classes = order.deal().classes;
            let grade = |grade: Option<Grade>, rows: u32| grade.map(|grade| words(grade, classes, rows));
            let is_winner = order.phase() == Phase::Ended(Ending::Final { claim: number });
            let verdict = match (&claim.out, claim.stage) {
                (Some(out), _) => format!("slashed: {}", out.fault),
                (None, Stage::Committed(_)) => "never revealed".to_string(),
                (None, _) if is_winner => "has won".to_string(),
                (None, _) => "stands".to_string(),
            };
            TrainingPart {
                role: role.into(),
                known: order.work().fold.and_then(|fold| grade(grades.fold, fold.rows)),
                hidden: grade(grades.hidden, order.deal().draw),
                segments: if claim.audited { order.work().segments.into() } else { 0 },
                verdict,
                ..part(order, claim.worker)
            }
        });
        let members = order.committee().iter().enumerate().map(|(place, member)| TrainingPart {
            role: if member.account == self.lazy { "validator, lazy".into() } else { "validator".into() },
            segments: if member.audit.is_some() { order.segments_of(place).len() } else { 0 },
            verdict: match (&member.out, member.late) {
                (Some(out), _) => format!("slashed: {}", out.fault),
                (None, 0) => "stands".into(),
                (None, late) => format!("{late} times late"),
            },
            ..part(order, member.account)
        });
        let took_ms = took.as_millis() as u64;
        TrainingEntry { order: order.id(), subject: subject.into(), took_ms, parts: parts.chain(members).collect() }
    }
}

/// What an account was paid and what it lost.
fn part(order: &Order, account: Address) -> TrainingPart {
    let (mut paid, mut lost) = (0, 0);
    for payment in order.settlement() {
        match payment.why {
            Why::Slashed { from } | Why::Late { from } if from == account => lost += payment.amount,
            Why::Stake | Why::Bond => {}
            _ if payment.to == Some(account) => paid += payment.amount,
            _ => {}
        }
    }
    TrainingPart {
        account,
        role: String::new(),
        known: None,
        hidden: None,
        segments: 0,
        verdict: String::new(),
        paid_wei: U256::from(paid),
        lost_wei: U256::from(lost),
    }
}

fn words(grade: Grade, classes: u16, rows: u32) -> String {
    let summary = grade.summary(classes, rows);
    if classes == 0 { format!("mse {summary:.3}") } else { format!("{:.1} %", 100.0 * summary) }
}

async fn balance_on(chain: &Chain, account: Address) -> Result<U256, DemoError> {
    Ok(chain.provider().get_balance(account).await.map_err(crate::account::AccountError::from)?)
}
