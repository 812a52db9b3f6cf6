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
        let News::Block(FinalizedBlock { certificate, transactions, .. }) = news else {
            return Ok::<_, Infallible>(());
        };
        let at = Instant::now();
        let places = transactions.iter().filter_map(|(hash, _)| load.workload.places.get(hash));
        places.for_each(|place| load.finalized(*place, at));
        load.committed(Commit { view: certificate.view, transactions: transactions.len(), at });
        Ok(())
    };
    follower.run(tell).await.map_err(|error| match error {
        FollowError::Gone(height) => BenchError::Gone(height),
        FollowError::Told(never) => match never {},
    })
}
