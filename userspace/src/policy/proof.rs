//! Which of Suricata's rules prove the address: what fast.log doesn't tell, its rules file does.
//!
//! A rule proves it if it can only match on an established TCP flow (`flow: established`) or on a
//! recognised application protocol (its own, `app-layer-protocol`, or a keyword that looks into one).
//! Syntax: docs.suricata.io/en/latest/rules/intro.html.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufRead as _, BufReader};
use std::path::{Path, PathBuf};

/// Longer rules don't exist; a line without end is no rules file.
const MAX_RULE_BYTES: usize = 1 << 20;

/// Why the rules are unknown.
#[derive(Debug, thiserror::Error)]
pub enum ProofError {
    /// The file can't be read.
    #[error(
        "can't read Suricata's rules in {path}: {source}; set `suricata_rules` to the file that Suricata loads"
    )]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// It has no rules in it.
    #[error(
        "expected Suricata's rules in {path}, found none; set `suricata_rules` to the file that Suricata loads"
    )]
    Empty {
        /// Which file.
        path: PathBuf,
    },
}

/// What is known of Suricata's rules.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct SuricataProof {
    /// By generator and signature id: whether the rule proves the address. `None`: nothing is known.
    rules: Option<HashMap<(u32, u32), bool>>,
}

impl SuricataProof {
    /// Nothing is known: every TCP alert counts as proven, and `status` should say `proof-unknown`.
    pub const fn unknown() -> Self {
        Self { rules: None }
    }

    /// Reads the file that Suricata loads.
    ///
    /// # Errors
    /// Where it can't be read or has no rules; [`Self::unknown`] is the way on.
    pub fn load(path: &Path) -> Result<Self, ProofError> {
        let unreadable = |source| ProofError::Unreadable { path: path.to_owned(), source };
        let mut reader = BufReader::new(File::open(path).map_err(unreadable)?);
        let mut rules = HashMap::new();
        let mut rule = Vec::new();
        loop {
            let begin = rule.len();
            let read = io::Read::take(&mut reader, MAX_RULE_BYTES as u64)
                .read_until(b'\n', &mut rule)
                .map_err(unreadable)?;
            while rule.last().is_some_and(u8::is_ascii_whitespace) {
                rule.pop();
            }
            // A backslash at the end of the line: the rule goes on.
            let goes_on = rule.len() > begin && rule.last() == Some(&b'\\');
            if goes_on && read > 0 && rule.len() < MAX_RULE_BYTES {
                rule.pop();
                continue;
            }
            learn(&mut rules, &rule);
            rule.clear();
            if read == 0 {
                break;
            }
        }
        if rules.is_empty() {
            return Err(ProofError::Empty { path: path.to_owned() });
        }
        Ok(Self { rules: Some(rules) })
    }

    /// Whether nothing is known.
    pub const fn is_unknown(&self) -> bool {
        self.rules.is_none()
    }

