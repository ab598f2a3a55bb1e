//! Capabilities, and that there won't be more of them.

use std::io;

use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, capability_is_in_bounding_set,
    clear_ambient_capability_set, remove_capability_from_bounding_set, set_capabilities,
    set_no_new_privs,
};

use super::{Gap, Needs};

/// What every daemon needs.
const ALWAYS: [CapabilitySet; 4] = [
    // Makes and writes maps, loads the program.
    CapabilitySet::BPF,
    // Puts it on interfaces.
    CapabilitySet::NET_ADMIN,
    // The verifier's checks of pointers, without which the program isn't taken.
    CapabilitySet::PERFMON,
    // Logs that are their service's alone (Suricata's); where it isn't given, as under the unit, groups do it.
    CapabilitySet::DAC_READ_SEARCH,
];

/// The highest that the kernel knows is told by the kernel itself; none is as high as this.
const MOST: u32 = 64;

/// What stays, of what there is.
pub(super) fn kept(needs: &Needs) -> CapabilitySet {
    let mut kept = CapabilitySet::empty();
    for capability in ALWAYS {
        kept |= capability;
    }
    // Whether another loader's program uses our maps is seen by looking at programs that aren't ours.
    kept.set(CapabilitySet::SYS_ADMIN, needs.others_programs);
    // Syslog's own port, 514.
    kept.set(CapabilitySet::NET_BIND_SERVICE, needs.low_ports);
    // Sockets that a group may use.
    kept.set(CapabilitySet::CHOWN, needs.groups);
    kept
}

pub(super) fn no_new_privileges() -> Result<(), Gap> {
    set_no_new_privs(true).map_err(|error| Gap::NoNewPrivileges { source: error.into() })
}

/// Drops all but what is needed, also from what a program that we start could get.
pub(super) fn drop_capabilities(needs: &Needs) -> Result<(), Gap> {
    drop_all_but(kept(needs)).map_err(|source| Gap::Capabilities { source })
}

fn drop_all_but(kept: CapabilitySet) -> io::Result<()> {
    for number in 0..MOST {
        let capability = CapabilitySet::from_bits_retain(1 << number);
        // An error: the kernel has no such.
        if !kept.contains(capability) && capability_is_in_bounding_set(capability).unwrap_or(false)
        {
            remove_capability_from_bounding_set(capability)?;
        }
    }
    clear_ambient_capability_set()?;
    let there = capabilities(None)?;
    if kept.contains(there.permitted | there.inheritable) {
        // As the unit gives them, whose filter doesn't let us change them.
        return Ok(());
    }
    let stays = there.permitted & kept;
    let sets =
        CapabilitySets { effective: stays, permitted: stays, inheritable: CapabilitySet::empty() };
    Ok(set_capabilities(None, sets)?)
}
