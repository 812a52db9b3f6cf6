//! What to do about errors of the libraries, which know no commands.

use dtn_client::ClientError;
use dtn_testbed::TestbedError;

/// What may help against an error, if anything is known.
pub(crate) fn hint(error: &anyhow::Error) -> Option<String> {
    error.chain().find_map(|cause| {
        cause.downcast_ref().and_then(of_client).or_else(|| cause.downcast_ref().and_then(of_testbed))
    })
}

fn of_client(error: &ClientError) -> Option<String> {
    let hint = match error {
        ClientError::TooFew { .. } | ClientError::Silent(_) => "is the network up (`dtn-cli l1 status`)?",
        ClientError::NoAccord { .. } | ClientError::NotFinal { .. } => {
            "look at `dtn-cli l1 status`, where a quorum must be connected, and at the peers' logs"
        }
        ClientError::Gone(_) => "`retain_blocks = 0` in node.toml keeps all blocks of a peer that has them",
        _ => return None,
    };
    Some(hint.into())
}

fn of_testbed(error: &TestbedError) -> Option<String> {
    match error {
        TestbedError::NoNetwork(folder) => Some(format!("make one with `dtn-cli l1 init --home {}`", folder.display())),
        TestbedError::Occupied(_) | TestbedError::InTheWay(_) => Some("--home says which".into()),
        TestbedError::AnyPort | TestbedError::NoSuchPorts { .. } => Some("--base-port says which".into()),
        TestbedError::Interrupted => Some("nothing was made".into()),
        // An error that only passes another one on is looked through.
        TestbedError::Client(error) => of_client(error),
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
        let passed_on = anyhow::Error::from(TestbedError::from(ClientError::Gone(3)));
        assert!(hint(&passed_on).is_some_and(|hint| hint.contains("retain_blocks")));
        assert_eq!(hint(&anyhow::anyhow!("the block is gone")), None, "words are not looked at");
        let failed: anyhow::Result<()> = Err(ClientError::NotYet(3)).context("no");
        assert!(failed.is_err_and(|error| hint(&error).is_none()));
    }
}
