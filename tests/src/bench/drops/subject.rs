//! Who drops, and how each is set up for the same thousand banned addresses.

use std::fmt::Write as _;
use std::os::fd::{AsFd as _, OwnedFd};

use anyhow::{Context as _, Result};
use ravelin_common::Settings;

use super::generator::source;
use super::wire::Wire;
use super::{BANS, Core, Flood, Sources, run};
use crate::bench::pieces::{PIECES, Pieces};
use crate::bpf::{self, Mode};
use crate::xdp::{PERMANENT_ENTRY, Program};

pub(super) const XDP_DROP: &str = "bare XDP_DROP";
pub(super) const RAVELIN: &str = "ravelin, native";
pub(super) const XDP_FILTER: &str = "xdp-filter, native";
pub(super) const NFT_INGRESS: &str = "nftables set, ingress";
pub(super) const NFT_INPUT: &str = "nftables set, input";
pub(super) const IPTABLES_1000: &str = "iptables, 1,000 rules";

/// As the daemon has it.
const EVENTS_PER_SECOND: u32 = 64;

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
#[derive(Default)]
pub(super) struct Installed {
    _link: Option<OwnedFd>,
    _program: Option<Program>,
    _pieces: Option<Pieces>,
}

impl Subject {
    pub(super) fn all() -> Vec<Self> {
        let subjects = [
            (XDP_DROP, Kind::Bare(&bpf::DROP)),
            ("XDP_DROP that reads a byte", Kind::Bare(&bpf::READ_AND_DROP)),
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
        let cores = [Core::Own, Core::Senders];
        let flood = |&sources| cores.map(|core| Flood { sources, core });
        sources.iter().flat_map(flood).collect()
    }

    pub(super) fn install(&self, wire: &Wire) -> Result<Installed> {
        let interface = wire.interface.as_str();
        match self.kind {
            Kind::Bare(instructions) => {
                let program = bpf::load_xdp(instructions)?;
                let link = bpf::attach(program.as_fd(), wire.ifindex, Mode::Native)?;
                Ok(Installed { _link: Some(link), ..Installed::default() })
            }
            Kind::Ravelin(mode) => {
                let mut program = Program::load();
                program
                    .set(Settings { events_per_second: EVENTS_PER_SECOND, ..Settings::default() });
                for n in 0..BANS {
                    program.ban(&format!("{}/32", source(n)), PERMANENT_ENTRY)?;
                }
                let link = bpf::attach(program.fd(), wire.ifindex, mode)
                    .context("could not attach the program")?;
                Ok(Installed { _link: Some(link), _program: Some(program), ..Installed::default() })
            }
            Kind::Piece(name) => {
                let mut pieces = Pieces::load()?;
                for n in 0..BANS {
                    pieces.ban(source(n).octets())?;
                }
                let link = bpf::attach(pieces.fd(name)?, wire.ifindex, Mode::Native)
                    .context("could not attach the piece")?;
                Ok(Installed { _link: Some(link), _pieces: Some(pieces), ..Installed::default() })
            }
            Kind::XdpFilter => {
                let load = ["load", "-m", "native", "-p", "allow", "-f", "ipv4,ipv6", interface];
                run("xdp-filter", &load, "")?;
                for n in 0..BANS {
                    run("xdp-filter", &["ip", "-m", "src", &source(n).to_string()], "")?;
                }
                Ok(Installed::default())
            }
            Kind::NftIngress => nft(
                "netdev",
                &format!("type filter hook ingress device \"{interface}\" priority 0"),
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
                Ok(Installed::default())
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
                Ok(Installed::default())
            }
        }
    }
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
    Ok(Installed::default())
}
