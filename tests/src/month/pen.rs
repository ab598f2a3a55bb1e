//! Writes lines in the forms of the services that are on the host.

use super::{DAY, Log, START};

/// Holds what has been written so far, and the dice.
pub(super) struct Pen {
    pub(super) dice: fastrand::Rng,
    pub(super) days: i64,
    lines: Vec<(i64, Log, String)>,
}

impl Pen {
    pub(super) fn new(seed: u64, days: i64) -> Self {
        Self { dice: fastrand::Rng::with_seed(seed), days, lines: Vec::new() }
    }

    /// In order of time; what happens in one second stays in the order in which it was written.
    pub(super) fn finish(mut self) -> Vec<(i64, Log, String)> {
        let end = START + self.days * DAY;
        self.lines.retain(|(at, _, _)| *at < end);
        self.lines.sort_by_key(|(at, _, _)| *at);
        self.lines
    }

    /// The second of a day's hour, a little later or earlier.
    pub(super) fn around(&mut self, day: i64, hour: i64, spread_minutes: i64) -> i64 {
        let spread = spread_minutes * 60;
        (START + day * DAY + hour * 3_600 + self.dice.i64(-spread..=spread)).max(START)
    }

    pub(super) fn port(&mut self) -> u16 {
        self.dice.u16(32_768..60_999)
    }

    pub(super) fn pid(&mut self) -> u32 {
        self.dice.u32(1_000..4_000_000)
    }

    pub(super) fn syslog(&mut self, log: Log, at: i64, program: &str, text: &str) {
        let pid = self.pid();
        self.process(log, at, program, pid, text);
    }

    pub(super) fn process(&mut self, log: Log, at: i64, program: &str, pid: u32, text: &str) {
        let stamp = stamp(at, "%Y-%m-%dT%H:%M:%S");
        let line = format!("{stamp}.{:06}+00:00 web1 {program}[{pid}]: {text}", pid % 1_000_000);
        self.lines.push((at, log, line));
    }

    /// A line of its own form.
    pub(super) fn line(&mut self, log: Log, at: i64, line: String) {
        self.lines.push((at, log, line));
    }

    pub(super) fn sshd(&mut self, at: i64, text: &str) {
        self.syslog(Log::Auth, at, "sshd", text);
    }

    /// A wrong password, as sshd and PAM tell it.
    pub(super) fn wrong_password(&mut self, at: i64, user: &str, exists: bool, from: &str) {
        let (pid, port) = (self.pid(), self.port());
        let mut say = |text: String| self.process(Log::Auth, at, "sshd", pid, &text);
        let (invalid, known) =
            if exists { ("", format!(" user={user}")) } else { ("invalid user ", String::new()) };
        if !exists {
            say(format!("Invalid user {user} from {from} port {port}"));
            say("pam_unix(sshd:auth): check pass; user unknown".to_owned());
        }
        say(format!(
            "pam_unix(sshd:auth): authentication failure; logname= uid=0 euid=0 tty=ssh ruser= rhost={from} {known}"
        ));
        say(format!("Failed password for {invalid}{user} from {from} port {port} ssh2"));
        say(format!(
            "Connection closed by {}user {user} {from} port {port} [preauth]",
            if exists { "authenticating " } else { "invalid " }
        ));
    }

    pub(super) fn ssh_login(&mut self, at: i64, user: &str, method: &str, from: &str) {
        let (pid, port) = (self.pid(), self.port());
        let key = if method == "publickey" {
            ": ED25519 SHA256:b1946ac92492d2347c6235b4d2611184"
        } else {
            ""
        };
        for (later, text) in [
            (0, format!("Accepted {method} for {user} from {from} port {port} ssh2{key}")),
            (
                0,
                format!(
                    "pam_unix(sshd:session): session opened for user {user}(uid=1000) by (uid=0)"
                ),
            ),
            (90, format!("Received disconnect from {from} port {port}:11: disconnected by user")),
            (90, format!("Disconnected from user {user} {from} port {port}")),
            (90, format!("pam_unix(sshd:session): session closed for user {user}")),
        ] {
            self.process(Log::Auth, at + later, "sshd", pid, &text);
        }
    }

