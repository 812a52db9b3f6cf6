//! The options that all commands share, and what they lead to: networks, connections, keys, folders.

use std::{
    fs::{self, File, TryLockError},
    io::{self, IsTerminal},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use alloy_primitives::{Address, B256, U256};
use anyhow::{Context as _, Result, bail};
use clap::{ArgAction, Args};
use dtn_bindings::ContractAddresses;
use dtn_chain::{
    Account, Chain, Network, Networks,
    amount::parse_amount,
    codes::Code,
    gas_ledger::{GasLedger, GasRecord},
    sender::Offer,
    signer::{RemoteSigner, Signer},
};
use dtn_keys::{KeyChoice, KeyInfo, Keystore, Password, dev_key};
use dtn_peer::files::{self, Access, FileError};
use dtn_primitives::{Allotment, SecretKey, parse_address};
use dtn_settlement::{deploy::Deployment, multisig::WalletTransaction};
use serde_json::json;
use tokio::sync::OnceCell;

use crate::{failure::Coded, output, outputs, pledges::Pledges, said};

/// Options that every command of the chain side accepts.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Shared options")]
pub(crate) struct Globals {
    /// The settlement network: local, testnet, mainnet or one of the configuration file
    #[arg(long, global = true, env = "DTN_NETWORK", default_value = "local", value_name = "NAME")]
    pub(crate) network: String,
    /// The node to talk to, in place of the network's own; several, separated by commas, stand in for each other
    #[arg(long, global = true, env = "DTN_RPC_URL", hide_env_values = true, value_name = "URL")]
    pub(crate) rpc: Option<String>,
    /// The configuration file [default: dtn.toml, if it exists]
    #[arg(long, global = true, env = "DTN_CONFIG", value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Where deployments, proposals, the gas ledger and what keys have signed are kept
    #[arg(long, global = true, env = "DTN_HOME", default_value = ".dtn", value_name = "DIR")]
    pub(crate) home: PathBuf,
    /// Where the encrypted keys are
    #[arg(long, global = true, env = "DTN_KEYS", default_value = "keys", value_name = "DIR")]
    pub(crate) keys: PathBuf,
    /// A file whose first line is the keys' password, in place of a prompt
    #[arg(long, global = true, env = "DTN_PASSWORD_FILE", value_name = "FILE")]
    pub(crate) password_file: Option<PathBuf>,
    /// Print JSON instead of tables
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Say more on standard error; twice for still more
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub(crate) verbose: u8,
}

/// A password that is chosen now: of a file, or asked for twice.
pub(crate) fn chosen_password(file: Option<&Path>, option: &str, prompt: &str) -> Result<Password> {
    let password = read_password(file, option, prompt)?;
    if password.is_empty() {
        bail!(Coded::argument("the password is empty"));
    }
    if file.is_none() && read_password(None, option, "Once more: ")? != password {
        bail!("the passwords differ; nothing was written");
    }
    Ok(password)
}

fn read_password(file: Option<&Path>, option: &str, prompt: &str) -> Result<Password> {
    if let Some(file) = file {
        let unreadable = |source| FileError::Read { file: file.into(), source };
        return Password::from_file(file).map_err(unreadable).context("there is no password");
    }
    if !io::stdin().is_terminal() {
        let nowhere = format!("a password is needed and there is no terminal to ask at; name a file with {option}");
        bail!(Coded::argument(nowhere));
    }
    Ok(Password::new(rpassword::prompt_password(prompt).context("cannot ask for the password")?))
}

/// What is offered for gas.
#[derive(Debug, Clone, Copy, Default, Args)]
pub(crate) struct Price {
    /// Offer this for a unit of gas, tip included, and never more [default: what the chain asks for, raised while no block takes it]
    #[arg(long, value_name = "AMOUNT", value_parser = amount)]
    pub(crate) gas_price: Option<U256>,
    /// Of that, what the block's maker gets [default: what the chain asks for]
    #[arg(long, value_name = "AMOUNT", value_parser = amount)]
    pub(crate) priority_gas_price: Option<U256>,
}

/// Who sends to a chain, or only tries to. A command without this option has nothing that could be held back, and takes no
/// `--dry-run`.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Sender {
    /// The key that signs and pays: a name, an address, a file, dev:N [default on a development chain: dev:0], or
    /// remote:ADDRESS@URL for a program that signs
    #[arg(long, env = "DTN_FROM", hide_env_values = true, value_name = "KEY")]
    pub(crate) from: Option<KeyChoice>,
    /// Simulate, decode and price what would be sent first, and send nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    #[command(flatten)]
    pub(crate) price: Price,
    /// Let each transaction use so much gas at most [default: a quarter more than it takes now]
    #[arg(long, value_name = "GAS", value_parser = clap::value_parser!(u64).range(21_000..))]
    pub(crate) gas_limit: Option<u64>,
}

