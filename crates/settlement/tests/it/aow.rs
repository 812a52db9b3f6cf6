//! Sequential work on chain: watchers, relayers and the contract, on a real anvil.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use alloy::{
    primitives::{Address, B128, B256, Bytes, U256, keccak256},
    providers::Provider,
};
use dtn_aow::{Delay, Element, Start};
use dtn_bindings::{AOW, AowChallenge, ContractAddresses, REGISTRY, ResultRegistry};
use dtn_chain::{
    Account, Call, Chain, Network, SendError,
    connection::{AnvilInstance, AnvilOptions, start_anvil},
    gas_ledger::{GasLedger, GasRecord, TransactionStatus},
};
use dtn_keys::dev_key;
use dtn_primitives::{
    Certificate, Completed, Completion, FinalizedResult, Genesis, Header, Kind, Round, SecretKey, ValidatorSet, Vote,
    VoteKind, WorkResult, merkle,
};
use dtn_settlement::{
    aow::{Aow, ClaimStatus, ClaimTerms, NewClaim, PostedClaim, checkpoints_of},
    deploy::{DeployPlan, deploy, top_up},
    multisig::{Multisig, WalletTransaction},
    payouts::payouts,
    relayer::{Relayer, RelayerOptions, RelayerStatus, ResultSource, SourceError},
    watcher::{RoundSource, Watcher, WatcherOptions, WatcherStatus},
};
use futures::{StreamExt, TryStreamExt, stream};
use tempfile::TempDir;
use tokio::{sync::watch, task::JoinHandle};

const PATIENCE: Duration = Duration::from_secs(60);
const BOND: u64 = 10_000_000_000_000_000;
const ETHER: u64 = 1_000_000_000_000_000_000;

/// What the network has agreed on, as every peer's ledger has it.
#[derive(Debug, Clone, Default)]
struct Ledger(Arc<Mutex<Agreed>>);

#[derive(Debug, Default)]
struct Agreed {
    results: Vec<FinalizedResult>,
    rounds: BTreeMap<u64, Round>,
    blocks: BTreeMap<u64, (Header, Certificate)>,
}

impl ResultSource for Ledger {
    async fn results(&self, from_height: u64) -> Result<Vec<FinalizedResult>, SourceError> {
        let agreed = self.0.lock().expect("not poisoned");
        Ok(agreed.results.iter().filter(|result| result.header.height >= from_height).cloned().collect())
    }
}

impl RoundSource for Ledger {
    async fn round(&self, number: u64) -> Result<Option<Round>, SourceError> {
        Ok(self.0.lock().expect("not poisoned").rounds.get(&number).cloned())
    }

    async fn open_round(&self) -> Result<Option<Round>, SourceError> {
        let agreed = self.0.lock().expect("not poisoned");
        Ok(agreed.rounds.values().last().filter(|round| round.closing.is_none()).cloned())
    }

    async fn certified(&self, height: u64) -> Result<Option<(Header, Certificate)>, SourceError> {
        Ok(self.0.lock().expect("not poisoned").blocks.get(&height).cloned())
    }
}

/// Four validators that own the multisig, and a chain.
struct World {
    dir: TempDir,
    _anvil: AnvilInstance,
    chain: Chain,
    /// In ascending order of address.
    keys: Vec<SecretKey>,
    genesis: Genesis,
    contracts: ContractAddresses,
    aow: Aow,
    ledger: Ledger,
}

impl World {
    async fn new(window: u32) -> Self {
        let anvil = start_anvil(Path::new(env!("CARGO_MANIFEST_DIR")), AnvilOptions::default()).await.expect("anvil");
        let network = Network { poll_interval_ms: 20, ..Network::local(anvil.endpoint()) };
        let chain = Chain::connect(&network).await.expect("anvil answers");
        let mut keys: Vec<_> = (0..4).map(|index| dev_key(index).expect("there")).collect();
        keys.sort_by_key(SecretKey::address);
        let genesis = Genesis {
            version: dtn_primitives::VERSION,
            name: "test".into(),
            chain_id: 31337,
            timestamp: 1,
            max_block_bytes: 1 << 20,
            validators: keys.iter().map(SecretKey::public_key).collect(),
            requesters: Vec::new(),
            engine: dtn_primitives::Engine::Pbft,
            kinds: Vec::new(),
            training: None,
        };
        let dir = tempfile::tempdir().expect("a temporary directory");
        let gas = GasLedger::new(dir.path().join("gas.jsonl"));
        let deployer = Account::new(chain.clone(), dev_key(9).expect("there"), gas);
        let plan = DeployPlan::new(&genesis, None, None).expect("valid");
        let claims = ClaimTerms { bond: U256::from(BOND), window, ..plan.claims };
        let plan = plan.with_claims(claims).expect("valid");
        let contracts = deploy(&deployer, &plan, |_| ()).await.expect("deployed").addresses;
        top_up(&deployer, contracts.distributor, U256::from(ETHER)).await.expect("funded");
        let aow = Aow::new(chain.clone(), contracts.aow);
        Self { dir, _anvil: anvil, chain, keys, genesis, contracts, aow, ledger: Ledger::default() }
    }

