//! What is around us and may change while we run: addresses, routes, interfaces, resolvers, the relay's
//! address. A thread watches, and tells the engine's; that keeps allow list and interfaces in line.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::network;
use super::pipeline::{Command, Pipeline};
use crate::blocklist::{Clock, Mode, Probation};
use crate::host::{self, Facts, Watch};
use crate::policy::Network;
use crate::source::{CommandSender, SendError};

/// How long the end may go unnoticed.
const NAP: Timespec = Timespec { tv_sec: 0, tv_nsec: 200_000_000 };
/// Changes come in bursts: an interface, its addresses, its routes.
const BURST: Duration = Duration::from_millis(100);
/// What nobody announces (resolv.conf, the relay's address, an interface that refused) is looked at so
/// often.
const LOOK: Duration = Duration::from_secs(30);

/// What there is now.
#[derive(Debug)]
pub(super) struct News {
    pub(super) facts: Facts,
    pub(super) network: Network,
}

/// The thread; ends when the last clone is dropped.
#[derive(Clone)]
pub(super) struct Surroundings(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    relays: Mutex<Vec<String>>,
    stopped: Arc<AtomicBool>,
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.stopped.store(true, Relaxed);
    }
}

impl Surroundings {
    /// Watches from now on; `watch` was opened before the facts that are in use were asked for.
    pub(super) fn spawn(
        watch: Watch,
        relays: Vec<String>,
        known: Network,
        commands: CommandSender<Command>,
    ) -> Self {
        let stopped = Arc::new(AtomicBool::new(false));
        let known = (relays.clone(), known.relays);
        let shared = Arc::new(Shared { relays: Mutex::new(relays), stopped: Arc::clone(&stopped) });
        let weak = Arc::downgrade(&shared);
        let watcher = Watcher { watch, relays: known, commands };
        let started = thread::Builder::new().name("surroundings".to_owned()).spawn(move || {
            let relays = || weak.upgrade().map(|shared| shared.relays());
            watcher.run(relays, &stopped);
        });
        if let Err(error) = started {
            tracing::error!(%error, "No thread to watch the network; a restart follows its changes.");
        }
        Self(shared)
    }

    /// Others are written to.
    pub(super) fn set_relays(&self, relays: Vec<String>) {
        *self.0.relays.lock().unwrap_or_else(PoisonError::into_inner) = relays;
    }
}

