//! How far a source's lines are believed: as far as the least of those who could have written them.
//!
//! What a person beside root can write to says whatever that person likes, about whatever address. Such
//! lines alert, and never ban.

mod accounts;

use std::fmt;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use self::accounts::Accounts;
pub(super) use self::accounts::{DYNAMIC, PEOPLE};
use super::tail::parent;

/// How long what was found holds: owners and modes seldom change.
const HOLDS: Duration = Duration::from_secs(5);
/// Entries of an access list that are looked at: more than any list has.
const ENTRIES: usize = 512;
/// Symbolic links that are followed, as the kernel does.
const LINKS: usize = 40;

/// How far a source's lines are believed.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub enum Trust {
    /// Nobody has looked: it isn't read.
    #[default]
    Unknown,
    /// journald itself says who said what.
    Journal,
    /// Only root and the system's own users can write to the file.
    File,
    /// The configuration says so.
    Configured,
    /// Somebody else may have written them: they alert, and never ban.
    Untrusted {
        /// Who and where, in one line.
        why: String,
    },
}

impl Trust {
    /// Whether its lines may ban.
    pub const fn may_ban(&self) -> bool {
        !matches!(self, Self::Untrusted { .. })
    }
}

impl fmt::Display for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown => f.write_str("unknown"),
            Self::Journal => f.write_str("journald"),
            Self::File => f.write_str("file"),
            Self::Configured => f.write_str("configured"),
            Self::Untrusted { why } => write!(f, "untrusted: {why}"),
        }
    }
}

/// How far a log file is believed now: nobody but root and users that don't log in may be able to write to
/// it, to put another in its place, or to lead its symbolic links elsewhere. Of a file that isn't there yet,
/// its folders tell.
pub fn trust_in_file(log: &Path) -> Trust {
    match writer(log, &Accounts::current()) {
        Some(why) => Trust::Untrusted { why },
        None => Trust::File,
    }
}

/// Trust in a log, looked after while it is read.
#[derive(Debug)]
pub(super) struct Assessor {
    log: PathBuf,
    /// What doesn't change.
    settled: bool,
    trust: Trust,
    /// When it was looked at.
    at: Option<Instant>,
}

impl Assessor {
    /// `configured`: the admin trusts it, whoever may write to it.
    pub(super) fn new(log: PathBuf, configured: bool) -> Self {
        let trust = if configured { Trust::Configured } else { Trust::Unknown };
        Self { log, settled: configured, trust, at: None }
    }

    pub(super) fn look(&mut self, now: Instant) -> &Trust {
        let holds = self.at.is_some_and(|at| now.saturating_duration_since(at) < HOLDS);
        if !self.settled && !holds {
            self.trust = trust_in_file(&self.log);
            self.at = Some(now);
        }
        &self.trust
    }
}

/// Who could write what is read there, beside root and the system; `None`: nobody.
fn writer(log: &Path, accounts: &Accounts) -> Option<String> {
    let mut name = log.to_owned();
    for _ in 0..LINKS {
        if let Some(why) = folder_writer(parent(&name), accounts) {
            return Some(why);
        }
        match fs::read_link(&name) {
            Ok(target) => name = parent(&name).join(target),
            Err(_) => {
                let metadata = fs::metadata(&name).ok()?;
                return file_writer(&name, &metadata, accounts)
                    .map(|who| format!("{} is writable by {who}", name.display()));
            }
        }
    }
    Some(format!("{} leads through too many links", log.display()))
}

/// Who could put something else in the folder, or another folder in its place.
fn folder_writer(folder: &Path, accounts: &Accounts) -> Option<String> {
    let real = match fs::canonicalize(folder) {
        Ok(real) => real,
        // Made by whoever may write above.
        Err(error) if error.kind() == io::ErrorKind::NotFound && folder.parent().is_some() => {
            return folder_writer(parent(folder), accounts);
        }
        // What can't be looked at can't be read either.
        Err(_) => return None,
    };
    real.ancestors().enumerate().find_map(|(height, folder)| {
        let metadata = fs::metadata(folder).ok()?;
        // In a sticky folder nobody takes away what isn't his; but everybody makes new files there.
        let sticky = height > 0 && metadata.mode() & 0o1000 != 0;
        let who = if sticky {
            owner(&metadata, accounts)
        } else {
            file_writer(folder, &metadata, accounts)
        };
        who.map(|who| format!("{} is writable by {who}", folder.display()))
    })
}

