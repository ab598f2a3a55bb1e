//! The engine's thread: takes batches and commands in turn, makes bans, and hands what happened to the
//! store. It waits for nothing but work.

use std::net::{IpAddr, Ipv6Addr};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use ravelin_common::DropEvent;
use tokio::sync::{mpsc, oneshot, watch};

use super::clock::WallClock;
use super::echoes::Echoes;
use super::evidence::Recent;
use super::health::Health;
use super::logline::BanLine;
use super::reload::{Answer, Fresh};
use super::sources::Sources;
use super::surroundings::{News, Surroundings};
use super::suspects::{self, Suspects};
use super::telling::{notices, records};
use super::vigilance;
use crate::blocklist::{Blocklist, BlocklistError, Clock};
use crate::config::Config;
use crate::control::{Asked, Response};
use crate::engine::Engine;
use crate::event::{BanOrder, Body, Line, Target, Timestamp, Verdict, Withheld};
use crate::format::Undecodable;
use crate::mail::{self, Courier, MailHealth, Notice, Started, Stopped};
use crate::metrics::{Snapshot, Tally};
use crate::policy::AllowFiles;
use crate::rules::ListWatch;
use crate::sandbox::Needs;
use crate::seeded::HashMap;
use crate::source::{Batch, Inbox, Loss, Matches, Position, Received, Report};
use crate::store::{self, Effect, Evidence};

/// How often time itself is looked after: lapses, what waits for the rate, health.
const TICK: Duration = Duration::from_millis(250);
/// A live source's stamps may be this far off.
pub(super) const SKEW: Duration = Duration::from_secs(60);

/// What is asked of the engine's thread beside lines.
#[derive(Debug)]
pub(super) enum Command {
    /// Over the control socket.
    Asked(Asked),
    /// For Prometheus.
    Measure(oneshot::Sender<Snapshot>),
    /// The kernel dropped a packet.
    Dropped(DropEvent),
    /// Take over what was read for a reload, and say what changed.
    Reload(Box<Fresh>, Answer),
    /// The network may have changed.
    Surroundings(Box<News>),
    /// A pattern among the sources matches other files than before.
    Found(PathBuf, Matches),
    /// Finish what was begun and end.
    Stop {
        /// For the mail.
        reason: &'static str,
    },
}

/// Where bans go.
pub(super) enum Enforcement {
    /// Into the kernel.
    Kernel(Box<Blocklist>),
    /// Nowhere.
    Observe,
}

impl Enforcement {
    pub(super) fn kernel(&mut self) -> Option<&mut Blocklist> {
        match self {
            Self::Kernel(blocklist) => Some(blocklist),
            Self::Observe => None,
        }
    }
}

/// What a pipeline is made of.
pub(super) struct Parts {
    pub(super) engine: Engine,
    pub(super) lists: ListWatch,
    pub(super) allow_files: AllowFiles,
    pub(super) enforcement: Enforcement,
    /// Those that stand.
    pub(super) bans: HashMap<Target, BanOrder>,
    pub(super) sources: Sources,
    pub(super) store: store::Handle,
    pub(super) mail: mail::Policy,
    pub(super) mail_health: watch::Receiver<MailHealth>,
    pub(super) health: Health,
    pub(super) config: Config,
    /// To be protected.
    pub(super) interfaces: Vec<String>,
    pub(super) surroundings: Surroundings,
    /// Takes the courier of another relay; `None`: no mail.
    pub(super) couriers: mpsc::UnboundedSender<Option<Courier>>,
    /// Everything passes, by a person's word.
    pub(super) off: bool,
    /// Lines of earlier.
    pub(super) recent: Recent,
    pub(super) wall: WallClock,
    /// What the sandbox has left us; `None`: everything.
    pub(super) left: Option<Needs>,
}

/// The engine's thread.
pub(super) struct Pipeline {
    pub(super) parts: Parts,
    pub(super) started: Instant,
    /// Alerts that come twice; only where several sources bring some.
    echoes: Option<Echoes>,
    pub(super) suspects: Suspects,
    /// Bans that haven't dropped a packet yet, with when they entered the kernel.
    pub(super) undropped: HashMap<Target, Timestamp>,
    /// Bans that somebody got through nevertheless.
    pub(super) ineffective: Vec<Target>,
    /// Since when we look.
    pub(super) awake: Timestamp,
    /// The database was begun anew at that moment, and has all bans again.
    pub(super) renewed: Option<Timestamp>,
    /// Bans that the kernel had no room for since the start, by map.
    pub(super) turned_away: HashMap<&'static str, u64>,
    /// For the metrics.
    pub(super) tally: Tally,
}

