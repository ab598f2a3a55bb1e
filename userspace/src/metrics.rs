//! Prometheus metrics: what is counted, how it is written down, and the small HTTP server that hands it out.
//!
//! Labels are bounded, whatever an attacker does: rules, sources and interfaces are as many as are configured, all
//! else is a word out of a fixed set. No address of anybody is in them. `docs/metrics.md` lists all of it.
#![forbid(unsafe_code)]

mod exposition;
mod families;
mod process;
mod server;
mod snapshot;
mod tally;

pub use self::families::{NAMES, expose};
pub use self::server::{bind, serve};
pub use self::snapshot::{Room, Snapshot};
pub use self::tally::{End, Tally};

/// The version of the text format that [`expose`] writes.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";