    fn account(&self, index: usize) -> Account {
        let ledger = GasLedger::new(self.dir.path().join(format!("gas-{index}.jsonl")));
        Account::new(self.chain.clone(), self.keys[index].clone(), ledger)
    }

    fn stranger(&self) -> Account {
        let ledger = GasLedger::new(self.dir.path().join("gas-stranger.jsonl"));
        Account::new(self.chain.clone(), dev_key(8).expect("there"), ledger)
    }

    fn node(&self, index: usize) -> Address {
        self.keys[index].address()
    }

    /// Makes the next block final on the L1.
    fn finalize(&self, results: &[WorkResult]) -> (u64, B256) {
        let (domain, set) = (self.genesis.domain(), ValidatorSet::new(0, self.genesis.validators.iter().copied()));
        let mut agreed = self.ledger.0.lock().expect("not poisoned");
        let last = agreed.blocks.last_key_value().map(|(height, (header, _))| (*height, header.hash()));
        let (height, parent_hash) = last.map_or((1, domain.network_id), |(height, hash)| (height + 1, hash));
        let header = Header {
            network_id: domain.network_id,
            chain_id: domain.chain_id,
            epoch: 0,
            height,
            timestamp: 1_000 * height,
            proposer: self.node(0),
            parent_hash,
            transactions_root: B256::ZERO,
            results_root: WorkResult::root(results),
        };
        let hash = header.hash();
        let vote = |key: &SecretKey| {
            let index = set.index_of(key.address()).expect("a validator");
            Vote::sign(VoteKind::Commit, (0, 0, height), hash, index, key, &domain)
        };
        let certificate = Certificate::from_votes(&self.keys.iter().map(vote).collect::<Vec<_>>()).expect("votes");
        let leaves: Vec<_> = results.iter().map(WorkResult::leaf).collect();
        for (index, result) in results.iter().enumerate() {
            let proof = merkle::proof(&leaves, index).expect("in range");
            let (header, certificate, result) = (header.clone(), certificate.clone(), result.clone());
            agreed.results.push(FinalizedResult { header, certificate, result, proof, solution: None });
        }
        agreed.blocks.insert(height, (header, certificate));
        (height, hash)
    }

    /// Opens a round in a block of its own.
    fn open_round(&self, steps: u64) -> Round {
        let (height, block_hash) = self.finalize(&[]);
        let mut agreed = self.ledger.0.lock().expect("not poisoned");
        let round = Round {
            number: agreed.rounds.len() as u64 + 1,
            height,
            block_hash,
            steps,
            quorum: 3,
            reward: U256::from(1_000),
            opened_at_ms: 1_000 * height,
            deadline_ms: u64::MAX,
            completed: Vec::new(),
            closing: None,
        };
        agreed.rounds.insert(round.number, round.clone());
        round
    }

    fn start(&self, round: &Round, node: Address) -> Element {
        let (domain, steps) = (self.genesis.domain(), round.steps);
        Start { domain, round: round.number, previous_block_hash: round.block_hash, node, steps }.element()
    }

    /// Has validators complete a round in the next block, each paid to an account of its own.
    fn complete(&self, round: &Round, nodes: &[usize]) -> Vec<WorkResult> {
        let mut completed = Vec::new();
        for index in nodes {
            let node = self.node(*index);
            let result = Delay::default().iterate(self.start(round, node), round.steps);
            let completion = Completion {
                round: round.number,
                result: B128::from(result.to_bytes()),
                proof_digest: keccak256("proof"),
                payee: payee(*index),
                started_at_us: 0,
                compute_us: 0,
                prove_us: 0,
            };
            completed.push(Completed { node, height: round.height + 1, timestamp_ms: 0, completion });
        }
        let results: Vec<_> = completed
            .iter()
            .map(|Completed { node, completion, .. }| WorkResult {
                kind: Kind::ROUND,
                id: Round::id(round.number, *node),
                worker: *node,
                payee: completion.payee,
                amount: round.reward,
                digest: round.outcome(*node, completion.result),
            })
            .collect();
        self.finalize(&results);
        let mut agreed = self.ledger.0.lock().expect("not poisoned");
        agreed.rounds.get_mut(&round.number).expect("opened").completed = completed;
        results
    }

