//! Threads, signals, life and death.
//!
//! [`run`] is the order of a start: nothing is read before what the kernel and the database hold has been
//! brought together, and nobody is told that the daemon is ready before every source has its place.
#![forbid(unsafe_code)]

mod allow;
mod announcer;
mod checkpoint;
mod clock;
mod confine;
mod desk;
mod echoes;
mod enforcement;
mod evidence;
mod globs;
mod habit;
mod health;
mod live;
mod lock;
mod logline;
mod measure;
mod network;
mod pipeline;
mod probation;
mod rebuild;
mod reconcile;
mod reload;
mod sources;
mod surroundings;
mod suspects;
mod telling;
mod upkeep;
mod vigilance;
mod way_in;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jiff::tz::TimeZone;
use tokio::sync::{mpsc, watch};

pub use self::desk::{listed, not_banned};
use self::enforcement::enforcement;
use self::evidence::Recent;
use self::health::Health;
use self::live::{Live, Signals, live};
use self::lock::{Lock, LockError};
pub use self::network::of as network_of;
use self::pipeline::{Enforcement, Parts, Pipeline};
pub use self::probation::{NOTHING as NOTHING_TO_CONFIRM, UNCONFIRMED};
use self::reconcile::Together;
use self::reload::{Job, Reloader};
use self::sources::Positions;
use self::sources::Sources;
pub(crate) use self::sources::{anybodys, untrusted};
use self::surroundings::Surroundings;
use crate::blocklist::{BlocklistError, Clock};
use crate::config::{self, Config, ConfigError, Loaded, Mode};
use crate::control::ServerError;
use crate::engine::Engine;
use crate::host::{self, HostError, Watch};
use crate::mail::{Channel, Courier, MailHealth, Policy as MailPolicy};
use crate::policy::{AllowFiles, SuricataProof};
use crate::rules::{ListWatch, PackErrors, Packs};
use crate::source::{Inbox, PositionError, SpawnError};
use crate::store::{Effect, Retention, Store, StoreError, Writer, salvage};

/// Effects in one transaction at start.
const AT_ONCE: usize = 10_000;

/// What the command line decides.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The configuration; `None`: the default one.
    pub config: Option<PathBuf>,
    /// Nothing is loaded into the kernel.
    pub dry_run: bool,
    /// Instead of the configured interfaces, unless empty.
    pub interfaces: Vec<String>,
    /// Somebody has to confirm this start within that time, or it ends by itself.
    pub confirm_within: Option<Duration>,
}

/// Why the daemon doesn't run.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    /// The configuration is invalid, and no good one was ever used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Another daemon lives.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// The packs inside the binary are left out, and the admin's own are invalid.
    #[error(transparent)]
    Packs(#[from] PackErrors),
    /// The database can't be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A position in the database isn't one.
    #[error(
        "the database holds a position of source {name} that can't be read: move the database away, or use the version that wrote it"
    )]
    Position {
        /// The source's name.
        name: String,
        /// What is wrong with it.
        #[source]
        source: PositionError,
    },
    /// The kernel side can't be loaded.
    #[error(transparent)]
    Blocklist(#[from] BlocklistError),
    /// There is no interface to protect.
    #[error(
        "this host has no default route, so its outward interface can't be told: name it by --iface or in `interfaces`"
    )]
    NoInterface,
    /// No interface could be protected.
    #[error("not one interface is protected: {}", reasons.join("; "))]
    NotProtected {
        /// Why, by interface.
        reasons: Vec<String>,
    },
    /// Facts about this host can't be had.
    #[error(transparent)]
    Host(#[from] HostError),
    /// A source's thread can't be started.
    #[error(transparent)]
    Source(#[from] SpawnError),
    /// The control socket can't be made.
    #[error(transparent)]
    Control(#[from] ServerError),
    /// The system gives us no thread, socket or signal.
    #[error("the system refuses {what}")]
    System {
        /// What was asked for.
        what: &'static str,
        /// What it said.
        #[source]
        source: io::Error,
    },
    /// The engine's thread ended by itself.
    #[error(
        "the engine ended unexpectedly; please report what was logged before. Bans go on in the kernel"
    )]
    EngineEnded,
}

