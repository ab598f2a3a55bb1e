//! Syslog over the network and over a UNIX socket, as logger(1) and rsyslogd send it.

use std::fs;
use std::io::Write as _;
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::process::{Child, Stdio};
use std::thread;
use std::time::Duration;

use ravelin_tests::netns::{Netns, Pair};

use super::{CLIENT, Daemon, SERVER, count, is_banned, told};

const UDP: &str = "udp:203.0.113.1:514";
const TCP: &str = "tcp:203.0.113.1:601";

/// Both ports, and the log that the daemon reads otherwise.
fn ports(daemon: &Daemon, from: &str) -> String {
    format!(
        "sources:
  - {{format: syslog, file: {}}}
  - {{format: syslog, udp: '203.0.113.1:514'{from}}}
  - {{format: syslog, tcp: '203.0.113.1:601'{from}}}
",
        daemon.auth_log().display()
    )
}

fn started(pair: &Pair, from: &str) -> Daemon {
    let mut daemon = Daemon::configured(&pair.server, "");
    daemon.configure(&ports(&daemon, from));
    daemon.restart();
    daemon
}

/// Twelve wrong passwords of one connection's, sent by `logger` from a host.
fn guesses(host: &Netns, offender: &str, args: &[&str]) {
    let mut command = host.command("logger");
    command.args(args).args(["-t", "sshd", "--id=812", "-p", "auth.info"]);
    let mut logger = command.stdin(Stdio::piped()).spawn().unwrap();
    let line = format!("Failed password for root from {offender} port 4711 ssh2\n");
    logger.stdin.take().unwrap().write_all(line.repeat(12).as_bytes()).unwrap();
    assert!(logger.wait().unwrap().success(), "logger {args:?}");
}

/// All that logger can do over the network.
const WAYS: [&[&str]; 6] = [
    &["-n", SERVER, "-P", "514", "-d", "--rfc3164"],
    &["-n", SERVER, "-P", "514", "-d", "--rfc5424"],
    &["-n", SERVER, "-P", "601", "-T", "--rfc3164"],
    &["-n", SERVER, "-P", "601", "-T", "--rfc5424"],
    &["-n", SERVER, "-P", "601", "-T", "--octet-count", "--rfc3164"],
    &["-n", SERVER, "-P", "601", "-T", "--octet-count", "--rfc5424"],
];

#[test]
fn a_sender_that_is_named_is_believed_and_never_blamed() {
    let pair = Pair::new();
    let daemon = started(&pair, ", from: [198.51.100.7]");
    assert_eq!(daemon.health(), [""; 0]);
    for (way, host) in WAYS.iter().zip(101..) {
        let offender = format!("198.51.100.{host}");
        guesses(&pair.client, &offender, way);
        daemon.wait_until(&format!("{offender} is banned"), || is_banned(&daemon, &offender));
    }
    assert_eq!(daemon.banned().len(), WAYS.len(), "nobody else is");
    assert_eq!(count(&daemon, UDP, "received"), 24);
    assert_eq!(count(&daemon, TCP, "received"), 48);
    assert_eq!((count(&daemon, UDP, "lost"), count(&daemon, TCP, "lost")), (0, 0));
    // What it says about itself is nothing it could be banned for.
    guesses(&pair.client, CLIENT, WAYS[0]);
    daemon.wait_until("that is read", || count(&daemon, UDP, "received") == 36);
    let checked = daemon.cli(&["check"]).done();
    assert!(checked.out.contains("3 sources"), "{}", checked.out);
}

#[test]
fn nobody_else_is_heard() {
    let pair = Pair::new();
    let daemon = started(&pair, ", from: [192.0.2.0/24]");
    guesses(&pair.client, "198.51.100.101", WAYS[0]);
    daemon.wait_until("datagrams are refused", || count(&daemon, UDP, "refused") == 12);
    pair.client.enter(|| drop(TcpStream::connect((SERVER, 601)).unwrap()));
    daemon.wait_until("the connection is refused", || count(&daemon, TCP, "refused") == 1);
    assert_eq!((count(&daemon, UDP, "received"), count(&daemon, TCP, "received")), (0, 0));
    assert!(daemon.log().contains("198.51.100.7"), "the log says who: {}", daemon.log());
}

