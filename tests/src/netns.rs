//! Network namespaces for tests, and folders for their pins: made under names of their own, and gone
//! with their guard, also when the test panics.
#![expect(clippy::panic, reason = "it is how a test ends that can't have what it needs")]

use std::ffi::OsStr;
use std::fs::{self, File};
use std::net::Ipv4Addr;
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::process::{self, Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use anyhow::{Context as _, Result, ensure};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

mod flood;

pub use self::flood::{Flood, Victim};

/// Hardware address of a veth pair's first end.
pub const MAC: &str = "02:00:00:00:00:01";
/// Hardware address of its other end.
pub const PEER_MAC: &str = "02:00:00:00:00:02";

/// A network namespace, by its name.
#[derive(Clone, Debug)]
pub struct Space {
    name: String,
}

impl Space {
    /// Makes one, with its loopback up. It is the caller's to remove.
    ///
    /// # Errors
    /// Where we aren't root or there is no `ip`.
    pub fn add(name: impl Into<String>) -> Result<Self> {
        let space = Self { name: name.into() };
        run(Command::new("ip").args(["netns", "add", &space.name]))?;
        space.ip(&["link", "set", "lo", "up"])?;
        Ok(space)
    }

    /// Its name, for `ip netns` and `ip -n`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where it lies, for `nsenter`.
    pub fn path(&self) -> PathBuf {
        Path::new("/run/netns").join(&self.name)
    }

    /// Runs `ip` on it; gives what that prints.
    ///
    /// # Errors
    /// Where that fails.
    pub fn ip(&self, args: &[&str]) -> Result<String> {
        let output = run(Command::new("ip").args(["-n", &self.name]).args(args))?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// A command that will run in it, with the mounts of the host (`ip netns exec` has a /sys of its
    /// own, without bpffs).
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net={}", self.path().display())).arg("--").arg(program);
        command
    }

    /// Runs `work` in a thread that is in it, and waits for its end.
    ///
    /// # Errors
    /// Where it can't be entered.
    pub fn enter<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T> {
        thread::scope(|scope| {
            let inside = scope.spawn(|| {
                self.join()?;
                Ok(work())
            });
            inside.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// Moves the calling thread into it, for good.
    ///
    /// # Errors
    /// Where that isn't allowed.
    pub fn join(&self) -> Result<()> {
        let path = self.path();
        let file = File::open(&path).with_context(|| format!("could not open {path:?}"))?;
        move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network))
            .with_context(|| format!("could not enter {path:?}"))
    }
}

/// A network namespace for one test: gone with this.
pub struct Netns(Space);

impl Netns {
    /// Makes one; `tag` is for people who look while the test runs.
    ///
    /// # Panics
    /// Where we aren't root or there is no `ip`.
    pub fn new(tag: &str) -> Self {
        Self(Space::add(unique(tag)).expect("tests run as root, with iproute2"))
    }

    /// Its name, for `ip netns` and `ip -n`.
    pub fn name(&self) -> &str {
        self.0.name()
    }

    /// Runs `ip` on it.
    ///
    /// # Panics
    /// Where that fails.
    pub fn ip(&self, args: &[&str]) -> String {
        self.0.ip(args).unwrap_or_else(|error| panic!("{error:#}"))
    }

    /// As [`Space::command`].
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        self.0.command(program)
    }

    /// As [`Space::enter`].
    ///
    /// # Panics
    /// Where `work` does.
    pub fn enter<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        self.0.enter(work).expect("the namespace lives as long as its guard")
    }

    /// As [`Space::join`].
    ///
    /// # Panics
    /// Where that isn't allowed.
    pub fn join(&self) {
        self.0.join().expect("the namespace lives as long as its guard");
    }

    /// Connects it with another by a veth pair, both ends up, with hardware addresses [`MAC`] and
    /// [`PEER_MAC`].
    pub fn connect(&self, interface: &str, other: &Self, peer: &str) {
        let ends = format!(
            "link add {interface} address {MAC} type veth peer name {peer} address {PEER_MAC} netns {}",
            other.name()
        );
        self.ip(&ends.split(' ').collect::<Vec<_>>());
        self.ip(&["link", "set", interface, "up"]);
        other.ip(&["link", "set", peer, "up"]);
    }

    /// Whether an answer to any of `count` pings from `source` comes, sent 50 ms apart. Where one is
    /// expected it comes at once; this waits as long as a busy machine may take.
    pub fn pings(&self, source: &str, destination: &str, count: u32) -> bool {
        self.ping(source, destination, count, "5")
    }

    /// Whether none of them is answered, for as long as is worth waiting for what must not come.
    pub fn is_cut_off(&self, source: &str, destination: &str, count: u32) -> bool {
        !self.ping(source, destination, count, "0.3")
    }

    fn ping(&self, source: &str, destination: &str, count: u32, patience: &str) -> bool {
        let count = count.to_string();
        let output = self
            .command("ping")
            .args(["-n", "-q", "-i", "0.05", "-W", patience, "-c", &count, "-I", source])
            .arg(destination)
            .output()
            .expect("ping is installed (iputils-ping)");
        match output.status.code() {
            Some(0) => true,
            Some(1) => false,
            _ => panic!("ping: {}", String::from_utf8_lossy(&output.stderr)),
        }
    }
}

