//! What was found, against what must have come of the script.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::Result;
use ravelin::blocklist::Clock;
use ravelin::control::Status;
use ravelin::event::Target;

use super::death::{Autopsy, Death, Point};
use super::ground::{Ground, TTL};
use super::ledger::{Remains, Row};
use super::script::Script;

/// Findings; of a clean one nothing is told but numbers.
#[derive(Clone, Debug, Default)]
pub struct Verdict {
    /// What is lost, doubled or wrong, a sentence each.
    pub faults: Vec<String>,
    /// Lines that are counted.
    pub marks: usize,
    /// Bans, by single lines, by count and by score.
    pub bans: [usize; 3],
    /// Who had one line too few, and isn't banned.
    pub spared: usize,
    /// Mails delivered, each once where it is the same.
    pub mails: usize,
    /// Mails delivered again after a death between the relay's 250 and its commit, with the same Message-ID.
    pub doubles: usize,
    /// How often that could have happened.
    pub doubles_allowed: usize,
    /// Deaths that left each of the states between kernel, commit and mail, by whatever death it was.
    pub left: BTreeMap<&'static str, usize>,
    /// How often the daemon said that lines are lost.
    pub told_of_loss: usize,
}

/// Notices that a mail tells by name.
const IN_A_MAIL: usize = 500;
/// Faults of a kind that are told.
const TOLD: usize = 5;

impl Verdict {
    /// Whether nothing is lost, doubled or wrong.
    pub const fn is_clean(&self) -> bool {
        self.faults.is_empty()
    }

    pub(super) fn reach(
        script: &Script,
        deaths: &[(Death, Autopsy)],
        ground: &Ground,
        remains: &Remains,
        status: &Status,
        settled: bool,
    ) -> Result<Self> {
        let mut verdict = Self {
            marks: script.marks.len(),
            bans: [script.hits.len(), script.counted.len(), script.scored.len()],
            spared: script.spared.len(),
            ..Self::default()
        };
        if !settled {
            let lag: Vec<_> =
                status.sources.iter().map(|source| (&source.name, source.lag_bytes)).collect();
            verdict.fault("not everything came to rest", [format!("{lag:?}")]);
        }
        verdict.fault("a line wasn't committed in time", script.stalled.iter().cloned());
        verdict.history(script, &remains.history()?);
        verdict.kernel(script, ground)?;
        let stored: BTreeSet<Target> = remains.bans()?.into_iter().collect();
        verdict.sets("bans of the database", &banned(script), &stored);
        verdict.mail(script, deaths, ground, remains)?;
        verdict.deaths(deaths);
        verdict.told_of_loss = ground.said()?.matches("Lines may be lost").count();
        Ok(verdict)
    }

    fn fault(&mut self, what: &str, which: impl IntoIterator<Item = String>) {
        let all: Vec<String> = which.into_iter().collect();
        if all.is_empty() {
            return;
        }
        let told = all.iter().take(TOLD).cloned().collect::<Vec<_>>().join(", ");
        self.faults.push(format!("{what}: {} ({told})", all.len()));
    }

    fn sets(&mut self, of: &str, expected: &BTreeSet<Target>, found: &BTreeSet<Target>) {
        self.fault(
            &format!("missing among the {of}"),
            expected.difference(found).map(Target::to_string),
        );
        self.fault(
            &format!("wrong among the {of}"),
            found.difference(expected).map(Target::to_string),
        );
    }

