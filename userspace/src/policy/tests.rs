//! Policy as a whole.

use std::borrow::Cow;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use smallvec::SmallVec;

use super::*;
use crate::config::{MailConfig, StateConfig, XdpMode};
use crate::event::{Blame, EveExtra, EventKind, Flow, RuleHead, SuricataAlert, Value};

const HOME: &str = "203.0.113.9";
const THEM: &str = "198.51.100.7";

fn config() -> Config {
    Config {
        mode: Mode::Enforce,
        interfaces: Vec::new(),
        xdp_mode: XdpMode::Auto,
        state_dir: PathBuf::new(),
        run_dir: PathBuf::new(),
        bpf_dir: PathBuf::new(),
        control_group: None,
        sandbox: false,
        builtin_rules: true,
        rules: Vec::new(),
        suricata_rules: PathBuf::new(),
        sources: None,
        home: vec!["203.0.113.0/24".parse().unwrap()],
        allow: vec!["192.0.2.0/24".parse().unwrap()],
        allow_presets: Vec::new(),
        allow_files: Vec::new(),
        fronts: Vec::new(),
        ban: BanConfig {
            level: 9,
            score: 100.0,
            score_half_life: Duration::from_secs(600),
            ttl: Duration::from_secs(300),
            escalate: [1_800, 7_200, 86_400].map(Duration::from_secs).to_vec(),
            forget_after: Duration::from_secs(604_800),
            ipv6_prefix: 64,
            private: false,
            unproven: false,
            outbound: false,
            max: 1 << 20,
            max_per_minute: 6_000,
        },
        state: StateConfig::default(),
        metrics: None,
        mail: MailConfig {
            level: 7,
            immediate: 10,
            to: Vec::new(),
            from: String::new(),
            relay: String::new(),
            per_hour: 4,
            ..MailConfig::default()
        },
    }
}

fn network() -> Network {
    Network {
        addresses: vec![addr(HOME), addr("2001:db8:1::9")],
        gateways: vec![addr("203.0.113.1")],
        on_link: vec!["2001:db8:1::/64".parse().unwrap()],
        inside: vec!["172.17.0.0/16".parse().unwrap()],
        ..Network::default()
    }
}

fn policy_of(change: impl FnOnce(&mut Config)) -> Policy {
    let mut config = config();
    change(&mut config);
    Policy::new(&config, &network(), SuricataProof::unknown())
}

fn policy() -> Policy {
    policy_of(|_| ())
}

fn addr(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn target(text: &str) -> Target {
    text.parse().unwrap()
}

fn at(secs: i64) -> Timestamp {
    Timestamp::from_secs(secs)
}

fn head(id: u32, level: u8) -> RuleHead {
    RuleHead::plain(id, level, "test")
}

fn fired(heads: &[RuleHead]) -> Fired {
    let alerts =
        heads.iter().map(|head| Alert { rule: Arc::new(head.clone()), count: 1 }).collect();
    Fired { alerts, ..Fired::default() }
}

fn by(who: &str) -> Offence {
    Offence { offender: Some(addr(who)), proven: true, bar: None }
}

/// What a level 10 alert by `who` at `time` leads to.
fn judge(policy: &mut Policy, offence: &Offence, time: i64) -> Verdict {
    policy.judge(offence, &fired(&[head(300_011, 10)]), at(time), at(time))
}

fn banned(verdict: Verdict) -> BanOrder {
    match verdict {
        Verdict::Ban(order) => order,
        other => panic!("expected a ban, got {other:?}"),
    }
}

fn suricata<'l>(proto: &'l str, src: (&str, u16), dst: (&str, u16)) -> SuricataAlert<'l> {
    SuricataAlert {
        gid: 1,
        sid: 2_024_364,
        priority: 1,
        proto: Cow::Borrowed(proto),
        src: Some(addr(src.0)),
        src_port: Some(src.1),
        dst: Some(addr(dst.0)),
        dst_port: Some(dst.1),
        ..SuricataAlert::default()
    }
}

fn eve<'l>(app_proto: Option<&'l str>, client: &str, server: &str) -> EveExtra<'l> {
    EveExtra {
        app_proto: app_proto.map(Cow::Borrowed),
        has_tx: false,
        flow: Some(Flow {
            client: addr(client),
            client_port: None,
            server: addr(server),
            server_port: None,
        }),
        xff: None,
    }
}

fn attribute(policy: &Policy, alert: &SuricataAlert<'_>) -> Offence {
    let kind = kind(true, false);
    policy.attribute(&Event {
        kind: &kind,
        fields: crate::event::Fields::default(),
        program: None,
        pid: None,
        repeated: 1,
        address: Blame::Nobody,
        suricata: Some(alert),
    })
}

fn kind(proven: bool, success: bool) -> EventKind {
    EventKind {
        index: 0,
        name: "e".into(),
        pack: "p".into(),
        proven,
        attempt: false,
        success,
        web: false,
    }
}

