//! When what is mailed: a pure function of the clock and of what the database knows.
//!
//! Each notice takes one of five lanes. A lane's mail is made when its burst is over, unless the lane's
//! hourly budget is used up or its last mail hasn't got through to the relay yet; then what comes waits,
//! and becomes one mail later. So a flood is few mails, and a relay that was dead for a day is greeted
//! by a handful, with everything in them.

use std::time::Duration;

use jiff::tz::TimeZone;

use super::notice::{Notice, Outcome};
use crate::config::{MailConfig, Urgency};
use crate::event::Timestamp;
use crate::store::{OutboxEntry, Reader, StoreError};

/// A queue of its own, with its own budget.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Lane {
    /// Alerts that are told at once.
    Alert,
    /// Alerts out of lines that are old news: one mail when the backlog has been read.
    Backlog,
    /// All other alerts: one mail a day, just after local midnight, also where there was nothing. It is
    /// the sign of life.
    Digest,
    /// Start and stop.
    Life,
    /// Protection degraded or restored.
    Health,
}

/// A way to people, with queues and budgets of its own: one that is dead doesn't hold up the other.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Channel {
    /// `mail.to`, by `mail.relay`.
    Mail,
    /// `mail.webhook`.
    Webhook,
}

/// Who is told what, and when.
#[derive(Clone, Debug)]
pub struct Policy {
    level: u8,
    immediate: u8,
    per_hour: u32,
    channels: Vec<Channel>,
    zone: TimeZone,
}

/// What the database knows about the outbox.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Standing {
    /// Lanes in which something waits: when the oldest and the newest entry came.
    pub waiting: Vec<(Lane, Timestamp, Timestamp)>,
    /// Lanes in which nobody waits but offenders who aren't banned.
    pub unbanned: Vec<Lane>,
    /// Mails made within the last hour, oldest first.
    pub made: Vec<(Lane, Timestamp)>,
    /// The birth of each lane's newest mail that the relay hasn't taken yet.
    pub unsent: Vec<(Lane, Timestamp)>,
    /// The last digest, or the database's birth.
    pub last_digest: Timestamp,
}

/// What to do now, and when to look again.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Plan {
    /// Lanes whose mail is to be made.
    pub make: Vec<Lane>,
    /// The time of the next, as far as one can tell.
    pub look_again: Option<Timestamp>,
}

/// Lines older than this when they are read are a backlog.
const OLD_NEWS: Duration = Duration::from_secs(5 * 60);
/// The time over which budgets reach.
const HOUR: Duration = Duration::from_secs(60 * 60);
/// Mails an hour about the daemon itself: a crash loop shouldn't flood, nor hide trouble.
const OWN_PER_HOUR: u32 = 4;
/// A mail that doesn't get through holds back its lane's next one for so long; then the trouble may be
/// with that mail and not with the relay.
const HOLD: Duration = Duration::from_secs(6 * 60 * 60);
/// After so long without success a mail is given up; RFC 5321 wants 4-5 days (4.5.4.1).
const GIVE_UP: Duration = Duration::from_secs(5 * 24 * 60 * 60);

impl Policy {
    /// By `mail:`; `zone` is where midnight is.
    pub fn new(config: &MailConfig, zone: TimeZone) -> Self {
        Self {
            level: config.level,
            immediate: config.immediate,
            per_hour: config.per_hour,
            channels: Channel::of(config),
            zone,
        }
    }

    /// The outbox entries of a notice, one for each channel; none where it isn't told.
    pub fn entries(&self, notice: &Notice, now: Timestamp) -> Vec<OutboxEntry> {
        let Some(lane) = self.lane(notice, now) else { return Vec::new() };
        // Strings and numbers always have a JSON form.
        let Ok(text) = serde_json::to_string(notice) else { return Vec::new() };
        let (offender, again) = notice.blames();
        let entry = |channel: &Channel| OutboxEntry {
            lane: lane.key(*channel),
            queued: now,
            level: notice.level(),
            topic: notice.topic(),
            offender: offender.map(|target| target.to_string()),
            again,
            notice: text.clone(),
        };
        self.channels.iter().map(entry).collect()
    }

