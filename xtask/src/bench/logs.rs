//! The logs that are read: made of nothing but a seed, the same everywhere.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

/// A log to measure with.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Log {
    /// sshd, PAM and cron; four lines of five are an attacker's.
    Attack,
    /// The same, one line of a hundred.
    Usual,
    /// fast.log: alerts.
    Fast,
    /// eve.json: four records of five are alerts.
    EveAttack,
    /// eve.json: one record of a hundred is an alert, the others are flows, DNS and HTTP.
    EveUsual,
    /// sshd: a million failed logins from as many addresses.
    Million,
    /// The same from ten million addresses, with an attacker among them who comes back.
    TenMillion,
}

impl Log {
    pub(super) const ALL: [Self; 5] =
        [Self::Attack, Self::Usual, Self::Fast, Self::EveAttack, Self::EveUsual];

    /// Those whose peak memory is measured, and not their speed.
    pub(super) const FLOODS: [Self; 2] = [Self::Million, Self::TenMillion];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Attack => "attack.log",
            Self::Usual => "usual.log",
            Self::Fast => "fast.log",
            Self::EveAttack => "eve-attack.json",
            Self::EveUsual => "eve-usual.json",
            Self::Million => "million.log",
            Self::TenMillion => "ten-million.log",
        }
    }

    /// What Ravelin calls its format.
    pub(super) const fn format(self) -> &'static str {
        match self {
            Self::Attack | Self::Usual | Self::Million | Self::TenMillion => "syslog",
            Self::Fast => "suricata-fast",
            Self::EveAttack | Self::EveUsual => "suricata-eve",
        }
    }

    /// What `rg -c` counts in it.
    pub(super) const fn literal(self) -> &'static str {
        match self {
            Self::Attack | Self::Usual | Self::Million | Self::TenMillion => "Failed password",
            Self::Fast => "[Priority: 1]",
            Self::EveAttack | Self::EveUsual => r#""event_type":"alert""#,
        }
    }

    pub(super) const fn lines(self) -> u32 {
        match self {
            Self::Attack | Self::Usual | Self::Fast => 500_000,
            Self::EveAttack | Self::EveUsual => 200_000,
            Self::Million => 1_000_000,
            Self::TenMillion => 10_000_000,
        }
    }

    /// How many of a hundred lines are an attacker's.
    const fn share(self) -> u64 {
        match self {
            Self::Attack | Self::EveAttack => 80,
            Self::Usual | Self::EveUsual => 1,
            Self::Fast | Self::Million | Self::TenMillion => 100,
        }
    }

    /// Writes it, where it isn't there yet.
    pub(super) fn make(self, folder: &Path) -> Result<PathBuf> {
        let path = folder.join(self.name());
        if path.exists() {
            return Ok(path);
        }
        // Whole or not at all.
        let partial = path.with_extension("partial");
        let written = || -> std::io::Result<()> {
            let mut out = BufWriter::with_capacity(1 << 20, File::create(&partial)?);
            self.write(&mut out)?;
            out.flush()?;
            fs::rename(&partial, &path)
        };
        written().with_context(|| format!("could not write {}", path.display()))?;
        Ok(path)
    }
}

impl Log {
    /// Writes all of it.
    pub(super) fn write(self, out: &mut impl Write) -> std::io::Result<()> {
        let mut writer = Writer::new(self);
        (0..self.lines()).try_for_each(|_| writer.line(self, out))
    }
}

/// The first lines of a file, as a file of their own.
pub(super) fn head(path: &Path, lines: usize) -> Result<PathBuf> {
    let whole = fs::read(path).with_context(|| format!("could not read {}", path.display()))?;
    let end: usize =
        whole.split_inclusive(|byte| *byte == b'\n').take(lines).map(<[u8]>::len).sum();
    let part = path.with_extension("head");
    fs::write(&part, &whole[..end])
        .with_context(|| format!("could not write {}", part.display()))?;
    Ok(part)
}

/// The offender in a flood who comes back.
pub(super) const RETURNS: &str = "198.51.100.7";

const USERS: [&str; 10] =
    ["root", "admin", "test", "ubuntu", "oracle", "git", "pi", "user", "postgres", "ftp"];
