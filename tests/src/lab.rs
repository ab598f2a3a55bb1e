//! The lab: a small internet of network namespaces on this machine, made and removed by itself.
//!
//! ```text
//!   scanner ──┐
//!   guesser ──┤
//!   guesser6 ─┤
//!   forger ───┼── internet (a router) ── server: Suricata, sshd, rsyslogd, nginx, Postfix, Ravelin
//!   bystander ┤
//!   visitor ──┘
//! ```
//!
//! Every host is a network namespace; everything that runs in it works in one temporary folder. Nothing
//! touches the machine's own network, services, /run, /dev or bpffs. When a [`Lab`] is dropped, or its
//! process dies in whatever way, the janitor removes all of it.

pub mod attack;
mod host;
mod internet;
pub(crate) mod janitor;
mod listener;
mod logwatch;
mod metronome;
mod postfix;
mod process;
mod ravelin;
mod server;
mod sshd;
pub mod submission;
mod suricata;
mod visitor;
mod wait;
mod web;
mod wire;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context as _, Result};

pub use self::host::{Host, Place};
pub use self::internet::{BYSTANDER, FORGER, GUESSER, GUESSER6, SCANNER, SERVER, VISITOR};
pub use self::listener::Listener;
pub use self::logwatch::{LogWatch, Written};
pub use self::metronome::{Metronome, Sent};
pub use self::postfix::{Mail, Mailbox};
pub use self::process::Process;
pub use self::ravelin::{Ban, Ravelin};
pub use self::suricata::{DNS_SID, NMAP_SID, SYN_SID};
pub use self::visitor::{Visit, Visitor};
pub use self::wait::until;
pub use self::web::NMAP_USER_AGENT;
pub use self::web::fetch;
pub use self::wire::{Route, Tags, Wire};

use self::internet::Internet;
use self::janitor::Janitor;
use self::server::Services;

/// The lab, running.
#[derive(Debug)]
pub struct Lab {
    /// Ravelin on the server.
    pub ravelin: Ravelin,
    /// What Suricata says, line by line.
    pub eve: LogWatch,
    /// What sshd says, line by line.
    pub auth_log: LogWatch,
    /// Where the metronomes' packets arrive.
    pub listener: Listener,
    /// Where the admin's mail arrives.
    pub mailbox: Mailbox,
    _services: Services,
    internet: Internet,
    dir: PathBuf,
    // Last: removes what the others ran in.
    _janitor: Janitor,
}

/// How long bans last in the lab.
pub const TTL: std::time::Duration = std::time::Duration::from_secs(20);

impl Lab {
    /// Makes the hosts and starts everything on the server; returns when all of it is ready.
    ///
    /// # Errors
    /// Where something couldn't be made or started; says what, with the end of its log.
    pub fn start() -> Result<Self> {
        let name = unique_name();
        let dir = std::env::temp_dir().join(&name);
        let janitor = Janitor::hire(&name, &dir)?;
        fs::create_dir(&dir).with_context(|| format!("could not make {}", dir.display()))?;
        let internet = Internet::build(&name)?;
        let server = internet.host(SERVER);
        let services = Services::start(server, &dir)?;
        let ravelin = Ravelin::start(server, &dir)?;
        Ok(Self {
            ravelin,
            eve: LogWatch::open(&suricata::eve_of(&dir))?,
            auth_log: LogWatch::open(&sshd::auth_log_of(&dir))?,
            listener: Listener::start(server)?,
            mailbox: Mailbox::of(&dir),
            _services: services,
            internet,
            dir,
            _janitor: janitor,
        })
    }

    /// The host at a place.
    pub fn host(&self, place: Place) -> &Host {
        self.internet.host(place)
    }

    /// A host's end of its wire, for frames of any kind.
    ///
    /// # Errors
    /// Where no packet socket can be had.
    pub fn wire_from(&self, place: Place) -> Result<Wire> {
        self.internet.wire_from(place)
    }

    /// The router's end of a host's wire: what is sent here reaches the host's interface as it is.
    ///
    /// # Errors
    /// Where no packet socket can be had.
    pub fn wire_to(&self, place: Place) -> Result<Wire> {
        self.internet.wire_to(place)
    }

    /// Copies everybody's logs to the folder that RAVELIN_LAB_LOGS names, if it does.
    fn keep_logs(&self) -> Result<()> {
        let Some(to) = std::env::var_os("RAVELIN_LAB_LOGS") else { return Ok(()) };
        let to = Path::new(&to).join(self.dir.file_name().unwrap_or_default());
        fs::create_dir_all(&to)?;
        for folder in [&self.dir, &self.dir.join("suricata")] {
            for entry in fs::read_dir(folder)? {
                let entry = entry?;
                if entry.file_type()?.is_file() {
                    fs::copy(entry.path(), to.join(entry.file_name()))?;
                }
            }
        }
        eprintln!("The lab's logs are in {}", to.display());
        Ok(())
    }

    /// The folder of everything that runs here.
    pub fn dir(&self) -> &Path {
        &self.dir
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if let Err(error) = self.keep_logs() {
            eprintln!("could not keep the lab's logs: {error:#}");
        }
    }
}

/// Unique on this machine, short enough for everything that is made of it.
pub(crate) fn unique_name() -> String {
    static LABS: AtomicU32 = AtomicU32::new(0);
    format!("rvlab-{}-{}", std::process::id(), LABS.fetch_add(1, Ordering::Relaxed))
}
