//! What accounts have earned, as the golden vectors have it: by hand, and as the ledger states it.

use alloy_primitives::hex;
use dtn_primitives::*;
use serde_json::{Value, json};

use crate::golden::{aggregate, certificate, genesis};

/// Earnings of three accounts in two tokens, one of them the native currency.
pub(crate) fn earnings() -> Earnings {
    let earning = |account, token, cumulative| Earning {
        account: Address::repeat_byte(account),
        token: Address::repeat_byte(token),
        cumulative: U256::from(cumulative),
    };
    let earnings =
        [earning(0xa1, 0, 10u64.pow(18)), earning(0xa1, 0x70, 7), earning(0xa2, 0, 5), earning(0xa3, 0x70, 1)];
    Earnings::new(earnings).unwrap()
}

pub(crate) fn distribution() -> Distribution {
    let allotment = |token, amount| Allotment { token: Address::repeat_byte(token), amount };
    Distribution {
        distributor: Address::repeat_byte(0xdd),
        number: 3,
        root: earnings().root(),
        allotments: vec![allotment(0, 10u128.pow(18) + 5), allotment(0x70, u128::MAX)],
    }
}

fn statement_vector() -> Value {
    let token = Address::repeat_byte(0x3a);
    let statement = Statement { number: 0x0102_0304, token, total: 1_000_000_000_000_000_001, root: earnings().root() };
    let result = statement.result();
    assert_eq!(Statement::of(&result), Some(statement));
    json!({
        "number": statement.number,
        "token": statement.token,
        "amount": statement.total.to_string(),
        "root": statement.root,
        "kind": result.kind.number(),
        "id": result.id,
        "leaf": result.leaf(),
    })
}

pub(crate) fn distribution_vector() -> Value {
    let (domain, earnings, distribution) = (genesis().domain(), earnings(), distribution());
    let message = SettlementMessage::of_distribution(0, &distribution);
    json!({
        "distributor": distribution.distributor,
        "number": distribution.number,
        "root": distribution.root,
        "allotments": distribution.allotments.iter().map(|allotment| json!({
            "token": allotment.token,
            "amount": allotment.amount.to_string(),
        })).collect::<Vec<_>>(),
        "hash": distribution.hash(),
        "epoch": message.epoch(),
        "digest": message.digest(&domain),
        "certificate": hex::encode_prefixed(certificate(&message).to_bytes()),
        "aggregate": hex::encode_prefixed(aggregate(&message).to_bytes()),
        "earnings": earnings.as_slice().iter().map(|earning| json!({
            "account": earning.account,
            "token": earning.token,
            "cumulative": earning.cumulative.to_string(),
            "leaf": earning.leaf(),
            "proof": earnings.claim(earning.account, earning.token).unwrap().1,
        })).collect::<Vec<_>>(),
        "statement": statement_vector(),
    })
}
