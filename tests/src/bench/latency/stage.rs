//! Two hosts with a wire between them, and a folder; removed with it, however this ends.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, ensure};

use crate::lab::janitor::Janitor;
use crate::netns::{MAC, PEER_MAC, Space};

/// The server's address.
pub(super) const SERVER: &str = "203.0.113.1";

#[derive(Debug)]
pub(super) struct Stage {
    /// Is attacked, at `s0`.
    pub(super) server: Space,
    /// Has every address of 198.18.0.0/15, at `c0`.
    pub(super) client: Space,
    dir: PathBuf,
    // Last: removes what the others ran in.
    _janitor: Janitor,
}

impl Stage {
    pub(super) fn set() -> Result<Self> {
        let name = crate::lab::unique_name();
        let dir = std::env::temp_dir().join(&name);
        let janitor = Janitor::hire(&name, &dir)?;
        fs::create_dir(&dir)?;
        fs::create_dir(dir.join("bpf"))?;
        let mounted =
            Command::new("mount").args(["-t", "bpf", "rvlab"]).arg(dir.join("bpf")).status()?;
        ensure!(mounted.success(), "mount -t bpf ended with {mounted}");
        let server = Space::add(format!("{name}-server"))?;
        let client = Space::add(format!("{name}-client"))?;
        #[rustfmt::skip]
        server.ip(&[
            "link", "add", "s0", "address", MAC, "type", "veth",
            "peer", "name", "c0", "address", PEER_MAC, "netns", client.name(),
        ])?;
        for words in
            ["addr add 203.0.113.1/24 dev s0", "link set s0 up", "route add 198.18.0.0/15 dev s0"]
        {
            server.ip(&words.split(' ').collect::<Vec<_>>())?;
        }
        let neighbour = format!("neigh replace {SERVER} lladdr {MAC} dev c0");
        for words in [
            "link set c0 up",
            "route add 203.0.113.0/24 dev c0",
            // Each address in it is the client's own.
            "route add local 198.18.0.0/15 dev lo",
            &neighbour,
        ] {
            client.ip(&words.split(' ').collect::<Vec<_>>())?;
        }
        Ok(Self { server, client, dir, _janitor: janitor })
    }

    /// A folder of its own.
    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }
}
