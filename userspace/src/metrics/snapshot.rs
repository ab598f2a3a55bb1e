//! The daemon at one moment, as far as it is measured.

use super::Tally;
use crate::blocklist::Counters;
use crate::control::Status;
use crate::correlator::Stats;

/// The daemon at one moment.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// What `ravelin status` says.
    pub status: Status,
    /// Packets by what became of them; none where nothing is enforced.
    pub packets: Option<Counters>,
    /// How full the maps are; empty where nothing is enforced.
    pub rooms: Vec<Room>,
    /// What was counted since the start.
    pub tally: Tally,
    /// What the correlator remembers.
    pub memory: Stats,
    /// Bans that wait for `ban.max_per_minute`.
    pub held_back: usize,
    /// Bans that the kernel had no room for, since the start.
    pub turned_away: u64,
    /// What waits to be written to the database.
    pub unwritten: usize,
    /// What was let go since the start because too much waited.
    pub let_go: u64,
}

/// A map of bans.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Room {
    /// `bans_v4`, `bans_v6`, `nets_v4`, `nets_v6`.
    pub map: &'static str,
    /// How many it holds.
    pub entries: usize,
    /// How many it has room for.
    pub capacity: u32,
}