/// The person who may write to what has this owner, group and mode. An owner may always change the mode.
fn file_writer(path: &Path, metadata: &Metadata, accounts: &Accounts) -> Option<String> {
    let mode = metadata.mode();
    if mode & 0o002 != 0 {
        return Some("everybody".to_owned());
    }
    let others = || {
        // With an access list these bits are its mask.
        if mode & 0o020 == 0 {
            return None;
        }
        accounts.person_in(metadata.gid()).or_else(|| listed_writer(path, accounts))
    };
    owner(metadata, accounts).or_else(others)
}

/// The person to whom a POSIX access list gives the right to write.
///
/// Its layout is the kernel's `posix_acl_xattr.h`: a version, then (tag, permissions, id) an entry.
fn listed_writer(path: &Path, accounts: &Accounts) -> Option<String> {
    const WRITE: u16 = 2;
    const USER: u16 = 2;
    const GROUP: u16 = 8;

    let mut list = [0; 4 + 8 * ENTRIES];
    let read = rustix::fs::getxattr(path, "system.posix_acl_access", &mut list[..]).ok()?;
    list.get(4..read)?.chunks_exact(8).find_map(|entry| {
        let &[tag, tag_high, rights, rights_high, a, b, c, d] = entry else { return None };
        let id = u32::from_le_bytes([a, b, c, d]);
        let writes = u16::from_le_bytes([rights, rights_high]) & WRITE != 0;
        match u16::from_le_bytes([tag, tag_high]) {
            USER if writes => accounts.person(id),
            GROUP if writes => accounts.person_in(id),
            _ => None,
        }
    })
}

fn owner(metadata: &Metadata, accounts: &Accounts) -> Option<String> {
    accounts.person(metadata.uid())
}

#[cfg(test)]
mod tests {
    use std::fs::{File, Permissions};
    use std::os::unix::fs::{PermissionsExt as _, chown, symlink};

    use super::*;

    /// A folder, and a log in it that is nobody's but the system's.
    struct Bench {
        dir: tempfile::TempDir,
        accounts: Accounts,
    }

    impl Bench {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            // Whoever runs the tests is a service here; bob is a person, in a group of his own.
            let (uid, gid) = (rustix::process::getuid(), rustix::process::getgid());
            let passwd = format!(
                "us:x:{uid}:{gid}::/:/usr/sbin/nologin\nbob:x:4711:4712::/home/bob:/bin/bash\n"
            );
            let bench = Self { dir, accounts: Accounts::parse(passwd.as_bytes(), b"adm:x:4:\n") };
            fs::create_dir(bench.path("logs")).unwrap();
            File::create(bench.path("logs/log")).unwrap();
            bench.mode("logs", 0o755);
            bench.mode("logs/log", 0o640);
            bench
        }

        fn path(&self, name: &str) -> PathBuf {
            self.dir.path().join(name)
        }

        fn mode(&self, name: &str, mode: u32) {
            fs::set_permissions(self.path(name), Permissions::from_mode(mode)).unwrap();
        }

        fn writer(&self, name: &str) -> Option<String> {
            writer(&self.path(name), &self.accounts)
        }

