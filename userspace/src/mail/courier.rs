//! The courier: makes mails when their time has come, and brings them to the relay and the webhook.
//!
//! It remembers nothing that isn't in the outbox, but for one thing: what was taken and the disk wouldn't
//! write down yet.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use std::time::Duration;

use jiff::tz::TimeZone;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;

use super::compose::{NOTICES, Scene, Vitals};
use super::fault::Fault;
use super::outbox::{Channel, Lane, Plan, Policy, Standing, retry_after};
use super::relay::{Relay, RelayError};
use super::smtp::{Delivered, SendError};
use super::webhook::Webhook;
use crate::config::MailConfig;
use crate::event::Timestamp;
use crate::store::{Handle, Mail, MailId, MailStats, Store, StoreError};

/// Brings mail until it is told to stop.
#[derive(Debug)]
pub struct Courier {
    legs: Vec<Leg>,
    store: Handle,
}

/// The way of one channel; the other's troubles don't hold it up.
#[derive(Debug)]
struct Leg {
    channel: Channel,
    carrier: Carrier,
    policy: Policy,
    scene: Scene,
    store: Handle,
    health: watch::Sender<MailHealth>,
    bell: Arc<Notify>,
    clock: Clock,
    /// What became of mails that the database still has as queued.
    unwritten: HashMap<MailId, Settled>,
}

#[derive(Debug)]
enum Carrier {
    Relay(Relay),
    Webhook(Webhook),
}

/// What time it is; a test's may run ahead.
#[derive(Clone)]
struct Clock(Arc<dyn Fn() -> Timestamp + Send + Sync>);

/// How mail fares.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct MailHealth {
    /// The outbox in numbers.
    pub stats: MailStats,
    /// What doesn't get through: since when, and why.
    pub trouble: BTreeMap<Channel, (Timestamp, String)>,
    /// The last mail that was refused for good: when, and why.
    pub refused: BTreeMap<Channel, (Timestamp, String)>,
}

impl MailHealth {
    /// What doesn't get through, in words with a remedy; `None` where everything does.
    pub fn undelivered(&self) -> Option<String> {
        Self::words(&self.trouble)
    }

    /// What was refused for good, in words with a remedy; `None` where nothing was.
    pub fn refused_for_good(&self) -> Option<String> {
        Self::words(&self.refused)
    }

    fn words(what: &BTreeMap<Channel, (Timestamp, String)>) -> Option<String> {
        let words: Vec<&str> = what.values().map(|(_, words)| words.as_str()).collect();
        (!words.is_empty()).then(|| words.join("; "))
    }
}

impl Courier {
    /// A courier for `mail:`; `host` is this host's name. Its health can be watched.
    ///
    /// # Errors
    ///
    /// What is wrong with `mail:`.
    pub fn new(
        config: &MailConfig,
        host: &str,
        store: Handle,
    ) -> Result<(Self, watch::Receiver<MailHealth>), RelayError> {
        let zone = TimeZone::system();
        let (health, watching) = watch::channel(MailHealth::default());
        let leg = |channel, carrier| Leg {
            channel,
            carrier,
            policy: Policy::new(config, zone.clone()),
            scene: Scene::new(host, zone.clone()),
            store: store.clone(),
            health: health.clone(),
            bell: Arc::default(),
            clock: Clock(Arc::new(Timestamp::now)),
            unwritten: HashMap::new(),
        };
        let mut legs = Vec::new();
        if !config.to.is_empty() {
            legs.push(leg(Channel::Mail, Carrier::Relay(Relay::new(config)?)));
        }
        if let Some(webhook) = Webhook::new(config)? {
            legs.push(leg(Channel::Webhook, Carrier::Webhook(webhook)));
        }
        if legs.is_empty() {
            return Err(RelayError::Nobody);
        }
        Ok((Self { legs, store }, watching))
    }

    /// The same by another clock: for tests, whose hours pass faster. When it has moved, ring
    /// [`Handle::mail`].
    #[must_use]
    pub fn with_clock(mut self, now: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        let clock = Clock(Arc::new(now));
        for leg in &mut self.legs {
            leg.clock = clock.clone();
        }
        self
    }

