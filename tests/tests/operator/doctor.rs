//! `ravelin doctor`: what is wrong is really made wrong here, found, and mended by the command it names.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::process::Command;
use std::thread;

use ravelin_tests::netns::Pair;
use serde_json::Value;

use super::daemon::{Said, program};
use super::{CLIENT, Daemon, now};

/// Findings of one code.
fn found<'r>(report: &'r Value, code: &str) -> Vec<&'r Value> {
    let findings = report["findings"].as_array().unwrap();
    findings.iter().filter(|finding| finding["code"] == code).collect()
}

/// The one finding of a code, with why it matters and what mends it.
#[track_caller]
fn wrong<'r>(report: &'r Value, code: &str, severity: &str) -> &'r Value {
    let [finding] = found(report, code)[..] else { panic!("no single {code} in {report:#}") };
    assert_eq!(finding["severity"], severity, "{finding:#}");
    assert!(finding["why"].is_string() && finding["remedy"].is_string(), "{finding:#}");
    finding
}

fn examined(daemon: &Daemon) -> Value {
    daemon.cli(&["doctor", "--json"]).json()
}

/// With something in the environment, as `ssh` puts it there.
fn from_ssh(daemon: &Daemon) -> Value {
    let mut command = daemon.command(&["doctor", "--json"]);
    command.env("SSH_CONNECTION", format!("{CLIENT} 4711 203.0.113.1 22"));
    serde_json::from_slice(&command.output().unwrap().stdout).unwrap()
}

#[test]
fn a_sound_host_has_no_failure_and_what_is_well_is_told() {
    let pair = Pair::new();
    let daemon = Daemon::start(&pair.server, "");
    let report = examined(&daemon);
    for code in ["configuration", "packs", "kernel-version", "bpffs", "capabilities", "program"] {
        let [finding] = found(&report, code)[..] else { panic!("{code}: {report:#}") };
        assert_eq!(finding["severity"], "ok", "{finding:#}");
        assert!(finding["remedy"].is_null() && finding["why"].is_null(), "{finding:#}");
    }
    let native = found(&report, "native");
    assert!(native[0]["message"].as_str().unwrap().starts_with("s0 (veth, MTU 1500"), "{native:?}");
    assert_eq!(found(&report, "daemon").len(), 1);
    assert_ne!(report["worst"], "failure", "{report:#}");
    // There is no Suricata, which is a warning: bearable, unless one is strict.
    wrong(&report, "suricata-missing", "warning");
    assert_eq!(daemon.cli(&["doctor"]).code, 0);
    assert_eq!(daemon.cli(&["doctor", "--strict"]).code, 1);
}

#[test]
fn what_it_prints_fits_eighty_columns_but_for_what_is_to_be_copied() {
    let pair = Pair::new();
    let daemon = Daemon::configured(&pair.server, "interfaces: [s0, eth77]\n");
    let said = daemon.cli(&["doctor", "--all"]);
    assert_eq!(said.code, 1, "{said:?}");
    assert!(said.out.contains("FAIL") && said.out.contains("eth77"), "{}", said.out);
    for line in said.out.lines().filter(|line| !line.trim_start().starts_with("> ")) {
        // A path may be longer than a line; nothing else is.
        let words = line.split_whitespace().count();
        assert!(line.chars().count() <= 80 || words == 1, "{line}");
    }
}

#[test]
fn a_foreign_program_is_named() {
    let pair = Pair::new();
    // To the one the other's program is as foreign as anybody's.
    let _theirs = Daemon::start(&pair.server, "");
    let ours = Daemon::configured(&pair.server, "");
    let said = ours.cli(&["doctor", "--json"]);
    assert_eq!(said.code, 1, "{said:?}");
    let report = said.json();
    let finding = wrong(&report, "foreign-program", "failure");
    let id = pair.server.ip(&["-j", "link", "show", "s0"]);
    let id: Value = serde_json::from_str(&id).unwrap();
    let id = id[0]["xdp"]["prog"]["id"].to_string();
    assert!(finding["message"].as_str().unwrap().contains(&format!("XDP program {id}")));
}

#[test]
fn a_log_that_may_not_be_read_is_found_and_mended_by_its_owner() {
    let pair = Pair::new();
    let daemon = Daemon::configured(&pair.server, "");
    fs::set_permissions(daemon.auth_log(), fs::Permissions::from_mode(0o000)).unwrap();
    chown(daemon.auth_log(), Some(65_534), None).unwrap();
    // As a unit that has lost the capabilities to read what isn't its own.
    let doctor = || -> Value {
        let mut command = Command::new("setpriv");
        command.args(["--bounding-set=-dac_override,-dac_read_search"]);
        let inner = daemon.command(&["doctor", "--json"]);
        command.arg(inner.get_program()).args(inner.get_args());
        serde_json::from_slice(&command.output().unwrap().stdout).unwrap()
    };
    let report = doctor();
    let finding = wrong(&report, "source-unreadable", "failure");
    assert!(finding["message"].as_str().unwrap().contains("Permission denied"), "{finding:#}");
    fs::set_permissions(daemon.auth_log(), fs::Permissions::from_mode(0o644)).unwrap();
    assert_eq!(found(&doctor(), "source-unreadable").len(), 0);
}