#[test]
fn suricatas_offender_is_the_side_that_is_not_ours() {
    let policy = policy();
    for (src, dst, offender) in [
        (THEM, HOME, Some(THEM)),
        (HOME, THEM, Some(THEM)),
        (THEM, "203.0.113.77", Some(THEM)),
        (THEM, "172.17.0.2", Some(THEM)),
        ("::ffff:198.51.100.7", "::ffff:203.0.113.9", Some(THEM)),
        ("2001:db8::1", "2001:db8:1::9", Some("2001:db8::1")),
        (THEM, "198.51.100.8", None),
        (HOME, "172.17.0.2", None),
        (THEM, "224.0.0.1", None),
    ] {
        let offence = attribute(&policy, &suricata("TCP", (src, 1_234), (dst, 80)));
        assert_eq!(offence.offender, offender.map(addr), "{src} -> {dst}");
        assert_eq!(offence.bar, None, "{src} -> {dst}");
    }
    let without = SuricataAlert { src: None, ..suricata("TCP", (THEM, 1), (HOME, 2)) };
    assert_eq!(attribute(&policy, &without), Offence::default());
}

#[test]
fn flows_that_our_side_opened_are_outbound() {
    let policy = policy();
    let outbound =
        |alert: &SuricataAlert<'_>| attribute(&policy, alert).bar == Some(Withheld::Outbound);
    // fast.log: a service's port there, a client's here.
    for (proto, theirs, ours, expected) in [
        ("TCP", 443, 45_000, true),
        ("UDP", 53, 32_768, true),
        ("TCP", 1_023, 60_999, true),
        ("TCP", 1_024, 45_000, false),
        ("TCP", 443, 8_080, false),
        ("TCP", 45_000, 80, false),
        ("ICMP", 0, 45_000, false),
        ("GRE", 0, 0, false),
    ] {
        let to_us = suricata(proto, (THEM, theirs), (HOME, ours));
        assert_eq!(outbound(&to_us), expected, "{proto} {theirs} {ours}");
        let to_them = suricata(proto, (HOME, ours), (THEM, theirs));
        assert_eq!(outbound(&to_them), expected, "{proto} {ours} {theirs}");
    }
    // eve.json: who opened it, whatever the ports and the packet's direction.
    for (client, server, expected) in [(HOME, THEM, true), (THEM, HOME, false)] {
        for (src, dst) in [(HOME, THEM), (THEM, HOME)] {
            let mut alert = suricata("TCP", (src, 443), (dst, 45_000));
            alert.eve = Some(eve(Some("http"), client, server));
            assert_eq!(outbound(&alert), expected, "{client} opened it, {src} -> {dst}");
        }
    }
    let policy = policy_of(|config| config.ban.outbound = true);
    let mut alert = suricata("TCP", (THEM, 443), (HOME, 45_000));
    assert_eq!(attribute(&policy, &alert).bar, None);
    // Spoofed and outbound: outbound, since that doesn't score either.
    alert.proto = "UDP".into();
    assert_eq!(attribute(&policy, &alert).bar, Some(Withheld::Unproven));
    assert_eq!(attribute(&self::policy(), &alert).bar, Some(Withheld::Outbound));
}

#[test]
fn an_address_from_a_header_is_never_banned() {
    let policy = policy_of(|config| config.ban.unproven = true);
    let mut alert = suricata("TCP", ("198.51.100.99", 4_000), (HOME, 80));
    for (client, server, bar) in [
        (THEM, HOME, Some(Withheld::Ambiguous)),
        ("198.51.100.99", HOME, None),
        (HOME, "198.51.100.99", Some(Withheld::Outbound)),
        ("198.51.100.99", "203.0.113.10", Some(Withheld::Ambiguous)),
    ] {
        alert.eve = Some(eve(Some("http"), client, server));
        let offence = attribute(&policy, &alert);
        assert_eq!((offence.offender, offence.bar), (Some(addr("198.51.100.99")), bar));
        assert_eq!(offence.proven, bar != Some(Withheld::Ambiguous));
    }
}

/// A front of each family.
fn behind_fronts() -> Policy {
    policy_of(|config| {
        config.fronts = vec!["198.51.100.7".parse().unwrap(), "2001:db8:7::7".parse().unwrap()]
            .into_iter()
            .map(|addr: IpAddr| addr.into())
            .collect();
    })
}