    /// Works until `shutdown`; then makes and brings what waits, in a few seconds or not.
    pub async fn run(self, shutdown: impl Future<Output = ()>) {
        let Self { legs, store } = self;
        let bell = store.mail();
        let bells: Vec<Arc<Notify>> = legs.iter().map(|leg| Arc::clone(&leg.bell)).collect();
        let (stop, stopped) = watch::channel(());
        let mut running = JoinSet::new();
        for leg in legs {
            let mut stopped = stopped.clone();
            // It never changes: an error is the end.
            running.spawn(leg.run(async move { drop(stopped.changed().await) }));
        }
        tokio::pin!(shutdown);
        loop {
            tokio::select! {
                () = bell.notified() => bells.iter().for_each(|bell| bell.notify_one()),
                () = &mut shutdown => break,
            }
        }
        drop(stop);
        while let Some(ended) = running.join_next().await {
            if let Err(error) = ended {
                tracing::error!(%error, "A mail task ended badly.");
            }
        }
    }
}

impl Carrier {
    async fn bring(&self, mail: &Mail, hello: &str) -> Result<Delivered, SendError> {
        match self {
            Self::Relay(relay) => relay.send(mail, hello).await,
            Self::Webhook(webhook) => webhook.send(mail).await,
        }
    }
}

impl Clock {
    fn now(&self) -> Timestamp {
        (self.0)()
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Clock({})", self.now())
    }
}

impl Leg {
    async fn run(mut self, shutdown: impl Future<Output = ()>) {
        let bell = Arc::clone(&self.bell);
        tokio::pin!(shutdown);
        loop {
            let pause = {
                // A mail under way isn't cut off at once: that would make doubles.
                let round = self.round(false);
                tokio::pin!(round);
                tokio::select! {
                    pause = &mut round => pause,
                    () = &mut shutdown => {
                        tokio::time::timeout(LAST_WORDS, round).await.ok();
                        break;
                    }
                }
            };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = ring(&bell) => {}
                () = &mut shutdown => break,
            }
        }
        if tokio::time::timeout(LAST_WORDS, self.round(true)).await.is_err() {
            tracing::warn!("Mail couldn't be brought before the end; it waits in the outbox.");
        }
    }

    /// Makes what is to be made and brings what is due; gives the time until the next round.
    async fn round(&mut self, closing: bool) -> Duration {
        let mut tried = Vec::new();
        loop {
            let now = self.clock.now();
            let (channel, policy, scene) = (self.channel, self.policy.clone(), self.scene.clone());
            let unwritten = self.unwritten.clone();
            let desk = self
                .store
                .call(move |store| {
                    let way = (channel, &policy, &scene);
                    Desk::prepare(store, way, &unwritten, now, closing)
                })
                .await;
            let desk = match desk {
                Ok(Ok(desk)) => desk,
                Ok(Err(error)) => {
                    tracing::error!(%error, "Can't read the outbox; trying on.");
                    return DISK_PAUSE;
                }
                Err(_gone) => return LONGEST_PAUSE,
            };
            self.unwritten.clear();
            self.health.send_modify(|health| health.stats = desk.stats);
            let due: Vec<Mail> =
                desk.due.into_iter().filter(|mail| !tried.contains(&mail.id)).collect();
            if due.is_empty() {
                return desk.next.map_or(LONGEST_PAUSE, |next| next.since(now)).min(LONGEST_PAUSE);
            }
            for mail in due {
                tried.push(mail.id);
                if !self.bring(&mail).await {
                    return DISK_PAUSE;
                }
            }
        }
    }

    /// Tries one mail and writes down what became of it; false where that can't be written.
    async fn bring(&mut self, mail: &Mail) -> bool {
        let sent = self.carrier.bring(mail, &self.scene.domain()).await;
        let now = self.clock.now();
        let settled = match sent {
            Ok(delivered) => {
                for refused in &delivered.refused {
                    tracing::warn!(%refused, message_id = %mail.message_id, "A recipient was refused.");
                }
                tracing::info!(subject = %mail.subject, message_id = %mail.message_id, "Mail sent.");
                let refused = delivered.refused.join("; ");
                self.health.send_modify(|health| {
                    health.trouble.remove(&self.channel);
                    if !refused.is_empty() {
                        let words = format!("{refused}: {}", Fault::Recipient.remedy());
                        health.refused.insert(self.channel, (now, words));
                    }
                });
                Settled::Sent(now)
            }
            Err(error @ SendError::Refused { .. }) => {
                self.health.send_modify(|health| drop(health.trouble.remove(&self.channel)));
                self.give_up(mail, &error, now)
            }
            Err(error @ SendError::Trouble { .. }) => {
                let reason = error.to_string();
                let dice = RandomState::new().hash_one(mail.id);
                match retry_after(mail.attempts + 1, now.since(mail.made), dice) {
                    None => self.give_up(mail, &error, now),
                    Some(pause) => {
                        tracing::warn!(%reason, attempts = mail.attempts + 1, retry_s = pause.as_secs(),
                            "Mail doesn't get through; trying on.");
                        self.health.send_modify(|health| {
                            let words = format!("{reason}: {}", error.remedy());
                            let since =
                                health.trouble.get(&self.channel).map_or(now, |(since, _)| *since);
                            health.trouble.insert(self.channel, (since, words));
                        });
                        Settled::Later(reason, now.saturating_add(pause))
                    }
                }
            }
        };
        let id = mail.id;
        let write = settled.clone();
        let written = self.store.call(move |store| write.write(store, id)).await;
        match written {
            Ok(Ok(())) => true,
            Ok(Err(error)) => {
                tracing::error!(%error, "Can't write down what became of a mail; trying on.");
                self.unwritten.insert(id, settled);
                false
            }
            Err(_gone) => false,
        }
    }

    fn give_up(&self, mail: &Mail, error: &SendError, now: Timestamp) -> Settled {
        let reason = error.to_string();
        tracing::error!(%reason, subject = %mail.subject, remedy = error.remedy(),
            "A mail was refused for good.");
        let words = format!("\"{}\": {reason}: {}", mail.subject, error.remedy());
        self.health.send_modify(|health| drop(health.refused.insert(self.channel, (now, words))));
        Settled::Refused(reason, now)
    }
}

