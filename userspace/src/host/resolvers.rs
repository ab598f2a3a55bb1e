//! The name servers that this host asks.

use std::collections::BTreeSet;
use std::fs;
use std::net::IpAddr;

/// What the C library asks, and, where that is a local stub, whom the stub asks in turn.
const FILES: [&str; 3] = [
    "/etc/resolv.conf",
    "/run/systemd/resolve/resolv.conf",
    "/run/NetworkManager/no-stub-resolv.conf",
];

/// Name servers of resolv.conf, and of the local stub's own where there is one. Files that are missing
/// or unreadable name none.
pub fn resolvers() -> BTreeSet<IpAddr> {
    FILES.iter().filter_map(|path| fs::read(path).ok()).flat_map(|text| parse(&text)).collect()
}

/// resolv.conf(5): `nameserver ADDRESS`, the keyword at the start of its line; a scope (`%eth0`) is
/// left out.
fn parse(text: &[u8]) -> BTreeSet<IpAddr> {
    String::from_utf8_lossy(text)
        .lines()
        .filter_map(|line| line.strip_prefix("nameserver"))
        .filter(|rest| rest.starts_with([' ', '\t']))
        .filter_map(|rest| rest.split_ascii_whitespace().next())
        .filter_map(|address| address.split('%').next()?.parse().ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_addresses_and_nothing_else() {
        let text = b"# nameserver 192.0.2.9\nsearch example\nnameserver 192.0.2.1\nnameserver\t2001:db8::53 # ours\n\
            nameserver fe80::1%eth0\nnameserver ns.example\nnameserverx 192.0.2.8\n nameserver 192.0.2.7\n\xff\n";
        let found: Vec<String> = parse(text).iter().map(ToString::to_string).collect();
        assert_eq!(found, ["192.0.2.1", "2001:db8::53", "fe80::1"]);
    }
}
