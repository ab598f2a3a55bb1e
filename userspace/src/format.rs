//! Outer formats: from a line's bytes to a record.
#![forbid(unsafe_code)]
