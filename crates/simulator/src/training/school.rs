//! Models that are really trained, small ones, where grades are not drawn: linear models of the digits that ship with the
//! program, each with the seed of its claim, scored on rows that the order draws.

use std::ops::ControlFlow;

use dtn_primitives::{Address, B256, keccak256};
use dtn_train::{Dataset, Evaluation, Family, Model, Origin, Recipe, Task, shipped};
use dtn_training::{Grade, Grades};

use super::setup::{DRAWN, FOLD, HELD_OUT};

/// What is learnt from.
const DATA: &str = "digits";

/// How a model came about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Made {
    /// As it was ordered, in this try of its worker's.
    AsOrdered(u16),
    /// With more units and more epochs than were ordered, and of all rows that are known.
    Otherwise,
    /// Of the rows that everybody is scored on in public.
    OnTheFold,
}

/// Data in its parts, and the two models that whoever deviates shows.
#[derive(Debug)]
pub(super) struct School {
    recipe: Recipe,
    data: Dataset,
    held_out: Dataset,
    fold: Dataset,
    otherwise: Model,
    on_the_fold: Model,
}

/// One order's rows.
#[derive(Debug)]
pub(super) struct Exam<'a> {
    school: &'a School,
    order: B256,
    rows: Dataset,
}

fn trained(recipe: &Recipe, data: &Dataset, order: B256, worker: Address, attempt: u16) -> Model {
    let origin = Origin { network: B256::ZERO, block: B256::ZERO, order, worker, attempt };
    let done = dtn_train::train(recipe, 0, data, origin, |_, _| ControlFlow::Continue(()));
    done.ok().flatten().expect("the recipe and the data are known").0
}

/// Rows of one table after those of another.
fn joined(one: &Dataset, other: &Dataset) -> Dataset {
    let rows = || [one, other].into_iter().flat_map(|data| (0..data.rows()).map(move |row| (data, row)));
    let values = rows().flat_map(|(data, row)| data.features(row)).copied().collect();
    let labels = rows().map(|(data, row)| data.label(row)).collect();
    let outline = one.outline();
    Dataset::new(outline.task, outline.features, values, labels).expect("each is a table already")
}

/// The same rows, each with the label of the next class.
fn mislabelled(data: &Dataset) -> Dataset {
    let (values, outline) = ((0..data.rows()).flat_map(|row| data.features(row)).copied().collect(), data.outline());
    let classes = match outline.task {
        Task::Classes(classes) => i32::from(classes),
        Task::Number => 1,
    };
    let labels = (0..data.rows()).map(|row| (data.label(row) + 1) % classes).collect();
    Dataset::new(outline.task, outline.features, values, labels).expect("each label is a class")
}

impl School {
    /// For orders by this recipe.
    pub(super) fn new(recipe: Recipe) -> Self {
        let all = shipped(DATA).expect("it ships");
        let (rest, held_out) = all.split(HELD_OUT, B256::repeat_byte(1)).expect("there are more rows");
        let (data, fold) = rest.split(FOLD, B256::repeat_byte(2)).expect("there are more rows");
        let more = Recipe { family: Family::Mlp { hidden: vec![64] }, epochs: 4 * recipe.epochs, ..recipe.clone() };
        let otherwise = trained(&more, &joined(&data, &fold), B256::ZERO, Address::ZERO, 0);
        let on_the_fold = trained(&more, &fold, B256::ZERO, Address::ZERO, 0);
        Self { recipe, data, held_out, fold, otherwise, on_the_fold }
    }

    /// What an order draws; of a poisoner's, with labels that nobody can get right.
    pub(super) fn exam(&self, order: B256, poisoned: bool) -> Exam<'_> {
        let (_, rows) = self.held_out.split(DRAWN, keccak256(order)).expect("there are more rows");
        let rows = if poisoned { mislabelled(&rows) } else { rows };
        Exam { school: self, order, rows }
    }
}

impl Exam<'_> {
    /// What a model is worth that this worker has.
    pub(super) fn grades(&self, made: Made, worker: Address) -> Grades {
        let School { recipe, data, fold, otherwise, on_the_fold, .. } = self.school;
        let own;
        let model = match made {
            Made::AsOrdered(attempt) => {
                own = trained(recipe, data, self.order, worker, attempt);
                &own
            }
            Made::Otherwise => otherwise,
            Made::OnTheFold => on_the_fold,
        };
        let grade = |rows| Evaluation::of(model, rows).ok().map(|evaluation| Grade::from(evaluation.score));
        Grades { hidden: grade(&self.rows), fold: grade(fold) }
    }
}

#[cfg(test)]
mod tests {
    use dtn_train::{Fraction, Grid};

    use super::*;

    #[test]
    fn models_are_those_of_their_workers_and_better_the_more_was_done_for_them() {
        let part = |text: &str| vec![text.parse::<Fraction>().expect("a number")];
        let grid = Grid { learning_rate: part("0.05"), momentum: part("0.9"), ..Grid::default() };
        let school = School::new(Recipe { family: Family::Linear, grid, epochs: 8, batch: 32, segment_steps: 160 });
        let (exam, spoilt) = (school.exam(B256::ZERO, false), school.exam(B256::ZERO, true));
        let [one, other] = [1, 2].map(Address::repeat_byte);
        let correct = |exam: &Exam<'_>, made, worker| exam.grades(made, worker).hidden.expect("they fit").correct;
        let honest = exam.grades(Made::AsOrdered(0), one);
        assert_eq!(honest, exam.grades(Made::AsOrdered(0), one));
        assert_ne!(honest, exam.grades(Made::AsOrdered(1), one));
        assert_ne!(honest, exam.grades(Made::AsOrdered(0), other));
        let rows = |part: f64| (part * f64::from(DRAWN)) as u32;
        assert!(correct(&exam, Made::AsOrdered(0), one) > rows(0.88));
        assert!(correct(&exam, Made::Otherwise, one) > correct(&exam, Made::AsOrdered(0), one));
        assert!(correct(&spoilt, Made::Otherwise, one) < rows(0.1), "its labels are wrong");
        let fitted = exam.grades(Made::OnTheFold, one);
        assert_eq!(fitted.fold.expect("they fit").correct, FOLD, "it was trained on these");
    }
}