#[test]
fn what_a_front_brings_by_http_never_bans_it_and_ssh_does() {
    let policy = behind_fronts();
    for (who, app_proto, bar) in [
        ("198.51.100.7", Some("http"), Some(Withheld::Front)),
        ("198.51.100.7", Some("tls"), Some(Withheld::Front)),
        ("198.51.100.7", None, Some(Withheld::Front)),
        ("198.51.100.7", Some("ssh"), None),
        ("198.51.100.8", Some("http"), None),
        // A ban of it would be one of the front's /64.
        ("2001:db8:7::8", Some("http"), Some(Withheld::Front)),
        ("2001:db8:7:1::8", Some("http"), None),
    ] {
        let mut alert = suricata("TCP", (who, 4_000), (HOME, 80));
        alert.eve = Some(eve(app_proto, who, HOME));
        let offence = attribute(&policy, &alert);
        assert_eq!((offence.offender, offence.bar), (Some(addr(who)), bar), "{who} {app_proto:?}");
    }
    let fast = suricata("TCP", ("198.51.100.7", 4_000), (HOME, 80));
    assert_eq!(attribute(&policy, &fast).bar, Some(Withheld::Front), "fast.log doesn't tell");
    for (web, bar) in [(true, Some(Withheld::Front)), (false, None)] {
        let kind = EventKind { web, ..kind(true, false) };
        let event = Event {
            kind: &kind,
            fields: crate::event::Fields::default(),
            program: None,
            pid: None,
            repeated: 1,
            address: Blame::Address(addr("198.51.100.7")),
            suricata: None,
        };
        assert_eq!(policy.attribute(&event).bar, bar);
    }
}

#[test]
fn no_network_with_a_front_in_it_is_banned() {
    let prefixes = crate::event::Prefixes { v4: 24, v6: 48 };
    let many = RuleHead { ban: Some(true), network: Some(prefixes), ..head(1, 12) };
    let mut policy = behind_fronts();
    for who in ["198.51.100.9", "2001:db8:7:1::9"] {
        let verdict = policy.judge(&by(who), &fired(std::slice::from_ref(&many)), at(10), at(10));
        assert_eq!(verdict, Verdict::Withheld(Withheld::Front), "{who}");
    }
}

#[test]
fn proof_is_a_recognised_protocol_over_tcp() {
    let policy = policy();
    let mut alert = suricata("TCP", (THEM, 4_000), (HOME, 80));
    for (proto, app_proto, has_tx, proven) in [
        ("TCP", Some("http"), false, true),
        ("tcp", None, true, true),
        ("6", Some("ssh"), false, true),
        ("TCP", None, false, false),
        ("UDP", Some("dns"), true, false),
        ("ICMP", None, false, false),
    ] {
        alert.proto = Cow::Borrowed(proto);
        alert.eve = Some(EveExtra { has_tx, ..eve(app_proto, THEM, HOME) });
        let offence = attribute(&policy, &alert);
        assert_eq!(offence.proven, proven, "{proto} {app_proto:?} {has_tx}");
        assert_eq!(offence.bar, if proven { None } else { Some(Withheld::Unproven) });
        let lenient = attribute(&policy_of(|config| config.ban.unproven = true), &alert);
        assert_eq!((lenient.proven, lenient.bar), (proven, None));
    }
}

#[test]
fn fast_log_asks_suricatas_rules() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("suricata.rules");
    let rules = "alert tcp any any -> any any (flow:established; sid:2024364;)\n\
        alert tcp any any -> any any (flags:S; sid:2;)\n";
    std::fs::write(&path, rules).unwrap();
    let proof = SuricataProof::load(&path).unwrap();
    let known = Policy::new(&config(), &network(), proof);
    let unknown = policy();
    for (proto, sid, by_rule, by_tcp) in [
        ("TCP", 2_024_364, true, true),
        ("TCP", 2, false, true),
        ("TCP", 3, false, true),
        ("UDP", 2_024_364, false, false),
    ] {
        let alert = SuricataAlert { sid, ..suricata(proto, (THEM, 4_000), (HOME, 80)) };
        assert_eq!(attribute(&known, &alert).proven, by_rule, "{proto} {sid}");
        assert_eq!(attribute(&unknown, &alert).proven, by_tcp, "{proto} {sid}");
    }
    assert!(unknown.is_proof_unknown() && !known.is_proof_unknown());
}

#[test]
fn a_log_line_blames_the_address_in_it() {
    let policy = policy();
    let attributed = |kind: &EventKind, address, policy: &Policy| {
        let event = Event {
            kind,
            fields: [("src", Value::Addr(addr("2001:db8:1::5")))].into_iter().collect(),
            program: None,
            pid: None,
            repeated: 1,
            address,
            suricata: None,
        };
        let offence = policy.attribute(&event);
        (offence, policy.subject(&event, &offence))
    };
    let mapped = Blame::Address(addr("::ffff:198.51.100.7"));
    let (failure, success) = (kind(true, false), kind(true, true));
    let (offence, subject) = attributed(&failure, mapped, &policy);
    assert_eq!((offence, subject), (by(THEM), Some(target(THEM))));
    let (offence, subject) = attributed(&success, Blame::Nobody, &policy);
    assert_eq!((offence.offender, offence.bar), (None, None));
    assert_eq!(subject, Some(target("2001:db8:1::5/128")), "a neighbour");
    let (offence, subject) = attributed(&failure, Blame::Ambiguous, &policy);
    assert_eq!((offence.offender, offence.bar), (None, Some(Withheld::Ambiguous)));
    assert_eq!(subject, None);
    let unproven = kind(false, false);
    assert_eq!(attributed(&unproven, mapped, &policy).0.bar, Some(Withheld::Unproven));
    let lenient = policy_of(|config| config.ban.unproven = true);
    assert_eq!(attributed(&unproven, mapped, &lenient).0.bar, None);
}

