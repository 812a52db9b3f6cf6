//! Proofs that so many steps lead from a start to a result, which are much faster to check than the steps to undo.

use std::ops::ControlFlow;

use dtn_primitives::{B256, keccak256};
use winterfell::{AcceptableOptions, Proof, Prover, TraceTable};

use crate::{
    Delay, Element, Security, Start,
    air::{Coin, Hash, Steps, StepsProver, Tree, WIDTH, rows},
    wire,
};

/// The longest proof, in bytes.
pub const MAX_PROOF_BYTES: usize = dtn_primitives::MAX_PROOF_BYTES;

/// The most steps that a proof is made of.
pub const MAX_STEPS: u64 = dtn_primitives::MAX_ROUND_STEPS;

/// Up to so many steps a verifier undoes them all, which takes it less than any proof. Their proof is the digest of what it
/// says.
pub const MAX_REPLAYED_STEPS: u64 = 1 << 11;

/// After how many steps the caller hears of it.
const STRIDE: u64 = 1 << 12;

/// What a proof says: so many steps of the map with α lead from a start to a result. It is bound to a context, too: proven for
/// one, it holds for no other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Statement {
    /// Where the steps begin.
    pub start: Element,
    /// How many, 1 to [`MAX_STEPS`].
    pub steps: u64,
    /// The constant of the map.
    pub alpha: Element,
    /// Where they end.
    pub result: Element,
    /// What it was proven for, such as the hash of a [`Start`].
    pub context: B256,
}

