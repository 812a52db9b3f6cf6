//! Authenticated broadcast in lock step (Dolev & Strong, "Authenticated Algorithms for Byzantine Agreement", SIAM J. Comput.
//! 12(4), 1983): one replica says something to all, any number of others may lie, and after f + 1 rounds all correct ones
//! have come to the same.
//!
//! A round lasts Δ, longer than any message takes. The sender signs its value and says it to all. Whoever hears in round r
//! a value that at least r replicas have signed, the sender first, *extracts* it, adds its signature and says it to
//! whoever has not signed. After f + 1 rounds, a replica comes to the value that it has extracted, or to nothing if it has
//! extracted none or more than one: the sender lies then. Of r signatures in the last round, one is that of a correct
//! replica, and that one has told everybody.
//!
//! With any f < n, if messages take less than Δ and all begin together:
//!
//! - **agreement**: all correct replicas come to the same;
//! - **validity**: if the sender is correct, they come to its value;
//! - **termination**: they do after exactly f + 1 rounds.
//!
//! A correct sender costs (n − 1) + (n − 1)(n − 2) messages. No protocol needs fewer rounds than f + 1 in the worst case
//! (same paper), nor fewer messages than the order of f² (Dolev & Reischuk, JACM 32(1), 1985).
//!
//! # Deviations
//!
//! - Each signature is over the value, not over the signatures before it: their order proves nothing that the rules use.
//! - What is extracted is said at once and not when the next round begins: it arrives no later.
//! - At most two values are extracted: with two, a replica comes to nothing, and so does whoever hears both of it.
//! - A replica that was down, or has lost its disk, has missed what the model says arrives. It is faulty, and says nothing.
//! - Δ covers how far apart replicas begin, and the time that a write takes.

use std::{convert::Infallible, time::Duration};

use dtn_primitives::{Bytes, ValidatorIndex};

use crate::{
    Effect, Input, Memory, Party, Protocol, Standalone, Unmet,
    signature_chain::{ChainError, MAX_VALUE, SignatureChain},
};

/// Values that are extracted at the most: two prove that the sender lies.
const MOST_VALUES: usize = 2;

/// The rules that can be left out, to see who notices. By default none is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// What comes in round r has r signatures; otherwise r − 1 do.
    pub signature_a_round: bool,
    /// Nobody signs twice.
    pub distinct_signers: bool,
    /// Signatures are those of their signers.
    pub genuine_signatures: bool,
    /// Who has extracted nothing comes to nothing; otherwise it waits.
    pub ends_without_value: bool,
    /// Who tells a second value is no liar: the sender is one.
    pub forgives_second_values: bool,
    /// Everybody is told; otherwise only the next so many, whom f faulty ones keep from the rest.
    pub tells: usize,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            signature_a_round: true,
            distinct_signers: true,
            genuine_signatures: true,
            ends_without_value: true,
            forgives_second_values: true,
            tells: usize::MAX,
        }
    }
}

/// When a replica begins, with the value to say if it is the sender.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Begin(pub Option<Bytes>);

/// A replica. It begins when its host says so by [`Input::Answer`], and comes once to a value, or to `None`.
#[derive(Debug)]
pub struct DolevStrong {
    party: Party,
    sender: ValidatorIndex,
    delta: Duration,
    rules: Rules,
    /// The round that it is in, from 1; 0 before it begins.
    round: usize,
    extracted: Vec<Bytes>,
    /// What it has said, for channels that open late.
    said: Vec<SignatureChain>,
    has_come: bool,
    /// It was down, so it has missed what it must not miss.
    is_faulty: bool,
}

impl DolevStrong {
    /// A replica in the broadcast of `sender`, with rounds of `delta`.
    pub fn new(party: Party, sender: ValidatorIndex, delta: Duration) -> Self {
        Self {
            party,
            sender,
            delta,
            rules: Rules::default(),
            round: 0,
            extracted: Vec::new(),
            said: Vec::new(),
            has_come: false,
            is_faulty: false,
        }
    }

    /// The same with other rules, which promise nothing.
    #[must_use]
    pub fn with_rules(self, rules: Rules) -> Self {
        Self { rules, ..self }
    }

    /// Whether the theorem is about so many replicas and faulty ones.
    pub fn assumes(n: usize, faulty: usize) -> Result<(), Unmet> {
        let (theorem, condition) = ("Dolev & Strong 1983", "one replica more than faulty ones");
        let unmet = Unmet { protocol: "dolev-strong", n, faulty, theorem, condition };
        if n > faulty { Ok(()) } else { Err(unmet) }
    }

