//! The results of final blocks, which are paid on a chain.

use std::collections::BTreeSet;

use dtn_api::ApiClient;
use dtn_ledger::verify_result;
use dtn_primitives::FinalizedResult;

use crate::Client;

impl Client {
    /// All results from a height on, of the first peer that answers, each with its certificate and its solution
    /// checked; nothing if none answers.
    pub async fn results(&self, from: u64) -> Option<Vec<FinalizedResult>> {
        'peers: for peer in &self.peers {
            let (mut found, mut known) = (Vec::<FinalizedResult>::new(), BTreeSet::new());
            loop {
                // A page may end within a block.
                let next = found.last().map_or(from, |last| last.header.height);
                let skip = found.iter().rev().take_while(|last| last.header.height == next).count();
                match peer.results(next, Some(skip)).await {
                    Ok(more) if more.is_empty() => return Some(found),
                    Ok(more) => {
                        for result in &more {
                            let height = result.header.height;
                            // Who shows the same again and again would be asked for ever.
                            if height < next || !known.insert(result.result.id) {
                                tracing::warn!(height, "a peer shows a result that was not asked for");
                                continue 'peers;
                            }
                            if let Err(error) = verify_result(result, &self.domain, &self.membership) {
                                tracing::warn!(height, %error, "a peer shows a result that does not hold");
                                continue 'peers;
                            }
                        }
                        found.extend(more);
                    }
                    Err(error) => {
                        tracing::debug!(%error, "a peer does not answer");
                        continue 'peers;
                    }
                }
            }
        }
        None
    }
}
