//! What `top` shows, and what it is asked to do: from the daemon, or from what is pinned and stored where none lives.

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};
use std::io;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, Instant};

use crate::blocklist::{Clock, Pinned};
use crate::cli::look::Look;
use crate::cli::show::Story;
use crate::cli::{list, unban};
use crate::config::{Config, Shown};
use crate::control::{self, ClientError, ListedBan, PacketStatus, Request, Response, Status};
use crate::daemon::listed;
use crate::event::{Target, Timestamp};
use crate::host;
use crate::store::{HistoryEntry, HistoryFilter, HistoryKind, Reader};

/// Bans that are looked at: those that dropped or began last.
const MOST_BANS: u32 = 2_000;
/// Of more bans than that the daemon isn't asked: it would make nobody a ban meanwhile.
const MANY: u64 = 20_000;
/// Of so many, those that began last.
const NEWEST: u32 = 500;
/// Alerts that are shown.
const ALERTS: u32 = 200;
/// Entries of an offender's history.
const STORY: u32 = 200;
/// Reading bans takes as long as there are many: at most one part in so many of the time.
const SHARE: u32 = 20;

/// What is to be done.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Job {
    /// Ban; `ttl` none: until lifted.
    Ban { target: Target, ttl: Option<Duration>, reason: String },
    /// Lift a ban.
    Unban(Target),
    /// Never ban; `ttl` none: until taken off.
    Allow { target: Target, ttl: Option<Duration> },
    /// Tell an offender's story.
    Show(Target),
}

/// What the thread tells.
#[derive(Debug)]
pub(super) enum Told {
    /// How things are.
    View(Box<View>),
    /// What became of a job.
    Done(Result<String, String>),
    /// An offender's story.
    Story(Target, Vec<String>),
}

/// How things are.
#[derive(Clone, Debug)]
pub(super) struct View {
    /// When that was.
    pub(super) at: Instant,
    /// The daemon's word; or why there is none.
    pub(super) status: Result<Status, Unheard>,
    /// Packets, also from the pinned maps.
    pub(super) packets: Option<PacketStatus>,
    /// The bans, when they were read anew.
    pub(super) bans: Option<Result<Vec<ListedBan>, String>>,
    /// The latest, newest first.
    pub(super) alerts: Result<Vec<HistoryEntry>, String>,
}

/// Why the daemon says nothing.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Unheard {
    /// There is none, as far as can be told.
    pub(super) gone: bool,
    pub(super) why: String,
}

/// The thread's other end.
pub(super) struct Feed(Sender<Job>);

impl Feed {
    /// Starts the thread, which ends when `tell` says that nobody listens any more.
    pub(super) fn spawn(
        config: Config,
        every: Duration,
        tell: impl Fn(Told) -> bool + Send + 'static,
    ) -> io::Result<Self> {
        let (sender, jobs) = mpsc::channel();
        thread::Builder::new().name("feed".to_owned()).spawn(move || {
            Thread { config, bans_due: Instant::now() }.run(every, &jobs, &tell);
        })?;
        Ok(Self(sender))
    }

    /// Has something done; what becomes of it is told.
    pub(super) fn ask(&self, job: Job) {
        // Without its thread nothing is drawn any more either.
        self.0.send(job).ok();
    }
}

struct Thread {
    config: Config,
    /// When to read the bans again.
    bans_due: Instant,
}

impl Thread {
    fn run(&mut self, every: Duration, jobs: &Receiver<Job>, tell: &impl Fn(Told) -> bool) {
        let mut due = Instant::now();
        loop {
            let wait = due.saturating_duration_since(Instant::now());
            let told = match jobs.recv_timeout(wait) {
                Ok(Job::Show(target)) => match self.story(target) {
                    Ok(lines) => Told::Story(target, lines),
                    Err(error) => Told::Done(Err(error)),
                },
                Ok(job) => {
                    let done = self.carry_out(job);
                    // What it did is to be seen.
                    (due, self.bans_due) = (Instant::now(), Instant::now());
                    Told::Done(done)
                }
                Err(RecvTimeoutError::Timeout) => {
                    due = Instant::now() + every;
                    Told::View(Box::new(self.look()))
                }
                Err(RecvTimeoutError::Disconnected) => return,
            };
            if !tell(told) {
                return;
            }
        }
    }

    fn look(&mut self) -> View {
        let status = match control::request(&self.config.run_dir, &Request::Status) {
            Ok(Response::Status(status)) => Ok(*status),
            Ok(other) => Err(Unheard {
                gone: false,
                why: format!("the daemon answers {other:?}: restart it after an upgrade"),
            }),
            Err(error) => Err(Unheard {
                gone: matches!(error, ClientError::NotRunning { .. }),
                why: error.to_string(),
            }),
        };
        let packets = match &status {
            Ok(status) => Some(status.packets),
            Err(_) => self.counted(),
        };
        let bans = (Instant::now() >= self.bans_due).then(|| {
            let began = Instant::now();
            let many = status.as_ref().is_ok_and(|status| status.bans > MANY);
            let bans = match many.then(|| self.latest()) {
                Some(Ok(bans)) => Ok(bans),
                // Whoever may ask need not be one who may look into the kernel.
                Some(Err(_)) | None => self.bans(),
            };
            self.bans_due = Instant::now() + began.elapsed() * SHARE;
            bans
        });
        View { at: Instant::now(), status, packets, bans, alerts: self.alerts() }
    }