    /// Has the registry hold a round's block.
    async fn register(&self, height: u64) {
        let (header, certificate) = self.ledger.certified(height).await.expect("there").expect("there");
        let signatures = certificate.signatures.iter().take(3).flat_map(|(_, signature)| signature.0).collect();
        let call =
            ResultRegistry::finalizeCall { header: (&header).into(), view_: certificate.view, certificate: signatures };
        self.stranger().send(&Call::new(REGISTRY, self.contracts.registry, &call)).await.expect("final");
    }

    /// The claim that a validator makes of a round when it has done the work.
    fn claim(&self, round: &Round, index: usize) -> NewClaim {
        let result = Delay::default().iterate(self.start(round, self.node(index)), round.steps);
        let (_, checkpoints) = checkpoints_of(result, round.steps).expect("settles");
        let Round { number, height, steps, .. } = *round;
        NewClaim { round: number, height, steps, checkpoints, proof_digest: keccak256("proof") }
    }

    /// Posts a claim, and gives what it is known by.
    async fn post(&self, index: usize, claim: &NewClaim) -> B256 {
        self.aow.post(&self.account(index), claim, U256::from(BOND)).await.expect("posted");
        Round::id(claim.round, self.node(index))
    }

    fn watch(&self, index: usize, options: WatcherOptions) -> Peer<WatcherStatus> {
        let watcher = Watcher::new(self.account(index), self.contracts, self.ledger.clone(), options);
        let status = watcher.status();
        let task = tokio::spawn(async move {
            watcher.run().await;
        });
        Peer { task, status }
    }

    fn relay(&self, account: Account) -> Peer<RelayerStatus> {
        self.relay_for(account, Duration::MAX)
    }

    fn relay_for(&self, account: Account, claim_patience: Duration) -> Peer<RelayerStatus> {
        let takeover = Duration::from_millis(500);
        let options = RelayerOptions { poll: QUICK.poll, takeover, concurrency: 4, claim_patience };
        let relayer = Relayer::new(account, self.contracts, self.ledger.clone(), options);
        let status = relayer.status();
        let task = tokio::spawn(async move {
            relayer.run().await;
        });
        Peer { task, status }
    }

    async fn balance(&self, of: Address) -> U256 {
        self.chain.provider().get_balance(of).await.expect("a balance")
    }

    async fn status(&self, id: B256) -> Option<ClaimStatus> {
        self.aow.claim(id).await.expect("answered").map(|claim| claim.status)
    }

    async fn head(&self) -> u64 {
        self.chain.provider().get_block_number().await.expect("a number")
    }

    async fn posted(&self) -> Vec<PostedClaim> {
        self.aow.posted(0..=self.head().await).await.expect("read")
    }

    /// Lets time pass on the chain.
    async fn pass_time(&self, seconds: u64) {
        let _: serde_json::Value =
            self.chain.provider().raw_request("evm_increaseTime".into(), (seconds,)).await.expect("increased");
        let _: String = self.chain.provider().raw_request("evm_mine".into(), ()).await.expect("mined");
    }
}

const QUICK: WatcherOptions = WatcherOptions {
    poll: Duration::from_millis(30),
    takeover: Duration::from_secs(1),
    uphold: false,
    false_claims: false,
};

fn payee(index: usize) -> Address {
    Address::repeat_byte(0xa0 + index as u8)
}

struct Peer<T> {
    task: JoinHandle<()>,
    status: watch::Receiver<T>,
}

impl<T: Copy + std::fmt::Debug> Peer<T> {
    async fn reaches(&mut self, wanted: impl FnMut(&T) -> bool) -> T {
        let reached =
            tokio::time::timeout(PATIENCE, self.status.wait_for(wanted)).await.map(|reached| *reached.expect("alive"));
        match reached {
            Ok(reached) => reached,
            Err(_) => panic!("waited in vain at {:?}", *self.status.borrow()),
        }
    }

    async fn kill(self) {
        self.task.abort();
        let _ = self.task.await;
    }
}

