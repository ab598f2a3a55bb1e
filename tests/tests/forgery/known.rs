//! Every injection that is known for programs of this kind (docs/fuzzing.md lists where else each is tried): told
//! many times over, by a process after the other, none bans anybody but its sender.

use std::net::IpAddr;
use std::sync::Arc;

use jiff::tz::TimeZone;
use ravelin::config::{Config, Format};
use ravelin::engine::Engine;
use ravelin::event::{Line, Timestamp, Verdict};
use ravelin::format::{Decoder, Selection};
use ravelin::policy::{Network, SuricataProof};
use ravelin::rules::Packs;

const SENDER: &str = "198.51.100.7";
const VICTIM: &str = "192.0.2.99";

/// So often a line is told: beyond each count that bans.
const TIMES: u32 = 130;

/// What is told of a line that was told many times.
#[derive(Debug, Default, Eq, PartialEq)]
struct Told {
    /// Who was ever the offender.
    offenders: Vec<IpAddr>,
    /// What was ever banned.
    bans: Vec<String>,
}

fn tell(packs: &Arc<Packs>, selection: Selection, line: &[u8]) -> Told {
    // Even where evidence that could be spoofed may ban.
    let mut config = Config::default();
    config.ban.unproven = true;
    config.home = vec!["203.0.113.0/24".parse().expect("a prefix")];
    let proof = SuricataProof::unknown();
    let mut engine = Engine::new(Arc::clone(packs), &config, Network::default(), proof);
    let mut decoder = Decoder::new(selection, TimeZone::UTC);
    let arrived = Timestamp::from_secs(1_795_478_400);
    let mut told = Told::default();
    for turn in 0..TIMES {
        let Ok(mut record) = decoder.decode(Line { bytes: line, arrived }) else { continue };
        record.pid = record.pid.map(|pid| pid.wrapping_add(turn));
        let time = record.time.unwrap_or(arrived);
        engine.advance(time);
        let outcome = engine.step(&record, time);
        if let Some(offender) = outcome.offence.offender
            && !told.offenders.contains(&offender)
        {
            told.offenders.push(offender);
        }
        if let Verdict::Ban(order) | Verdict::Lapsed(order) = &outcome.verdict {
            told.bans.push(order.target.to_string());
        }
    }
    told
}

/// Tells each line by itself and as whatever it is taken for; `blamed` tells whether the sender is.
fn nobody_but_the_sender(format: Format, blamed: bool, lines: &[&[u8]]) {
    let packs = Arc::new(Packs::load(true, &[]).expect("the shipped packs load"));
    let sender: IpAddr = SENDER.parse().expect("an address");
    for line in lines {
        for selection in [Selection::Only(format), Selection::Auto] {
            let told = tell(&packs, selection, line);
            let shown = line.escape_ascii();
            let others: Vec<_> =
                told.offenders.iter().filter(|offender| **offender != sender).collect();
            assert!(others.is_empty(), "{others:?} blamed by {shown}");
            let target = format!("{SENDER}/32");
            assert!(told.bans.iter().all(|ban| *ban == target), "{:?} by {shown}", told.bans);
            assert!(!blamed || told.offenders == [sender], "the sender of {shown} isn't blamed");
        }
    }
}

/// Lines of sshd's, of which each is blamed on its sender.
fn sshd(messages: &[&str]) {
    said_by("sshd", true, messages);
}

fn said_by(program: &str, blamed: bool, messages: &[&str]) {
    for message in messages {
        for header in ["Nov 23 10:00:00 web1 ", "<38>1 2026-11-23T10:00:00Z web1 "] {
            let line = match header.contains('<') {
                true => format!("{header}{program} 812 - - {message}"),
                false => format!("{header}{program}[812]: {message}"),
            };
            nobody_but_the_sender(Format::Syslog, blamed, &[line.as_bytes()]);
        }
    }
}

#[test]
fn user_names_that_end_as_the_line_does() {
    sshd(&[
        "Failed password for invalid user x from 192.0.2.99 port 1 ssh2 from 198.51.100.7 port 4711 ssh2",
        "Failed password for x from 192.0.2.99 port 1 ssh2\\nFailed password for y from 198.51.100.7 port 4711 ssh2",
        "Invalid user from 192.0.2.99 port 1 from 198.51.100.7 port 4711",
        "Invalid user  from 192.0.2.99 from 198.51.100.7 port 4711",
        "Connection closed by invalid user x 192.0.2.99 port 1 [preauth] 198.51.100.7 port 4711 [preauth]",
        "User root from 192.0.2.99 not allowed because listed in DenyUsers from 198.51.100.7 not allowed because not listed in AllowUsers",
    ]);
    said_by(
        "sshd",
        false,
        &["Accepted password for x from 192.0.2.99 port 1 ssh2 from 198.51.100.7 port 4711 ssh2"],
    );
}

