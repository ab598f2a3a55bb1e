//! The courier: makes mails when their time has come, and brings them to the relay.
//!
//! It remembers nothing that isn't in the outbox, but for one thing: what the relay took and the disk
//! wouldn't write down yet.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::time::Duration;

use jiff::tz::TimeZone;
use tokio::sync::watch;

use super::compose::{NOTICES, Scene, Vitals};
use super::outbox::{Lane, Plan, Policy, Standing, retry_after};
use super::relay::{Relay, RelayError};
use super::smtp::SendError;
use crate::config::MailConfig;
use crate::event::Timestamp;
use crate::store::{Handle, Mail, MailId, MailStats, Store, StoreError};

/// Brings mail until it is told to stop.
#[derive(Debug)]
pub struct Courier {
    policy: Policy,
    relay: Relay,
    scene: Scene,
    store: Handle,
    health: watch::Sender<MailHealth>,
    /// What became of mails that the database still has as queued.
    unwritten: HashMap<MailId, Settled>,
}

/// How mail fares.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct MailHealth {
    /// The outbox in numbers.
    pub stats: MailStats,
    /// Mail doesn't get through: since when, and what the relay says.
    pub trouble: Option<(Timestamp, String)>,
    /// The last mail that was refused for good: when, and what the relay said.
    pub refused: Option<(Timestamp, String)>,
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
        let courier = Self {
            policy: Policy::new(config, zone.clone()),
            relay: Relay::new(config)?,
            scene: Scene::new(host, zone),
            store,
            health,
            unwritten: HashMap::new(),
        };
        Ok((courier, watching))
    }

    /// Works until `shutdown`; then makes and brings what waits, in a few seconds or not.
    pub async fn run(mut self, shutdown: impl Future<Output = ()>) {
        let bell = self.store.mail();
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
            let now = Timestamp::now();
            let (policy, scene) = (self.policy.clone(), self.scene.clone());
            let unwritten = self.unwritten.clone();
            let desk = self
                .store
                .call(move |store| Desk::prepare(store, &policy, &scene, &unwritten, now, closing))
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
        let sent = self.relay.send(mail, &self.scene.domain()).await;
        let now = Timestamp::now();
        let settled = match sent {
            Ok(delivered) => {
                for refused in &delivered.refused {
                    tracing::warn!(%refused, message_id = %mail.message_id, "The relay refused a recipient.");
                }
                tracing::info!(subject = %mail.subject, message_id = %mail.message_id, "Mail sent.");
                let refused = delivered.refused.join("; ");
                self.health.send_modify(|health| {
                    health.trouble = None;
                    if !refused.is_empty() {
                        health.refused = Some((now, refused));
                    }
                });
                Settled::Sent(now)
            }
            Err(SendError::Refused { reason }) => {
                self.health.send_modify(|health| health.trouble = None);
                self.give_up(mail, reason, now)
            }
            Err(error @ SendError::Trouble { .. }) => {
                let reason = error.to_string();
                let dice = RandomState::new().hash_one(mail.id);
                match retry_after(mail.attempts + 1, now.since(mail.made), dice) {
                    None => self.give_up(mail, reason, now),
                    Some(pause) => {
                        tracing::warn!(%reason, attempts = mail.attempts + 1, retry_s = pause.as_secs(),
                            "Mail doesn't get through; trying on.");
                        self.health.send_modify(|health| {
                            let since = health.trouble.take().map_or(now, |(since, _)| since);
                            health.trouble = Some((since, reason.clone()));
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

    fn give_up(&self, mail: &Mail, reason: String, now: Timestamp) -> Settled {
        tracing::error!(%reason, subject = %mail.subject, "A mail was refused for good.");
        self.health.send_modify(|health| health.refused = Some((now, reason.clone())));
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

async fn ring(bell: &tokio::sync::Notify) {
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
        policy: &Policy,
        scene: &Scene,
        unwritten: &HashMap<MailId, Settled>,
        now: Timestamp,
        closing: bool,
    ) -> Result<Self, StoreError> {
        for (id, settled) in unwritten {
            settled.write(store, *id)?;
        }
        let standing = Standing::read(store.read(), now)?;
        let Plan { make, look_again } = policy.plan(&standing, now, closing);
        for lane in make {
            let vitals = match lane {
                Lane::Digest => {
                    Vitals { since: standing.last_digest, bans: store.read().ban_count()? }
                }
                Lane::Alert | Lane::Backlog | Lane::Life | Lane::Health => Vitals::default(),
            };
            store.make_mail(lane.as_str(), now, NOTICES, |batch| {
                scene.compose(lane, batch, vitals, now)
            })?;
        }
        let due = store.read().due(now)?;
        let next = [look_again, store.read().next_due()?].into_iter().flatten().min();
        Ok(Self { due, next, stats: store.read().mail_stats()? })
    }
}

#[cfg(test)]
mod tests;
