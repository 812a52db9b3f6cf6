//! What became of orders that were handed in, for whoever is left without all of them final.

use std::{
    fmt,
    sync::{Mutex, PoisonError},
};

use dtn_client::Event;
use dtn_primitives::{Domain, Transaction};
use serde_json::{Value, json};

/// What is known of one order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    NotHandedIn,
    HandedIn,
    Refused,
    Final(u64),
}

/// What is known of several. As text it says what is final, what may be yet, and how to find out.
#[derive(Debug)]
pub struct Fates<'a> {
    domain: &'a Domain,
    transactions: &'a [Transaction],
    fates: Mutex<Vec<Fate>>,
}

impl<'a> Fates<'a> {
    /// Nothing is handed in yet of these, which are bound to a network.
    pub fn new(domain: &'a Domain, transactions: &'a [Transaction]) -> Self {
        Self { domain, transactions, fates: Mutex::new(vec![Fate::NotHandedIn; transactions.len()]) }
    }

    /// Takes in what a client tells of them.
    pub fn learn(&self, event: Event<'_>) {
        let (index, fate) = match event {
            Event::HandedIn(index) => (index, Fate::HandedIn),
            Event::Refused(index) => (index, Fate::Refused),
            Event::Final(index, accepted) => (index, Fate::Final(accepted.height)),
        };
        self.fates.lock().unwrap_or_else(PoisonError::into_inner)[index] = fate;
    }
}

impl Fates<'_> {
    /// What is known of each order, by its hash, for programs.
    pub fn json(&self) -> Value {
        let fates = self.fates.lock().unwrap_or_else(PoisonError::into_inner);
        let those = |wanted: fn(Fate) -> bool| -> Vec<Value> {
            let of = self.transactions.iter().zip(&*fates).filter(|(_, fate)| wanted(**fate));
            of.map(|(transaction, fate)| {
                let (nonce, hash) = (transaction.payload.nonce(), transaction.hash(self.domain));
                match fate {
                    Fate::Final(height) => json!({ "transaction": hash, "nonce": nonce, "height": height }),
                    _ => json!({ "transaction": hash, "nonce": nonce }),
                }
            })
            .collect()
        };
        json!({
            "final": those(|fate| matches!(fate, Fate::Final(_))),
            "unknown": those(|fate| fate == Fate::HandedIn),
            "refused": those(|fate| fate == Fate::Refused),
            "not_handed_in": those(|fate| fate == Fate::NotHandedIn).len(),
        })
    }
}

impl fmt::Display for Fates<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fates = self.fates.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut done, mut open, mut refused) = (String::new(), String::new(), String::new());
        for (transaction, fate) in self.transactions.iter().zip(&*fates) {
            let nonce = transaction.payload.nonce().unwrap_or_default();
            let line = format!("\nnonce {nonce}: {}", transaction.hash(self.domain));
            match fate {
                Fate::NotHandedIn => {}
                Fate::HandedIn => open += &line,
                Fate::Refused => refused += &line,
                Fate::Final(height) => done += &format!("{line} in block {height}"),
            }
        }
        let total = fates.len();
        let whose = self.transactions.first().map(|it| format!(" of {}", it.sender)).unwrap_or_default();
        write!(f, "{} of {total} orders{whose} are final{done}", done.lines().skip(1).count())?;
        if !open.is_empty() {
            write!(
                f,
                "\n{} of {total} may become final yet, and to submit them again orders them again; `dtn-cli l1 read order \
                 HASH` tells what became of one{open}",
                open.lines().skip(1).count()
            )?;
        }
        if !refused.is_empty() {
            write!(f, "\n{} of {total} refused{refused}", refused.lines().skip(1).count())?;
        }
        match fates.iter().filter(|fate| **fate == Fate::NotHandedIn).count() {
            0 => Ok(()),
            // They are handed in in their order.
            left => write!(f, "\n{left} of {total} were not handed in: the last ones"),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use dtn_client::Accepted;
    use dtn_primitives::{B256, Order, Payload, SecretKey, U256};

    use super::*;

    #[test]
    fn every_order_is_counted_once_and_all_that_were_handed_in_are_named() {
        let domain = Domain::new(B256::ZERO, 1);
        let key = SecretKey::from_bytes(&[7; 32]).unwrap();
        let order = |nonce| {
            let (dataset, model, metric) = ("a".into(), "b".into(), "c".into());
            let order = Order { nonce, dataset, model, metric, reward: U256::ZERO, work: None };
            Transaction::sign(Payload::Order(order), &key, &domain)
        };
        let transactions: Vec<_> = (5..10).map(order).collect();
        let fates = Fates::new(&domain, &transactions);
        (0..3).for_each(|index| fates.learn(Event::HandedIn(index)));
        let hash = |index: usize| transactions[index].hash(&domain);
        let accepted = Accepted { transaction: hash(1), height: 4, block: B256::ZERO, replies: 3, by_quorum: true };
        fates.learn(Event::Final(1, &accepted));
        fates.learn(Event::Refused(2));
        let said = fates.to_string();
        let lines: Vec<_> = said.lines().collect();
        assert_eq!(lines[0], format!("1 of 5 orders of {} are final", key.address()));
        assert_eq!(lines[1], format!("nonce 6: {} in block 4", hash(1)));
        assert!(lines[2].starts_with("1 of 5 may become final yet"), "{said}");
        assert_eq!(lines[3], format!("nonce 5: {}", hash(0)));
        assert_eq!(
            lines[4..],
            ["1 of 5 refused", format!("nonce 7: {}", hash(2)).as_str(), "2 of 5 were not handed in: the last ones"]
        );
        let told = json!({
            "final": [{ "transaction": hash(1), "nonce": 6, "height": 4 }],
            "unknown": [{ "transaction": hash(0), "nonce": 5 }],
            "refused": [{ "transaction": hash(2), "nonce": 7 }],
            "not_handed_in": 2,
        });
        assert_eq!(fates.json(), told);
    }
}
