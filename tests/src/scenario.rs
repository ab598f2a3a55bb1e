//! What happens in the lab: each scenario drives an attack, tells what it sees, and claims what it shows.
//!
//! `cargo xtask demo` tells them as one story; `tests/end_to_end.rs` plays each by itself.

mod crash;
mod forgery;
mod guessing;
mod lapse;
mod mail;
mod pulse;
mod scan;
mod story;
mod tags;

pub use self::crash::bans_outlive_the_daemon;
pub use self::forgery::bystander_stays_free;
pub use self::guessing::guesser_is_banned;
pub use self::lapse::attacker_gets_through_again;
pub use self::mail::admin_is_told;
pub use self::scan::{request_is_banned, scanner_is_banned};
pub use self::story::{DROP_LIMIT, Story, Who};
pub use self::tags::tags_hide_nobody;
