//! The one writer: a thread that turns what waits into one transaction after the other.
//!
//! Handing something over never waits for the disk: it goes into a bounded queue in memory, which the
//! writer takes as a whole. Where the disk fails, the writer tries again with growing pauses and keeps
//! what it has; past a bound it keeps the essence only (bans, where each source was read to), and counts
//! what it let go.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, oneshot};

use super::effect::{Effect, Evidence, Position};
use super::retention::Retention;
use super::{Store, StoreError};
use crate::event::Timestamp;

/// The thread, owned by the daemon; [`Writer::close`] ends it.
#[derive(Debug)]
pub struct Writer {
    handle: Handle,
    thread: JoinHandle<()>,
}

/// The way to the writer, for as many as like.
#[derive(Clone, Debug)]
pub struct Handle(Arc<Shared>);

/// How the writer fares.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct WriterHealth {
    /// The disk fails: since when, and what it says.
    pub failing: Option<(Timestamp, String)>,
    /// A fresh database was begun, which knows no bans: when, and the name of the damaged one, where one was
    /// set aside.
    pub renewed: Option<(Timestamp, Option<String>)>,
    /// Effects that wait to be written.
    pub waiting: usize,
    /// Effects that were let go since the start, because too many waited.
    pub let_go: u64,
}

/// The writer has ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the database writer has ended")]
pub struct Gone;

impl Writer {
    /// Starts the thread.
    ///
    /// # Errors
    ///
    /// The system has no thread for us.
    pub fn spawn(store: Store, retention: Retention) -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        if let Some(why) = store.stands_in() {
            shared.queue().health.failing = Some((Timestamp::now(), why.to_owned()));
        }
        let handle = Handle(Arc::clone(&shared));
        let thread = thread::Builder::new().name("store".to_owned()).spawn(move || {
            let _end = End(Arc::clone(&shared));
            Life { store, retention, shared, damaged: false, looks: 0 }.run();
        })?;
        Ok(Self { handle, thread })
    }

    /// The way to it.
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Writes what waits and ends; gives what couldn't be written up after a few attempts.
    pub fn close(self) {
        self.handle.0.queue().closing = true;
        self.handle.0.filled.notify_all();
        if self.thread.join().is_err() {
            tracing::error!("The database writer ended in a panic.");
        }
    }
}

impl Handle {
    /// Hands effects over, in their order, to be written in one transaction. Doesn't wait.
    pub fn push(&self, effects: impl IntoIterator<Item = Effect>) {
        let mut queue = self.0.queue();
        for effect in effects {
            queue.push(effect);
        }
        drop(queue);
        self.0.filled.notify_all();
    }

    /// Runs `work` on the store after everything that was handed over before; how mail is made and
    /// settled.
    ///
    /// # Errors
    ///
    /// The writer has ended.
    pub async fn call<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Store) -> T + Send + 'static,
    ) -> Result<T, Gone> {
        let (reply, answer) = oneshot::channel();
        {
            let mut queue = self.0.queue();
            if queue.ended {
                return Err(Gone);
            }
            queue.jobs.push(Box::new(move |store| drop(reply.send(work(store)))));
        }
        self.0.filled.notify_all();
        answer.await.map_err(|_closed| Gone)
    }

    /// Waits until everything that was handed over before is written, or the disk has failed to.
    ///
    /// # Errors
    ///
    /// The writer has ended.
    pub async fn flush(&self) -> Result<WriterHealth, Gone> {
        self.call(|_store| ()).await?;
        Ok(self.health())
    }

    /// How it fares.
    pub fn health(&self) -> WriterHealth {
        let queue = self.0.queue();
        WriterHealth { waiting: queue.len() + queue.writing, ..queue.health.clone() }
    }

    /// Rings when a mail entry has been committed.
    pub fn mail(&self) -> Arc<Notify> {
        Arc::clone(&self.0.mail)
    }
}

#[derive(Debug, Default)]
struct Shared {
    queue: Mutex<Queue>,
    filled: Condvar,
    mail: Arc<Notify>,
}

