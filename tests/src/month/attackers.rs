//! Twenty attackers of different kinds, each with addresses of its own.

use ravelin::event::Target;

use super::pen::{Pen, Signature};
use super::{DAY, Log, START};

/// Somebody who should be banned.
#[derive(Debug)]
pub struct Attacker {
    /// What it does.
    pub kind: &'static str,
    /// What its bans should be about.
    pub targets: Vec<Target>,
}

/// One attacker's doings: from which address, beginning at which second.
type Deed = fn(&mut Pen, &str, i64);

const DEEDS: [(&str, Deed); 18] = [
    ("ssh, fast", |pen, from, start| {
        for turn in 0..40 {
            pen.wrong_password(start + turn * 2, "root", true, from);
        }
    }),
    ("ssh, one try every four minutes for a day", |pen, from, start| {
        for turn in 0..360 {
            pen.wrong_password(start + turn * 240, "root", true, from);
        }
    }),
    ("ssh, one user an hour", |pen, from, start| {
        for turn in 0..24 {
            pen.wrong_password(start + turn * 3_600, &format!("dev{turn}"), turn < 12, from);
        }
    }),
    ("ssh, asking for users that don't exist", |pen, from, start| {
        for turn in 0..30 {
            let (at, port, pid) = (start + turn * 400, pen.port(), pen.pid());
            pen.process(
                Log::Auth,
                at,
                "sshd",
                pid,
                &format!("Invalid user test{turn} from {from} port {port}"),
            );
            pen.process(
                Log::Auth,
                at,
                "sshd",
                pid,
                &format!(
                    "Connection closed by invalid user test{turn} {from} port {port} [preauth]"
                ),
            );
        }
    }),
    ("ssh, a dictionary of users", |pen, from, start| {
        for turn in 0..60 {
            pen.wrong_password(start + turn * 5, &format!("oracle{turn}"), false, from);
        }
    }),
    ("ssh, keys for many users", |pen, from, start| {
        for turn in 0..40 {
            let port = pen.port();
            pen.sshd(start + turn * 90, &format!("Connection closed by authenticating user svc{turn} {from} port {port} [preauth]"));
        }
    }),
    ("ssh, a flood of connections that end at once", |pen, from, start| {
        for turn in 0..1_200 {
            let port = pen.port();
            pen.sshd(
                start + turn / 10,
                &format!("Connection closed by {from} port {port} [preauth]"),
            );
        }
    }),
    ("smtp", |pen, from, start| {
        for turn in 0..60 {
            pen.smtp_failed(start + turn * 10, "info@example.org", from);
        }
    }),
    ("imap, many users", |pen, from, start| {
        for turn in 0..60 {
            pen.imap_failed(start + turn * 40, &format!("user{turn}"), from);
        }
    }),
    ("ftp", |pen, from, start| {
        for turn in 0..40 {
            pen.syslog(
                Log::Syslog,
                start + turn * 5,
                "vsftpd",
                &format!("[admin] FAIL LOGIN: Client \"{from}\""),
            );
        }
    }),
    ("web, known paths", |pen, from, start| {
        for (turn, path) in (0..).zip([
            "/.env",
            "/.git/config",
            "/wp-login.php",
            "/phpmyadmin/",
            "/cgi-bin/luci",
            "/HNAP1/",
            "/actuator/env",
            "/vendor/phpunit/x.php",
            "/.aws/credentials",
            "/manager/html",
        ]) {
            pen.access(
                start + turn * 30,
                from,
                "-",
                &format!("GET {path} HTTP/1.1"),
                404,
                "Mozilla/5.0",
            );
        }
    }),
    ("wordpress", |pen, from, start| {
        for turn in 0..60 {
            pen.access(
                start + turn * 6,
                from,
                "-",
                "POST /blog/wp-login.php HTTP/1.1",
                200,
                "Mozilla/5.0",
            );
        }
    }),
    ("suricata, priority 1", |pen, from, start| {
        pen.alert(
            start,
            Signature(
                2_024_364,
                "ET SCAN Possible Nmap User-Agent Observed",
                "Web Application Attack",
                1,
            ),
            from,
            80,
        );
    }),
    ("suricata, priority 2", |pen, from, start| {
        for turn in 0..20 {
            pen.alert(
                start + turn * 9,
                Signature(
                    2_010_935,
                    "ET SCAN Suspicious inbound to MSSQL port 1433",
                    "Potentially Bad Traffic",
                    2,
                ),
                from,
                1433,
            );
        }
    }),
    ("dns, zone transfers", |pen, from, start| {
        for turn in 0..40 {
            let port = pen.port();
            pen.syslog(Log::Syslog, start + turn * 10, "named", &format!("client @0x7f001c {from}#{port} (example.org): zone transfer 'example.org/AXFR/IN' denied"));
        }
    }),
    ("sip over tcp", |pen, from, start| {
        for turn in 0..60 {
            let port = pen.port();
            pen.line(Log::Syslog, start + turn * 4, format!("[{}] SECURITY[812] res_security_log.c: SecurityEvent=\"InvalidPassword\",EventTV=\"2026-11-05T10:00:00.123+0000\",Severity=\"Error\",Service=\"PJSIP\",EventVersion=\"2\",AccountID=\"100\",SessionID=\"abc{turn}\",LocalAddress=\"IPV4/TCP/192.0.2.10/5060\",RemoteAddress=\"IPV4/TCP/{from}/{port}\",Challenge=\"x\",ReceivedChallenge=\"x\",ReceivedHash=\"x\"", super::pen::stamp(start + turn * 4, "%Y-%m-%d %H:%M:%S")));
        }
    }),
    ("database", |pen, from, start| {
        for turn in 0..40 {
            let stamp = super::pen::stamp(start + turn * 8, "%Y-%m-%dT%H:%M:%S");
            pen.line(Log::Syslog, start + turn * 8, format!("{stamp}.123456Z 12 [Note] [MY-010926] [Server] Access denied for user 'root'@'{from}' (using password: YES)"));
        }
    }),
    ("a little of everything", |pen, from, start| {
        for turn in 0..4 {
            let at = start + turn * 150;
            pen.wrong_password(at, "admin", false, from);
            pen.syslog(
                Log::Syslog,
                at + 40,
                "vsftpd",
                &format!("[admin] FAIL LOGIN: Client \"{from}\""),
            );
            pen.access(at + 90, from, "-", "GET /.env HTTP/1.1", 404, "Mozilla/5.0");
            pen.imap_failed(at + 120, "admin", from);
        }
    }),
];

