//! `dtn-cli registry`: the validator set that the registry takes certificates of, the next one, what it agrees to, and what
//! becomes of a lock that is stolen or lost.

use std::path::PathBuf;

use alloy_primitives::{Bytes, U256};
use anyhow::{Context as _, Result, bail, ensure};
use clap::{Args, Subcommand, ValueEnum};
use dtn_bindings::ResultRegistry;
use dtn_peer::files;
use dtn_primitives::Rotation;
use dtn_report::{Table, left, right};
use dtn_settlement::{
    action::{Action, Deed},
    calls::{OpenCall, OwnersCall},
    evidence,
    guard::{NextGuardian, Recovery, RegistryState, Stake, StakeTerms},
    message::{CertificateKind, Content, SignedMessage},
    proofs,
    rewards::{amount_of, token_name},
};
use serde_json::json;

use crate::{
    commands::{
        desk::{AtHeight, Desk, OfWallet, done, propose, send_open},
        messages::{self, MAX_FILE, check_network},
    },
    context::{Context, Sender, ensure_new},
    failure::Coded,
    output, said,
};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Name the validators of the next epoch, in a file that those of this one sign
    #[command(after_help = "Example:
  dtn-cli registry rotate --validators validator-01,validator-02,validator-03,0x7099…79C8 --out rotation.json

Once it has taken the rotation, the registry takes blocks of the old epoch for three days more, and nothing else of it. The peers
of a network stay with the validators of its genesis: post what is to be final first, and rotate the registry of a network that ends
or moves.

An epoch has one rotation: whoever signs two loses its stake, so all who are named have to be taken by the registry now.")]
    Rotate(Validators),
    /// Agree to something that a contract asks the validators for, in a file that they sign
    #[command(after_help = "Examples:
  dtn-cli registry resolve pause-owners --out pause.json
  dtn-cli registry resolve hand-over 0x9fE4…6e0 --out heir.json
  dtn-cli registry resolve move-on distributor --of 0x5FbD…0aa3 --out move.json
  dtn-cli registry resolve retract 70012 --out retract.json
  dtn-cli registry sign pause.json --from validator-0       (a quorum does)
  dtn-cli registry post pause.json && dtn-cli rewards pause-owners

What each allows, and when: `dtn-cli rewards pause-owners`, `rewards hand-over lost`, `registry announce` and then `rewards
move-on` or `registry guardian replace`, `registry retract`, `rewards close`.")]
    Resolve(Resolve),
    /// Sign a rotation, a resolution or a recovery as a validator, off chain
    Sign(messages::Sign),
    /// Put the signatures of several files into one
    Combine(messages::Combine),
    /// Post a rotation or a resolution that a quorum has signed
    Post(messages::Post),
    /// Say in words what the validators have resolved, from when on its delay counts; anybody may
    #[command(after_help = "Examples:
  dtn-cli registry announce replace-guardian 0x9fE4…6e0       (`registry guardian replace` 90 days later)
  dtn-cli registry announce move-on distributor --of 0x5FbD…0aa3       (`rewards move-on` two days later)")]
    Announce(Announce),
    /// Propose to the owners that what validators have resolved, or may, is not done
    #[command(after_help = "Example:
  dtn-cli registry veto hand-over 0x9fE4…6e0 --from owner-01")]
    Veto(Veto),
    /// Propose to the owners that a block which thieves have made up is not final any more; the validators have resolved it
    Retract(AtHeight),
    /// Propose to the owners that no certificate is taken for 7 days; not again within 28
    Pause(Sender),
    /// Say that all validators have put at stake what is required, after which certificates are taken; anybody may
    Open(Sender),
    /// Make another wallet the guardian, whose owners are the other lock
    #[command(subcommand)]
    Guardian(Guardian),
    /// Put other validators in the place of those whose lock is stolen or lost
    #[command(subcommand)]
    Recover(Recover),
    /// Report validators that contradicted themselves: they are barred, and their stakes taken
    #[command(after_help = "Examples:
  dtn-cli l1 evidence --json > evidence.json && dtn-cli registry report evidence.json --from dev:0
  dtn-cli registry report first.json other.json --from dev:0       (two messages, or two certificates of blocks)

A report of what has a stake is committed to first, in a transaction of its own, so that nobody who copies it has the share of
a quarter: `dtn-cli stake collect`. Peers report by themselves what they see.")]
    Report(Report),
    /// Show the epoch, its validators and their stakes, what they have certified, and who can stop them
    Show,
}

/// Who guards the validators' lock.
#[derive(Debug, Subcommand)]
pub(crate) enum Guardian {
    /// Propose to the owners that another wallet is the guardian
    Set(OfWallet),
    /// Make a wallet the guardian that was announced 90 days ago (`registry announce`); anybody may
    Replace(OfWallet),
}

