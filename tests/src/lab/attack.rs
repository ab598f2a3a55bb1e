//! What attackers do.

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::Result;

use super::host::Host;
use super::internet::SERVER;
use super::process::Process;
use super::server::write_program;
use super::wire::{Route, Tags, Wire};

/// `nmap -A` against the server.
///
/// # Errors
/// Where it can't be started.
pub fn nmap(from: &Host, dir: &Path) -> Result<Process> {
    let mut nmap = from.command("nmap");
    nmap.args(["-A", "-n", "-Pn"]).arg(SERVER.v4.to_string());
    Process::start("nmap", &mut nmap, &dir.join("nmap.out"))
}

/// Three guesses at a password by ssh, over one connection.
///
/// # Errors
/// Where it can't be started.
pub fn guess_passwords(from: &Host, server: IpAddr, dir: &Path) -> Result<Process> {
    static CONNECTIONS: AtomicU32 = AtomicU32::new(0);
    let number = CONNECTIONS.fetch_add(1, Ordering::Relaxed);
    // ssh asks this program for each password.
    let askpass = dir.join(format!("askpass-{number}"));
    write_program(&askpass, &format!("#!/bin/sh\necho letmein-{number}\n"))?;
    let mut ssh = from.command("ssh");
    ssh.env("SSH_ASKPASS", &askpass).env("SSH_ASKPASS_REQUIRE", "force").args(["-F", "none"]);
    for option in [
        "StrictHostKeyChecking=no",
        "UserKnownHostsFile=/dev/null",
        "PreferredAuthentications=password",
        "NumberOfPasswordPrompts=3",
        "ConnectTimeout=5",
    ] {
        ssh.args(["-o", option]);
    }
    // A host may have more than one address; the guesses come from its first.
    ssh.arg("-b").arg(from.place.addr_like(server).to_string());
    ssh.args(["-l", "root"]).arg(server.to_string()).arg("true");
    Process::start("ssh", &mut ssh, &dir.join(format!("ssh-{}.out", from.place.name)))
}

/// A volley of SYNs in somebody else's name, to a port that is open.
///
/// # Errors
/// Where the wire refuses them.
pub fn forge_syns(wire: &Wire, victim: Ipv4Addr, count: u16) -> Result<()> {
    let route = Route { src: victim, dst: SERVER.v4 };
    for number in 0..count {
        wire.syn(route, (10_000 + number, 80), u32::from(number) << 16)?;
    }
    Ok(())
}

/// A volley of DNS questions in somebody else's name.
///
/// # Errors
/// Where the wire refuses them.
pub fn forge_questions(wire: &Wire, victim: Ipv4Addr, count: u16) -> Result<()> {
    // `example. IN A?`, recursion desired.
    const QUESTION: &[u8] = b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x07example\0\0\x01\0\x01";
    let route = Route { src: victim, dst: SERVER.v4 };
    for number in 0..count {
        wire.udp(Tags::None, route, (10_000 + number, 53), QUESTION)?;
    }
    Ok(())
}
