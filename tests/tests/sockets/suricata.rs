//! Suricata's EVE over both kinds of UNIX sockets.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use ravelin_tests::netns::{Netns, Pair};

use super::{CLIENT, Daemon, SERVER, count, is_banned, is_cut_off};

/// Suricata on the server's interface; killed when dropped.
struct Suricata(Child);

impl Suricata {
    /// It writes to both sockets.
    fn start(server: &Netns, daemon: &Daemon) -> Self {
        let home = daemon.path("suricata");
        fs::create_dir(&home).unwrap();
        fs::write(home.join("lab.rules"), RULE).unwrap();
        fs::write(home.join("classification.config"), CLASS).unwrap();
        fs::write(home.join("suricata.yaml"), configuration(&home, &daemon.path(""))).unwrap();
        let output = fs::File::create(home.join("out")).unwrap();
        let mut command = server.command("/usr/bin/suricata");
        command.arg("-c").arg(home.join("suricata.yaml")).arg("--af-packet=s0");
        command.stdin(Stdio::null()).stdout(output.try_clone().unwrap()).stderr(output);
        let suricata = Self(command.spawn().unwrap());
        daemon.wait_until("Suricata looks", || {
            fs::read_to_string(home.join("out")).unwrap().contains("Engine started")
        });
        suricata
    }
}

impl Drop for Suricata {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

const RULE: &str = "alert http any any -> any any (msg:\"ET SCAN Possible Nmap User-Agent Observed\"; \
                    flow:established,to_server; http.user_agent; content:\"Nmap\"; nocase; \
                    classtype:web-application-attack; sid:2024364; rev:3;)\n";
const CLASS: &str = "config classification: web-application-attack,Web Application Attack,1\n";

fn configuration(home: &Path, sockets: &Path) -> String {
    format!(
        "%YAML 1.1
---
vars:
  address-groups:
    HOME_NET: \"[{SERVER}]\"
default-log-dir: {home}
default-rule-path: {home}
rule-files: [lab.rules]
classification-file: {home}/classification.config
outputs:
  - eve-log: {{enabled: yes, filetype: unix_stream, filename: {sockets}/stream.sock, types: [alert]}}
  - eve-log: {{enabled: yes, filetype: unix_dgram, filename: {sockets}/dgram.sock, types: [alert]}}
logging:
  default-log-level: notice
  outputs:
    - console: {{enabled: yes}}
af-packet:
  - {{interface: s0, threads: 1, cluster-id: 98, cluster-type: cluster_flow, checksum-checks: no}}
stream: {{checksum-validation: no}}
app-layer: {{protocols: {{http: {{enabled: yes}}}}}}
unix-command: {{enabled: no}}
",
        home = home.display(),
        sockets = sockets.display(),
    )
}

/// The server's web site, for as long as the test runs.
fn serve(server: &Netns) {
    let listener = server.enter(|| TcpListener::bind((SERVER, 80)).unwrap());
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            thread::spawn(move || {
                let mut client = client;
                let mut request = [0; 1024];
                client.set_read_timeout(Some(Duration::from_secs(10))).ok();
                // One that is cut off never asks.
                if client.read(&mut request).is_ok() {
                    client.write_all(b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok").ok();
                }
            });
        }
    });
}

/// Asks for a page as nmap does, again and again until that has its effect.
fn scan_until_banned(pair: &Pair, daemon: &Daemon) {
    daemon.wait_until("the scanner is banned", || {
        pair.client.enter(|| {
            let server = format!("{SERVER}:80").parse().unwrap();
            let timeout = Duration::from_secs(1);
            let Ok(mut stream) = TcpStream::connect_timeout(&server, timeout) else { return };
            let agent = "Mozilla/5.0 (compatible; Nmap Scripting Engine)";
            let request = format!("GET / HTTP/1.1\r\nHost: x\r\nUser-Agent: {agent}\r\n\r\n");
            stream.set_read_timeout(Some(timeout)).unwrap();
            stream.write_all(request.as_bytes()).ok();
            drop(stream.read(&mut [0; 64]));
        });
        is_banned(daemon, CLIENT)
    });
}

