//! An honest month of a busy host's logs, and twenty attackers to mix in, made from a seed.
//!
//! The host is a web, mail and SSH server with an office behind one address, phones on IPv6, a load balancer,
//! monitoring, crawlers and backups. [`Month::replay`] takes it through the shipped packs, as `ravelin replay`
//! would; [`Month::write`] writes it to disk as the files of such a host.

mod attackers;
mod honest;
mod pen;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, BufWriter, Write as _};
use std::path::Path;
use std::sync::Arc;

use ipnet::IpNet;
use jiff::tz::TimeZone;
use ravelin::config::{Config, Format};
use ravelin::engine::Engine;
use ravelin::event::{Line, Target, Timestamp, Verdict};
use ravelin::format::{Decoder, Selection};
use ravelin::policy::{Network, SuricataProof};
use ravelin::rules::Packs;

pub use self::attackers::Attacker;
use self::pen::Pen;

/// The second at which it begins: Monday, 2026-11-02, 00:00 UTC.
const START: i64 = 1_793_577_600;
/// Seconds of a day.
const DAY: i64 = 86_400;

/// The files of the host.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Log {
    /// `auth.log`
    Auth,
    /// `mail.log`
    Mail,
    /// `syslog`
    Syslog,
    /// `access.log`
    Access,
    /// `eve.json`
    Eve,
    /// `fast.log`, Suricata's other file about the same alerts.
    Fast,
}

impl Log {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Auth, Self::Mail, Self::Syslog, Self::Access, Self::Eve, Self::Fast];

    /// The file's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Auth => "auth.log",
            Self::Mail => "mail.log",
            Self::Syslog => "syslog",
            Self::Access => "access.log",
            Self::Eve => "eve.json",
            Self::Fast => "fast.log",
        }
    }

    const fn format(self) -> Format {
        match self {
            Self::Auth | Self::Mail | Self::Syslog => Format::Syslog,
            Self::Access => Format::Plain,
            Self::Eve => Format::SuricataEve,
            Self::Fast => Format::SuricataFast,
        }
    }
}

/// Lines in order of time.
pub struct Month {
    lines: Vec<(i64, Log, String)>,
    attackers: Vec<Attacker>,
}

/// What a replay came to.
#[derive(Debug, Default)]
pub struct Result {
    /// Lines read.
    pub lines: usize,
    /// Lines that say nothing to any pack.
    pub unknown: usize,
    /// The bans: of whom, by what the first time.
    pub bans: BTreeMap<Target, String>,
    /// Alerts of level 7 and above, by rule: level, how often, description.
    pub alerts: BTreeMap<u32, (u8, usize, String)>,
}

impl Month {
    /// The first `days` days, honest; the same for the same seed.
    pub fn honest(seed: u64, days: i64) -> Self {
        let mut pen = Pen::new(seed, days);
        honest::write(&mut pen);
        Self { lines: pen.finish(), attackers: Vec::new() }
    }

    /// The same, with the attackers among them.
    pub fn attacked(seed: u64, days: i64) -> Self {
        let mut pen = Pen::new(seed, days);
        honest::write(&mut pen);
        let attackers = attackers::write(&mut pen);
        Self { lines: pen.finish(), attackers }
    }

    /// Those who should be banned.
    pub fn attackers(&self) -> &[Attacker] {
        &self.attackers
    }

    /// Takes all lines through the shipped packs; of Suricata's two files about the same alerts, `suricata`.
    ///
    /// # Panics
    /// Where the shipped packs don't load.
    pub fn replay(&self, suricata: Log) -> Result {
        let packs = Arc::new(Packs::load(true, &[]).expect("the shipped packs load"));
        let home: IpNet = "192.0.2.0/24".parse().expect("a prefix");
        let config = Config { home: vec![home], ..Config::default() };
        let proof = SuricataProof::unknown();
        let mut engine = Engine::new(packs, &config, Network::default(), proof);
        let mut decoders =
            Log::ALL.map(|log| (log, Decoder::new(Selection::Only(log.format()), TimeZone::UTC)));
        let mut result = Result::default();
        for (at, log, text) in &self.lines {
            if matches!(log, Log::Eve | Log::Fast) && *log != suricata {
                continue;
            }
            let Some((_, decoder)) = decoders.iter_mut().find(|(known, _)| known == log) else {
                continue;
            };
            result.lines += 1;
            let arrived = Timestamp::from_secs(*at);
            let line = Line { bytes: text.as_bytes(), arrived };
            let Ok(record) = decoder.decode(line) else {
                result.unknown += 1;
                continue;
            };
            let outcome = engine.step(&record, arrived);
            result.unknown += usize::from(outcome.event.is_none());
            for alert in outcome.fired.alerts.iter().filter(|alert| alert.rule.level >= 7) {
                let head = &alert.rule;
                let known = result.alerts.entry(head.id);
                known.or_insert_with(|| (head.level, 0, head.description.clone())).1 += 1;
            }
            if let Verdict::Ban(order) = &outcome.verdict {
                let by = order.rule.map_or("score".to_owned(), |rule| rule.to_string());
                let why = || format!("{by}: {} ({text})", order.reason);
                result.bans.entry(order.target).or_insert_with(why);
            }
        }
        result
    }

    /// Writes the files into a folder.
    pub fn write(&self, folder: &Path) -> io::Result<()> {
        fs::create_dir_all(folder)?;
        for log in Log::ALL {
            let mut file = BufWriter::new(File::create(folder.join(log.name()))?);
            for (_, _, text) in self.lines.iter().filter(|(_, of, _)| *of == log) {
                writeln!(file, "{text}")?;
            }
            file.flush()?;
        }
        Ok(())
    }
}

impl Result {
    /// The bans that hit none of these attackers.
    pub fn wronged(&self, attackers: &[Attacker]) -> Vec<String> {
        let due: BTreeSet<Target> = attackers.iter().flat_map(|it| it.targets.clone()).collect();
        let wrong = self.bans.iter().filter(|(target, _)| !due.contains(*target));
        wrong.map(|(target, why)| format!("{target} by {why}")).collect()
    }

    /// Those of the attackers whom no ban hit, or not all of whose addresses.
    pub fn missed(&self, attackers: &[Attacker]) -> Vec<String> {
        let missing = |it: &Attacker| {
            let free = it.targets.iter().filter(|target| !self.bans.contains_key(*target)).count();
            (free > 0).then(|| format!("{}: {free} of {}", it.kind, it.targets.len()))
        };
        attackers.iter().filter_map(missing).collect()
    }
}