impl Shared {
    fn relays(&self) -> Vec<String> {
        self.relays.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

struct Watcher {
    watch: Watch,
    /// Relay and webhook, and their addresses as far as they were ever known.
    relays: (Vec<String>, Vec<std::net::IpAddr>),
    commands: CommandSender<Command>,
}

impl Watcher {
    fn run(mut self, relays: impl Fn() -> Option<Vec<String>>, stopped: &AtomicBool) {
        let mut looked = Instant::now();
        while !stopped.load(Relaxed) {
            let polled = poll(&mut [PollFd::new(&self.watch, PollFlags::IN)], Some(&NAP));
            let changed = match (polled, self.watch.changed()) {
                (Ok(_) | Err(rustix::io::Errno::INTR), Ok(changed)) => changed,
                (Err(error), _) => return given_up(&error),
                (_, Err(error)) => return given_up(&error),
            };
            if changed {
                thread::sleep(BURST);
            } else if looked.elapsed() < LOOK {
                continue;
            }
            let Some(relays) = relays() else { return };
            let begun = Instant::now();
            match self.look(relays) {
                Ok(news) => match self.commands.send(Command::Surroundings(Box::new(news))) {
                    Err(SendError::Closed) => return,
                    // Looked at again soon enough.
                    Ok(()) | Err(SendError::Full) => looked = Instant::now(),
                },
                Err(error) => tracing::warn!(%error, "The network can't be looked at; trying on."),
            }
            // A router's million routes take a while to list, and change all the time.
            thread::sleep((begun.elapsed() * 10).min(LOOK));
        }
    }

    fn look(&mut self, urls: Vec<String>) -> Result<News, host::HostError> {
        let facts = host::facts()?;
        let found: Vec<_> = urls.iter().map(|url| network::relays(url)).collect();
        let complete = found.iter().all(Option::is_some);
        // A resolver that is down doesn't take the relay off the allow list.
        if complete || self.relays.0 != urls {
            self.relays = (urls, found.into_iter().flatten().flatten().collect());
        }
        let network = network::with_relays(&facts, self.relays.1.clone());
        Ok(News { facts, network })
    }
}

fn given_up(error: &dyn std::error::Error) {
    tracing::error!(%error, "The network can't be watched any more; a restart follows its changes.");
}

impl Pipeline {
    /// Keeps allow list and interfaces in line with what there is now.
    pub(super) fn surroundings(&mut self, news: &News) {
        if self.parts.engine.policy_mut().set_network(&news.network) {
            match self.sync_allowed() {
                Ok(_) => {
                    self.parts.health.clear("allow-list", "");
                    tracing::info!("The network has changed; the allow list follows it.");
                }
                Err(error) => self.parts.health.degrade(
                    "allow-list",
                    "",
                    format!("{error}: the kernel's allow list doesn't follow the network"),
                ),
            }
        }
        if self.parts.config.interfaces.is_empty() {
            self.follow_defaults(&news.facts);
        }
        self.attach_missing(&news.facts);
    }

    /// Protects the interfaces that the configuration names, and lets go of others; what changed.
    pub(super) fn want_interfaces(&mut self, facts: &Facts) -> Vec<String> {
        let configured = &self.parts.config.interfaces;
        if configured.is_empty() {
            self.follow_defaults(facts);
        } else {
            self.parts.interfaces.clone_from(configured);
        }
        let mut changes = self.attach_missing(facts);
        let wanted = &self.parts.interfaces;
        let Some(blocklist) = self.parts.enforcement.kernel() else { return changes };
        if !blocklist.interfaces().iter().any(|attached| wanted.contains(&attached.interface)) {
            changes.push(
                "no interface that is wanted could be protected, so the others stay".to_owned(),
            );
            return changes;
        }
        match blocklist.keep_only(wanted) {
            Ok(released) => {
                for interface in released {
                    self.parts.health.clear("interface-unprotected", &interface);
                    self.parts.health.clear("generic-mode", &interface);
                    changes.push(format!("interface {interface} let go"));
                }
            }
            Err(error) => changes.push(error.to_string()),
        }
        self.parts.health.clear_unless("interface-unprotected", |name| {
            wanted.iter().any(|wanted| wanted == name)
        });
        changes
    }

    /// Without configured ones the interfaces are those of the default routes. One that no longer has
    /// such a route goes on being protected as long as it is there.
    fn follow_defaults(&mut self, facts: &Facts) {
        let Self { parts, .. } = self;
        parts.interfaces.retain(|name| {
            let stays = facts.default_interfaces.contains(name) || facts.link(name).is_some();
            if !stays {
                parts.health.clear("interface-unprotected", name);
            }
            stays
        });
        for name in &facts.default_interfaces {
            if !parts.interfaces.contains(name) {
                parts.interfaces.push(name.clone());
            }
        }
    }

    /// Attaches to each wanted interface that isn't protected; which those were.
    fn attach_missing(&mut self, facts: &Facts) -> Vec<String> {
        let mut changes = Vec::new();
        let Self { parts, .. } = self;
        let Some(blocklist) = parts.enforcement.kernel() else { return changes };
        if blocklist.probation(Clock::read().monotonic_ns()) == Probation::Failed {
            return changes;
        }
        for name in &parts.interfaces {
            let known = blocklist.interfaces().iter().find(|attached| attached.interface == *name);
            let sound = known.zip(facts.link(name)).is_some_and(|(attached, link)| {
                // What another loader has attached it may take off, or others may: looked at anew.
                attached.mode != Mode::MapsOnly
                    && attached.ifindex == link.index
                    && link.xdp.is_some()
            });
            if sound {
                parts.health.clear("interface-unprotected", name);
                continue;
            }
            let was_fed = known.is_some_and(|attached| attached.mode == Mode::MapsOnly);
            match blocklist.attach(name) {
                Ok(attached) if was_fed && attached.mode == Mode::MapsOnly => {}
                Ok(attached) => {
                    let mode = attached.mode.as_str();
                    tracing::info!(interface = name, mode, "Attached.");
                    changes.push(format!("interface {name} attached ({mode})"));
                    parts.health.clear("interface-unprotected", name);
                    match &attached.fallback {
                        Some(why) => {
                            parts.health.note(
                                "generic-mode",
                                name,
                                super::enforcement::generic_mode(name, why),
                            );
                        }
                        None => parts.health.clear("generic-mode", name),
                    }
                }
                Err(error) => {
                    parts.health.degrade("interface-unprotected", name, error.to_string());
                }
            }
        }
        changes
    }
}
