//! `dtn-cli l1 tail`: final blocks as they come, each verified here.

use std::time::Duration;

use anyhow::Result;
use dtn_api::FinalizedBlock;
use dtn_client::{FollowError, Follower, News};
use dtn_report::units;
use dtn_testbed::Home;
use serde_json::json;
use tokio::time::sleep;

use crate::output;

/// The pause before peers of which none answered are asked again.
const PAUSE: Duration = Duration::from_millis(500);

/// Prints every final block from a height on, or from the next one, until it is interrupted.
pub(super) async fn run(home: &Home, from: Option<u64>, json: bool) -> Result<()> {
    let client = dtn_testbed::client(home)?;
    let mut is_out = false;
    let tip = loop {
        match client.height().await {
            Ok(height) => break height,
            Err(error) if !std::mem::replace(&mut is_out, true) => {
                output::note(format_args!("{error}; trying on, until Ctrl-C"));
            }
            Err(_) => {}
        }
        sleep(PAUSE).await;
    };
    if is_out {
        output::note(BACK);
    }
    let next = from.unwrap_or(tip + 1);
    if tip >= next {
        // Final for a while: whether anybody keeps it can be told at once.
        client.certificate(next).await?;
    }
    let follower = Follower { verifier: client.verifier(), peers: home.client()?.peers, next, pause: PAUSE };
    let tell = |news: News<'_>| match news {
        News::Block(block) => show(block, json),
        News::Outage => {
            output::note("no peer answers; trying on, until Ctrl-C");
            Ok(())
        }
        News::Back => {
            output::note(BACK);
            Ok(())
        }
    };
    follower.run(tell).await.map_err(|error| match error {
        FollowError::Told(error) => error,
        gone @ FollowError::Gone(_) => anyhow::anyhow!("{gone}; was it pruned (`retain_blocks` in node.toml)?"),
    })
}

const BACK: &str = "peers answer again";

fn show(block: &FinalizedBlock, json: bool) -> Result<()> {
    let FinalizedBlock { header, certificate, transactions } = block;
    let hash = header.hash();
    if json {
        let transactions: Vec<_> = transactions.iter().map(|(hash, _)| hash).collect();
        let line = json!({
            "height": header.height,
            "hash": hash,
            "header": header,
            "certificate": certificate,
            "transactions": transactions,
        });
        return output::json_line(&line);
    }
    output::line(format!(
        "{:>8}  {}  {:>5} transactions  proposer {}  view {}  {} signatures",
        header.height,
        units::short(hash),
        transactions.len(),
        units::short(header.proposer),
        certificate.view,
        certificate.signatures.len(),
    ))
}