/// Runs until SIGTERM or SIGINT.
///
/// # Errors
///
/// [`DaemonError`]; what the kernel enforced before goes on.
pub fn run(options: &Options) -> Result<(), DaemonError> {
    let loaded = config::load_or_last_good(options.config.as_deref())?;
    let health = Health::default();
    if let Some(error) = &loaded.degraded {
        health.degrade(
            "configuration-invalid",
            "",
            format!("{error}; the last good configuration is in use: mend the file and restart"),
        );
    }
    let config = effective(&loaded, options);
    let _lock = Lock::take(&config.run_dir)?;
    let packs = Arc::new(packs(&config, &health)?);
    let left = confine::confine(&config, options, packs.rules(), &health);
    // From here on a signal waits for its turn instead of ending us in the middle of a start.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .map_err(|source| DaemonError::System { what: "a runtime", source })?;
    let signals = {
        let _inside = runtime.enter();
        Signals::catch()?
    };
    let (mut store, opened) = Store::open_or_stand_in(&config.state_dir)?;
    if let Some(why) = opened.unusable {
        health.degrade("database-failing", "", failing(&why));
    }
    if let Some(aside) = opened.set_aside {
        health.degrade("database-damaged", "", damaged(&aside));
        write_down(&mut store, salvage(&aside));
    }
    let wall = clock::bring_up_to_date(&mut store, &Clock::read());
    if loaded.degraded.is_none()
        && let Err(error) = loaded.remember()
    {
        health.note("last-good", "", error.to_string());
    }

    // Before the facts, so that no change falls between.
    let watch = Watch::open()?;
    let facts = host::facts()?;
    let proof = SuricataProof::load(&config.suricata_rules)
        .unwrap_or_else(|_unreadable| SuricataProof::unknown());
    let network = network::of(&facts, &config);
    let mut engine =
        Engine::new(packs, &config, network.clone(), proof).in_zone(TimeZone::system());
    let lists = ListWatch::new(&engine.packs().rules().lists);
    engine.set_lists(lists.lists());
    let allow_files = AllowFiles::new(&config.allow_files);
    engine.policy_mut().set_allow_files(allow_files.nets());
    allow::tell_troubles(&allow_files, &health);
    let interfaces = if config.interfaces.is_empty() {
        facts.default_interfaces
    } else {
        config.interfaces.clone()
    };
    let (mut enforcement, drops, off) = enforcement(&config, options, &interfaces, &health)?;
    let mut known = known(&mut engine, &mut enforcement, &store, &config, &health, opened.created);
    if let Err(DaemonError::Store(error)) = &known
        && error.is_corrupt()
        && store.stands_in().is_none()
    {
        let aside = store.renew()?;
        health.degrade("database-damaged", "", damaged(&aside));
        write_down(&mut store, salvage(&aside));
        known = self::known(&mut engine, &mut enforcement, &store, &config, &health, true);
    }
    let (Together { bans, effects }, positions) = known?;
    let effects = write_down(&mut store, effects);

    let inbox = Inbox::new();
    let mut sources = Sources::default();
    let proof_known = !engine.policy().is_proof_unknown();
    // They are entered first: what is written while the past is read isn't missed.
    sources.follow(&config, positions.clone(), &inbox, &health, proof_known)?;
    let recent = rebuild::rebuild(&mut engine, store.read(), &sources, &positions, &config.state)
        .unwrap_or_else(|error| {
            tracing::warn!(%error, "Windows, scores and sessions can't be rebuilt.");
            Recent::default()
        });
    // What was long ago can't be confirmed.
    engine.policy_mut().confirm_sessions(Box::new(|peer, port| {
        host::connections(peer.into(), port).ok().map(|found| !found.is_empty())
    }));
    let (listener_dir, control_group) = (config.run_dir.clone(), config.control_group.clone());
    let (metrics, noted) = (config.metrics, health.clone());
    let writer = Writer::spawn(
        store,
        Retention {
            history: config.state.history,
            bytes: u64::from(config.state.megabytes) << 20,
            offences: config.ban.forget_after,
            ..Retention::default()
        },
    )
    .map_err(|source| DaemonError::System { what: "a thread for the database", source })?;
    writer.handle().push(effects);
    writer.handle().push(sources.taken_up(&positions));

    let host = hostname();
    let (courier, mail_health) = courier(&config, &host, &writer, &health);
    let commands = inbox.commands();
    let reloader = Reloader::spawn(Job {
        options: options.clone(),
        host,
        state_dir: config.state_dir.clone(),
        store: writer.handle(),
        health: health.clone(),
        commands: commands.clone(),
    })?;
    let (couriers, new_couriers) = mpsc::unbounded_channel();
    // The receiver is there.
    drop(couriers.send(courier));
    let surroundings =
        Surroundings::spawn(watch, network::partners(&config.mail), network, commands.clone());
    let pipeline = Pipeline::new(Parts {
        engine,
        lists,
        allow_files,
        enforcement,
        bans,
        sources,
        store: writer.handle(),
        mail: MailPolicy::new(&config.mail, TimeZone::system()),
        mail_health,
        health,
        config,
        interfaces,
        surroundings,
        couriers,
        off,
        recent,
        wall,
        left,
    });
    runtime.block_on(live(Live {
        signals,
        pipeline,
        inbox,
        commands,
        reloader,
        couriers: new_couriers,
        drops,
        listener_dir,
        control_group,
        first: opened.created,
        writer,
        metrics,
        health: noted,
    }))
}

