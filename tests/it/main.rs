//! The tests that run the real binary.

mod sample_app;