impl Pipeline {
    pub(super) fn new(parts: Parts) -> Self {
        Self {
            parts,
            started: Instant::now(),
            echoes: None,
            suspects: Suspects::default(),
            undropped: HashMap::default(),
            ineffective: Vec::new(),
            awake: Timestamp::now(),
            renewed: None,
            turned_away: HashMap::default(),
            tally: Tally::new(),
        }
    }

    /// Says in log and mail that the host is protected from now on.
    pub(super) fn announce_start(&mut self) {
        let interfaces = self.interfaces();
        let sources: Vec<String> = self
            .parts
            .sources
            .reading()
            .map(|source| format!("{} {}", source.format, source.name))
            .collect();
        let mode = match self.parts.enforcement {
            Enforcement::Kernel(_) => "enforce",
            Enforcement::Observe => "observe",
        };
        tracing::info!(
            version = env!("CARGO_PKG_VERSION"),
            mode,
            bans = self.parts.bans.len(),
            sources = sources.join(", "),
            "Ready."
        );
        let warnings = self.parts.health.items().into_iter().map(|item| item.remedy).collect();
        // The start mail tells them.
        drop(self.parts.health.news());
        self.mail(&Notice::Started(Started {
            at: Timestamp::now(),
            mode: mode.to_owned(),
            interfaces: interfaces
                .into_iter()
                .map(|interface| (interface.name, interface.mode))
                .collect(),
            sources,
            bans: self.parts.bans.len() as u64,
            warnings,
        }));
    }

    /// Works until told to stop.
    pub(super) fn run(&mut self, inbox: &Inbox<Command>) {
        let mut tick = Instant::now();
        loop {
            match inbox.receive(Some(tick)) {
                Received::Batch(batch) => self.batch(&batch),
                Received::Command(Command::Asked(asked)) => {
                    let response = self.answer(asked.request);
                    // A client that went away doesn't want it any more.
                    drop(asked.answer.send(response));
                }
                Received::Command(Command::Measure(answer)) => self.measure(answer),
                Received::Command(Command::Dropped(event)) => self.dropped(&event),
                Received::Command(Command::Surroundings(news)) => self.surroundings(&news),
                Received::Command(Command::Reload(fresh, answer)) => {
                    let changes = self.reload(*fresh, inbox);
                    if let Some(answer) = answer {
                        // As above.
                        drop(answer.send(Response::Reloaded { changes }));
                    }
                }
                Received::Command(Command::Found(pattern, matches)) => {
                    let Self { parts, .. } = self;
                    parts.sources.found(&pattern, matches, inbox, &parts.health);
                }
                Received::Command(Command::Stop { reason }) => {
                    self.finish(inbox);
                    self.stop(reason);
                    return;
                }
                Received::Deadline => {}
            }
            let now = Instant::now();
            if now >= tick {
                self.tick();
                tick = now + TICK;
            }
        }
    }

    /// Takes what has been read and waits: a file would be read again from there, a socket can't be.
    fn finish(&mut self, inbox: &Inbox<Command>) {
        let now = Instant::now();
        // As much as the lanes hold, however fast they are filled.
        for _ in 0..inbox.capacity() {
            match inbox.receive(Some(now)) {
                Received::Batch(batch) => self.batch(&batch),
                // Whoever asked learns that we are stopping.
                Received::Command(_) => {}
                Received::Deadline => return,
            }
        }
    }

    /// Lines and their effects, committed with the position behind them.
    fn batch(&mut self, batch: &Batch) {
        // Read before the clock was set back, they didn't arrive later than now.
        let arrived = batch.arrived.min(self.look_at_clock());
        let mut effects = Vec::new();
        let at = batch.source.index();
        for report in &batch.reports {
            self.report(at, report, &mut effects);
        }
        match self.parts.sources.of_suricata() {
            0 | 1 => self.echoes = None,
            _ => drop(self.echoes.get_or_insert_default()),
        }
        for line in batch.lines() {
            self.line(at, Line { arrived, ..line }, batch.trusted, &mut effects);
        }
        let Some(source) = self.parts.sources.active.get_mut(at) else { return };
        source.caught_up = source.status.progress().1 == 0 && !source.keeps_our_time();
        if !batch.lines.is_empty() {
            source.silence.heard(Instant::now());
        }
        source.place = Some(batch.position.clone());
        if batch.position != Position::Socket {
            let position =
                store::Position { source: source.name.clone(), place: batch.position.to_string() };
            if let Some(bytes) = source.checkpoints.read(batch.lines.taken(), Instant::now()) {
                effects.push(Effect::Sessions(self.parts.engine.policy().sessions()));
                effects.push(Effect::Checkpoint(store::Checkpoint {
                    position: position.clone(),
                    at: arrived,
                    behind: source.caught_up.then_some(source.checkpoints.behind()),
                    bytes,
                }));
            }
            effects.push(Effect::Position(position));
        }
        self.parts.store.push(effects);
    }

