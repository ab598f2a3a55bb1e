//! Sockets as they are used: several writers, bad ones among them.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpStream, UdpSocket};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::Path;
use std::sync::mpsc;

use super::super::{Inbox, Received, StatusRow};
use super::*;

/// A listener, and the engine's end of it.
struct Bench {
    inbox: Inbox<()>,
    handle: SourceHandle<()>,
}

impl Bench {
    fn new(at: Listen, format: Format) -> Self {
        let inbox = Inbox::new();
        let handle = Self::beside(&inbox, 0, at, format);
        Self { inbox, handle }
    }

    fn beside(inbox: &Inbox<()>, id: u16, at: Listen, format: Format) -> SourceHandle<()> {
        let status = SourceStatus::new("socket".to_owned(), State::Waiting).listening();
        let id = SourceId::new(id);
        let source = ListenSource { id, name: "socket".to_owned(), at, format };
        spawn_listener(source, inbox.lane(Arc::new(status))).unwrap()
    }

    fn row(&self) -> StatusRow {
        self.handle.status().row()
    }

    /// The next lines, so many of them at least.
    fn lines(&self, count: usize) -> Vec<String> {
        let mut lines = Vec::new();
        while lines.len() < count {
            match self.inbox.receive(Some(Instant::now() + Duration::from_secs(60))) {
                Received::Batch(batch) => {
                    assert_eq!(batch.position, Position::Socket);
                    let text = |line: &[u8]| String::from_utf8_lossy(line).into_owned();
                    lines.extend(batch.lines.iter().map(text));
                }
                other => panic!("expected lines, got {other:?} after {lines:?}"),
            }
        }
        lines
    }

    fn wait_until(&self, what: &str, happened: impl Fn(&StatusRow) -> bool) {
        let give_up = Instant::now() + Duration::from_secs(60);
        while !happened(&self.row()) {
            assert!(Instant::now() < give_up, "gave up waiting until {what}: {:?}", self.row());
            // The engine takes what there is.
            drop(self.inbox.receive(Some(Instant::now() + Duration::from_millis(10))));
        }
    }
}

fn unix(path: &Path, kind: SocketKind) -> Listen {
    Listen::Socket(UnixSocket { path: path.to_owned(), kind, group: None })
}

/// A port that nobody has, for as long as nobody takes it.
fn port(transport: Transport, from: &[&str]) -> (Listen, std::net::SocketAddr) {
    let at = match transport {
        Transport::Udp => UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap(),
        Transport::Tcp => TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap(),
    };
    let from = from.iter().map(|net| net.parse().unwrap()).collect();
    (Listen::Port(SyslogPort { transport, at, from }), at)
}

#[test]
fn several_writers_at_once_and_one_that_dies_amid_a_line() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("eve.sock");
    let bench = Bench::new(unix(&path, SocketKind::Stream), Format::SuricataEve);
    let mut one = UnixStream::connect(&path).unwrap();
    let mut other = UnixStream::connect(&path).unwrap();
    let mut dying = UnixStream::connect(&path).unwrap();
    dying.write_all(b"{\"event_type\":\"alert\",\"src_ip\":\"192.0.2.1").unwrap();
    one.write_all(b"{\"a\":").unwrap();
    other.write_all(b"{\"b\":1}\n{\"b\":2}\n").unwrap();
    assert_eq!(bench.lines(2), ["{\"b\":1}", "{\"b\":2}"]);
    drop(dying);
    one.write_all(b"1}\r\n").unwrap();
    assert_eq!(bench.lines(1), ["{\"a\":1}"]);
    bench.wait_until("the dead one is gone", |row| row.listener.unwrap().peers == 2);
    let row = bench.row().listener.unwrap();
    assert_eq!((row.received, row.lost, row.refused), (3, 1, 0));
    assert_eq!(bench.row().state, "reading");
}

#[test]
fn a_line_over_the_cap_is_cut_and_its_writer_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    for (kind, name) in [(SocketKind::Stream, "stream"), (SocketKind::Datagram, "datagram")] {
        let path = dir.path().join(name);
        let bench = Bench::new(unix(&path, kind), Format::Syslog);
        let long = [&vec![b'x'; LineCap::TEXT.bytes() + 1000][..], b"\n"].concat();
        match kind {
            SocketKind::Stream => {
                let mut writer = UnixStream::connect(&path).unwrap();
                writer.write_all(&long).unwrap();
                writer.write_all(b"next\n").unwrap();
            }
            SocketKind::Datagram => {
                let writer = UnixDatagram::unbound().unwrap();
                writer.send_to(&long, &path).unwrap();
                writer.send_to(b"next", &path).unwrap();
            }
        }
        let lines = bench.lines(2);
        assert_eq!((lines[0].len(), lines[1].as_str()), (LineCap::TEXT.bytes(), "next"));
        assert_eq!(bench.row().listener.unwrap().cut, 1);
    }
}

