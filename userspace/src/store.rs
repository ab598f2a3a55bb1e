//! SQLite: schema, bans, history, outbox, positions.
#![forbid(unsafe_code)]