impl Shared {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        // Nothing that holds the lock can leave the queue half changed.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

type Job = Box<dyn FnOnce(&mut Store) + Send>;

/// Whatever ends the thread, nobody waits for it any longer.
struct End(Arc<Shared>);

impl Drop for End {
    fn drop(&mut self) {
        let mut queue = self.0.queue();
        queue.ended = true;
        queue.jobs.clear();
    }
}

/// What waits. It is always taken as a whole, so of a source's positions only the last matters.
#[derive(Default)]
struct Queue {
    effects: Vec<Effect>,
    positions: HashMap<String, Position>,
    /// Bytes of memory that `effects` take, roughly.
    weight: usize,
    jobs: Vec<Job>,
    /// Effects that the writer has taken.
    writing: usize,
    closing: bool,
    ended: bool,
    health: WriterHealth,
}

impl std::fmt::Debug for Queue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Queue").field("effects", &self.effects.len()).finish_non_exhaustive()
    }
}

impl Queue {
    /// From here on only the essence is kept: some 100,000 bans.
    const ESSENCE: usize = 32 << 20;
    /// From here on nothing is.
    const FULL: usize = 64 << 20;

    fn push(&mut self, effect: Effect) {
        let effect = match effect {
            Effect::Position(position) => {
                self.positions.insert(position.source.clone(), position);
                return;
            }
            Effect::Forgotten { source } => {
                self.positions.remove(&source);
                Some(Effect::Forgotten { source })
            }
            effect if self.weight < Self::ESSENCE => Some(effect),
            effect if self.weight < Self::FULL => essence(effect),
            _ => None,
        };
        match effect {
            Some(effect) => {
                self.weight += effect.weight();
                self.effects.push(effect);
            }
            None => self.health.let_go += 1,
        }
    }

    fn len(&self) -> usize {
        self.effects.len() + self.positions.len()
    }

    fn take(&mut self) -> Vec<Effect> {
        self.weight = 0;
        let mut taken = std::mem::take(&mut self.effects);
        taken.extend(self.positions.drain().map(|(_source, position)| Effect::Position(position)));
        self.writing = taken.len();
        taken
    }

    /// What couldn't be written stands before what came since.
    fn put_back(&mut self, taken: Vec<Effect>) {
        let effects = std::mem::take(&mut self.effects);
        let positions = std::mem::take(&mut self.positions).into_values().map(Effect::Position);
        self.weight = 0;
        self.writing = 0;
        for effect in taken.into_iter().chain(effects).chain(positions) {
            self.push(effect);
        }
    }
}

/// What of an effect has to be kept whatever happens.
fn essence(effect: Effect) -> Option<Effect> {
    match effect {
        Effect::Banned { order, evidence: _ } => {
            Some(Effect::Banned { order, evidence: Evidence::default() })
        }
        Effect::Position(_)
        | Effect::Forgotten { .. }
        | Effect::Standing { .. }
        | Effect::Offences(_)
        | Effect::Checkpoint(_)
        | Effect::Sessions(_)
        | Effect::Awaited { .. }
        | Effect::Clock { .. }
        | Effect::Unbanned { .. }
        | Effect::Lapsed { .. }
        | Effect::Allowed(_)
        | Effect::Disallowed { .. } => Some(effect),
        Effect::Late { .. } | Effect::Alert(_) | Effect::Counts { .. } | Effect::Mail(_) => None,
    }
}

/// The thread's own.
struct Life {
    store: Store,
    retention: Retention,
    shared: Arc<Shared>,
    /// The database has to be renewed before anything can be written.
    damaged: bool,
    /// How often it was looked for what can go.
    looks: u32,
}

impl Life {
    const PAUSE: Duration = Duration::from_millis(200);
    const PAUSE_MAX: Duration = Duration::from_secs(30);
    const SHRINK_EVERY: Duration = Duration::from_secs(60);
    /// The old is looked for so many times more seldom than the size is.
    const FORGET_EVERY: u32 = 15;
    /// Attempts at the end of life.
    const LAST_ATTEMPTS: u32 = 3;

