//! Everybody who has a reason to be there, with the errors that people and programs make.

use super::pen::{Pen, Signature, stamp};
use super::{DAY, Log, START};

/// All of an office, behind one address.
const OFFICE: &str = "203.0.113.50";
const BALANCER: &str = "203.0.113.7";
const MONITOR: &str = "203.0.113.8";
const BACKUP: &str = "203.0.113.9";
/// A backup whose key was taken from the list, and whose cron job goes on.
const OLD_BACKUP: &str = "203.0.113.31";
const CRAWLERS: [&str; 3] = ["198.51.100.20", "198.51.100.21", "2001:db8:66:77::1"];
const PEOPLE: i64 = 60;
const FIREFOX: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0";

pub(super) fn write(pen: &mut Pen) {
    checks(pen);
    for day in 0..pen.days {
        let at_work = day % 7 < 5;
        office_mail(pen, day, at_work);
        if at_work {
            office_ssh(pen, day);
            office_web(pen, day);
        }
        phones(pen, day);
        crawlers(pen, day);
        backups(pen, day);
        machine(pen, day);
        sensor(pen, day);
    }
    stale(pen);
}

/// What comes every few seconds or minutes, day and night.
fn checks(pen: &mut Pen) {
    let end = START + pen.days * DAY;
    for at in (START..end).step_by(5) {
        let port = pen.port();
        let text = match at % 15 {
            0 => format!("Did not receive identification string from {BALANCER} port {port}"),
            5 => format!("Connection closed by {BALANCER} port {port} [preauth]"),
            _ => format!("Connection closed by {BALANCER} port {port}"),
        };
        pen.sshd(at, &text);
    }
    for at in (START + 3..end).step_by(30) {
        pen.access(at, BALANCER, "-", "GET /healthz HTTP/1.1", 200, "HAProxy/2.9");
    }
    for at in (START + 11..end).step_by(300) {
        let port = pen.port();
        pen.sshd(at, &format!("Connection closed by {MONITOR} port {port} [preauth]"));
        pen.syslog(
            Log::Mail,
            at,
            "postfix/smtpd",
            &format!("connect from monitor.example[{MONITOR}]"),
        );
        pen.syslog(
            Log::Mail,
            at,
            "postfix/smtpd",
            &format!("lost connection after CONNECT from monitor.example[{MONITOR}]"),
        );
        pen.syslog(Log::Mail, at, "dovecot", &format!("imap-login: Disconnected (no auth attempts in 0 secs): user=<>, rip={MONITOR}, lip=192.0.2.10, session=<m>"));
        pen.syslog(Log::Syslog, at, "vsftpd", &format!("CONNECT: Client \"{MONITOR}\""));
        pen.access(at, MONITOR, "-", "HEAD / HTTP/1.1", 301, "check_http/v2.3");
        pen.access(at + 1, MONITOR, "-", "-", 400, "-");
    }
}

fn person(number: i64) -> String {
    format!("person{number}")
}

/// Mail programs with saved passwords; people who type theirs, and mistype one in twenty.
fn office_mail(pen: &mut Pen, day: i64, at_work: bool) {
    for number in 0..PEOPLE {
        let user = person(number);
        let times = if at_work { 8 } else { 0 };
        for hour in 0..times {
            let at = pen.around(day, 9 + hour, 30);
            pen.imap_login(at, &user, OFFICE);
        }
        if !at_work {
            continue;
        }
        let at = pen.around(day, 8, 50);
        if pen.dice.u8(..100) < 5 {
            pen.imap_failed(at - 25, &user, OFFICE);
            if pen.dice.u8(..100) < 30 {
                pen.imap_failed(at - 12, &user, OFFICE);
            }
        }
        pen.imap_login(at, &user, OFFICE);
        if number % 2 == 0 {
            let at = pen.around(day, 13, 200);
            pen.smtp_login(at, &user, OFFICE);
        }
        // The web mailer, which asks each morning.
        if number % 4 == 0 && pen.dice.u8(..100) < 6 {
            let at = pen.around(day, 9, 50);
            pen.syslog(
                Log::Syslog,
                at,
                "roundcube",
                &format!("<aB3x> Failed login for {user} from {OFFICE} in session aB3x (error: 1)"),
            );
        }
    }
    // A newsletter goes on to write to those who have left.
    for _ in 0..12 {
        let at = pen.around(day, 12, 700);
        pen.syslog(Log::Mail, at, "postfix/smtpd", "NOQUEUE: reject: RCPT from news.example[198.51.100.30]: 550 5.1.1 <gone@example.org>: Recipient address rejected: User unknown in local recipient table; from=<news@news.example> to=<gone@example.org> proto=ESMTP helo=<news.example>");
        pen.syslog(Log::Mail, at + 9, "postfix/smtpd", "NOQUEUE: reject: RCPT from mx.example[198.51.100.31]: 450 4.2.0 <person1@example.org>: Recipient address rejected: Greylisted; from=<a@mx.example> to=<person1@example.org> proto=ESMTP helo=<mx.example>");
    }
}