pub(super) fn write(pen: &mut Pen) -> Vec<Attacker> {
    let mut all = Vec::new();
    for (number, (kind, deed)) in (1..).zip(DEEDS) {
        let from = format!("198.51.100.{}", 100 + number);
        let start = START + DAY + number * 17_000 + pen.dice.i64(0..3_000);
        deed(pen, &from, start);
        all.push(Attacker { kind, targets: vec![target(&from)] });
    }
    // Forty hosts that share one user, each with a try every half an hour.
    let bots: Vec<String> = (0..40).map(|bot| format!("203.0.113.{}", 128 + bot)).collect();
    for (number, bot) in (0..).zip(&bots) {
        for turn in 0..60 {
            pen.wrong_password(START + 2 * DAY + turn * 1_800 + number * 40, "admin", false, bot);
        }
    }
    let targets = bots.iter().map(|bot| target(bot)).collect();
    all.push(Attacker { kind: "ssh, a botnet", targets });
    // One who has a /64, and takes another address of it for each try.
    for turn in 0..60 {
        let from = format!("2001:db8:bad:1::{:x}", pen.dice.u32(1..0xffff));
        pen.wrong_password(START + 3 * DAY + turn * 20, "root", true, &from);
    }
    all.push(Attacker {
        kind: "ssh, all over a /64",
        targets: vec![target("2001:db8:bad:1::/64")],
    });
    all
}

fn target(text: &str) -> Target {
    text.parse().expect("an address or prefix")
}