impl Sender {
    /// A signer's account on a chain.
    fn account_of(&self, chain: &Chain, signer: impl Into<Signer>, context: &Context) -> Account {
        let new = if self.dry_run { Account::dry_run } else { Account::new };
        let Price { gas_price, priority_gas_price } = self.price;
        let [max, tip] = [gas_price, priority_gas_price].map(|price| price.map(|price| price.saturating_to()));
        let offer = Offer { max, tip, gas_limit: self.gas_limit };
        new(chain.clone(), signer.into(), context.gas_ledger()).offering(offer)
    }

    /// The account that `--from` names, on a chain. What it has under way is brought to an end first, and until this command
    /// ends no other one sends from it: what is decided from the chain's state holds when it is sent.
    pub(crate) async fn account(&self, chain: &Chain, context: &Context) -> Result<Account> {
        self.ready(self.account_as_it_is(chain, context).await?).await
    }

    /// The same, whatever it has under way.
    pub(crate) async fn account_as_it_is(&self, chain: &Chain, context: &Context) -> Result<Account> {
        self.held(self.chosen(chain, context).await?, context).await
    }

    /// The account of a key that is known already, on a chain.
    pub(crate) async fn account_with(&self, key: SecretKey, chain: &Chain, context: &Context) -> Result<Account> {
        self.ready(self.held(self.account_of(chain, key, context), context).await?).await
    }

    /// With what it has under way brought to an end.
    async fn ready(&self, account: Account) -> Result<Account> {
        if !self.dry_run {
            account.take_up().await?;
        }
        Ok(account)
    }

    /// With other commands kept from sending from it, and each transaction told.
    async fn held(&self, account: Account, context: &Context) -> Result<Account> {
        if !self.dry_run {
            context.hold(&account).await?;
        }
        let patience = account.chain().network().receipt_timeout().as_secs();
        account.on_sent(move |record| {
            let GasRecord { tx, nonce, .. } = record;
            output::note(format_args!("sent {}: {tx}, nonce {nonce}; waiting up to {patience} s", record.what()));
        });
        Ok(account)
    }

    async fn chosen(&self, chain: &Chain, context: &Context) -> Result<Account> {
        Ok(match &self.from {
            Some(KeyChoice::Remote { address, url }) => {
                self.account_of(chain, RemoteSigner::new(url, *address)?, context)
            }
            from => self.account_of(chain, context.signer(from.as_ref(), chain.network()).await?, context),
        })
    }
}

/// There are no contracts of this folder's on a network.
#[derive(Debug, thiserror::Error)]
#[error("nothing was deployed on `{network}` from here ({} is absent)", file.display())]
pub(crate) struct NotDeployed {
    /// The settlement network.
    pub(crate) network: String,
    /// Where the deployment would be recorded.
    pub(crate) file: PathBuf,
}

impl NotDeployed {
    /// Its code.
    pub(crate) fn code(&self) -> Code {
        ("not_deployed", json!({ "network": self.network }))
    }
}

/// Fails if there is a file where a new one is to be.
pub(crate) fn ensure_new(file: &Path) -> Result<()> {
    match files::exists(file)? {
        true => Err(outputs::taken(file)),
        false => Ok(()),
    }
}

/// The shared options with what has been derived from them.
#[derive(Debug, Clone)]
pub(crate) struct Context {
    globals: Globals,
    password: Arc<OnceCell<Password>>,
    /// Locks of accounts, which end with this command.
    held: Arc<Mutex<Vec<File>>>,
}

impl std::ops::Deref for Context {
    type Target = Globals;

    fn deref(&self) -> &Globals {
        &self.globals
    }
}

impl Context {
    /// That of a command with these options.
    pub(crate) fn new(globals: Globals) -> Self {
        Self { globals, password: Arc::default(), held: Arc::default() }
    }

    /// The chosen network, with its overrides.
    pub(crate) fn network(&self) -> Result<Network> {
        let networks = Networks::load(self.config.as_deref())?;
        let mut network = networks.get(&self.globals.network)?.clone();
        if let Some(rpc) = &self.rpc {
            network.rpc = rpc.as_str().into();
        }
        // What it answers may repeat what opens it.
        said::hide_urls(&serde_json::to_value(&network.rpc)?);
        Ok(network)
    }

    /// Connects to the chosen network.
    pub(crate) async fn connect(&self) -> Result<Chain> {
        Ok(Chain::connect(&self.network()?).await?.remembering(self.home.join("logs")))
    }

