//! The only room that knows aya: loads the XDP program, puts it on the interfaces, and keeps its maps.
//!
//! Maps and links are pinned: bans hold, and lapse, whether or not this process lives. So a start
//! adopts what is there and never drops it, and the end of a [`Blocklist`] changes nothing.
//!
//! | pinned | by |
//! |---|---|
//! | `<bpf_dir>/v2/BANS_V4` and the other maps of [`ravelin_common::map`] | layout version |
//! | `<bpf_dir>/links/<interface>` (dots as `%2E`) | interface |
//!
//! It is synchronous and has no thread: one engine owns it.

mod allow;
mod amend;
mod attach;
mod bans;
mod clock;
mod dispatched;
mod error;
mod events;
mod extent;
mod lapses;
mod maps;
mod nets;
mod object;
mod pinned;
mod pins;
mod place;
mod placement;
mod probation;
mod restore;
mod scopes;
mod stock;
mod survey;
mod sweep;
mod sys;
mod takeover;

use std::path::{Path, PathBuf};
use std::time::Duration;

use aya::programs::Xdp;
use aya::{Ebpf, EbpfLoader};
use ravelin_common::program::{AMEND, CARRY, RAVELIN};
use ravelin_common::{Entry, FLAG_HOLDS_ALLOWED, Reason, Settings, map};

use self::allow::Allow;
use self::attach::describe;
use self::extent::Extent;
use self::lapses::Lapses;
use self::maps::Maps;
use self::nets::Nets;
use self::pins::Pins;
use self::probation::PANIC;
use self::takeover::Older;
use crate::config::XdpMode;
use crate::event::{Ports, Target};

pub use self::allow::AllowOutcome;
pub use self::attach::{Attached, Mode};
pub use self::bans::Inserted;
pub use self::clock::{Clock, Expiry};
pub use self::error::{AttachError, BlocklistError};
pub use self::events::{DropEvents, ProgramLog};
pub use self::object::for_loaders as object;
pub use self::pinned::{Pinned, detach};
pub use self::probation::Probation;
pub use self::restore::{Restored, Wanted};
pub use self::survey::{Survey, is_on_bpffs, survey, trial};

/// Makes the folders of the pins, and mounts a BPF file system in its usual place where that is missing.
///
/// # Errors
/// As [`Blocklist::open`]'s, which does the same.
pub fn prepare(bpf_dir: &Path) -> Result<(), BlocklistError> {
    Pins::prepare(bpf_dir).map(drop)
}

/// What [`Blocklist::open`] needs to know.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Options {
    /// Where maps and links are pinned, on a BPF file system.
    pub bpf_dir: PathBuf,
    /// Interfaces to protect.
    pub interfaces: Vec<String>,
    /// How.
    pub xdp_mode: XdpMode,
    /// Entries in each exact map. Maps that are adopted keep their size ([`Opened::kept_max`]).
    pub max: u32,
    /// Drops a second and CPU that are announced through [`DropEvents`]; 0: none.
    pub events_per_second: u32,
    /// Somebody has to confirm this start within that time, or everything passes and the program comes off; a
    /// deadline that stands already stays.
    pub confirm_within: Option<Duration>,
}

/// What [`Blocklist::open`] found and did.
#[derive(Debug)]
#[must_use = "an interface that refused the program isn't protected"]
pub struct Opened {
    /// Bans that were in the kernel already; `None` where there were no maps.
    pub adopted: Option<usize>,
    /// The adopted exact maps have room for so many entries, and another number was asked for.
    /// Another size needs other maps: it comes with the next boot, or by detaching and removing
    /// `<bpf_dir>` while the daemon is down; the bans come back from the database.
    pub kept_max: Option<u32>,
    /// The program was told to pass everything by a daemon that only observed, and still is:
    /// [`Blocklist::set_off`].
    pub off: bool,
    /// It was told so by `ravelin panic` ([`Blocklist::set_panic`]), and stays so until a person ends it.
    pub panic: bool,
    /// Nobody confirmed an earlier start in time, so nothing was attached: [`Blocklist::try_again`].
    pub unconfirmed: bool,
    /// Interfaces that aren't protected, and why.
    pub refused: Vec<AttachError>,
    /// Interfaces that are no longer asked for and have been let go.
    pub released: Vec<String>,
    /// There were maps of an older layout: true where they are taken over and gone, false where their
    /// program still runs on an interface that refused ours; the next start tries again.
    pub taken_over: Option<bool>,
}