#[test]
fn disconnect_reasons_and_banners() {
    sshd(&[
        "Received disconnect from 198.51.100.7 port 4711:11: Failed password for root from 192.0.2.99 port 1 ssh2 [preauth]",
        "error: Received disconnect from 198.51.100.7 port 4711:3: Received disconnect from 192.0.2.99 port 1:11: [preauth]",
        "Bad protocol version identification 'x' from 192.0.2.99 port 1' from 198.51.100.7 port 4711",
        "banner exchange: Connection from 198.51.100.7 port 4711: invalid format from 192.0.2.99",
    ]);
    said_by(
        "sshd",
        false,
        &[
            "error: kex_exchange_identification: client sent invalid protocol identifier \"Failed password for root from 192.0.2.99 port 1 ssh2\"",
            "error: kex_exchange_identification: client sent invalid protocol identifier \"\" from 192.0.2.99 port 1",
        ],
    );
}

#[test]
fn certificate_ids() {
    // Two addresses that might both be meant: nobody is blamed.
    said_by(
        "sshd",
        false,
        &[
            "Failed publickey for invalid user x from 198.51.100.7 port 4711 ssh2: RSA-CERT SHA256:A ID y from 192.0.2.99 port 1 ssh2: RSA SHA256:B (serial 0) CA RSA SHA256:C",
        ],
    );
    said_by(
        "openvpn",
        false,
        &["198.51.100.7:4711 VERIFY ERROR: depth=0, error=x: CN=y, 192.0.2.99:1 TLS Auth Error: z"],
    );
}

