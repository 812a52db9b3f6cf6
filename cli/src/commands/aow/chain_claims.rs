//! `dtn-cli aow post`, `claims`, `challenge`, `release` and `uphold`: sequential work on the settlement chain.

use alloy_primitives::{B128, B256, U256};
use anyhow::Result;
use clap::{Args, Subcommand};
use dtn_chain::{Account, Chain, gas_ledger::GasRecord};
use dtn_documents::work;
use dtn_primitives::Round;
use dtn_settlement::{
    claims::{Asked, Claims, ClaimsError, Standing},
    deploy::Deployment,
};
use serde_json::json;

use crate::{
    args::{OnChain, with},
    context::{Context, Sender, amount},
    output,
};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Claim the work of a round on chain, with a bond
    Post(OnChain<Post>),
    /// List all claims, each checked here
    Claims(OnChain<ListClaims>),
    /// Show that a claim is wrong, and take half of its bond
    Challenge(OnChain<Challenge>),
    /// Return the bond of a final claim
    Release(OnChain<ById>),
    /// Have the contract take short work back as a whole, which makes its claim final
    Uphold(OnChain<ById>),
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  dtn-cli aow post --from validator-0 --round 1 --height 12 --steps 1048576
  dtn-cli aow post --from validator-0 --round 1 --height 12 --steps 16384 --result 0x2f1c…

Without --result the work is done here, which takes its time. Peers post their own completions by themselves.")]
pub(crate) struct Post {
    /// The round's number
    #[arg(long)]
    round: u64,
    /// The height of the block that opened it, which the registry must hold
    #[arg(long)]
    height: u64,
    /// How many steps
    #[arg(long)]
    steps: u64,
    /// What the work came to, 16 bytes in hexadecimal [default: do the work]
    #[arg(long)]
    result: Option<B128>,
    /// The hash of the proof that peers have
    #[arg(long, default_value_t = B256::ZERO)]
    proof_digest: B256,
    /// What to vouch with, such as 0.1ether [default: the least that the contract takes]
    #[arg(long, value_name = "AMOUNT", value_parser = amount)]
    bond: Option<U256>,
    /// Post even a result that does not go back to the start. Anyone can then take the bond
    #[arg(long)]
    anyway: bool,
    #[command(flatten)]
    sender: Sender,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:
  dtn-cli aow claims

The segments of every claim that is not slashed are taken back here, from the start that the registry's block gives.")]
pub(crate) struct ListClaims {
    /// Only this round's
    #[arg(long)]
    round: Option<u64>,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  dtn-cli aow challenge 0x0000000000000000000000012546bcd3c84621e976d8185a91a922ae77ecec30
  dtn-cli aow challenge 0x0000… --segment 17 --from treasurer

Without --segment the first one that does not hold is found here.")]
pub(crate) struct Challenge {
    /// The claim's id
    id: B256,
    /// The segment to point at, counted from 0
    #[arg(long)]
    segment: Option<usize>,
    #[command(flatten)]
    sender: Sender,
}

#[derive(Debug, Args)]
pub(crate) struct ById {
    /// The claim's id
    id: B256,
    #[command(flatten)]
    sender: Sender,
}

/// Runs one of the commands.
pub(crate) async fn run(command: Command) -> Result<()> {
    match command {
        Command::Post(on) => with(on.parts(), post).await,
        Command::Claims(on) => with(on.parts(), list).await,
        Command::Challenge(on) => with(on.parts(), challenge).await,
        Command::Release(on) => {
            let (ById { id, sender }, context) = on.parts();
            let (chain, claims, account) = open_as(&context, &sender).await?;
            let record = claims.contract.release(&account, id).await?;
            report(&context, &chain, &claims, id, &record).await
        }
        Command::Uphold(on) => {
            let (ById { id, sender }, context) = on.parts();
            let (chain, claims, account) = open_as(&context, &sender).await?;
            let record = claims.contract.verify_whole(&account, id).await?;
            report(&context, &chain, &claims, id, &record).await
        }
    }
}

/// The claims of the deployment that is known, and the account that sends.
async fn open(context: &Context) -> Result<(Chain, Claims)> {
    let chain = context.connect().await?;
    let Deployment { addresses, from_block, .. } = context.deployment(&chain)?;
    let claims = Claims::of(&chain, &addresses, from_block).await?;
    Ok((chain, claims))
}

async fn open_as(context: &Context, sender: &Sender) -> Result<(Chain, Claims, Account)> {
    let (chain, claims) = open(context).await?;
    let account = sender.account(&chain, context).await?;
    Ok((chain, claims, account))
}

async fn post(args: Post, context: &Context) -> Result<()> {
    let (chain, claims, account) = open_as(context, &args.sender).await?;
    let Post { round, height, steps, result, proof_digest, anyway, .. } = args;
    let asked = Asked { round, height, steps, result, proof_digest, anyway };
    let claim = claims.work(account.address(), &asked).await?;
    let bond = match args.bond {
        Some(bond) => bond,
        None => claims.contract.bond_of(&claim).await?,
    };
    let record = claims.contract.post(&account, &claim, bond).await?;
    report(context, &chain, &claims, Round::id(round, account.address()), &record).await
}

async fn challenge(args: Challenge, context: &Context) -> Result<()> {
    let (chain, claims, account) = open_as(context, &args.sender).await?;
    let claim = claims.find(args.id).await?;
    let segment = match args.segment {
        Some(segment) => segment,
        None => claims.first_false_segment(&claim).await?.ok_or(ClaimsError::Holds(args.id))?,
    };
    output::note(format_args!("Challenging segment {segment}"));
    let record = claims.contract.challenge(&account, args.id, &claim.checkpoints, segment).await?;
    report(context, &chain, &claims, args.id, &record).await
}

async fn report(context: &Context, chain: &Chain, claims: &Claims, id: B256, record: &GasRecord) -> Result<()> {
    let (claim, status) = claims.state(id).await?;
    if context.json {
        return output::json(&json!({ "id": id, "status": status, "bond_wei": claim.bond, "transaction": record }));
    }
    output::line(format!("{} in {}, {} gas", record.function, record.tx, record.gas_used.unwrap_or(0)))?;
    if let Some(url) = chain.network().transaction_url(record.tx) {
        output::line(url)?;
    }
    let until = match status {
        Standing::Posted => format!(", can be challenged until {}", output::date(claim.deadline)),
        _ => String::new(),
    };
    output::line(format!("{id}: {status}{until}"))
}

async fn list(args: ListClaims, context: &Context) -> Result<()> {
    let (_, claims) = open(context).await?;
    let checked = claims.checked(args.round).await?;
    if context.json {
        return output::json(&checked.iter().map(work::claim_json).collect::<Vec<_>>());
    }
    let which = args.round.map_or_else(String::new, |round| format!(" of round {round}"));
    let more = "peers that settle post one when they have completed a round (`dtn-cli aow round`)";
    output::list(&work::claims(&checked), format!("no claims{which} yet: {more}, and `dtn-cli aow post` does by hand"))
}