async fn until<F: Future<Output = bool>>(what: &str, mut holds: impl FnMut() -> F) {
    let started = Instant::now();
    while !holds().await {
        assert!(started.elapsed() < PATIENCE, "waited in vain: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_false_claim_is_slashed_by_one_watcher_that_gets_half_of_the_bond() {
    let world = World::new(30).await;
    let round = world.open_round(3 * 4096);
    let id = Round::id(round.number, world.node(0));
    let before =
        [world.balance(world.node(1)).await, world.balance(world.node(2)).await, world.balance(world.node(3)).await];
    let liar = world.watch(0, WatcherOptions { false_claims: true, ..QUICK });
    // Long enough that nobody takes over on a slow machine.
    let patient = WatcherOptions { takeover: Duration::from_secs(9), ..QUICK };
    let mut watchers: Vec<_> = (1..4).map(|index| world.watch(index, patient)).collect();
    for watcher in &mut watchers {
        watcher.reaches(|status| status.found_false == 1).await;
    }
    until("the challenge", || async { world.status(id).await == Some(ClaimStatus::Slashed) }).await;

    // The first half of its checkpoints is right, and the first false one is where it is caught.
    let slashed = world.aow.slashed(0..=world.head().await).await.expect("read");
    let [slashing] = &slashed[..] else { panic!("{slashed:?}") };
    assert_eq!((slashing.id, slashing.segment), (id, 1));
    assert_eq!((slashing.reward, slashing.forfeited), (U256::from(BOND / 2), U256::from(BOND / 2)));
    assert_eq!(world.balance(world.contracts.multisig).await, U256::from(BOND / 2), "the owners have the other half");

    // One of them made it, and only that one has paid gas.
    until("a status", || async { watchers.iter().any(|watcher| watcher.status.borrow().challenged == 1) }).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(watchers.iter().map(|watcher| watcher.status.borrow().challenged).sum::<u64>(), 1);
    for (index, before) in (1..4).zip(before) {
        let node = world.node(index);
        let records = world.account(index).ledger().read().expect("readable").records;
        let fees: U256 = records.iter().map(GasRecord::fee).sum();
        let reward = if node == slashing.challenger { slashing.reward } else { U256::ZERO };
        assert_eq!(world.balance(node).await, before + reward - fees);
        assert_eq!(records.len(), if node == slashing.challenger { 2 } else { 0 }, "a commitment and a challenge");
    }
    // A liar that starts again does not lie twice about one round.
    liar.kill().await;
    let liar = world.watch(0, WatcherOptions { false_claims: true, ..QUICK });
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(liar.status.borrow().posted, 0);
    for watcher in watchers {
        watcher.kill().await;
    }
    liar.kill().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn duty_passes_on_when_the_first_watchers_are_away() {
    let world = World::new(6).await;
    let round = world.open_round(64);
    let id = Round::id(round.number, world.node(0));
    // Round 1 of four validators without the poster: the one in the first place is the last in turn.
    let liar = world.watch(0, WatcherOptions { false_claims: true, ..QUICK });
    until("the claim", || async { world.status(id).await.is_some() }).await;
    let mut last = world.watch(1, QUICK);
    last.reaches(|status| status.challenged == 1).await;
    assert_eq!(world.status(id).await, Some(ClaimStatus::Slashed));
    last.kill().await;
    liar.kill().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn true_completions_are_paid_once_they_stand_and_false_ones_are_forfeited() {
    let world = World::new(4).await;
    let round = world.open_round(5_000);
    let results = world.complete(&round, &[0, 1, 2, 3]);
    let accounts: Vec<_> = (0..4).map(|index| world.account(index)).collect();
    let mut relayers: Vec<_> = accounts.iter().map(|account| world.relay(account.clone())).collect();
    // Without claims, nothing is paid, and nothing counts as failed.
    tokio::time::sleep(Duration::from_millis(600)).await;
    for relayer in &relayers {
        assert_eq!(*relayer.status.borrow(), RelayerStatus { cursor: 2, open: 4, ..RelayerStatus::default() });
    }
    let multisig = Multisig::new(world.chain.clone(), world.contracts.multisig);
    assert!(multisig.proposals(None, 0).await.expect("read").is_empty(), "nothing is proposed before its time");

    let mut watchers: Vec<_> =
        (0..4).map(|index| world.watch(index, WatcherOptions { false_claims: index == 3, ..QUICK })).collect();
    for relayer in &mut relayers {
        relayer.reaches(|status| *status == RelayerStatus { cursor: 3, paid: 3, forfeited: 1, open: 0 }).await;
    }
    for watcher in watchers.iter_mut().take(3) {
        let status = watcher.reaches(|status| status.released == 1 && status.open == 0).await;
        assert_eq!(status.posted, 1);
    }
    let paid = payouts(&world.chain, world.contracts.distributor, 0).await.expect("read");
    assert_eq!(paid.len(), 3);
    for (index, result) in results.iter().enumerate() {
        let payout = paid.iter().find(|payout| payout.id == result.id);
        assert_eq!(payout.is_some(), index != 3);
        assert_eq!(world.balance(payee(index)).await, if index == 3 { U256::ZERO } else { result.amount });
        let Some(payout) = payout else { continue };
        let block = world.chain.provider().get_block_by_number(payout.block.into()).await.expect("answered");
        let claim = world.aow.claim(result.id).await.expect("answered").expect("posted");
        assert!(block.expect("there").header.timestamp > claim.deadline, "not before its claim was final");
        assert_eq!(claim.bond, U256::ZERO);
        assert_eq!(world.aow.outcome(result.id).await.expect("answered"), Some(result.digest));
    }
    assert_eq!(world.balance(world.contracts.multisig).await, U256::from(BOND / 2), "what was forfeited");
    for posted in world.posted().await {
        let false_segment = posted.first_false_segment(world.genesis.domain(), round.block_hash);
        assert_eq!(false_segment.is_some(), posted.node == world.node(3));
    }
    for peer in relayers {
        peer.kill().await;
    }
    for peer in watchers {
        peer.kill().await;
    }

    // Peers that start anew find nothing to do.
    let mut relayer = world.relay(world.account(0));
    relayer.reaches(|status| *status == RelayerStatus { cursor: 3, paid: 3, forfeited: 1, open: 0 }).await;
    relayer.kill().await;
    let head = world.head().await;
    let watcher = world.watch(1, QUICK);
    tokio::time::sleep(Duration::from_millis(300)).await;
    let WatcherStatus { challenged, posted, released, open, .. } = *watcher.status.borrow();
    assert_eq!((challenged, posted, released, open), (0, 0, 0, 0));
    assert_eq!(world.head().await, head);
    watcher.kill().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_completion_that_nobody_claims_is_given_up_in_the_end() {
    let world = World::new(3600).await;
    let first = world.open_round(100);
    world.complete(&first, &[0, 1]);
    world.register(first.height).await;
    // The first one is claimed, and has its window. Nobody claims the second one, and its block is old.
    let claimed = world.post(0, &world.claim(&first, 0)).await;
    let mut relayer = world.relay_for(world.account(2), Duration::from_secs(1));
    let status = relayer.reaches(|status| status.forfeited == 1).await;
    assert_eq!((status.paid, status.open), (0, 1));
    world.pass_time(3601).await;
    relayer.reaches(|status| status.open == 1 && status.forfeited == 1).await;
    assert!(world.aow.outcome(claimed).await.expect("answered").is_some());
    relayer.kill().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_completion_is_claimed_by_a_peer_that_has_skipped_its_block() {
    let world = World::new(3600).await;
    let round = world.open_round(100);
    let results = world.complete(&round, &[0, 1]);
    world.ledger.0.lock().expect("not poisoned").results.clear();
    let mut watcher = world.watch(1, QUICK);
    watcher.reaches(|status| status.posted == 1 && status.open == 1).await;
    assert_eq!(world.status(results[1].id).await, Some(ClaimStatus::Posted));
    watcher.kill().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_that_takes_the_place_of_another_when_the_chain_loses_blocks_is_judged_anew() {
    let world = World::new(3600).await;
    let round = world.open_round(3 * 4096);
    world.register(round.height).await;
    let provider = world.chain.provider();
    let before: U256 = provider.raw_request("evm_snapshot".into(), ()).await.expect("taken");
    let claim = world.claim(&round, 0);
    let id = world.post(0, &claim).await;
    let mut watcher = world.watch(1, QUICK);
    watcher.reaches(|status| status.checked == 1).await;

    let reverted: bool = provider.raw_request("evm_revert".into(), (before,)).await.expect("reverted");
    assert!(reverted && world.status(id).await.is_none());
    let mut other = claim.clone();
    other.checkpoints[1] = Element::ZERO;
    assert_eq!(world.post(0, &other).await, id);
    watcher.reaches(|status| status.found_false == 1 && status.challenged == 1).await;
    assert_eq!(world.status(id).await, Some(ClaimStatus::Slashed));
    watcher.kill().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_that_came_to_something_else_is_forfeited_and_cannot_be_paid() {
    let world = World::new(4).await;
    let round = world.open_round(32);
    let other = world.open_round(32);
    let results = world.complete(&round, &[0]);
    // Right work of the right length, after another block than the round's.
    world.register(other.height).await;
    let mut claim = world.claim(&Round { number: round.number, ..other.clone() }, 0);
    claim.height = other.height;
    let id = world.post(0, &claim).await;
    world.aow.verify_whole(&world.stranger(), id).await.expect("it holds");
    assert!(world.aow.outcome(id).await.expect("answered").is_some_and(|outcome| outcome != results[0].digest));

    let mut relayer = world.relay(world.account(1));
    relayer.reaches(|status| status.forfeited == 1 && status.open == 0).await;
    relayer.kill().await;
    let said = pay_by_hand(&world).await;
    assert!(said.contains(&format!("NotUpheld(id: {id})")), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn not_even_all_owners_pay_before_a_claim_is_final() {
    let world = World::new(3600).await;
    let round = world.open_round(32);
    let results = world.complete(&round, &[0]);
    let said = pay_by_hand(&world).await;
    assert!(said.contains(&format!("NotFinal(id: {})", results[0].id)), "{said}");
}

/// Has all owners agree to pay the first result, and gives what is said when it is executed.
async fn pay_by_hand(world: &World) -> String {
    let result = world.ledger.results(1).await.expect("there").remove(0);
    world.register(result.header.height).await;
    let multisig = Multisig::new(world.chain.clone(), world.contracts.multisig);
    let transaction =
        WalletTransaction::payout(world.contracts.distributor, std::slice::from_ref(&result)).expect("a result");
    multisig.propose(&world.account(0), &transaction).await.expect("proposed");
    for index in 1..4 {
        multisig.confirm(&world.account(index), multisig.id(&transaction)).await.expect("confirmed");
    }
    multisig.execute(&world.account(0), &transaction).await.expect_err("refused").to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn short_work_is_final_at_once_where_that_is_asked_for() {
    let world = World::new(3600).await;
    let round = world.open_round(100);
    let results = world.complete(&round, &[2]);
    let mut watcher = world.watch(2, WatcherOptions { uphold: true, ..QUICK });
    watcher.reaches(|status| status.released == 1 && status.open == 0).await;
    watcher.kill().await;
    assert_eq!(world.status(results[0].id).await, Some(ClaimStatus::Upheld));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watcher_killed_after_every_step_posts_once_and_gets_its_bond_back() {
    let world = World::new(4).await;
    let round = world.open_round(4096);
    let results = world.complete(&round, &[1]);
    let before = world.balance(world.node(1)).await;
    for delay in (0..).step_by(7) {
        let watcher = world.watch(1, QUICK);
        tokio::time::sleep(Duration::from_millis(delay)).await;
        watcher.kill().await;
        let claim = world.aow.claim(results[0].id).await.expect("answered");
        if claim.is_some_and(|claim| claim.bond.is_zero()) {
            break;
        }
        assert!(delay < 5_000, "never released");
    }
    assert_eq!(world.posted().await.len(), 1);
    let ledger = world.account(1).ledger().clone();
    ledger.reconcile(&world.chain).await.expect("looked up");
    let records = ledger.read().expect("readable").records;
    let mined = records.iter().filter(|record| record.status != TransactionStatus::Dropped);
    let fees: U256 = mined.map(GasRecord::fee).sum();
    assert_eq!(world.balance(world.node(1)).await, before - fees, "gas is all that it cost");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_completion_that_is_no_work_is_not_posted() {
    let world = World::new(3600).await;
    let round = world.open_round(100);
    world.complete(&round, &[0]);
    {
        // The ledger's round says something else than the result that was certified.
        let mut agreed = world.ledger.0.lock().expect("not poisoned");
        agreed.rounds.get_mut(&1).expect("there").completed[0].completion.result = B128::repeat_byte(7);
    }
    let watcher = world.watch(0, QUICK);
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(watcher.status.borrow().posted, 0);
    assert!(world.posted().await.is_empty());
    watcher.kill().await;
}

/// What a user is told when a call is refused.
fn refusal<T: std::fmt::Debug>(outcome: Result<T, SendError>) -> String {
    outcome.expect_err("refused").to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_refusal_is_told_by_its_name() {
    let world = World::new(60).await;
    let round = world.open_round(3 * 4096);
    world.register(round.height).await;
    let (aow, me) = (&world.aow, world.account(0));
    let right = world.claim(&round, 0);
    let bond = U256::from(BOND);
    let post = async |claim: NewClaim, bond: U256| refusal(aow.post(&me, &claim, bond).await);
    let raw = async |steps: u64, checkpoints: Vec<u8>| {
        let call = AowChallenge::postCall {
            round: 1,
            height: round.height,
            steps,
            checkpoints: Bytes::from(checkpoints),
            proofDigest: B256::ZERO,
        };
        refusal(me.send(&Call { value: bond, ..Call::new(AOW, aow.address(), &call) }).await)
    };
    let id = Round::id(1, world.node(0));
    let missing = Round::id(2, world.node(0));

    let said = post(right.clone(), bond - U256::from(1)).await;
    assert!(said.contains("BondTooSmall(have: 9999999999999999, need: 10000000000000000)"), "{said}");
    let said = refusal(aow.post(&world.stranger(), &right, bond).await);
    assert!(said.contains(&format!("NotValidator(account: {})", world.stranger().address())), "{said}");
    let said = post(NewClaim { height: 9, ..right.clone() }, bond).await;
    assert!(said.contains("UnknownBlock(height: 9)"), "{said}");
    let said = post(NewClaim { steps: 3 * 4096 + 1, ..right.clone() }, bond).await;
    assert!(said.contains("UnevenSegments(steps: 12289, count: 3)"), "{said}");
    let said = post(NewClaim { steps: 0, ..right.clone() }, bond).await;
    assert!(said.contains("ZeroSteps()"), "{said}");
    let said = post(NewClaim { steps: (1 << 24) + 1, ..right.clone() }, bond).await;
    assert!(said.contains("TooManySteps(steps: 16777217, limit: 16777216)"), "{said}");
    let said = post(NewClaim { steps: 3 * 4097, ..right.clone() }, bond).await;
    assert!(said.contains("SegmentTooLong(length: 4097, limit: 4096)"), "{said}");
    let said = raw(3, vec![0; 17]).await;
    assert!(said.contains("InvalidCheckpointsLength(length: 17)"), "{said}");
    let said = raw(2, [[0; 16], [0xff; 16]].concat()).await;
    assert!(said.contains("NonCanonical(index: 1)"), "{said}");
    let rich = world.chain.provider().raw_request::<_, ()>("anvil_setBalance".into(), (me.address(), U256::MAX >> 2));
    rich.await.expect("set");
    let said = post(right.clone(), U256::from(1) << 96).await;
    assert!(said.contains("BondTooLarge(have: 79228162514264337593543950336)"), "{said}");

    assert_eq!(world.post(0, &right).await, id);
    let said = post(right.clone(), bond).await;
    assert!(said.contains(&format!("AlreadyPosted(round: 1, node: {})", me.address())), "{said}");
    for segment in 0..3 {
        let said = refusal(aow.challenge(&world.stranger(), id, &right.checkpoints, segment).await);
        assert!(said.contains(&format!("SegmentHolds(id: {id}, segment: {segment})")), "{said}");
    }
    let said = refusal(aow.challenge(&me, id, &right.checkpoints, 3).await);
    assert!(said.contains("SegmentOutOfRange(segment: 3, count: 3)"), "{said}");
    let said = refusal(aow.challenge(&me, id, &right.checkpoints[1..], 0).await);
    assert!(said.contains("WrongCheckpoints(expected: 0x"), "{said}");
    let said = refusal(aow.challenge(&me, missing, &right.checkpoints, 0).await);
    assert!(said.contains(&format!("UnknownClaim(id: {missing})")), "{said}");
    let said = refusal(aow.release(&me, id).await);
    assert!(said.contains(&format!("NotFinal(id: {id})")), "{said}");

    // A bond that its validator does not take is credited.
    let set_code = async |code: &str| {
        let set = world.chain.provider().raw_request::<_, ()>("anvil_setCode".into(), (me.address(), code.to_string()));
        set.await.expect("set");
    };
    aow.verify_whole(&world.stranger(), id).await.expect("it holds");
    let said = refusal(aow.verify_whole(&world.stranger(), id).await);
    assert!(said.contains(&format!("AlreadyUpheld(id: {id})")), "{said}");
    set_code("0x5f5ffd").await;
    aow.release(&world.stranger(), id).await.expect("released");
    set_code("0x").await;
    let withdraw = Call::new(AOW, aow.address(), &AowChallenge::withdrawCall { to: me.address() });
    me.send(&withdraw).await.expect("it was credited");
    let said = refusal(aow.release(&world.stranger(), id).await);
    assert!(said.contains(&format!("AlreadyReleased(id: {id})")), "{said}");

    // What does not hold, and what is too late to be said.
    let noise =
        |count: u64| -> Vec<_> { (0..count).map(|index| Element::from_hash(keccak256(index.to_be_bytes()))).collect() };
    let wrong = NewClaim { checkpoints: noise(3), ..right.clone() };
    let false_id = world.post(1, &wrong).await;
    let said = refusal(aow.verify_whole(&me, false_id).await);
    assert!(said.contains(&format!("WorkDoesNotHold(id: {false_id})")), "{said}");
    aow.challenge(&me, false_id, &wrong.checkpoints, 2).await.expect("slashed");
    let said = refusal(aow.challenge(&me, false_id, &wrong.checkpoints, 2).await);
    assert!(said.contains(&format!("AlreadySlashed(id: {false_id})")), "{said}");
    let long = world.post(2, &NewClaim { steps: 5 * 4096, checkpoints: noise(5), ..right.clone() }).await;
    let said = refusal(aow.verify_whole(&me, long).await);
    assert!(said.contains("TooLongToVerify(steps: 20480, limit: 16384)"), "{said}");
    let deadline = aow.claim(long).await.expect("answered").expect("posted").deadline;
    world.pass_time(61).await;
    let said = refusal(aow.challenge(&me, long, &noise(5), 0).await);
    assert!(said.contains(&format!("WindowClosed(id: {long}, deadline: {deadline})")), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn gas_stays_within_its_goals_on_receipts() {
    let world = World::new(3600).await;
    let round = world.open_round(1 << 14);
    world.register(round.height).await;
    let (aow, bond, challenger) = (&world.aow, U256::from(BOND), world.stranger());
    let gas = |what: &str, record: GasRecord, goal: u64| {
        let used = record.gas_used.expect("mined");
        println!("{what}: {used} gas");
        assert!(used <= goal, "{what}: {used} of {goal}");
    };
    let checkpoints = (0..256u64).map(|index| Element::from_hash(keccak256(index.to_be_bytes()))).collect();
    let long = NewClaim { steps: 1 << 20, checkpoints, ..world.claim(&round, 0) };
    gas("post, 2^20 steps, 256 checkpoints", aow.post(&world.account(0), &long, bond).await.expect("posted"), 300_000);
    let id = Round::id(round.number, world.node(0));
    let challenge = aow.challenge(&challenger, id, &long.checkpoints, 200).await.expect("slashed");
    gas("challenge, 4,096 steps, 256 checkpoints", challenge, 270_000);
    let short = world.claim(&round, 1);
    gas("post, 2^14 steps, 4 checkpoints", aow.post(&world.account(1), &short, bond).await.expect("posted"), 150_000);
    let id = Round::id(round.number, world.node(1));
    gas("verifyWhole, 2^14 steps", aow.verify_whole(&challenger, id).await.expect("upheld"), 650_000);
    gas("release", aow.release(&challenger, id).await.expect("released"), 50_000);
}

/// The contract's arithmetic and this program's, at 10,000 points that nobody chose and around the edges of the field.
#[tokio::test(flavor = "multi_thread")]
async fn the_contract_computes_what_this_program_does() {
    let world = World::new(60).await;
    let (delay, p) = (Delay::default(), Element::MODULUS);
    let edges = (0..8).flat_map(|near| [near, p - 8 + near, p + near, u128::MAX - near]);
    let random =
        (0..10_000u64).map(|index| u128::from_be_bytes(*keccak256(index.to_be_bytes())[..].first_chunk().expect("32")));
    let points = edges.chain(random).zip((0..).map(|index| index % 100));
    let compare = async |(value, steps): (u128, u64)| {
        let call = AowChallenge::replayCall { value, steps: U256::from(steps) };
        let theirs = world.chain.read(world.contracts.aow, &call).await?;
        let from = Element::new(value % p).expect("reduced");
        let ours = (0..steps).fold(from, |at, _| delay.back(at)).value();
        assert_eq!(theirs, ours, "{value} taken back {steps} steps");
        Ok::<_, dtn_chain::connection::ReadError>(1)
    };
    let compared = stream::iter(points).map(compare).buffer_unordered(32);
    let compared: usize = compared.try_fold(0, async |sum, one| Ok(sum + one)).await.expect("answered");
    assert_eq!(compared, 10_032);

    let round = world.open_round(77);
    world.register(round.height).await;
    for index in 0..4 {
        let node = world.node(index);
        let call = AowChallenge::startOfCall { round: round.number, height: round.height, node, steps: round.steps };
        let theirs = world.chain.read(world.contracts.aow, &call).await.expect("answered");
        assert_eq!(theirs, world.start(&round, node).value());
    }
}
