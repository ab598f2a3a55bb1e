//! Where lines come from: files, the journal and sockets, position and rotation.
//!
//! ```text
//! discover ─► a thread a source: watch wakes, tail reads ─► a lane of the inbox ─► the engine
//! ```
//!
//! [`Tail`] is a state machine that is polled and needs neither thread nor clock; inotify only says when
//! polling is worth it; [`spawn`] joins the two in a thread; [`Inbox`] is where the engine takes
//! [`Batch`]es in turn. [`WholeLines`] reads files and stdin once, for `explain` and `replay`.
#![forbid(unsafe_code)]

mod again;
mod batch;
mod discover;
mod glob;
mod inbox;
mod journal;
mod last_line;
mod lines;
mod listen;
mod position;
mod status;
mod tail;
mod thread;
mod trust;
mod watch;
mod whole;

use crate::config::Format;

pub use self::again::{Again, LineAgain};
pub use self::batch::{Batch, Lines, Loss, Report};
pub use self::discover::{AUTH_LOGS, Plan, Planned, Role, Warning, plan};
pub use self::glob::{
    Choice, GlobHandle, MOST_FILES, Match, Matches, choose, is_glob, look, matches, spawn_glob,
};
pub use self::inbox::{CommandSender, Inbox, Lane, LaneClosed, Received, SendError};
pub use self::journal::{
    Handover, JournalSource, journal_answers, recent_of_journal, spawn_journal,
};
pub use self::last_line::{LastLine, last_line};
pub use self::lines::LineCap;
pub(crate) use self::listen::group_number;
pub use self::listen::{CannotListen, Listen, ListenSource, can_listen, spawn_listener};
pub use self::position::{FilePosition, Head, Position, PositionError};
pub use self::status::{ListenerCounts, ListenerRow, SourceStatus, State, StatusRow};
pub use self::tail::{Polled, Tail};
pub use self::thread::{FileSource, SourceHandle, SpawnError, spawn};
pub use self::trust::{Trust, trust_in_file};
pub use self::whole::{EntryOf, Export, Progress, WholeError, WholeLine, WholeLines};

/// Which source, as a small dense index given by whoever starts the sources.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct SourceId(u16);

impl SourceId {
    /// The source with this index.
    pub const fn new(index: u16) -> Self {
        Self(index)
    }

    /// Its index, for a table of sources.
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

impl LineCap {
    /// What a format's lines may measure: eve.json carries payloads, the others are text.
    pub const fn of(format: Format) -> Self {
        match format {
            Format::Syslog | Format::SuricataFast | Format::Plain => Self::TEXT,
            Format::SuricataEve => Self::EVE,
        }
    }
}
