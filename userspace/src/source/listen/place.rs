//! A UNIX socket's place in the file system: made without a moment of open rights, taken over from a daemon
//! that was killed, never from anybody else, and looked after.

use std::fs;
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Gid, Mode, OFlags};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};

use crate::config::{SocketKind, UnixSocket};

/// Connections that wait to be accepted.
const BACKLOG: i32 = 64;

/// A socket that was made, and what tells that it is still there. Removed when dropped.
#[derive(Debug)]
pub(super) struct Place {
    path: PathBuf,
    device: u64,
    inode: u64,
    mode: u32,
    gid: u32,
}

/// Why there is no socket.
#[derive(Debug, thiserror::Error)]
pub(super) enum PlaceError {
    #[error(
        "expected a free path or a socket that we left behind, found {what}; move it away, or name another path"
    )]
    Taken { what: &'static str },
    #[error("another program listens there already; stop it, or name another path")]
    Alive,
    #[error(
        "a socket of user {uid} lies there, which we don't take over; remove it, or name another path"
    )]
    Foreign { uid: u32 },
    #[error(
        "its folder doesn't exist; make it (as root, writable for root only), or name another path"
    )]
    NoFolder,
    #[error("expected a group's name or number, got `{group}`, which isn't in /etc/group")]
    NoGroup { group: String },
    #[error("{what}: {source}; give the daemon the right to, or name another path")]
    Io { what: &'static str, source: io::Error },
}

impl PlaceError {
    /// Whether somebody listens there.
    pub(super) const fn is_alive(&self) -> bool {
        matches!(self, Self::Alive)
    }
}

/// What the system refuses.
fn refused(what: &'static str) -> impl FnOnce(Errno) -> PlaceError {
    move |errno| PlaceError::Io { what, source: errno.into() }
}

/// Makes the socket, non-blocking; of a stream it listens.
pub(super) fn make(wanted: &UnixSocket) -> Result<(OwnedFd, Place), PlaceError> {
    let UnixSocket { path, kind, group } = wanted;
    let gid = group.as_deref().map(gid_of).transpose()?;
    let kind = match kind {
        SocketKind::Stream => SocketType::STREAM,
        SocketKind::Datagram => SocketType::DGRAM,
    };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = || rustix::net::socket_with(AddressFamily::UNIX, kind, flags, None);
    let address = SocketAddrUnix::new(path.as_path()).map_err(refused("can't be named"))?;
    make_way(path)?;
    let socket = socket().map_err(refused("no socket can be had"))?;
    // What bind(2) makes has the rights that the descriptor has, less the umask's.
    rustix::fs::fchmod(&socket, Mode::RUSR | Mode::WUSR).map_err(refused("can't be protected"))?;
    if kind == SocketType::DGRAM {
        // Before anybody can send, for what comes without it is nobody's.
        rustix::net::sockopt::set_socket_passcred(&socket, true)
            .map_err(refused("tells no senders"))?;
    }
    rustix::net::bind(&socket, &address).map_err(|errno| match errno {
        Errno::NOENT => PlaceError::NoFolder,
        Errno::ADDRINUSE => PlaceError::Alive,
        errno => refused("can't be made")(errno),
    })?;
    let place = Place::settle(path, gid)?;
    if kind == SocketType::STREAM {
        rustix::net::listen(&socket, BACKLOG).map_err(refused("can't be listened at"))?;
    }
    Ok((socket, place))
}

/// Whether a socket could be made there now.
pub(super) fn could_be_made(wanted: &UnixSocket) -> Result<(), PlaceError> {
    wanted.group.as_deref().map(gid_of).transpose()?;
    look(&wanted.path)?;
    let folder = wanted.path.parent().unwrap_or(Path::new("/"));
    if !folder.is_dir() {
        return Err(PlaceError::NoFolder);
    }
    rustix::fs::access(folder, rustix::fs::Access::WRITE_OK).map_err(refused("can't be made"))
}

enum Found {
    Nothing,
    Stale,
}

/// Removes what a daemon that was killed left behind, and nothing else.
fn make_way(path: &Path) -> Result<(), PlaceError> {
    match look(path)? {
        Found::Nothing => Ok(()),
        Found::Stale => {
            tracing::info!(path = %path.display(), "Taking over a socket that was left behind.");
            fs::remove_file(path)
                .map_err(|source| PlaceError::Io { what: "can't be taken over", source })
        }
    }
}

fn look(path: &Path) -> Result<Found, PlaceError> {
    let there = match fs::symlink_metadata(path) {
        Ok(there) => there,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Found::Nothing),
        Err(source) => return Err(PlaceError::Io { what: "can't be looked at", source }),
    };
    let kind = there.file_type();
    if !kind.is_socket() {
        let what = match kind {
            _ if kind.is_dir() => "a folder",
            _ if kind.is_symlink() => "a symbolic link",
            _ if kind.is_file() => "a file",
            _ => "something else",
        };
        return Err(PlaceError::Taken { what });
    }
    if is_alive(path)? {
        return Err(PlaceError::Alive);
    }
    if there.uid() != rustix::process::geteuid().as_raw() {
        return Err(PlaceError::Foreign { uid: there.uid() });
    }
    Ok(Found::Stale)
}

/// Whether somebody holds the socket: only a dead one refuses, whatever its type.
fn is_alive(path: &Path) -> Result<bool, PlaceError> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let probe = rustix::net::socket_with(AddressFamily::UNIX, SocketType::DGRAM, flags, None);
    let probe = probe.map_err(refused("no socket can be had"))?;
    let address = SocketAddrUnix::new(path).map_err(refused("can't be named"))?;
    match rustix::net::connect(&probe, &address) {
        Err(Errno::CONNREFUSED) => Ok(false),
        // Of the other type, or full: alive. What can't be told is better left alone.
        _ => Ok(true),
    }
}