#[test]
fn targets_are_prefixes_but_for_neighbours() {
    let policy = policy_of(|config| config.ban.ipv6_prefix = 56);
    for (offender, expected) in [
        (THEM, "198.51.100.7/32"),
        ("::ffff:198.51.100.7", "198.51.100.7/32"),
        ("2001:db8:0:1::7", "2001:db8::/56"),
        ("2001:db8:1::7", "2001:db8:1::7/128"),
    ] {
        assert_eq!(policy.target(addr(offender)).to_string(), expected);
    }
}

#[test]
fn a_network_is_banned_unless_something_in_it_speaks_against_it() {
    let prefixes = crate::event::Prefixes { v4: 24, v6: 56 };
    let many = RuleHead { ban: Some(true), network: Some(prefixes), ..head(1, 12) };
    let judge = |policy: &mut Policy, who: &str, heads: &[RuleHead]| {
        policy.judge(&by(who), &fired(heads), at(10), at(10))
    };
    let only = std::slice::from_ref(&many);
    for (who, expected) in
        [("198.51.100.7", "198.51.100.0/24"), ("2001:db8:7::7", "2001:db8:7::/56")]
    {
        let order = banned(judge(&mut policy(), who, only));
        assert_eq!((order.target, order.rule), (target(expected), Some(1)));
        // A part of it that is allowed goes on passing; all of it can't be banned.
        let allow = |nets: &[&str], who: &str| {
            let nets = nets.iter().map(|net| net.parse().unwrap()).collect();
            judge(&mut policy_of(|config| config.allow = nets), who, only)
        };
        assert_eq!(
            banned(allow(&["198.51.100.0/25", "2001:db8:7:1::/64"], "198.51.100.200")).target,
            target("198.51.100.0/24")
        );
        let halves = ["198.51.100.0/25", "198.51.100.128/25"];
        assert_eq!(allow(&halves, "198.51.100.7"), Verdict::Withheld(Withheld::Allowed));
    }
    let link = judge(&mut policy(), "2001:db8:1:5::7", only);
    assert_eq!(link, Verdict::Withheld(Withheld::Private), "our own link is in it");
    let of_v4 = Network { on_link: vec!["198.51.100.128/25".parse().unwrap()], ..network() };
    let mut neighbour = Policy::new(&config(), &of_v4, SuricataProof::unknown());
    let link = judge(&mut neighbour, "198.51.100.7", only);
    assert_eq!(link, Verdict::Withheld(Withheld::Private), "so is one of IPv4");
    let wide = RuleHead { network: Some(crate::event::Prefixes { v4: 7, v6: 31 }), ..many.clone() };
    assert_eq!(judge(&mut policy(), THEM, &[wide]), Verdict::Withheld(Withheld::Ambiguous));
    let mut guarded = policy();
    let peer = addr("198.51.100.200");
    guarded.sessions.open(Target::of_address(peer), peer, Some(4_711), Some(1), at(0));
    let shielded = judge(&mut guarded, "198.51.100.7", only);
    assert_eq!(shielded, Verdict::Withheld(Withheld::LiveSession));
    // What it did itself is enough for itself.
    let order = banned(judge(&mut guarded, "198.51.100.7", &[many, head(2, 10)]));
    assert_eq!((order.target, order.rule), (target("198.51.100.7"), Some(2)));
}

