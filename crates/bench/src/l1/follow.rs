//! Watching when a load becomes final.

use std::convert::Infallible;

use dtn_api::FinalizedBlock;
use dtn_client::{FollowError, Follower, News};
use tokio::time::Instant;

use super::load::{Commit, Load};
use crate::{BenchError, Result};

/// Notes when the transactions of a load were done, as final blocks come. Runs until it is dropped.
pub(crate) async fn follow(follower: Follower<'_>, load: &Load) -> Result<()> {
    let tell = |news: News<'_>| {
        if let News::Block(block) = news {
            note(block, load);
        }
        Ok::<_, Infallible>(())
    };
    follower.run(tell).await.map_err(|error| match error {
        FollowError::Gone(height) => BenchError::Gone(height),
        FollowError::Told(never) => match never {},
    })
}

fn note(FinalizedBlock { certificate, transactions, .. }: &FinalizedBlock, load: &Load) {
    let at = Instant::now();
    for place in transactions.iter().filter_map(|(hash, _)| load.workload.places.get(hash)) {
        load.finalized(*place, at);
    }
    load.committed(Commit { view: certificate.view, transactions: transactions.len(), at });
}
