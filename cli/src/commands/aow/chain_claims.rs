//! `dtn-cli aow post`, `claims`, `challenge`, `release` and `uphold`: sequential work on the settlement chain.

use std::collections::{BTreeMap, HashMap};

use alloy::providers::Provider;
use alloy_primitives::{Address, B128, B256, U256};
use anyhow::{Context as _, Result, bail, ensure};
use clap::{Args, Subcommand};
use dtn_aow::{Delay, Element, Start};
use dtn_bindings::{ContractAddresses, ResultRegistry};
use dtn_chain::{Account, Chain, amount::format_amount, gas_ledger::GasRecord};
use dtn_primitives::{Domain, Round};
use dtn_report::{Table, left, right, units};
use dtn_settlement::{
    aow::{Aow, ClaimState, ClaimStatus, NewClaim, PostedClaim, Slashing, checkpoints_of, segment_length},
    deploy::Deployment,
};
use serde_json::{Value, json};

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
    Claims(OnChain<Claims>),
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
pub(crate) struct Claims {
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
        Command::Claims(on) => with(on.parts(), claims).await,
        Command::Challenge(on) => with(on.parts(), challenge).await,
        Command::Release(on) => {
            let (ById { id, sender }, context) = on.parts();
            let (desk, account) = Desk::open_as(&context, &sender).await?;
            let record = desk.aow.release(&account, id).await?;
            report(&context, &desk, id, &record).await
        }
        Command::Uphold(on) => {
            let (ById { id, sender }, context) = on.parts();
            let (desk, account) = Desk::open_as(&context, &sender).await?;
            let record = desk.aow.verify_whole(&account, id).await?;
            report(&context, &desk, id, &record).await
        }
    }
}

/// A deployment's contract for claims.
struct Desk {
    chain: Chain,
    contracts: ContractAddresses,
    from_block: u64,
    aow: Aow,
    domain: Domain,
}

impl Desk {
    async fn open(context: &Context) -> Result<Self> {
        let chain = context.connect().await?;
        let Deployment { addresses: contracts, from_block, .. } = context.deployment(&chain)?;
        if contracts.aow.is_zero() {
            bail!("this deployment is older than claims of sequential work; run `dtn-cli deploy` again");
        }
        let aow = Aow::new(chain.clone(), contracts.aow);
        let domain = aow.domain().await?;
        Ok(Self { chain, contracts, from_block, aow, domain })
    }

    async fn open_as(context: &Context, sender: &Sender) -> Result<(Self, Account)> {
        let desk = Self::open(context).await?;
        let account = sender.account(&desk.chain, context).await?;
        Ok((desk, account))
    }

    async fn posted(&self) -> Result<Vec<PostedClaim>> {
        let head = self.chain.provider().get_block_number().await?;
        Ok(self.aow.posted(self.from_block..=head).await?)
    }

    async fn block_hash(&self, height: u64) -> Result<B256> {
        Ok(self.chain.read(self.contracts.registry, &ResultRegistry::finalizedHashCall { height }).await?)
    }

    /// The first segment of a claim that does not hold.
    async fn first_false_segment(&self, claim: &PostedClaim) -> Result<Option<usize>> {
        let (domain, block_hash) = (self.domain, self.block_hash(claim.height).await?);
        let claim = claim.clone();
        Ok(tokio::task::spawn_blocking(move || claim.first_false_segment(domain, block_hash)).await?)
    }

    /// Where a claim stands, in a word.
    async fn standing(&self, id: B256, claim: &ClaimState) -> Result<&'static str> {
        Ok(match claim.status {
            ClaimStatus::Slashed => "slashed",
            ClaimStatus::Upheld => "upheld",
            ClaimStatus::Posted if self.aow.outcome(id).await?.is_some() => "final",
            ClaimStatus::Posted => "posted",
        })
    }
}

async fn post(args: Post, context: &Context) -> Result<()> {
    let (desk, account) = Desk::open_as(context, &args.sender).await?;
    let Post { round, height, steps, .. } = args;
    let length = segment_length(steps).with_context(|| {
        format!("{steps} steps cannot be claimed: they have no checkpoints at even distances that the contract takes")
    })?;
    let previous_block_hash = desk.block_hash(height).await?;
    if previous_block_hash.is_zero() {
        bail!("the registry holds no block {height}; it must be finalized there before work can start from it");
    }
    let node = account.address();
    let start = Start { domain: desk.domain, round, previous_block_hash, node, steps }.element();
    let result =
        args.result.map(|result| Element::from_bytes(result.0).context("the result is no element of the field"));
    let result = result.transpose()?;
    let (from, checkpoints) = tokio::task::spawn_blocking(move || match result {
        Some(result) => checkpoints_of(result, steps).unwrap_or((result, Vec::new())),
        None => (start, Delay::default().checkpoints(start, steps, length, |_| ())),
    })
    .await?;
    ensure!(
        from == start || args.anyway,
        "the result does not go back to the start of this work, so anyone could take the bond; nothing was posted"
    );
    let claim = NewClaim { round, height, steps, checkpoints, proof_digest: args.proof_digest };
    let bond = match args.bond {
        Some(bond) => bond,
        None => desk.aow.bond_of(&claim).await?,
    };
    let record = desk.aow.post(&account, &claim, bond).await?;
    report(context, &desk, Round::id(round, node), &record).await
}

