//! Who is logged in to this host, and from where.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;

use crate::event::canonical;

/// `struct utmp` (utmp(5)): its size, where its fields lie, and what a login's type is.
const UTMP: usize = 384;
const UTMP_USER: std::ops::Range<usize> = 44..76;
const UTMP_ADDRESS: std::ops::Range<usize> = 348..364;
const USER_PROCESS: u16 = 7;
/// More parents than this no shell has.
const ANCESTORS: usize = 64;

/// From where the session comes that this is typed in. `sudo` takes SSH_CONNECTION out of the environment; a
/// parent still has it.
pub fn own_session() -> Option<IpAddr> {
    let peer = |connection: &str| connection.split(' ').next()?.parse().ok().map(canonical);
    if let Ok(connection) = std::env::var("SSH_CONNECTION") {
        return peer(&connection);
    }
    let mut process = rustix::process::getppid()?.as_raw_nonzero().get().to_string();
    for _ in 0..ANCESTORS {
        let folder = Path::new("/proc").join(&process);
        let environment = fs::read(folder.join("environ")).unwrap_or_default();
        let found = environment
            .split(|byte| *byte == 0)
            .find_map(|variable| variable.strip_prefix(b"SSH_CONNECTION="));
        if let Some(connection) = found {
            return peer(&String::from_utf8_lossy(connection));
        }
        let status = fs::read_to_string(folder.join("status")).ok()?;
        let parent = status.lines().find_map(|line| line.strip_prefix("PPid:"))?.trim();
        if matches!(parent, "0" | "1") {
            return None;
        }
        parent.clone_into(&mut process);
    }
    None
}

/// Who is logged in from another host, as login(1) and sshd keep the record; empty where nobody keeps it.
pub fn logins() -> Vec<(IpAddr, String)> {
    utmp(&fs::read("/var/run/utmp").unwrap_or_default())
}

fn utmp(records: &[u8]) -> Vec<(IpAddr, String)> {
    records
        .chunks_exact(UTMP)
        .filter(|record| record.first_chunk() == Some(&USER_PROCESS.to_ne_bytes()))
        .filter_map(|record| {
            let user = record.get(UTMP_USER)?.split(|byte| *byte == 0).next()?;
            let bytes: [u8; 16] = record.get(UTMP_ADDRESS)?.try_into().ok()?;
            let [a, b, c, d, rest @ ..] = bytes;
            // IPv4 stands in the first word, the others are zero.
            let address = match rest == [0; 12] {
                true => IpAddr::V4(Ipv4Addr::new(a, b, c, d)),
                false => canonical(IpAddr::V6(Ipv6Addr::from(bytes))),
            };
            let user: String =
                String::from_utf8_lossy(user).chars().filter(|char| !char.is_control()).collect();
            (!address.is_unspecified()).then_some((address, user))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(kind: u16, user: &str, address: &[u8]) -> Vec<u8> {
        let mut record = vec![0; UTMP];
        record[..2].copy_from_slice(&kind.to_ne_bytes());
        record[UTMP_USER.start..UTMP_USER.start + user.len()].copy_from_slice(user.as_bytes());
        record[UTMP_ADDRESS.start..UTMP_ADDRESS.start + address.len()].copy_from_slice(address);
        record
    }

    #[test]
    fn logins_are_told_with_their_addresses() {
        let v6: Ipv6Addr = "2001:db8::7".parse().unwrap();
        let mapped: Ipv6Addr = "::ffff:198.51.100.8".parse().unwrap();
        let records = [
            record(USER_PROCESS, "anna", &[198, 51, 100, 7]),
            record(8, "gone", &[198, 51, 100, 9]),
            record(USER_PROCESS, "here", &[]),
            record(USER_PROCESS, "ben", &v6.octets()),
            record(USER_PROCESS, "carl\x1b", &mapped.octets()),
            vec![7, 0, 1],
        ];
        let told: Vec<_> = utmp(&records.concat())
            .into_iter()
            .map(|(address, user)| format!("{user} {address}"))
            .collect();
        assert_eq!(told, ["anna 198.51.100.7", "ben 2001:db8::7", "carl 198.51.100.8"]);
    }
}
