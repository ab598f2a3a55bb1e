//! One daemon a host: a lock that the kernel drops with the process, however it dies.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

/// Why the lock isn't ours.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another daemon lives.
    #[error("another ravelin runs with this run_dir (pid {pid}, lock {}): stop it first, or set another run_dir, state_dir and bpf_dir", path.display())]
    Taken {
        /// Of the lock.
        path: PathBuf,
        /// Who holds it, as it wrote there.
        pid: String,
    },
    /// The folder or file can't be made.
    #[error("the lock {} can't be made: check that its folder is writable, or set run_dir", path.display())]
    Make {
        /// Of the lock.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// Held while the daemon lives.
#[derive(Debug)]
pub(super) struct Lock {
    _file: File,
}

impl Lock {
    /// Takes it.
    ///
    /// # Errors
    ///
    /// [`LockError::Taken`] names who holds it.
    pub(super) fn take(run_dir: &Path) -> Result<Self, LockError> {
        let path = run_dir.join("ravelin.lock");
        let open = || {
            fs::DirBuilder::new().recursive(true).mode(0o755).create(run_dir)?;
            OpenOptions::new()
                .create(true)
                .truncate(false)
                .read(true)
                .write(true)
                .mode(0o600)
                .open(&path)
        };
        let mut file = match open() {
            Ok(file) => file,
            Err(source) => return Err(LockError::Make { path, source }),
        };
        if flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
            let mut pid = String::new();
            if file.read_to_string(&mut pid).is_err() || pid.trim().is_empty() {
                "unknown".clone_into(&mut pid);
            }
            return Err(LockError::Taken { path, pid: pid.trim().to_owned() });
        }
        let write = file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id()));
        if let Err(source) = write {
            return Err(LockError::Make { path, source });
        }
        Ok(Self { _file: file })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn second_daemon_is_refused_and_named() {
        let dir = tempfile::tempdir().unwrap();
        let lock = Lock::take(dir.path()).unwrap();
        let message = Lock::take(dir.path()).unwrap_err().to_string();
        assert!(message.contains(&format!("pid {}", std::process::id())), "{message}");
        drop(lock);
        Lock::take(dir.path()).unwrap();
    }
}