#[test]
fn a_socket_that_is_taken_away_comes_back() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    let bench = Bench::new(unix(&path, SocketKind::Datagram), Format::Syslog);
    let said = |text: &str| {
        let writer = UnixDatagram::unbound().unwrap();
        let give_up = Instant::now() + Duration::from_secs(60);
        while writer.send_to(text.as_bytes(), &path).is_err() {
            assert!(Instant::now() < give_up, "{text}: {:?}", bench.row());
            thread::sleep(Duration::from_millis(10));
        }
        assert_eq!(bench.lines(1), [text]);
    };
    said("one");
    fs::remove_file(&path).unwrap();
    said("two");
    // Something else in its place is left alone, told, and made up for when it is gone.
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    bench.wait_until("it is told", |row| row.state.contains("found a folder"));
    fs::remove_dir(&path).unwrap();
    said("three");
    let Bench { handle, .. } = bench;
    handle.stop();
    assert!(!path.exists());
}

#[test]
fn only_who_is_named_is_heard() {
    for (from, heard) in [(&["127.0.0.0/8"][..], true), (&["192.0.2.0/24"], false)] {
        let (listen, at) = port(Transport::Udp, from);
        let bench = Bench::new(listen, Format::Syslog);
        UdpSocket::bind("127.0.0.1:0").unwrap().send_to(b"<38>x", at).unwrap();
        match heard {
            true => assert_eq!(bench.lines(1), ["<38>x"]),
            false => bench.wait_until("it is refused", |row| row.listener.unwrap().refused == 1),
        }
        let (listen, at) = port(Transport::Tcp, from);
        let bench = Bench::new(listen, Format::Syslog);
        let mut client = TcpStream::connect(at).unwrap();
        client.write_all(b"5 <38>x<38>y\n").ok();
        if heard {
            assert_eq!(bench.lines(2), ["<38>x", "<38>y"]);
            continue;
        }
        bench.wait_until("it is refused", |row| row.listener.unwrap().refused == 1);
        assert!(!matches!(client.read(&mut [0]), Ok(1)), "it is closed");
        assert_eq!(bench.row().lines, 0);
    }
}

#[test]
fn what_the_kernel_drops_is_counted() {
    let (listen, at) = port(Transport::Udp, &[]);
    let bench = Bench::new(listen, Format::Syslog);
    let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
    // Nobody takes anything out of the lane, so the socket fills up.
    let sent = 20_000_u64;
    for _ in 0..sent {
        sender.send_to(&[b'x'; 1200], at).unwrap();
    }
    bench.wait_until("all are accounted for", |row| {
        let counts = row.listener.unwrap();
        counts.lost > 0 && counts.received + counts.lost == sent
    });
    assert_eq!(bench.row().listener.unwrap().peers, 1);
    assert!(bench.handle.status().listener().dropped() > 0);
}

#[test]
fn a_port_in_use_is_told_with_what_to_do_and_taken_once_it_is_free() {
    for transport in [Transport::Udp, Transport::Tcp] {
        let (listen, at) = port(transport, &[]);
        let taken = match transport {
            Transport::Udp => Bound::Udp(UdpSocket::bind(at).unwrap()),
            Transport::Tcp => Bound::Tcp(TcpListener::bind(at).unwrap()),
        };
        let error = can_listen(&listen).unwrap_err();
        assert!(error.taken && error.to_string().contains("ss -lnp"), "{error}");
        let bench = Bench::new(listen, Format::Syslog);
        let state = bench.row().state;
        assert!(state.contains(&at.to_string()) && state.contains("another program"), "{state}");
        drop(taken);
        bench.wait_until("it listens", |row| row.state == "reading");
    }
    let elsewhere = SyslogPort {
        transport: Transport::Tcp,
        at: "192.0.2.1:514".parse().unwrap(),
        from: vec![],
    };
    let error = can_listen(&Listen::Port(elsewhere)).unwrap_err().to_string();
    assert!(error.contains("doesn't have that address"), "{error}");
}

