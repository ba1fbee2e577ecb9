//! The tests that run the real binary. One file per topic.

#![expect(clippy::disallowed_methods, reason = "the tests stand outside the product: they start it, feed it and look")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

mod sample_app;
