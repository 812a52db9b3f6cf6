//! Blocks, their certificates, and what became of orders, as peers answer.

use alloy_primitives::hex;
use dtn_api::CertifiedHeader;
use dtn_chain::amount::format_amount;
use dtn_client::{Accepted, FinalBlock};
use dtn_primitives::{Answer, Payload, Transaction, U256, ValidatorSet};
use dtn_report::{Table, left, right, units};

/// A block with its transactions; in one that has none, that.
pub fn block(view: &FinalBlock) -> String {
    let header = &view.block.header;
    let title = format!(
        "Block {} {}\nparent {}\nproposer {}\ntimestamp {} ms",
        header.height, view.hash, header.parent_hash, header.proposer, header.timestamp
    );
    let mut table = Table::new(&title, [left("transaction"), left("sender"), left("kind"), left("what")]);
    for (hash, transaction) in view.transaction_hashes.iter().zip(&view.block.transactions) {
        let (kind, what) = described(&transaction.payload);
        table.row([units::short(hash), units::short(transaction.sender), kind.into(), what]);
    }
    table.or(format_args!("{title}\nno transactions"))
}

/// The kind of a payload, and what it says.
fn described(payload: &Payload) -> (&'static str, String) {
    match payload {
        Payload::Order(order) => ("order", format!("{}, {}, {}", order.dataset, order.model, order.metric)),
        Payload::Claim(claim) => (
            "claim",
            format!(
                "order {}, nonce {}, {}",
                units::short(claim.order),
                claim.nonce,
                units::duration(claim.duration_us)
            ),
        ),
        Payload::Data { items, .. } => {
            let bytes: usize = items.iter().map(|item| item.len()).sum();
            ("data", format!("{} items, {}", units::thousands(items.len()), units::bytes(bytes as u64)))
        }
        Payload::Round(round) => {
            ("round", format!("{} steps, closes at {} completions", units::thousands(round.steps), round.quorum))
        }
        Payload::Completion(completion) => (
            "completion",
            format!(
                "round {}, result {}, {}",
                completion.round,
                units::short(completion.result),
                units::duration(completion.compute_us)
            ),
        ),
        Payload::CloseRound { round } => ("close", format!("round {round}")),
        Payload::Custom(custom) => {
            let bytes = units::bytes(custom.body.len() as u64);
            ("custom", format!("kind {}, {bytes}", custom.kind))
        }
        Payload::Line(line) => {
            ("line", format!("{}, {} expected hashes", units::bytes(line.data.len() as u64), line.expected_hashes))
        }
        Payload::Training(call) => {
            let of = call.order.map_or_else(|| "a new order".into(), |order| format!("order {}", units::short(order)));
            ("training", format!("{of}, {}", units::bytes(call.body.len() as u64)))
        }
        Payload::Deposit(deposit) => (
            "deposit",
            format!("{}, {}, number {}", units::short(deposit.account), wei(deposit.amount), deposit.number),
        ),
        Payload::Withdrawal(withdrawal) => ("withdrawal", wei(withdrawal.amount)),
    }
}

fn wei(amount: u128) -> String {
    format_amount(U256::from(amount))
}

/// A certificate whose signatures were verified.
pub fn certificate(certified: &CertifiedHeader, validators: &ValidatorSet) -> Table {
    let certificate = &certified.certificate;
    let title = format!(
        "Certificate of block {} {}\nepoch {}, view {}: {} of {} validators signed, {} are a quorum; every signature holds",
        certificate.height,
        certificate.block_hash,
        certificate.epoch,
        certificate.view,
        certificate.signatures.len(),
        validators.len(),
        validators.quorum(),
    );
    let mut table = Table::new(title, [right("validator"), left("address"), left("signature")]);
    for (index, signature) in &certificate.signatures {
        let address = validators.get(*index).map(|validator| validator.address.to_string()).unwrap_or_default();
        table.row([index.to_string(), address, units::short(hex::encode_prefixed(signature.0))]);
    }
    table
}

/// What a quorum says of an account or an order.
pub fn answer(answer: &Answer) -> String {
    match answer {
        Answer::Nonce(nonce) => format!("nonce {nonce}"),
        Answer::UnknownOrder => "no block that is kept contains this order".into(),
        Answer::RecordedOrder { height } => format!("in block {height}; it asks for no work"),
        Answer::OpenOrder { height } => {
            format!("in block {height}, open: it takes claims that show its work")
        }
        Answer::ExpiredOrder { height } => format!("expired in block {height}: nobody has claimed it"),
        Answer::ClosedOrder { height, claim } => format!("closed in block {height} by claim {claim}"),
    }
}

/// Orders that have become final.
pub fn orders(transactions: &[Transaction], accepted: &[Accepted]) -> Table {
    let mut table =
        Table::new("Orders", [left("data set"), left("model"), left("transaction"), right("height"), right("replies")]);
    for (transaction, accepted) in transactions.iter().zip(accepted) {
        let Payload::Order(order) = &transaction.payload else { continue };
        table.row([
            order.dataset.clone(),
            order.model.clone(),
            units::short(accepted.transaction),
            accepted.height.to_string(),
            accepted.replies.to_string(),
        ]);
    }
    table
}
