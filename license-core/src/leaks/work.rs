//! Counts steps, in tests only: the work for each byte has a bound, and a count shows it on any machine.

/// So many steps are about to be done: bytes that are looked at once more, or places that are looked up.
#[inline]
pub(super) fn step(steps: usize) {
    #[cfg(test)]
    counted::STEPS.with(|counted| counted.set(counted.get() + steps as u64));
    #[cfg(not(test))]
    let _ = steps;
}

/// The steps of this thread since this was asked.
#[cfg(test)]
pub(super) fn taken() -> u64 {
    counted::STEPS.with(core::cell::Cell::take)
}

#[cfg(test)]
mod counted {
    use core::cell::Cell;

    std::thread_local! {
        /// The steps of a thread.
        pub(super) static STEPS: Cell<u64> = const { Cell::new(0) };
    }
}