#[test]
fn the_highest_alert_that_bans_decides_and_then_the_score() {
    let never = RuleHead { ban: Some(false), ..head(1, 15) };
    let always = RuleHead { ban: Some(true), ..head(9, 3) };
    let (high, low, lower) = (head(2, 12), head(3, 9), head(4, 8));
    let scored = |mut fired: Fired, score| {
        fired.points.push((1, 10.0));
        (fired.score, fired.bannable_score) = (score, score);
        fired
    };
    for (fired, rule) in [
        (fired(std::slice::from_ref(&lower)), None),
        (fired(std::slice::from_ref(&never)), None),
        (fired(&[never.clone(), high.clone(), low.clone()]), Some(Some(2))),
        (fired(&[low, lower.clone()]), Some(Some(3))),
        (fired(&[lower.clone(), always]), Some(Some(9))),
        (scored(fired(std::slice::from_ref(&lower)), 99.9), None),
        (scored(fired(std::slice::from_ref(&lower)), 100.0), Some(None)),
        (scored(fired(&[never]), 100.0), Some(None)),
        (scored(fired(&[high]), 100.0), Some(Some(2))),
        // Without points of its own an event doesn't ban by what was there before.
        (Fired { points: SmallVec::new(), ..scored(fired(&[lower]), 200.0) }, None),
    ] {
        let verdict = policy().judge(&by(THEM), &fired, at(0), at(0));
        match rule {
            None => assert_eq!(verdict, Verdict::Nothing, "{fired:?}"),
            Some(rule) => {
                let order = banned(verdict);
                assert_eq!(order.rule, rule);
                assert_eq!(order.level.is_some(), rule.is_some());
                assert_eq!(order.target, target(THEM));
                assert_eq!(order.ttl, Ttl::For(Duration::from_secs(300)));
                assert!(order.reason.starts_with(if rule.is_some() { "rule" } else { "score 1" }));
            }
        }
    }
    let mut none = policy_of(|config| config.ban.level = 16);
    assert_eq!(judge(&mut none, &by(THEM), 0), Verdict::Nothing);
}

#[test]
fn withheld_says_why_in_a_fixed_order() {
    let bar = |bar| Offence { bar: Some(bar), ..by(THEM) };
    let nobody = Offence::default();
    let check = |policy: &mut Policy, offence: &Offence, expected: Option<Withheld>| {
        let verdict = judge(policy, offence, 10);
        assert_eq!(verdict, expected.map_or(Verdict::Nothing, Verdict::Withheld), "{offence:?}");
    };
    let mut policy = policy();
    check(&mut policy, &nobody, None);
    let ambiguous = Offence { bar: Some(Withheld::Ambiguous), ..nobody };
    check(&mut policy, &ambiguous, Some(Withheld::Ambiguous));
    for allowed in ["192.0.2.7", HOME, "203.0.113.1", "127.0.0.1", "fe80::1", "169.254.169.254"] {
        check(&mut policy, &by(allowed), Some(Withheld::Allowed));
        let barred = Offence { bar: Some(Withheld::Unproven), ..by(allowed) };
        check(&mut policy, &barred, Some(Withheld::Allowed));
    }
    for why in [Withheld::Outbound, Withheld::Ambiguous, Withheld::Unproven] {
        check(&mut policy, &bar(why), Some(why));
    }
    for private in ["10.1.2.3", "172.16.0.1", "192.168.1.1", "100.64.0.1", "fd00::1"] {
        check(&mut policy, &by(private), Some(Withheld::Private));
        let barred = Offence { bar: Some(Withheld::Unproven), ..by(private) };
        check(&mut policy, &barred, Some(Withheld::Unproven));
        banned(judge(&mut policy_of(|config| config.ban.private = true), &by(private), 0));
    }
    let order = banned(judge(&mut policy, &by(THEM), 10));
    policy.record(&order);
    check(&mut policy, &by(THEM), Some(Withheld::Already));
    check(&mut policy, &bar(Withheld::Unproven), Some(Withheld::Unproven));
    let mut wide = self::policy();
    wide.record(&BanOrder { target: target("198.51.100.0/24"), ..order });
    check(&mut wide, &by(THEM), Some(Withheld::Already));
    let mut observe = policy_of(|config| config.mode = Mode::Observe);
    check(&mut observe, &by(THEM), Some(Withheld::Observe));
    check(&mut observe, &by("10.0.0.1"), Some(Withheld::Private));
    check(&mut policy_of(|config| config.ban.max_per_minute = 0), &by(THEM), Some(Withheld::Rate));
}

#[test]
fn evidence_that_may_not_ban_calls_in_vain() {
    let observed = RuleHead { observe: true, ..head(1, 12) };
    let good = head(2, 9);
    let mut tainted = fired(&[head(3, 11)]);
    tainted.tainted.push(3);
    let mut also_good = fired(&[head(3, 11), good.clone()]);
    also_good.tainted.push(3);
    let mut hollow_score = fired(&[head(4, 5)]);
    hollow_score.points.push((4, 10.0));
    (hollow_score.score, hollow_score.bannable_score) = (150.0, 60.0);
    for (fired, expected) in [
        (fired(std::slice::from_ref(&observed)), Err(Withheld::Observe)),
        (fired(&[observed, good]), Ok(2)),
        (tainted, Err(Withheld::Unproven)),
        (also_good, Ok(2)),
        (hollow_score, Err(Withheld::Unproven)),
    ] {
        let verdict = policy().judge(&by(THEM), &fired, at(0), at(0));
        match expected {
            Ok(rule) => assert_eq!(banned(verdict).rule, Some(rule)),
            Err(why) => assert_eq!(verdict, Verdict::Withheld(why)),
        }
    }
}

