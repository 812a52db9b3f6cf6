//! `dtn-cli train order`: an order for a model, from its escrow to its end.

use std::time::Duration;

use alloy_primitives::U256;
use anyhow::{Context as _, Result, ensure};
use clap::{Args, ValueEnum};
use dtn_documents::training_orders::OrderDocument;
use dtn_participant::{Draft, Drafted, Hand, Mode, Options, Participant, Peer, Roles, now_ms};
use dtn_primitives::{B256, SecretKey};
use dtn_train::{Fraction, Holdout};
use dtn_training::{Ending, Phase};
use tokio::time::sleep;

use super::{
    access::{Asked, Signs, folder, patiently},
    data::DataOptions,
    recipe::RecipeOptions,
};
use crate::{
    commands::desk::new_salt,
    context::{Context, amount},
    interruption, output,
};

/// How often an order is looked at.
const LOOK: Duration = Duration::from_millis(250);

/// Order a model.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  dtn-cli train order digits --mlp 64 --epochs 20 --holdout 20% --reward 0.1ether --baseline 0.9
  dtn-cli train order houses.csv --label price --number --gbdt 3 --reward 0.2ether --baseline 0.3 --beacon block
  dtn-cli train order digits --recipe digits.toml --reward 0.1ether --baseline 0.9 --detach
  dtn-cli train order digits --linear --score --row-macs 10000 --reward 0.1ether --baseline 0.95

The reward and a deposit are locked from the free balance of the key (`dtn-cli money deposit`). The rows that are held out stay
in this folder until the beacon has drawn some of them, after the last claim; this command waits for that, and opens them. Keep
it running, or go on later with `dtn-cli train open ORDER`: who does not open its rows in time loses the deposit.

What is held out must be rows that nobody else has: who knows all rows of a published data set knows which are missing.

With --score nothing is said about how a model came about: not that it was trained by the recipe, on this data, or by who claims
it; nor that its trainer has not seen the rows held out elsewhere. Only that on rows that were drawn after all claims it is as good
as the committee states. If the rows are not opened the order ends without a winner, and the deposit is lost.")]
pub(crate) struct Order {
    #[command(flatten)]
    data: DataOptions,
    #[command(flatten)]
    recipe: RecipeOptions,
    #[command(flatten)]
    terms: TermsOptions,
    /// Hand the order in, and end; its rows have to be opened later
    #[arg(long)]
    detach: bool,
    #[command(flatten)]
    signs: Signs,
    #[command(flatten)]
    asked: Asked,
}

/// Go on with an order that was handed in before.
#[derive(Debug, Args)]
#[command(after_help = "Example:
  dtn-cli train open 0x3f1c…e2

With the key and the --home with which the order was made: the rows that are held out are kept there.")]
pub(crate) struct Open {
    /// The order
    order: B256,
    #[command(flatten)]
    signs: Signs,
    #[command(flatten)]
    asked: Asked,
}

/// What is paid, and how long everything lasts.
#[derive(Debug, Args)]
#[command(next_help_heading = "Terms")]
struct TermsOptions {
    /// What is paid in all, such as 0.1ether
    #[arg(long, value_parser = amount)]
    reward: U256,
    /// The least part of rows that has to be right, such as 0.9; of numbers the largest mean square of errors
    #[arg(long)]
    baseline: Fraction,
    /// Take models however and wherever they were trained, ranked by the rows held out alone: no trace, and no audit. The recipe
    /// is for providers without a trainer of their own (`train claim --trainer`), and bounds the size of models
    #[arg(long)]
    score: bool,
    /// With --score, the most multiplications that a model may take for a row [default: those of the recipe's model]
    #[arg(long, value_name = "COUNT", requires = "score")]
    row_macs: Option<u64>,
    /// How many of the rows that are left everybody gets to score by: a number, or a part
    #[arg(long, default_value = "15%", value_name = "ROWS")]
    fold: Holdout,
    /// How many of the rows held out are drawn [default: half of them]
    #[arg(long, value_name = "ROWS")]
    draw: Option<u32>,
    /// The most claims
    #[arg(long, default_value_t = 16)]
    claims: u8,
    /// How many validators score and audit [default: a quorum, at most 7]
    #[arg(long)]
    committee: Option<u8>,
    /// How many of them audit each segment [default: 3, or as many as there are]
    #[arg(long, value_name = "AUDITORS")]
    redundancy: Option<u8>,
    /// What a worker and a member stake, such as 0.02ether [default: a quarter of the reward]
    #[arg(long, value_parser = amount)]
    stake: Option<U256>,
    /// What draws rows and members
    #[arg(long, value_enum, default_value_t = Beacon::Round)]
    beacon: Beacon,
    /// How long claims are taken
    #[arg(long, default_value = "60s", value_parser = humantime::parse_duration, value_name = "TIME")]
    claim_window: Duration,
    /// How long each phase lasts at most that ends when nothing more is waited for [default: 30s]
    #[arg(long, value_parser = humantime::parse_duration, value_name = "TIME")]
    window: Option<Duration>,
    /// How long challenges are taken, which is waited for in full [default: the least that the network takes]
    #[arg(long, value_parser = humantime::parse_duration, value_name = "TIME")]
    challenge_window: Option<Duration>,
}

