//! What can go wrong, and what to do about it.

use std::io;
use std::path::PathBuf;

use ipnet::IpNet;

use crate::event::Target;
use crate::host::HostError;

/// Why the blocklist can't do what it was asked to.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BlocklistError {
    /// `bpf_dir` isn't on a BPF file system.
    #[error(
        "expected `{}` on a BPF file system, and there is none at `{}`; mount it: \
         `mount -t bpf bpf {}`", bpf_dir.display(), mount_point.display(), mount_point.display()
    )]
    NoBpffs {
        /// The configured folder.
        bpf_dir: PathBuf,
        /// Where a BPF file system should be.
        mount_point: PathBuf,
        /// Why we couldn't mount it ourselves, where we tried.
        #[source]
        source: Option<io::Error>,
    },
    /// Somebody else could have put things there.
    #[error(
        "expected `{}` to belong to root or to us and nobody else to write there, got owner {owner} and \
         mode {mode:o}; look at what is in it, then remove it", path.display()
    )]
    Untrusted {
        /// The folder.
        path: PathBuf,
        /// Its owner.
        owner: u32,
        /// Its mode.
        mode: u32,
    },
    /// A folder or pin couldn't be handled.
    #[error("could not {action} `{}`", path.display())]
    Pin {
        /// What was tried.
        action: &'static str,
        /// With what.
        path: PathBuf,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// A newer Ravelin has left its maps there.
    #[error(
        "`{}` holds maps of layout {found}, newer than ours ({ours}): run the Ravelin that made them, or \
         remove `{}` to begin with an empty blocklist", path.display(), bpf_dir.display()
    )]
    NewerLayout {
        /// The newer folder.
        path: PathBuf,
        /// The configured folder.
        bpf_dir: PathBuf,
        /// Its layout.
        found: u64,
        /// Ours.
        ours: u32,
    },
    /// An older Ravelin's maps are still there.
    #[error(
        "`{}` holds maps of an older layout: start `ravelin run`, which takes them over without a gap; \
         `ravelin panic` lets everything pass meanwhile", path.display()
    )]
    OlderLayout {
        /// The older folder.
        path: PathBuf,
    },
    /// A pinned map isn't what this program expects.
    #[error(
        "pinned map `{}` has {property} {found}, expected {expected}: it isn't Ravelin's or was made by a \
         broken build; remove it (its bans come back from the database)", path.display()
    )]
    WrongShape {
        /// The pin.
        path: PathBuf,
        /// What differs.
        property: &'static str,
        /// What it has.
        found: String,
        /// What it should have.
        expected: String,
    },
    /// There is nothing pinned.
    #[error("no maps are pinned under `{}`: Ravelin hasn't run here since boot, or was told to let go",
        path.display())]
    NothingPinned {
        /// Where we looked.
        path: PathBuf,
    },
    /// The object inside this binary is of no use.
    #[error(
        "the XDP object inside this binary lacks {what}; build it with `cargo xtask build-ebpf`"
    )]
    Object {
        /// What it lacks.
        what: String,
    },
    /// The kernel doesn't take the program or its maps.
    #[error("could not load {what} into the kernel{hint}: {reason}")]
    Load {
        /// What.
        what: &'static str,
        /// What may be the matter; begins with a comma, or empty.
        hint: &'static str,
        /// All that is known.
        reason: String,
    },
    /// A map is full.
    #[error("map `{map}` is full with {max} entries, {target} isn't banned; raise `ban.max`")]
    Full {
        /// Which.
        map: &'static str,
        /// How many entries it has room for.
        max: u32,
        /// What didn't go in.
        target: Target,
    },
    /// The allow list has no more room.
    #[error(
        "map `{map}` is full with {max} entries, {net} can't be allowed; merge `allow` entries"
    )]
    AllowFull {
        /// Which.
        map: &'static str,
        /// How many entries it has room for.
        max: u32,
        /// What didn't go in.
        net: IpNet,
    },
    /// The target is wholly allowed.
    #[error("{target} lies inside {by}, which is on the allow list")]
    Allowed {
        /// What was to be banned.
        target: Target,
        /// What allows it.
        by: IpNet,
    },
    /// A map couldn't be read or written.
    #[error("could not {action} map `{map}`")]
    Map {
        /// What was tried.
        action: &'static str,
        /// With which.
        map: &'static str,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// An entry couldn't be changed in place.
    #[error("could not change the entry of {target} in place")]
    Amend {
        /// Whose.
        target: Target,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// The host couldn't be asked about its interfaces.
    #[error(transparent)]
    Host(#[from] HostError),
}

/// Why an interface isn't protected.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AttachError {
    /// There is no such interface.
    #[error("interface `{interface}` does not exist")]
    NoInterface {
        /// The configured name.
        interface: String,
    },
    /// It has no Ethernet header: a tunnel.
    #[error(
        "interface `{interface}` carries packets without an Ethernet header; name the interface that the \
         tunnel's packets come in by"
    )]
    NotEthernet {
        /// The configured name.
        interface: String,
    },
    /// It is part of a bond or team, whose program guards all parts.
    #[error(
        "interface `{interface}` is part of `{master}`, and a program on a part keeps one off the whole; \
         name `{master}` instead"
    )]
    PartOf {
        /// The configured name.
        interface: String,
        /// The bond or team.
        master: String,
    },
    /// Somebody else's program is there, and stays there.
    #[error(
        "interface `{interface}` already has XDP program {program_id}{}, which isn't Ravelin's and is left \
         alone; see `ip -d link show {interface}` and `bpftool net`, and remove it with what installed it, or \
         keep both under its dispatcher: `xdp_mode: maps-only` (docs/configuration.md)",
        program_name.as_deref().map(|name| format!(" (`{name}`)")).unwrap_or_default()
    )]
    Foreign {
        /// The interface.
        interface: String,
        /// The program's id.
        program_id: u32,
        /// Its name, where we may know it.
        program_name: Option<String>,
    },
    /// Maps only, and nothing on the interface uses them.
    #[error(
        "interface `{interface}` {found}; have your loader put Ravelin's there: `ravelin object \
         /run/ravelin.bpf.o && xdp-loader load -n ravelin -p {} {interface} /run/ravelin.bpf.o`",
        maps.display()
    )]
    Unfed {
        /// The interface.
        interface: String,
        /// What is there.
        found: String,
        /// Where the maps are pinned.
        maps: PathBuf,
    },
    /// Maps only, and our own program is on the interface.
    #[error(
        "interface `{interface}` still has the program that Ravelin itself attached, and `xdp_mode` is \
         maps-only; let go of it (`rm {}`), then have your loader put it there", pin.display()
    )]
    OwnLink {
        /// The interface.
        interface: String,
        /// The pin.
        pin: PathBuf,
    },
    /// Maps only, and what is attached can't be looked at.
    #[error(
        "whether the program on interface `{interface}` uses our maps can't be told (listing programs and \
         links needs CAP_SYS_ADMIN): {source}"
    )]
    Unproven {
        /// The interface.
        interface: String,
        /// What the kernel said.
        source: io::Error,
    },
    /// The pinned link is in use in another network namespace.
    #[error(
        "`{}` holds the link of an interface in another network namespace; give each Ravelin a `bpf_dir` \
         of its own", pin.display()
    )]
    Elsewhere {
        /// The interface.
        interface: String,
        /// The pin.
        pin: PathBuf,
    },
    /// The pin is no XDP link.
    #[error("`{}` is not an XDP link; look at what it is, then remove it", pin.display())]
    NotALink {
        /// The interface.
        interface: String,
        /// The pin.
        pin: PathBuf,
    },
    /// The driver or the kernel refuses.
    #[error("interface `{interface}` refuses {mode} XDP: {reason}")]
    Refused {
        /// The interface.
        interface: String,
        /// The mode that was tried.
        mode: super::Mode,
        /// Why, as far as it is known, with what may help.
        reason: String,
    },
    /// A pin couldn't be handled.
    #[error("could not {action} `{}`", pin.display())]
    Pin {
        /// The interface.
        interface: String,
        /// What was tried.
        action: &'static str,
        /// With what.
        pin: PathBuf,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// The host couldn't be asked about its interfaces.
    #[error("interface `{interface}` can't be looked at")]
    Host {
        /// The interface.
        interface: String,
        /// Why.
        #[source]
        source: HostError,
    },
}

impl AttachError {
    /// The interface that it is about.
    pub fn interface(&self) -> &str {
        match self {
            Self::NoInterface { interface }
            | Self::NotEthernet { interface }
            | Self::PartOf { interface, .. }
            | Self::Foreign { interface, .. }
            | Self::Unfed { interface, .. }
            | Self::OwnLink { interface, .. }
            | Self::Unproven { interface, .. }
            | Self::Elsewhere { interface, .. }
            | Self::NotALink { interface, .. }
            | Self::Refused { interface, .. }
            | Self::Pin { interface, .. }
            | Self::Host { interface, .. } => interface,
        }
    }
}