#[test]
fn a_dead_relay_is_found_and_one_that_lives_gets_no_mail() {
    let pair = Pair::new();
    let listener = pair.server.enter(|| TcpListener::bind("127.0.0.1:0").unwrap());
    let port = listener.local_addr().unwrap().port();
    let mail = format!("mail: {{to: [root@web1.example], relay: 'smtp://127.0.0.1:{port}'}}\n");
    let daemon = Daemon::configured(&pair.server, &mail);
    let relay = thread::spawn(move || {
        let (mut client, _) = listener.accept().unwrap();
        client.write_all(b"220 relay.example ESMTP\r\n").unwrap();
        let mut heard = Vec::new();
        for line in BufReader::new(client.try_clone().unwrap()).lines() {
            let line = line.unwrap();
            let bye = line.starts_with("QUIT");
            heard.push(line);
            client.write_all(if bye { b"221 bye\r\n" } else { b"250 relay.example\r\n" }).unwrap();
            if bye {
                break;
            }
        }
        heard
    });
    let report = examined(&daemon);
    assert_eq!(found(&report, "relay").len(), 1, "{report:#}");
    let heard = relay.join().unwrap();
    assert!(heard[0].starts_with("EHLO ") && heard.len() == 2, "{heard:?}");
    // Now nobody listens there.
    let report = examined(&daemon);
    let finding = wrong(&report, "relay-refuses", "warning");
    assert!(finding["message"].as_str().unwrap().contains("refused"), "{finding:#}");
}

#[test]
fn an_sshd_whose_lines_mean_nothing_is_found() {
    let pair = Pair::new();
    let daemon = Daemon::configured(&pair.server, "");
    for n in 0..12 {
        daemon.log_line(&format!("{} web1 sshd[{n}]: Das Passwort war falsch: \x1b[2J", now()));
        daemon.log_line(&format!("{} web1 something[{n}]: whatever", now()));
    }
    let report = examined(&daemon);
    let finding = wrong(&report, "unrecognised", "warning");
    let message = finding["message"].as_str().unwrap();
    assert!(message.contains("12 lines of sshd") && message.contains("Das Passwort"), "{message}");
    // The command it names tells more.
    let remedy = finding["remedy"].as_str().unwrap();
    let args: Vec<&str> = remedy.strip_prefix("ravelin ").unwrap().split(' ').collect();
    let explained = daemon.cli(&args).done().out;
    assert!(explained.contains("program sshd"), "{explained}");
    // One that means something, and it is an sshd like any other.
    daemon.log_line(&format!("{} web1 sshd[9]: Server listening on 0.0.0.0 port 22.", now()));
    assert_eq!(found(&examined(&daemon), "unrecognised").len(), 0);
}

#[test]
fn an_admin_who_could_be_banned_is_told_and_the_command_it_names_mends_it() {
    let pair = Pair::new();
    let mut daemon = Daemon::configured(&pair.server, "");
    let report = from_ssh(&daemon);
    let finding = wrong(&report, "own-address-not-allowed", "warning");
    // Without a daemon it is a line of the configuration.
    let line = finding["remedy"].as_str().unwrap().split("   #").next().unwrap().to_owned();
    daemon.restart();
    let report = from_ssh(&daemon);
    let finding = wrong(&report, "own-address-not-allowed", "warning");
    let remedy = finding["remedy"].as_str().unwrap();
    let args: Vec<&str> = remedy.strip_prefix("ravelin ").unwrap().split(' ').collect();
    daemon.cli(&args).done();
    daemon.wait_until("it is in the database", || {
        found(&from_ssh(&daemon), "own-address").len() == 1
    });
    daemon.cli(&["allow", "--remove", CLIENT]).done();
    daemon.configure(&format!("{line}\n"));
    let report = from_ssh(&daemon);
    let told = found(&report, "own-address")[0]["message"].as_str().unwrap();
    assert!(told.contains("`allow` in the configuration"), "{told}");
}

