//! `dtn-cli deploy` and `dtn-cli fund`.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use alloy::providers::Provider;
use alloy_primitives::{Address, U256};
use anyhow::{Context as _, Result, bail, ensure};
use clap::Args;
use dtn_bindings::ContractAddresses;
use dtn_chain::{
    Account, Chain, Network, amount::format_amount, codes::Code, connection::ReadError, gas_ledger::GasRecord,
    sender::SendError,
};
use dtn_peer::files;
use dtn_peer::{SettlementConfig, read_genesis};
use dtn_primitives::Allotment;
use dtn_report::{Table, left, right, units};
use dtn_settlement::{
    aow::ClaimTerms,
    deploy::{self, DeployPlan, Deployment},
    multisig::Multisig,
    rewards::Distributor,
};
use dtn_testbed::Home;
use serde_json::json;

use crate::{
    commands::desk::done,
    context::{Context, Sender, allotment, amount},
    failure::{Coded, Others},
    output,
};

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  dtn-cli deploy --fund-distributor 1ether
  dtn-cli deploy --genesis net/genesis.json --threshold 3
  dtn-cli deploy --network testnet --from treasurer
  dtn-cli deploy --claim-bond 0.1ether --claim-window 2h
  dtn-cli deploy --reward-delay 1d --reward-cap 50ether --reward-cap 0x5FbDB2315678afecb367f032d93F642f64180aa3=1000ether
  dtn-cli deploy --threshold 2 --first-height 70001        (other terms, after `dtn-cli rewards close 70000`)
  dtn-cli deploy --reward-cap 50ether --first-height 101 --after distributor
  dtn-cli deploy --clone
  dtn-cli deploy --wallet-only --owners owner-01,owner-02,owner-05 --threshold 2
  dtn-cli deploy --stake 2ether --requester-cap 1ether     (each validator bonds; one requester's races a day)
  dtn-cli deploy --plan plan.json                (for `forge script`, which deploys to the same addresses)

Peers relay with their validator keys, so their confirmations count only while the validators own the multisig. The addresses
follow from the contracts and their arguments alone. A second run deploys what is missing and finds the rest. Other terms
make other contracts, which know nothing of what these have paid: they need --first-height. Without --owners the
validators own the multisig, and without --threshold their quorum decides.")]
pub(crate) struct Deploy {
    /// The network's genesis: its id, its chain and its validators [default: genesis.json in --home]
    #[arg(long, value_name = "FILE")]
    genesis: Option<PathBuf>,
    /// The multisig's owners: addresses, names of keys, or folders of keys; of a network's folder, the keys of its validators
    #[arg(long, value_name = "WHO", value_delimiter = ',', num_args = 1..)]
    owners: Vec<String>,
    /// Confirmations that the multisig asks for [default: the quorum of its owners]
    #[arg(long, value_name = "K")]
    threshold: Option<usize>,
    /// Let the multisig run the code of a template that all networks of a chain share: a tenth of the price, more gas a call, and
    /// whoever checks it has to check the template, too
    #[arg(long)]
    clone: bool,
    /// The least bond of a claim of sequential work [default: 0.01ether on a development chain, else 0.05ether]
    #[arg(long, value_name = "AMOUNT", value_parser = amount)]
    claim_bond: Option<U256>,
    /// What a unit of gas may cost for the bond to cover a challenge: with many checkpoints the bond is more [default: 1gwei]
    #[arg(long, value_name = "AMOUNT", value_parser = amount)]
    claim_gas_price: Option<U256>,
    /// What each validator has to put at stake with the registry, in the native currency or in a token [default: nothing]
    #[arg(long, value_name = "[TOKEN=]AMOUNT", value_parser = allotment)]
    stake: Option<Allotment>,
    /// How long such a claim can be challenged [default: 4s on a development chain, else 1h]
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    claim_window: Option<Duration>,
    /// How long a scheduled distribution waits until it takes effect [default: 4s on a development chain, else 2days]
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    reward_delay: Option<Duration>,
    /// How long rewards can be claimed if no further distribution comes [default: 365days]
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    claim_period: Option<Duration>,
    /// What may leave the distributor at once, of the native currency or of a token [default: 10ether and no token, or
    /// 10000ether on a development chain]
    #[arg(long = "reward-cap", value_name = "[TOKEN=]AMOUNT", value_parser = allotment)]
    reward_caps: Vec<Allotment>,
    /// How long it takes until as much may leave once more [default: 1day]
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    reward_period: Option<Duration>,
    /// What one requester's races may be paid at once, if the owners do not say otherwise [default: 5ether, or 5000ether on a
    /// development chain, and no more than the cap]
    #[arg(long, value_name = "AMOUNT", value_parser = amount)]
    requester_cap: Option<U256>,
    /// The distributor that this one takes over from, such as `distributor`: it must be closed below --first-height. Its registry, its contract for
    /// claims and the wallet that has a say now go on
    #[arg(long, value_name = "CONTRACT", requires = "first_height",
          conflicts_with_all = ["owners", "threshold", "clone", "stake", "claim_bond", "claim_window", "claim_gas_price"])]
    after: Option<String>,
    /// The first block whose results are paid there: above all that another distributor of the network pays [default: 1, where
    /// there is none]
    #[arg(long, value_name = "HEIGHT", value_parser = clap::value_parser!(u64).range(1..))]
    first_height: Option<u64>,
    /// Write the plan to a file that is not there yet, and deploy nothing
    #[arg(long, value_name = "FILE", conflicts_with_all = ["fund_distributor", "dry_run"])]
    plan: Option<PathBuf>,
    /// Deploy a wallet for --owners and nothing else: for those who are to take over (`rewards hand-over`)
    #[arg(long, requires = "owners", conflicts_with_all = ["plan", "fund_distributor", "first_height"])]
    wallet_only: bool,
    /// Bring the distributor's balance up to this, such as 1ether
    #[arg(long, value_name = "AMOUNT", value_parser = amount)]
    fund_distributor: Option<U256>,
    #[command(flatten)]
    sender: Sender,
}

