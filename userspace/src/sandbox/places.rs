//! Places: which files can be opened, made and run.
//!
//! A rule is about a folder as it is when we start, so what is replaced by renaming (logs, `resolv.conf`) is reached
//! by its folder. Looking at files (`stat`, `readlink`) isn't restricted.

use std::path::Path;

use landlock::{
    ABI, Access as _, AccessFs, BitFlags, PathBeneath, PathFd, RestrictionStatus, Ruleset,
    RulesetAttr as _, RulesetCreated, RulesetCreatedAttr as _, RulesetError, RulesetStatus, Scope,
};

use super::{Gap, Needs};

/// The newest that was looked at; an older kernel enforces what it knows of it.
const KNOWN: ABI = ABI::V6;

/// Read on every host, whatever is configured.
pub(super) const READ: [&str; 12] = [
    // Names, accounts, zone, authorities, our own configuration.
    "/etc",
    // Libraries of the resolver and of journalctl, time zones.
    "/usr",
    "/lib",
    "/lib32",
    "/lib64",
    "/bin",
    // resolv.conf is a link into it; the volatile journal.
    "/run",
    // Logs, rotated ones among them.
    "/var/log",
    // Connections, our own status.
    "/proc",
    // CPUs, by which per-CPU counters are read; limits of memory.
    "/sys",
    // Random numbers, on a kernel whose call for them isn't to be had.
    "/dev/random",
    "/dev/urandom",
];

/// Where programs may be run from, if one is.
const RUN: [&str; 5] = ["/usr", "/bin", "/lib", "/lib32", "/lib64"];

pub(super) fn confine(needs: &Needs) -> Result<(), Gap> {
    match restrict(needs) {
        Ok(status) if status.ruleset == RulesetStatus::NotEnforced => {
            Err(Gap::Places { reason: format!("{:?}", status.landlock) })
        }
        Ok(_) => Ok(()),
        Err(error) => Err(Gap::Places { reason: error.to_string() }),
    }
}

fn restrict(needs: &Needs) -> Result<RestrictionStatus, RulesetError> {
    let read = AccessFs::ReadFile | AccessFs::ReadDir;
    let mut rules = Ruleset::default()
        .handle_access(AccessFs::from_all(KNOWN))?
        // Nobody outside is signalled, or spoken to by an abstract socket.
        .scope(Scope::from_all(KNOWN))?
        .create()?;
    for path in READ.iter().map(Path::new).chain(needs.read.iter().map(AsRef::as_ref)) {
        rules = allow(rules, path, read)?;
    }
    for path in &needs.write {
        rules = allow(rules, path, AccessFs::from_all(KNOWN) & !AccessFs::Execute)?;
    }
    // What a program that we start has as its input.
    rules = allow(rules, Path::new("/dev/null"), AccessFs::ReadFile | AccessFs::WriteFile)?;
    if needs.programs {
        for path in RUN {
            rules = allow(rules, Path::new(path), read | AccessFs::Execute)?;
        }
    }
    rules.restrict_self()
}

/// What isn't there can't be allowed, and needn't.
fn allow(
    rules: RulesetCreated,
    path: &Path,
    access: BitFlags<AccessFs>,
) -> Result<RulesetCreated, RulesetError> {
    let Ok(folder) = PathFd::new(path) else { return Ok(rules) };
    let access = if path.is_dir() { access } else { access & AccessFs::from_file(KNOWN) };
    rules.add_rule(PathBeneath::new(folder, access))
}