    /// How many rules are in force; 0 where nothing is known.
    pub fn len(&self) -> usize {
        self.rules.as_ref().map_or(0, HashMap::len)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether a TCP alert by this rule proves its address.
    pub(super) fn is_proof(&self, gid: u32, sid: u32) -> bool {
        self.rules.as_ref().is_none_or(|rules| rules.get(&(gid, sid)).copied().unwrap_or(false))
    }
}

/// Of two rules with one number both must prove it.
fn learn(rules: &mut HashMap<(u32, u32), bool>, line: &[u8]) {
    if let Some((id, proves)) = parse(&String::from_utf8_lossy(line)) {
        rules.entry(id).and_modify(|known| *known &= proves).or_insert(proves);
    }
}

/// (gid, sid) of a rule that is in force, and whether it proves the address.
fn parse(line: &str) -> Option<((u32, u32), bool)> {
    let line = line.trim_start();
    let (header, options) = line.split_once('(')?;
    let mut words = header.split_ascii_whitespace();
    let action = words.next()?;
    if !matches!(action, "alert" | "drop" | "reject" | "rejectsrc" | "rejectdst" | "rejectboth") {
        return None;
    }
    let proto = words.next()?.to_ascii_lowercase();
    let (mut gid, mut sid) = (1, None);
    let mut proves = is_app_proto(&proto);
    for option in options_of(options) {
        let (keyword, value) = match option.split_once(':') {
            Some((keyword, value)) => (keyword.trim(), value.trim()),
            None => (option.trim(), ""),
        };
        match keyword {
            "sid" => sid = value.parse().ok(),
            "gid" => gid = value.parse().ok()?,
            "flow" => proves |= value.split(',').any(|flag| flag.trim() == "established"),
            "app-layer-protocol" => {
                proves |= !value.starts_with('!') && is_app_proto(value.split(',').next()?.trim());
            }
            _ => {
                let proto = keyword.split(['.', '_']).next().unwrap_or_default();
                proves |= proto.len() < keyword.len() && is_app_proto(proto);
            }
        }
    }
    // UDP has no handshake, whatever the rule calls established.
    let over_tcp = !matches!(proto.as_str(), "udp" | "icmp" | "icmpv4" | "icmpv6" | "sctp");
    Some(((gid, sid?), proves && over_tcp))
}

/// Options of a rule: separated by `;`, which quotes and backslashes hide.
fn options_of(options: &str) -> impl Iterator<Item = &str> {
    let mut rest = options;
    std::iter::from_fn(move || {
        let (mut quoted, mut escaped) = (false, false);
        let end = rest.char_indices().find(|(_, char)| {
            let ends = *char == ';' && !quoted && !escaped;
            if *char == '"' && !escaped {
                quoted = !quoted;
            }
            escaped = *char == '\\' && !escaped;
            ends
        });
        let (at, _) = end?;
        let option = &rest[..at];
        rest = &rest[at + 1..];
        Some(option)
    })
}

/// Application protocols of Suricata 5 to 8, as rules name them.
fn is_app_proto(name: &str) -> bool {
    matches!(
        name,
        "bittorrent-dht"
            | "dcerpc"
            | "dhcp"
            | "dnp3"
            | "dns"
            | "doh2"
            | "enip"
            | "ftp"
            | "ftp-data"
            | "http"
            | "http1"
            | "http2"
            | "ike"
            | "ikev2"
            | "imap"
            | "krb5"
            | "ldap"
            | "mdns"
            | "modbus"
            | "mqtt"
            | "nfs"
            | "ntp"
            | "pgsql"
            | "pop3"
            | "quic"
            | "rdp"
            | "rfb"
            | "sip"
            | "smb"
            | "smtp"
            | "snmp"
            | "ssh"
            | "ssl"
            | "telnet"
            | "tftp"
            | "tls"
            | "websocket"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_prove_by_established_flow_or_application_protocol() {
        for (line, expected) in [
            (
                r#"alert tcp $EXTERNAL_NET any -> $HOME_NET any (msg:"a"; flow:established,to_server; sid:1;)"#,
                Some((1, true)),
            ),
            (
                r#"alert tcp any any -> any 80 (msg:"a"; flow: to_server , established; sid: 2 ; rev:1;)"#,
                Some((2, true)),
            ),
            (r#"alert http any any -> any any (msg:"a"; sid:3;)"#, Some((3, true))),
            (r#"  drop tls any any -> any any (msg:"a"; sid:4;)"#, Some((4, true))),
            (
                r#"alert tcp any any -> any any (msg:"a"; app-layer-protocol:ssh; sid:5;)"#,
                Some((5, true)),
            ),
            (
                r#"alert tcp any any -> any any (msg:"a"; content:"x"; http.uri; sid:6;)"#,
                Some((6, true)),
            ),
            (
                r#"alert tcp any any -> any any (msg:"a"; content:"x"; http_uri; sid:7;)"#,
                Some((7, true)),
            ),
            (
                r#"alert tcp any any -> any any (msg:"flow:established; sid:9;"; flags:S; sid:8;)"#,
                Some((8, false)),
            ),
            (
                r#"alert tcp any any -> any any (msg:"a \"; flow:established"; flow:stateless; sid:9;)"#,
                Some((9, false)),
            ),
            (
                r#"alert tcp any any -> any any (msg:"a"; content:"\;"; flow:not_established; sid:10;)"#,
                Some((10, false)),
            ),
            (
                r#"alert tcp any any -> any any (msg:"a"; app-layer-protocol:!http; sid:11;)"#,
                Some((11, false)),
            ),
            (
                r#"alert tcp any any -> any any (msg:"a"; app-layer-protocol:failed; sid:12;)"#,
                Some((12, false)),
            ),
            (
                r#"alert udp any any -> any any (msg:"a"; flow:established; sid:13;)"#,
                Some((13, false)),
            ),
            (r#"alert ip any any -> any any (msg:"a"; ip_proto:6; sid:14;)"#, Some((14, false))),
            (
                r#"alert tcp-pkt any any -> any any (msg:"a"; tcp.flags:S; sid:15;)"#,
                Some((15, false)),
            ),
            (r#"# alert http any any -> any any (msg:"a"; sid:16;)"#, None),
            (r#"#alert http any any -> any any (msg:"a"; sid:17;)"#, None),
            (r#"alert http any any -> any any (msg:"no number";)"#, None),
            (r#"alert http any any -> any any (msg:"no end; sid:18;"#, None),
            ("config classification: attempted-admin,Attempted,1", None),
            ("alert", None),
            ("", None),
        ] {
            let parsed = parse(line).map(|((gid, sid), proves)| {
                assert_eq!(gid, 1);
                (sid, proves)
            });
            assert_eq!(parsed, expected, "{line}");
        }
        assert_eq!(parse("alert http a a -> a a (gid:7; sid:1;)"), Some(((7, 1), true)));
    }

    #[test]
    fn a_file_is_read_as_far_as_it_goes() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("suricata.rules");
        let text: &[u8] = b"# comment\nalert tcp any any -> any any ( \\\n  msg:\"\xff\"; flow:established; \\\r\n sid:1;)\r\n\
            alert http any any -> any any (sid:2;)\n\
            alert tcp any any -> any any (sid:2; rev:2;)\n\
            garbage (((\n\
            alert tcp any any -> any any (sid:3;) \\";
        std::fs::write(&path, text).unwrap();
        let proof = SuricataProof::load(&path).unwrap();
        assert!(!proof.is_unknown());
        assert!(proof.is_proof(1, 1));
        assert!(!proof.is_proof(1, 2), "one of two rules with that number proves nothing");
        assert!(!proof.is_proof(1, 3));
        assert!(!proof.is_proof(1, 4), "not in the file");
        assert!(!proof.is_proof(2, 1), "another generator");
        assert!(SuricataProof::unknown().is_proof(1, 4));
    }

    #[test]
    fn what_cannot_be_known_says_so() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("suricata.rules");
        let error = SuricataProof::load(&path).unwrap_err().to_string();
        assert!(error.contains("suricata.rules") && error.contains("`suricata_rules`"), "{error}");
        std::fs::write(&path, "# nothing\n").unwrap();
        assert!(matches!(SuricataProof::load(&path), Err(ProofError::Empty { .. })));
        assert!(matches!(SuricataProof::load(dir.path()), Err(ProofError::Unreadable { .. })));
    }
}