/// A ban as the kernel has it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct KernelBan {
    /// Address or prefix.
    pub target: Target,
    /// When it lapses, all of it.
    pub expires: Expiry,
    /// The ports that are banned until then; `None`: every one.
    pub ports: Option<Ports>,
    /// Every port is banned until this earlier moment.
    pub every_port_until: Option<Expiry>,
    /// Packets dropped by it.
    pub packets: u64,
    /// Bytes dropped by it, from the Ethernet header on.
    pub bytes: u64,
    /// When it last dropped one, in nanoseconds of the monotonic clock.
    pub last_seen_ns: Option<u64>,
    /// An allowed prefix lies inside it.
    pub holds_allowed: bool,
}

impl KernelBan {
    /// `extent`: what is banned; of the entry come the counts.
    fn new(target: Target, entry: &Entry, extent: Extent) -> Self {
        let expires = extent.last();
        let outlasting = extent.scoped.filter(|(_, until)| extent.every < Some(*until));
        Self {
            target,
            expires,
            every_port_until: extent.every.filter(|_| outlasting.is_some()),
            ports: outlasting.map(|(ports, _)| ports),
            packets: entry.packets,
            bytes: entry.bytes,
            last_seen_ns: (entry.last_seen_ns != 0).then_some(entry.last_seen_ns),
            holds_allowed: entry.flags & FLAG_HOLDS_ALLOWED != 0,
        }
    }
}

/// What became of packets, since the maps were made.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Counters([u64; Reason::COUNT as usize]);

impl Counters {
    /// Packets of this reason.
    pub const fn of(&self, reason: Reason) -> u64 {
        self.0[reason as usize]
    }

    /// Packets that went through.
    pub fn passed(&self) -> u64 {
        self.sum(true)
    }

    /// Packets that were dropped.
    pub fn dropped(&self) -> u64 {
        self.sum(false)
    }

    fn sum(&self, passed: bool) -> u64 {
        Reason::ALL
            .into_iter()
            .filter(|(reason, _)| reason.passed() == passed)
            .map(|(reason, _)| self.of(reason))
            .sum()
    }

    const fn add(&mut self, reason: Reason, packets: u64) {
        let count = &mut self.0[reason as usize];
        *count = count.saturating_add(packets);
    }
}

/// The blocklist in the kernel.
pub struct Blocklist {
    ebpf: Ebpf,
    pins: Pins,
    xdp_mode: XdpMode,
    maps: Maps,
    settings: Settings,
    attached: Vec<Attached>,
    events: Option<DropEvents>,
    allow: Allow,
    /// Prefixes are few and depend on each other: all of them are known here.
    nets: Nets,
    /// Addresses may be a million: of them only the lapses are.
    lapses_v4: Lapses<[u8; 4]>,
    lapses_v6: Lapses<[u8; 8]>,
    lapses_nets: Lapses<Target>,
    exact: usize,
    /// Those of them that are IPv6.
    exact_v6: usize,
    /// Exact bans that went since the prefilter was last made anew.
    gone: usize,
    suspended_ns: u64,
}

