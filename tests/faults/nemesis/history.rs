//! What clients saw of one account, and whether one order of events explains it: linearizability (Herlihy & Wing, 1990),
//! as stateright's tester has it.

use std::sync::{
    Mutex,
    atomic::{AtomicUsize, Ordering},
};

use stateright::semantics::{ConsistencyTester, LinearizabilityTester, SequentialSpec};

/// What a client asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asked {
    /// That an order becomes final, with the account's next nonce.
    Order,
    /// Which nonce that is.
    Nonce,
}

/// What it is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Told {
    /// The order is final.
    Final,
    /// The order is not, and never will be.
    Refused,
    /// The next nonce.
    Next(u64),
}

/// What an account would be if there were one machine and one client: the nonce of its next order.
#[derive(Debug, Clone, Default)]
struct Account(u64);

impl SequentialSpec for Account {
    type Op = Asked;
    type Ret = Told;

    fn invoke(&mut self, asked: &Asked) -> Told {
        match asked {
            Asked::Order => {
                self.0 += 1;
                Told::Final
            }
            Asked::Nonce => Told::Next(self.0),
        }
    }

    fn is_valid_step(&mut self, asked: &Asked, told: &Told) -> bool {
        *told == Told::Refused || self.invoke(asked) == *told
    }
}

/// One call of a client.
pub(crate) type Call = usize;

#[derive(Debug, Clone, Copy)]
enum Event {
    Invoked(Call, Asked),
    Completed(Call, Told),
}

/// All calls about one account, each invoked and perhaps completed.
#[derive(Debug, Default)]
pub(crate) struct History {
    calls: AtomicUsize,
    events: Mutex<Vec<Event>>,
}

impl History {
    /// A client asks. What it is not told may have happened, now or ever after, or not.
    pub(crate) fn invoke(&self, asked: Asked) -> Call {
        let call = self.calls.fetch_add(1, Ordering::Relaxed);
        self.push(Event::Invoked(call, asked));
        call
    }

    /// It is told.
    pub(crate) fn complete(&self, call: Call, told: Told) {
        self.push(Event::Completed(call, told));
    }

    fn push(&self, event: Event) {
        self.events.lock().unwrap().push(event);
    }

    /// How many calls were completed.
    pub(crate) fn completed(&self) -> usize {
        self.events.lock().unwrap().iter().filter(|event| matches!(event, Event::Completed(..))).count()
    }

    /// What was seen if no one order of events explains it.
    pub(crate) fn contradiction(&self) -> Option<String> {
        let events = self.events.lock().unwrap();
        let mut tester = LinearizabilityTester::new(Account::default());
        for event in &*events {
            // Each call is a client of its own: one that is never completed keeps none from another.
            let told = match *event {
                Event::Invoked(call, asked) => tester.on_invoke(call, asked),
                Event::Completed(call, told) => tester.on_return(call, told),
            };
            told.unwrap();
        }
        let told = || events.iter().map(|event| format!("{event:?}\n")).collect();
        (!tester.is_consistent()).then(told)
    }
}

#[test]
fn a_read_that_misses_what_was_final_before_it_is_a_contradiction() {
    let history = History::default();
    let order = history.invoke(Asked::Order);
    let early = history.invoke(Asked::Nonce);
    history.complete(early, Told::Next(1));
    history.complete(order, Told::Final);
    let unknown = history.invoke(Asked::Order);
    let refused = history.invoke(Asked::Order);
    history.complete(refused, Told::Refused);
    for next in [1, 2] {
        let read = history.invoke(Asked::Nonce);
        history.complete(read, Told::Next(next));
    }
    assert!(history.contradiction().is_none(), "call {unknown} became final between the two");
    let stale = history.invoke(Asked::Nonce);
    history.complete(stale, Told::Next(1));
    assert!(history.contradiction().is_some());
}

#[test]
fn an_order_that_is_refused_and_counts_all_the_same_is_a_contradiction() {
    let history = History::default();
    let order = history.invoke(Asked::Order);
    history.complete(order, Told::Refused);
    let read = history.invoke(Asked::Nonce);
    history.complete(read, Told::Next(1));
    assert!(history.contradiction().is_some());
}