    /// Connects to the chosen network; starts a development chain for this command where there is none and none was
    /// asked for.
    pub(crate) async fn connect_or_start(&self) -> Result<Chain> {
        if self.rpc.is_some() {
            return self.connect().await;
        }
        let chain = Chain::connect_or_start(&self.network()?, Path::new(".")).await?;
        let chain = chain.remembering(self.home.join("logs"));
        if chain.owns_chain() {
            output::note(format_args!(
                "No node answers, so this command runs its own development chain at {}. It ends with the command; \
                 `dtn-cli anvil` keeps one.",
                chain.network().rpc
            ));
        }
        Ok(chain)
    }

    /// The keys in `--keys`.
    pub(crate) fn keystore(&self) -> Keystore {
        Keystore::new(&self.keys)
    }

    /// The password that opens keys: of `--password-file`, or asked for once.
    pub(crate) async fn password(&self) -> Result<&Password> {
        self.password.get_or_try_init(|| async { self.read_password("Password: ") }).await
    }

    /// A password for new keys: of `--password-file`, or asked for twice.
    pub(crate) async fn new_password(&self) -> Result<&Password> {
        let file = self.password_file.as_deref();
        let chosen = || async { chosen_password(file, "--password-file", "Password for the new keys: ") };
        self.password.get_or_try_init(chosen).await
    }

    fn read_password(&self, prompt: &str) -> Result<Password> {
        read_password(self.password_file.as_deref(), "--password-file", prompt)
    }

    /// The key that `--from` names: a key's name or address, a file, or `dev:N` on a development chain.
    pub(crate) async fn signer(&self, from: Option<&KeyChoice>, network: &Network) -> Result<SecretKey> {
        match from {
            Some(KeyChoice::Dev(_)) if !network.is_local() => bail!(
                "everyone knows the development keys, so they sign on chain {} only; network `{}` is chain {}",
                dtn_chain::networks::LOCAL_CHAIN_ID,
                network.name,
                network.chain_id
            ),
            Some(KeyChoice::Dev(index)) => dev_key(*index).context("the development keys are dev:0 to dev:9"),
            Some(KeyChoice::Stored(name)) => {
                let key = self.keystore().choose(name)?;
                self.unlock(key).await
            }
            Some(KeyChoice::Remote { address, .. }) => {
                bail!(
                    "the key of {address} is with its remote signer, and this has to be signed by a key in the keystore"
                )
            }
            None if network.is_local() => dev_key(0).context("the development keys are dev:0 to dev:9"),
            None => bail!("which key signs? Name one with --from, see `dtn-cli keys list`"),
        }
    }

    /// Opens a key, off the threads that serve the network, because it takes a while.
    pub(crate) async fn unlock(&self, key: KeyInfo) -> Result<SecretKey> {
        let password = self.password().await?.clone();
        Ok(tokio::task::spawn_blocking(move || key.unlock(&password)).await??)
    }

    /// Where this command line's transactions are recorded.
    pub(crate) fn gas_ledger(&self) -> GasLedger {
        GasLedger::new(self.home.join("gas.jsonl"))
    }

    /// What keys have signed from here of which they may sign one version.
    pub(crate) fn pledges(&self) -> Pledges {
        Pledges::new(self.home.join("signed.jsonl"))
    }

    /// Where it is written down what was deployed on a network.
    pub(crate) fn deployment_file(&self, network: &str) -> PathBuf {
        self.home.join("deployments").join(format!("{network}.json"))
    }

    /// What was deployed on a network, if it was from here.
    pub(crate) fn find_deployment(&self, network: &str) -> Result<Option<Deployment>> {
        read_json(&self.deployment_file(network))
    }

    /// All that was deployed from here, whatever its network is called.
    pub(crate) fn deployments(&self) -> Result<Vec<Deployment>> {
        let folder = self.home.join("deployments");
        let unreadable = |source| FileError::Read { file: folder.clone(), source };
        let entries = match fs::read_dir(&folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(unreadable)?,
        };
        let mut found = Vec::new();
        for entry in entries {
            let file = entry.map_err(unreadable)?.path();
            if file.extension().is_some_and(|extension| extension == "json") {
                found.extend(read_json::<Deployment>(&file)?);
            }
        }
        Ok(found)
    }

    /// What was deployed on a network.
    pub(crate) fn deployment(&self, chain: &Chain) -> Result<Deployment> {
        let network = &chain.network().name;
        let file = self.deployment_file(network);
        let absent = || NotDeployed { network: network.clone(), file: file.clone() };
        let deployment = self.find_deployment(network)?.ok_or_else(absent)?;
        if deployment.chain_id != chain.chain_id() {
            bail!("{} is for chain {}, not {}", file.display(), deployment.chain_id, chain.chain_id());
        }
        Ok(deployment)
    }

