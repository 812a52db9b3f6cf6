//! Calls whose id is none. What serves the calls takes them for notifications, which nobody answers; by JSON-RPC 2.0 they are
//! invalid requests, because they have the member `id`, and who made them waits. Over a WebSocket, whose messages the library
//! reads by itself, they go without an answer.

use jsonrpsee::types::Id;
use serde::Deserialize;
use serde_json::value::RawValue;

/// What is answered as an invalid request, with the id null.
const INVALID: &str = r#"{"id":null}"#;

#[derive(Deserialize)]
struct Call<'a> {
    #[serde(borrow)]
    id: &'a RawValue,
}

/// A request in which calls with an id that is none are such as are answered for what they are.
pub(super) fn checked(request: &[u8]) -> Vec<u8> {
    let is_invalid = |call: &str| {
        serde_json::from_str::<Call<'_>>(call).is_ok_and(|call| serde_json::from_str::<Id<'_>>(call.id.get()).is_err())
    };
    let Ok(text) = std::str::from_utf8(request) else { return request.to_vec() };
    if !text.trim_start().starts_with('[') {
        return if is_invalid(text) { INVALID.into() } else { request.to_vec() };
    }
    let Ok(batch) = serde_json::from_str::<Vec<&RawValue>>(text) else { return request.to_vec() };
    if !batch.iter().any(|call| is_invalid(call.get())) {
        return request.to_vec();
    }
    let calls: Vec<_> = batch.iter().map(|call| if is_invalid(call.get()) { INVALID } else { call.get() }).collect();
    format!("[{}]", calls.join(",")).into()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn only_a_call_whose_id_is_none_is_made_an_invalid_request() {
        let of = |request: &str| String::from_utf8(checked(request.as_bytes())).unwrap();
        for id in [r#"{"a":1}"#, "[1]", "true", "1.5", "-1"] {
            let call = format!(r#" {{"jsonrpc":"2.0", "id" : {id} ,"method":"dtn_status"}}"#);
            assert_eq!(of(&call), INVALID, "{id}");
            let batch = format!(r#"[{{"id":7,"method":"x"}},{call}]"#);
            assert_eq!(of(&batch), format!(r#"[{{"id":7,"method":"x"}},{INVALID}]"#));
        }
        for left_alone in [
            r#"{"jsonrpc":"2.0","id":1,"method":"dtn_status"}"#,
            r#"{"jsonrpc":"2.0","id":null,"method":"dtn_status"}"#,
            r#"{"jsonrpc":"2.0","id":"{}","method":"dtn_status","params":[{"id":{}}]}"#,
            r#"{"jsonrpc":"2.0","method":"dtn_status"}"#,
            r#"[{"id":1},{"method":"x"},2]"#,
            "[]",
            "{",
            "",
        ] {
            assert_eq!(of(left_alone), left_alone);
        }
        assert_eq!(checked(&[0xff, b'{']), [0xff, b'{']);
    }
}
