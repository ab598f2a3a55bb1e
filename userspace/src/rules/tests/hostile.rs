//! Whatever a client writes where it may write, the address is never the one it wants.

use proptest::prelude::*;
use proptest::test_runner::{RngAlgorithm, TestRng};

use super::*;
use crate::event::Blame;

const VICTIM: &str = "203.0.113.9";
const REAL: &str = "198.51.100.7";

/// What sshd and PAM write, with `@` for what the client chose.
const TEMPLATES: [&str; 46] = [
    "Failed password for @ from 198.51.100.7 port 4711 ssh2",
    "Failed password for invalid user @ from 198.51.100.7 port 4711 ssh2",
    "Failed keyboard-interactive/pam for invalid user @ from 198.51.100.7 port 4711 ssh2",
    "Failed none for invalid user @ from 198.51.100.7 port 4711 ssh2",
    "Failed none for @ from 198.51.100.7 port 4711 ssh2",
    "Failed password for invalid user @ from 198.51.100.7 port 4711",
    "Failed publickey for invalid user @ from 198.51.100.7 port 4711 ssh2: RSA SHA256:AAAA",
    "Failed publickey for @ from 198.51.100.7 port 4711 ssh2: RSA-CERT SHA256:A ID @ (serial 0) CA RSA SHA256:B",
    "Failed publickey for invalid user @ from 198.51.100.7 port 4711 ssh2: RSA-CERT SHA256:A ID @ (serial 0) CA RSA SHA256:B",
    "Failed hostbased for @ from 198.51.100.7 port 4711 ssh2: RSA SHA256:A, client user \"@\", client host \"@\"",
    "Postponed publickey for invalid user @ from 198.51.100.7 port 4711 ssh2 [preauth]",
    "Partial publickey for @ from 198.51.100.7 port 4711 ssh2: RSA-CERT ID @ (serial 0) CA RSA SHA256:B",
    "Invalid user @ from 198.51.100.7 port 4711",
    "Invalid user @ from 198.51.100.7",
    "error: maximum authentication attempts exceeded for @ from 198.51.100.7 port 4711 ssh2 [preauth]",
    "error: maximum authentication attempts exceeded for invalid user @ from 198.51.100.7 port 4711 ssh2 [preauth]",
    "Disconnecting invalid user @ 198.51.100.7 port 4711: Too many authentication failures [preauth]",
    "Disconnecting authenticating user @ 198.51.100.7 port 4711: Change of username or service not allowed: (@,ssh-connection) -> (@,ssh-connection) [preauth]",
    "Disconnecting: Too many authentication failures for @ [preauth]",
    "error: PAM: Authentication failure for @ from 198.51.100.7",
    "error: PAM: User not known to the underlying authentication module for illegal user @ from 198.51.100.7",
    "error: PAM: Authentication failure for illegal user @ from host.example",
    "error: PAM: authentication error for @ from 198.51.100.7 via 192.0.2.1",
    "Connection closed by authenticating user @ 198.51.100.7 port 4711 [preauth]",
    "Connection closed by invalid user @ 198.51.100.7 port 4711 [preauth]",
    "Connection reset by authenticatinguser @ 198.51.100.7 port 4711 [preauth]",
    "Connection closed by invalid user @ 198.51.100.7 port 4711",
    "Disconnected from invalid user @ 198.51.100.7 port 4711 [preauth]",
    "Disconnected from authenticating user @ 198.51.100.7 port 4711 [preauth]",
    "Received disconnect from 198.51.100.7 port 4711:11: @ [preauth]",
    "Received disconnect from 198.51.100.7: 11: @",
    "error: Received disconnect from 198.51.100.7 port 4711:3: @ [preauth]",
    "Bad protocol version identification '@' from 198.51.100.7 port 4711",
    "Bad protocol version identification '@' from 198.51.100.7",
    "error: Bad remote protocol version identification: '@'",
    "error: kex_exchange_identification: client sent invalid protocol identifier \"@\"",
    "Protocol major versions differ for 198.51.100.7 port 4711: @ vs. SSH-1.5-@",
    "Unable to negotiate with 198.51.100.7 port 4711: no matching key exchange method found. Their offer: @ [preauth]",
    "fatal: no matching mac found: client @ server hmac-x [preauth]",
    "ssh_dispatch_run_fatal: Connection from invalid user @ 198.51.100.7 port 4711: Connection corrupted [preauth]",
    "refused connect from @@host.example (198.51.100.7)",
    "input_userauth_request: invalid user @ [preauth]",
    "pam_unix(sshd:auth): authentication failure; logname= uid=0 euid=0 tty=ssh ruser= rhost=198.51.100.7  user=@",
    "PAM 2 more authentication failures; logname= uid=0 euid=0 tty=ssh ruser= rhost=198.51.100.7  user=@",
    "pam_unix(vsftpd:auth): authentication failure; logname= uid=0 euid=0 tty=ftp ruser=@ rhost=198.51.100.7  user=@",
    "pam_unix(webapp:auth): authentication failure; logname= uid=0 euid=0 tty= ruser=@ rhost=198.51.100.7",
];

