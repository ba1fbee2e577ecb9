//! The tests that run the real binary.