    fn line(&mut self, at: usize, line: Line<'_>, trusted: bool, effects: &mut Vec<Effect>) {
        let Some(source) = self.parts.sources.active.get_mut(at) else { return };
        let record = match source.decoder.decode(line) {
            Ok(record) => record,
            Err(Undecodable::Empty | Undecodable::NotAnAlert) => return,
            Err(error @ Undecodable::Malformed { .. }) => {
                tracing::debug!(source = source.name, %error, "A line can't be decoded.");
                self.look_at_line(at, false);
                return;
            }
        };
        if let (Some(echoes), Body::Suricata(alert)) = (&mut self.echoes, &record.body)
            && echoes.is_echo(at, trusted, record.time, alert)
        {
            return;
        }
        let mut record = record;
        if source.caught_up
            && let Some(time) = record.time
        {
            let skewed = line.arrived.since(time) > SKEW || time.since(line.arrived) > SKEW;
            let behind = line.arrived.as_micros().saturating_sub(time.as_micros());
            source.checkpoints.lags(if skewed { behind } else { 0 });
            if skewed {
                record.time = None;
            }
            let told = source.is_told_of_skew(skewed);
            if told != source.skewed {
                source.skewed = told;
                if told {
                    self.parts.health.note(
                        "clock-skew",
                        &source.name,
                        format!(
                            "{}: its stamps are more than a minute off ({time}, read at {}), so the time of arrival is used: check the clock and time zone of what writes it",
                            source.name, line.arrived
                        ),
                    );
                } else {
                    self.parts.health.clear("clock-skew", &source.name);
                }
            }
        }
        let elsewhere = source.is_elsewhere();
        let name = source.name.clone();
        let host = record.host.map(|host| String::from_utf8_lossy(host).into_owned());
        let program = record.program;
        let engine = &mut self.parts.engine;
        let outcome = match trusted {
            true if elsewhere => engine.step_from_elsewhere(&record, line.arrived),
            true => engine.step(&record, line.arrived),
            false => engine.step_untrusted(&record, line.arrived),
        };
        outcome.fired.alerts.iter().for_each(|alert| self.tally.alert(&alert.rule));
        let recognised = outcome.event.is_some();
        let got_through = vigilance::got_through(&outcome);
        if outcome.fired.alerts.is_empty() && outcome.verdict == Verdict::Nothing {
            drop(outcome);
            let packs = self.parts.engine.packs();
            if recognised || program.is_some_and(|program| packs.knows_program(program)) {
                self.look_at_line(at, recognised);
            }
            if let Some(got_through) = got_through {
                self.look_at_ban(got_through);
            }
            return;
        }
        let evidence = match outcome.target {
            Some(target) => {
                self.parts.recent.note(target, line.bytes);
                self.parts.recent.of(target)
            }
            None => {
                let mut evidence = Evidence::default();
                evidence.push(line.bytes);
                evidence
            }
        };
        if let (Some(event), Some(offender)) = (&outcome.event, outcome.offence.offender)
            && outcome.offence.proven
            && outcome.offence.bar != Some(Withheld::Front)
            && self.suspects.note(event, offender)
        {
            let remedy = suspects::remedy(offender);
            self.parts.health.note("front-suspected", &offender.to_string(), remedy);
        }
        let notices = notices(&outcome, name, host, &evidence, self.parts.config.mail.level);
        let told = records(&outcome, &evidence);
        let verdict = outcome.verdict.clone();
        drop(outcome);
        self.look_at_line(at, true);
        if let Some(got_through) = got_through {
            self.look_at_ban(got_through);
        }
        // The history tells the alert before the ban that it led to.
        effects.extend(told.into_iter().map(Effect::Alert));
        match verdict {
            Verdict::Ban(order) => {
                // The kernel first; what failed there must not look banned.
                match self.enforce(&order) {
                    Ok(()) => {
                        self.parts.recent.forget(order.target);
                        effects.push(Effect::Banned { order, evidence });
                    }
                    Err(()) => self.parts.engine.forgive(order.target, line.arrived),
                }
            }
            Verdict::Lapsed(order) => effects.push(Effect::Late { order, evidence }),
            Verdict::Withheld(why) => self.tally.withheld(why),
            Verdict::Nothing => {}
        }
        let now = Timestamp::now();
        for notice in notices {
            effects.extend(self.parts.mail.entries(&notice, now).into_iter().map(Effect::Mail));
        }
    }

