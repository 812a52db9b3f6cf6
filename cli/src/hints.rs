//! What to do about errors of the libraries, which know no commands.

use dtn_client::ClientError;

/// What may help against an error, if anything is known.
pub(crate) fn hint(error: &anyhow::Error) -> Option<&'static str> {
    match error.chain().find_map(|cause| cause.downcast_ref::<ClientError>())? {
        ClientError::TooFew { .. } | ClientError::Silent(_) => Some("is the network up (`dtn-cli l1 status`)?"),
        ClientError::NoAccord { .. } | ClientError::NotFinal { .. } => {
            Some("look at `dtn-cli l1 status`, where a quorum must be connected, and at the peers' logs")
        }
        ClientError::Gone(_) => Some("`retain_blocks = 0` in node.toml keeps all blocks of a peer that has them"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use anyhow::Context;

    use super::*;

    #[test]
    fn the_hint_is_that_of_the_error_under_what_was_said_around_it() {
        let error = anyhow::Error::from(ClientError::Gone(3)).context("cannot read the ledger");
        assert!(hint(&error).is_some_and(|hint| hint.contains("retain_blocks")));
        assert_eq!(hint(&anyhow::anyhow!("the block is gone")), None, "words are not looked at");
        let failed: anyhow::Result<()> = Err(ClientError::NotYet(3)).context("no");
        assert!(failed.is_err_and(|error| hint(&error).is_none()));
    }
}
