//! Where steps are counted.

use core::cell::Cell;

std::thread_local! {
    /// The steps of a thread.
    pub(super) static STEPS: Cell<u64> = const { Cell::new(0) };
}
