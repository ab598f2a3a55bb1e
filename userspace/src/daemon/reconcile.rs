//! At start: what the database knows and what the kernel holds become one.
//!
//! The kernel's entries are adopted with their counts. What only the database knows (after a reboot) is
//! restored with the remaining time. What only the kernel knows goes on, with origin `adopted`.

use std::collections::HashMap;

use super::DaemonError;
use super::health::Health;
use super::logline::UnbanLine;
use super::pipeline::Enforcement;
use crate::blocklist::{Clock, Expiry, KernelBan, Wanted};
use crate::config::Config;
use crate::engine::Engine;
use crate::event::{BanOrder, Origin, Target, Timestamp, Ttl};
use crate::policy::Past;
use crate::store::{Effect, Store};

/// Gives the bans that stand.
pub(super) fn bring_together(
    engine: &mut Engine,
    enforcement: &mut Enforcement,
    store: &mut Store,
    config: &Config,
    health: &Health,
) -> Result<HashMap<Target, BanOrder>, DaemonError> {
    let now = Timestamp::now();
    let clock = Clock::read();
    // Before the bans: one of what a person allowed doesn't come back.
    for allowed in store.read().allowed()? {
        if allowed.expires.is_none_or(|expires| expires > now) {
            engine.policy_mut().allow(allowed.target, allowed.expires);
        }
    }
    let mut bans = HashMap::new();
    // A target may have several, of different ports: all of them hold, the latest is what is told.
    let mut standing = Vec::new();
    store.read().bans(|stored| {
        let order = stored.order;
        if order.expires().is_none_or(|expires| expires > now) {
            standing.push((order.target, order.ports.clone(), order.expires()));
            let is_later = |known: &BanOrder| known.since > order.since;
            if !bans.get(&order.target).is_some_and(is_later) {
                bans.insert(order.target, order);
            }
        }
    })?;
    let mut past = Vec::new();
    store.read().offences(now.saturating_sub(config.ban.forget_after), |offences| {
        past.push(Past {
            target: offences.target,
            ports: None,
            expires: Some(offences.last),
            offences: offences.count,
        });
    })?;

    if let Some(blocklist) = enforcement.kernel() {
        let allowed = engine.policy().allowed();
        let outcome = blocklist.set_allowed(&allowed)?;
        let mut lifted = outcome.removed;
        bans.retain(|target, _| {
            let stays = engine.policy().why_covered(*target).is_none();
            if !stays && lifted.iter().all(|ban| ban.target != *target) {
                lifted.push(never_dropped(*target));
            }
            stays
        });
        store.commit(&lifted.iter().map(|ban| forgiven(ban, now)).collect::<Vec<_>>())?;
        standing.retain(|(target, ..)| bans.contains_key(target));
        let wanted = standing.iter().map(|(target, ports, expires)| Wanted {
            target: *target,
            ports: ports.clone(),
            expires: clock.expiry(*expires),
        });
        let restored = blocklist.restore(wanted)?;
        for (target, error) in &restored.refused {
            tracing::warn!(%target, %error, "A ban couldn't be restored.");
            bans.remove(target);
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
        blocklist.each(|entry| {
            if !entry.expires.lapsed(clock.monotonic_ns()) {
                bans.entry(entry.target).or_insert_with(|| BanOrder {
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
                });
            }
        })?;
        if restored.added > 0 || !bans.is_empty() {
            tracing::info!(
                standing = bans.len(),
                restored = restored.added,
                "Bans of earlier are in force."
            );
        }
    }
    engine.policy_mut().restore(past);
    // An adopted ban may be one whose line comes again, since we died before it was committed: then the
    // line shall ban it anew, with its reason, its mail and its place in the history.
    for (target, ports, expires) in standing {
        let Some(BanOrder { offences, .. }) = bans.get(&target) else { continue };
        engine.policy_mut().restore([Past { target, ports, expires, offences: *offences }]);
    }
    Ok(bans)
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