#[test]
fn suricata_writes_to_both_kinds_of_sockets_and_its_alerts_ban() {
    if !Path::new("/usr/bin/suricata").exists() {
        eprintln!("skipped: apt-get install suricata");
        return;
    }
    let pair = Pair::new();
    serve(&pair.server);
    let mut daemon = Daemon::configured(&pair.server, "");
    let stream = daemon.path("stream.sock").display().to_string();
    let datagram = daemon.path("dgram.sock").display().to_string();
    daemon.configure(&format!("sources: [{{format: suricata-eve, socket: {stream}}}]\n"));
    daemon.restart();
    let made = fs::symlink_metadata(&stream).unwrap();
    assert!(made.file_type().is_socket());
    assert_eq!(made.mode() & 0o777, 0o600);
    let _suricata = Suricata::start(&pair.server, &daemon);

    scan_until_banned(&pair, &daemon);
    assert!(is_cut_off(&pair), "its packets are dropped");
    daemon.wait_until("drops are counted", || {
        let list = daemon.cli(&["list", "--json"]).json();
        is_cut_off(&pair);
        list[0]["dropped_packets"].as_u64().unwrap() > 0 && list[0]["rule"] == 300_011
    });
    assert!(count(&daemon, &stream, "received") > 0);
    assert_eq!(count(&daemon, &stream, "peers"), 1);
    let shown = daemon.cli(&["show", CLIENT]).done().out;
    assert!(shown.contains("2024364"), "the evidence is told: {shown}");
    let status = daemon.cli(&["status"]).out;
    assert!(status.contains("LISTENER") && status.contains("socket"), "{status}");

    // A killed daemon leaves its socket behind; the next takes it over, and Suricata comes back by itself.
    daemon.kill();
    assert!(fs::symlink_metadata(&stream).is_ok());
    daemon.restart();
    daemon.cli(&["unban", CLIENT]).done();
    scan_until_banned(&pair, &daemon);

    // Another socket, another kind.
    daemon.configure(&format!(
        "sources: [{{format: suricata-eve, socket: {datagram}, type: datagram}}]\n"
    ));
    daemon.cli(&["reload"]).done();
    assert!(fs::symlink_metadata(&stream).is_err(), "a socket that is no longer wanted is removed");
    daemon.cli(&["unban", CLIENT]).done();
    scan_until_banned(&pair, &daemon);
    assert!(count(&daemon, &datagram, "received") > 0);
    assert_eq!(daemon.health(), [""; 0], "nothing is wrong");

    // Both at once: a record counts once.
    daemon.configure(&format!(
        "sources:\n  - {{format: suricata-eve, socket: {datagram}, type: datagram}}\n  - {{format: suricata-eve, socket: {stream}}}\n"
    ));
    daemon.cli(&["reload"]).done();
    daemon.cli(&["unban", CLIENT]).done();
    let alerts = || {
        let past = daemon.cli(&["history", "--json", "--limit", "0"]).done().json();
        past.as_array().unwrap().iter().filter(|entry| entry["kind"] == "alert").count() as u64
    };
    let (before, by_datagram) = (alerts(), count(&daemon, &datagram, "received"));
    scan_until_banned(&pair, &daemon);
    let by_stream = || count(&daemon, &stream, "received");
    daemon.wait_until("both have brought it", || by_stream() > 0);
    let by_datagram = count(&daemon, &datagram, "received") - by_datagram;
    daemon.wait_until("all is counted", || alerts() - before == by_datagram.max(by_stream()));
}

#[test]
fn who_may_not_write_cannot() {
    let pair = Pair::new();
    let daemon = Daemon::configured(&pair.server, "");
    let path = daemon.path("log.sock");
    // The kernel, by the socket's rights; and where an admin widens those, ourselves.
    let mut daemon = daemon;
    daemon.configure(&format!("sources: [{{format: syslog, socket: {}}}]\n", path.display()));
    daemon.restart();
    let folder = fs::metadata(daemon.path("")).unwrap().permissions();
    let mut open = folder.clone();
    std::os::unix::fs::PermissionsExt::set_mode(&mut open, 0o755);
    fs::set_permissions(daemon.path(""), open).unwrap();
    let send = || {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "logger", "-u"]);
        command.arg(&path).args(["--socket-errors=on", "-t", "sshd", "hello"]);
        command.output().unwrap().status.success()
    };
    assert!(!send());
    assert_eq!(count(&daemon, &path.display().to_string(), "received"), 0);
    let mut wide = fs::symlink_metadata(&path).unwrap().permissions();
    std::os::unix::fs::PermissionsExt::set_mode(&mut wide, 0o666);
    fs::set_permissions(&path, wide).unwrap();
    send();
    daemon.wait_until("its rights are as they were", || {
        fs::symlink_metadata(&path).is_ok_and(|there| there.mode() & 0o777 == 0o600)
    });
    assert_eq!(count(&daemon, &path.display().to_string(), "received"), 0);
}