#[test]
fn without_root_it_says_what_it_could_not_see() {
    let pair = Pair::new();
    let daemon = Daemon::start(&pair.server, "");
    // Where everybody may read them; what is root's own stays closed.
    for path in [daemon.config(), daemon.path("")] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    fs::set_permissions(daemon.auth_log(), fs::Permissions::from_mode(0o600)).unwrap();
    let everybodys = tempfile::tempdir().unwrap();
    fs::set_permissions(everybodys.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let ravelin = everybodys.path().join("ravelin");
    fs::hard_link(program().get_program(), &ravelin)
        .or_else(|_other_device| fs::copy(program().get_program(), &ravelin).map(drop))
        .unwrap();
    let mut command = Command::new("nsenter");
    command
        .arg(format!("--net=/run/netns/{}", pair.server.name()))
        .args(["--", "setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"])
        .arg(&ravelin)
        .args(["doctor", "--json", "--config"])
        .arg(daemon.config());
    let output = command.output().unwrap();
    let said = Said {
        code: output.status.code().unwrap(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    };
    let report = said.json();
    for code in ["capabilities", "interface-unseen", "source-unreadable", "daemon"] {
        let [finding] = found(&report, code)[..] else { panic!("{code}: {report:#}") };
        assert_eq!(finding["severity"], "unseen", "{finding:#}");
        assert!(finding["remedy"].as_str().unwrap().contains("sudo ravelin doctor"));
    }
    assert_eq!(said.code, 0, "{report:#}");
}

#[test]
fn the_daemons_own_findings_are_among_them() {
    let pair = Pair::new();
    let daemon = Daemon::start(&pair.server, "");
    daemon.cli(&["panic"]).done();
    let said = daemon.cli(&["doctor", "--json"]);
    assert_eq!(said.code, 1, "{said:?}");
    let report = said.json();
    assert_eq!(wrong(&report, "off", "failure")["remedy"], "ravelin panic --end");
    daemon.cli(&["panic", "--end"]).done();
    assert_eq!(found(&examined(&daemon), "off").len(), 0);
}

#[test]
fn a_broken_configuration_is_a_finding_and_not_the_end() {
    let pair = Pair::new();
    let daemon = Daemon::configured(&pair.server, "bann: {ttl: 5m}\n");
    let said = daemon.cli(&["doctor", "--json"]);
    assert_eq!(said.code, 1);
    let report = said.json();
    let finding = wrong(&report, "configuration-invalid", "failure");
    assert!(finding["message"].as_str().unwrap().contains("bann"), "{finding:#}");
    assert_eq!(found(&report, "kernel-version").len(), 1);
    assert_eq!(daemon.cli(&["doctor", "--no-such-option"]).code, 2);
}

/// A pcap file (pcap-savefile(5)) with one SYN in it.
fn capture() -> Vec<u8> {
    let builder = etherparse::PacketBuilder::ethernet2([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2])
        .ipv4([198, 51, 100, 7], [203, 0, 113, 1], 64)
        .tcp(4711, 80, 1, 1024)
        .syn();
    let mut packet = Vec::new();
    builder.write(&mut packet, &[]).unwrap();
    let length = u32::try_from(packet.len()).unwrap();
    let header: [u32; 6] = [0xa1b2_c3d4, 2 | 4 << 16, 0, 0, 65_535, 1];
    let record = [1_790_000_000, 0, length, length];
    let words = header.iter().chain(&record).flat_map(|word: &u32| word.to_ne_bytes());
    words.chain(packet).collect()
}

#[test]
fn rules_that_a_real_suricata_could_not_load_are_counted() {
    let pair = Pair::new();
    let daemon = Daemon::configured(&pair.server, "");
    let dir = daemon.path("");
    let rules = "alert tcp any any -> any any (msg:\"x\"; flags:S; sid:1;)\n\
        alert tcp any any -> any any (msg:\"y\"; nonsense; sid:2;)\n";
    fs::write(daemon.path("one.rules"), rules).unwrap();
    fs::write(daemon.path("one.pcap"), capture()).unwrap();
    let suricata = Command::new("suricata")
        .current_dir(&dir)
        .args(["-k", "none", "-r", "one.pcap", "-S", "one.rules", "-l"])
        .arg(&dir)
        .output();
    match suricata {
        Ok(output) => assert!(output.status.success(), "{output:?}"),
        Err(error) => return eprintln!("SKIPPED: no suricata ({error})"),
    }
    let dir = dir.display();
    daemon.configure(&format!("sources: [{{format: suricata-eve, file: {dir}/eve.json}}]\n"));
    let config = fs::read_to_string(daemon.config()).unwrap();
    fs::write(daemon.config(), config.replace("none.rules", "one.rules")).unwrap();
    let report = examined(&daemon);
    let message = wrong(&report, "rules-failed", "warning")["message"].as_str().unwrap();
    assert!(message.contains("has loaded 1 rules, and couldn't load 1"), "{message}");
    assert!(message.contains("nonsense"), "{message}");
    let file = found(&report, "rules")[0]["message"].as_str().unwrap();
    assert!(file.starts_with("2 rules in "), "{file}");
    // It read a file, and so lost nothing on the way.
    assert_eq!(found(&report, "packet-loss")[0]["severity"], "unseen");
}