impl Blocklist {
    /// Loads the program inside this binary, adopts the pinned maps or makes new ones, and attaches to
    /// the interfaces or replaces the program in their pinned links.
    ///
    /// An interface that refuses is no error of this, but named in [`Opened::refused`]; see
    /// [`Blocklist::attach`] for trying again.
    ///
    /// # Errors
    /// Where there is no bpffs, what is pinned is of a newer layout or another shape, or the kernel
    /// doesn't take the program.
    pub fn open(options: &Options) -> Result<(Self, Opened), BlocklistError> {
        let pins = Pins::prepare(&options.bpf_dir)?;
        maps::check_pinned(&pins)?;
        let older = Older::open(&pins)?;
        let found_maps = older.is_some() || pins.map(map::BANS_V4).exists();

        let room = older.as_ref().map_or(Ok(0), Older::largest)?;
        let mut ebpf = load(Some(&pins), options.max.max(room))?;
        let mut take = |name: &'static str| {
            ebpf.take_map(name)
                .ok_or_else(|| BlocklistError::Object { what: format!("map `{name}`") })
        };
        let mut maps = Maps::assemble(&mut take)?;
        let events = maps::events(&mut take)?;
        let mut settings =
            Settings { events_per_second: options.events_per_second, ..maps.settings()? };
        if let Some(older) = &older {
            older.fill(&mut maps)?;
            settings.off = settings.off.max(older.off()?);
        }
        let clock = Clock::read();
        settings.off = probation::begin(settings.off, options.confirm_within, clock.monotonic_ns());
        let mut blocklist = Self {
            ebpf,
            pins,
            xdp_mode: options.xdp_mode,
            maps,
            settings,
            attached: Vec::new(),
            events: Some(DropEvents::new(events)),
            allow: Allow::default(),
            nets: Nets::default(),
            lapses_v4: Lapses::new(),
            lapses_v6: Lapses::new(),
            lapses_nets: Lapses::new(),
            exact: 0,
            exact_v6: 0,
            gone: 0,
            suspended_ns: clock.suspended_ns(),
        };
        blocklist.take_stock()?;

