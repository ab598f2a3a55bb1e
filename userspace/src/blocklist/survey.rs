//! What a start would meet, found out without changing anything: for `ravelin doctor`.

use std::path::Path;

use super::attach::{self, Mode};
use super::pins::{self, Pins};
use super::{AttachError, BlocklistError, dispatched, load, placement};
use crate::config::XdpMode;

/// An interface that the program is on, or could be put on.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Survey {
    /// How it runs our program; `None`: not yet.
    pub mode: Option<Mode>,
    /// Where the program would run natively, for an interface that only takes it generically.
    pub better: Option<String>,
}

/// What attaching to `interface` would meet, the driver's own opinion left out.
///
/// # Errors
/// What attaching would fail with.
pub fn survey(bpf_dir: &Path, interface: &str, xdp_mode: XdpMode) -> Result<Survey, AttachError> {
    let (link, links) = attach::placed(interface)?;
    let better = placement::better(&link, &links);
    let pins = Pins::at(bpf_dir);
    if xdp_mode == XdpMode::MapsOnly {
        let attached = dispatched::attached(&pins, &link)?;
        return Ok(Survey { mode: Some(attached.mode), better: None });
    }
    let pin = pins.link(interface);
    let ours = match attach::pinned_link(interface, &pin)? {
        Some(info) if attach::on(&link, info) => true,
        Some(info) if info.ifindex != 0 && !attach::lives_here(interface, info)? => {
            return Err(AttachError::Elsewhere { interface: interface.to_owned(), pin });
        }
        Some(_) | None => false,
    };
    match link.xdp {
        Some(_) if ours => Ok(Survey { mode: Some(attach::mode_of(&link)), better }),
        Some(xdp) => Err(attach::foreign(interface, xdp.program_id)),
        None => Ok(Survey { mode: None, better }),
    }
}

/// Has the kernel take the maps and programs of this binary, and lets go of them again: nothing is pinned,
/// nothing attached.
///
/// # Errors
/// What a start would fail with.
pub fn trial() -> Result<(), BlocklistError> {
    load(None, 1).map(drop)
}

/// Whether `dir`, or where it would be made, is on a BPF file system.
pub fn is_on_bpffs(dir: &Path) -> bool {
    pins::on_bpffs(dir)
}
