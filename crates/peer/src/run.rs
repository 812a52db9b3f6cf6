//! One peer in this process: the node, the relayer that settles what it finalizes, the watcher of claims, and the reporter of
//! contradictions.

use std::{
    convert::Infallible,
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    path::PathBuf,
    time::Duration,
};

use dtn_bindings::ContractAddresses;
use dtn_chain::{Account, Chain, Network, connection::ConnectError, gas_ledger::GasLedger};
use dtn_keys::{KeyInfo, KeystoreError, Password};
use dtn_ledger::Kinds;
use dtn_node::{DEVELOPMENT_CHAIN, Node, NodeConfig, NodeError, NodeHandle, Role};
use dtn_participant::{Behaviour, Folder, Options, Participant, ParticipantError, Roles, Tools, custom::Tool};
use dtn_primitives::{
    Address, Certificate, Deposit, Earning, Evidence, FinalizedResult, Header, Payload, Round, SecretKey, Transaction,
};
use dtn_settlement::{
    deposits::{DepositTarget, Teller, TellerOptions, VaultPlace},
    earnings::{EarningsOptions, Payer, StatementSource},
    relayer::{Relayer, RelayerOptions, ResultSource, SourceError},
    reporter::{EvidenceSource, Reporter, ReporterOptions},
    rewards::Distributor,
    watcher::{RoundSource, Watcher, WatcherOptions},
};

use crate::{
    config::{ConfigError, PeerConfig, PeerHome, SettlementConfig, read_genesis},
    hold::{Hold, HoldError, hold_keystore},
    signals::StopSignals,
};

/// How long a peer waits for its settlement chain before it starts without it.
const FIRST_CONTACT: Duration = Duration::from_secs(2);

/// The pause before a settlement chain that did not answer is tried again.
const PAUSE: Duration = Duration::from_secs(2);