    fn last_round(&self) -> usize {
        self.party.faulty + 1
    }

    fn begin(&mut self, value: Option<Bytes>) -> Vec<Effect<Self>> {
        if self.round > 0 || self.is_faulty {
            return Vec::new();
        }
        self.round = 1;
        let mut effects = vec![Effect::Persist(())];
        effects.extend((1..=self.last_round()).map(|round| Effect::SetTimer {
            timer: round,
            after: self.delta.saturating_mul(u32::try_from(round).unwrap_or(u32::MAX)),
        }));
        let value = value.filter(|value| self.party.me == self.sender && value.len() <= MAX_VALUE);
        effects.extend(value.into_iter().flat_map(|value| self.extract(&SignatureChain::new(value))));
        effects
    }

    /// Takes a value, and says it, with a signature more, to those who have not signed.
    fn extract(&mut self, chain: &SignatureChain) -> Vec<Effect<Self>> {
        self.extracted.push(chain.value.clone());
        if chain.links.len() >= self.last_round() {
            return Vec::new();
        }
        let longer = chain.signed(&self.party, Self::NAME);
        self.said.push(longer.clone());
        let n = self.party.n();
        let tells = if self.party.me == self.sender { n } else { self.rules.tells };
        let next = (1..n).map(|step| ValidatorIndex(((self.party.me.as_usize() + step) % n) as u16)).take(tells);
        next.filter(|to| !longer.has(*to)).map(|to| Effect::Send { to, message: longer.clone() }).collect()
    }

    fn check(&self, chain: &SignatureChain) -> Result<(), ChainError> {
        chain.check_form(self.sender, &self.party)?;
        if self.rules.distinct_signers {
            chain.check_signers()?;
        }
        if self.rules.genuine_signatures { chain.check_signatures(&self.party, Self::NAME) } else { Ok(()) }
    }

    /// A chain that comes too late for its signatures is nobody's fault: its channel may have been slow.
    fn hear(&mut self, chain: &SignatureChain) -> Result<Vec<Effect<Self>>, ChainError> {
        let needed = self.round - usize::from(!self.rules.signature_a_round && self.round > 0);
        let is_known = self.extracted.contains(&chain.value) || self.extracted.len() == MOST_VALUES;
        if is_known || self.has_come || self.is_faulty || chain.links.len() < needed {
            return Ok(Vec::new());
        }
        self.check(chain)?;
        if !self.extracted.is_empty() && !self.rules.forgives_second_values {
            return Err(ChainError::SecondValue);
        }
        Ok(self.extract(chain))
    }

    fn end(&mut self) -> Vec<Effect<Self>> {
        if self.extracted.is_empty() && !self.rules.ends_without_value {
            return Vec::new();
        }
        self.has_come = true;
        vec![Effect::Output(if let [value] = &self.extracted[..] { Some(value.clone()) } else { None })]
    }
}

impl Protocol for DolevStrong {
    type Message = SignatureChain;
    /// That it has begun.
    type Record = ();
    /// The end of a round.
    type Timer = usize;
    type Fault = ChainError;
    type Ask = Infallible;
    type Answer = Begin;
    type Output = Option<Bytes>;

    fn handle(&mut self, input: Input<Self>) -> Vec<Effect<Self>> {
        match input {
            Input::Start { memory, .. } => {
                self.is_faulty = memory != Memory::NeverVoted;
                Vec::new()
            }
            Input::Answer(Begin(value)) => self.begin(value),
            Input::Timer(round) if round == self.last_round() => self.end(),
            Input::Timer(round) => {
                self.round = round + 1;
                Vec::new()
            }
            Input::Connected(to) => {
                let unsigned = self.said.iter().filter(|chain| !chain.has(to));
                unsigned.map(|chain| Effect::Send { to, message: chain.clone() }).collect()
            }
            Input::Message { from, message } => {
                self.hear(&message).unwrap_or_else(|fault| vec![Effect::Fault { from, fault }])
            }
        }
    }
}

impl Standalone for DolevStrong {
    const NAME: &'static str = "dolev-strong/1";

    fn kind(_: &SignatureChain) -> &'static str {
        "chain"
    }

    fn slot((): &()) -> u64 {
        0
    }
}

#[cfg(test)]
mod tests;