impl Deploy {
    /// A plan with what goes on of the distributor that it takes over from, if it does.
    async fn taking_over(plan: DeployPlan, chain: &Chain) -> Result<DeployPlan> {
        if plan.rewards.predecessor.is_zero() {
            return Ok(plan);
        }
        let existing = deploy::existing(chain, plan.rewards.predecessor, &plan).await?;
        let multisig = Multisig::new(chain.clone(), existing.multisig);
        let threshold = multisig.threshold().await?.try_into().context("a threshold of more than 255")?;
        Ok(plan.with_existing(existing, multisig.owners().await?, threshold))
    }

    /// What is to be deployed, and on which terms, as far as these are told here.
    fn plan(&self, home: &Home, context: &Context) -> Result<DeployPlan> {
        let genesis = read_genesis(self.genesis.as_ref().unwrap_or(&home.genesis_file()))?;
        let owners = match self.owners.as_slice() {
            [] => None,
            words => Some(context.keystore().validators(words)?),
        };
        let plan = DeployPlan::new(&genesis, owners, self.threshold)?.with_clone(self.clone);
        let ClaimTerms { bond, window, gas_price } = plan.claims;
        let window = match self.claim_window {
            Some(window) => window.as_secs().try_into().context("a window of more than 136 years")?,
            None => window,
        };
        let gas_price = match self.claim_gas_price {
            Some(price) => price.try_into().ok().context("a gas price of more than 64 bits")?,
            None => gas_price,
        };
        let plan = plan.with_claims(ClaimTerms { bond: self.claim_bond.unwrap_or(bond), window, gas_price })?;
        let plan = self.stake.into_iter().fold(plan, DeployPlan::with_stakes);
        let mut terms = plan.rewards.clone();
        terms.delay = self.reward_delay.map_or(terms.delay, |delay| delay.as_secs());
        terms.claim_period = self.claim_period.map_or(terms.claim_period, |period| period.as_secs());
        terms.first_height = self.first_height.unwrap_or(terms.first_height);
        terms.period = self.reward_period.map_or(terms.period, |period| period.as_secs());
        terms.predecessor = self.after.as_ref().map_or(Ok(Address::ZERO), |word| context.account(word))?;
        let mut terms = self.reward_caps.iter().fold(terms, |terms, cap| terms.with_cap(*cap));
        terms.requester_cap = self.requester_cap.unwrap_or(terms.requester_cap);
        Ok(plan.with_rewards(terms)?)
    }
}