    /// Remembers what was deployed. The file.
    pub(crate) fn save_deployment(&self, deployment: &Deployment) -> Result<PathBuf> {
        let file = self.deployment_file(&deployment.network);
        files::make_parent(&file)?;
        files::write_json(&file, deployment)?;
        Ok(file)
    }

    /// Keeps other commands from sending from an account until this one ends.
    async fn hold(&self, account: &Account) -> Result<()> {
        let name = format!("{}-{}", account.chain().chain_id(), account.address());
        self.lock(&name, &format!("another command sends from {}; waiting for it", account.address())).await
    }

    /// Keeps other commands from changing what is written down of deployments until this one ends.
    pub(crate) async fn hold_deployments(&self) -> Result<()> {
        self.lock("deployments", "another command deploys from here; waiting for it").await
    }

    async fn lock(&self, name: &str, waiting: &str) -> Result<()> {
        let path = self.home.join("locks").join(format!("{name}.lock"));
        files::make_parent(&path)?;
        files::write_new(&path, b"", Access::Shared)?;
        let unreadable = |source| FileError::Read { file: path.clone(), source };
        let file = File::open(&path).map_err(unreadable)?;
        if matches!(file.try_lock(), Err(TryLockError::WouldBlock)) {
            output::note(waiting);
        }
        let locked = tokio::task::spawn_blocking(move || file.lock().map(|()| file)).await?;
        let file = locked.map_err(unreadable)?;
        self.held.lock().unwrap_or_else(PoisonError::into_inner).push(file);
        Ok(())
    }

    fn proposal_file(&self, id: B256) -> PathBuf {
        self.home.join("proposals").join(format!("{id}.json"))
    }

    /// A transaction that was proposed from here.
    pub(crate) fn find_proposal(&self, id: B256) -> Result<Option<WalletTransaction>> {
        read_json(&self.proposal_file(id))
    }

    /// Remembers a proposed transaction, which is needed to execute it.
    pub(crate) fn save_proposal(&self, id: B256, transaction: &WalletTransaction) -> Result<()> {
        let file = self.proposal_file(id);
        files::make_parent(&file)?;
        Ok(files::write_json(&file, transaction)?)
    }
}

fn read_json<T: serde::de::DeserializeOwned>(file: &Path) -> Result<Option<T>> {
    match files::read_json(file, files::MOST) {
        Err(FileError::Read { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(None),
        read => Ok(Some(read?)),
    }
}

/// The names by which people call the contracts of the chosen network.
const CONTRACTS: [&str; 5] = ["multisig", "registry", "distributor", "aow", "vault"];

impl Context {
    /// The accounts that words name: addresses, keys, folders of keys, or contracts that were deployed from here.
    pub(crate) fn accounts(&self, words: &[String]) -> Result<Vec<Address>> {
        let mut found = Vec::new();
        for word in words {
            match CONTRACTS.contains(&word.as_str()) {
                true => found.push(self.contract(word)?),
                false => found.extend(self.keystore().addresses(std::slice::from_ref(word))?),
            }
        }
        Ok(found)
    }

    /// The one account that a word names.
    pub(crate) fn account(&self, word: &str) -> Result<Address> {
        match self.accounts(&[word.to_owned()])?.as_slice() {
            [address] => Ok(*address),
            several => bail!(Coded::argument(format!("`{word}` names {} accounts; one is needed", several.len()))),
        }
    }

    fn contract(&self, name: &str) -> Result<Address> {
        if self.keystore().find(name).is_ok() {
            let both = format!("`{name}` is a contract and a key in {}; write its address", self.keys.display());
            bail!(Coded::argument(both));
        }
        let network = self.network()?.name;
        let file = self.deployment_file(&network);
        let deployment = self.find_deployment(&network)?.ok_or(NotDeployed { network, file })?;
        let ContractAddresses { registry, aow, multisig, distributor, vault } = deployment.addresses;
        Ok(match name {
            "multisig" => multisig,
            "registry" => registry,
            "distributor" => distributor,
            "vault" if vault.is_zero() => bail!(Coded::argument("the network was deployed without a vault")),
            "vault" => vault,
            _ => aow,
        })
    }
}

/// Reads an amount such as `0.5ether`.
pub(crate) fn amount(text: &str) -> Result<U256, String> {
    parse_amount(text).map_err(|error| error.to_string())
}

/// Reads an amount of the native currency such as `50ether`, or of a token as `0x…=1000`.
pub(crate) fn allotment(text: &str) -> Result<Allotment, String> {
    let (token, given) = match text.split_once('=') {
        Some((token, given)) => (parse_address(token).map_err(|error| format!("the token: {error}"))?, given),
        None => (Address::ZERO, text),
    };
    let amount = amount(given)?.try_into().map_err(|_| format!("{given} is more than 128 bits hold"))?;
    Ok(Allotment { token, amount })
}