/// Why a peer does not run, or no longer.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// It would not hear when it has to stop.
    #[error("cannot listen for signals")]
    Signals(#[source] io::Error),
    /// Its configuration names what is not there.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The file with its password.
    #[error("cannot read the password file {}", file.display())]
    Password {
        /// The file.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Its keystore does not open.
    #[error(transparent)]
    Keystore(#[from] KeystoreError),
    /// Another process uses its key.
    #[error(transparent)]
    Held(#[from] HoldError),
    /// Opening its keystore was interrupted.
    #[error("the keystore was not opened")]
    Unlock(#[source] tokio::task::JoinError),
    /// What answers is not the chain that it settles on.
    #[error("this peer cannot settle where its node.toml says")]
    Chain(#[source] ConnectError),
    /// It cannot take part in orders for trained models.
    #[error("this peer cannot take part in orders for trained models")]
    Training(#[from] ParticipantError),
    /// A peer told to cheat where it could do harm.
    #[error("train_behaviour is for demonstrations on chain {DEVELOPMENT_CHAIN}, and this network settles on {0}")]
    Behaviour(u64),
    /// The node does not start, or its store failed.
    #[error(transparent)]
    Node(#[from] NodeError),
}

/// The peer's own ledger, for its relayer, its watcher and its reporter.
#[derive(Clone)]
struct OwnLedger(NodeHandle);

impl ResultSource for OwnLedger {
    async fn results(&self, from_height: u64) -> Result<Vec<FinalizedResult>, SourceError> {
        Ok(self.0.results(from_height).await?)
    }
}

impl RoundSource for OwnLedger {
    async fn round(&self, number: u64) -> Result<Option<Round>, SourceError> {
        Ok(self.0.round(number).await?)
    }

    async fn open_round(&self) -> Result<Option<Round>, SourceError> {
        Ok(self.0.open_round().await?)
    }

    async fn certified(&self, height: u64) -> Result<Option<(Header, Certificate)>, SourceError> {
        Ok(self.0.certified(height).await?)
    }
}

impl EvidenceSource for OwnLedger {
    async fn evidence(&self) -> Result<Vec<Evidence>, SourceError> {
        Ok(self.0.evidence().await?)
    }

    async fn certificate(&self, height: u64) -> Result<Option<Certificate>, SourceError> {
        Ok(self.0.certified(height).await?.map(|(_, certificate)| certificate))
    }
}

impl StatementSource for OwnLedger {
    async fn last_statement(&self) -> Result<u32, SourceError> {
        Ok(self.0.last_statement().await?)
    }

    async fn statement(&self, number: u32) -> Result<Option<FinalizedResult>, SourceError> {
        Ok(self.0.statement(number).await?)
    }

    async fn earnings(&self, number: u32) -> Result<Option<Vec<Earning>>, SourceError> {
        Ok(self.0.earnings(number).await?)
    }
}

/// The peer's own ledger, to which its validator states deposits.
struct OwnStatements {
    node: NodeHandle,
    key: SecretKey,
}

impl DepositTarget for OwnStatements {
    async fn next_deposit(&self, vault: Address) -> Result<u64, SourceError> {
        Ok(self.node.next_deposit(vault).await?)
    }

    async fn state(&self, deposit: Deposit) -> Result<(), SourceError> {
        let statement = Transaction::sign(Payload::Deposit(deposit), &self.key, &self.node.domain());
        match self.node.submit(statement).await? {
            Ok(hash) => tracing::info!(deposit = deposit.number, %hash, "stated a deposit"),
            // It waits already, or was stated before; or there is no room, and it is tried again.
            Err(error) => tracing::debug!(deposit = deposit.number, %error, "a deposit was not stated"),
        }
        Ok(())
    }
}

/// Runs a peer until it is told to stop (SIGTERM, SIGHUP or Ctrl-C) or its store fails.
///
/// `kinds` are the rules of custom kinds of work; those that the genesis names must be among them.
pub async fn run(home: &PeerHome, config: PeerConfig, kinds: Kinds) -> Result<(), RunError> {
    let mut stop = StopSignals::new().map_err(RunError::Signals)?;
    let peer = tokio::select! {
        peer = Peer::start(home, config, kinds) => peer?,
        () = stop.next() => return Ok(()),
    };
    let Peer { mut node, _keystore, key, settlement, training } = peer;
    let (source, ledger) = (OwnLedger(node.handle().clone()), GasLedger::new(home.gas_ledger()));
    let settling = async {
        match settlement {
            Some(settlement) => settlement.run(key, ledger, source).await,
            None => std::future::pending().await,
        }
    };
    let training = async {
        match training {
            Some(participant) => participant.run().await,
            None => std::future::pending().await,
        }
    };
    let outcome = tokio::select! {
        error = node.stopped() => return Err(error.into()),
        never = training => match never {},
        () = stop.next() => Ok(()),
        Err(error) = settling => Err(error),
    };
    tracing::info!("stopping; a second signal ends the process at once");
    tokio::select! {
        () = node.shutdown() => tracing::info!("stopped"),
        () = stop.next() => {
            // What a vote promised is durable already, so nothing is lost but what was being answered.
            tracing::warn!("asked a second time; ending at once");
            std::process::exit(1);
        }
    }
    outcome
}

/// A node that is up, and what its relayer needs.
struct Peer {
    node: Node,
    /// Held while it runs, so that no other process signs with the same key.
    _keystore: Hold,
    key: SecretKey,
    settlement: Option<Settlement>,
    /// What it does by itself in orders for trained models, if it does.
    training: Option<Participant>,
}

impl Peer {
    async fn start(home: &PeerHome, config: PeerConfig, kinds: Kinds) -> Result<Self, RunError> {
        let participating = config.train.then(|| options(&config)).transpose()?;
        let PeerConfig {
            genesis,
            role,
            keystore,
            password_file,
            listen,
            api,
            api_hosts,
            payee,
            threads,
            mine,
            half_work,
            lie,
            train: _,
            train_points: _,
            train_behaviour: _,
            trainer: _,
            scorer: _,
            uphold,
            view_timeout_ms,
            retain_blocks,
            max_observers,
            bootstrap,
            log: _,
            lines,
            peers,
            settlement,
        } = config;
        let genesis = read_genesis(&genesis)?;
        let password =
            Password::from_file(&password_file).map_err(|source| RunError::Password { file: password_file, source })?;
        // It takes a while, in which signals are to be heard.
        let unlock = move || Ok::<_, RunError>((KeyInfo::at(&keystore)?.unlock(&password)?, hold_keystore(&keystore)?));
        let (key, held) = tokio::task::spawn_blocking(unlock).await.map_err(RunError::Unlock)??;
        let config = NodeConfig {
            genesis,
            kinds,
            role,
            key: key.clone(),
            listen,
            peers,
            bootstrap,
            max_observers,
            api,
            api_hosts,
            store: home.store(),
            payee,
            threads,
            mine,
            lines,
            half_work,
            lie,
            view_timeout: Duration::from_millis(view_timeout_ms),
            retain_blocks,
        };
        let settlement = match settlement {
            Some(settlement) => Some(Settlement::new(settlement, uphold, half_work).await?),
            None => None,
        };
        let node = Node::start(config).await?;
        announce(&node, role);
        let training = match participating {
            Some(options) => Some(participant(home, &node, key.clone(), options).await?),
            None => None,
        };
        Ok(Self { node, _keystore: held, key, settlement, training })
    }
}

/// Says in the log that a peer is up, and where.
fn announce(node: &Node, role: Role) {
    let (api, lines, validator) = (node.api(), node.lines(), node.handle().validator());
    if !api.ip().is_loopback() {
        tracing::warn!(%api, "the API listens beyond this machine, and asks nobody who they are");
    }
    tracing::info!(%api, ?lines, ?role, ?validator, version = dtn_node::VERSION, "the peer is up");
}

/// How a peer takes part in orders for trained models.
fn options(config: &PeerConfig) -> Result<Options, RunError> {
    let PeerConfig { role, payee, threads, train_points: points, train_behaviour: behaviour, .. } = *config;
    let roles = Roles { provide: true, validate: role == Role::Validator, challenge: true };
    let find = |tool: &Option<PathBuf>| tool.as_deref().map(Tool::find).transpose().map_err(ParticipantError::from);
    let tools = Tools { trainer: find(&config.trainer)?, scorer: find(&config.scorer)? };
    Ok(Options { roles, payee, threads: threads.get(), points, only: None, tools, behaviour, tell: None })
}

/// What this peer does by itself in orders for trained models. It asks its own API, as anybody would who has no peer.
async fn participant(home: &PeerHome, node: &Node, key: SecretKey, options: Options) -> Result<Participant, RunError> {
    let mut api = node.api();
    if api.ip().is_unspecified() {
        let loopback: IpAddr = if api.is_ipv4() { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() };
        api.set_ip(loopback);
    }
    let peer = dtn_participant::Peer::at(api).await?;
    if options.behaviour != Behaviour::Honest && peer.genesis().chain_id != DEVELOPMENT_CHAIN {
        return Err(RunError::Behaviour(peer.genesis().chain_id));
    }
    let (folder, library) = (Folder::new(home.training()), node.handle().library().clone());
    Ok(Participant::new(peer, key, folder, Some(library), options))
}

/// Where this peer settles.
struct Settlement {
    network: Network,
    contracts: ContractAddresses,
    /// How it claims its work of rounds.
    watcher: WatcherOptions,
    /// What an account must have to claim, in wei, so that it is claimed for it.
    least_claim: u64,
    /// A block before which the vault did not exist.
    from_block: u64,
    /// `None` while the chain is out of reach.
    chain: Option<Chain>,
}

impl Settlement {
    /// Fails if what answers cannot be the settlement chain. One that is down is no reason not to start.
    async fn new(config: SettlementConfig, uphold: bool, false_claims: bool) -> Result<Self, RunError> {
        let SettlementConfig { name, contracts, from_block, least_claim, chain: mut network } = config;
        network.name = name;
        let watcher = WatcherOptions { uphold, false_claims, ..WatcherOptions::for_network(&network) };
        let chain = match tokio::time::timeout(FIRST_CONTACT, connect(&network)).await {
            Ok(answer) => answer?,
            Err(_) => None,
        };
        Ok(Self { network, contracts, watcher, least_claim, from_block, chain })
    }

    /// Settles for as long as the peer runs. A chain that is down is tried again: the peer goes on without it.
    async fn run(self, key: SecretKey, ledger: GasLedger, source: OwnLedger) -> Result<Infallible, RunError> {
        let Self { network, mut contracts, watcher, least_claim, from_block, mut chain } = self;
        let chain = loop {
            if let Some(chain) = chain {
                break chain;
            }
            tokio::time::sleep(PAUSE).await;
            chain = connect(&network).await?;
        };
        if let Err(error) = ledger.reconcile(&chain).await {
            tracing::warn!(%error, "some receipts are still missing in the gas ledger");
        }
        // The owners may have handed over to another wallet since the configuration was written.
        match Distributor::new(chain.clone(), contracts.distributor).multisig().await {
            Ok(multisig) => contracts.multisig = multisig,
            Err(error) => tracing::warn!(%error, "the distributor does not say which wallet it pays for"),
        }
        let statements = OwnStatements { node: source.0.clone(), key: key.clone() };
        let deposits = deposits(statements, chain.clone(), (&network, contracts, from_block));
        let account = Account::new(chain, key, ledger);
        let relayer = Relayer::new(account.clone(), contracts, source.clone(), RelayerOptions::for_network(&network));
        let options = ReporterOptions::for_network(&network);
        let reporter = Reporter::new(account.clone(), contracts.registry, source.clone(), options);
        let options = EarningsOptions { least_claim: least_claim.into(), ..EarningsOptions::for_network(&network) };
        let payer = Payer::new(account.clone(), contracts, source.clone(), options);
        // A deployment that is older than vaults has none, and its distributor knows no earnings.
        let pay = async {
            match contracts.vault.is_zero() {
                true => std::future::pending().await,
                false => payer.run().await,
            }
        };
        // One that is older than claims has no contract for them.
        let watch = async {
            match contracts.aow.is_zero() {
                true => std::future::pending().await,
                false => Watcher::new(account, contracts, source, watcher).run().await,
            }
        };
        // None ever ends.
        Ok(tokio::select! {
            never = relayer.run() => never,
            never = reporter.run() => never,
            never = pay => never,
            never = deposits => never,
            never = watch => never,
        })
    }
}

/// Has a validator state what comes into its network's vault, if there is one.
async fn deposits(
    target: OwnStatements,
    chain: Chain,
    (network, contracts, from_block): (&Network, ContractAddresses, u64),
) -> Infallible {
    let ContractAddresses { vault, distributor, .. } = contracts;
    match target.node.token().filter(|_| target.node.validator().is_some() && !vault.is_zero()) {
        Some(token) => {
            let place = VaultPlace { vault, distributor, token, from_block };
            Teller::new(chain, place, target, TellerOptions::for_network(network)).run().await
        }
        None => std::future::pending().await,
    }
}

/// Connects to the settlement chain; `None` if it is out of reach.
async fn connect(network: &Network) -> Result<Option<Chain>, RunError> {
    match Chain::connect(network).await {
        Ok(chain) => Ok(Some(chain)),
        Err(error @ ConnectError::Unreachable { .. }) => {
            tracing::warn!(%error, "the settlement chain is out of reach; trying again");
            Ok(None)
        }
        Err(error) => Err(RunError::Chain(error)),
    }
}
