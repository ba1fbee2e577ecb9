//! The words of every sink.