/// What database and kernel know, brought together, and where sources were left.
fn known(
    engine: &mut Engine,
    enforcement: &mut Enforcement,
    store: &Store,
    config: &Config,
    health: &Health,
    fresh: bool,
) -> Result<(Together, Positions), DaemonError> {
    let positions = sources::positions(store.read())?;
    let together = reconcile::bring_together(engine, enforcement, store, config, health, fresh)?;
    Ok((together, positions))
}

/// Writes effects in pieces that may be large together; gives those that the disk doesn't take.
fn write_down(store: &mut Store, mut effects: Vec<Effect>) -> Vec<Effect> {
    while !effects.is_empty() {
        let piece = effects.len().min(AT_ONCE);
        if let Err(error) = store.commit(&effects[..piece]) {
            tracing::warn!(%error, "What the start has changed is written later.");
            break;
        }
        effects.drain(..piece);
    }
    effects
}

/// What `status` says of a database that was set aside.
fn damaged(aside: &Path) -> String {
    format!(
        "the database was damaged and is set aside as {}; bans go on from the kernel's maps, history begins anew, and so do offences that couldn't be read any more",
        aside.display()
    )
}

/// What `status` says of a database that can't be written.
fn failing(error: &str) -> String {
    format!(
        "{error}; bans go on, what happened is kept in memory and written when the disk works again"
    )
}

/// The configuration with what the command line decides.
fn effective(loaded: &Loaded, options: &Options) -> Config {
    let mut config = loaded.config.clone();
    if !options.interfaces.is_empty() {
        config.interfaces.clone_from(&options.interfaces);
    }
    if options.dry_run {
        config.mode = Mode::Observe;
    }
    config
}

/// The packs; where the admin's own are invalid, those inside the binary, loudly.
fn packs(config: &Config, health: &Health) -> Result<Packs, PackErrors> {
    let errors = match Packs::load(config.builtin_rules, &config.rules) {
        Ok(packs) => return Ok(packs),
        Err(errors) => errors,
    };
    if !config.builtin_rules {
        return Err(errors);
    }
    health.degrade(
        "packs-invalid",
        "",
        format!("{errors}; only the built-in packs are in use: run `ravelin check`, mend the pack, restart"),
    );
    Packs::load(true, &[])
}

/// Mail, unless `mail:` can't work; that doesn't keep the host from being protected.
fn courier(
    config: &Config,
    host: &str,
    writer: &Writer,
    health: &Health,
) -> (Option<Courier>, watch::Receiver<MailHealth>) {
    if Channel::of(&config.mail).is_empty() {
        // No mail, as configured.
        return (None, watch::channel(MailHealth::default()).1);
    }
    match Courier::new(&config.mail, host, writer.handle()) {
        Ok((courier, watching)) => (Some(courier), watching),
        Err(error) => {
            health.degrade("mail-misconfigured", "", error.to_string());
            (None, watch::channel(MailHealth::default()).1)
        }
    }
}

/// This host's name.
pub fn hostname() -> String {
    let name = rustix::system::uname();
    name.nodename().to_string_lossy().into_owned()
}
