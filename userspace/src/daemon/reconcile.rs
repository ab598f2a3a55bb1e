//! At start: what the database knows and what the kernel holds become one.
//!
//! The kernel's entries are adopted with their counts. What only the database knows (after a reboot) is
//! restored with the remaining time. What only the kernel knows goes on, with origin `adopted`.

use std::collections::HashSet;
use std::collections::hash_map::Entry;
use std::mem;
use std::panic::resume_unwind;
use std::sync::mpsc::sync_channel;
use std::thread;

use super::DaemonError;
use super::health::Health;
use super::logline::UnbanLine;
use super::pipeline::Enforcement;
use crate::blocklist::{Blocklist, Clock, Expiry, KernelBan, Restored, Wanted};
use crate::config::Config;
use crate::engine::Engine;
use crate::event::{BanOrder, Origin, Target, Timestamp, Ttl};
use crate::policy::Past;
use crate::seeded::HashMap;
use crate::store::{Effect, Store, StoredBan};

/// Bans that are handed on at once.
const BATCH: usize = 1_000;
/// So many times that may be read ahead.
const AHEAD: usize = 16;

/// What it came to.
pub(super) struct Together {
    /// Those that stand.
    pub(super) bans: HashMap<Target, BanOrder>,
    /// To be written down.
    pub(super) effects: Vec<Effect>,
}

/// `fresh`: the database has just been begun, so that what the kernel holds is new to it.
pub(super) fn bring_together(
    engine: &mut Engine,
    enforcement: &mut Enforcement,
    store: &Store,
    config: &Config,
    health: &Health,
    fresh: bool,
) -> Result<Together, DaemonError> {
    let now = Timestamp::now();
    let clock = Clock::read();
    // Before the bans: one of what a person allowed doesn't come back.
    for allowed in store.read().allowed()? {
        if allowed.expires.is_none_or(|expires| expires > now) {
            engine.policy_mut().allow(allowed.target, allowed.expires);
        }
    }
    let mut lifted = Vec::new();
    let mut found = 0;
    if let Some(blocklist) = enforcement.kernel() {
        lifted = blocklist.set_allowed(&engine.policy().allowed())?.removed;
        found = blocklist.len();
    }
    let (stored, restored) = read_bans(enforcement.kernel(), store, engine, now, &clock)?;
    let Stored { mut bans, mut standing, covered } = stored;
    let mut gone: HashSet<Target> = lifted.iter().map(|ban| ban.target).collect();
    lifted.extend(covered.into_iter().filter(|target| gone.insert(*target)).map(never_dropped));
    let mut effects: Vec<Effect> = lifted.iter().map(|ban| forgiven(ban, now)).collect();
    let mut offenders = Vec::new();
    store.read().offences(now.saturating_sub(config.ban.forget_after), |offences| {
        offenders.push(Past {
            target: offences.target,
            ports: None,
            expires: Some(offences.last),
            offences: offences.count,
        });
    })?;

    if let (Some(blocklist), Some(restored)) = (enforcement.kernel(), restored) {
        for (target, error) in &restored.refused {
            tracing::warn!(%target, %error, "A ban couldn't be restored.");
            bans.remove(target);
        }
        if !restored.refused.is_empty() {
            standing.retain(|past| bans.contains_key(&past.target));
        }
        if let Some((_, error)) = restored.refused.first() {
            health.degrade(
                "restore-incomplete",
                "",
                format!(
                    "{} bans couldn't be restored, the first because: {error}",
                    restored.refused.len()
                ),
            );
        }
        let mut adopt = |entry: KernelBan| {
            let Entry::Vacant(free) = bans.entry(entry.target) else { return };
            if entry.expires.lapsed(clock.monotonic_ns()) {
                return;
            }
            let order = free.insert(adopted(entry, now, &clock));
            if fresh {
                // Their lines don't come again: where those were read to is unknown as well.
                standing.push(past(order));
                effects.push(Effect::Standing { order: order.clone() });
            }
        };
        // After a reboot it holds nothing but what we have just put there.
        if found > 0 {
            blocklist.each(&mut adopt)?;
        }
        if restored.added > 0 || !bans.is_empty() {
            tracing::info!(
                standing = bans.len(),
                restored = restored.added,
                "Bans of earlier are in force."
            );
        }
    }
    engine.policy_mut().restore(offenders);
    // An adopted ban may be one whose line comes again, since we died before it was committed: then the
    // line shall ban it anew, with its reason, its mail and its place in the history.
    engine.policy_mut().restore(standing);
    Ok(Together { bans, effects })
}

