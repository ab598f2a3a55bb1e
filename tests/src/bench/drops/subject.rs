//! Who drops, and how each is set up for the same thousand banned addresses.

use std::fmt::Write as _;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use anyhow::{Context as _, Result};
use ravelin_common::Settings;

use super::generator::source;
use super::wire::Wire;
use super::{BANS, Core, Flood, Load, Sources, run};
use crate::bench::pieces::{EVENTS_PER_SECOND, PIECES, Pieces};
use crate::bpf::{self, Mode};
use crate::xdp::{PERMANENT_ENTRY, Program};

pub(super) const XDP_DROP: &str = "bare XDP_DROP";
pub(super) const RAVELIN: &str = "ravelin, native";
pub(super) const XDP_FILTER: &str = "xdp-filter, native";
pub(super) const NFT_INGRESS: &str = "nftables set, ingress";
pub(super) const NFT_INPUT: &str = "nftables set, input";
pub(super) const IPTABLES_1000: &str = "iptables, 1,000 rules";

/// `call bpf_ktime_get_ns; r0 = XDP_DROP; exit`: takes about as long as a hit of ours, and looks at nothing.
const WAIT_AND_DROP: [u64; 3] =
    [0x0000_0005_0000_0085, 0x0000_0001_0000_00b7, 0x0000_0000_0000_0095];

pub(super) struct Subject {
    pub(super) name: &'static str,
    kind: Kind,
}