/// Why there is no proof, or none that holds.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// Too few or too many steps.
    #[error("{0} steps: a proof is of 1 to {MAX_STEPS}")]
    Steps(u64),
    /// The caller said that it is enough.
    #[error("cancelled")]
    Cancelled,
    /// The steps come back to where they began. Of so short a circle winterfell makes no proof.
    #[error("after {0} steps the work is back where it began")]
    Circle(u64),
    /// There would be a proof, but none that may be sent.
    #[error("the proof has {0} bytes, more than {MAX_PROOF_BYTES}")]
    TooLong(usize),
    /// So few steps that they are undone, and they lead elsewhere.
    #[error("undoing the steps does not lead to the start")]
    Replay,
    /// Of so few steps there is one proof, and this is another.
    #[error("the proof of work of up to {MAX_REPLAYED_STEPS} steps is the digest of the statement, and this is not")]
    Digest,
    /// It begins with other options, or with the shape of a table that this many steps do not have.
    #[error("it is a proof with other options, or of another number of rows")]
    Options,
    /// It ends too early.
    #[error("it ends within {0}")]
    Truncated(&'static str),
    /// A length is not what follows from the statement, the options and the places to open.
    #[error("{0}: that many do not belong there")]
    Length(&'static str),
    /// A number is not below the field's size.
    #[error("{0}: a number is not below the field's size")]
    NotAnElement(&'static str),
    /// There is more than the proof.
    #[error("{0} bytes follow the proof")]
    Trailing(usize),
    /// The polynomial that FRI ends with was not fixed in time.
    #[error("the remainder is not the one that was committed to")]
    Remainder,
    /// The work before the places are known was not done.
    #[error("it was made of another statement, or without its {0} bits of work")]
    Grinding(u32),
    /// Winterfell does not accept it.
    #[error("{0}")]
    Rejected(String),
    /// Winterfell does not make it.
    #[error("no proof was made: {0}")]
    Prover(String),
}

impl Statement {
    /// The map of the steps.
    pub fn delay(&self) -> Delay {
        Delay::new(self.alpha)
    }

    /// The Keccak-256 of all of it: a label, start, steps, α, result and context, all big-endian.
    pub fn digest(&self) -> B256 {
        let Self { start, steps, alpha, result, context } = self;
        let [start, alpha, result] = [start, alpha, result].map(|element| element.to_bytes());
        keccak256([b"dtn-aow-statement", &start[..], &steps.to_be_bytes(), &alpha, &result, &context.0].concat())
    }

    fn check_steps(&self) -> Result<(), ProofError> {
        if (1..=MAX_STEPS).contains(&self.steps) { Ok(()) } else { Err(ProofError::Steps(self.steps)) }
    }
}

impl Start {
    /// What a proof of a start's work says when it leads to this result, by the map of a round ([`Delay::ALPHA`]).
    pub fn statement(&self, result: Element) -> Statement {
        let (start, alpha) = (self.element(), Delay::default().alpha());
        Statement { start, steps: self.steps, alpha, result, context: self.context() }
    }
}

/// The work of all steps, kept for its proof: 16 bytes a step, and up to as many again.
#[derive(Debug, Clone)]
pub struct Trace {
    delay: Delay,
    start: Element,
    steps: u64,
    width: usize,
    cells: Vec<Element>,
}

impl Trace {
    /// Does the work. Every few thousand steps `on_progress` hears how many are done, and may break it off.
    ///
    /// # Errors
    ///
    /// [`ProofError::Steps`] and [`ProofError::Cancelled`].
    pub fn run(
        delay: Delay,
        start: Element,
        steps: u64,
        on_progress: impl FnMut(u64) -> ControlFlow<()>,
    ) -> Result<Self, ProofError> {
        Self::with_width(delay, start, steps, WIDTH, on_progress)
    }

    /// The same with another number of steps in a row of the proof's table, to compare. Nobody accepts such a proof.
    ///
    /// # Errors
    ///
    /// As [`Trace::run`].
    ///
    /// # Panics
    ///
    /// If the width is not 1 to 254.
    #[doc(hidden)]
    pub fn with_width(
        delay: Delay,
        start: Element,
        steps: u64,
        width: usize,
        mut on_progress: impl FnMut(u64) -> ControlFlow<()>,
    ) -> Result<Self, ProofError> {
        if !(1..=MAX_STEPS).contains(&steps) {
            return Err(ProofError::Steps(steps));
        }
        assert!((1..255).contains(&width), "a table has 1 to 254 columns");
        let mut cells = vec![Element::ZERO; rows(steps, width) * width];
        let first = cells.len() - steps as usize;
        let (before, results) = cells.split_at_mut(first);
        let mut x = start;
        for (done, cell) in (1..).zip(results) {
            x = delay.step(x);
            *cell = x;
            if done % STRIDE == 0 && on_progress(done).is_break() {
                return Err(ProofError::Cancelled);
            }
        }
        go_back(delay, start, before);
        Ok(Self { delay, start, steps, width, cells })
    }

    /// The steps that lead to a result, found by going back from it. That is no work, and whoever knows the result of work can
    /// prove it this way.
    ///
    /// # Errors
    ///
    /// [`ProofError::Steps`].
    pub fn back_from(delay: Delay, result: Element, steps: u64) -> Result<Self, ProofError> {
        if !(1..=MAX_STEPS).contains(&steps) {
            return Err(ProofError::Steps(steps));
        }
        let mut cells = vec![Element::ZERO; rows(steps, WIDTH) * WIDTH];
        go_back(delay, result, &mut cells);
        let start = delay.back(cells[cells.len() - steps as usize]);
        Ok(Self { delay, start, steps, width: WIDTH, cells })
    }

    /// Where the steps lead.
    pub fn result(&self) -> Element {
        self.cells.last().copied().unwrap_or(self.start)
    }

    /// The results after every `every` steps, as [`Delay::checkpoints`] has them.
    pub fn checkpoints(&self, every: u64) -> Vec<Element> {
        let results = self.results();
        let last_of = |part: &[Element]| part.last().copied();
        match usize::try_from(every) {
            Ok(0) | Err(_) => Vec::new(),
            Ok(every) => results.chunks_exact(every).filter_map(last_of).collect(),
        }
    }

    fn results(&self) -> &[Element] {
        &self.cells[self.cells.len() - self.steps as usize..]
    }

    /// What its proof will say in a context.
    pub fn statement(&self, context: B256) -> Statement {
        let (start, steps, alpha) = (self.start, self.steps, self.delay.alpha());
        Statement { start, steps, alpha, result: self.result(), context }
    }

    /// Proves it, on the threads of the `rayon` pool that it is called in. Which of the many proofs there are it finds depends
    /// on the threads.
    ///
    /// # Errors
    ///
    /// [`ProofError::TooLong`], [`ProofError::Circle`], and [`ProofError::Prover`] if winterfell fails.
    pub fn prove(self, context: B256, security: Security) -> Result<Vec<u8>, ProofError> {
        if self.steps <= MAX_REPLAYED_STEPS {
            return Ok(self.statement(context).digest().to_vec());
        }
        if let Some(before) = self.results().iter().position(|result| *result == self.start) {
            return Err(ProofError::Circle(before as u64 + 1));
        }
        let prover = StepsProver { statement: self.statement(context), options: security.options() };
        let proof = prover.prove(self.into_table()).map_err(|error| ProofError::Prover(error.to_string()))?.to_bytes();
        if proof.len() > MAX_PROOF_BYTES { Err(ProofError::TooLong(proof.len())) } else { Ok(proof) }
    }

    fn into_table(self) -> TraceTable<Element> {
        let column = |first| self.cells.iter().skip(first).step_by(self.width).copied().collect();
        TraceTable::init((0..self.width).map(column).collect())
    }
}

/// Fills cells from the last to the first.
fn go_back(delay: Delay, last: Element, cells: &mut [Element]) {
    cells.iter_mut().rev().fold(last, |x, cell| {
        *cell = x;
        delay.back(x)
    });
}

/// Checks a proof with the one set of options that is accepted. Whatever the bytes are, it neither ends the process nor uses
/// more memory than a few times [`MAX_PROOF_BYTES`].
///
/// # Errors
///
/// Says what is wrong with the statement or with the proof.
pub fn verify(statement: &Statement, security: Security, proof: &[u8]) -> Result<(), ProofError> {
    statement.check_steps()?;
    if proof.len() > MAX_PROOF_BYTES {
        return Err(ProofError::TooLong(proof.len()));
    }
    if statement.steps <= MAX_REPLAYED_STEPS {
        if statement.digest() != proof {
            return Err(ProofError::Digest);
        }
        let leads = statement.delay().leads(statement.start, statement.steps, statement.result);
        return if leads { Ok(()) } else { Err(ProofError::Replay) };
    }
    wire::check(statement, security, &security.air(statement), proof)?;
    let rejected = |reason: &dyn std::error::Error| ProofError::Rejected(reason.to_string());
    let proof = Proof::from_bytes(proof).map_err(|error| rejected(&error))?;
    let accepted = AcceptableOptions::OptionSet(vec![security.options()]);
    winterfell::verify::<Steps, Hash, Coin, Tree>(proof, *statement, &accepted).map_err(|error| rejected(&error))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::sync::LazyLock;

    use super::*;

    fn element(value: u128) -> Element {
        Element::new(value).unwrap()
    }

    fn run(steps: u64) -> Trace {
        Trace::run(Delay::default(), element(123), steps, |_| ControlFlow::Continue(())).unwrap()
    }

    fn proven(steps: u64, security: Security) -> (Statement, Vec<u8>) {
        let (trace, context) = (run(steps), B256::repeat_byte(9));
        (trace.statement(context), trace.prove(context, security).unwrap())
    }

    /// A small one to change.
    static SMALL: LazyLock<(Statement, Vec<u8>)> = LazyLock::new(|| proven(3000, Security::Fast));

    /// All statements that differ from this one in one field.
    fn changed(statement: Statement) -> Vec<(&'static str, Statement)> {
        let one = element(1);
        let steps = |steps| ("steps", Statement { steps, ..statement });
        let mut context = statement.context;
        context[31] ^= 1;
        let mut others = vec![
            ("start", Statement { start: statement.start + one, ..statement }),
            ("start", Statement { start: statement.delay().step(statement.start), ..statement }),
            ("alpha", Statement { alpha: statement.alpha + one, ..statement }),
            ("result", Statement { result: statement.result + one, ..statement }),
            ("result", Statement { result: statement.delay().back(statement.result), ..statement }),
            ("context", Statement { context, ..statement }),
            steps(statement.steps - 1),
            steps(statement.steps + 1),
            steps(statement.steps / 2),
            steps(statement.steps * 2),
            steps(statement.steps.next_power_of_two()),
            steps(0),
            steps(MAX_STEPS + 1),
            steps(u64::MAX),
        ];
        others.retain(|(_, other)| *other != statement);
        others
    }

    #[test]
    fn work_of_any_number_of_steps_is_proven_and_nothing_else_is() {
        let counts =
            [1, 2, 31, 32, 33, 63, 64, 65, 255, 256, 257, 2047, 2048, 2049, 2050, 2079, 2080, 2081, 3000, 4095, 4096];
        for steps in counts.into_iter().chain([4097, 5003, 9973]) {
            let (statement, proof) = proven(steps, Security::Fast);
            assert_eq!(verify(&statement, Security::Fast, &proof), Ok(()), "{steps} steps");
            assert_eq!(proof.len() == 32, steps <= MAX_REPLAYED_STEPS);
            for (field, other) in changed(statement) {
                assert!(verify(&other, Security::Fast, &proof).is_err(), "{steps} steps, {field} changed: {other:?}");
            }
        }
    }

    #[test]
    fn each_set_of_options_proves_and_accepts_none_of_the_others() {
        for security in Security::ALL {
            let (statement, proof) = proven(5000, security);
            for other in Security::ALL {
                let expected = if other == security { Ok(()) } else { Err(ProofError::Options) };
                assert_eq!(verify(&statement, other, &proof), expected, "{security} for {other}");
            }
        }
    }

    #[test]
    fn a_field_of_the_statement_that_changes_nothing_in_the_table_is_bound_all_the_same() {
        let (statement, proof) = &*SMALL;
        for (field, other) in changed(*statement) {
            let refused = verify(&other, Security::Fast, proof).unwrap_err();
            let reasons = match field {
                // Still 128 rows, or others.
                "steps" => matches!(
                    refused,
                    ProofError::Steps(_) | ProofError::Options | ProofError::Grinding(16) | ProofError::Digest
                ),
                _ => refused == ProofError::Grinding(16) || matches!(refused, ProofError::Length(_)),
            };
            assert!(reasons, "{field}: {refused}");
        }
    }

    #[test]
    fn few_steps_are_undone_and_have_one_proof() {
        let (statement, proof) = proven(MAX_REPLAYED_STEPS, Security::Proven128);
        assert_eq!((verify(&statement, Security::Proven128, &proof), proof.len()), (Ok(()), 32));
        for other in [&[][..], &[0], &proof[1..], &[&proof[..], &[0]].concat()] {
            assert_eq!(verify(&statement, Security::Proven128, other), Err(ProofError::Digest));
        }
        let wrong = Statement { result: element(1), ..statement };
        assert_eq!(verify(&wrong, Security::Proven128, wrong.digest().as_slice()), Err(ProofError::Replay));
    }

    #[test]
    fn a_proof_cut_off_anywhere_or_with_more_behind_it_is_refused() {
        let (statement, proof) = &*SMALL;
        for length in (0..proof.len()).filter(|length| *length < 600 || length % 37 == 0) {
            assert!(verify(statement, Security::Fast, &proof[..length]).is_err(), "{length} bytes");
        }
        let longer = [&proof[..], &[0]].concat();
        assert_eq!(verify(statement, Security::Fast, &longer), Err(ProofError::Trailing(1)));
        let longest = vec![0; MAX_PROOF_BYTES + 1];
        assert_eq!(verify(statement, Security::Fast, &longest), Err(ProofError::TooLong(MAX_PROOF_BYTES + 1)));
    }

    #[test]
    fn a_remainder_that_was_not_committed_to_is_refused() {
        let (statement, proof) = &*SMALL;
        let mut other = proof.clone();
        // Behind it there are the number of partitions and the nonce.
        let last = other.len() - 10 - 15;
        other[last] ^= 1;
        assert_eq!(verify(statement, Security::Fast, &other), Err(ProofError::Remainder));
    }

    #[test]
    fn no_byte_of_a_proof_may_change() {
        let (statement, proof) = &*SMALL;
        for index in (0..proof.len()).filter(|index| *index < 400 || index % 61 == 0 || index + 1200 > proof.len()) {
            for bit in [0, 3, 7] {
                let mut other = proof.clone();
                other[index] ^= 1 << bit;
                assert!(verify(statement, Security::Fast, &other).is_err(), "bit {bit} of byte {index}");
            }
        }
    }

    #[test]
    fn work_may_be_broken_off() {
        let mut heard = Vec::new();
        let stop = |done| {
            heard.push(done);
            if done == 3 * STRIDE { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        let stopped = Trace::run(Delay::default(), element(1), 1 << 20, stop);
        assert_eq!(stopped.map(|trace| trace.result()), Err(ProofError::Cancelled));
        assert_eq!(heard, [1, 2, 3].map(|strides| strides * STRIDE));
        for steps in [0, MAX_STEPS + 1, u64::MAX] {
            let refused = Trace::run(Delay::default(), element(1), steps, |_| ControlFlow::Continue(()));
            assert_eq!(refused.map(|trace| trace.result()), Err(ProofError::Steps(steps)));
        }
    }

    #[test]
    fn a_trace_ends_and_passes_where_the_steps_do() {
        for steps in [1, 60, 2500] {
            let (trace, delay) = (run(steps), Delay::default());
            assert_eq!(trace.result(), delay.iterate(element(123), steps));
            for every in [0, 1, 20, 3000, u64::MAX] {
                assert_eq!(trace.checkpoints(every), delay.checkpoints(element(123), steps, every, |_| ()), "{every}");
            }
        }
    }

    #[test]
    fn whoever_knows_a_result_proves_it_without_the_work() {
        for steps in [1, 33, 5000] {
            let (trace, context) = (run(steps), B256::repeat_byte(3));
            let back = Trace::back_from(Delay::default(), trace.result(), steps).unwrap();
            assert_eq!(back.cells, trace.cells);
            assert_eq!(back.statement(context), trace.statement(context));
            let proof = back.prove(context, Security::Fast).unwrap();
            assert_eq!(verify(&trace.statement(context), Security::Fast, &proof), Ok(()));
        }
        assert!(Trace::back_from(Delay::default(), element(1), 0).is_err());
    }

    #[test]
    fn one_thread_finds_the_proof_of_the_golden_vector() {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
        let (_, proof) = pool.install(|| proven(3000, Security::Fast));
        let digest = "0x83b11ece93d1018099f19d5705f3535b031027f8c8167f02e9ea488820dd7ebb";
        assert_eq!((proof.len(), keccak256(proof).to_string()), (43_879, digest.to_string()));
    }

    /// What a prover makes who wants others to believe it, whatever is in its table.
    fn forged(statement: Statement, table: TraceTable<Element>) -> Vec<u8> {
        StepsProver { statement, options: Security::Fast.options() }.prove(table).unwrap().to_bytes()
    }

    #[test]
    fn a_prover_that_states_what_its_table_does_not_hold_is_refused() {
        let (statement, _) = *SMALL;
        let table = || run(statement.steps).into_table();
        assert_eq!(verify(&statement, Security::Fast, &forged(statement, table())), Ok(()));
        for (field, other) in changed(statement) {
            if rows(other.steps.clamp(1, MAX_STEPS), WIDTH) != rows(statement.steps, WIDTH) {
                continue;
            }
            let verdict = verify(&other, Security::Fast, &forged(other, table()));
            // The context is about nothing in the table, and true of any.
            let is_true = field == "context";
            assert!(
                verdict.is_ok() == is_true && !matches!(verdict, Err(ProofError::Grinding(_))),
                "{field}: {verdict:?}"
            );
        }
    }

    #[test]
    fn a_result_that_only_the_last_row_leads_to_is_refused() {
        let (statement, _) = *SMALL;
        let forgeries = [element(7), statement.result + element(1), statement.start];
        for result in forgeries {
            let mut trace = run(statement.steps);
            *trace.cells.last_mut().unwrap() = result;
            let statement = Statement { result, ..statement };
            let verdict = verify(&statement, Security::Fast, &forged(statement, trace.into_table()));
            assert!(matches!(verdict, Err(ProofError::Rejected(_))), "{verdict:?}");
        }
    }

    #[test]
    fn a_circle_is_refused_rather_than_proven() {
        // ∛(0 − 0) is 0.
        let zero = Delay::new(Element::ZERO);
        let trace = Trace::run(zero, Element::ZERO, 3000, |_| ControlFlow::Continue(())).unwrap();
        assert_eq!(trace.prove(B256::ZERO, Security::Fast), Err(ProofError::Circle(1)));
    }

    #[test]
    fn a_table_with_another_number_of_columns_is_not_accepted() {
        for width in [1, 16, 64] {
            let trace =
                Trace::with_width(Delay::default(), element(123), 4096, width, |_| ControlFlow::Continue(())).unwrap();
            let statement = trace.statement(B256::ZERO);
            let proof = trace.prove(B256::ZERO, Security::Fast).unwrap();
            assert_eq!(verify(&statement, Security::Fast, &proof), Err(ProofError::Options));
        }
    }

    #[test]
    fn the_sets_prove_what_they_are_named_for() {
        let bits = |steps| Security::ALL.map(|security| security.proven_bits(steps));
        assert_eq!([bits(3000), bits(1 << 20)], [[71, 101, 128], [68, 101, 128]]);
        for log in 12..=MAX_STEPS.ilog2() {
            assert_eq!(Security::Proven128.proven_bits(1 << log), 128, "2^{log} steps");
        }
        for security in Security::ALL {
            assert_eq!(security.to_string().parse(), Ok(security));
        }
    }
}