/// A dozen developers, whose agents offer up to five keys before the right one; three of them type passwords.
fn office_ssh(pen: &mut Pen, day: i64) {
    for number in 0..12 {
        let user = format!("dev{number}");
        for _ in 0..6 {
            let at = pen.around(day, 13, 270);
            if number >= 3 {
                for _ in 0..pen.dice.u8(0..=5) {
                    let port = pen.port();
                    pen.sshd(at, &format!("Failed publickey for {user} from {OFFICE} port {port} ssh2: RSA SHA256:e59ff97941044f85df5297e1c302d260"));
                }
                pen.ssh_login(at + 1, &user, "publickey", OFFICE);
                continue;
            }
            if pen.dice.u8(..100) < 8 {
                pen.wrong_password(at - 9, &user, true, OFFICE);
            }
            pen.ssh_login(at, &user, "password", OFFICE);
        }
    }
    // Somebody types his name wrong, somebody's agent has too many keys, somebody gives up at the prompt.
    let at = pen.around(day, 14, 200);
    match day % 7 {
        0 => pen.wrong_password(at, "dve4", false, OFFICE),
        1 => {
            let port = pen.port();
            pen.sshd(at, &format!("error: maximum authentication attempts exceeded for dev5 from {OFFICE} port {port} ssh2 [preauth]"));
            pen.sshd(at, &format!("Disconnecting authenticating user dev5 {OFFICE} port {port}: Too many authentication failures [preauth]"));
        }
        // Back from a holiday: which password was it? The fifth.
        2 if day > 7 => {
            for turn in 0..4 {
                pen.wrong_password(at + turn * 20, "dev1", true, OFFICE);
            }
            pen.ssh_login(at + 95, "dev1", "password", OFFICE);
        }
        _ => {
            let port = pen.port();
            pen.sshd(
                at,
                &format!(
                    "Connection closed by authenticating user dev2 {OFFICE} port {port} [preauth]"
                ),
            );
        }
    }
}

/// Pages with a picture that is gone, an intranet with passwords, editors of a WordPress.
fn office_web(pen: &mut Pen, day: i64) {
    for number in 0..PEOPLE {
        for view in 0..12 {
            let at = pen.around(day, 13, 270);
            pen.access(at, OFFICE, "-", &format!("GET /page/{view} HTTP/2.0"), 200, FIREFOX);
            if view % 3 == 0 {
                pen.access(at, OFFICE, "-", "GET /pictures/gone.png HTTP/2.0", 404, FIREFOX);
            }
        }
        let (at, user) = (pen.around(day, 9, 50), person(number));
        pen.access(at, OFFICE, "-", "GET /intranet/ HTTP/2.0", 401, FIREFOX);
        if pen.dice.u8(..100) < 5 {
            pen.access(at + 8, OFFICE, &user, "GET /intranet/ HTTP/2.0", 401, FIREFOX);
        }
        pen.access(at + 16, OFFICE, &user, "GET /intranet/ HTTP/2.0", 200, FIREFOX);
    }
    for _ in 0..4 {
        let at = pen.around(day, 10, 90);
        if pen.dice.u8(..100) < 10 {
            pen.access(at - 10, OFFICE, "-", "POST /blog/wp-login.php HTTP/2.0", 200, FIREFOX);
        }
        pen.access(at, OFFICE, "-", "POST /blog/wp-login.php HTTP/2.0", 302, FIREFOX);
        pen.access(at + 9, OFFICE, "-", "GET /blog/wp-admin/ HTTP/2.0", 200, FIREFOX);
    }
    // A dashboard whose token has run out goes on asking.
    if day % 7 == 3 {
        for turn in 0..360 {
            let at = START + day * DAY + 36_000 + turn * 10;
            pen.access(at, OFFICE, "-", "GET /api/v1/state HTTP/1.1", 401, "dashboard/1.4");
        }
    }
}