/// A ban that only the kernel knew.
fn adopted(entry: KernelBan, now: Timestamp, clock: &Clock) -> BanOrder {
    BanOrder {
        target: entry.target,
        since: now,
        ttl: clock
            .timestamp(entry.expires)
            .map_or(Ttl::Permanent, |expires| Ttl::For(expires.since(now))),
        ports: entry.ports,
        origin: Origin::Adopted,
        rule: None,
        level: None,
        reason: "found in the kernel, unknown to the database".to_owned(),
        offences: 0,
    }
}

fn past(order: &BanOrder) -> Past {
    Past {
        target: order.target,
        ports: order.ports.clone(),
        expires: order.expires(),
        offences: order.offences,
    }
}

/// What the database says of bans.
#[derive(Default)]
struct Stored {
    bans: HashMap<Target, BanOrder>,
    /// A target may have several, of different ports: all of them hold, the latest is what is told.
    standing: Vec<Past>,
    /// Wholly allowed by now.
    covered: Vec<Target>,
}

impl Stored {
    /// Takes one of them, which stands.
    fn take(&mut self, order: BanOrder) {
        let target = order.target;
        self.standing.push(past(&order));
        match self.bans.entry(target) {
            Entry::Vacant(free) => drop(free.insert(order)),
            Entry::Occupied(mut known) => {
                if known.get().since <= order.since {
                    known.insert(order);
                }
            }
        }
    }

    fn of(orders: Vec<BanOrder>) -> Self {
        let mut stored = Self::default();
        stored.bans.reserve(orders.len());
        stored.standing.reserve(orders.len());
        for order in orders {
            stored.take(order);
        }
        if stored.standing.len() > stored.bans.len() {
            // What counts against it is what the latest of its bans says.
            for past in &mut stored.standing {
                past.offences = stored.bans.get(&past.target).map_or(0, |order| order.offences);
            }
        }
        stored
    }
}

/// Reads the bans, and has them enter the kernel at the same time: each takes about as long as the other. What
/// else is made of them waits until they are in force.
fn read_bans(
    blocklist: Option<&mut Blocklist>,
    store: &Store,
    engine: &Engine,
    now: Timestamp,
    clock: &Clock,
) -> Result<(Stored, Option<Restored>), DaemonError> {
    let stands = |order: &BanOrder| order.expires().is_none_or(|expires| expires > now);
    let mut orders = Vec::new();
    let Some(blocklist) = blocklist else {
        store.read().bans(|row| orders.extend(Some(begun(row, now)).filter(stands)))?;
        return Ok((Stored::of(orders), None));
    };
    let mut covered = Vec::new();
    let (sender, receiver) = sync_channel::<Vec<Wanted>>(AHEAD);
    thread::scope(|scope| {
        let feeding = thread::Builder::new()
            .name("restore".to_owned())
            .spawn_scoped(scope, move || blocklist.restore(receiver.into_iter().flatten()))
            .map_err(|source| DaemonError::System { what: "a thread for the bans", source })?;
        let mut batch = Vec::with_capacity(BATCH);
        let read = store.read().bans(|row| {
            let order = begun(row, now);
            if !stands(&order) {
                return;
            }
            let target = order.target;
            if engine.policy().why_covered(target).is_some() {
                covered.push(target);
                return;
            }
            let expires = clock.expiry(order.expires());
            batch.push(Wanted { target, ports: order.ports.clone(), expires });
            orders.push(order);
            if batch.len() == BATCH {
                // Where it has given up, its error says why.
                drop(sender.send(mem::replace(&mut batch, Vec::with_capacity(BATCH))));
            }
        });
        drop(sender.send(batch));
        drop(sender);
        let restored = feeding.join().unwrap_or_else(|panic| resume_unwind(panic))?;
        read?;
        Ok((Stored { covered, ..Stored::of(orders) }, Some(restored)))
    })
}

/// A ban doesn't begin in the future: where the clock was set back, what is left of it isn't more than all.
fn begun(row: StoredBan, now: Timestamp) -> BanOrder {
    let order = row.order;
    BanOrder { since: order.since.min(now), ..order }
}

/// A ban that only the database knew.
fn never_dropped(target: Target) -> KernelBan {
    KernelBan {
        target,
        expires: Expiry::Permanent,
        ports: None,
        every_port_until: None,
        packets: 0,
        bytes: 0,
        last_seen_ns: None,
        holds_allowed: false,
    }
}

/// The end of a ban whose target is allowed now.
fn forgiven(ban: &KernelBan, at: Timestamp) -> Effect {
    let KernelBan { target, packets, bytes, .. } = *ban;
    tracing::info!("{}", UnbanLine { target, by: "allow", packets, bytes });
    Effect::Unbanned { target, at, by: Origin::Hand, forgive: true, packets, bytes }
}