#[test]
fn what_anybody_could_have_sent_alerts_and_bans_nobody() {
    let pair = Pair::new();
    let daemon = started(&pair, "");
    daemon.wait_until("it is told", || told(&daemon, "source-untrusted"));
    let status = daemon.status();
    assert_eq!(status["state"], "enforcing", "{status}");
    let checked = daemon.cli(&["check"]).done().out;
    assert!(checked.contains("udp:203.0.113.1:514 hears everybody"), "{checked}");
    for (way, host) in WAYS.iter().zip(101..) {
        let offender = format!("198.51.100.{host}");
        guesses(&pair.client, &offender, way);
        let past = || daemon.cli(&["history", "--json"]).done().json().to_string();
        daemon.wait_until("it alerts", || {
            let past = past();
            past.contains(&offender) && past.contains("untrusted")
        });
    }
    assert_eq!(daemon.banned(), [""; 0]);
    // What a trusted log says bans as ever.
    for _ in 0..12 {
        daemon.log_line(&format!(
            "{} web1 sshd[9]: Failed password for root from 198.51.100.99 port 4711 ssh2",
            jiff::Timestamp::now()
        ));
    }
    daemon.wait_until("the trusted log bans", || is_banned(&daemon, "198.51.100.99"));
}

#[test]
fn a_containers_dev_log_is_read() {
    let pair = Pair::new();
    let mut daemon = Daemon::configured(&pair.server, "");
    let path = daemon.path("dev-log").display().to_string();
    let source =
        |kind: &str| format!("sources: [{{format: syslog, socket: {path}, type: {kind}}}]\n");
    for (kind, offender) in [("datagram", "198.51.100.101"), ("stream", "198.51.100.102")] {
        fs::remove_file(daemon.path("dev-log")).ok();
        daemon.configure(&source(kind));
        daemon.restart();
        if kind == "datagram" {
            guesses(&pair.server, offender, &["-u", &path, "--socket-errors=on"]);
        } else {
            let mut stream = std::os::unix::net::UnixStream::connect(&path).unwrap();
            for n in 0..12 {
                let text = "Failed password for root from";
                writeln!(stream, "<38>sshd[812]: {text} {offender} port {n} ssh2").unwrap();
            }
        }
        daemon.wait_until("the offender is banned", || is_banned(&daemon, offender));
    }
}

#[test]
fn a_port_that_another_program_has_keeps_no_other_source_from_being_read() {
    let pair = Pair::new();
    let taken = pair.server.enter(|| {
        (UdpSocket::bind((SERVER, 514)).unwrap(), TcpListener::bind((SERVER, 601)).unwrap())
    });
    let daemon = started(&pair, ", from: [198.51.100.7]");
    daemon.wait_until("it is told", || told(&daemon, "source-unreadable"));
    let status = daemon.status();
    assert_eq!(status["state"], "degraded");
    let remedies = status["health"].to_string();
    assert!(remedies.contains("ss -lnp 'sport = :514'") && remedies.contains(":601"), "{remedies}");
    let checked = daemon.cli(&["check"]);
    assert_eq!(checked.code, 1);
    assert!(checked.out.contains("can't listen at udp:203.0.113.1:514"), "{}", checked.out);
    for _ in 0..12 {
        daemon.log_line(&format!(
            "{} web1 sshd[9]: Failed password for root from 198.51.100.99 port 4711 ssh2",
            jiff::Timestamp::now()
        ));
    }
    daemon.wait_until("the log bans", || is_banned(&daemon, "198.51.100.99"));
    drop(taken);
    daemon.wait_until("the ports are taken", || daemon.health().is_empty());
    guesses(&pair.client, "198.51.100.101", WAYS[4]);
    daemon.wait_until("they are heard", || is_banned(&daemon, "198.51.100.101"));
}

#[test]
fn what_is_lost_is_counted_and_told() {
    let pair = Pair::new();
    let daemon = started(&pair, ", from: [198.51.100.7]");
    daemon.signal("-STOP");
    let sent = 30_000_u64;
    pair.client.enter(|| {
        let socket = UdpSocket::bind((CLIENT, 0)).unwrap();
        for _ in 0..sent {
            socket.send_to(&[b'x'; 1000], (SERVER, 514)).unwrap();
        }
    });
    daemon.signal("-CONT");
    daemon.wait_until("it is told", || told(&daemon, "source-losing"));
    // Not all of them come as far as the socket.
    let (received, lost) = (count(&daemon, UDP, "received"), count(&daemon, UDP, "lost"));
    assert!(received > 0 && lost > 0 && received + lost <= sent, "{received} {lost}");
    let remedy = daemon.status()["health"].to_string();
    assert!(remedy.contains("datagrams came faster than they were read"), "{remedy}");
    assert_eq!(daemon.status()["state"], "enforcing");
}

