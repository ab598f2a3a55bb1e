//! What is on the screen: what was told, what is chosen, what is being asked.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use jiff::tz::TimeZone;

use super::feed::{Job, Told, View};
use super::prompt::Prompt;
use crate::control::ListedBan;
use crate::event::{Target, Timestamp};
use crate::store::HistoryEntry;

/// Seconds of the drop rate that are kept: as many as the widest terminal has columns.
const SAMPLES: usize = 512;
/// So long what became of a job is shown.
const NEWS: Duration = Duration::from_secs(8);

/// The list that the keys are about.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) enum Focus {
    #[default]
    Bans,
    Alerts,
}

/// In which order bans are listed.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) enum Order {
    /// Those first that are dropped most of at this moment.
    #[default]
    Rate,
    /// Those first that were dropped most of.
    Dropped,
    /// The newest first.
    Newest,
    /// Those first that lapse first.
    Ending,
}

impl Order {
    pub(super) const fn next(self) -> Self {
        match self {
            Self::Rate => Self::Dropped,
            Self::Dropped => Self::Newest,
            Self::Newest => Self::Ending,
            Self::Ending => Self::Rate,
        }
    }

    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Rate => "rate",
            Self::Dropped => "dropped",
            Self::Newest => "newest",
            Self::Ending => "ending",
        }
    }
}

/// What the keyboard is for.
#[derive(Clone, Debug)]
pub(super) enum Mode {
    /// Moving about.
    Looking,
    /// Typing a filter.
    Filtering,
    /// Typing a target.
    Asking(Prompt),
    /// Saying yes or no.
    Confirming(Job),
    /// Reading an offender's story, from that line on.
    Reading { target: Target, lines: Vec<String>, from: u16 },
    /// Reading what the keys do.
    Help,
}

/// A ban, and how much of it was dropped of late.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) ban: ListedBan,
    /// Packets a second.
    pub(super) rate: u64,
}

/// What is on the screen.
#[derive(Debug)]
pub(super) struct Top {
    pub(super) view: Option<View>,
    /// As ordered, and as filtered.
    pub(super) rows: Vec<Row>,
    pub(super) bans_error: Option<String>,
    all: Vec<Row>,
    counted: Option<(Instant, HashMap<Target, u64>)>,
    /// Dropped and passed packets a second, newest first.
    pub(super) dropped: VecDeque<u64>,
    pub(super) passed: u64,
    pub(super) focus: Focus,
    pub(super) order: Order,
    pub(super) filter: String,
    pub(super) mode: Mode,
    /// The chosen ban, wherever it is listed now; until somebody chooses it is the first one.
    pub(super) chosen: Option<Target>,
    has_chosen: bool,
    pub(super) alert: usize,
    news: Option<(Instant, Result<String, String>)>,
    /// How long a ban lasts unless more is said.
    pub(super) usual: Duration,
    /// A job is under way.
    pub(super) busy: bool,
    /// When it is drawn, and where whoever looks is.
    pub(super) now: Timestamp,
    pub(super) zone: TimeZone,
}

impl Top {
    /// Before anything was told.
    pub(super) fn new(usual: Duration) -> Self {
        Self {
            view: None,
            rows: Vec::new(),
            bans_error: None,
            all: Vec::new(),
            counted: None,
            dropped: VecDeque::new(),
            passed: 0,
            focus: Focus::Bans,
            order: Order::Rate,
            filter: String::new(),
            mode: Mode::Looking,
            chosen: None,
            has_chosen: false,
            alert: 0,
            news: None,
            usual,
            busy: false,
            now: Timestamp::now(),
            zone: TimeZone::system(),
        }
    }

    /// Takes in what was told.
    pub(super) fn take(&mut self, told: Told) {
        match told {
            Told::View(view) => self.see(*view),
            Told::Done(done) => {
                self.busy = false;
                self.news = Some((Instant::now(), done));
            }
            Told::Story(target, lines) => {
                self.busy = false;
                self.mode = Mode::Reading { target, lines, from: 0 };
            }
        }
    }

    /// What became of the last job, as long as that is news.
    pub(super) fn news(&self) -> Option<&Result<String, String>> {
        self.news.as_ref().filter(|(at, _)| at.elapsed() < NEWS).map(|(_, news)| news)
    }