pub(crate) async fn deploy(args: Deploy, context: &Context) -> Result<()> {
    let home = Home::new(&context.home);
    let plan = args.plan(&home, context)?;
    // Only what takes over has to ask a chain what there is to plan with.
    if let (Some(file), None) = (&args.plan, &args.after) {
        return write_plan(&plan, file, context);
    }
    let chain = context.connect_or_start().await?;
    let plan = Deploy::taking_over(plan, &chain).await?;
    if let Some(file) = &args.plan {
        return write_plan(&plan, file, context);
    }
    let account = args.sender.account(&chain, context).await?;
    if args.wallet_only {
        return wallet_only(&account, &plan, context).await;
    }
    if !args.sender.dry_run {
        // What is asked below has to hold when the new record is written.
        context.hold_deployments().await?;
    }
    let Before { same, replaced } = Before::of(&plan, &chain, &home, context).await?;

    if args.sender.dry_run {
        return try_out(&account, &plan, args.fund_distributor, context).await;
    }
    let bar = output::progress(5, "deploy");
    let mut deployment = deploy::deploy(&account, &plan, |contract| {
        bar.set_message(contract.contract.clone());
        bar.inc(1);
    })
    .await?;
    bar.finish_and_clear();
    if let Some(before) = same {
        keep_history(&mut deployment, before);
    }
    let file = context.save_deployment(&deployment)?;
    let peers_settle = !chain.owns_chain() && settle_there(&home, &deployment, chain.network())?;

    let mut funded = None;
    if let Some(amount) = args.fund_distributor {
        funded = deploy::top_up(&account, deployment.addresses.distributor, amount).await?;
    }
    if context.json {
        return output::json(&json!({ "deployment": deployment, "funded": funded }));
    }
    let mut table = table(&deployment, &plan, &file);
    if peers_settle {
        table.note(restart_note(&home, context)?);
    }
    if let Some(Replaced { distributor, holds, .. }) = replaced {
        let first = plan.rewards.first_height;
        table.note(format!("The distributor before, {distributor}, holds {holds} and pays the blocks below {first}."));
    }
    if let Some(decides) = heir(&chain, &deployment).await? {
        let found = "which commands and peers find by themselves";
        table.note(format!("It was handed over: the wallet {decides} has a say now, {found}."));
    }
    if let Some(amount) = args.fund_distributor {
        let done = if funded.is_some() { "now" } else { "already" };
        table.note(format!("The distributor {done} holds at least {}.", format_amount(amount)));
    }
    output::line(table)
}

/// What is deployed, and the terms.
fn table(deployment: &Deployment, plan: &DeployPlan, file: &Path) -> Table {
    let title = format!("Network {} on {} (chain {})", deployment.network_id, deployment.network, deployment.chain_id);
    let mut table = Table::new(title, [left("contract"), left("address"), left(""), right("gas")]);
    for contract in &deployment.contracts {
        let state = contract.block.map_or("found".to_string(), |block| format!("deployed in block {block}"));
        let gas = contract.gas_used.map_or(units::NONE.to_string(), units::thousands);
        table.row([contract.contract.clone(), contract.address.to_string(), state, gas]);
    }
    table.note(format!("{} of {} owners decide. Recorded in {}.", plan.threshold, plan.owners.len(), file.display()));
    let window = humantime::format_duration(Duration::from_secs(plan.claims.window.into()));
    let bond = format_amount(plan.claims.bond);
    table.note(format!("A claim of sequential work takes a bond of {bond} and can be challenged for {window}."));
    let delay = humantime::format_duration(Duration::from_secs(plan.rewards.delay));
    table.note(format!("A distribution of rewards takes effect {delay} after the owners have scheduled it."));
    table
}

/// The wallet that has a say in place of the one that was deployed, if there is one by now.
async fn heir(chain: &Chain, deployment: &Deployment) -> Result<Option<Address>> {
    let ContractAddresses { multisig, distributor, .. } = deployment.addresses;
    let decides = Distributor::new(chain.clone(), distributor).multisig().await?;
    Ok((decides != multisig).then_some(decides))
}

