//! The configuration as a whole: what is read, what is refused and how, and that the documentation
//! says the same.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::raw::KEYS;
use super::{
    Config, ConfigError, Format, Input, Mode, SocketKind, SourceConfig, SyslogPort, Transport,
    UnixSocket, XdpMode,
};

fn parse(text: &str) -> Result<Config, ConfigError> {
    Config::parse(text, Path::new("/etc/ravelin/ravelin.yaml"))
}

fn parsed(text: &str) -> Config {
    parse(text).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

fn refused(text: &str) -> String {
    match parse(text) {
        Ok(config) => panic!("accepted {text}: {config:?}"),
        Err(error) => error.to_string(),
    }
}

/// The defaults, with the packs that this machine may have installed.
fn defaults() -> Config {
    Config { rules: parsed("").rules, ..Config::default() }
}

#[test]
fn nothing_means_defaults() {
    for text in
        ["", "# nothing\n", "---\n", "ban:\nmail:\nallow:\n", "mode: ~\n", "{}", "ban: {}\n"]
    {
        assert_eq!(parsed(text), defaults(), "{text:?}");
    }
    let usual = Config::default();
    assert_eq!(usual.ban.ttl, Duration::from_secs(300));
    assert_eq!(usual.ban.escalate, [1_800, 7_200, 86_400].map(Duration::from_secs));
    assert!(usual.mail.from.starts_with("ravelin@"));
}

#[test]
fn every_key_is_read() {
    let config = parsed(
        "mode: observe
interfaces: [eth0, 'eth1']
xdp_mode: native
state_dir: /srv/state
run_dir: run
bpf_dir: /sys/fs/bpf/other
builtin_rules: false
rules: [/etc/ravelin/rules, mine.yaml]
suricata_rules: /srv/suricata.rules
sources:
  - {format: suricata-eve, file: /var/log/suricata/eve.json}
  - format: syslog
    file: auth.log
home: [203.0.113.0/24, 2001:db8:1::5/48]
allow: [192.0.2.7, '2001:db8::1', '::ffff:198.51.100.0/120']
fronts: [198.51.100.80]
ban:
  level: 16
  score: 50.5
  score_half_life: 1h
  ttl: 1h30m
  escalate: [2h, 1d]
  forget_after: 30d
  ipv6_prefix: 56
  private: true
  unproven: true
  outbound: true
  max: 1000
  max_per_minute: 60
mail:
  level: 0
  immediate: 16
  to: ['Root <root@mail.example>', admin@mail.example]
  from: ravelin@web1.example
  relay: smtps://ravelin@mail.example:465
  password_file: /etc/ravelin/relay.password
  per_hour: 1
",
    );
    let Config { ban, mail, .. } = &config;
    assert_eq!((config.mode, config.xdp_mode), (Mode::Observe, XdpMode::Native));
    assert_eq!(config.interfaces, ["eth0", "eth1"]);
    assert_eq!(config.state_dir, Path::new("/srv/state"));
    assert_eq!(config.run_dir, Path::new("/etc/ravelin/run"));
    assert_eq!(config.bpf_dir, Path::new("/sys/fs/bpf/other"));
    assert!(!config.builtin_rules);
    assert_eq!(config.rules, ["/etc/ravelin/rules", "/etc/ravelin/mine.yaml"].map(PathBuf::from));
    assert_eq!(config.suricata_rules, Path::new("/srv/suricata.rules"));
    let source = |format, file: &str| SourceConfig {
        format,
        input: Input::File(file.into()),
        trusted: false,
    };
    assert_eq!(
        config.sources,
        Some(vec![
            source(Format::SuricataEve, "/var/log/suricata/eve.json"),
            source(Format::Syslog, "/etc/ravelin/auth.log"),
        ])
    );
    let prefixes = |nets: &[ipnet::IpNet]| nets.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(prefixes(&config.home), ["203.0.113.0/24", "2001:db8:1::/48"]);
    assert_eq!(prefixes(&config.allow), ["192.0.2.7/32", "2001:db8::1/128", "198.51.100.0/24"]);
    assert_eq!(prefixes(&config.fronts), ["198.51.100.80/32"]);
    assert_eq!((ban.level, ban.score, ban.ipv6_prefix), (16, 50.5, 56));
    assert_eq!(ban.score_half_life, Duration::from_hours(1));
    assert_eq!(ban.ttl, Duration::from_mins(90));
    assert_eq!(ban.escalate, [2, 24].map(Duration::from_hours));
    assert_eq!(ban.forget_after, Duration::from_hours(30 * 24));
    assert!(ban.private && ban.unproven && ban.outbound);
    assert_eq!((ban.max, ban.max_per_minute), (1000, 60));
    assert_eq!((mail.level, mail.immediate, mail.per_hour), (0, 16, 1));
    assert_eq!(mail.to, ["Root <root@mail.example>", "admin@mail.example"]);
    assert_eq!(mail.from, "ravelin@web1.example");
    assert_eq!(mail.relay, "smtps://ravelin@mail.example:465");
    assert_eq!(mail.password_file.as_deref(), Some(Path::new("/etc/ravelin/relay.password")));
}

#[test]
fn empty_lists_are_not_the_defaults_where_that_matters() {
    let config = parsed("sources: []\nban: {escalate: []}\nmail: {to: []}\nrules: []\n");
    assert_eq!(config.sources, Some(vec![]));
    assert!(config.ban.escalate.is_empty() && config.mail.to.is_empty() && config.rules.is_empty());
}

#[test]
fn what_is_wrong_is_said_with_place_value_and_remedy() {
    for (text, said) in [
        // Keys.
        ("moed: observe", "1:1: unknown key `moed`; did you mean `mode`?"),
        ("ban:\n  levl: 9", "2:3: unknown key `levl`; did you mean `level`?"),
        ("ban: {half_life: 9m}", "1:7: unknown key `half_life`; known here are level, score, "),
        ("ttl: 5m", "1:1: unknown key `ttl`; it belongs under `ban:`"),
        ("ban: {allow: []}", "1:7: unknown key `allow`; it belongs at the top level"),
        (
            "sources: [{path: /x}]",
            "1:12: unknown key `path`; known here are format, file, directory, ",
        ),
        ("mode: enforce\nmode: observe", "2:1: `mode` stands here a second time; keep one"),
        // Shapes.
        ("mode: [enforce]", "1:7: expected a single value, got `[enforce]`"),
        ("rules: /etc/x", "1:8: expected a list such as [a, b], got `/etc/x`"),
        ("ban: 9", "1:6: expected keys with values, such as `level: 9`, got `9`"),
        ("just text", "1:1: expected keys with values"),
        ("rules: [a, ~]", "1:12: expected a value, got nothing; take the entry out"),
        ("mode: 'enforce", "1:7: not valid YAML: unclosed quote"),
        ("mode: a\n  b: c", "2:4: not valid YAML: mapping values are not allowed in this context"),
        ("mode: enforce\n---\nmode: observe", "3:1: a second document begins here"),
        // Words.
        ("mode: off", "1:7: mode: expected one of enforce, observe, got `off`"),
        (
            "xdp_mode: skb",
            "1:11: xdp_mode: expected one of auto, native, generic, maps-only, got `skb`",
        ),
        ("ban: {private: yes}", "1:16: ban.private: expected one of true, false, got `yes`"),
        // Numbers.
        ("ban: {level: 17}", "ban.level: expected a whole number from 1 to 16, got `17`"),
        ("ban: {level: 0}", "from 1 to 16, got `0`"),
        ("ban: {level: nine}", "from 1 to 16, got `nine`"),
        ("mail: {level: -1}", "mail.level: expected a whole number from 0 to 16, got `-1`"),
        ("ban: {ipv6_prefix: 31}", "ban.ipv6_prefix: expected a whole number from 32 to 128"),
        ("ban: {max: 0}", "ban.max: expected a whole number from 1 to 134217728, got `0`"),
        ("ban: {max_per_minute: 0}", "ban.max_per_minute: expected a whole number from 1 to"),
        ("mail: {per_hour: 0}", "mail.per_hour: expected a whole number from 1 to"),
        ("ban: {score: 0}", "ban.score: expected a number above 0, got `0`"),
        ("ban: {score: .nan}", "ban.score: expected a number above 0, got `.nan`"),
        ("ban: {score: inf}", "ban.score: expected a number above 0, got `inf`"),
        // Durations.
        ("ban: {ttl: 5}", "ban.ttl: expected a duration such as 90s, 5m, 2h, 1d or 1h30m, got `5`"),
        ("ban: {ttl: 0s}", "ban.ttl: expected at least 1s, got `0s`"),
        ("ban: {ttl: 11000d}", "ban.ttl: expected at most 3650d, got `11000d`"),
        ("ban:\n  escalate: [30m, soon]", "2:19: ban.escalate: expected a duration"),
        // Addresses, names, paths.
        ("allow: [192.0.2.0/33]", "1:9: allow: expected an address or prefix such as 192.0.2.7"),
        ("home: [web1.example]", "home: expected an address or prefix"),
        ("interfaces: [eth0/1]", "interfaces: expected an interface's name such as eth0"),
        ("interfaces: [an-interface-too-long]", "interfaces: expected an interface's name"),
        ("state_dir: ''", "state_dir: expected a path, got ``"),
        ("mail: {to: [root]}", "mail.to: expected a mail address such as root@localhost"),
        ("mail: {from: \"a@b\\r\\nBcc: x@y\"}", "got `a@b\\r\\nBcc: x@y`"),
        // The relay.
        ("mail: {relay: localhost}", "mail.relay: expected smtp://, smtp+starttls:// or smtps://"),
        ("mail: {relay: 'smtps://a@mail.example'}", "1:15: mail.relay: names a user, but there"),
        ("mail: {password_file: /x}", "1:23: mail.password_file: is of no use while mail.relay"),
        // Sources.
        ("sources: [{file: /x}]", "1:11: sources: expected `format`, one of syslog, "),
        ("sources: [{format: syslog}]", "1:11: sources: expected `file`, the log to read"),
        (
            "sources: [{format: eve, file: /x}]",
            "sources.format: expected one of syslog, suricata-fast, suricata-eve, plain, got `eve`",
        ),
        (
            "sources:\n- {format: syslog, file: /x}\n- {format: syslog, file: /x}",
            "3:3: sources: this source is named twice; keep one",
        ),
    ] {
        let error = refused(text);
        assert!(error.starts_with("/etc/ravelin/ravelin.yaml:"), "{error}");
        assert!(error.contains(said), "{text}\n  gives  {error}\n  not    {said}");
        assert!(!error.contains('\n'), "{error}");
    }
}

#[test]
fn keys_of_other_sources_are_refused_by_name() {
    for (text, said) in [
        ("sources: [{format: journald, file: /x}]", "sources: the journal is read by journalctl"),
        (
            "sources: [{format: syslog, directory: /x}]",
            "sources: `directory` belongs to the format journald",
        ),
        ("sources: [{format: journald}, {format: journald}]", "this source is named twice"),
    ] {
        let error = refused(text);
        assert!(error.contains(said), "{error}");
    }
}

#[test]
fn metrics_are_had_where_it_is_said() {
    assert_eq!(parsed("").metrics, None);
    for (text, at) in [
        ("127.0.0.1:9477", "127.0.0.1:9477"),
        ("9477", "127.0.0.1:9477"),
        ("'[::1]:9477'", "[::1]:9477"),
        ("0.0.0.0:9477", "0.0.0.0:9477"),
    ] {
        assert_eq!(parsed(&format!("metrics: {text}")).metrics, Some(at.parse().unwrap()));
    }
    for text in ["true", "127.0.0.1", "127.0.0.1:0", "0", "web1.example:9477", "99999"] {
        let error = refused(&format!("metrics: {text}"));
        assert!(
            error.contains("1:10: metrics: expected an address of this host's and a port"),
            "{error}"
        );
    }
}

#[test]
fn sockets_and_ports_are_read() {
    let config = parsed(
        "sources:
  - {format: suricata-eve, socket: eve.sock, group: suricata}
  - {format: suricata-eve, socket: /run/ravelin/eve-dgram.sock, type: datagram}
  - {format: syslog, socket: /run/ravelin/log}
  - {format: syslog, udp: '[::]:514', from: [192.0.2.1, '2001:db8::/48']}
  - {format: syslog, tcp: 192.0.2.9:601}
",
    );
    let socket = |path: &str, kind, group: Option<&str>| {
        Input::Socket(UnixSocket { path: path.into(), kind, group: group.map(str::to_owned) })
    };
    let port = |transport, at: &str, from: &[&str]| {
        let from = from.iter().map(|net| net.parse().unwrap()).collect();
        Input::Port(SyslogPort { transport, at: at.parse().unwrap(), from })
    };
    let inputs = config.sources.unwrap().into_iter().map(|source| source.input);
    let expected = [
        socket("/etc/ravelin/eve.sock", SocketKind::Stream, Some("suricata")),
        socket("/run/ravelin/eve-dgram.sock", SocketKind::Datagram, None),
        socket("/run/ravelin/log", SocketKind::Datagram, None),
        port(Transport::Udp, "[::]:514", &["192.0.2.1/32", "2001:db8::/48"]),
        port(Transport::Tcp, "192.0.2.9:601", &[]),
    ];
    assert!(inputs.eq(expected));
}

#[test]
fn mistakes_with_sockets_and_ports_are_said() {
    let long = format!("/run/{}", "x".repeat(103));
    let long = format!("{{format: syslog, socket: {long}}}");
    for (source, said) in [
        (
            "{format: syslog}",
            "sources: expected `file`, the log to read: {format: syslog, file: PATH}; or where others send \
             to, `socket`, `udp` or `tcp`",
        ),
        (
            "{format: syslog, file: /x, udp: '192.0.2.1:514'}",
            "sources: a source has one of `file`, `socket`, `udp` and `tcp`, got `file` and `udp`; make it \
             several sources",
        ),
        ("{format: journald, socket: /x}", "take out `socket`, or name the journal's folder"),
        ("{format: syslog, file: /x, type: stream}", "`type` belongs to `socket`; take it out"),
        ("{format: syslog, tcp: '[::]:514', group: adm}", "`group` belongs to `socket`"),
        (
            "{format: syslog, socket: /x, from: [192.0.2.1]}",
            "who may write to a socket is said by `group`",
        ),
        ("{format: syslog, file: /x, from: [192.0.2.1]}", "`from` belongs to `udp` and `tcp`"),
        (
            "{format: syslog, socket: /x, trusted: true}",
            "`trusted` belongs to `file`; a socket believes",
        ),
        (
            "{format: suricata-eve, tcp: '192.0.2.1:514'}",
            "`tcp` takes the format syslog only, got suricata-eve; over the network let a syslogd bring it",
        ),
        (
            "{format: syslog, socket: /x, type: dgram}",
            "sources.type: expected one of stream, datagram, got `dgram`",
        ),
        (&long, "sources.socket: expected a path of at most 107 bytes for a socket, got"),
        (
            "{format: syslog, socket: /x, group: ''}",
            "sources.group: expected a group's name or number, got ``",
        ),
        (
            "{format: syslog, udp: 514}",
            "sources.udp: expected an address of this host's and a port such as 192.0.2.1:514",
        ),
        ("{format: syslog, udp: '*:514'}", "0.0.0.0:514 for all of its addresses, got `*:514`"),
        (
            "{format: syslog, tcp: 'log.example:514'}",
            "sources.tcp: expected an address of this host's",
        ),
        ("{format: syslog, tcp: '192.0.2.1:0'}", "sources.tcp: expected an address of this host's"),
        (
            "{format: syslog, udp: '[::]:514', from: []}",
            "sources.from: `from: []` lets nobody speak",
        ),
        (
            "{format: syslog, udp: '[::]:514', from: [web1]}",
            "sources.from: expected an address or prefix",
        ),
        (
            "{format: syslog, udp: '[::]:514', from: [0.0.0.0/0]}",
            "sources.from: expected those who send, at most a /8 (IPv6: /32): whoever is named here is \
             believed, got `0.0.0.0/0`",
        ),
        (
            "{format: syslog, udp: '[::]:514', form: [192.0.2.1]}",
            "unknown key `form`; did you mean `from`?",
        ),
    ] {
        let error = refused(&format!("sources: [{source}]"));
        assert!(error.starts_with("/etc/ravelin/ravelin.yaml:1:"), "{error}");
        assert!(error.contains(said), "{source}\n  gives  {error}\n  not    {said}");
        assert!(!error.contains('\n'), "{error}");
    }
    let twice =
        "sources: [{format: syslog, socket: /x}, {format: syslog, socket: /x, type: stream}]";
    assert!(refused(twice).contains("this source is named twice"));
}

#[test]
fn a_password_never_gets_into_an_error() {
    for text in [
        "mail: {relay: 'smtps://a:secret@mail.example'}",
        "mail: {relay: 'smtps://a:sec@ret@mail.example:x'}",
        "mail: {relay: 'http://a:secret@mail.example'}",
        "mail: {relay: ['smtps://a:secret@mail.example']}",
        "mail:\n  relay: smtps://a:secret@mail.example: x",
    ] {
        let error = parse(text).unwrap_err();
        let shown = format!("{error} {error:?} {}", error.place().unwrap().excerpt());
        assert!(!shown.contains("sec") && !shown.contains("ret@"), "{shown}");
    }
    let error = refused("mail: {relay: 'smtps://a:secret@mail.example'}");
    assert!(error.contains("mail.password_file"), "{error}");
}

#[test]
fn the_excerpt_points_at_the_value() {
    let error = parse("mode: observe\nban:\n\u{20}\u{20}ttl: soon\n").unwrap_err();
    assert_eq!(error.place().unwrap().excerpt(), "3 |   ttl: soon\n  |        ^");
}

/// The list of keys, which hints and the documentation are made from, is what is really read.
#[test]
fn the_list_of_keys_is_complete() {
    for (before, after, section) in [
        ("", "", ""),
        ("ban: {", "}", "ban."),
        ("mail: {", "}", "mail."),
        ("sources: [{", "}]", "sources."),
    ] {
        let error = refused(&format!("{before}zzzzzzzz: 1{after}"));
        let (_, known) = error.split_once("known here are ").unwrap();
        let listed: Vec<&str> = KEYS
            .iter()
            .filter_map(|key| key.strip_prefix(section))
            .filter(|key| !key.contains('.'))
            .collect();
        assert_eq!(known.split(", ").collect::<Vec<_>>(), listed, "{section}");
    }
}

fn documentation() -> String {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/configuration.md");
    std::fs::read_to_string(path).unwrap()
}

/// The rows of the documentation's table of keys: key and default, as printed.
fn documented_keys(documentation: &str) -> Vec<(&str, &str)> {
    let (_, section) = documentation.split_once("\n## Keys\n").unwrap();
    section
        .lines()
        .take_while(|line| !line.starts_with("## "))
        .filter_map(|line| line.strip_prefix("| `"))
        .filter_map(|row| {
            let mut cells = row.split('|').map(str::trim);
            let key = cells.next()?.trim_end_matches('`');
            let _kind = cells.next()?;
            Some((key, cells.next()?))
        })
        .collect()
}

#[test]
fn the_documentation_has_every_key_and_no_other() {
    let documentation = documentation();
    let mut documented: Vec<&str> =
        documented_keys(&documentation).into_iter().map(|(key, _)| key).collect();
    documented.sort_unstable();
    let mut known: Vec<&str> =
        KEYS.into_iter().filter(|key| !matches!(*key, "ban" | "mail" | "state")).collect();
    known.sort_unstable();
    assert_eq!(documented, known);
}

#[test]
fn the_documented_defaults_are_the_defaults() {
    let documentation = documentation();
    let mut seen = 0;
    for (key, default) in documented_keys(&documentation) {
        // In words where it depends on the host.
        let Some(default) = default.strip_prefix('`').and_then(|rest| rest.strip_suffix('`'))
        else {
            continue;
        };
        let text = match key.split_once('.') {
            Some((section, key)) => format!("{section}: {{{key}: {default}}}"),
            None => format!("{key}: {default}"),
        };
        assert_eq!(parsed(&text), defaults(), "{text}");
        seen += 1;
    }
    assert!(seen > 20, "only {seen} defaults");
}

#[test]
fn the_documented_examples_are_valid() {
    let documentation = documentation();
    let examples: Vec<&str> = documentation
        .split("```yaml\n")
        .skip(1)
        .map(|rest| rest.split("```").next().unwrap())
        .collect();
    assert_eq!(examples.len(), 3);
    assert_eq!(parsed(examples[0]), defaults());
    let allowing = parsed(examples[1]);
    assert_eq!((allowing.allow.len(), allowing.allow_presets.len()), (1, 1));
    assert_eq!(allowing.allow_files, [PathBuf::from("/etc/ravelin/friends")]);
    let example = parsed(examples[2]);
    assert_eq!(example.sources.unwrap().len(), 2);
}