        /// `NAME is writable by WHO`, if anybody is.
        #[track_caller]
        fn is_writable(&self, log: &str, by: Option<(&str, &str)>) {
            let told = by.map(|(name, who)| {
                format!(
                    "{} is writable by {who}",
                    self.path(name).canonicalize().unwrap().display()
                )
            });
            assert_eq!(self.writer(log), told);
        }
    }

    #[test]
    fn a_log_of_the_systems_is_trusted_and_one_that_everybody_writes_to_is_not() {
        let bench = Bench::new();
        bench.is_writable("logs/log", None);
        bench.is_writable("logs/not-there-yet", None);
        bench.mode("logs/log", 0o666);
        bench.is_writable("logs/log", Some(("logs/log", "everybody")));
        bench.mode("logs/log", 0o640);
        bench.mode("logs", 0o777);
        bench.is_writable("logs/log", Some(("logs", "everybody")));
        bench.is_writable("logs/not-there-yet", Some(("logs", "everybody")));
        bench.is_writable("logs/no/folder/yet", Some(("logs", "everybody")));
        // Everybody could make the next log there, ...
        bench.mode("logs", 0o1777);
        bench.is_writable("logs/log", Some(("logs", "everybody")));
        // ... but nobody takes away a folder in such a one.
        fs::create_dir(bench.path("logs/own")).unwrap();
        File::create(bench.path("logs/own/log")).unwrap();
        bench.mode("logs/own", 0o755);
        bench.mode("logs/own/log", 0o640);
        bench.is_writable("logs/own/log", None);
    }

    #[test]
    fn owners_and_groups_count_where_they_are_people() {
        if !rustix::process::getuid().is_root() {
            eprintln!("skipped: only root can give files away");
            return;
        }
        let bench = Bench::new();
        let give = |name: &str, uid, gid| chown(bench.path(name), Some(uid), Some(gid)).unwrap();
        give("logs/log", 4711, 0);
        bench.is_writable("logs/log", Some(("logs/log", "bob")));
        give("logs/log", 0, 4712);
        bench.is_writable("logs/log", None);
        bench.mode("logs/log", 0o660);
        bench.is_writable("logs/log", Some(("logs/log", "bob")));
        give("logs/log", 0, 4);
        bench.is_writable("logs/log", None);
        give("logs", 4711, 0);
        bench.is_writable("logs/log", Some(("logs", "bob")));
    }

    #[test]
    fn an_access_list_counts_for_those_it_names() {
        let bench = Bench::new();
        // Owner rw, the named one, group r, mask rw, others nothing.
        let list = |tag: u16, id: u32| {
            let mut entries = [
                (1, 6, u32::MAX),
                (tag, 6, id),
                (4, 4, u32::MAX),
                (16, 6, u32::MAX),
                (32, 0, u32::MAX),
            ];
            entries.sort_unstable();
            let mut bytes = 2_u32.to_le_bytes().to_vec();
            for (tag, rights, id) in entries {
                bytes.extend(u16::to_le_bytes(tag));
                bytes.extend(u16::to_le_bytes(rights));
                bytes.extend(u32::to_le_bytes(id));
            }
            let log = bench.path("logs/log");
            let flags = rustix::fs::XattrFlags::empty();
            rustix::fs::setxattr(&log, "system.posix_acl_access", &bytes, flags)
        };
        if list(2, 4711).is_err() {
            eprintln!("skipped: no access lists on this file system");
            return;
        }
        bench.is_writable("logs/log", Some(("logs/log", "bob")));
        list(8, 4712).unwrap();
        bench.is_writable("logs/log", Some(("logs/log", "bob")));
        // A service.
        list(2, 900).unwrap();
        bench.is_writable("logs/log", None);
    }

    #[test]
    fn a_link_is_as_good_as_each_folder_on_its_way() {
        let bench = Bench::new();
        fs::create_dir(bench.path("open")).unwrap();
        bench.mode("open", 0o755);
        symlink("../logs/log", bench.path("open/link")).unwrap();
        symlink("open/link", bench.path("link")).unwrap();
        bench.is_writable("link", None);
        bench.mode("open", 0o777);
        bench.is_writable("link", Some(("open", "everybody")));
        bench.mode("open", 0o755);
        bench.mode("logs", 0o777);
        bench.is_writable("link", Some(("logs", "everybody")));
        symlink("loop", bench.path("loop")).unwrap();
        assert!(bench.writer("loop").unwrap().contains("too many links"));
    }

    #[test]
    fn what_was_found_holds_for_a_while_and_what_is_configured_for_ever() {
        let bench = Bench::new();
        bench.mode("logs", 0o777);
        let now = Instant::now();
        let log = bench.path("logs/log");
        assert_eq!(*Assessor::new(log.clone(), true).look(now), Trust::Configured);
        let mut assessor = Assessor::new(log, false);
        assert!(!assessor.look(now).may_ban());
        bench.mode("logs", 0o755);
        assert!(!assessor.look(now + HOLDS / 2).may_ban());
        assert_eq!(*assessor.look(now + HOLDS), trust_in_file(&bench.path("logs/log")));
    }
}
