//! `dtn-cli train report`: an order as a page.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use dtn_documents::training_page::Story;
use dtn_participant::Peer;
use dtn_primitives::{B256, codec};
use dtn_train::{Dataset, Evaluation, Job, Model, Origin, Run};
use dtn_trainer::{Blob, Opening};
use dtn_training::{Material, Proof, Reveal, TrainingOrder};
use serde_json::json;

use super::{access::Asked, data::write};
use crate::{context::Context, output};

/// Draw an order.
#[derive(Debug, Args)]
#[command(after_help = "Example:
  dtn-cli train report 0x3f1c…e2 --html order.html

One page that needs nothing but itself: who did what when, what the claims are worth on the known and the hidden rows, the loss of
the run that led and who trained which of its segments again, what the model says of hidden rows, and the money.")]
pub(crate) struct Report {
    /// The order
    order: B256,
    /// Where to write the page
    #[arg(long, value_name = "FILE")]
    html: PathBuf,
    #[command(flatten)]
    asked: Asked,
}

pub(super) async fn run(report: &Report, context: &Context) -> Result<()> {
    let peer = report.asked.peer(context).await?;
    let at = peer.order(report.order).await?;
    let mut calls = peer.calls(&at).await?;
    calls.reverse();
    let leader = at
        .order
        .leader()
        .and_then(|claim| Some((at.order.claims()[usize::from(claim)].worker, at.order.revealed(claim)?)));
    let (mut losses, mut said) = (Vec::new(), None);
    if let Some((worker, reveal)) = leader {
        let origin = Origin {
            network: peer.domain().network_id,
            block: at.block,
            order: at.order.id(),
            worker,
            attempt: reveal.attempt,
        };
        losses = losses_of(&peer, &at, &reveal, origin).await?.unwrap_or_default();
        said = said_of(&peer, &at, &reveal).await?;
    }
    let page = Story { at, calls, losses, said }.page();
    write(&report.html, page.to_string().as_bytes())?;
    match context.json {
        true => output::json(&json!({ "order": report.order, "html": report.html })),
        false => output::line(report.html.display()),
    }
}

/// The loss on the known rows at the beginning of each segment of which the peer has the state, and at the end.
async fn losses_of(
    peer: &Peer,
    at: &TrainingOrder,
    reveal: &Reveal,
    origin: Origin,
) -> Result<Option<Vec<(u32, f64)>>> {
    let Proof::Trace(Material { recipe, data, fold, .. }) = &at.proof else { return Ok(None) };
    let id = at.order.id();
    let fetch = async |blob| peer.fetch(id, blob).await;
    let (Some(data), Some(fold)) = (fetch(Blob::Data(data.root)).await?, fetch(Blob::Data(fold.root)).await?) else {
        return Ok(None);
    };
    let (data, fold) = (Dataset::decode(&data)?, Dataset::decode(&fold)?);
    let Some(trace) = fetch(Blob::Trace(reveal.trace)).await? else { return Ok(None) };
    let states: Vec<B256> = codec::decode(&trace, trace.len())?;
    let job = Job::new(recipe, reveal.point, &data, origin.seed())?;
    let classes = at.order.deal().classes;
    let loss = |model: &Model| -> Result<f64> {
        let grade = dtn_training::Grade::from(Evaluation::of(model, &fold)?.score);
        Ok(grade.loss_a_row(classes, fold.rows() as u32))
    };
    let mut losses = vec![(0, loss(&Run::start(&job).model())?)];
    for (segment, state) in states.iter().enumerate().take(states.len().saturating_sub(1)).skip(1) {
        if let Some(bytes) = fetch(Blob::State(*state)).await?
            && let Ok(run) = Run::resume(&job, &bytes)
        {
            losses.push((segment as u32, loss(&run.model())?));
        }
    }
    if let Some(bytes) = fetch(Blob::Model(reveal.model)).await? {
        losses.push((states.len() as u32 - 1, loss(&Model::decode(&bytes)?)?));
    }
    Ok(Some(losses))
}

/// What a model says of the drawn rows.
async fn said_of(peer: &Peer, at: &TrainingOrder, reveal: &Reveal) -> Result<Option<(Dataset, Evaluation)>> {
    let (id, deal) = (at.order.id(), at.order.deal());
    let Some(rows) = at.order.rows() else { return Ok(None) };
    let (rows, model) = (peer.fetch(id, Blob::Rows(rows)).await?, peer.fetch(id, Blob::Model(reveal.model)).await?);
    let (Some(rows), Some(model)) = (rows, model) else { return Ok(None) };
    let data = Opening::decode(&rows)?.data(deal.holdout, &at.order.drawn_rows(), deal.classes)?;
    let said = Evaluation::of(&Model::decode(&model)?, &data)?;
    Ok(Some((data, said)))
}
