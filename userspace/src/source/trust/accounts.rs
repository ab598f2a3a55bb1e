//! The host's users and groups, as far as trust in files goes: who logs in, and who is in which group.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::sync::{Arc, Mutex, PoisonError};

/// Users and groups from here on are people's, as in login.defs; those below are the system's.
pub(in super::super) const PEOPLE: u32 = 1_000;
/// systemd's `DynamicUser=`: services', though they are above.
pub(in super::super) const DYNAMIC: std::ops::RangeInclusive<u32> = 61_184..=65_519;

const PASSWD: &str = "/etc/passwd";
const GROUP: &str = "/etc/group";
/// Shells that nobody gets anywhere with.
const CLOSED: [&str; 6] = ["false", "halt", "nologin", "shutdown", "sync", "true"];

/// `/etc/passwd` and `/etc/group`.
///
/// Users of a directory service stand in neither; they are told by their numbers.
#[derive(Debug, Default)]
pub(super) struct Accounts {
    users: BTreeMap<u32, User>,
    groups: BTreeMap<u32, BTreeSet<u32>>,
}

#[derive(Debug)]
struct User {
    name: String,
    /// Whether it has a shell to log in with.
    logs_in: bool,
}

impl Accounts {
    /// This host's, read again when the files changed.
    pub(super) fn current() -> Arc<Self> {
        type Stamp = [Option<(u64, i64, i64)>; 2];
        static CACHE: Mutex<Option<(Stamp, Arc<Accounts>)>> = Mutex::new(None);

        let stamp = [PASSWD, GROUP].map(|file| {
            let metadata = fs::metadata(file).ok()?;
            Some((metadata.ino(), metadata.mtime(), metadata.mtime_nsec()))
        });
        let mut cache = CACHE.lock().unwrap_or_else(PoisonError::into_inner);
        match &*cache {
            Some((of, accounts)) if *of == stamp => Arc::clone(accounts),
            _ => {
                let read = |file| fs::read(file).unwrap_or_default();
                let accounts = Arc::new(Self::parse(&read(PASSWD), &read(GROUP)));
                *cache = Some((stamp, Arc::clone(&accounts)));
                accounts
            }
        }
    }

    pub(super) fn parse(passwd: &[u8], group: &[u8]) -> Self {
        let mut accounts = Self::default();
        let mut numbers = BTreeMap::new();
        for line in String::from_utf8_lossy(passwd).lines() {
            let fields: Vec<&str> = line.split(':').collect();
            let [name, _, uid, gid, _, _, shell, ..] = fields[..] else { continue };
            let (Ok(uid), Ok(gid)) = (uid.parse(), gid.parse()) else { continue };
            // No shell is /bin/sh.
            let program = shell.rsplit('/').next().unwrap_or_default();
            let logs_in = !CLOSED.contains(&program);
            // Of two names for one number, one that logs in is enough.
            let user = accounts.users.entry(uid);
            user.and_modify(|user| user.logs_in |= logs_in)
                .or_insert_with(|| User { name: name.to_owned(), logs_in });
            numbers.insert(name.to_owned(), uid);
            accounts.groups.entry(gid).or_default().insert(uid);
        }
        for line in String::from_utf8_lossy(group).lines() {
            let fields: Vec<&str> = line.split(':').collect();
            let [_, _, gid, members, ..] = fields[..] else { continue };
            let Ok(gid) = gid.parse() else { continue };
            let group = accounts.groups.entry(gid).or_default();
            group.extend(members.split(',').filter_map(|name| numbers.get(name)));
        }
        accounts
    }

    /// What a person who isn't root is called, if this is one.
    pub(super) fn person(&self, uid: u32) -> Option<String> {
        match self.users.get(&uid) {
            _ if uid == 0 => None,
            Some(user) => user.logs_in.then(|| user.name.clone()),
            None => is_persons(uid).then(|| format!("uid {uid}")),
        }
    }

    /// A person who isn't root and is in that group, if there is one.
    pub(super) fn person_in(&self, gid: u32) -> Option<String> {
        match self.groups.get(&gid) {
            Some(members) => members.iter().find_map(|&uid| self.person(uid)),
            None => is_persons(gid).then(|| format!("whoever is in the group {gid}")),
        }
    }
}

fn is_persons(number: u32) -> bool {
    number >= PEOPLE && !DYNAMIC.contains(&number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_are_told_from_services() {
        let accounts = Accounts::parse(
            b"root:x:0:0::/root:/bin/bash\nsyslog:x:104:110::/home/syslog:/usr/sbin/nologin\n\
              postgres:x:114:120::/var/lib/postgresql:/bin/bash\nbare:x:115:121:::\n\
              bob:x:1001:1001::/home/bob:/bin/zsh\nboxed:x:1002:1002::/:/bin/false\nbroken:x\n",
            b"adm:x:4:syslog,bob\nsyslog:x:110:\nstaff:x:50:root,absent\n",
        );
        for (uid, person) in [
            (0, None),
            (104, None),
            (114, Some("postgres")),
            (115, Some("bare")),
            (1001, Some("bob")),
            (1002, None),
            // Known to nobody: a directory's user, a service's.
            (900, None),
            (70_000, Some("uid 70000")),
            (61_184, None),
        ] {
            assert_eq!(accounts.person(uid).as_deref(), person, "{uid}");
        }
        for (gid, person) in [
            (0, None),
            (4, Some("bob")),
            (110, None),
            (50, None),
            (120, Some("postgres")),
            (1001, Some("bob")),
            (900, None),
            (70_000, Some("whoever is in the group 70000")),
        ] {
            assert_eq!(accounts.person_in(gid).as_deref(), person, "{gid}");
        }
    }
}
