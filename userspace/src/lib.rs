//! Ravelin's daemon and command line, as a library: a room a stage, in the order a line travels.
//!
//! ```text
//! source ─► format ─► event ─► rules ─► correlator ─► policy ─┬─► blocklist ─► XDP maps
//!                                                             ├─► mail ─► SMTP relay
//!                                                             └─► store
//! ```
//!
//! [`engine`] joins the middle stages into a function without threads or clock; [`daemon`] gives it
//! life. `docs/architecture.md` walks the same way with a line.

pub mod blocklist;
pub mod cli;
pub mod config;
pub mod control;
pub mod correlator;
pub mod daemon;
pub mod doctor;
pub mod engine;
pub mod event;
pub mod format;
pub mod host;
pub mod mail;
pub mod metrics;
pub mod policy;
pub mod rules;
pub mod sandbox;
mod seeded;
pub mod source;
pub mod store;