    fn run(mut self) {
        let mut failures = 0;
        let mut forget_at = Instant::now();
        loop {
            let (effects, jobs, closing) = self.wait(forget_at, failures);
            match self.write(&effects) {
                Ok(mail) => {
                    failures = 0;
                    let mut queue = self.shared.queue();
                    queue.writing = 0;
                    queue.health.failing = None;
                    drop(queue);
                    if mail {
                        self.shared.mail.notify_one();
                    }
                }
                Err(error) => {
                    failures += 1;
                    self.failed(&error, effects, failures);
                }
            }
            for job in jobs {
                job(&mut self.store);
            }
            if forget_at <= Instant::now() {
                forget_at = Instant::now() + self.forget();
            }
            if closing && self.ended(failures) {
                return;
            }
        }
    }

    /// Waits for something to do. After a failure it waits the pause out, but for calls: they get their
    /// own answer from the disk.
    fn wait(&self, forget_at: Instant, failures: u32) -> (Vec<Effect>, Vec<Job>, bool) {
        let pause = (Self::PAUSE * 2_u32.saturating_pow(failures.min(16).saturating_sub(1)))
            .min(Self::PAUSE_MAX);
        let retry_at = (failures > 0).then(|| Instant::now() + pause);
        let mut queue = self.shared.queue();
        loop {
            let now = Instant::now();
            let may_write = retry_at.is_none_or(|at| at <= now);
            let something = !queue.jobs.is_empty()
                || queue.closing
                || (may_write && queue.len() > 0)
                || forget_at <= now;
            if something {
                let closing = queue.closing;
                return (queue.take(), std::mem::take(&mut queue.jobs), closing);
            }
            let until = retry_at.filter(|at| *at > now).map_or(forget_at, |at| at.min(forget_at));
            queue = self
                .shared
                .filled
                .wait_timeout(queue, until.saturating_duration_since(now))
                .map_or_else(|poisoned| poisoned.into_inner().0, |(queue, _timeout)| queue);
        }
    }

    /// Whether there was mail among them.
    fn write(&mut self, effects: &[Effect]) -> Result<bool, StoreError> {
        if let Some(opened) = self.store.take_over()? {
            tracing::info!("The database can be used again.");
            if opened.created {
                let aside = opened.set_aside.map(|aside| aside.display().to_string());
                self.shared.queue().health.renewed = Some((Timestamp::now(), aside));
            }
        }
        if self.damaged {
            let aside = self.store.renew()?;
            self.damaged = false;
            let aside = aside.display().to_string();
            tracing::error!(%aside, "Set a damaged database aside and began a fresh one.");
            self.shared.queue().health.renewed = Some((Timestamp::now(), Some(aside)));
        }
        if effects.is_empty() {
            return Ok(false);
        }
        self.store.commit(effects).map(|committed| committed.mail > 0)
    }

    fn failed(&mut self, error: &StoreError, effects: Vec<Effect>, failures: u32) {
        self.damaged |= error.is_corrupt();
        if failures.is_power_of_two() {
            tracing::error!(%error, failures, waiting = effects.len(), "Can't write the database; trying on.");
        }
        let mut queue = self.shared.queue();
        queue.put_back(effects);
        let since = queue.health.failing.take().map_or_else(Timestamp::now, |(since, _)| since);
        queue.health.failing = Some((since, error.to_string()));
    }

    /// Forgets a step's worth; gives the time until the next.
    fn forget(&mut self) -> Duration {
        if self.damaged || self.store.stands_in().is_some() {
            return Self::SHRINK_EVERY;
        }
        let old = match self.looks % Self::FORGET_EVERY {
            0 => self.store.forget(&self.retention, Timestamp::now()),
            _ => Ok(false),
        };
        match old.and_then(|more| Ok(self.store.shrink(&self.retention)? || more)) {
            Ok(true) => Self::PAUSE,
            Ok(false) => {
                self.looks = self.looks.wrapping_add(1);
                Self::SHRINK_EVERY
            }
            Err(error) => {
                tracing::warn!(%error, "Can't forget the old.");
                self.damaged |= error.is_corrupt();
                self.looks = self.looks.wrapping_add(1);
                Self::SHRINK_EVERY
            }
        }
    }

    /// Nothing is left, or the disk doesn't take it.
    fn ended(&self, failures: u32) -> bool {
        let left = self.shared.queue().len();
        if left > 0 && failures >= Self::LAST_ATTEMPTS {
            tracing::error!(left, "Ended with effects that couldn't be written.");
            return true;
        }
        left == 0
    }
}