/// When the peers in the home settle there.
fn restart_note(home: &Home, context: &Context) -> Result<String> {
    let (running, shown) = (dtn_testbed::any_peer_runs(home)?, context.home.display());
    Ok(match running {
        true => format!(
            "The peers in {shown} settle there once they are started again: dtn-cli l1 down --home {shown} && \
             dtn-cli l1 up --home {shown}"
        ),
        false => format!("The peers in {shown} settle there once they are started: dtn-cli l1 up --home {shown}"),
    })
}

/// Deploys the wallet of a plan and nothing else.
async fn wallet_only(account: &Account, plan: &DeployPlan, context: &Context) -> Result<()> {
    let (wallet, record) = deploy::deploy_wallet(account, plan).await?;
    if context.json {
        return output::json(&json!({ "wallet": wallet, "transaction": record }));
    }
    if let Some(record) = record {
        done(account.chain(), &record)?;
    }
    output::line(format!("{wallet}: {} of {} owners decide", plan.threshold, plan.owners.len()))
}

/// A deployment of the same network that another one is to stand beside.
#[derive(Debug, thiserror::Error)]
#[error(
    "the network settles on `{network}` already, by the distributor {distributor}, which holds {holds} and pays from block \
     {first_height} on; with these terms there would be another {others}, which would pay the same once more"
)]
pub(crate) struct Replaced {
    network: String,
    distributor: Address,
    holds: String,
    first_height: u64,
    others: String,
}

impl Replaced {
    /// Its code.
    pub(crate) fn code(&self) -> Code {
        ("would_replace", json!({ "network": self.network, "distributor": self.distributor }))
    }
}

/// What is known of a network's deployments on a chain before there is another one.
struct Before {
    /// That which is deployed again: with these addresses.
    same: Option<Deployment>,
    /// What the new one takes over from.
    replaced: Option<Replaced>,
}

impl Before {
    /// Asks all that says where the network's money is: the records here, by whatever name the chain goes in them, and what its
    /// peers are told. An error if something of it would be lost, or pay twice.
    async fn of(plan: &DeployPlan, chain: &Chain, home: &Home, context: &Context) -> Result<Self> {
        let of_this = |one: &Deployment| (one.network_id, one.chain_id) == (plan.network_id, chain.chain_id());
        let own = context.find_deployment(&chain.network().name)?;
        if let Some(other) = own.as_ref().filter(|&own| !of_this(own)) {
            forgotten(other, chain, context).await?;
        }
        let records: Vec<_> = context.deployments()?.into_iter().filter(of_this).collect();
        let addresses = plan.addresses();
        let mut others = settled(plan, chain, home)?;
        // Where it is found again nothing is written that was not there.
        if own.is_none_or(|own| !of_this(&own) || own.addresses != addresses) {
            others.extend(records.iter().map(|record| record.addresses));
        }
        let mut asked = vec![addresses];
        let mut replaced = None;
        for other in others {
            if !asked.contains(&other) {
                asked.push(other);
                replaced = replaces(chain, other, plan).await?.or(replaced);
            }
        }
        let same = records.into_iter().find(|record| record.addresses == addresses);
        Ok(Self { same, replaced })
    }
}

/// Fails if a record of another network would be replaced, unless its chain has forgotten it.
async fn forgotten(other: &Deployment, chain: &Chain, context: &Context) -> Result<()> {
    if other.chain_id == chain.chain_id() && chain.network().is_local() {
        let distributor = Distributor::new(chain.clone(), other.addresses.distributor);
        if let Err(ReadError::NotTheContract { .. }) = distributor.first_height().await {
            return Ok(());
        }
    }
    let file = context.deployment_file(&chain.network().name);
    let Deployment { network_id, chain_id, addresses, .. } = other;
    bail!(Coded::occupied(
        &file,
        format_args!(
            "is the record of another network, {network_id} on chain {chain_id}, whose distributor is {}: name a folder of its own \
             for this one by --home",
            addresses.distributor
        )
    ))
}

