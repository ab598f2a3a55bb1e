//! Putting the program on interfaces, by links that are pinned and outlive us.
//!
//! A link that is there has its program replaced in place: not one packet gets by. Everything else (a
//! first attach, another mode) resets the queues of some drivers for a moment.

use std::fmt;
use std::io;
use std::os::fd::AsFd as _;
use std::path::Path;

use aya::Ebpf;
use aya::programs::links::{FdLink, LinkError, PinnedLink};
use aya::programs::xdp::{XdpError, XdpLink};
use aya::programs::{ProgramError, Xdp, XdpMode as AyaMode, loaded_programs};

use ravelin_common::program::RAVELIN;

use super::pins::{self, Pins};
use super::placement;
use super::sys::{self, XdpLinkInfo};
use super::{AttachError, Blocklist, BlocklistError, dispatched, program};
use crate::config::XdpMode;
use crate::host::{self, Link, XdpAttachment};

/// How an interface runs the program.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Mode {
    /// In the driver, before a packet buffer is allocated.
    Native,
    /// In the stack's entrance: works everywhere, costs several times as much.
    Generic,
    /// Somebody else has attached it, under a dispatcher most likely; we feed its maps.
    MapsOnly,
}

impl Mode {
    /// The contract's word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Generic => "generic",
            Self::MapsOnly => "maps-only",
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A protected interface.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Attached {
    /// Its name.
    pub interface: String,
    /// Its index.
    pub ifindex: u32,
    /// How it runs the program, as the kernel says.
    pub mode: Mode,
    /// Why it is generic, where native was preferred: what the driver said, and what may help.
    pub fallback: Option<String>,
    /// Its link was there before and had the program replaced, without a gap.
    pub adopted: bool,
}

/// Attaches to an interface, or replaces the program in the link that is pinned for it.
pub(super) fn attach(
    ebpf: &mut Ebpf,
    pins: &Pins,
    interface: &str,
    wanted: XdpMode,
) -> Result<Attached, AttachError> {
    let (link, links) = placed(interface)?;
    let wanted = match wanted {
        XdpMode::MapsOnly => return dispatched::attached(pins, &link),
        XdpMode::Auto => None,
        XdpMode::Native => Some(Mode::Native),
        XdpMode::Generic => Some(Mode::Generic),
    };
    let pin = pins.link(interface);
    if let Some(info) = pinned_link(interface, &pin)? {
        if on(&link, info) {
            let running = mode_of(&link);
            if wanted.is_none_or(|wanted| wanted == running) {
                replace(ebpf, interface, &pin)?;
                return attached(interface, None, true);
            }
            return switch(ebpf, &link, &pin, wanted, running);
        }
        // Gone with its interface, or on one that was renamed: of no use to this one. But not ours to
        // remove where it protects somebody else.
        if info.ifindex != 0 && !lives_here(interface, info)? {
            return Err(AttachError::Elsewhere { interface: interface.to_owned(), pin });
        }
        unpin(interface, &pin)?;
    }
    let fallback = create(ebpf, &link, &pin, wanted)?.map(|reason| {
        placement::better(&link, &links)
            .map_or(reason.clone(), |better| format!("{reason}; {better}"))
    });
    attached(interface, fallback, false)
}

/// The interface, where a program belongs on it, among all there are.
pub(super) fn placed(interface: &str) -> Result<(Link, Vec<Link>), AttachError> {
    let link = look_up(interface)?;
    if !link.ethernet_header() {
        return Err(AttachError::NotEthernet { interface: interface.to_owned() });
    }
    let links = host::links()
        .map_err(|source| AttachError::Host { interface: interface.to_owned(), source })?;
    if let Some(master) = placement::whole(&link, &links) {
        let (interface, master) = (interface.to_owned(), master.name.clone());
        return Err(AttachError::PartOf { interface, master });
    }
    Ok((link, links))
}

/// Attaches where nothing of ours is, in the mode that is wanted, or in any. `Some`: generically, for this
/// reason.
fn create(
    ebpf: &mut Ebpf,
    link: &Link,
    pin: &Path,
    wanted: Option<Mode>,
) -> Result<Option<String>, AttachError> {
    if let Some(xdp) = link.xdp {
        return Err(foreign(&link.name, xdp.program_id));
    }
    if let Some(mode) = wanted {
        return create_in(ebpf, link, pin, mode).map(|()| None);
    }
    match create_in(ebpf, link, pin, Mode::Native) {
        Err(AttachError::Refused { reason, .. }) => {
            create_in(ebpf, link, pin, Mode::Generic).map(|()| Some(reason))
        }
        other => other.map(|()| None),
    }
}

fn create_in(ebpf: &mut Ebpf, link: &Link, pin: &Path, mode: Mode) -> Result<(), AttachError> {
    let interface = &link.name;
    let refused = |reason| AttachError::Refused { interface: interface.clone(), mode, reason };
    let program = main_program(ebpf, interface)?;
    let flags = match mode {
        Mode::Generic => AyaMode::Skb,
        Mode::Native | Mode::MapsOnly => AyaMode::Driver,
    };
    let id = match program.attach_to_if_index(link.index, flags) {
        Ok(id) => id,
        Err(error) => {
            // Somebody else may have been quicker.
            if let Some(xdp) = look_up(interface)?.xdp {
                return Err(foreign(interface, xdp.program_id));
            }
            return Err(refused(because(&error)));
        }
    };
    let link = program.take_link(id).map_err(|error| refused(because(&error)))?;
    // aya attaches by netlink where the kernel has no links for XDP; that can't be pinned, and is
    // detached by being dropped here.
    let link = FdLink::try_from(link).map_err(|error: LinkError| {
        refused(format!("{error}: pinned links need Linux 5.9 or later"))
    })?;
    link.pin(pin).map(drop).map_err(|error| AttachError::Pin {
        interface: interface.clone(),
        action: "pin the link as",
        pin: pin.to_owned(),
        source: io::Error::other(error),
    })
}

/// Puts our program into the pinned link, atomically.
fn replace(ebpf: &mut Ebpf, interface: &str, pin: &Path) -> Result<(), AttachError> {
    let failed = |reason: String| AttachError::Pin {
        interface: interface.to_owned(),
        action: "replace the program in",
        pin: pin.to_owned(),
        source: io::Error::other(reason),
    };
    let program = main_program(ebpf, interface)?;
    let pinned = PinnedLink::from_pin(pin).map_err(|error| failed(describe(&error)))?;
    let link = XdpLink::try_from(FdLink::from(pinned)).map_err(|error| failed(describe(&error)))?;
    let id = program.attach_to_link(link).map_err(|error| failed(because(&error)))?;
    // Taken from the program, so that its end isn't the link's; the pin holds it.
    program.take_link(id).map(drop).map_err(|error| failed(because(&error)))
}

/// Another mode than the link's was asked for by name. A link can't change its mode, and two modes
/// don't go together, so there is a gap; if the driver refuses, things are put back as they were.
fn switch(
    ebpf: &mut Ebpf,
    link: &Link,
    pin: &Path,
    wanted: Option<Mode>,
    running: Mode,
) -> Result<Attached, AttachError> {
    unpin(&link.name, pin)?;
    let bare = look_up(&link.name)?;
    match create(ebpf, &bare, pin, wanted) {
        Ok(fallback) => attached(&link.name, fallback, false),
        Err(refused) => {
            if let Err(error) = create_in(ebpf, &bare, pin, running) {
                tracing::error!(
                    interface = link.name,
                    error = %error,
                    "Could not put the program back into the mode it ran in."
                );
            }
            Err(refused)
        }
    }
}

impl Blocklist {
    /// Whether every pinned link that has an interface runs the program of this process.
    pub(super) fn runs_everywhere(&mut self) -> Result<bool, BlocklistError> {
        let ours = program(&mut self.ebpf, RAVELIN)?.info().map_err(|error| {
            BlocklistError::Object { what: format!("a program that can be asked ({error})") }
        })?;
        for interface in self.pins.linked_interfaces()? {
            let path = self.pins.link(&interface);
            let info = sys::open_pinned(&path)
                .and_then(|fd| sys::xdp_link_info(fd.as_fd()))
                .map_err(|source| BlocklistError::Pin { action: "open link", path, source })?;
            if info.is_some_and(|info| info.ifindex != 0 && info.program_id != ours.id()) {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// What the pinned link is; `None` where nothing is pinned.
pub(super) fn pinned_link(interface: &str, pin: &Path) -> Result<Option<XdpLinkInfo>, AttachError> {
    let failed = |source| AttachError::Pin {
        interface: interface.to_owned(),
        action: "open link",
        pin: pin.to_owned(),
        source,
    };
    let fd = match sys::open_pinned(pin) {
        Ok(fd) => fd,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    match sys::xdp_link_info(fd.as_fd()) {
        Ok(Some(info)) => Ok(Some(info)),
        // EINVAL: a pinned map or program.
        Ok(None) => {
            Err(AttachError::NotALink { interface: interface.to_owned(), pin: pin.to_owned() })
        }
        Err(error) => Err(failed(error)),
    }
}

/// Whether a link is the one on this interface. Indices are unique in a namespace only, program ids
/// everywhere.
pub(super) fn on(link: &Link, info: XdpLinkInfo) -> bool {
    link.index == info.ifindex && link.xdp.is_some_and(|xdp| xdp.program_id == info.program_id)
}

pub(super) fn lives_here(interface: &str, info: XdpLinkInfo) -> Result<bool, AttachError> {
    let links = host::links()
        .map_err(|source| AttachError::Host { interface: interface.to_owned(), source })?;
    Ok(links.iter().any(|link| on(link, info)))
}

fn unpin(interface: &str, pin: &Path) -> Result<(), AttachError> {
    pins::detach(pin).map_err(|source| AttachError::Pin {
        interface: interface.to_owned(),
        action: "remove",
        pin: pin.to_owned(),
        source,
    })
}

fn attached(
    interface: &str,
    fallback: Option<String>,
    adopted: bool,
) -> Result<Attached, AttachError> {
    let link = look_up(interface)?;
    Ok(Attached {
        mode: mode_of(&link),
        interface: link.name,
        ifindex: link.index,
        fallback,
        adopted,
    })
}

pub(super) fn mode_of(link: &Link) -> Mode {
    match link.xdp.map(|xdp| xdp.attachment) {
        Some(XdpAttachment::Generic) => Mode::Generic,
        // Several: beside what a device runs by itself, ours is the driver's.
        _ => Mode::Native,
    }
}

fn look_up(interface: &str) -> Result<Link, AttachError> {
    host::link(interface)
        .map_err(|source| AttachError::Host { interface: interface.to_owned(), source })?
        .ok_or_else(|| AttachError::NoInterface { interface: interface.to_owned() })
}

fn main_program<'e>(ebpf: &'e mut Ebpf, interface: &str) -> Result<&'e mut Xdp, AttachError> {
    program(ebpf, RAVELIN).map_err(|error| AttachError::Refused {
        interface: interface.to_owned(),
        mode: Mode::Native,
        reason: error.to_string(),
    })
}

/// Names of programs are for CAP_SYS_ADMIN.
pub(super) fn foreign(interface: &str, program_id: u32) -> AttachError {
    let program_name = loaded_programs()
        .map_while(Result::ok)
        .find(|info| info.id() == program_id)
        .and_then(|info| info.name_as_str().map(str::to_owned))
        .filter(|name| !name.is_empty());
    AttachError::Foreign { interface: interface.to_owned(), program_id, program_name }
}

/// The kernel's answer with all that is known of its cause, and what helps with drivers that give it.
fn because(error: &ProgramError) -> String {
    let errno = match error {
        ProgramError::SyscallError(error) => error.io_error.raw_os_error(),
        ProgramError::XdpError(XdpError::NetlinkError(_)) => Some(libc::EINVAL),
        _ => None,
    };
    let hint = match errno {
        Some(libc::EOPNOTSUPP) => {
            "; the driver has no native XDP, or not with the present offloads: `ethtool -K IF lro off`"
        }
        Some(libc::EINVAL) => {
            "; many drivers refuse a large MTU (ena above 3498, others above 3 to 4 KB) and LRO: \
             `ip link set IF mtu 1500`, `ethtool -K IF lro off`; the kernel log has the driver's reason"
        }
        Some(libc::ENOMEM | libc::ENOSPC) => {
            "; the driver wants queues of its own for XDP: `ethtool -L IF combined N` with half of them"
        }
        Some(libc::EPERM | libc::EACCES) => "; CAP_NET_ADMIN and CAP_BPF are needed",
        _ => "",
    };
    format!("{}{hint}", describe(error))
}

/// An error and its causes, in one line.
pub(super) fn describe(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let inner = error.to_string();
        if !text.contains(&inner) {
            text.push_str(": ");
            text.push_str(&inner);
        }
        cause = error.source();
    }
    text
}
