//! The daemon's end of the socket.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, oneshot};
use tokio::time::timeout;

use super::{Request, Response, socket_path};
use crate::source::group_number;

/// A request is a target, a reason and little else.
const REQUEST_CAP: u64 = 64 * 1024;
/// Clients at once; more wait.
const CLIENTS: usize = 16;
/// A client that says nothing is dropped.
const PATIENCE: Duration = Duration::from_secs(10);

/// A request, and where its answer goes.
#[derive(Debug)]
pub struct Asked {
    /// What is asked.
    pub request: Request,
    /// Dropped unanswered when the daemon stops.
    pub answer: oneshot::Sender<Response>,
}

/// Why there is no socket.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// The folder or the socket can't be made.
    #[error("the control socket {} can't be made: check that its folder is writable, or set run_dir", path.display())]
    Bind {
        /// Of the socket.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// Makes the socket, mode 0600 (0660 and the group's where one may look), in place of one that a killed daemon left behind. The caller holds the
/// lock that makes sure that no other daemon lives.
///
/// # Errors
///
/// [`ServerError::Bind`].
pub fn bind(run_dir: &Path, group: Option<&str>) -> Result<UnixListener, ServerError> {
    let path = socket_path(run_dir);
    let bind = || {
        fs::create_dir_all(run_dir)?;
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = UnixListener::bind(&path)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
        Ok(listener)
    };
    let listener = bind().map_err(|source| ServerError::Bind { path: path.clone(), source })?;
    if let Some(group) = group
        && let Err(reason) = let_in(&path, group)
    {
        // Root can still ask; nobody stays unprotected for this.
        tracing::error!(group, reason, "The control socket stays root's alone.");
    }
    Ok(listener)
}

/// Lets a group in. The folder is root's, so nobody can put another socket in its place meanwhile.
fn let_in(path: &Path, group: &str) -> Result<(), String> {
    let gid = group_number(group)?;
    std::os::unix::fs::chown(path, None, Some(gid))
        .and_then(|()| fs::set_permissions(path, fs::Permissions::from_mode(0o660)))
        .map_err(|error| {
            format!("{error}: under systemd add `SupplementaryGroups={group}` by `systemctl edit ravelin`")
        })
}

/// Serves until dropped; `ask` hands a request to the engine.
pub async fn serve(listener: UnixListener, ask: impl Fn(Asked) + Send + Sync + 'static) {
    let ask = Arc::new(ask);
    let places = Arc::new(Semaphore::new(CLIENTS));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                let ask = Arc::clone(&ask);
                tokio::spawn(async move {
                    if let Err(error) = answer_one(stream, &*ask).await {
                        tracing::debug!(%error, "A control client broke off.");
                    }
                    drop(place);
                });
            }
            Err(error) => {
                // Out of descriptors, most likely: another try at once would spin.
                tracing::warn!(%error, "The control socket can't accept a client.");
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        }
    }
}

async fn answer_one(stream: UnixStream, ask: &impl Fn(Asked)) -> io::Result<()> {
    let response = match peer(&stream) {
        Err(message) => Response::Refused { message },
        Ok(peer) => return converse(stream, peer, ask).await,
    };
    reply(stream, &response).await
}

/// Who asks.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Peer {
    /// Root, or whoever the daemon runs as.
    Acts,
    /// Somebody else, whom the socket's group let in: the kernel has checked that.
    Looks(u32),
}

impl Peer {
    fn may(self, request: &Request) -> Result<(), String> {
        match self {
            Self::Looks(user) if !request.only_looks() => Err(format!(
                "expected root to ask for this, got user {user}, who may look (status, list, show, allow --list): run \
                 this command as root"
            )),
            Self::Acts | Self::Looks(_) => Ok(()),
        }
    }
}

fn peer(stream: &UnixStream) -> Result<Peer, String> {
    let us = rustix::process::geteuid().as_raw();
    match stream.peer_cred() {
        Ok(peer) if peer.uid() == 0 || peer.uid() == us => Ok(Peer::Acts),
        Ok(peer) => Ok(Peer::Looks(peer.uid())),
        Err(error) => Err(format!("the caller's user can't be told: {error}")),
    }
}

async fn converse(stream: UnixStream, peer: Peer, ask: &impl Fn(Asked)) -> io::Result<()> {
    let mut line = Vec::new();
    let mut reader = BufReader::new(stream).take(REQUEST_CAP);
    timeout(PATIENCE, reader.read_until(b'\n', &mut line)).await??;
    let stream = reader.into_inner().into_inner();
    let response = match serde_json::from_slice::<Request>(&line) {
        Err(error) => Response::Refused { message: format!("the request isn't one: {error}") },
        Ok(request) if let Err(message) = peer.may(&request) => Response::Refused { message },
        Ok(request) => {
            let (answer, wait) = oneshot::channel();
            ask(Asked { request, answer });
            wait.await.unwrap_or_else(|_stopped| Response::Refused {
                message: "the daemon is stopping".to_owned(),
            })
        }
    };
    reply(stream, &response).await
}

async fn reply(mut stream: UnixStream, response: &Response) -> io::Result<()> {
    let mut line = serde_json::to_vec(response)?;
    line.push(b'\n');
    timeout(PATIENCE, stream.write_all(&line)).await??;
    stream.shutdown().await
}