    /// Each line once, each ban once, nobody else.
    fn history(&mut self, script: &Script, rows: &[Row]) {
        let mut alerts: BTreeMap<u64, usize> = BTreeMap::new();
        let mut bans: BTreeMap<Target, Vec<Option<u64>>> = BTreeMap::new();
        let mut offences = Vec::new();
        for row in rows {
            match (row.kind.as_str(), row.serial, row.target) {
                ("alert", Some(serial), _) => *alerts.entry(serial).or_default() += 1,
                ("ban", serial, Some(target)) => {
                    bans.entry(target).or_default().push(serial);
                    if row.offences != Some(1) {
                        offences.push(target.to_string());
                    }
                }
                _ => {}
            }
        }
        // A ban by score has no alert that is worth the history.
        let counted: BTreeSet<u64> = script
            .marks
            .keys()
            .chain(script.hits.keys())
            .chain(script.counted.keys())
            .copied()
            .collect();
        let lost = counted.iter().filter(|serial| !alerts.contains_key(serial));
        self.fault("lines not counted", lost.map(u64::to_string).collect::<Vec<_>>());
        let twice = alerts.iter().filter(|(_, times)| **times > 1);
        self.fault(
            "lines counted twice",
            twice.map(|(serial, _)| serial.to_string()).collect::<Vec<_>>(),
        );
        let odd = alerts.keys().filter(|serial| !counted.contains(serial));
        self.fault("lines that shouldn't count", odd.map(u64::to_string).collect::<Vec<_>>());

        let told: BTreeSet<Target> = bans.keys().copied().collect();
        self.sets("bans of the history", &banned(script), &told);
        let again = bans.iter().filter(|(_, serials)| serials.len() > 1);
        self.fault("banned twice", again.map(|(target, _)| target.to_string()).collect::<Vec<_>>());
        let other = script
            .banned()
            .filter(|(serial, target)| bans.get(target).is_some_and(|by| by[0] != Some(*serial)));
        self.fault(
            "banned by another line than the one that completes it",
            other.map(|(serial, target)| format!("{target}, not by {serial}")).collect::<Vec<_>>(),
        );
        self.fault("first bans that count as repeated ones", offences);
    }

    /// Each ban in the kernel until its line's time and a day.
    fn kernel(&mut self, script: &Script, ground: &Ground) -> Result<()> {
        let bans = ground.kernel()?;
        let found: BTreeSet<Target> = bans.iter().map(|ban| ban.target).collect();
        self.sets("bans of the kernel", &banned(script), &found);
        let clock = Clock::read();
        let now = ravelin::event::Timestamp::now();
        let off = bans.iter().filter(|ban| {
            clock.timestamp(ban.expires).is_none_or(|expires| {
                // A restored or renewed ban ends no later than a new one would.
                let left = expires.since(now);
                left > TTL || left + Duration::from_secs(3600) < TTL
            })
        });
        self.fault(
            "bans of the kernel with another end",
            off.map(|ban| ban.target.to_string()).collect::<Vec<_>>(),
        );
        Ok(())
    }