/// Phones, each in a /64 of its own, with another address every time.
fn phones(pen: &mut Pen, day: i64) {
    for number in 0..40 {
        for _ in 0..5 {
            let at = pen.around(day, 14, 500);
            let from =
                format!("2001:db8:40:{number:x}::{:x}:{:x}", pen.dice.u16(1..), pen.dice.u16(1..));
            pen.imap_login(at, &person(number), &from);
            pen.access(at + 60, &from, "-", "GET / HTTP/2.0", 200, "Mozilla/5.0 (iPhone)");
            if pen.dice.u8(..100) < 2 {
                pen.imap_failed(at - 30, &person(number), &from);
            }
        }
    }
}

fn crawlers(pen: &mut Pen, day: i64) {
    for (number, crawler) in CRAWLERS.into_iter().enumerate() {
        for page in 0..300 {
            let at = START + day * DAY + page * 280 + i64::try_from(number).unwrap_or(0) * 17;
            let (path, status) = match pen.dice.u8(..10) {
                0 => ("robots.txt".to_owned(), 200),
                1..4 => (format!("old/{}.html", pen.dice.u16(..)), 404),
                _ => (format!("page/{}", pen.dice.u8(..)), 200),
            };
            pen.access(
                at,
                crawler,
                "-",
                &format!("GET /{path} HTTP/1.1"),
                status,
                "Mozilla/5.0 (compatible; Examplebot/2.1)",
            );
        }
    }
    // After the site has moved one of them reads all that is gone, once a second.
    if day == 3 {
        for page in 0..1_800 {
            let at = START + day * DAY + 4 * 3_600 + page;
            pen.access(
                at,
                CRAWLERS[1],
                "-",
                &format!("GET /archive/{page}.html HTTP/1.1"),
                404,
                "Mozilla/5.0 (compatible; Examplebot/2.1)",
            );
        }
    }
}

fn backups(pen: &mut Pen, day: i64) {
    for run in 0..12 {
        let at = START + day * DAY + 7_200 + run * 240;
        pen.ssh_login(at, "backup", "publickey", BACKUP);
        pen.syslog(Log::Auth, at + 2, "sudo", "  backup : PWD=/home/backup ; USER=root ; COMMAND=/usr/bin/rsync --server --sender -logDtpr . /srv");
    }
    if (2..4).contains(&(day % 14)) {
        for run in 0..144 {
            let port = pen.port();
            let at = START + day * DAY + run * 600;
            pen.sshd(at, &format!("Connection closed by authenticating user backup {OLD_BACKUP} port {port} [preauth]"));
        }
    }
}

