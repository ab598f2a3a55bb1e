//! Bans of some ports: what they drop, what goes on, and how they meet other bans.

use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::time::Duration;

use ravelin::blocklist::{Blocklist, Clock, Expiry, Inserted, Wanted};
use ravelin::event::Ports;
use ravelin_common::Reason;
use ravelin_tests::netns::{BpfDir, Pair};

use super::{CLIENT, CLIENT_V6, SERVER, SERVER_V6, entry, in_time, open, options, target};

const MINUTE: Duration = Duration::from_secs(60);

fn opened() -> (Pair, BpfDir, Blocklist) {
    let (pair, dir) = (Pair::new(), BpfDir::new());
    let (blocklist, _opened) = open(&pair.server, &options(&dir, &["s0"]));
    (pair, dir, blocklist)
}

fn ports(text: &str) -> Ports {
    text.parse().unwrap()
}

/// Whether the client gets a TCP connection to a port.
fn connects(pair: &Pair, server: &str, port: u16, patience: Duration) -> bool {
    let address = SocketAddr::new(server.parse().unwrap(), port);
    pair.client.enter(|| TcpStream::connect_timeout(&address, patience)).is_ok()
}

/// Sends datagrams from the client, to a port each, then says which arrived at the server, in order.
fn arrived(pair: &Pair, server: &str, len: usize, to: &[u16]) -> Vec<u16> {
    let server: IpAddr = server.parse().unwrap();
    let sockets: Vec<UdpSocket> = pair
        .server
        .enter(|| to.iter().map(|port| UdpSocket::bind((server, *port)).unwrap()).collect());
    pair.client.enter(|| {
        let any = if server.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
        let sender = UdpSocket::bind(any).unwrap();
        for port in to {
            sender.send_to(&vec![7; len], (server, *port)).unwrap();
        }
    });
    // A veth keeps the order: once the last is there, what isn't won't come.
    let mut buffer = vec![0; len];
    let last = sockets.last().unwrap();
    last.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    assert_eq!(last.recv(&mut buffer).unwrap(), len);
    let mut arrived: Vec<u16> = Vec::new();
    for (socket, port) in sockets.iter().zip(to).take(to.len() - 1) {
        socket.set_nonblocking(true).unwrap();
        if socket.recv(&mut buffer).is_ok_and(|received| received == len) {
            arrived.push(*port);
        }
    }
    arrived.extend(to.last());
    arrived
}

#[test]
fn a_ban_of_ports_drops_these_and_lets_the_others_through() {
    let (pair, _dir, mut blocklist) = opened();
    let _listening: Vec<TcpListener> = pair.server.enter(|| {
        let all = [(SERVER, 25), (SERVER, 80), (SERVER_V6, 25), (SERVER_V6, 80)];
        all.map(|(address, port)| {
            TcpListener::bind((address.parse::<IpAddr>().unwrap(), port)).unwrap()
        })
        .into()
    });
    for (ban, from, to, reason) in [
        ("198.51.100.7/32", CLIENT, SERVER, Reason::DroppedV4),
        ("2001:db8:51::/64", CLIENT_V6, SERVER_V6, Reason::DroppedV6),
        ("198.51.100.0/24", CLIENT, SERVER, Reason::DroppedNetV4),
        ("2001:db8:51::/48", CLIENT_V6, SERVER_V6, Reason::DroppedNetV6),
    ] {
        assert!(connects(&pair, to, 25, MINUTE), "{ban}");
        let mail = ports("25,465,8000-8010");
        let done = blocklist.ban(target(ban), Some(&mail), in_time(MINUTE)).unwrap();
        assert_eq!(done, Inserted::New);
        let dropped = blocklist.counters().unwrap().of(reason);

        assert!(!connects(&pair, to, 25, Duration::from_millis(200)), "{ban}");
        assert!(connects(&pair, to, 80, MINUTE), "{ban}");
        assert!(pair.client.pings(from, to, 1), "{ban}");
        let counted = entry(&blocklist, ban).packets;
        assert!(counted >= 1, "{ban}");
        assert_eq!(arrived(&pair, to, 100, &[465, 53, 8005, 8011]), [53, 8011], "{ban}");
        // Cut into fragments: the first one, which has the port, is dropped, so that nothing is put
        // together of the others.
        assert_eq!(arrived(&pair, to, 4_000, &[465, 53, 8010, 7_999]), [53, 7_999], "{ban}");

        let after = entry(&blocklist, ban);
        assert!(after.packets >= counted + 4, "{ban}: {after:?}");
        assert_eq!((after.ports, after.every_port_until), (Some(mail), None));
        let counters = blocklist.counters().unwrap();
        assert_eq!(counters.of(reason) - dropped, after.packets, "{ban}");
        assert!(counters.of(Reason::PassedOtherPort) > 0);
        blocklist.remove(target(ban)).unwrap().unwrap();
        assert!(connects(&pair, to, 25, MINUTE), "{ban}");
    }
}

