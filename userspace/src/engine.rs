//! The stages joined, without threads and without a clock of its own.
#![forbid(unsafe_code)]