/// What draws.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Beacon {
    /// A round of sequential work, which nobody can bias
    Round,
    /// The next block's hash, which its primary can bias: faster
    Block,
}

pub(super) async fn run(order: Order, context: &Context) -> Result<()> {
    let peer = order.asked.peer(context).await?;
    let key = order.signs.key(&peer, context).await?;
    let drafted = order.draft(&peer)?;
    let folder = folder(context, key.address());
    let bar = output::progress(0, "handing the order in");
    let keep = |id| folder.keep_holdout(id, &drafted.holdout, drafted.secret);
    let id = Hand::new(peer.clone(), key.clone()).order(&drafted.terms, &drafted.blobs, keep).await;
    bar.finish_and_clear();
    let id = id?;
    output::note(format_args!("order {id}"));
    if order.detach {
        return show(&peer, id, context).await;
    }
    output::note("waiting for claims; the rows that are drawn are opened by this command, so keep it running");
    interruption::unless_asked(see_to(&peer, key, id, context)).await?;
    show(&peer, id, context).await
}

pub(super) async fn open(open: Open, context: &Context) -> Result<()> {
    let peer = open.asked.peer(context).await?;
    let key = open.signs.key(&peer, context).await?;
    let is_own = folder(context, key.address()).holdout(open.order)?.is_some();
    ensure!(
        is_own,
        "the rows that order {} holds out are not in {} for {}: give the --home and the key with which it was made",
        open.order,
        context.home.display(),
        key.address()
    );
    interruption::unless_asked(see_to(&peer, key, open.order, context)).await?;
    show(&peer, open.order, context).await
}

async fn show(peer: &Peer, id: B256, context: &Context) -> Result<()> {
    let document = OrderDocument::of(&peer.order(id).await?);
    match context.json {
        true => output::json(&document),
        false => document.tables(now_ms()).iter().try_for_each(output::line),
    }
}

/// Opens the rows that are drawn, and waits for the end.
async fn see_to(peer: &Peer, key: SecretKey, id: B256, context: &Context) -> Result<()> {
    let folder = folder(context, key.address());
    let options = Options { only: Some(id), ..Options::new(Roles::default(), key.address()) };
    let acting = tokio::spawn(Participant::new(peer.clone(), key, folder, None, options).run());
    let (mut before, bar) = (None, output::progress(0, "order"));
    let ending = loop {
        let at = patiently(async || peer.order(id).await).await?;
        if let Phase::Ended(ending) = at.order.phase() {
            break ending;
        }
        let now = (at.order.phase(), at.order.claims().len());
        if before.replace(now) != Some(now) {
            bar.println(format!("{}; {} claims", now.0, now.1));
        }
        sleep(LOOK).await;
    };
    bar.finish_and_clear();
    acting.abort();
    if let Ending::Void(why) = ending {
        output::warn(format_args!("the order ended without a winner: {why}"));
    }
    Ok(())
}

impl Order {
    fn draft(&self, peer: &Peer) -> Result<Drafted> {
        let (terms, data) = (&self.terms, self.data.all()?);
        let rows = data.rows() as u32;
        let holdout = self.data.held_out(rows);
        ensure!(
            (1..rows).contains(&holdout),
            "--holdout is {holdout} rows of {rows}: hold out at least one, and leave at least two"
        );
        let fold = terms.fold.of(rows - holdout);
        ensure!(
            (1..rows - holdout).contains(&fold),
            "--fold is {fold} rows of the {} that are left: give at least one, and train on at least one",
            rows - holdout
        );
        let wei = |amount: U256| amount.try_into().ok().with_context(|| format!("{amount} is more than 128 bits hold"));
        let draft = Draft {
            data,
            holdout,
            fold,
            draw: terms.draw,
            recipe: self.recipe.recipe()?,
            mode: if terms.score { Mode::Score { row_macs: terms.row_macs } } else { Mode::Trace },
            baseline: terms.baseline,
            reward: wei(terms.reward)?,
            stake: terms.stake.map(wei).transpose()?,
            claims: terms.claims,
            committee: terms.committee,
            redundancy: terms.redundancy,
            beacon: match terms.beacon {
                Beacon::Round => dtn_training::Beacon::Round,
                Beacon::Block => dtn_training::Beacon::Block,
            },
            claim_ms: milliseconds(terms.claim_window),
            window_ms: terms.window.map(milliseconds),
            challenge_ms: terms.challenge_window.map(milliseconds),
        };
        // Nobody may know the secret before the rows are opened.
        Ok(draft.make(peer.genesis(), new_salt())?)
    }
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
