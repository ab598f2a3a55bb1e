//! A host: a network namespace with a name, two addresses and one interface.

use std::ffi::OsStr;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::process::{Command, Stdio};
use std::thread::{self, JoinHandle};

use anyhow::{Context as _, Result};

use crate::netns::Space;

/// Where a host is to be found, and what it is called.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Place {
    /// For people and for its namespace.
    pub name: &'static str,
    /// Its IPv4 address.
    pub v4: Ipv4Addr,
    /// Its IPv6 address; the /64 around it is its own.
    pub v6: Ipv6Addr,
}

impl Place {
    /// Its address of the family of `other`.
    pub fn addr_like(self, other: IpAddr) -> IpAddr {
        if other.is_ipv4() { self.v4.into() } else { self.v6.into() }
    }

    /// Its Ethernet address.
    pub(super) const fn mac(self) -> [u8; 6] {
        let [a, b, c, d] = self.v4.octets();
        [2, 0, a, b, c, d]
    }

    /// The router's Ethernet address on its wire.
    pub(super) const fn router_mac(self) -> [u8; 6] {
        let [a, b, c, d] = self.v4.octets();
        [2, 1, a, b, c, d]
    }
}

/// A host's only interface, as on many a server.
pub(super) const INTERFACE: &str = "eth0";

/// A network namespace and what it is called. The janitor removes it, after what lives in it.
#[derive(Debug)]
pub struct Host {
    /// Its name and addresses.
    pub place: Place,
    space: Space,
}

impl Host {
    /// Makes the namespace, with nothing in it but the loopback interface.
    pub(super) fn make(lab: &str, place: Place) -> Result<Self> {
        let host = Self { place, space: Space::add(format!("{lab}-{}", place.name))? };
        host.enter(|| {
            for file in ["ipv4/conf/all/rp_filter", "ipv4/conf/default/rp_filter"] {
                // What is forged must arrive: dropping it is not this machine's business.
                write_sysctl(file, "0")?;
            }
            // Addresses are ours alone: no need to ask around first.
            write_sysctl("ipv6/conf/default/accept_dad", "0")?;
            write_sysctl("ipv6/conf/default/accept_ra", "0")
        })??;
        Ok(host)
    }

    /// Gives it one more address.
    ///
    /// # Errors
    /// Where `ip` refuses it.
    pub fn add_address(&self, address: IpAddr) -> Result<()> {
        let prefix = if address.is_ipv4() { 32 } else { 64 };
        let net = format!("{address}/{prefix}");
        self.space.ip(&["addr", "add", &net, "dev", INTERFACE])?;
        Ok(())
    }

    /// A program to be run on it.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = self.space.command(program);
        command.stdin(Stdio::null());
        command
    }

    /// Does something on it, in a thread of its own, and waits for its end.
    ///
    /// # Errors
    /// Where the namespace can't be entered.
    pub fn enter<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T> {
        self.space.enter(work)
    }

    /// Does something on it for a while, in a thread of its own.
    pub fn spawn<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> JoinHandle<Result<T>> {
        let space = self.space.clone();
        thread::spawn(move || {
            space.join()?;
            Ok(work())
        })
    }

    /// Its namespace.
    pub(super) fn space(&self) -> &Space {
        &self.space
    }
}

/// A knob under /proc/sys/net, of the namespace that the calling thread is in.
pub(super) fn write_sysctl(name: &str, value: &str) -> Result<()> {
    let path = format!("/proc/sys/net/{name}");
    fs::write(&path, value).with_context(|| format!("could not write {value} to {path}"))
}