/// Pieces of the lines that a client would like to see, with the victim's address.
const PIECES: [&str; 42] = [
    "x",
    " ",
    "root",
    " from ",
    " from",
    "from ",
    "203.0.113.9",
    " 203.0.113.9",
    " from 203.0.113.9",
    " from 203.0.113.9 port 1",
    " from 203.0.113.9 port 1 ssh2",
    " from 203.0.113.9 port 1 ssh2: ",
    " from 203.0.113.9 port 1 ssh2 [preauth]",
    " port 1",
    " ssh2",
    ": ",
    " 203.0.113.9 port 1",
    " 203.0.113.9 port 1: Too many authentication failures",
    " 203.0.113.9 port 1: Change of username or service not allowed: ",
    " 203.0.113.9 port 1 [preauth]",
    " [preauth]",
    "' from 203.0.113.9 port 1",
    "' from 203.0.113.9",
    "'",
    "\"",
    " via 192.0.2.1",
    " from 203.0.113.9 via 192.0.2.1",
    " for ",
    "invalid user ",
    " rhost=203.0.113.9",
    " rhost=203.0.113.9  user=",
    " rhost=",
    " ruser= rhost=203.0.113.9",
    "  user=",
    " (203.0.113.9)",
    " (",
    " not allowed because not listed in AllowUsers",
    " from 203.0.113.9 not allowed because listed in DenyUsers",
    " found. Their offer: ",
    " port 1:11: ",
    ":11: ",
    "%eth0",
];

#[test]
fn no_text_of_the_client_s_names_another_offender() {
    let packs = Packs::load(true, &[]).unwrap();
    let mut rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let mut blamed = [0_u32; TEMPLATES.len()];
    for (index, template) in TEMPLATES.iter().enumerate() {
        for _ in 0..400 {
            let mut line = String::new();
            for (part, text) in template.split('@').enumerate() {
                if part > 0 {
                    for _ in 0..rng.random_range(0..7) {
                        line += PIECES[rng.random_range(0..PIECES.len())];
                    }
                }
                line += text;
            }
            let record = record("sshd", line.as_bytes());
            let Some(event) = packs.recognise(&record) else { continue };
            assert_ne!(event.kind.name, "accepted", "{line}");
            match event.address {
                Blame::Address(addr) => {
                    assert_eq!(addr.to_string(), REAL, "not {VICTIM}: {line}");
                    blamed[index] += 1;
                }
                Blame::Ambiguous | Blame::Nobody => {}
            }
            if let Some(crate::event::Value::Addr(src)) = event.field("src") {
                assert_eq!(src.to_string(), REAL, "{line}");
            }
        }
    }
    // Where the address stands last, nothing that a client writes hides it either.
    for (template, blamed) in TEMPLATES.iter().zip(blamed) {
        if template.contains("from 198.51.100.7 port 4711") && template.starts_with("Invalid") {
            assert_eq!(blamed, 400, "{template}");
        }
    }
}
