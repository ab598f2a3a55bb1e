//! The command line's end of the socket; blocking, one request a connection.

use std::io::{self, BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{Request, Response, socket_path};

/// A daemon that restores a million bans may take its time.
const PATIENCE: Duration = Duration::from_secs(30);

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody listens.
    #[error("no daemon answers at {}: start it with `ravelin run`, or name its configuration with --config", path.display())]
    NotRunning {
        /// Of the socket.
        path: PathBuf,
    },
    /// Not ours to talk to.
    #[error("{} may not be opened: run this command as root", path.display())]
    Forbidden {
        /// Of the socket.
        path: PathBuf,
    },
    /// The connection broke.
    #[error("the daemon at {} broke off", path.display())]
    BrokeOff {
        /// Of the socket.
        path: PathBuf,
        /// How.
        #[source]
        source: io::Error,
    },
    /// Another version of Ravelin, probably.
    #[error("the daemon at {} answered `{answer}`, which this version of ravelin doesn't understand: restart the daemon after an upgrade", path.display())]
    NotUnderstood {
        /// Of the socket.
        path: PathBuf,
        /// Its beginning.
        answer: String,
    },
}

/// Asks the daemon whose socket lies in `run_dir`.
///
/// # Errors
///
/// [`ClientError::NotRunning`] where nobody listens; commands that work without a daemon go on from there.
pub fn request(run_dir: &Path, request: &Request) -> Result<Response, ClientError> {
    let path = socket_path(run_dir);
    let stream = match UnixStream::connect(&path) {
        Ok(stream) => stream,
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            return Err(ClientError::Forbidden { path });
        }
        Err(_) => return Err(ClientError::NotRunning { path }),
    };
    let answer = exchange(stream, request)
        .map_err(|source| ClientError::BrokeOff { path: path.clone(), source })?;
    serde_json::from_str(&answer).map_err(|_ignored| ClientError::NotUnderstood {
        path,
        answer: answer.chars().take(80).collect(),
    })
}

fn exchange(mut stream: UnixStream, request: &Request) -> io::Result<String> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut line = serde_json::to_vec(request)?;
    line.push(b'\n');
    stream.write_all(&line)?;
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer)?;
    if answer.is_empty() {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(answer)
}