    fn mail(
        &mut self,
        script: &Script,
        deaths: &[(Death, Autopsy)],
        ground: &Ground,
        remains: &Remains,
    ) -> Result<()> {
        let mut allowed: BTreeMap<&str, usize> = BTreeMap::new();
        for id in deaths.iter().flat_map(|(_, autopsy)| &autopsy.taken) {
            *allowed.entry(id).or_default() += 1;
        }
        self.doubles_allowed = allowed.values().sum();
        let taken = ground.relay.taken();
        let mut delivered: BTreeMap<&str, usize> = BTreeMap::new();
        for mail in &taken {
            *delivered.entry(&mail.message_id).or_default() += 1;
        }
        self.mails = delivered.len();
        self.doubles = taken.len() - delivered.len();
        let doubled = delivered
            .iter()
            .filter(|(id, times)| **times > 1 + allowed.get(*id).copied().unwrap_or(0));
        self.fault(
            "mails doubled",
            doubled.map(|(id, times)| format!("{id} {times} times")).collect::<Vec<_>>(),
        );

        let mails = remains.mails()?;
        let known: BTreeSet<&str> = mails.iter().map(|mail| mail.message_id.as_str()).collect();
        let missing = known.iter().filter(|id| !delivered.contains_key(*id));
        self.fault("mails not delivered", missing.map(ToString::to_string).collect::<Vec<_>>());
        let strange = delivered.keys().filter(|id| !known.contains(*id));
        self.fault("mails that nobody made", strange.map(ToString::to_string).collect::<Vec<_>>());

        // Bans by rules go at once, each in one mail and in no other.
        let mut told: BTreeMap<Target, BTreeSet<&str>> = BTreeMap::new();
        let mut by_id: BTreeMap<&str, usize> = BTreeMap::new();
        for mail in &taken {
            by_id.insert(&mail.message_id, mail.named.len());
            for address in &mail.named {
                told.entry(super::line::target(*address)).or_default().insert(&mail.message_id);
            }
        }
        let at_once: BTreeSet<Target> =
            script.hits.values().chain(script.counted.values()).copied().collect();
        let alerting =
            mails.iter().filter(|mail| matches!(mail.lane.as_str(), "alert" | "backlog"));
        let (mut entries, mut unnamed) = (0, 0);
        for mail in alerting.clone() {
            entries += mail.entries;
            let expected = usize::try_from(mail.entries)?;
            let named = by_id.get(mail.message_id.as_str()).copied().unwrap_or(0);
            if named != expected.min(IN_A_MAIL) {
                self.fault(
                    "a mail names others than it has",
                    [format!("{}: {named} of {expected}", mail.message_id)],
                );
            }
            unnamed += expected.saturating_sub(named);
        }
        if usize::try_from(entries)? != at_once.len() {
            self.faults.push(format!(
                "mails tell {entries} bans by rules, of {} that there are",
                at_once.len()
            ));
        }
        let silent: Vec<&Target> =
            at_once.iter().filter(|target| !told.contains_key(target)).collect();
        if silent.len() != unnamed {
            self.fault("bans that no mail tells", silent.iter().map(ToString::to_string));
        }
        let several = told.iter().filter(|(_, ids)| ids.len() > 1);
        self.fault(
            "bans told in two mails",
            several.map(|(target, ids)| format!("{target} {ids:?}")).collect::<Vec<_>>(),
        );
        let wrong = told.keys().filter(|target| !at_once.contains(target));
        self.fault("mails about somebody else", wrong.map(Target::to_string).collect::<Vec<_>>());

        // The others wait for the digest.
        let digest: u64 =
            mails.iter().filter(|mail| mail.lane == "digest").map(|mail| mail.entries).sum();
        let waiting = digest + remains.waiting()?.get("digest").copied().unwrap_or(0);
        let expected = script.marks.len() + script.scored.len();
        if usize::try_from(waiting)? != expected {
            self.faults
                .push(format!("{waiting} notices for the digest, of {expected} that there are"));
        }
        Ok(())
    }

    /// Every moment between kernel, commit and mail has been one of a death.
    fn deaths(&mut self, deaths: &[(Death, Autopsy)]) {
        type IsLeft = fn(&Autopsy) -> bool;
        let states: [(&str, IsLeft); 5] = [
            ("a ban in the kernel that the database didn't know", |left| left.uncommitted > 0),
            ("a commit cut off in the middle", |left| left.torn),
            ("a notice whose mail wasn't made", |left| left.waiting > 0),
            ("a mail that wasn't sent", |left| left.queued > left.taken.len()),
            ("a mail that the relay had taken and the database didn't know so", |left| {
                !left.taken.is_empty()
            }),
        ];
        for (state, is_left) in states {
            let times = deaths.iter().filter(|(_, autopsy)| is_left(autopsy)).count();
            self.left.insert(state, times);
        }
        let wanted = |point| deaths.iter().any(|(death, _)| *death == Death::At(point));
        let came =
            |point| deaths.iter().any(|(death, left)| *death == Death::At(point) && left.hit);
        let missed = Point::ALL.into_iter().filter(|point| wanted(*point) && !came(*point));
        self.fault(
            "moments that never came",
            missed.map(|point| point.name().to_owned()).collect::<Vec<_>>(),
        );
    }
}

fn banned(script: &Script) -> BTreeSet<Target> {
    script.banned().map(|(_, target)| target).collect()
}