/// A group's number; names are looked up in /etc/group, where a host's services have theirs.
pub(super) fn gid_of(group: &str) -> Result<Gid, PlaceError> {
    let unknown = || PlaceError::NoGroup { group: group.to_owned() };
    if let Ok(number) = group.parse::<u32>() {
        return (number != u32::MAX).then(|| Gid::from_raw(number)).ok_or_else(unknown);
    }
    let groups = fs::read_to_string("/etc/group")
        .map_err(|source| PlaceError::Io { what: "/etc/group can't be read", source })?;
    let number = groups.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next() == Some(group)).then(|| fields.nth(1)?.parse().ok())?
    });
    number.map(Gid::from_raw).ok_or_else(unknown)
}

impl Place {
    /// Looks at what was made, and lets the group in.
    fn settle(path: &Path, gid: Option<Gid>) -> Result<Self, PlaceError> {
        // By descriptor: the name might be another's in the next moment.
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let made = rustix::fs::open(path, flags, Mode::empty()).map_err(refused("is gone"))?;
        if let Some(gid) = gid {
            rustix::fs::chownat(&made, c"", None, Some(gid), AtFlags::EMPTY_PATH)
                .map_err(refused("can't be given to the group"))?;
            let by_descriptor = format!("/proc/self/fd/{}", made.as_raw_fd());
            fs::set_permissions(by_descriptor, fs::Permissions::from_mode(0o660))
                .map_err(|source| PlaceError::Io { what: "can't be given to the group", source })?;
        }
        let stat = rustix::fs::fstat(&made).map_err(refused("can't be looked at"))?;
        Ok(Self {
            path: path.to_owned(),
            device: stat.st_dev,
            inode: stat.st_ino,
            mode: stat.st_mode,
            gid: stat.st_gid,
        })
    }

    /// Whether it is still there, with the rights that it was made with.
    pub(super) fn is_intact(&self) -> bool {
        fs::symlink_metadata(&self.path).is_ok_and(|there| {
            self.is(&there) && there.mode() == self.mode && there.gid() == self.gid
        })
    }

    fn is(&self, there: &fs::Metadata) -> bool {
        (there.dev(), there.ino()) == (self.device, self.inode)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if fs::symlink_metadata(&self.path).is_ok_and(|there| self.is(&there)) {
            // Left behind, it is taken over at the next start.
            fs::remove_file(&self.path).ok();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};

    use super::*;

    fn wanted(path: &Path, kind: SocketKind) -> UnixSocket {
        UnixSocket { path: path.to_owned(), kind, group: None }
    }

    fn rights(path: &Path) -> u32 {
        fs::symlink_metadata(path).unwrap().mode() & 0o7777
    }

    #[test]
    fn a_socket_has_narrow_rights_and_is_removed_with_its_owner() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("eve.sock");
        for kind in [SocketKind::Stream, SocketKind::Datagram] {
            let (socket, place) = make(&wanted(&path, kind)).unwrap();
            assert_eq!(rights(&path), 0o600);
            assert!(place.is_intact());
            fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
            assert!(!place.is_intact(), "its rights were changed");
            drop((socket, place));
            assert!(!path.exists());
        }
        let group = Some(rustix::process::getegid().as_raw().to_string());
        let (_socket, _place) =
            make(&UnixSocket { group, ..wanted(&path, SocketKind::Stream) }).unwrap();
        assert_eq!(rights(&path), 0o660);
    }

    #[test]
    fn what_was_left_behind_is_taken_over_whatever_its_type() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("eve.sock");
        drop(UnixListener::bind(&path).unwrap());
        let (_, place) = make(&wanted(&path, SocketKind::Datagram)).unwrap();
        drop(place);
        drop(UnixDatagram::bind(&path).unwrap());
        let (_listening, place) = make(&wanted(&path, SocketKind::Stream)).unwrap();
        UnixStream::connect(&path).unwrap();
        // Another's in its place isn't removed with it.
        fs::remove_file(&path).unwrap();
        fs::write(&path, "").unwrap();
        assert!(!place.is_intact());
        drop(place);
        assert!(path.exists());
    }

    #[test]
    fn what_somebody_else_has_there_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        fs::write(path("file"), "precious").unwrap();
        fs::create_dir(path("folder")).unwrap();
        symlink("file", path("link")).unwrap();
        let _stream = UnixListener::bind(path("stream")).unwrap();
        let _datagram = UnixDatagram::bind(path("datagram")).unwrap();
        for (name, said) in [
            ("file", "found a file; move it away"),
            ("folder", "found a folder"),
            ("link", "found a symbolic link"),
            ("stream", "another program listens"),
            ("datagram", "another program listens"),
            ("no/folder", "its folder doesn't exist"),
        ] {
            for kind in [SocketKind::Stream, SocketKind::Datagram] {
                let error = make(&wanted(&path(name), kind)).unwrap_err().to_string();
                assert!(error.contains(said), "{name}: {error}");
            }
        }
        assert_eq!(fs::read(path("file")).unwrap(), b"precious");
        let nobodys = UnixSocket {
            group: Some("no-such-group".to_owned()),
            ..wanted(&path("x"), SocketKind::Stream)
        };
        assert!(make(&nobodys).unwrap_err().to_string().contains("`no-such-group`"));
        assert!(!path("x").exists(), "nothing is made before its group is known");
    }
}