/// Where the peers in the home settle on a chain, if it is their network that is deployed.
fn settled(plan: &DeployPlan, chain: &Chain, home: &Home) -> Result<Vec<ContractAddresses>> {
    if !files::exists(&home.genesis_file())? || home.genesis()?.network_id() != plan.network_id {
        return Ok(Vec::new());
    }
    let told = dtn_testbed::settlements(home)?.into_iter();
    Ok(told.filter(|told| told.chain.chain_id == chain.chain_id()).map(|told| told.contracts).collect())
}

/// What is replaced by a plan, if it is still there. An error unless the plan says from which later height on it pays, and
/// what is replaced is closed below that.
async fn replaces(chain: &Chain, before: ContractAddresses, plan: &DeployPlan) -> Result<Option<Replaced>> {
    let distributor = Distributor::new(chain.clone(), before.distributor);
    let first_height = match distributor.first_height().await {
        // A development chain that was begun anew. Of another chain a node may be behind, or have another one.
        Err(ReadError::NotTheContract { .. }) if chain.network().is_local() => return Ok(None),
        first_height => first_height?,
    };
    let after = plan.addresses();
    let pairs = [
        ("registry", before.registry, after.registry),
        ("contract for claims", before.aow, after.aow),
        ("multisig", before.multisig, after.multisig),
        ("distributor", before.distributor, after.distributor),
        ("vault", before.vault, after.vault),
    ];
    let others: Vec<_> = pairs.iter().filter(|(_, one, other)| one != other).map(|(name, ..)| *name).collect();
    let replaced = Replaced {
        network: chain.network().name.clone(),
        distributor: before.distributor,
        holds: format_amount(distributor.holdings(Address::ZERO).await?.free),
        first_height,
        others: others.join(" and "),
    };
    ensure!(plan.rewards.first_height > first_height, replaced);
    deploy::closed(chain, before.distributor, plan).await?;
    Ok(Some(replaced))
}

/// What a run would do, which is an error with the first transaction that it would send. It writes nothing down, either.
async fn try_out(account: &Account, plan: &DeployPlan, funding: Option<U256>, context: &Context) -> Result<()> {
    let ContractAddresses { registry, multisig, distributor, aow, vault } = plan.addresses();
    let mut missing = 0;
    for contract in [registry, multisig, distributor, aow, vault].into_iter().filter(|contract| !contract.is_zero()) {
        missing += usize::from(!account.chain().has_code(contract).await?);
    }
    let others = Others((missing + usize::from(funding.is_some())).saturating_sub(1));
    let deployment = deploy::deploy(account, plan, |_| ()).await.context(others)?;
    if let Some(amount) = funding {
        deploy::top_up(account, distributor, amount).await?;
    }
    match context.json {
        true => output::json(&json!({ "deployment": deployment, "funded": null })),
        false => output::line("All contracts are there already: nothing would be sent."),
    }
}

fn write_plan(plan: &DeployPlan, file: &Path, context: &Context) -> Result<()> {
    files::write_json(file, plan)?;
    if context.json {
        return output::json(&json!({ "plan": plan, "addresses": plan.addresses() }));
    }
    let addresses = plan.addresses();
    let mut table = Table::new(format!("Written to {}", file.display()), [left("contract"), left("address")]);
    table.row(["ResultRegistry".to_string(), addresses.registry.to_string()]);
    table.row(["AowChallenge".to_string(), addresses.aow.to_string()]);
    table.row(["MultiSigWallet".to_string(), addresses.multisig.to_string()]);
    table.row(["RewardDistributor".to_string(), addresses.distributor.to_string()]);
    if !addresses.vault.is_zero() {
        table.row(["Vault".to_string(), addresses.vault.to_string()]);
    }
    output::line(table)
}

/// Tells the peers in the same folder where they settle, if it is their network that was deployed.
fn settle_there(home: &Home, deployment: &Deployment, network: &Network) -> Result<bool> {
    let theirs = files::exists(&home.genesis_file())? && home.genesis()?.network_id() == deployment.network_id;
    if theirs {
        let config = SettlementConfig::new(network.clone(), deployment.addresses, deployment.from_block);
        dtn_testbed::set_settlement(home, &config)?;
    }
    Ok(theirs)
}

