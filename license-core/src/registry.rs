//! The rules of an authority: issue, validate, activate, rotate, suspend, revoke.