/// What becomes of a lock that is stolen or lost.
#[derive(Debug, Subcommand)]
pub(crate) enum Recover {
    /// Name the validators that are to take over, in a file that more than a third of the old ones sign, or nobody
    #[command(after_help = "Example:
  dtn-cli registry recover new --validators validator-2,validator-3,new-01,new-02 --out recovery.json
  dtn-cli registry sign recovery.json --from validator-2      (and validator-3: more than a third of four)
  dtn-cli registry recover propose recovery.json --from owner-01
  dtn-cli registry recover finish recovery.json               (14 days after the owners have executed it)")]
    New(Validators),
    /// Propose the file to the owners: signed by more than a third it waits for 14 days
    #[command(
        after_help = "Example, if no validator's key is left; it waits for 90 days, and a block that is posted ends it:
  dtn-cli registry recover propose recovery.json --unsigned --from owner-01"
    )]
    Propose(ProposeRecovery),
    /// Propose to the owners that the recovery is off the table
    Cancel(Sender),
    /// Hand over to the validators of the file, once the delay is over; anybody may
    Finish(Finish),
}

#[derive(Debug, Args)]
pub(crate) struct Validators {
    /// The next validators: addresses, names of keys, or folders of keys; of a network's folder, the keys of its validators
    #[arg(long, value_name = "WHO", value_delimiter = ',', num_args = 1.., required = true)]
    validators: Vec<String>,
    /// Where to write: a file that is not there yet
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum What {
    /// The distributor does not do what its owners agree to, for 7 days
    PauseOwners,
    /// A wallet takes the place of one whose owners have lost their keys
    HandOver,
    /// What is free in a closed distributor goes to the next one
    MoveOn,
    /// A wallet is the registry's guardian
    ReplaceGuardian,
    /// A block at a height is not final any more
    Retract,
    /// A distributor is closed at a height below the greatest that the registry knows
    Close,
}

/// What validators agree to.
#[derive(Debug, Args)]
pub(crate) struct Agreed {
    /// What is done
    what: What,
    /// With which account or height, or for the how manieth pause [default: the next one]
    value: Option<String>,
    /// The distributor that does it [default: the one that was deployed last]
    #[arg(long, value_name = "WHO")]
    of: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Resolve {
    #[command(flatten)]
    agreed: Agreed,
    /// Where to write: a file that is not there yet
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct Announce {
    #[command(flatten)]
    agreed: Agreed,
    #[command(flatten)]
    sender: Sender,
}

#[derive(Debug, Args)]
pub(crate) struct Veto {
    #[command(flatten)]
    agreed: Agreed,
    #[command(flatten)]
    owner: Sender,
}

#[derive(Debug, Args)]
pub(crate) struct ProposeRecovery {
    /// The file
    file: PathBuf,
    /// Leave out signatures: no validator's key is left
    #[arg(long)]
    unsigned: bool,
    #[command(flatten)]
    owner: Sender,
}

#[derive(Debug, Args)]
pub(crate) struct Finish {
    /// The file
    file: PathBuf,
    #[command(flatten)]
    sender: Sender,
}

#[derive(Debug, Args)]
pub(crate) struct Report {
    /// What shows it: `l1 evidence --json`, or two certificates that contradict each other
    #[arg(required = true, num_args = 1..)]
    files: Vec<PathBuf>,
    #[command(flatten)]
    reporter: Sender,
}

pub(crate) async fn run(command: Command, context: &Context) -> Result<()> {
    match command {
        Command::Rotate(args) => rotate(args, context).await,
        Command::Resolve(Resolve { agreed, out }) => {
            let desk = Desk::open(context).await?;
            let (epoch, action) = (desk.registry().epoch().await?, agreed.action(&desk, context).await?);
            messages::new(Content::Resolution { epoch, action }, &desk, &out, context)
        }
        Command::Sign(args) => messages::sign(args, context).await,
        Command::Combine(args) => messages::combine(args, context),
        Command::Post(args) => messages::post(args, context).await,
        Command::Announce(Announce { agreed, sender }) => {
            let action = agreed.action(&Desk::open(context).await?, context).await?;
            if action.deed == Deed::HandOver {
                bail!(Coded::argument("`dtn-cli rewards hand-over lost` announces it"));
            }
            send_open(&sender, context, |_| OpenCall::Announce(action)).await
        }
        Command::Veto(Veto { agreed, owner }) => {
            let action = agreed.action(&Desk::open(context).await?, context).await?;
            if action.deed == Deed::PauseOwners {
                bail!(Coded::argument("nobody can veto a pause"));
            }
            propose(OwnersCall::Veto(action.hash()), &owner, context).await
        }
        Command::Retract(AtHeight { height, sender }) => {
            propose(OwnersCall::Retract { height }, &sender, context).await
        }
        Command::Pause(owner) => propose(OwnersCall::Pause, &owner, context).await,
        Command::Open(sender) => send_open(&sender, context, |_| OpenCall::Open).await,
        Command::Guardian(Guardian::Set(OfWallet { wallet, sender })) => {
            propose(OwnersCall::SetGuardian(context.account(&wallet)?), &sender, context).await
        }
        Command::Guardian(Guardian::Replace(OfWallet { wallet, sender })) => {
            let wallet = context.account(&wallet)?;
            send_open(&sender, context, |_| OpenCall::ReplaceGuardian(wallet)).await
        }
        Command::Recover(Recover::New(args)) => name_validators(args, Content::Recovery, context).await,
        Command::Recover(Recover::Propose(args)) => propose_recovery(args, context).await,
        Command::Recover(Recover::Cancel(owner)) => propose(OwnersCall::CancelRecovery, &owner, context).await,
        Command::Recover(Recover::Finish(Finish { file, sender })) => {
            let (_, next) = read_recovery(&file)?;
            send_open(&sender, context, |_| OpenCall::Recover(next.validators)).await
        }
        Command::Report(args) => report(args, context).await,
        Command::Show => show(context).await,
    }
}

/// Names the next validators, if the registry would take them now: a rotation that is signed and refused cannot be made anew,
/// since whoever signs two of an epoch is barred.
async fn rotate(args: Validators, context: &Context) -> Result<()> {
    ensure_new(&args.out)?;
    let next = context.keystore().validators(&args.validators)?;
    let desk = Desk::open(context).await?;
    let registry = desk.registry();
    let terms = registry.stake_terms().await?;
    let mut refused = Vec::new();
    for validator in next {
        if let Some(why) = unfit(&registry.stake(validator).await?, &terms) {
            let name = context.keystore().find(&validator.to_string()).map(|key| format!(" ({})", key.name));
            refused.push((validator, format!("{validator}{} {why}", name.unwrap_or_default())));
        }
    }
    ensure!(refused.is_empty(), Coded::unfit(&refused));
    name_validators(args, Content::Rotation, context).await
}

/// Why a registry refuses an account as a validator, if it does.
fn unfit(stake: &Stake, terms: &StakeTerms) -> Option<String> {
    let Stake { amount, free_at, barred, .. } = stake;
    if *barred {
        return Some("is barred".into());
    }
    let (staked, required) = (amount_of(terms.token, *amount), amount_of(terms.token, terms.required));
    match free_at {
        _ if terms.required.is_zero() => None,
        Some(_) => Some("takes its stake back".into()),
        None if *amount < terms.required => {
            Some(format!("has staked {staked} of the {required} that each validator has to"))
        }
        None => None,
    }
}

async fn name_validators(args: Validators, content: fn(Rotation) -> Content, context: &Context) -> Result<()> {
    let mut validators = context.keystore().validators(&args.validators)?;
    validators.sort();
    let desk = Desk::open(context).await?;
    let epoch = desk.registry().epoch().await?;
    messages::new(content(Rotation { epoch, validators }), &desk, &args.out, context)
}

impl Agreed {
    async fn action(&self, desk: &Desk, context: &Context) -> Result<Action> {
        let deed = match self.what {
            What::PauseOwners => Deed::PauseOwners,
            What::HandOver => Deed::HandOver,
            What::MoveOn => Deed::MoveOn,
            What::ReplaceGuardian => Deed::ReplaceGuardian,
            What::Retract => Deed::Retract,
            What::Close => Deed::Close,
        };
        let value = match (deed, &self.value) {
            (Deed::PauseOwners, None) => U256::from(desk.distributor().locks().await?.pauses),
            (Deed::PauseOwners | Deed::Retract | Deed::Close, Some(number)) => {
                let number: u64 = number.parse().map_err(|_| Coded::argument(format!("`{number}` is no number")))?;
                U256::from(number)
            }
            (Deed::Retract | Deed::Close, None) => {
                bail!(Coded::argument(format!("which height? Name it behind `{}`", deed.name())))
            }
            (_, Some(word)) => context.account(word)?.into_word().into(),
            (_, None) => bail!(Coded::argument(format!("which account? Name it behind `{}`", deed.name()))),
        };
        let mut contracts = desk.deployment.addresses;
        if let Some(word) = &self.of {
            contracts.distributor = context.account(word)?;
        }
        Ok(Action::new(deed, &contracts, value))
    }
}

fn read_recovery(file: &std::path::Path) -> Result<(SignedMessage, Rotation)> {
    let signed = messages::read(file)?;
    match signed.content.clone() {
        Content::Recovery(next) => Ok((signed, next)),
        _ => bail!(Coded::not_valid(file, None, format_args!("{} is no recovery", file.display()))),
    }
}

async fn propose_recovery(args: ProposeRecovery, context: &Context) -> Result<()> {
    let (signed, Rotation { epoch, validators: next }) = read_recovery(&args.file)?;
    let desk = Desk::open(context).await?;
    check_network(&signed, &desk, &args.file)?;
    let certificate = match args.unsigned {
        true => Bytes::new(),
        false => {
            let registry = desk.deployment.addresses.registry;
            let set = desk.chain.read(registry, &ResultRegistry::validatorsOfCall { epoch_: epoch }).await?;
            signed.certificate(&set, &Default::default(), Some(CertificateKind::Ecdsa))?.to_bytes().into()
        }
    };
    said::preview(&signed)?;
    propose(OwnersCall::ProposeRecovery { epoch, next, certificate }, &args.owner, context).await
}

async fn report(args: Report, context: &Context) -> Result<()> {
    let shown = args.files.iter().map(|file| files::read_json(file, MAX_FILE)).collect::<Result<_, _>>()?;
    let (desk, account) = Desk::open_as(context, &args.reporter).await?;
    let registry = desk.deployment.addresses.registry;
    let proofs = proofs::proofs(shown, &account, registry).await?;
    ensure!(!proofs.is_empty(), Coded::argument("there is no evidence in it"));
    let mut reports = Vec::new();
    for proof in proofs {
        reports.push((proof.id(), evidence::report(&account, registry, &proof).await?));
    }
    if context.json {
        let one = |(id, record): &(_, _)| json!({ "evidence": id, "transaction": record });
        return output::json(&reports.iter().map(one).collect::<Vec<_>>());
    }
    for (id, record) in reports {
        match record {
            Some(record) => done(&desk.chain, &record)?,
            None => output::line(format!("{id}: all whom it accuses are barred already"))?,
        }
    }
    Ok(())
}

async fn show(context: &Context) -> Result<()> {
    let desk = Desk::open(context).await?;
    let (registry, state) = (desk.registry(), desk.registry().state().await?);
    let now = desk.chain.clock().await.context("the chain does not tell the time")?;
    if context.json {
        let mut found = serde_json::to_value(&state)?;
        (found["registry"], found["now"]) = (json!(registry.address()), now.into());
        return output::json(&found);
    }
    let RegistryState { epoch, quorum, latest_height, distribution, stake, .. } = &state;
    let title = format!(
        "Epoch {epoch} of {}: {quorum} of {} validators are a quorum; height {latest_height} and distribution {distribution} \
         are the latest",
        registry.address(),
        state.validators.len()
    );
    let mut table = Table::new(title, [right("place"), left("validator"), right("stake"), left("")]);
    for (place, Stake { address, amount, free_at, barred, .. }) in state.validators.iter().enumerate() {
        let what = match (barred, free_at) {
            (true, _) => "barred",
            (false, Some(_)) => "leaving",
            (false, None) => "",
        };
        table.row([place.to_string(), address.to_string(), amount_of(stake.token, *amount), what.into()]);
    }
    if !stake.required.is_zero() {
        let required = amount_of(stake.token, stake.required);
        table.note(format!("Each validator has to stake {required} ({}).", token_name(stake.token)));
    }
    for line in standing(&state, now) {
        table.note(line);
    }
    output::line(table)
}

/// Who can stop the validators, and what has been stopped.
fn standing(state: &RegistryState, now: u64) -> Vec<String> {
    let at = output::date;
    let mut lines = vec![format!("The wallet {} guards it.", state.guardian)];
    if let Some(NextGuardian { address, effective_at }) = state.next_guardian {
        lines.push(format!(
            "The validators have announced {address} as its next guardian, from {} on.",
            at(effective_at)
        ));
    }
    if !state.open {
        lines.push("It takes no certificate before all have staked and somebody has said `registry open`.".into());
    }
    if state.paused_until > now {
        let (until, next) = (at(state.paused_until), at(state.pause_allowed_at));
        lines.push(format!("It takes no certificate until {until}, and can be paused again from {next} on."));
    }
    if let Some(Recovery { hash, effective_at, signed, .. }) = state.recovery {
        let by = if signed { "by validators and the owners" } else { "by the owners alone" };
        lines.push(format!("The validators with hash {hash} can take over from {} on, named {by}.", at(effective_at)));
    }
    lines
}