#[test]
fn repeat_offenders_get_longer_until_they_are_forgotten() {
    let mut policy = policy();
    let mut time = 0;
    for (n, ttl) in (1..).zip([300, 1_800, 7_200, 86_400, 86_400]) {
        let order = banned(judge(&mut policy, &by(THEM), time));
        assert_eq!((order.offences, order.ttl), (n, Ttl::For(Duration::from_secs(ttl))));
        policy.record(&order);
        time += i64::try_from(ttl).unwrap();
        assert!(policy.is_banned(target(THEM), at(time - 1)));
        assert!(!policy.is_banned(target(THEM), at(time)));
    }
    policy.expire(at(time));
    assert_eq!(banned(judge(&mut policy, &by(THEM), time + 604_799)).offences, 6);
    assert_eq!(banned(judge(&mut policy, &by(THEM), time + 604_800)).offences, 1);
    assert_eq!(banned(judge(&mut policy, &by("198.51.100.8"), time)).offences, 1);
    // Restored, then lifted by hand: that one is forgiven, the one before isn't.
    let past =
        Past { target: target(THEM), ports: None, expires: Some(at(time + 50)), offences: 2 };
    policy.restore([past.clone()]);
    assert!(policy.is_banned(target(THEM), at(time)));
    assert!(policy.lift(target(THEM), at(time)));
    assert!(!policy.is_banned(target(THEM), at(time)));
    assert_eq!(banned(judge(&mut policy, &by(THEM), time)).offences, 2);
    assert!(!policy.lift(target(THEM), at(time)));
    assert_eq!(banned(judge(&mut policy, &by(THEM), time)).offences, 1);
    let mut flat = policy_of(|config| config.ban.escalate.clear());
    flat.restore([past]);
    let order = banned(judge(&mut flat, &by(THEM), time + 60));
    assert_eq!((order.offences, order.ttl), (3, Ttl::For(Duration::from_secs(300))));
}

#[test]
fn a_rules_own_ttl_is_the_least_a_repeat_gets() {
    for (own, offences, expected) in [(60, 0, 60), (60, 1, 1_800), (3_600, 1, 3_600)] {
        let mut policy = policy();
        policy.restore([Past {
            target: target(THEM),
            ports: None,
            expires: Some(at(0)),
            offences,
        }]);
        let rule = RuleHead { ttl: Some(Duration::from_secs(own)), ..head(1, 10) };
        let order = banned(policy.judge(&by(THEM), &fired(&[rule]), at(1), at(1)));
        assert_eq!(order.ttl, Ttl::For(Duration::from_secs(expected)));
    }
}

#[test]
fn a_ban_runs_from_its_lines_time() {
    let mut policy = policy_of(|config| config.ban.max_per_minute = 1);
    let alert = fired(&[head(1, 10)]);
    // Out of a backlog: one that has lapsed already is history, and takes nothing from the budget.
    let Verdict::Lapsed(order) = policy.judge(&by(THEM), &alert, at(0), at(300)) else {
        panic!("lapsed by now")
    };
    assert_eq!(order.expires(), Some(at(300)));
    policy.record(&order);
    let again = policy.judge(&by(THEM), &alert, at(299), at(301));
    assert_eq!(again, Verdict::Withheld(Withheld::Already), "as it would have been then");
    let order = banned(policy.judge(&by("198.51.100.8"), &alert, at(1), at(300)));
    assert_eq!((order.since, order.expires()), (at(1), Some(at(301))));
}

#[test]
fn what_is_over_the_rate_waits_by_score() {
    let mut policy = policy_of(|config| config.ban.max_per_minute = 2);
    let judge = |policy: &mut Policy, n: u8, score, time| {
        let mut fired = fired(&[head(1, 10)]);
        fired.bannable_score = score;
        let who = IpAddr::from([198, 51, 100, n]);
        let offence = Offence { offender: Some(who), proven: true, bar: None };
        policy.judge(&offence, &fired, at(time), at(time))
    };
    for n in 1..=2 {
        let order = banned(judge(&mut policy, n, 0.0, 0));
        policy.record(&order);
    }
    for (n, score) in [(3, 10.0), (4, 30.0), (5, 20.0), (6, 5.0), (4, 1.0)] {
        assert_eq!(judge(&mut policy, n, score, 1), Verdict::Withheld(Withheld::Rate));
    }
    assert_eq!(policy.held_back(), (4, 4));
    assert!(policy.release(at(59)).is_empty());
    // By hand one doesn't wait; and what is lifted needn't any more.
    policy.record(&BanOrder {
        origin: Origin::Hand,
        ..banned(judge(&mut self::policy(), 5, 0.0, 1))
    });
    policy.lift(target("198.51.100.3"), at(60));
    assert_eq!(policy.held_back().0, 2);
    let released: Vec<String> =
        policy.release(at(60)).iter().map(|order| order.target.to_string()).collect();
    assert_eq!(released, ["198.51.100.4/32", "198.51.100.6/32"]);
    assert_eq!(policy.held_back().0, 0);
    // What lapses while it waits is gone.
    assert_eq!(judge(&mut policy, 7, 0.0, 61), Verdict::Withheld(Withheld::Rate));
    assert!(policy.release(at(361)).is_empty());
    banned(judge(&mut policy, 8, 0.0, 361));
    banned(judge(&mut policy, 9, 0.0, 361));
}

