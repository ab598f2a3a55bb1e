//! The kernel side at a start: what attaches, what is refused, and what an earlier daemon left.

use super::announcer::FromKernel;
use super::health::Health;
use super::pipeline::Enforcement;
use super::{DaemonError, Options, UNCONFIRMED, desk, probation};
use crate::blocklist::{
    self, Blocklist, BlocklistError, Clock, Options as BlocklistOptions, Pinned, Probation,
};
use crate::config::{Config, Mode, XdpMode};

/// Drops a second and CPU that the kernel announces to us: enough to see the first of each ban.
const EVENTS_PER_SECOND: u32 = 64;

/// The kernel side, where bans are to be made.
pub(super) fn enforcement(
    config: &Config,
    options: &Options,
    interfaces: &[String],
    health: &Health,
) -> Result<(Enforcement, Option<FromKernel>, bool), DaemonError> {
    if config.mode == Mode::Observe {
        if !options.dry_run {
            pass_everything(config)?;
        }
        if options.confirm_within.is_some() {
            tracing::warn!("Mode is observe: nobody is banned, so nothing waits to be confirmed.");
        }
        return Ok((Enforcement::Observe, None, false));
    }
    if interfaces.is_empty() {
        return Err(DaemonError::NoInterface);
    }
    let (mut blocklist, opened) = Blocklist::open(&BlocklistOptions {
        bpf_dir: config.bpf_dir.clone(),
        interfaces: interfaces.to_vec(),
        xdp_mode: config.xdp_mode,
        max: config.ban.max,
        events_per_second: EVENTS_PER_SECOND,
        confirm_within: options.confirm_within,
    })?;
    for attached in blocklist.interfaces() {
        tracing::info!(interface = attached.interface, mode = attached.mode.as_str(), "Attached.");
        if let Some(fallback) = &attached.fallback {
            health.note(
                "generic-mode",
                &attached.interface,
                generic_mode(&attached.interface, fallback),
            );
        }
    }
    // What another loader attaches may come after us.
    if blocklist.interfaces().is_empty()
        && config.xdp_mode != XdpMode::MapsOnly
        && !opened.unconfirmed
    {
        let reasons = opened.refused.iter().map(ToString::to_string).collect();
        return Err(DaemonError::NotProtected { reasons });
    }
    for refused in &opened.refused {
        health.degrade("interface-unprotected", refused.interface(), refused.to_string());
    }
    if let Some(kept) = opened.kept_max {
        health.note(
            "map-size",
            "",
            format!(
                "the pinned maps have room for {kept} entries, ban.max says {}: another size comes with the next boot",
                config.ban.max
            ),
        );
    }
    match opened.taken_over {
        Some(true) => tracing::info!("Took over the bans and counts of an older version."),
        Some(false) => tracing::warn!(
            "An older version's program still runs on an interface that refuses ours; the next start tries again."
        ),
        None => {}
    }
    for released in &opened.released {
        tracing::info!(interface = released, "Let go: it is no longer configured.");
    }
    if opened.panic {
        health.degrade("off", "", desk::PANIC.to_owned());
    } else if opened.off {
        blocklist.set_off(false)?;
        tracing::info!("The program passed everything; it enforces again.");
    }
    let clock = Clock::read();
    match blocklist.probation(clock.monotonic_ns()) {
        Probation::Over => {}
        Probation::Until(deadline) => {
            health.note(probation::PENDING, "", probation::pending(&clock, deadline));
        }
        Probation::Failed => health.degrade(probation::FAILED, "", UNCONFIRMED.to_owned()),
    }
    let log = blocklist.program_log();
    let drops = blocklist.drop_events().map(|drops| FromKernel { drops, log });
    Ok((Enforcement::Kernel(Box::new(blocklist)), drops, opened.panic || opened.unconfirmed))
}

/// Nothing that an earlier daemon has left attached drops anything while we only observe.
fn pass_everything(config: &Config) -> Result<(), DaemonError> {
    match Pinned::open(&config.bpf_dir).and_then(|mut pinned| pinned.set_off(true)) {
        Ok(()) => {
            tracing::info!(
                "Mode is observe: the program that is still attached passes everything."
            );
        }
        Err(BlocklistError::OlderLayout { .. }) => {
            let interfaces = blocklist::detach(&config.bpf_dir)?;
            tracing::info!(?interfaces, "Mode is observe: the older version's program is off.");
        }
        // Most often there is none.
        Err(_) => {}
    }
    Ok(())
}

/// What `status` says of a fallback.
pub(super) fn generic_mode(interface: &str, why: &str) -> String {
    format!(
        "{interface} runs the program in generic mode, which costs several times as much: {why}"
    )
}
