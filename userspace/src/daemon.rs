//! Threads, signals, life and death.
#![forbid(unsafe_code)]