    /// Which lane a notice takes. A rule's own `mail: true` is told at once whatever its level,
    /// `mail: false` never.
    pub fn lane(&self, notice: &Notice, now: Timestamp) -> Option<Lane> {
        if self.channels.is_empty() {
            return None;
        }
        match notice {
            Notice::Alert(alert) => {
                let urgency = Urgency::of((self.level, self.immediate), alert.level, alert.mail);
                // A ban is worth a line, also where the score decided or a rule of a lower level.
                let banned = matches!(alert.outcome, Outcome::Banned { .. });
                let line = (banned && alert.mail != Some(false)).then_some(Urgency::Digest);
                Some(if urgency.or(line)? == Urgency::Digest || self.per_hour == 0 {
                    Lane::Digest
                } else if now.since(alert.at) > OLD_NEWS {
                    Lane::Backlog
                } else {
                    Lane::Alert
                })
            }
            Notice::Started(_) | Notice::Stopped(_) => Some(Lane::Life),
            Notice::Degraded(_) | Notice::Recovered(_) => Some(Lane::Health),
        }
    }

    /// What to do now. `closing`: the daemon ends; what waits for its burst's end goes now.
    pub fn plan(&self, standing: &Standing, now: Timestamp, closing: bool) -> Plan {
        let mut plan = Plan::default();
        for lane in Lane::ALL {
            let burst_over = match standing.waiting.iter().find(|(waits, ..)| *waits == lane) {
                _ if lane == Lane::Digest => self.midnight_after(standing.last_digest.min(now)),
                Some(_) if closing => now,
                Some((_, first, last)) => lane.burst_over(*first, *last, now),
                None => continue,
            };
            let at =
                burst_over.max(self.affordable(lane, standing, now)).max(held(lane, standing, now));
            if at <= now {
                plan.make.push(lane);
            } else {
                plan.look_again = Some(plan.look_again.map_or(at, |other| other.min(at)));
            }
        }
        plan
    }

    /// When the lane's budget allows another mail.
    fn affordable(&self, lane: Lane, standing: &Standing, now: Timestamp) -> Timestamp {
        let Some(limit) = lane.per_hour(self.per_hour) else { return now };
        // Mails "made in the future" were made before the clock was set back: they don't count.
        let mut spent = standing
            .made
            .iter()
            .filter(|(other, made)| other.budget() == lane.budget() && *made <= now)
            .map(|(_, made)| made.saturating_add(HOUR))
            .filter(|free_at| *free_at > now);
        // Who can't be banned can go on alerting, under any address: half is kept for those who are.
        let limit = if standing.unbanned.contains(&lane) { limit.div_ceil(2) } else { limit };
        let limit = usize::try_from(limit.max(1)).unwrap_or(usize::MAX);
        let count = spent.clone().count();
        if count < limit { now } else { spent.nth(count - limit).unwrap_or(now) }
    }

    fn midnight_after(&self, time: Timestamp) -> Timestamp {
        let midnight = jiff::Timestamp::from_microsecond(time.as_micros())
            .and_then(|time| time.to_zoned_datetime(self.zone.clone()).tomorrow())
            .and_then(|tomorrow| tomorrow.start_of_day());
        match midnight {
            Ok(midnight) => Timestamp::from_micros(midnight.timestamp().as_microsecond()),
            // Only at the calendar's end.
            Err(_) => time.saturating_add(24 * HOUR),
        }
    }
}

impl Standing {
    /// A channel's, as the database has it.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub fn read(store: &Reader, channel: Channel, now: Timestamp) -> Result<Self, StoreError> {
        // Lanes that we don't know are the other channel's, or another version's.
        let known = |births: Vec<(String, Timestamp)>| {
            let known = |(lane, at): (String, _)| Some((Lane::of(channel, &lane)?, at));
            births.into_iter().filter_map(known).collect()
        };
        let waiting = store.waiting()?;
        let unbanned = waiting.iter().filter(|waits| !waits.again);
        Ok(Self {
            unbanned: unbanned.filter_map(|waits| Lane::of(channel, &waits.lane)).collect(),
            waiting: waiting
                .into_iter()
                .filter_map(|waits| {
                    Some((Lane::of(channel, &waits.lane)?, waits.first, waits.last))
                })
                .collect(),
            made: known(store.made(now.saturating_sub(HOUR))?),
            unsent: known(store.unsent()?),
            last_digest: store.newest(Lane::Digest.key(channel))?,
        })
    }
}