#[test]
fn nobody_keeps_a_place_by_saying_little() {
    // As `Streams` sees it, whose time is ours to tell.
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s");
    let wanted = UnixSocket { path: path.clone(), kind: SocketKind::Stream, group: None };
    let (made, _place) = place::make(&wanted).unwrap();
    let limits = Limits { connections: 3, of_one: 3, idle: Some(Duration::from_secs(3600)) };
    let admission = Admission::Rights { group: false };
    let mut streams =
        Streams::new("s".to_owned(), made, admission, limits, Framing::Lines, LineCap::TEXT);
    let counts = SourceStatus::new("s".to_owned(), State::Reading).listening();
    let counts = counts.listener();
    let start = Instant::now();
    let mut look = |ready: &[bool], after: u64| {
        let mut out = Gathered::default();
        streams.look(ready, start + Duration::from_secs(after), counts, &mut out);
        (streams.fds().count() - 1, out.damaged().1)
    };
    let mut drip = UnixStream::connect(&path).unwrap();
    let _silent = UnixStream::connect(&path).unwrap();
    let mut busy = UnixStream::connect(&path).unwrap();
    assert_eq!(look(&[true], 0), (3, 0));
    // One too many, while all of them are young.
    let _turned_away = UnixStream::connect(&path).unwrap();
    assert_eq!(look(&[false, false, false, true], 1), (3, 0));
    drip.write_all(b"a").unwrap();
    busy.write_all(b"line\nhalf").unwrap();
    assert_eq!(look(&[true, false, true], 10), (3, 0));
    drip.write_all(b"b").unwrap();
    busy.write_all(b" line\nhalf").unwrap();
    assert_eq!(look(&[true, false, true], 39), (3, 0));
    // Bytes without an end for half a minute: not even one more each second helps.
    assert_eq!(look(&[false, false, false], 41), (2, 1));
    // The silent one makes room where somebody wants it, ...
    let _late = UnixStream::connect(&path).unwrap();
    assert_eq!(look(&[false, false, true], 45), (3, 0));
    busy.write_all(b"\n").unwrap();
    let _later = UnixStream::connect(&path).unwrap();
    assert_eq!(look(&[false, true, false, true], 62), (3, 0));
    // ... and goes by itself in the end, as all do.
    assert_eq!(look(&[false; 4], 62 + 3601), (0, 0));
}

#[test]
fn a_flood_in_one_source_delays_no_other() {
    let (listen, at) = port(Transport::Tcp, &[]);
    let inbox = Inbox::new();
    let flooded = Bench::beside(&inbox, 0, listen, Format::Syslog);
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("auth.log");
    fs::write(&log, "").unwrap();
    let status = SourceStatus::new("log".to_owned(), State::Waiting);
    let file = super::super::FileSource {
        id: SourceId::new(1),
        path: log.clone(),
        cap: LineCap::TEXT,
        trusted: true,
        vanishes: false,
        stored: None,
    };
    let quiet = super::super::spawn(file, inbox.lane(Arc::new(status))).unwrap();
    let (stop, stopped) = mpsc::channel::<()>();
    let flood = thread::spawn(move || {
        let mut stream = TcpStream::connect(at).unwrap();
        let lines = "<38>sshd[1]: nothing of interest\n".repeat(1000);
        while stopped.try_recv() == Err(mpsc::TryRecvError::Empty) {
            if stream.write_all(lines.as_bytes()).is_err() {
                return;
            }
        }
    });
    let receive = || match inbox.receive(Some(Instant::now() + Duration::from_secs(60))) {
        Received::Batch(batch) => batch,
        other => panic!("expected lines, got {other:?}"),
    };
    while flooded.status().progress().1 == 0 {
        thread::sleep(Duration::from_millis(1));
    }
    let mut log = fs::OpenOptions::new().append(true).open(&log).unwrap();
    for _ in 0..10 {
        log.write_all(b"line\n").unwrap();
        while quiet.status().progress().1 == 0 {
            thread::sleep(Duration::from_millis(1));
        }
        // It is there, and so is the flood: it is its turn at the latest after one batch of the flood.
        let turn = (0..2).position(|_| receive().source == SourceId::new(1));
        assert!(turn.is_some());
    }
    drop(flooded);
    drop(stop);
    flood.join().unwrap();
}

#[test]
fn writers_to_a_stream_wait_while_the_engine_is_busy() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("eve.sock");
    let bench = Bench::new(unix(&path, SocketKind::Stream), Format::SuricataEve);
    let total = 40_000;
    let writer = thread::spawn({
        let path = path.clone();
        move || {
            let mut stream = UnixStream::connect(path).unwrap();
            for n in 0..total {
                writeln!(stream, "{n:0200}").unwrap();
            }
        }
    });
    while bench.row().lag_bytes == 0 {
        thread::sleep(Duration::from_millis(1));
    }
    assert!(!writer.is_finished(), "8 MB are more than all that may wait");
    let lines = bench.lines(total);
    writer.join().unwrap();
    let numbers = lines.iter().map(|line| line.parse::<usize>().unwrap());
    assert!(numbers.eq(0..total), "none lost, none doubled, in order");
}