    fn see(&mut self, mut view: View) {
        if let (Some(before), Some(now)) = (self.view.as_ref(), view.packets)
            && let Some(packets) = before.packets
        {
            let span = view.at.saturating_duration_since(before.at);
            self.passed = per_second(now.passed.saturating_sub(packets.passed), span);
            self.dropped.push_front(per_second(now.dropped.saturating_sub(packets.dropped), span));
            self.dropped.truncate(SAMPLES);
        }
        match view.bans.take() {
            Some(Ok(bans)) => {
                self.bans_error = None;
                self.count(bans, view.at);
            }
            Some(Err(error)) => {
                self.bans_error = Some(error);
                self.all.clear();
            }
            None => {}
        }
        self.view = Some(view);
        self.arrange();
        let alerts = self.alerts().len();
        self.alert = self.alert.min(alerts.saturating_sub(1));
    }

    fn count(&mut self, bans: Vec<ListedBan>, at: Instant) {
        let before = self.counted.take();
        let rate = |ban: &ListedBan| {
            let (then, counts) = before.as_ref()?;
            let counted = *counts.get(&ban.target)?;
            let span = at.saturating_duration_since(*then);
            Some(per_second(ban.dropped_packets.saturating_sub(counted), span))
        };
        self.all = bans.into_iter().map(|ban| Row { rate: rate(&ban).unwrap_or(0), ban }).collect();
        let counts = self.all.iter().map(|row| (row.ban.target, row.ban.dropped_packets));
        self.counted = Some((at, counts.collect()));
    }

    /// Filters and orders the bans; what is chosen stays so.
    pub(super) fn arrange(&mut self) {
        let wanted = self.filter.to_lowercase();
        let place = self.place();
        self.rows = self.all.iter().filter(|row| is_wanted(&row.ban, &wanted)).cloned().collect();
        let newest = |row: &Row| std::cmp::Reverse(row.ban.since.clone());
        match self.order {
            Order::Rate => {
                self.rows.sort_by_cached_key(|row| (std::cmp::Reverse(row.rate), newest(row)));
            }
            Order::Dropped => self.rows.sort_by_cached_key(|row| {
                (std::cmp::Reverse(row.ban.dropped_packets), newest(row))
            }),
            Order::Newest => self.rows.sort_by_cached_key(newest),
            Order::Ending => self.rows.sort_by_cached_key(|row| {
                (row.ban.expires.is_none(), row.ban.expires.clone(), newest(row))
            }),
        }
        // One that is gone leaves its place to the next.
        if !self.has_chosen {
            self.chosen = self.rows.first().map(|row| row.ban.target);
        } else if self.chosen_row().is_none() {
            let last = self.rows.len().saturating_sub(1);
            self.chosen = self.rows.get(place.min(last)).map(|row| row.ban.target);
        }
    }

    /// Where the chosen ban is listed.
    pub(super) fn place(&self) -> usize {
        let at = |target| self.rows.iter().position(|row| row.ban.target == target);
        self.chosen.and_then(at).unwrap_or(0)
    }

    /// The chosen ban.
    pub(super) fn chosen_row(&self) -> Option<&Row> {
        self.rows.iter().find(|row| Some(row.ban.target) == self.chosen)
    }

    /// The latest alerts, newest first.
    pub(super) fn alerts(&self) -> &[HistoryEntry] {
        match &self.view {
            Some(View { alerts: Ok(alerts), .. }) => alerts,
            _ => &[],
        }
    }

    /// Whom the keys are about.
    pub(super) fn target(&self) -> Option<Target> {
        match self.focus {
            Focus::Bans => self.chosen_row().map(|row| row.ban.target),
            Focus::Alerts => self.alerts().get(self.alert)?.target,
        }
    }

    /// Moves what is chosen.
    pub(super) fn step(&mut self, by: isize) {
        let moved =
            |place: usize, len: usize| place.saturating_add_signed(by).min(len.saturating_sub(1));
        match self.focus {
            Focus::Bans => {
                self.has_chosen = true;
                let place = moved(self.place(), self.rows.len());
                self.chosen = self.rows.get(place).map(|row| row.ban.target);
            }
            Focus::Alerts => self.alert = moved(self.alert, self.alerts().len()),
        }
    }
}

fn per_second(packets: u64, span: Duration) -> u64 {
    let millis = u64::try_from(span.as_millis()).unwrap_or(u64::MAX).max(1);
    packets.saturating_mul(1_000) / millis
}

fn is_wanted(ban: &ListedBan, wanted: &str) -> bool {
    wanted.is_empty()
        || ban.target.to_string().contains(wanted)
        || ban.reason.to_lowercase().contains(wanted)
        || ban.origin.contains(wanted)
        || ban.rule.is_some_and(|rule| rule.to_string().contains(wanted))
}

/// What is left of a ban.
pub(super) fn left(ban: &ListedBan, now: Timestamp) -> String {
    match &ban.expires {
        Some(expires) => crate::cli::table::left(expires, now),
        None => "permanent".to_owned(),
    }
}