impl Drop for Netns {
    fn drop(&mut self) {
        // A failure to clean up isn't worth a second panic; the name says whose it was.
        drop(Command::new("ip").args(["netns", "del", self.name()]).output());
    }
}

/// A client and a server, one link between them: `c0` and `s0`.
pub struct Pair {
    /// 198.51.100.0/24 and 2001:db8:51::/48 live here.
    pub client: Netns,
    /// 203.0.113.1 and 2001:db8:113::1.
    pub server: Netns,
}

impl Pair {
    /// Makes it. The client has 198.51.100.7 and 2001:db8:51::7.
    #[expect(clippy::new_without_default, reason = "namespaces aren't made by the way")]
    pub fn new() -> Self {
        let pair = Self { client: Netns::new("c"), server: Netns::new("s") };
        pair.server.connect("s0", &pair.client, "c0");
        pair.wire("s0", "c0");
        pair.client_address(Ipv4Addr::new(198, 51, 100, 7));
        pair.client.ip(&["addr", "add", "2001:db8:51::7/128", "dev", "c0", "nodad"]);
        pair
    }

    /// The server's end's addresses, and the ways there and back. The client needn't ask for its
    /// neighbour: a ban of its address would stop that too (neighbour discovery is IPv6), and so change
    /// what is counted.
    pub fn wire(&self, server_end: &str, client_end: &str) {
        let Self { client, server } = self;
        server.ip(&["addr", "add", "203.0.113.1/24", "dev", server_end]);
        server.ip(&["addr", "add", "2001:db8:113::1/64", "dev", server_end, "nodad"]);
        server.ip(&["route", "replace", "198.51.100.0/24", "dev", server_end]);
        server.ip(&["route", "replace", "2001:db8:51::/48", "dev", server_end]);
        client.ip(&["route", "replace", "203.0.113.0/24", "dev", client_end]);
        client.ip(&["route", "replace", "2001:db8:113::/64", "dev", client_end]);
        for server_address in ["203.0.113.1", "2001:db8:113::1"] {
            client.ip(&["neigh", "replace", server_address, "lladdr", MAC, "dev", client_end]);
        }
    }

    /// One more address for the client.
    pub fn client_address(&self, address: Ipv4Addr) {
        self.client.ip(&["addr", "add", &format!("{address}/32"), "dev", "c0"]);
    }
}

/// A folder on bpffs. With it go the pins in it, and so what they hold: maps, links, protection.
pub struct BpfDir(PathBuf);

impl BpfDir {
    /// A name of its own; the folder itself is for the test's subject to make.
    #[expect(clippy::new_without_default, reason = "as above")]
    pub fn new() -> Self {
        Self(Path::new("/sys/fs/bpf").join(unique("t")))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for BpfDir {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}

/// A name that no other test has, short enough for an interface.
fn unique(tag: &str) -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    format!("rv{}-{}-{tag}", process::id(), COUNT.fetch_add(1, Ordering::Relaxed))
}

fn run(command: &mut Command) -> Result<Output> {
    let output = command.output().with_context(|| format!("could not start {command:?}"))?;
    ensure!(
        output.status.success(),
        "{command:?}: {}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(output)
}
