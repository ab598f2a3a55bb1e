//! Maps only: the program is loaded and attached by somebody else, under a dispatcher (xdp-loader) or
//! alone, and we feed its maps, once it is proven that they are ours.
//!
//! A dispatcher is the XDP program on the interface; the programs that it calls are extensions
//! (`freplace`), each in a link whose target is the dispatcher. So an interface is protected if its program
//! uses our maps, or if a program that uses them is in a link that targets its program.

use std::collections::BTreeSet;
use std::io;
use std::os::fd::AsFd as _;

use aya::maps::MapData;
use aya::programs::{ProgramError, ProgramInfo, loaded_programs};
use ravelin_common::map;

use super::attach::{Attached, Mode, describe};
use super::pins::Pins;
use super::{AttachError, maps, sys};
use crate::host::Link;

/// The interface, if it runs a program that uses our maps.
pub(super) fn attached(pins: &Pins, link: &Link) -> Result<Attached, AttachError> {
    let interface = &link.name;
    if pins.link(interface).exists() {
        return Err(AttachError::OwnLink {
            interface: interface.clone(),
            pin: pins.link(interface),
        });
    }
    let Some(xdp) = link.xdp else {
        return Err(unfed(pins, interface, "has no XDP program".to_owned()));
    };
    let unproven = |source| AttachError::Unproven { interface: interface.clone(), source };
    let ours = our_maps(pins).map_err(unproven)?;
    if !calls(xdp.program_id, &ours).map_err(unproven)? {
        let found = format!("has XDP program {}, which doesn't use our maps", xdp.program_id);
        return Err(unfed(pins, interface, found));
    }
    Ok(Attached {
        interface: interface.clone(),
        ifindex: link.index,
        mode: Mode::MapsOnly,
        fallback: None,
        adopted: true,
    })
}

fn unfed(pins: &Pins, interface: &str, found: String) -> AttachError {
    AttachError::Unfed { interface: interface.to_owned(), found, maps: pins.maps_dir() }
}

/// The ids of the maps that are pinned.
fn our_maps(pins: &Pins) -> io::Result<BTreeSet<u32>> {
    map::PINNED
        .into_iter()
        .map(|name| {
            let data = MapData::from_pin(pins.map(name)).map_err(maps::io_error)?;
            data.info().map(|info| info.id()).map_err(maps::io_error)
        })
        .collect()
}

/// Whether a program uses these maps, or is the dispatcher of one that does.
fn calls(program: u32, maps: &BTreeSet<u32>) -> io::Result<bool> {
    let mut users = BTreeSet::new();
    for info in loaded_programs() {
        match info.and_then(|info| Ok((uses(&info, maps)?, info.id()))) {
            Ok((true, id)) => drop(users.insert(id)),
            Ok((false, _)) => {}
            Err(error) if is_gone(&error) => {}
            Err(error) => return Err(because(&error)),
        }
    }
    if users.is_empty() || users.contains(&program) {
        return Ok(!users.is_empty());
    }
    let mut id = 0;
    while let Some(next) = sys::next_link(id)? {
        id = next;
        let Some(link) = sys::open_link(id)? else { continue };
        let target = sys::extension_target(link.as_fd())?;
        if target.is_some_and(|(user, target)| target == program && users.contains(&user)) {
            return Ok(true);
        }
    }
    Ok(false)
}

fn uses(program: &ProgramInfo, maps: &BTreeSet<u32>) -> Result<bool, ProgramError> {
    // `amend`, which we run, uses them too, but no program is on an interface by that.
    let used = program.map_ids()?.unwrap_or_default();
    Ok(maps.iter().all(|id| used.contains(id)))
}

/// Programs may go while they are listed.
fn is_gone(error: &ProgramError) -> bool {
    because(error).kind() == io::ErrorKind::NotFound
}

fn because(error: &ProgramError) -> io::Error {
    match error {
        ProgramError::SyscallError(error) => error
            .io_error
            .raw_os_error()
            .map_or_else(|| io::Error::other(describe(error)), io::Error::from_raw_os_error),
        other => io::Error::other(describe(other)),
    }
}
