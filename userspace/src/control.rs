//! The control socket: server, client, wire types.
//!
//! A UNIX stream socket in `run_dir`; one JSON request a line, one JSON response a line. Whoever
//! connects is checked by peer credentials: root, or the daemon's own user.
#![forbid(unsafe_code)]

mod client;
mod server;
mod wire;

pub use self::client::{ClientError, request};
pub use self::server::{Asked, ServerError, bind, serve};
pub use self::wire::{
    AllowedEntry, HealthItem, InterfaceStatus, ListedBan, ListedPorts, MailStatus, PacketStatus,
    Request, Response, Shown, SourceStatus, State, Status,
};

use std::path::{Path, PathBuf};

/// Where the socket is.
pub fn socket_path(run_dir: &Path) -> PathBuf {
    run_dir.join("ravelin.sock")
}
