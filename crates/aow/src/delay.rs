//! The delay function: slow forwards, cheap backwards.

use crate::Element;

/// x ↦ ∛(x − α) over the field of [`Element`], and back by y ↦ y³ + α.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Delay {
    alpha: Element,
}

impl Delay {
    /// The constant of the prototype's map.
    pub const ALPHA: u128 = 5;

    /// The map with a constant of one's own.
    pub fn new(alpha: Element) -> Self {
        Self { alpha }
    }

    /// The constant that is added.
    pub fn alpha(&self) -> Element {
        self.alpha
    }

    /// One step of work.
    #[inline]
    pub fn step(&self, x: Element) -> Element {
        (x - self.alpha).cube_root()
    }

    /// Undoes a step.
    #[inline]
    pub fn back(&self, y: Element) -> Element {
        y.cube() + self.alpha
    }

    /// So many steps of work.
    pub fn iterate(&self, start: Element, steps: u64) -> Element {
        (0..steps).fold(start, |x, _| self.step(x))
    }

    /// The results after every `every` steps up to `steps`, the last of which they are a multiple of. `seen` hears of each.
    pub fn checkpoints(&self, start: Element, steps: u64, every: u64, mut seen: impl FnMut(u64)) -> Vec<Element> {
        let mut x = start;
        let mut checkpoints = Vec::new();
        for number in 1..=steps.checked_div(every).unwrap_or_default() {
            x = self.iterate(x, every);
            checkpoints.push(x);
            seen(number * every);
        }
        checkpoints
    }

    /// Where so many steps began that lead to a result.
    pub fn undo(&self, result: Element, steps: u64) -> Element {
        (0..steps).fold(result, |y, _| self.back(y))
    }

    /// Whether so many steps lead from a start to a result, by going back.
    pub fn leads(&self, start: Element, steps: u64, result: Element) -> bool {
        self.undo(result, steps) == start
    }
}

impl Default for Delay {
    fn default() -> Self {
        Self { alpha: Element::new(Self::ALPHA).unwrap_or(Element::ZERO) }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn work_is_undone_by_going_back_and_nothing_else_passes(x in any::<u128>(), steps in 0u64..50) {
            let (delay, start) = (Delay::default(), Element::new(x % Element::MODULUS).unwrap());
            let result = delay.iterate(start, steps);
            prop_assert!(delay.leads(start, steps, result));
            prop_assert!(!delay.leads(start, steps + 1, result));
            prop_assert!(steps == 0 || !delay.leads(start, steps - 1, result));
            prop_assert!(!delay.leads(start, steps, result + Element::new(1).unwrap()));
            prop_assert!(steps == 0 || !Delay::new(Element::new(6).unwrap()).leads(start, steps, result));
        }
    }

    #[test]
    fn checkpoints_are_what_the_work_passes() {
        let (delay, start) = (Delay::default(), Element::new(123).unwrap());
        let mut seen = Vec::new();
        let checkpoints = delay.checkpoints(start, 60, 20, |steps| seen.push(steps));
        assert_eq!(checkpoints, [20, 40, 60].map(|steps| delay.iterate(start, steps)));
        assert_eq!(seen, [20, 40, 60]);
        assert!(delay.checkpoints(start, 60, 0, |_| ()).is_empty());
    }
}