/// How long to wait before the next attempt, after `attempts` that failed: half a minute, doubled each
/// time up to a quarter of an hour, give or take a fifth, so that a relay isn't met by everybody at
/// once. `None`: it has been long enough. `dice` is any number.
pub(super) fn retry_after(attempts: u32, age: Duration, dice: u64) -> Option<Duration> {
    if age >= GIVE_UP {
        return None;
    }
    let pause = 30_000 * 2_u64.saturating_pow(attempts.saturating_sub(1)).min(30);
    Some(Duration::from_millis(pause * 4 / 5 + dice % (pause * 2 / 5)))
}

fn held(lane: Lane, standing: &Standing, now: Timestamp) -> Timestamp {
    standing
        .unsent
        .iter()
        .find(|(other, made)| *other == lane && *made <= now)
        .map_or(now, |(_, made)| made.saturating_add(HOLD))
}

impl Lane {
    /// In the order in which their mails go.
    pub const ALL: [Self; 5] = [Self::Health, Self::Alert, Self::Life, Self::Backlog, Self::Digest];

    /// As stored.
    pub const fn key(self, channel: Channel) -> &'static str {
        match (channel, self) {
            (Channel::Mail, Self::Alert) => "alert",
            (Channel::Mail, Self::Backlog) => "backlog",
            (Channel::Mail, Self::Digest) => "digest",
            (Channel::Mail, Self::Life) => "life",
            (Channel::Mail, Self::Health) => "health",
            (Channel::Webhook, Self::Alert) => "webhook-alert",
            (Channel::Webhook, Self::Backlog) => "webhook-backlog",
            (Channel::Webhook, Self::Digest) => "webhook-digest",
            (Channel::Webhook, Self::Life) => "webhook-life",
            (Channel::Webhook, Self::Health) => "webhook-health",
        }
    }

    /// The lane that is stored so, if it is this channel's.
    fn of(channel: Channel, key: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|lane| lane.key(channel) == key)
    }

    /// When a burst is over: nothing came for a while, or it has lasted long enough.
    fn burst_over(self, first: Timestamp, last: Timestamp, now: Timestamp) -> Timestamp {
        let (quiet, longest) = match self {
            Self::Backlog => (10, 10 * 60),
            Self::Alert | Self::Life | Self::Health | Self::Digest => (2, 10),
        };
        if first > now {
            // The clock was set back.
            return now;
        }
        let quiet = last.saturating_add(Duration::from_secs(quiet));
        quiet.min(first.saturating_add(Duration::from_secs(longest)))
    }

    /// Lanes with the same number share a budget.
    const fn budget(self) -> u8 {
        match self {
            Self::Alert | Self::Backlog => 0,
            Self::Digest => 1,
            Self::Life => 2,
            Self::Health => 3,
        }
    }

    const fn per_hour(self, alerts: u32) -> Option<u32> {
        match self {
            Self::Alert | Self::Backlog => Some(alerts),
            Self::Life | Self::Health => Some(OWN_PER_HOUR),
            Self::Digest => None,
        }
    }
}

impl Channel {
    /// Those that are configured.
    pub fn of(config: &MailConfig) -> Vec<Self> {
        let mail = (!config.to.is_empty()).then_some(Self::Mail);
        let webhook = config.webhook.as_ref().map(|_url| Self::Webhook);
        mail.into_iter().chain(webhook).collect()
    }

    /// Its lanes, as stored.
    pub(super) fn keys(self) -> [&'static str; 5] {
        Lane::ALL.map(|lane| lane.key(self))
    }
}

#[cfg(test)]
mod tests;
