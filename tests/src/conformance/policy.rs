//! Which file is which pack's, and the lines on which we differ from the others on purpose.

/// OSSEC's and Wazuh's files that packs read.
pub(super) const DECODED: [&str; 16] = [
    "apache",
    "asterisk",
    "dovecot",
    "dpkg",
    "dropbear",
    "exim",
    "named",
    "nextcloud",
    "nginx",
    "pam",
    "postfix",
    "proftpd",
    "sshd",
    "su",
    "sudo",
    "vsftpd",
];

/// fail2ban's file, our pack.
const PACKS: [(&str, &str); 30] = [
    ("apache-auth", "apache"),
    ("apache-botsearch", "apache"),
    ("apache-modsecurity", "apache"),
    ("apache-nohome", "apache"),
    ("apache-noscript", "apache"),
    ("apache-overflows", "apache"),
    ("apache-shellshock", "apache"),
    ("asterisk", "asterisk"),
    ("dovecot", "dovecot"),
    ("dropbear", "dropbear"),
    ("exim", "exim"),
    ("exim-spam", "exim"),
    ("gitlab", "gitlab"),
    ("mysqld-auth", "mysql"),
    ("named-refused", "named"),
    ("nextcloud", "nextcloud"),
    ("nginx-botsearch", "nginx"),
    ("nginx-error-common", "nginx"),
    ("nginx-forbidden", "nginx"),
    ("nginx-http-auth", "nginx"),
    ("nginx-limit-req", "nginx"),
    ("openvpn", "openvpn"),
    ("pam-generic", "pam"),
    ("postfix", "postfix"),
    ("proftpd", "proftpd"),
    ("pure-ftpd", "pure-ftpd"),
    ("roundcube-auth", "roundcube"),
    ("sshd", "sshd"),
    ("sshd-journal", "sshd"),
    ("vsftpd", "vsftpd"),
];

/// The pack that reads the lines of one of fail2ban's files.
pub(super) fn pack_of(file: &str) -> Option<&'static str> {
    PACKS.iter().find(|(name, _)| *name == file).map(|(_, pack)| *pack)
}

/// File, first and last line, why we say something else than fail2ban there.
const DIFFERENCES: [(&str, usize, usize, &str); 8] = [
    (
        "apache-auth",
        138,
        138,
        "mod_evasive refused a flood: a score of 2, where fail2ban looks away",
    ),
    ("postfix", 82, 82, "commands out of order: a score of 3, where fail2ban wants another mode"),
    (
        "postfix",
        147,
        147,
        "a way to log in that there isn't: a score of 3, where fail2ban wants another mode",
    ),
    ("postfix", 158, 158, "what a name server says of an address is nobody's deed"),
    (
        "postfix",
        179,
        179,
        "lost right after AUTH: a score of 3, where fail2ban waits for the next line",
    ),
    (
        "asterisk",
        97,
        97,
        "a quote and a second address in a SIP header: two addresses blame nobody",
    ),
    (
        "roundcube-auth",
        10,
        32,
        "an address in the user's name, and free text behind the real one: two addresses blame nobody",
    ),
    (
        "roundcube-auth",
        53,
        53,
        "forwarded addresses: the connection is a proxy's, the header anybody's",
    ),
];

/// Why we differ on this line, where that is on purpose.
pub(super) fn reason(file: &str, line: usize) -> Option<&'static str> {
    DIFFERENCES
        .iter()
        .find(|(name, from, to, _)| *name == file && (*from..=*to).contains(&line))
        .map(|(_, _, _, reason)| *reason)
}