const SIGNATURES: [(u32, &str, &str, u32); 4] = [
    (2024364, "ET SCAN Possible Nmap User-Agent Observed", "Web Application Attack", 1),
    (2001219, "ET SCAN Potential SSH Scan", "Attempted Information Leak", 2),
    (2010935, "ET SCAN Suspicious inbound to MSSQL port 1433", "Potentially Bad Traffic", 2),
    (2210054, "SURICATA STREAM excessive retransmissions", "Generic Protocol Command Decode", 3),
];

/// Makes lines, one after the other.
struct Writer {
    random: SplitMix,
    /// Since the log's midnight, in microseconds.
    clock: u64,
    /// Lines written.
    count: u32,
}

impl Writer {
    fn new(log: Log) -> Self {
        Self { random: SplitMix(log.share()), clock: 0, count: 0 }
    }

    fn line(&mut self, log: Log, out: &mut impl Write) -> std::io::Result<()> {
        self.count += 1;
        self.clock += match log {
            Log::Million | Log::TenMillion => 600_000_000 / u64::from(log.lines()),
            _ => self.random.below(50_000),
        };
        let attack = self.random.below(100) < log.share();
        match log {
            Log::Attack | Log::Usual => self.auth(attack, out),
            Log::Fast => self.fast(out),
            Log::EveAttack | Log::EveUsual => self.eve(attack, out),
            Log::Million | Log::TenMillion => self.flood(log, out),
        }
    }

    fn auth(&mut self, attack: bool, out: &mut impl Write) -> std::io::Result<()> {
        let (hour, minute, second, _) = self.time();
        write!(out, "Nov 23 {hour:02}:{minute:02}:{second:02} web1 ")?;
        let (ip, user) = (self.offender(), USERS[self.random.index(USERS.len())]);
        let (port, pid) = (self.random.between(1024, 65_000), self.random.between(1000, 60_000));
        let which = self.random.below(100);
        match (attack, which) {
            (false, 0..50) => writeln!(
                out,
                "CRON[{pid}]: pam_unix(cron:session): session opened for user root by (uid=0)"
            ),
            (false, _) => writeln!(
                out,
                "sshd[{pid}]: Accepted publickey for deploy from 192.0.2.{} port {port} ssh2: \
                 RSA SHA256:abc",
                self.random.between(1, 10)
            ),
            (true, 0..35) => writeln!(
                out,
                "sshd[{pid}]: Failed password for invalid user {user} from {ip} port {port} ssh2"
            ),
            (true, 35..60) => {
                writeln!(out, "sshd[{pid}]: Failed password for root from {ip} port {port} ssh2")
            }
            (true, 60..75) => {
                writeln!(out, "sshd[{pid}]: Invalid user {user} from {ip} port {port}")
            }
            (true, 75..87) => writeln!(
                out,
                "sshd[{pid}]: Received disconnect from {ip} port {port}:11: Bye Bye [preauth]"
            ),
            (true, _) => writeln!(
                out,
                "sshd[{pid}]: pam_unix(sshd:auth): authentication failure; logname= uid=0 euid=0 \
                 tty=ssh ruser= rhost={ip}  user=root"
            ),
        }
    }

    /// All within ten minutes, each from an address of its own, but for a hundred from the one that comes back.
    fn flood(&mut self, log: Log, out: &mut impl Write) -> std::io::Result<()> {
        let (hour, minute, second, _) = self.time();
        write!(
            out,
            "Nov 23 {hour:02}:{minute:02}:{second:02} web1 sshd[{}]: Failed password for root from ",
            1_000 + self.count % 59_000
        )?;
        if self.count.is_multiple_of(log.lines() / 100) {
            write!(out, "{RETURNS}")?;
        } else {
            // An odd factor: no two alike, and in no order.
            let [high, low] = {
                let mixed = self.count.wrapping_mul(0x9e37_79b1);
                [mixed >> 16, mixed & 0xffff]
            };
            write!(out, "2001:db8:{high:x}:{low:x}::7")?;
        }
        writeln!(out, " port {} ssh2", 1_024 + self.count % 60_000)
    }

    fn fast(&mut self, out: &mut impl Write) -> std::io::Result<()> {
        let (hour, minute, second, micros) = self.time();
        let (sid, message, class, priority) = SIGNATURES[self.random.index(SIGNATURES.len())];
        let (ip, port) = (self.offender(), self.random.between(32_768, 61_000));
        writeln!(
            out,
            "11/23/2025-{hour:02}:{minute:02}:{second:02}.{micros:06}  [**] [1:{sid}:3] {message} \
             [**] [Classification: {class}] [Priority: {priority}] {{TCP}} {ip}:{port} -> \
             203.0.113.9:80"
        )
    }

