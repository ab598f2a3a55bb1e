//! Alerts to people: compose, outbox, relay.
#![forbid(unsafe_code)]