        let unconfirmed = blocklist.probation(clock.monotonic_ns()) == Probation::Failed;
        let interfaces = if unconfirmed { &[] } else { &options.interfaces[..] };
        let released = blocklist.release_others(interfaces)?;
        let refused =
            interfaces.iter().filter_map(|interface| blocklist.attach(interface).err()).collect();
        let taken_over = older.map(|older| blocklist.finish_takeover(older)).transpose()?;
        let kept = blocklist.maps.max_entries(map::BANS_V4)?;
        let opened = Opened {
            adopted: found_maps.then(|| blocklist.len()),
            kept_max: (kept != options.max).then_some(kept),
            off: blocklist.settings.off == probation::OBSERVED,
            panic: blocklist.settings.off == PANIC,
            unconfirmed,
            refused,
            released,
            taken_over,
        };
        Ok((blocklist, opened))
    }

    /// Puts the program on an interface, or replaces it in the link that is pinned for it: after an
    /// interface came back, or refused before.
    ///
    /// # Errors
    /// Where it can't be protected; what was there before stays.
    pub fn attach(&mut self, interface: &str) -> Result<&Attached, AttachError> {
        let attached = attach::attach(&mut self.ebpf, &self.pins, interface, self.xdp_mode);
        self.attached.retain(|known| known.interface != interface);
        self.attached.push(attached?);
        Ok(&self.attached[self.attached.len() - 1])
    }

    /// The protected interfaces.
    pub fn interfaces(&self) -> &[Attached] {
        &self.attached
    }

    /// How many bans there are, lapsed ones that haven't been swept among them.
    pub fn len(&self) -> usize {
        self.exact + self.nets.len()
    }

    /// How full the maps are: each one's name, how many bans it holds, and how many it has room for.
    ///
    /// # Errors
    /// Where the kernel doesn't tell a map's size.
    pub fn rooms(&self) -> Result<[(&'static str, usize, u32); 4], BlocklistError> {
        let nets_v4 = self.nets.iter().filter(|(net, _)| net.addr().is_ipv4()).count();
        let held = [
            (map::BANS_V4, self.exact.saturating_sub(self.exact_v6)),
            (map::BANS_V6, self.exact_v6),
            (map::NETS_V4, nets_v4),
            (map::NETS_V6, self.nets.len().saturating_sub(nets_v4)),
        ];
        let mut rooms = [("", 0, 0); 4];
        for (room, (name, entries)) in rooms.iter_mut().zip(held) {
            *room = (name, entries, self.maps.max_entries(name)?);
        }
        Ok(rooms)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Packets by what became of them, summed over the CPUs.
    ///
    /// # Errors
    /// Where the map can't be read.
    pub fn counters(&self) -> Result<Counters, BlocklistError> {
        self.maps.counters()
    }

    /// Has the program pass everything, or enforce again. This too outlives us.
    ///
    /// # Errors
    /// Where the map can't be written.
    pub fn set_off(&mut self, off: bool) -> Result<(), BlocklistError> {
        self.settings.off = u32::from(off);
        self.maps.set_settings(self.settings)
    }

    /// As [`set_off`](Self::set_off), by a person: the next start knows it by [`Opened::panic`].
    ///
    /// # Errors
    /// Where the map can't be written.
    pub fn set_panic(&mut self, panic: bool) -> Result<(), BlocklistError> {
        self.settings.off = if panic { PANIC } else { 0 };
        self.maps.set_settings(self.settings)
    }

    /// Lets go of all interfaces but these; which those were.
    ///
    /// # Errors
    /// Where a pin can't be removed.
    pub fn keep_only(&mut self, wanted: &[String]) -> Result<Vec<String>, BlocklistError> {
        let released = self.release_others(wanted)?;
        self.attached.retain(|attached| wanted.contains(&attached.interface));
        Ok(released)
    }

    /// The reader of announced drops; once.
    pub const fn drop_events(&mut self) -> Option<DropEvents> {
        self.events.take()
    }

    /// The reader of what a debugging build of the program logs (`cargo xtask build-ebpf --debug`); once.
    pub fn program_log(&mut self) -> Option<ProgramLog> {
        ProgramLog::of(&mut self.ebpf)
    }

    /// Takes the program off all interfaces, bans or no bans; which. `open` is the way back.
    ///
    /// # Errors
    /// Where a pin can't be removed.
    pub fn detach(&mut self) -> Result<Vec<String>, BlocklistError> {
        self.attached.clear();
        self.pins.detach_all()
    }

    fn release_others(&self, wanted: &[String]) -> Result<Vec<String>, BlocklistError> {
        let mut released = Vec::new();
        for interface in self.pins.linked_interfaces()? {
            if !wanted.contains(&interface) && self.pins.detach(&interface)? {
                released.push(interface);
            }
        }
        Ok(released)
    }
}

/// Loads maps and programs; nothing is attached, and without `pins` nothing pinned.
fn load(pins: Option<&Pins>, max: u32) -> Result<Ebpf, BlocklistError> {
    let mut loader = EbpfLoader::new();
    // Nothing in the program depends on the running kernel's types.
    loader.btf(None);
    for name in maps::SIZED {
        loader.map_max_entries(name, max);
    }
    for name in map::PINNED {
        if let Some(pins) = pins {
            loader.map_pin_path(name, pins.map(name));
        }
    }
    let mut ebpf = loader.load(maps::OBJECT).map_err(|error| BlocklistError::Load {
        what: "the maps",
        hint: hint(&error),
        reason: describe(&error),
    })?;
    for (name, what) in [
        (RAVELIN, "the XDP program"),
        (AMEND, "the amending program"),
        (CARRY, "the carrying program"),
    ] {
        program(&mut ebpf, name)?.load().map_err(|error| BlocklistError::Load {
            what,
            hint: hint(&error),
            reason: describe(&error),
        })?;
    }
    Ok(ebpf)
}

fn program<'e>(ebpf: &'e mut Ebpf, name: &str) -> Result<&'e mut Xdp, BlocklistError> {
    ebpf.program_mut(name)
        .and_then(|program| program.try_into().ok())
        .ok_or_else(|| BlocklistError::Object { what: format!("XDP program `{name}`") })
}

/// What a refusal to load most often means.
fn hint(error: &(dyn std::error::Error + 'static)) -> &'static str {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(io) = error.downcast_ref::<std::io::Error>() {
            return match io.raw_os_error() {
                Some(libc::EPERM | libc::EACCES) => {
                    ", CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON are needed"
                }
                Some(libc::ENOMEM) => ", memory is short or its control group's limit too low",
                Some(libc::EROFS) => {
                    ", the BPF file system is read-only (systemd: ProtectKernelTunables=no)"
                }
                _ => "",
            };
        }
        cause = error.source();
    }
    ""
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_engine_thread_can_own_it() {
        const fn moves<T: Send>() {}
        moves::<Blocklist>();
        moves::<DropEvents>();
        moves::<Pinned>();
    }

    #[test]
    fn counters_are_summed_by_fate() {
        let mut counters = Counters::default();
        counters.add(Reason::PassedMiss, 3);
        counters.add(Reason::PassedExpired, 1);
        counters.add(Reason::DroppedNetV6, 7);
        assert_eq!((counters.passed(), counters.dropped()), (4, 7));
        assert_eq!(counters.of(Reason::DroppedNetV6), 7);
    }
}