/// The host itself: cron, DHCP, the clock, updates, the kernel, its admins.
fn machine(pen: &mut Pen, day: i64) {
    let midnight = START + day * DAY;
    for at in (midnight..midnight + DAY).step_by(600) {
        let pid = pen.pid();
        for text in [
            "pam_unix(cron:session): session opened for user root(uid=0) by (uid=0)",
            "pam_unix(cron:session): session closed for user root",
        ] {
            pen.process(Log::Auth, at + 1, "CRON", pid, text);
        }
        pen.process(
            Log::Syslog,
            at + 1,
            "CRON",
            pid,
            "(root) CMD (test -x /usr/bin/work && /usr/bin/work)",
        );
    }
    for at in (midnight + 77..midnight + DAY).step_by(1_800) {
        pen.syslog(
            Log::Syslog,
            at,
            "dhclient",
            "DHCPREQUEST for 192.0.2.10 on eth0 to 192.0.2.1 port 67",
        );
        pen.syslog(Log::Syslog, at, "dhclient", "DHCPACK of 192.0.2.10 from 192.0.2.1");
    }
    pen.syslog(
        Log::Syslog,
        midnight + 3_000,
        "chronyd",
        "Selected source 192.0.2.123 (ntp.example)",
    );
    for _ in 0..40 {
        let (at, scanner, port) = (pen.around(day, 12, 719), pen.dice.u8(200..250), pen.port());
        pen.syslog(Log::Syslog, at, "kernel", &format!("[{port}.123456] [UFW BLOCK] IN=eth0 OUT= MAC=00:0c:29:00:00:01 SRC=198.51.100.{scanner} DST=192.0.2.10 LEN=40 TTL=240 PROTO=TCP SPT={port} DPT=23 WINDOW=1024 SYN"));
    }
    for _ in 0..6 {
        let at = pen.around(day, 13, 300);
        pen.syslog(
            Log::Auth,
            at,
            "sudo",
            "   admin : TTY=pts/0 ; PWD=/home/admin ; USER=root ; COMMAND=/usr/bin/journalctl -f",
        );
        pen.syslog(Log::Syslog, at, "named", "client @0x7f001c 203.0.113.50#51123 (example.net): query (cache) 'example.net/A/IN' denied");
    }
    if day % 7 == 1 {
        let at = pen.around(day, 6, 20);
        for package in ["openssl", "libssl3", "curl", "linux-image-amd64"] {
            let stamp = stamp(at, "%Y-%m-%d %H:%M:%S");
            pen.line(Log::Syslog, at, format!("{stamp} upgrade {package}:amd64 3.0.14-1 3.0.15-1"));
            pen.line(Log::Syslog, at, format!("{stamp} status installed {package}:amd64 3.0.15-1"));
        }
        pen.syslog(
            Log::Syslog,
            at + 40,
            "systemd",
            "Finished apt-daily-upgrade.service - Daily apt upgrade and clean activities.",
        );
        let at = pen.around(day, 11, 60);
        pen.syslog(Log::Auth, at, "sudo", "pam_unix(sudo:auth): authentication failure; logname=admin uid=1000 euid=0 tty=/dev/pts/0 ruser=admin rhost=  user=admin");
    }
}

/// What a sensor says on a quiet day: much that is nothing, and now and then a policy that the office breaks.
fn sensor(pen: &mut Pen, day: i64) {
    for _ in 0..60 {
        let (at, host) = (pen.around(day, 12, 719), pen.dice.u8(200..250));
        pen.alert(
            at,
            Signature(
                2_210_046,
                "SURICATA STREAM SHUTDOWN RST invalid ack",
                "Generic Protocol Command Decode",
                3,
            ),
            &format!("198.51.100.{host}"),
            443,
        );
    }
    if day % 3 == 0 {
        let at = pen.around(day, 13, 200);
        pen.alert(
            at,
            Signature(
                2_013_028,
                "ET POLICY curl User-Agent Outbound",
                "Potentially Bad Traffic",
                2,
            ),
            OFFICE,
            80,
        );
    }
}

/// Programs that go on with a password that somebody has changed.
fn stale(pen: &mut Pen) {
    // Two mail programs of the office, every five minutes on two connections, for two days; on one of these
    // days both. Their owners' phones know the new one.
    for (first, user) in [(2, "person17"), (3, "person31")] {
        for turn in 0..(2 * DAY / 300) {
            let at = START + first * DAY + 32_000 + turn * 300;
            pen.imap_failed(at, user, OFFICE);
            pen.imap_failed(at + 1, user, OFFICE);
            if turn % 24 == 0 {
                pen.imap_login(at + 100, user, "2001:db8:40:11::5");
            }
        }
    }
    // A phone that would send a mail, every ten minutes, from wherever it is.
    for turn in 0..144 {
        let at = START + 4 * DAY + turn * 600;
        let from = format!("2001:db8:40:9::{:x}", pen.dice.u16(1..));
        pen.smtp_failed(at, "person9", &from);
    }
    // A calendar, every quarter of an hour for three days, twice each time.
    for turn in 0..288 {
        let at = START + DAY + turn * 900;
        for later in 0..2 {
            pen.access(
                at + later,
                OFFICE,
                "person22",
                "PROPFIND /dav/person22/ HTTP/1.1",
                401,
                "CalendarAgent/1.0",
            );
        }
    }
}