/// At the end of life.
const LAST_WORDS: Duration = Duration::from_secs(5);
/// Whatever the clock does, we look again after this.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// Where the database doesn't work.
const DISK_PAUSE: Duration = Duration::from_secs(15);
/// A flood of entries rings without pause; one look at them is enough for this long.
const RING: Duration = Duration::from_millis(250);

async fn ring(bell: &Notify) {
    bell.notified().await;
    tokio::time::sleep(RING).await;
}

/// What became of a mail.
#[derive(Clone, Debug)]
enum Settled {
    Sent(Timestamp),
    Later(String, Timestamp),
    Refused(String, Timestamp),
}

impl Settled {
    fn write(&self, store: &mut Store, id: MailId) -> Result<(), StoreError> {
        match self {
            Self::Sent(now) => store.sent(id, *now),
            Self::Later(reason, at) => store.failed(id, reason, *at),
            Self::Refused(reason, now) => store.refused(id, reason, *now),
        }
    }
}

/// What lies before the courier at the beginning of a round.
struct Desk {
    due: Vec<Mail>,
    next: Option<Timestamp>,
    stats: MailStats,
}

impl Desk {
    /// On the writer's thread.
    fn prepare(
        store: &mut Store,
        (channel, policy, scene): (Channel, &Policy, &Scene),
        unwritten: &HashMap<MailId, Settled>,
        now: Timestamp,
        closing: bool,
    ) -> Result<Self, StoreError> {
        for (id, settled) in unwritten {
            settled.write(store, *id)?;
        }
        // Who was told since the last digest is told again when it gets worse, or in the next.
        let (alert, digest) = (Lane::Alert.key(channel), Lane::Digest.key(channel));
        store.put_off_told(alert, digest)?;
        let standing = Standing::read(store.read(), channel, now)?;
        let Plan { make, look_again } = policy.plan(&standing, now, closing);
        for lane in make {
            let vitals = match lane {
                Lane::Digest => {
                    Vitals { since: standing.last_digest, bans: store.read().ban_count()? }
                }
                Lane::Alert | Lane::Backlog | Lane::Life | Lane::Health => Vitals::default(),
            };
            if lane == Lane::Digest {
                store.forget_told(alert)?;
            }
            store.make_mail(lane.key(channel), now, NOTICES, lane == Lane::Alert, |batch| {
                scene.compose(lane, batch, vitals, now)
            })?;
        }
        let due = store.read().due(&channel.keys(), now)?;
        let next =
            [look_again, store.read().next_due(&channel.keys())?].into_iter().flatten().min();
        Ok(Self { due, next, stats: store.read().mail_stats()? })
    }
}

#[cfg(test)]
mod tests;
