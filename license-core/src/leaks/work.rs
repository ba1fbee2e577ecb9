//! Counts steps, in tests only: the work for each byte has a bound, and a count shows it on any machine.

#[cfg(test)]
mod tests;

/// So many steps are about to be done: bytes that are looked at once more, or places that are looked up.
#[inline]
pub(super) fn step(steps: usize) {
    #[cfg(test)]
    tests::STEPS.with(|counted| counted.set(counted.get() + steps as u64));
    #[cfg(not(test))]
    let _ = steps;
}

/// The steps of this thread since this was asked.
#[cfg(test)]
pub(super) fn taken() -> u64 {
    tests::STEPS.with(core::cell::Cell::take)
}