#[derive(Clone, Copy)]
enum Kind {
    /// A program of these instructions.
    Bare(&'static [u64]),
    Ravelin(Mode),
    XdpFilter,
    NftIngress,
    NftInput,
    Ipset,
    /// So many rules.
    Iptables(u32),
    /// A piece of our program.
    Piece(&'static str),
}

/// What holds as long as it isn't dropped.
pub(super) enum Installed {
    Bare {
        _link: OwnedFd,
    },
    Ravelin {
        _program: Program,
        _link: OwnedFd,
    },
    Piece {
        _pieces: Pieces,
        _link: OwnedFd,
    },
    /// What other programs have set up, in the namespaces.
    ByOthers,
}

impl Subject {
    pub(super) fn all() -> Vec<Self> {
        let subjects = [
            (XDP_DROP, Kind::Bare(&bpf::DROP)),
            ("XDP_DROP that reads a byte", Kind::Bare(&bpf::READ_AND_DROP)),
            ("XDP_DROP that reads the clock", Kind::Bare(&WAIT_AND_DROP)),
            (RAVELIN, Kind::Ravelin(Mode::Native)),
            ("ravelin, generic", Kind::Ravelin(Mode::Generic)),
            (XDP_FILTER, Kind::XdpFilter),
            (NFT_INGRESS, Kind::NftIngress),
            (NFT_INPUT, Kind::NftInput),
            ("ipset", Kind::Ipset),
            ("iptables, 1 rule", Kind::Iptables(1)),
            ("iptables, 100 rules", Kind::Iptables(100)),
            (IPTABLES_1000, Kind::Iptables(1000)),
            ("iptables, 10,000 rules", Kind::Iptables(10_000)),
        ];
        let pieces = PIECES.into_iter().map(|(name, ..)| (name, Kind::Piece(name)));
        subjects.into_iter().chain(pieces).map(|(name, kind)| Self { name, kind }).collect()
    }

    pub(super) const fn is_piece(&self) -> bool {
        matches!(self.kind, Kind::Piece(_))
    }

    /// Where a list hasn't all the sources, only the one comes.
    pub(super) fn floods(&self) -> Vec<Flood> {
        let sources: &[Sources] = match self.kind {
            Kind::Iptables(rules) if rules < BANS => &[Sources::One],
            Kind::Piece(_) => &[Sources::One],
            _ => &[Sources::One, Sources::Many],
        };
        let full = [Core::Own, Core::Senders];
        let flood = |&sources| full.map(|core| Flood { sources, core, load: Load::Full });
        let paced = Flood { sources: Sources::One, core: Core::Own, load: Load::Paced };
        sources.iter().flat_map(flood).chain([paced]).collect()
    }

    pub(super) fn install(&self, wire: &Wire) -> Result<Installed> {
        match self.kind {
            Kind::Bare(instructions) => {
                let link = attach(bpf::load_xdp(instructions)?.as_fd(), wire, Mode::Native)?;
                Ok(Installed::Bare { _link: link })
            }
            Kind::Ravelin(mode) => {
                let mut program = Program::load();
                program
                    .set(Settings { events_per_second: EVENTS_PER_SECOND, ..Settings::default() });
                for n in 0..BANS {
                    program.ban(&format!("{}/32", source(n)), PERMANENT_ENTRY)?;
                }
                let link = attach(program.fd(), wire, mode)?;
                Ok(Installed::Ravelin { _program: program, _link: link })
            }
            Kind::Piece(name) => {
                let mut pieces = Pieces::open()?;
                for n in 0..BANS {
                    pieces.ban(source(n).octets())?;
                }
                pieces.reload(name)?;
                let link = attach(pieces.fd(name)?, wire, Mode::Native)?;
                Ok(Installed::Piece { _pieces: pieces, _link: link })
            }
            Kind::XdpFilter => {
                load_xdp_filter(wire)?;
                for n in 0..BANS {
                    run("xdp-filter", &["ip", "-m", "src", &source(n).to_string()], "")?;
                }
                Ok(Installed::ByOthers)
            }
            Kind::NftIngress => nft(
                "netdev",
                &format!("type filter hook ingress device \"{}\" priority 0", wire.interface),
            ),
            Kind::NftInput => nft("inet", "type filter hook input priority 0"),
            Kind::Ipset => {
                let mut set = "create banned hash:ip\n".to_owned();
                for n in 0..BANS {
                    writeln!(set, "add banned {}", source(n))?;
                }
                run("ipset", &["restore"], &set)?;
                let rule = "-A INPUT -m set --match-set banned src -j DROP";
                run("iptables", &rule.split(' ').collect::<Vec<_>>(), "")?;
                Ok(Installed::ByOthers)
            }
            Kind::Iptables(rules) => {
                let mut table = "*filter\n".to_owned();
                // The thousand come last, and the source that floods alone is the last of them.
                for n in (0..rules).rev() {
                    let n = if n < BANS { BANS - 1 - n } else { 0x1_0000 + n };
                    writeln!(table, "-A INPUT -s {} -j DROP", source(n))?;
                }
                table.push_str("COMMIT\n");
                run("iptables-restore", &[], &table)?;
                Ok(Installed::ByOthers)
            }
        }
    }

    /// Sets an XDP program up anew, so that one unlucky place of code or maps doesn't stand for all.
    /// xdp-filter's maps stay, which are filled by a thousand processes.
    pub(super) fn again(&self, wire: &Wire, installed: Installed) -> Result<Installed> {
        match (installed, self.kind) {
            (installed, Kind::XdpFilter) => {
                run("xdp-filter", &["unload", "--keep-maps", &wire.interface], "")?;
                load_xdp_filter(wire)?;
                Ok(installed)
            }
            (Installed::ByOthers, _) => Ok(Installed::ByOthers),
            (ours, _) => {
                drop(ours);
                self.install(wire)
            }
        }
    }
}

fn attach(program: BorrowedFd<'_>, wire: &Wire, mode: Mode) -> Result<OwnedFd> {
    bpf::attach(program, wire.ifindex, mode).context("could not attach the program")
}

fn load_xdp_filter(wire: &Wire) -> Result<()> {
    let load = ["load", "-m", "native", "-p", "allow", "-f", "ipv4,ipv6", &wire.interface];
    run("xdp-filter", &load, "")
}

fn nft(family: &str, hook: &str) -> Result<Installed> {
    let elements: Vec<String> = (0..BANS).map(|n| source(n).to_string()).collect();
    let rules = format!(
        "table {family} bench {{\n\
         set banned {{ type ipv4_addr; elements = {{ {} }}; }}\n\
         chain drops {{ {hook}; ip saddr @banned drop; }}\n}}\n",
        elements.join(", ")
    );
    run("nft", &["-f", "-"], &rules)?;
    Ok(Installed::ByOthers)
}