/// A run that finds contracts does not know when they were deployed; the run that deployed them did.
fn keep_history(deployment: &mut Deployment, before: Deployment) {
    if deployment.contracts.iter().any(|contract| contract.tx.is_none()) {
        deployment.from_block = before.from_block;
    }
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  dtn-cli fund --amount 0.1ether                 (every key in --keys)
  dtn-cli fund --amount 0.1ether --to owner-01,0x70997970C51812dc3A010C7d01b50e0d17dc79C8
  dtn-cli fund --amount 0.05ether --network testnet --from treasurer

Accounts that hold the amount already get nothing; the others get what they lack.")]
pub(crate) struct Fund {
    /// What each account shall hold, such as 0.1ether
    #[arg(long, value_parser = amount)]
    amount: U256,
    /// Whom: addresses, names of keys, or folders of keys [default: all keys in --keys]
    #[arg(long, value_name = "WHO", value_delimiter = ',', num_args = 1..)]
    to: Vec<String>,
    #[command(flatten)]
    sender: Sender,
}

/// How many accounts hold less than an amount.
async fn lacking(chain: &Chain, accounts: &[Address], amount: U256) -> Result<usize> {
    let mut lacking = 0;
    for account in accounts {
        lacking += usize::from(chain.provider().get_balance(*account).await? < amount);
    }
    Ok(lacking)
}

pub(crate) async fn fund(args: Fund, context: &Context) -> Result<()> {
    let everyone = [context.keys.display().to_string()];
    let words = if args.to.is_empty() { &everyone[..] } else { &args.to };
    let mut accounts = context.accounts(words)?;
    let mut seen = std::collections::HashSet::new();
    accounts.retain(|account| seen.insert(*account));
    let chain = context.connect_or_start().await?;
    let payer = args.sender.account(&chain, context).await?;
    accounts.retain(|account| *account != payer.address());

    let bar = output::progress(accounts.len() as u64, "fund");
    let mut ends = deploy::fund_each(&payer, &accounts, args.amount, |_| bar.inc(1)).await;
    bar.finish_and_clear();
    if args.sender.dry_run
        && let Some(place) = ends.iter().position(Result::is_err)
        && let Err(error) = ends.swap_remove(place)
    {
        let lacking = lacking(&chain, &accounts, args.amount).await?;
        return Err(anyhow::Error::from(error).context(Others(lacking.saturating_sub(1))));
    }
    show_funded(&accounts, &ends, context)?;
    let failed = accounts.len() - ends.iter().filter(|end| end.is_ok()).count();
    // What is not one account's fault is the failure of all.
    match ends.into_iter().filter_map(Result::err).find(|error| error.revert().is_none()) {
        Some(error) => Err(error.into()),
        None if failed > 0 => bail!("{failed} of {} accounts were not funded", accounts.len()),
        None => Ok(()),
    }
}

/// Prints what became of each account.
fn show_funded(accounts: &[Address], ends: &[Result<Option<GasRecord>, SendError>], context: &Context) -> Result<()> {
    let told = |end: Option<&Result<Option<GasRecord>, SendError>>| match end {
        Some(Ok(Some(record))) => format!("funded by {}", record.tx),
        Some(Ok(None)) => "had enough".to_string(),
        Some(Err(error)) if error.revert().is_some() => format!("refuses native currency: {error}"),
        Some(Err(error)) => error.to_string(),
        None => "left out".to_string(),
    };
    if context.json {
        let entry = |(place, account): (usize, &Address)| match ends.get(place) {
            Some(Ok(record)) => json!({ "account": account, "transaction": record }),
            failed => {
                let code = failed.and_then(|end| end.as_ref().err()).map(|error| error.code().0);
                json!({ "account": account, "error": { "code": code, "message": told(failed) } })
            }
        };
        output::json(&accounts.iter().enumerate().map(entry).collect::<Vec<_>>())
    } else {
        let mut table = Table::new("", [left("account"), left("")]);
        for (place, account) in accounts.iter().enumerate() {
            table.row([account.to_string(), told(ends.get(place))]);
        }
        output::line(table)
    }
}