    fn eve(&mut self, attack: bool, out: &mut impl Write) -> std::io::Result<()> {
        let (hour, minute, second, micros) = self.time();
        let (ip, port) = (self.offender(), self.random.between(32_768, 61_000));
        let flow = self.random.next() >> 12;
        let kind = match (attack, self.random.below(3)) {
            (true, _) => "alert",
            (false, 0) => "flow",
            (false, 1) => "dns",
            (false, _) => "http",
        };
        write!(
            out,
            r#"{{"timestamp":"2025-11-23T{hour:02}:{minute:02}:{second:02}.{micros:06}+0000","flow_id":{flow},"in_iface":"eth0","event_type":"{kind}","src_ip":"{ip}","src_port":{port},"dest_ip":"203.0.113.9","dest_port":80,"proto":"TCP","#
        )?;
        match kind {
            "alert" => {
                let (sid, message, class, priority) =
                    SIGNATURES[self.random.index(SIGNATURES.len())];
                write!(
                    out,
                    r#""tx_id":0,"alert":{{"action":"allowed","gid":1,"signature_id":{sid},"rev":3,"signature":"{message}","category":"{class}","severity":{priority}}},"http":{{"hostname":"203.0.113.9","url":"/","http_user_agent":"Mozilla/5.0 (compatible; Nmap Scripting Engine; https://nmap.org/book/nse.html)","http_method":"GET","protocol":"HTTP/1.1","length":0}},"app_proto":"http","#
                )?;
            }
            "dns" => write!(
                out,
                r#""dns":{{"type":"answer","id":{port},"flags":"8180","qr":true,"rd":true,"ra":true,"rrname":"www.example.org","rrtype":"A","rcode":"NOERROR","grouped":{{"A":["192.0.2.80"]}}}},"#
            )?,
            "http" => write!(
                out,
                r#""tx_id":0,"http":{{"hostname":"www.example.org","url":"/index.html","http_user_agent":"Mozilla/5.0 (X11; Linux x86_64)","http_content_type":"text/html","http_method":"GET","protocol":"HTTP/1.1","status":200,"length":5120}},"#
            )?,
            _ => write!(out, r#""app_proto":"http","#)?,
        }
        writeln!(
            out,
            r#""flow":{{"pkts_toserver":6,"pkts_toclient":5,"bytes_toserver":560,"bytes_toclient":1200,"start":"2025-11-23T{hour:02}:{minute:02}:{second:02}.{micros:06}+0000","src_ip":"{ip}","dest_ip":"203.0.113.9","src_port":{port},"dest_port":80}}}}"#
        )
    }

    /// One of 25,400 addresses.
    fn offender(&mut self) -> String {
        format!("198.51.{}.{}", self.random.below(100), self.random.between(1, 255))
    }

    fn time(&self) -> (u64, u64, u64, u64) {
        let second = self.clock / 1_000_000;
        (second / 3600 % 24, second / 60 % 60, second % 60, self.clock % 1_000_000)
    }
}

/// SplitMix64 (Steele, Lea, Flood 2014): a few lines, and good enough to choose log lines by.
struct SplitMix(u64);

impl SplitMix {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    fn between(&mut self, from: u64, to: u64) -> u64 {
        from + self.below(to - from)
    }

    fn index(&mut self, len: usize) -> usize {
        usize::try_from(self.below(len as u64)).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_look_like_their_format_and_are_the_same_each_time() {
        for log in Log::ALL {
            let lines = |count: u32| {
                let (mut writer, mut out) = (Writer::new(log), Vec::new());
                for _ in 0..count {
                    writer.line(log, &mut out).unwrap();
                }
                String::from_utf8(out).unwrap()
            };
            let text = lines(200);
            assert_eq!(text, lines(200));
            assert_eq!(text.lines().count(), 200);
            let braces =
                |open: bool, line: &str| line.matches(if open { '{' } else { '}' }).count();
            assert!(text.lines().all(|line| braces(true, line) == braces(false, line)));
            assert!(log == Log::Usual || text.contains(log.literal()), "{}", log.name());
        }
    }
}
