//! What a node was asked for last, so that whoever waits can be told what for.

use std::sync::{Mutex, PoisonError};

use alloy::rpc::json_rpc::RequestPacket;

/// A question to a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// The node, as it may be shown.
    pub node: String,
    /// The method.
    pub method: String,
    /// Whether it was answered.
    pub is_answered: bool,
}

/// Of this process, whichever chain it was.
static LAST: Mutex<Option<Asked>> = Mutex::new(None);

/// What was asked last; nothing if no node was asked yet.
pub fn last() -> Option<Asked> {
    LAST.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

pub(crate) fn tell(node: String, request: &RequestPacket) {
    let first = match request {
        RequestPacket::Single(request) => Some(request),
        RequestPacket::Batch(requests) => requests.first(),
    };
    let asked = first.map(|request| Asked { node, method: request.method().to_string(), is_answered: false });
    *LAST.lock().unwrap_or_else(PoisonError::into_inner) = asked;
}

pub(crate) fn answered() {
    LAST.lock().unwrap_or_else(PoisonError::into_inner).iter_mut().for_each(|asked| asked.is_answered = true);
}