    /// Puts a ban into the kernel, and says so; or says why not.
    pub(super) fn enforce(&mut self, order: &BanOrder) -> Result<(), ()> {
        let clock = Clock::read();
        if let Some(blocklist) = self.parts.enforcement.kernel() {
            let expires = clock.expiry(order.expires());
            match blocklist.ban(order.target, order.ports.as_ref(), expires) {
                Ok(_) => {}
                Err(error) => {
                    self.refused(order, &error);
                    return Err(());
                }
            }
        }
        tracing::info!("{}", BanLine(order));
        self.tally.banned(&order.origin);
        self.undropped.insert(order.target, Timestamp::now());
        self.parts.bans.insert(order.target, order.clone());
        Ok(())
    }

    fn refused(&mut self, order: &BanOrder, error: &BlocklistError) {
        let BlocklistError::Full { map, .. } = error else {
            tracing::error!(target = %order.target, %error, "A ban was refused by the kernel.");
            self.parts.health.degrade("ban-refused", "", error.to_string());
            return;
        };
        let turned_away = self.turned_away.entry(map).or_default();
        *turned_away += 1;
        // A flood fills the map; it needn't fill the disk too.
        if turned_away.is_power_of_two() {
            tracing::error!(target = %order.target, %error, turned_away, "A ban has no room in the kernel.");
        }
        self.parts.health.degrade(
            "map-full",
            map,
            format!("{turned_away} bans had no room: {error}"),
        );
    }

    /// A drop was announced: is it the first of its ban?
    fn dropped(&mut self, event: &DropEvent) {
        if self.undropped.is_empty() {
            return;
        }
        let source = Ipv6Addr::from(event.source);
        let source = source.to_ipv4_mapped().map_or(IpAddr::V6(source), IpAddr::V4);
        let Some((target, entered)) = self
            .undropped
            .get_key_value(&Target::of_address(source))
            .or_else(|| self.undropped.get_key_value(&self.parts.engine.policy().target(source)))
            .or_else(|| self.undropped.iter().find(|(target, _)| target.contains(source)))
            .map(|(target, entered)| (*target, *entered))
        else {
            return;
        };
        let first = Clock::read().wall_at(event.time_ns);
        let since = self.parts.bans.get(&target).map_or(entered, |order| order.since);
        self.undropped.remove(&target);
        tracing::info!(
            "first-drop target={target} after_line_us={} after_ban_us={}",
            first.since(since).as_micros(),
            first.since(entered).as_micros()
        );
    }

    fn report(&mut self, at: usize, report: &Report, effects: &mut Vec<Effect>) {
        let Some(source) = self.parts.sources.active.get_mut(at) else { return };
        let name = source.name.clone();
        let health = &self.parts.health;
        match report {
            Report::Failed { error } => health.degrade(
                "source-unreadable",
                &name,
                match source.is_listener() {
                    // It says what to do.
                    true => format!("{name}: {error}; it is tried again"),
                    false => format!(
                        "{name}: {error}; it is tried again: give the daemon access to it"
                    ),
                },
            ),
            Report::Recovered => health.clear("source-unreadable", &name),
            Report::Unwatched { error } => health.note(
                "source-polled",
                &name,
                format!("{name}: inotify fails ({error}), so it is polled: raise fs.inotify.max_user_watches"),
            ),
            _ => tracing::info!(source = name, "The log: {report}."),
        }
        if report.loss() != Loss::None {
            tracing::warn!(source = name, "Lines may be lost: {report}.");
            let notice = Notice::Degraded(mail::Degraded {
                at: Timestamp::now(),
                code: "lines-lost".to_owned(),
                level: 8,
                what: format!("{name}: {report}"),
                remedy: "rotate logs by renaming (no copytruncate), and keep one old file uncompressed (delaycompress)".to_owned(),
            });
            let entries = self.parts.mail.entries(&notice, Timestamp::now());
            effects.extend(entries.into_iter().map(Effect::Mail));
        }
    }

    fn stop(&mut self, reason: &str) {
        if let Some(blocklist) = self.parts.enforcement.kernel()
            && let Ok(entries) = blocklist.entries()
        {
            let counts: Vec<Effect> = entries
                .into_iter()
                .map(|ban| Effect::Counts {
                    target: ban.target,
                    packets: ban.packets,
                    bytes: ban.bytes,
                })
                .collect();
            self.parts.store.push(counts);
        }
        self.mail(&Notice::Stopped(Stopped {
            at: Timestamp::now(),
            reason: reason.to_owned(),
            bans: self.parts.bans.len() as u64,
        }));
    }

    pub(super) fn mail(&self, notice: &Notice) {
        let entries = self.parts.mail.entries(notice, Timestamp::now());
        if !entries.is_empty() {
            self.parts.store.push(entries.into_iter().map(Effect::Mail));
        }
    }
}