#[test]
fn by_hand_what_is_allowed_is_refused_and_what_is_wide_needs_force() {
    let policy = policy();
    let check = |text: &str, force| policy.check_hand(target(text), force);
    assert_eq!(check(THEM, false), Ok(Vec::new()));
    assert_eq!(check("192.0.0.0/16", false), Ok(vec!["192.0.2.0/24".parse().unwrap()]));
    let refusal = check("192.0.2.7", true).unwrap_err();
    assert_eq!(
        refusal.to_string(),
        "192.0.2.7/32 is allowed: 192.0.2.0/24 is on the allow list (`allow` in the configuration); \
         take it out of `allow` and `ravelin reload` first"
    );
    assert!(matches!(check(HOME, true), Err(HandRefusal::Allowed { why: Why::Own, .. })));
    for (wide, narrow) in [("198.0.0.0/7", "198.0.0.0/8"), ("2001:db8::/31", "2001:db8::/32")] {
        let refusal = check(wide, false).unwrap_err();
        assert!(matches!(refusal, HandRefusal::TooWide { .. }), "{refusal}");
        assert!(check(wide, true).is_ok() && check(narrow, false).is_ok());
    }
    assert!(!check("0.0.0.0/0", true).unwrap().is_empty());
}

#[test]
fn a_prefix_that_only_holds_an_allowed_one_is_banned() {
    let mut policy = policy_of(|config| config.allow.push("2001:db8:0:1::53/128".parse().unwrap()));
    let order = banned(judge(&mut policy, &by("2001:db8:0:1::7"), 0));
    assert_eq!(order.target, target("2001:db8:0:1::/64"));
    let allowed = judge(&mut policy, &by("2001:db8:0:1::53"), 0);
    assert_eq!(allowed, Verdict::Withheld(Withheld::Allowed));
    assert!(policy.allowed().contains(&"2001:db8:0:1::53/128".parse().unwrap()));
    let held = policy.check_hand(target("2001:db8:0:1::"), false).unwrap();
    assert_eq!(held, ["2001:db8:0:1::53/128".parse().unwrap()]);
}

#[test]
fn a_reload_keeps_bans_and_offences() {
    let mut policy = policy();
    let order = banned(judge(&mut policy, &by(THEM), 0));
    policy.record(&order);
    let mut changed = config();
    changed.allow.push("198.51.100.8/32".parse().unwrap());
    policy.reload(&changed, &network(), SuricataProof::unknown());
    assert!(policy.is_banned(target(THEM), at(1)));
    assert_eq!(policy.next_offence(target(THEM), at(1)), 2);
    let allowed = judge(&mut policy, &by("198.51.100.8"), 0);
    assert_eq!(allowed, Verdict::Withheld(Withheld::Allowed));
    assert_eq!(policy.remembered(), 1);
}

#[test]
fn what_people_allow_is_never_banned_until_it_is_over() {
    let mut policy = policy();
    let them = target(THEM);
    policy.allow(them, Some(at(100)));
    policy.allow(target("192.0.2.0/24"), None);
    assert_eq!(policy.why_allowed(addr(THEM)), Some((them.net(), Why::Hand)));
    let refusal = policy.check_hand(them, true).unwrap_err().to_string();
    assert!(refusal.contains("`ravelin allow --remove 198.51.100.7/32` first"), "{refusal}");
    let entry = policy.why_covered(them).unwrap();
    assert_eq!((entry.why, entry.expires), (Why::Hand, Some(at(100))));

    // Another configuration or network doesn't take it away.
    policy.reload(&config(), &network(), SuricataProof::unknown());
    assert!(policy.set_network(&Network::default()));
    assert!(!policy.set_network(&Network::default()));
    assert!(policy.why_allowed(addr(THEM)).is_some());
    assert!(policy.why_allowed(addr("203.0.113.1")).is_none(), "no longer the gateway");

    assert!(policy.expire_allowed(at(99)).is_empty());
    assert_eq!(policy.expire_allowed(at(100)), [them]);
    assert_eq!(policy.why_allowed(addr(THEM)), None);

    // The configuration's word stays where a person's is taken back.
    policy.disallow(target("192.0.2.0/24")).unwrap();
    assert!(policy.why_allowed(addr("192.0.2.1")).is_some());
    for (what, says) in [
        ("192.0.2.0/24", "not on the allow list by hand, but as `allow` in the configuration"),
        ("127.0.0.0/8", "which is never banned"),
        ("198.51.100.9", "is not on the allow list; "),
    ] {
        let refusal = policy.disallow(target(what)).unwrap_err().to_string();
        assert!(refusal.contains(says), "{refusal}");
    }
    assert!(policy.check_allow(target("0.0.0.0/0"), false).is_err());
    assert!(policy.check_allow(target("0.0.0.0/0"), true).is_ok());
}