#[test]
fn http_requests_and_headers_in_access_logs() {
    let line = |text: &str| {
        format!(r#"198.51.100.7 - - [23/Nov/2026:10:00:00 +0000] {text}"#).into_bytes()
    };
    let lines = [
        line(r#""GET /?192.0.2.99 - - [23/Nov/2026:10:00:00 +0000] \x22GET /.env HTTP/1.1" 404 5 "-" "x""#),
        line(r#""GET / HTTP/1.1\" 401 5 192.0.2.99 - bob [23/Nov/2026:10:00:00 +0000] \"x" 404 5 "-" "x""#),
        line(r#""GET /.env HTTP/1.1" 404 5 "http://192.0.2.99/" "192.0.2.99""#),
        // X-Forwarded-For, as those write it who log it behind the user agent.
        line(r#""GET /.env HTTP/1.1" 404 5 "-" "x" "192.0.2.99""#),
        line(r#""GET /.env HTTP/1.1" 404 5 "-" "x" "192.0.2.99, 203.0.113.9""#),
        line(r#""GET /?x=${jndi:ldap://192.0.2.99/a} HTTP/1.1" 404 5 "-" "x" 192.0.2.99"#),
        br#"198.51.100.7 - 192.0.2.99 - - [23/Nov/2026:10:00:00 +0000] [23/Nov/2026:10:00:00 +0000] "GET /.env HTTP/1.1" 401 5 "-" "x""#.to_vec(),
        br#"192.0.2.99:80 198.51.100.7 - - [23/Nov/2026:10:00:00 +0000] "GET /.env HTTP/1.1" 404 5 "-" "x""#.to_vec(),
    ];
    for line in &lines[..7] {
        nobody_but_the_sender(Format::Plain, true, &[line]);
    }
    // Where a header stands in front of the client, nobody can tell who is who.
    nobody_but_the_sender(
        Format::Plain,
        false,
        &[
            &lines[7],
            br#"192.0.2.99, 198.51.100.7 - - [23/Nov/2026:10:00:00 +0000] "GET /.env HTTP/1.1" 404 5 "-" "x""#,
            br#""192.0.2.99" 198.51.100.7 - - [23/Nov/2026:10:00:00 +0000] "GET /.env HTTP/1.1" 404 5 "-" "x""#,
            br#"192.0.2.99 198.51.100.7 - - [23/Nov/2026:10:00:00 +0000] "GET /.env HTTP/1.1" 404 5 "-" "x""#,
            br#"[192.0.2.99] 198.51.100.7 - - [23/Nov/2026:10:00:00 +0000] "GET /.env HTTP/1.1" 404 5 "-" "x""#,
        ],
    );
}

#[test]
fn http_requests_in_error_logs() {
    // Two addresses that might both be meant: nobody is blamed.
    nobody_but_the_sender(
        Format::Syslog,
        false,
        &[
            b"[Mon Nov 23 10:00:00.123456 2026] [auth_basic:error] [pid 812:tid 9] [client 198.51.100.7:4711] AH01618: user [client 192.0.2.99:1] AH01618: user x not found: /, referer: [client 192.0.2.99:1]",
            br#"2026/11/23 10:00:00 [error] 812#812: *5 user "x", client: 192.0.2.99, server: y, request: "z": password mismatch, client: 198.51.100.7, server: www.example, request: "GET / HTTP/1.1", host: "192.0.2.99""#,
        ],
    );
    said_by(
        "roundcube",
        false,
        &[
            "<aB3x> Failed login for bob from 198.51.100.7(X-Real-IP: 192.0.2.99,X-Forwarded-For: 192.0.2.99) in session aB3x (error: 1)",
        ],
    );
}

#[test]
fn forwarded_addresses_in_suricata_s_alerts() {
    let alert = |more: &str| {
        format!(
            r#"{{"timestamp":"2026-11-23T10:00:00.000000+0000","event_type":"alert","src_ip":"192.0.2.99","src_port":1,"dest_ip":"203.0.113.9","dest_port":80,"proto":"TCP","app_proto":"http","tx_id":0,"alert":{{"signature_id":2024364,"severity":1,"signature":"x"}},{more}}}"#
        )
    };
    let packs = Arc::new(Packs::load(true, &[]).expect("the shipped packs load"));
    let flow =
        r#""flow":{"src_ip":"198.51.100.7","src_port":1,"dest_ip":"203.0.113.9","dest_port":80}"#;
    let told = tell(&packs, Format::SuricataEve.into(), alert(flow).as_bytes());
    // Suricata in mode `overwrite` puts the header's address where the packet's was.
    assert!(told.bans.is_empty(), "{told:?}");
    // The same, honest: this would ban.
    let flow = flow.replace(SENDER, VICTIM);
    let told = tell(&packs, Format::SuricataEve.into(), alert(&flow).as_bytes());
    assert!(!told.bans.is_empty(), "{told:?}");
}

#[test]
fn quoted_strings() {
    said_by(
        "dovecot",
        false,
        &[
            "imap-login: Disconnected: Auth failed, 3 attempts: user=<x>, method=PLAIN, rip=192.0.2.99, lip=y>, method=PLAIN, rip=198.51.100.7, lip=203.0.113.9, TLS",
        ],
    );
    said_by(
        "postfix/smtpd",
        false,
        &[
            "warning: unknown[198.51.100.7]: SASL LOGIN authentication failed: x from unknown[192.0.2.99]: SASL LOGIN authentication failed: y",
            r#"NOQUEUE: reject: RCPT from unknown[198.51.100.7]: 554 5.7.1 <"x from unknown[192.0.2.99]: 554 5.7.1 "@y>: Relay access denied; from=<"unknown[192.0.2.99]"@z> to=<x> proto=ESMTP helo=<[192.0.2.99]>"#,
        ],
    );
    said_by(
        "exim",
        false,
        &[
            "login authenticator failed for ([192.0.2.99]) [198.51.100.7]: 535 Incorrect authentication data (set_id=H=x [192.0.2.99]:1)",
        ],
    );
    said_by(
        "proftpd",
        false,
        &[
            "web1 (198.51.100.7[198.51.100.7]) - USER x (192.0.2.99[192.0.2.99]) - USER y: no such user found from 192.0.2.99 [192.0.2.99] to 203.0.113.9:21",
        ],
    );
}

#[test]
fn syslog_inside_syslog() {
    // A line within a line: rsyslog's escape of a line's end, and one that was relayed with its header.
    sshd(&[
        "Failed password for invalid user x#012Nov 23 10:00:00 web1 sshd[1]: Failed password for root from 192.0.2.99 port 1 ssh2 from 198.51.100.7 port 4711 ssh2",
        "Invalid user <38>1 2026-11-23T10:00:00Z web1 sshd 1 - - Failed password for root from 192.0.2.99 port 1 ssh2 from 198.51.100.7 port 4711",
    ]);
    // Said by another program, sshd's words are nobody's.
    for program in ["app", "sshd2", "sudo", "kernel", "-", "logger"] {
        said_by(
            program,
            false,
            &[
                "Failed password for root from 192.0.2.99 port 1 ssh2",
                "sshd[1]: Failed password for root from 192.0.2.99 port 1 ssh2",
                "Nov 23 10:00:00 web1 sshd[1]: Failed password for root from 192.0.2.99 port 1 ssh2",
                "<38>Nov 23 10:00:00 web1 sshd[1]: Failed password for root from 192.0.2.99 port 1 ssh2",
            ],
        );
    }
}

#[test]
fn repetitions() {
    sshd(&[
        "message repeated 3 times: [ Failed password for root from 198.51.100.7 port 4711 ssh2]",
        "message repeated 4294967295 times: [ Failed password for x from 192.0.2.99 port 1 ssh2 from 198.51.100.7 port 4711 ssh2]",
        "Invalid user message repeated 50 times: [ Failed password for root from 192.0.2.99 port 1 ssh2] from 198.51.100.7 port 4711",
    ]);
    said_by(
        "app",
        false,
        &["message repeated 50 times: [ Failed password for root from 192.0.2.99 port 1 ssh2]"],
    );
}

#[test]
fn control_bytes_and_what_is_no_text() {
    for user in [
        &b"\x1b[2K\x1b[1GFailed password for root from 192.0.2.99 port 1 ssh2"[..],
        b"x\x08\x08\x08 from 192.0.2.99 port 1 ssh2",
        b"x\0 from 192.0.2.99 port 1 ssh2\0",
        b"\xff\xfe from 192.0.2.99 port 1 ssh2 \xc3\x28",
        b"\xe2\x80\xae2hss 1 trop 99.2.0.291 morf",
        b"x\r from 192.0.2.99 port 1 ssh2\r",
        b"x\x0b\x0c\x85 from 192.0.2.99\xc2\xa0port 1 ssh2",
        b"",
    ] {
        let line = [
            b"Nov 23 10:00:00 web1 sshd[812]: Failed password for invalid user ",
            user,
            b" from 198.51.100.7 port 4711 ssh2",
        ]
        .concat();
        nobody_but_the_sender(Format::Syslog, true, &[&line]);
        let line = [
            b"198.51.100.7 - ",
            user,
            br#" [23/Nov/2026:10:00:00 +0000] "GET /.env HTTP/1.1" 404 5 "-" "x""#,
        ]
        .concat();
        nobody_but_the_sender(Format::Plain, true, &[&line]);
    }
}

#[test]
fn overlong_lines() {
    // The client stands in front, and its text may be as long as it likes.
    let line = format!(
        r#"198.51.100.7 - - [23/Nov/2026:10:00:00 +0000] "GET /{}.env HTTP/1.1" 404 5 "-" "x""#,
        "192.0.2.99 - - [23/Nov/2026:10:00:00 +0000] ".repeat(180)
    );
    nobody_but_the_sender(Format::Plain, true, &[line.as_bytes()]);
    let user = " from 192.0.2.99 port 1 ssh2".repeat(300);
    let line = format!(
        "Nov 23 10:00:00 web1 sshd[812]: Failed password for invalid user {user} from 198.51.100.7 port 4711 ssh2"
    );
    nobody_but_the_sender(Format::Syslog, false, &[line.as_bytes()]);
}

#[test]
fn lines_that_their_writer_cut_off() {
    // The name ends as the line would, and goes on until the true end doesn't fit any more: nginx cuts at 2048
    // bytes, syslog at 1024 (RFC 3164) or 8192 (rsyslog), we at 64 KiB.
    let filler = "x".repeat(1 << 16);
    let nginx = format!(
        r#"2026/11/23 10:00:00 [error] 812#812: *5 user "x": password mismatch, client: 192.0.2.99, server: y, request: "{filler}"#
    );
    let open = format!(
        r#"2026/11/23 10:00:00 [error] 812#812: *5 open() "x" failed (36: File name too long), client: 192.0.2.99, server: y, request: "{filler}"#
    );
    nobody_but_the_sender(
        Format::Syslog,
        false,
        &[&nginx.as_bytes()[..2047], &open.as_bytes()[..2047]],
    );
    for length in [1_024, 8_192, 49_152, 65_536] {
        let forged = " from 192.0.2.99 port 1 ssh2";
        let line =
            format!("Nov 23 10:00:00 web1 sshd[812]: Failed password for invalid user {filler}");
        let line = format!("{}{forged}", &line[..length - forged.len()]);
        nobody_but_the_sender(Format::Syslog, false, &[line.as_bytes()]);
    }
}