    /// Packets, as the pinned maps have them.
    fn counted(&self) -> Option<PacketStatus> {
        let counters = Pinned::open(&self.config.bpf_dir).ok()?.counters().ok()?;
        Some(PacketStatus { passed: counters.passed(), dropped: counters.dropped() })
    }

    fn bans(&self) -> Result<Vec<ListedBan>, String> {
        match control::request(&self.config.run_dir, &Request::List { most: Some(MOST_BANS) }) {
            Ok(Response::List { bans }) => Ok(bans),
            Ok(Response::Refused { message }) => Err(message),
            Ok(other) => Err(format!("the daemon answers {other:?}: restart it after an upgrade")),
            Err(ClientError::NotRunning { .. }) => {
                list::without_daemon(&self.config).map_err(|error| format!("{error:#}"))
            }
            Err(error) => Err(error.to_string()),
        }
    }

    /// The bans that dropped or began last, from the pinned maps and the database, while the daemon works on.
    fn latest(&self) -> anyhow::Result<Vec<ListedBan>> {
        let reader = Reader::open(&self.config.state_dir)?;
        let mut entries = Pinned::open(&self.config.bpf_dir)?.entries()?;
        let filter = HistoryFilter {
            kind: Some(HistoryKind::Ban),
            limit: Some(NEWEST),
            ..HistoryFilter::default()
        };
        let newest: HashSet<Target> =
            reader.history(&filter)?.into_iter().filter_map(|entry| entry.target).collect();
        let most = usize::try_from(MOST_BANS)?;
        if most < entries.len() {
            entries.select_nth_unstable_by_key(most, |ban| {
                Reverse((newest.contains(&ban.target), ban.last_seen_ns))
            });
            entries.truncate(most);
        }
        let mut known = HashMap::new();
        for ban in &entries {
            if let Some(stored) = reader.ban(ban.target)? {
                known.insert(ban.target, stored.order);
            }
        }
        Ok(listed(&entries, |target| known.get(&target), &Clock::read(), Timestamp::now()))
    }

    fn alerts(&self) -> Result<Vec<HistoryEntry>, String> {
        let filter = HistoryFilter {
            kind: Some(HistoryKind::Alert),
            limit: Some(ALERTS),
            ..HistoryFilter::default()
        };
        Reader::open(&self.config.state_dir)
            .and_then(|reader| reader.history(&filter))
            .map_err(|error| error.to_string())
    }

    fn story(&self, target: Target) -> Result<Vec<String>, String> {
        let mut text = Vec::new();
        Story::of(&self.config, target, Some(STORY))
            .and_then(|story| Ok(story.print(&mut text, Look::PLAIN)?))
            .map_err(|error| format!("{error:#}"))?;
        Ok(String::from_utf8_lossy(&text).lines().map(str::to_owned).collect())
    }

    fn carry_out(&self, job: Job) -> Result<String, String> {
        let (request, done) = match job {
            Job::Ban { target, ttl, reason } => {
                if let Some(peer) = host::own_session()
                    && target.contains(peer)
                {
                    return Err(format!(
                        "{target} holds {peer}, from where this SSH session comes; `ravelin ban --force` if that is meant"
                    ));
                }
                let ttl_s = ttl.map(|ttl| ttl.as_secs().max(1));
                let done = format!("{target} is banned {}.", lasting(ttl));
                (Request::Ban { target, ttl_s, ports: None, reason, force: false }, done)
            }
            Job::Unban(target) => {
                (Request::Unban { target }, format!("{target} is no longer banned."))
            }
            Job::Allow { target, ttl } => {
                let ttl_s = ttl.map(|ttl| ttl.as_secs().max(1));
                let done = format!("{target} is never banned {}.", lasting(ttl));
                (Request::Allow { target, ttl_s, force: false }, done)
            }
            // It isn't for the daemon alone.
            Job::Show(target) => return Ok(format!("{target}")),
        };
        match control::request(&self.config.run_dir, &request) {
            Ok(Response::Refused { message }) => Err(message),
            Ok(_) => Ok(done),
            Err(ClientError::NotRunning { .. }) => {
                match request {
                    Request::Unban { target } => unban::without_daemon(&self.config, Some(target))
                        .map(|_| done)
                        .map_err(|error| format!("{error:#}")),
                    _ => Err("no daemon runs: without one bans can be lifted, and nothing else"
                        .to_owned()),
                }
            }
            Err(error) => Err(error.to_string()),
        }
    }
}

/// `for 5m`, `until lifted`.
pub(super) fn lasting(ttl: Option<Duration>) -> String {
    ttl.map_or_else(|| "until that is taken back".to_owned(), |ttl| format!("for {}", Shown(ttl)))
}
