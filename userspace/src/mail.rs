//! Alerts to people: compose, outbox, relay.
//!
//! What is worth telling is a [`Notice`]; [`Policy`] says whether it is told and in which [`Lane`], and
//! makes it an outbox entry, which is committed together with the effect that it tells of. The
//! [`Courier`] turns what waits into mails when their time has come, and brings them to the [`Relay`] and
//! the [`Webhook`].
//! All its memory is the outbox in the database: it can die at any moment.
#![forbid(unsafe_code)]

mod compose;
mod courier;
#[cfg(test)]
mod documented;
mod fault;
mod message;
mod notice;
mod outbox;
mod relay;
mod smtp;
mod text;
mod trust;
mod webhook;

pub use self::compose::{Scene, Vitals};
pub use self::courier::{Courier, MailHealth};
pub use self::fault::Fault;
pub use self::notice::{AlertNotice, Degraded, Notice, Outcome, Recovered, Started, Stopped};
pub use self::outbox::{Channel, Lane, Plan, Policy, Standing};
pub use self::relay::{Relay, RelayError};
pub use self::smtp::{Delivered, SendError};
pub use self::text::visible;
pub use self::webhook::Webhook;