#[test]
fn a_second_ban_never_takes_from_the_first() {
    let (pair, _dir, mut blocklist) = opened();
    for ban in ["198.51.100.7/32", "198.51.100.0/24"] {
        let ban = target(ban);
        blocklist.ban(ban, Some(&ports("25")), in_time(2 * MINUTE)).unwrap();
        let done = blocklist.ban(ban, Some(&ports("465")), in_time(MINUTE)).unwrap();
        assert_eq!(done, Inserted::Renewed);
        assert_eq!(arrived(&pair, SERVER, 9, &[25, 465, 53]), [53]);

        // Every port for a while: the ports stay when that is over.
        blocklist.insert(ban, in_time(MINUTE)).unwrap();
        assert!(pair.client.is_cut_off(CLIENT, SERVER, 1));
        let both = blocklist.entry(ban).unwrap().unwrap();
        assert_eq!(both.ports, Some(ports("25,465")));
        assert!(both.every_port_until.is_some_and(|every| every < both.expires));
        blocklist.insert(ban, Expiry::At(1)).unwrap();
        assert_eq!(arrived(&pair, SERVER, 9, &[25, 465, 53]), [53]);

        // Ports for a while, under a ban of every port: it doesn't shorten that.
        blocklist.insert(ban, Expiry::Permanent).unwrap();
        blocklist.ban(ban, Some(&ports("80")), in_time(MINUTE)).unwrap();
        assert!(pair.client.is_cut_off(CLIENT, SERVER, 1));
        assert_eq!(blocklist.entry(ban).unwrap().unwrap().ports, None);
        blocklist.remove(ban).unwrap().unwrap();
        assert!(pair.client.pings(CLIENT, SERVER, 1));
    }
}

#[test]
fn a_ban_of_ports_is_no_hole_in_a_wider_one() {
    let (pair, _dir, mut blocklist) = opened();
    let (wide, narrow) = (target("198.51.100.0/24"), target("198.51.100.0/28"));
    for inner in [narrow, target(CLIENT)] {
        blocklist.ban(inner, Some(&ports("25")), Expiry::Permanent).unwrap();
        blocklist.ban(wide, Some(&ports("465")), Expiry::Permanent).unwrap();
        assert_eq!(arrived(&pair, SERVER, 9, &[25, 465, 53]), [53]);
        blocklist.insert(wide, in_time(MINUTE)).unwrap();
        assert!(pair.client.is_cut_off(CLIENT, SERVER, 1), "{inner}");
        blocklist.remove(wide).unwrap().unwrap();
        assert_eq!(arrived(&pair, SERVER, 9, &[25, 465]), [465], "{inner}");
        blocklist.remove(inner).unwrap().unwrap();
    }
}

#[test]
fn bans_of_ports_outlive_the_daemon_and_come_back_from_the_database() {
    let (pair, dir, mut blocklist) = opened();
    let (address, net) = (target(CLIENT), target("198.51.100.0/28"));
    let expires = in_time(MINUTE);
    for ban in [address, net] {
        blocklist.ban(ban, Some(&ports("25,465")), expires).unwrap();
    }
    drop(blocklist);
    assert_eq!(arrived(&pair, SERVER, 9, &[25, 53]), [53]);
    let (mut blocklist, opened) = open(&pair.server, &options(&dir, &["s0"]));
    assert_eq!(opened.adopted, Some(2));
    for ban in [address, net] {
        assert_eq!(blocklist.entry(ban).unwrap().unwrap().ports, Some(ports("25,465")));
    }
    let wanted = |ban, text| Wanted { target: ban, ports: Some(ports(text)), expires };
    let all = [wanted(address, "25,465"), wanted(net, "25"), wanted(net, "465")];
    let restored = blocklist.restore(all.clone()).unwrap();
    assert_eq!((restored.added, restored.renewed, restored.unchanged), (0, 0, 3));

    for ban in [address, net] {
        blocklist.remove(ban).unwrap().unwrap();
    }
    let restored = blocklist.restore(all).unwrap();
    assert_eq!((restored.added, restored.renewed, restored.unchanged), (2, 1, 0));
    for ban in [address, net] {
        let there = blocklist.entry(ban).unwrap().unwrap();
        assert_eq!(there.ports, Some(ports("25,465")));
        assert!(!there.expires.lapsed(Clock::read().monotonic_ns()));
    }
    assert_eq!(arrived(&pair, SERVER, 9, &[25, 465, 53]), [53]);
}

/// More sets of ports than the kernel has room for: those that nobody needs make room, and after that a
/// set that has all ports stands for one more.
#[test]
fn a_set_of_ports_without_room_becomes_all_of_them() {
    let (_pair, _dir, mut blocklist) = opened();
    let one = |port: u16| Ports::of_ranges([(port, port)]).unwrap();
    let who = |n: u16| target(&format!("192.0.2.{n}"));
    for n in 1..=1_000 {
        blocklist.ban(who(1), Some(&one(n)), Expiry::Permanent).unwrap();
        blocklist.remove(who(1)).unwrap().unwrap();
    }
    for n in 1..=254 {
        blocklist.ban(who(n), Some(&one(n)), Expiry::Permanent).unwrap();
        assert_eq!(entry(&blocklist, &who(n).to_string()).ports, Some(one(n)), "{n}");
    }
    blocklist.ban(who(255), Some(&one(255)), Expiry::Permanent).unwrap();
    assert_eq!(entry(&blocklist, "192.0.2.255/32").ports, Some(Ports::any()));
    assert_eq!(entry(&blocklist, "192.0.2.254/32").ports, Some(one(254)));
}