async fn challenge(args: Challenge, context: &Context) -> Result<()> {
    let (desk, account) = Desk::open_as(context, &args.sender).await?;
    let posted = desk.posted().await?;
    let claim = posted.iter().rfind(|claim| claim.id == args.id);
    let claim = claim.with_context(|| format!("nobody has posted the claim {}", args.id))?;
    let segment = match args.segment {
        Some(segment) => segment,
        None => desk
            .first_false_segment(claim)
            .await?
            .with_context(|| format!("every segment of {} holds; a challenge would be refused", args.id))?,
    };
    output::note(format_args!("Challenging segment {segment}"));
    let record = desk.aow.challenge(&account, args.id, &claim.checkpoints, segment).await?;
    report(context, &desk, args.id, &record).await
}

async fn report(context: &Context, desk: &Desk, id: B256, record: &GasRecord) -> Result<()> {
    let claim = desk.aow.claim(id).await?.with_context(|| format!("the claim {id} is gone again"))?;
    let status = desk.standing(id, &claim).await?;
    if context.json {
        return output::json(&json!({ "id": id, "status": status, "bond_wei": claim.bond, "transaction": record }));
    }
    output::line(format!("{} in {}, {} gas", record.function, record.tx, record.gas_used.unwrap_or(0)))?;
    if let Some(url) = desk.chain.network().transaction_url(record.tx) {
        output::line(url)?;
    }
    let until = match status {
        "posted" => format!(", can be challenged until {}", output::date(claim.deadline)),
        _ => String::new(),
    };
    output::line(format!("{id}: {status}{until}"))
}

/// A claim in the list.
struct Row {
    posted: PostedClaim,
    state: ClaimState,
    status: &'static str,
    /// The first segment that does not hold; nothing is checked of a slashed claim.
    false_segment: Option<usize>,
    slashing: Option<Slashing>,
}

impl Row {
    fn holds(&self) -> String {
        match (&self.slashing, self.false_segment) {
            (Some(Slashing { segment, challenger, .. }), _) => format!("not segment {segment}, by {challenger}"),
            (None, Some(segment)) => format!("not segment {segment}"),
            (None, None) => "all".into(),
        }
    }

    fn json(&self) -> Value {
        let Self { posted, state, status, false_segment, slashing } = self;
        json!({
            "id": posted.id, "round": posted.round, "node": posted.node, "height": posted.height,
            "steps": posted.steps, "segments": posted.checkpoints.len(), "proof_digest": posted.proof_digest,
            "block": posted.block, "tx": posted.tx, "status": status, "bond_wei": state.bond,
            "deadline": state.deadline, "holds": false_segment.is_none() && slashing.is_none(),
            "false_segment": false_segment, "slashing": slashing,
        })
    }
}

async fn claims(args: Claims, context: &Context) -> Result<()> {
    let desk = Desk::open(context).await?;
    let head = desk.chain.provider().get_block_number().await?;
    let slashed = desk.aow.slashed(desk.from_block..=head).await?;
    let mut slashed: HashMap<B256, Slashing> = slashed.into_iter().map(|slashing| (slashing.id, slashing)).collect();
    let mut rows = BTreeMap::<(u64, Address), Row>::new();
    for posted in desk.posted().await? {
        if args.round.is_some_and(|round| round != posted.round) {
            continue;
        }
        let Some(state) = desk.aow.claim(posted.id).await? else { continue };
        let status = desk.standing(posted.id, &state).await?;
        let slashing = slashed.remove(&posted.id);
        let false_segment = match state.status {
            ClaimStatus::Slashed => None,
            _ => desk.first_false_segment(&posted).await?,
        };
        rows.insert((posted.round, posted.node), Row { posted, state, status, false_segment, slashing });
    }
    if context.json {
        return output::json(&rows.values().map(Row::json).collect::<Vec<_>>());
    }
    let columns = [right("round"), left("node"), right("steps"), right("segments"), left("status"), right("bond")];
    let columns = columns.into_iter().chain([left("deadline"), left("holds"), left("id")]);
    let mut table = Table::new("Claims of sequential work", columns.collect::<Vec<_>>());
    for row in rows.values() {
        table.row([
            row.posted.round.to_string(),
            row.posted.node.to_string(),
            units::thousands(row.posted.steps),
            row.posted.checkpoints.len().to_string(),
            row.status.to_string(),
            format_amount(row.state.bond),
            output::date(row.state.deadline).to_string(),
            row.holds(),
            row.posted.id.to_string(),
        ]);
    }
    let which = args.round.map_or_else(String::new, |round| format!(" of round {round}"));
    let more = "peers that settle post one when they have completed a round (`dtn-cli aow round`)";
    output::list(&table, format!("no claims{which} yet: {more}, and `dtn-cli aow post` does by hand"))
}