/// Connections that say nothing, one that never ends its line and one that sends as much as it can.
#[test]
fn bad_company_keeps_nobody_from_being_heard() {
    let pair = Pair::new();
    let daemon = started(&pair, ", from: [198.51.100.0/24]");
    let mut crowd = Vec::new();
    for n in 1..=4_u8 {
        let address = std::net::Ipv4Addr::new(198, 51, 100, 50 + n);
        pair.client_address(address);
        crowd.extend(
            pair.client.enter(|| (0..40).map(|_| connect_from(address)).collect::<Vec<_>>()),
        );
    }
    daemon.wait_until("there is no more room", || count(&daemon, TCP, "peers") == 64);
    daemon.wait_until("the others are turned away", || count(&daemon, TCP, "refused") >= 96);
    // Their places are free again as soon as they are gone.
    drop(crowd);
    daemon.wait_until("they are gone", || count(&daemon, TCP, "peers") == 0);
    let flood = pair.client.enter(|| connect_from(CLIENT.parse().unwrap()));
    let stop = flood.try_clone().unwrap();
    let flooding = thread::spawn(move || {
        let mut flood = flood;
        let lines = "<38>sshd[1]: nothing of interest\n".repeat(2000);
        while flood.write_all(lines.as_bytes()).is_ok() {}
    });
    daemon.wait_until("it floods", || count(&daemon, TCP, "received") > 50_000);
    guesses(&pair.client, "198.51.100.101", WAYS[2]);
    daemon.log_line(&format!(
        "{} web1 sshd[9]: Server listening on 0.0.0.0 port 22.",
        jiff::Timestamp::now()
    ));
    daemon.wait_until("another is heard", || is_banned(&daemon, "198.51.100.101"));
    stop.shutdown(std::net::Shutdown::Both).unwrap();
    flooding.join().unwrap();
}

fn connect_from(address: std::net::Ipv4Addr) -> TcpStream {
    use rustix::net::{AddressFamily, SocketAddrV4, SocketType};

    let socket = rustix::net::socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
    rustix::net::bind(&socket, &SocketAddrV4::new(address, 0)).unwrap();
    rustix::net::connect(&socket, &SocketAddrV4::new(SERVER.parse().unwrap(), 601)).unwrap();
    socket.into()
}

/// rsyslogd on the client; killed when dropped.
struct Rsyslogd(Child);

impl Drop for Rsyslogd {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

#[test]
fn rsyslogd_forwards_and_finds_its_way_back() {
    if !std::path::Path::new("/usr/sbin/rsyslogd").exists() {
        eprintln!("skipped: apt-get install rsyslog");
        return;
    }
    let pair = Pair::new();
    let mut daemon = started(&pair, ", from: [198.51.100.7]");
    let dir = daemon.path("rsyslog");
    fs::create_dir(&dir).unwrap();
    let input = dir.join("in.sock");
    let config = format!(
        "global(workDirectory=\"{dir}\")
module(load=\"imuxsock\" SysSock.Use=\"off\")
input(type=\"imuxsock\" Socket=\"{input}\" RateLimit.Interval=\"0\")
action(type=\"omfwd\" target=\"{SERVER}\" port=\"601\" protocol=\"tcp\" TCP_Framing=\"octet-counted\"
  template=\"RSYSLOG_SyslogProtocol23Format\" action.resumeRetryCount=\"-1\" action.resumeInterval=\"1\")
",
        dir = dir.display(),
        input = input.display(),
    );
    fs::write(dir.join("rsyslog.conf"), config).unwrap();
    let output = fs::File::create(dir.join("out")).unwrap();
    let mut command = pair.client.command("/usr/sbin/rsyslogd");
    command.arg("-n").arg("-f").arg(dir.join("rsyslog.conf")).arg("-i").arg(dir.join("pid"));
    command.stdin(Stdio::null()).stdout(output.try_clone().unwrap()).stderr(output);
    let _rsyslogd = Rsyslogd(command.spawn().unwrap());
    daemon.wait_until("rsyslogd listens", || input.exists());
    let input = input.display().to_string();
    guesses(&pair.server, "198.51.100.101", &["-u", &input, "--socket-errors=on"]);
    daemon.wait_until("what it forwards bans", || is_banned(&daemon, "198.51.100.101"));
    assert_eq!(count(&daemon, TCP, "received"), 12);
    assert_eq!(count(&daemon, TCP, "peers"), 1);
    // A new daemon: it comes back. What it sent into the void by then is its own loss.
    daemon.restart();
    daemon.wait_until("it is connected again", || {
        guesses(&pair.server, "198.51.100.102", &["-u", &input, "--socket-errors=on"]);
        thread::sleep(Duration::from_millis(200));
        count(&daemon, TCP, "peers") == 1
    });
    daemon.wait_until("it bans again", || is_banned(&daemon, "198.51.100.102"));
}