    pub(super) fn imap_login(&mut self, at: i64, user: &str, from: &str) {
        let session = self.dice.u64(..);
        self.syslog(Log::Mail, at, "dovecot", &format!("imap-login: Login: user=<{user}>, method=PLAIN, rip={from}, lip=192.0.2.10, mpid=4711, TLS, session=<{session:x}>"));
    }

    pub(super) fn imap_failed(&mut self, at: i64, user: &str, from: &str) {
        let session = self.dice.u64(..);
        self.syslog(Log::Mail, at, "auth", &format!("pam_unix(dovecot:auth): authentication failure; logname= uid=0 euid=0 tty=dovecot ruser={user} rhost={from}  user={user}"));
        self.syslog(Log::Mail, at + 2, "dovecot", &format!("imap-login: Disconnected: Connection closed (auth failed, 1 attempts in 2 secs): user=<{user}>, method=PLAIN, rip={from}, lip=192.0.2.10, TLS, session=<{session:x}>"));
    }

    pub(super) fn smtp_login(&mut self, at: i64, user: &str, from: &str) {
        let id = self.dice.u32(..);
        self.syslog(
            Log::Mail,
            at,
            "postfix/submission/smtpd",
            &format!("{id:X}: client=unknown[{from}], sasl_method=PLAIN, sasl_username={user}"),
        );
    }

    pub(super) fn smtp_failed(&mut self, at: i64, user: &str, from: &str) {
        self.syslog(Log::Mail, at, "postfix/submission/smtpd", &format!("warning: unknown[{from}]: SASL PLAIN authentication failed: authentication failure, sasl_username={user}"));
    }

    pub(super) fn access(
        &mut self,
        at: i64,
        from: &str,
        user: &str,
        request: &str,
        status: u16,
        agent: &str,
    ) {
        let stamp = stamp(at, "%d/%b/%Y:%H:%M:%S +0000");
        let size = self.dice.u32(150..90_000);
        self.line(
            Log::Access,
            at,
            format!("{from} - {user} [{stamp}] \"{request}\" {status} {size} \"-\" \"{agent}\""),
        );
    }

    /// An alert in both of Suricata's files.
    pub(super) fn alert(
        &mut self,
        at: i64,
        Signature(sid, signature, category, priority): Signature,
        from: &str,
        port: u16,
    ) {
        let (micros, from_port) = (self.dice.u32(0..1_000_000), self.port());
        let fast = stamp(at, "%m/%d/%Y-%H:%M:%S");
        self.line(Log::Fast, at, format!("{fast}.{micros:06}  [**] [1:{sid}:3] {signature} [**] [Classification: {category}] [Priority: {priority}] {{TCP}} {from}:{from_port} -> 192.0.2.10:{port}"));
        let eve = stamp(at, "%Y-%m-%dT%H:%M:%S");
        self.line(Log::Eve, at, format!(r#"{{"timestamp":"{eve}.{micros:06}+0000","flow_id":{at}{micros:06},"in_iface":"eth0","event_type":"alert","src_ip":"{from}","src_port":{from_port},"dest_ip":"192.0.2.10","dest_port":{port},"proto":"TCP","tx_id":0,"alert":{{"action":"allowed","gid":1,"signature_id":{sid},"rev":3,"signature":"{signature}","category":"{category}","severity":{priority}}},"app_proto":"http","flow":{{"pkts_toserver":4,"pkts_toclient":3,"src_ip":"{from}","dest_ip":"192.0.2.10","src_port":{from_port},"dest_port":{port}}}}}"#));
    }
}

/// One of Suricata's signatures: its sid, what it says, its category and its priority.
#[derive(Clone, Copy)]
pub(super) struct Signature(
    pub(super) u32,
    pub(super) &'static str,
    pub(super) &'static str,
    pub(super) u8,
);

pub(super) fn stamp(at: i64, form: &str) -> String {
    jiff::Timestamp::from_second(at)
        .map_or_else(|_| String::new(), |it| it.strftime(form).to_string())
}