fn session_event<'l>(
    kind: &'l EventKind,
    pid: u32,
    fields: &[(&'l str, Value<'l>)],
    address: Blame,
) -> Event<'l> {
    Event {
        kind,
        fields: fields.iter().cloned().collect(),
        program: None,
        pid: Some(pid),
        repeated: 1,
        address,
        suricata: None,
    }
}

fn kind_of(pack: &str, name: &str, success: bool) -> EventKind {
    EventKind {
        index: 0,
        name: name.to_owned(),
        pack: pack.to_owned(),
        proven: true,
        attempt: !success,
        success,
        web: false,
    }
}

#[test]
fn while_a_session_lives_failed_logins_from_there_do_not_ban() {
    let mut policy = policy();
    let (accepted, closed) =
        (kind_of("sshd", "accepted", true), kind_of("pam", "session-closed", false));
    let failed = kind_of("sshd", "failed-password", false);
    let other = kind_of("web", "not-found", false);
    let src = ("src", Value::Addr(addr(THEM)));
    let opened =
        [src.clone(), ("port", Value::Number(4711)), ("user", Value::Text(b"root"[..].into()))];
    let nobody = Offence::default();
    let blamed =
        |kind| session_event(kind, 9, std::slice::from_ref(&src), Blame::Address(addr(THEM)));
    let bar = |policy: &mut Policy, kind| {
        let event = blamed(kind);
        let offence = policy.attribute(&event);
        policy.shield(&event, offence, at(10), at(10)).bar
    };

    assert_eq!(bar(&mut policy, &failed), None);
    policy.shield(&session_event(&accepted, 5, &opened, Blame::Nobody), nobody, at(0), at(0));
    assert_eq!(bar(&mut policy, &failed), Some(Withheld::LiveSession));
    assert_eq!(bar(&mut policy, &other), Some(Withheld::LiveSession), "an attempt is one");
    let offence = Offence { bar: Some(Withheld::LiveSession), ..by(THEM) };
    assert_eq!(judge(&mut policy, &offence, 10), Verdict::Withheld(Withheld::LiveSession));
    // Of cron's end, sshd's sessions don't end.
    let service = |name: &'static [u8]| [("service", Value::Text(name.into()))];
    let end = |policy: &mut Policy, pid, name| {
        let event = service(name);
        let event = session_event(&closed, pid, &event, Blame::Nobody);
        policy.shield(&event, nobody, at(11), at(11));
    };
    end(&mut policy, 5, b"cron");
    end(&mut policy, 6, b"sshd");
    assert_eq!(bar(&mut policy, &failed), Some(Withheld::LiveSession));
    end(&mut policy, 5, b"sshd");
    assert_eq!(bar(&mut policy, &failed), None);

    // Who can tell, tells.
    policy.shield(&session_event(&accepted, 5, &opened, Blame::Nobody), nobody, at(0), at(0));
    policy.confirm_sessions(Box::new(|peer, port| {
        assert_eq!((peer, port), (addr(THEM), Some(4711)));
        Some(false)
    }));
    assert_eq!(bar(&mut policy, &failed), None);
}

#[test]
fn a_ban_of_ports_holds_back_no_ban_of_others() {
    let mut policy = policy();
    let mail = RuleHead { ports: Some("25,465".parse().unwrap()), ..head(3357, 10) };
    let judge = |policy: &mut Policy, rule: &RuleHead, time| {
        policy.judge(&by(THEM), &fired(std::slice::from_ref(rule)), at(time), at(time))
    };
    let first = banned(judge(&mut policy, &mail, 0));
    assert_eq!(first.ports, mail.ports);
    policy.record(&first);
    assert_eq!(judge(&mut policy, &mail, 1), Verdict::Withheld(Withheld::Already));
    assert!(!policy.is_banned(target(THEM), at(1)) && policy.has_ban(target(THEM), at(1)));

    let second = banned(judge(&mut policy, &head(5720, 10), 2));
    assert_eq!((second.ports.clone(), second.offences), (None, 2));
    policy.record(&second);
    assert!(policy.is_banned(target(THEM), at(3)));
    assert_eq!(judge(&mut policy, &mail, 3), Verdict::Withheld(Withheld::Already));
    // A repeat offender's later ban is longer, and of the deciding rule's ports again.
    let third = banned(judge(&mut policy, &mail, 100_000));
    assert_eq!((third.ports, third.offences), (mail.ports, 3));
}
