//! The correlator as a whole, on rules made by hand.

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;

use super::*;
use crate::event::{Blame, EventKind, RuleHead, Value};
use crate::rules::{Condition, Key, Preceded, Rule, Trigger, Window};

fn rule(id: u32, level: u8, trigger: Trigger) -> Rule {
    Rule {
        head: Arc::new(RuleHead::plain(id, level, "test")),
        trigger,
        when: Vec::new(),
        score: 0.0,
        window: None,
        preceded: None,
        absence: None,
        ignore: Duration::ZERO,
        silent: false,
    }
}

fn on(event: u32) -> Trigger {
    Trigger::Events(vec![event])
}

fn window(count: u32, within: u64, same: &[Key]) -> Option<Window> {
    Some(Window { count, within: Duration::from_secs(within), same: same.to_vec(), distinct: None })
}

fn set(rules: Vec<Rule>) -> RuleSet {
    RuleSet { rules, by_event: Vec::new(), children: Vec::new(), lists: Vec::new() }
}

fn field(name: &str) -> Key {
    Key::Field(name.into())
}

/// Suricata's ten rules: event 0, `priority` 1 or 2.
fn ladders() -> RuleSet {
    let mut rules = Vec::new();
    for (base, level, priority) in [(300_001, 7, 2), (300_011, 10, 1)] {
        let first = rules.len();
        let when = Condition::between("priority", priority, priority);
        rules.push(Rule { when: vec![when], score: 10.0, ..rule(base, level, on(0)) });
        for (rung, count) in (1..).zip([5, 10, 20, 50]) {
            rules.push(Rule {
                window: window(count, 120, &[Key::Offender]),
                ignore: Duration::from_secs(90),
                ..rule(
                    base + rung,
                    level + u8::try_from(rung).unwrap(),
                    Trigger::After(vec![first]),
                )
            });
        }
    }
    set(rules)
}

/// sshd: event 0 fails, event 1 succeeds, event 2 (also of an attempt) is PAM's; users in `user`.
fn logins() -> RuleSet {
    set(vec![
        Rule { score: 12.0, ..rule(5716, 5, on(0)) },
        Rule {
            window: window(8, 360, &[Key::Offender]),
            ignore: Duration::from_secs(60),
            ..rule(5720, 10, Trigger::After(vec![0]))
        },
        rule(5715, 3, on(1)),
        Rule {
            preceded: Some(Preceded {
                rules: vec![0],
                count: 3,
                within: Duration::from_secs(240),
                same: vec![field("src")],
            }),
            ..rule(40112, 12, Trigger::After(vec![2]))
        },
        Rule { score: 12.0, ..rule(5503, 5, on(2)) },
        Rule {
            window: Some(Window {
                count: 4,
                within: Duration::from_secs(60),
                same: vec![Key::Offender],
                distinct: Some(field("user")),
            }),
            ..rule(5730, 8, Trigger::After(vec![0]))
        },
    ])
}

struct Bench {
    correlator: Correlator,
    kinds: Vec<EventKind>,
}

/// One event, with what tests vary.
#[derive(Clone)]
struct Line<'l> {
    kind: usize,
    from: &'l str,
    at: f64,
    user: &'l str,
    priority: u64,
    pid: Option<u32>,
    repeated: u32,
    bar: Option<Withheld>,
    banned: bool,
}

const LINE: Line<'static> = Line {
    kind: 0,
    from: "198.51.100.7",
    at: 0.0,
    user: "root",
    priority: 1,
    pid: None,
    repeated: 1,
    bar: None,
    banned: false,
};

impl Bench {
    fn new(rules: &RuleSet) -> Self {
        Self::with(rules, Limits::default())
    }

    fn with(rules: &RuleSet, limits: Limits) -> Self {
        let correlator = Correlator::new(rules, Duration::from_secs(600), 64, limits);
        let kinds = (0..4)
            .map(|index| EventKind {
                index,
                name: format!("event {index}"),
                pack: "test".into(),
                proven: true,
                attempt: index != 3,
                success: index == 1,
                web: false,
            })
            .collect();
        Self { correlator, kinds }
    }

    fn feed(&mut self, line: &Line<'_>) -> Fired {
        let addr: IpAddr = line.from.parse().unwrap();
        let kind = &self.kinds[line.kind];
        let event = Event {
            kind,
            fields: [
                ("user", Value::Text(Cow::Borrowed(line.user.as_bytes()))),
                ("src", Value::Addr(addr)),
                ("priority", Value::Number(line.priority)),
            ]
            .into_iter()
            .collect(),
            program: None,
            pid: line.pid,
            repeated: line.repeated,
            address: Blame::Address(addr),
            suricata: None,
        };
        let offender = (!kind.success).then_some(addr);
        let offence = Offence { offender, proven: line.bar.is_none(), bar: line.bar };
        let target = offender.map(|addr| Target::of_offender(addr, 64));
        #[expect(clippy::cast_possible_truncation, reason = "tests use small times")]
        let time = Timestamp::from_micros((line.at * 1e6) as i64);
        self.correlator.feed(&event, &offence, target, time, line.banned)
    }

    fn ids(&mut self, line: &Line<'_>) -> Vec<u32> {
        self.feed(line).alerts.iter().map(|alert| alert.rule.id).collect()
    }
}

fn target(text: &str) -> Target {
    text.parse().unwrap()
}

#[test]
fn the_ladder_fires_at_5_10_20_and_50_whatever_fired_before() {
    for (priority, base) in [(1, 300_011), (2, 300_001)] {
        let mut bench = Bench::new(&ladders());
        for n in 1..=50_u32 {
            let ids = bench.ids(&Line { priority, at: f64::from(n), ..LINE });
            let rung = [5, 10, 20, 50].iter().position(|at| *at == n);
            let rungs: Vec<u32> =
                rung.map(|rung| base + 1 + u32::try_from(rung).unwrap()).into_iter().collect();
            assert_eq!(ids, [&rungs[..], &[base]].concat(), "event {n}");
        }
    }
}

#[test]
fn the_ladder_goes_on_while_a_ban_stands_and_not_after() {
    let mut bench = Bench::new(&ladders());
    let mut rungs = Vec::new();
    for n in 1..=50 {
        let fired = bench.feed(&Line { banned: n > 1, ..LINE });
        rungs.extend(fired.alerts.iter().filter(|alert| alert.count > 1).map(|_| n));
        if n == 1 {
            bench.correlator.consume(target("198.51.100.7"));
        }
    }
    assert_eq!(rungs, [5, 10, 20, 50]);
    // Over: neither what led to the ban nor what came under it counts.
    for n in 1..=5 {
        let fired = bench.feed(&Line { at: 60.0, ..LINE });
        assert_eq!(fired.score, 10.0 * f64::from(n));
        assert_eq!(fired.alerts.len() == 2, n == 5, "event {n} after the ban");
    }
}

#[test]
fn interleaved_offenders_do_not_disturb_each_other() {
    let mut bench = Bench::new(&ladders());
    for n in 1..=50_u32 {
        for offender in 1..=49 {
            let from = format!("198.51.100.{offender}");
            let at = f64::from(n);
            let alerts = bench.ids(&Line { from: &from, at, ..LINE }).len();
            assert_eq!(alerts, if [5, 10, 20, 50].contains(&n) { 2 } else { 1 });
        }
    }
}

#[test]
fn eight_failures_fire_and_a_pardon_starts_again() {
    let mut bench = Bench::new(&logins());
    let fires = |bench: &mut Bench, banned| bench.ids(&Line { banned, ..LINE }).contains(&5720);
    for n in 1..=8 {
        assert_eq!(fires(&mut bench, false), n == 8);
    }
    bench.correlator.consume(target("198.51.100.7"));
    assert!(!fires(&mut bench, true));
    bench.correlator.forgive(target("198.51.100.7"));
    for n in 1..=8 {
        assert_eq!(fires(&mut bench, false), n == 8, "failure {n} after the pardon");
    }
    // A pardon of a wider prefix covers it too, and nobody outside it.
    let mut bench = Bench::new(&logins());
    let neighbour = Line { from: "198.51.101.7", ..LINE };
    for _ in 1..=7 {
        bench.feed(&LINE);
        bench.feed(&neighbour);
    }
    bench.correlator.forgive(target("198.51.100.0/24"));
    assert!(!fires(&mut bench, false));
    assert!(bench.ids(&neighbour).contains(&5720));
}

#[test]
fn a_wide_ban_consumes_the_evidence_of_all_in_it() {
    let mut bench = Bench::new(&logins());
    let offenders = ["2001:db8:0:1::7", "2001:db8:0:2::7"];
    for from in offenders {
        assert_eq!(bench.feed(&Line { from, repeated: 7, ..LINE }).score, 84.0);
    }
    bench.correlator.consume(target("2001:db8::/48"));
    for from in offenders {
        let fired = bench.feed(&Line { from, ..LINE });
        assert_eq!((fired.score, fired.alerts.len()), (12.0, 1));
    }
}

#[test]
fn a_window_slides_and_its_edge_counts() {
    let mut bench = Bench::new(&logins());
    let times = [0.0, 60.0, 120.0, 180.0, 240.0, 300.0, 330.0];
    for at in times {
        assert_eq!(bench.ids(&Line { at, ..LINE }), [5716]);
    }
    let mut early = Bench::new(&logins());
    for at in times {
        early.feed(&Line { at, ..LINE });
    }
    assert_eq!(bench.ids(&Line { at: 360.0, ..LINE }), [5720, 5716], "just as old as `within`");
    assert_eq!(early.ids(&Line { at: 360.01, ..LINE }), [5716], "older");
    assert_eq!(early.ids(&Line { at: 365.0, ..LINE }), [5720, 5716], "the first is gone, not all");
}

#[test]
fn ignore_swallows_by_key_for_a_fixed_time_and_the_count_starts_again() {
    let mut bench = Bench::new(&logins());
    let mut fired_at = Vec::new();
    let mut swallowed_at = Vec::new();
    for n in 1..=80_u32 {
        let fired = bench.feed(&Line { at: f64::from(n) * 2.0, ..LINE });
        fired_at.extend(fired.alerts.iter().filter(|alert| alert.rule.id == 5720).map(|_| n));
        swallowed_at.extend(fired.swallowed.iter().map(|_| n));
    }
    // Every eighth: at 16 s, then quiet until 76 s, ...
    assert_eq!(fired_at, [8, 40, 72]);
    assert_eq!(swallowed_at, [16, 24, 32, 48, 56, 64, 80]);
    for _ in 1..=7 {
        bench.feed(&Line { from: "198.51.100.8", at: 161.0, ..LINE });
    }
    assert!(bench.ids(&Line { from: "198.51.100.8", at: 161.0, ..LINE }).contains(&5720));
}

#[test]
fn a_success_after_failures_fires_once_and_blames_nobody() {
    let mut bench = Bench::new(&logins());
    let success = Line { kind: 1, ..LINE };
    bench.feed(&LINE);
    bench.feed(&LINE);
    assert_eq!(bench.ids(&success), [5715], "two are too few");
    bench.feed(&LINE);
    assert_eq!(bench.ids(&Line { from: "198.51.100.8", ..success.clone() }), [5715]);
    let fired = bench.feed(&Line { at: 240.0, ..success.clone() });
    assert_eq!(fired.alerts.iter().map(|alert| alert.rule.id).collect::<Vec<_>>(), [40112, 5715]);
    assert_eq!((fired.score, fired.points.len()), (0.0, 0));
    assert_eq!(bench.ids(&success), [5715], "these failures have had their success");
    for _ in 0..3 {
        bench.feed(&Line { at: 300.0, ..LINE });
    }
    assert_eq!(bench.ids(&Line { at: 540.1, ..success.clone() }), [5715], "too long ago");
    // By the /64, as it would be banned; and while a ban stands.
    for host in ["2001:db8::1", "2001:db8::2", "2001:db8::3"] {
        bench.feed(&Line { from: host, at: 600.0, ..LINE });
    }
    bench.correlator.consume(target("2001:db8::"));
    assert_eq!(bench.ids(&Line { from: "2001:db8::4", at: 601.0, ..success }), [40112, 5715]);
}

#[test]
fn distinct_counts_different_values() {
    let mut bench = Bench::new(&logins());
    let mut at = 0.0;
    let mut fires = |user: &str, step: f64| {
        at += step;
        bench.ids(&Line { user, at, ..LINE }).contains(&5730)
    };
    for user in ["root", "admin", "root", "admin", "pi"] {
        assert!(!fires(user, 1.0), "{user}");
    }
    assert!(fires("oracle", 1.0));
    for (user, step, expected) in
        [("a", 1.0, false), ("b", 1.0, false), ("c", 1.0, false), ("a", 50.0, false)]
    {
        assert_eq!(fires(user, step), expected);
    }
    assert!(!fires("d", 11.0), "b and c are too old by now, a came again");
    assert!(!fires("e", 1.0));
    assert!(fires("f", 1.0));
}

#[test]
fn the_lines_of_an_attempt_alert_but_count_once() {
    let mut bench = Bench::new(&logins());
    let pam = Line { kind: 2, pid: Some(812), ..LINE };
    let failed = Line { pid: Some(812), ..LINE };
    assert_eq!(bench.feed(&pam).score, 12.0);
    let fired = bench.feed(&failed);
    assert_eq!((fired.alerts.len(), fired.score), (1, 12.0), "it alerts, and that is all");
    for n in 2..=8 {
        assert!(bench.feed(&failed).score > 12.0 * f64::from(n) - 0.1);
    }
    assert!(bench.ids(&failed).contains(&5720), "the first was PAM's, these are eight");
    // What isn't charged isn't a different value either.
    let mut bench = Bench::new(&logins());
    for (pid, user) in [(1, "a"), (2, "b"), (3, "c"), (4, "d")] {
        bench.feed(&Line { kind: 2, pid: Some(pid), ..LINE });
        let ids = bench.ids(&Line { user, pid: Some(pid), ..LINE });
        assert!(!ids.contains(&5730), "{user}");
    }
}

#[test]
fn a_repeated_line_counts_as_often() {
    let mut bench = Bench::new(&logins());
    let fired = bench.feed(&Line { repeated: 7, ..LINE });
    assert_eq!((fired.alerts.len(), fired.score), (1, 84.0));
    assert!(bench.ids(&LINE).contains(&5720));
    let fired = bench.feed(&Line { repeated: u32::MAX, at: 100.0, ..LINE });
    assert_eq!(fired.alerts.len(), 2, "one alert, however often");
}

#[test]
fn chains_go_on_from_counting_rules() {
    let mut rules = logins();
    rules.rules.push(Rule {
        window: window(2, 3600, &[Key::Offender]),
        score: 30.0,
        ..rule(5799, 13, Trigger::After(vec![1]))
    });
    let mut bench = Bench::new(&rules);
    let mut fired_at = Vec::new();
    for n in 1..=32 {
        if bench.ids(&LINE).contains(&5799) {
            fired_at.push(n);
        }
    }
    assert_eq!(fired_at, [16, 32], "also after firings that were swallowed");
}

#[test]
fn windows_without_an_address_and_with_more_than_one_part() {
    let rules = set(vec![
        rule(1, 3, on(3)),
        Rule { window: window(3, 60, &[field("user")]), ..rule(2, 8, Trigger::After(vec![0])) },
        Rule { window: window(4, 60, &[]), ..rule(3, 8, Trigger::After(vec![0])) },
        Rule {
            window: window(2, 60, &[Key::Offender, field("user")]),
            ..rule(4, 8, Trigger::After(vec![0]))
        },
        Rule { window: window(2, 60, &[field("nothing")]), ..rule(5, 8, Trigger::After(vec![0])) },
    ]);
    let mut bench = Bench::new(&rules);
    let mut ids = |from, user| bench.ids(&Line { kind: 3, from, user, ..LINE });
    assert_eq!(ids("198.51.100.1", "root"), [1]);
    assert_eq!(ids("198.51.100.2", "root"), [1]);
    assert_eq!(ids("198.51.100.3", "root"), [2, 1], "one user, three addresses");
    assert_eq!(ids("198.51.100.3", "pi"), [3, 1], "four of anything");
    assert_eq!(ids("198.51.100.3", "pi"), [4, 1], "one address and user");
}

#[test]
fn what_may_not_ban_scores_and_alerts_but_is_told_apart() {
    let mut bench = Bench::new(&ladders());
    let spoofed = Line { priority: 2, bar: Some(Withheld::Unproven), ..LINE };
    for _ in 0..9 {
        let fired = bench.feed(&spoofed);
        assert_eq!(fired.bannable_score, 0.0);
        assert_eq!(fired.tainted.len(), fired.alerts.len());
    }
    let fired = bench.feed(&Line { priority: 2, ..LINE });
    assert_eq!((fired.score, fired.bannable_score), (100.0, 10.0));
    let ids: Vec<u32> = fired.alerts.iter().map(|alert| alert.rule.id).collect();
    assert_eq!(ids, [300_003, 300_001]);
    assert_eq!(&fired.tainted[..], [300_003], "one proven event doesn't make ten");
    // Nine more that are proven: now it stands on them alone, and isn't hidden by the other's `ignore`.
    for n in 2..=10 {
        let fired = bench.feed(&Line { priority: 2, ..LINE });
        let solid = fired.alerts.iter().any(|alert| alert.rule.id == 300_003)
            && !fired.tainted.contains(&300_003);
        assert_eq!(solid, n == 10, "event {n}");
    }
    let fired = bench.feed(&Line { bar: Some(Withheld::Outbound), ..LINE });
    assert_eq!((fired.score, fired.points.len()), (200.0 - 10.0, 0), "outbound doesn't score");
}

#[test]
fn the_score_is_one_per_target_and_decays() {
    let mut bench = Bench::new(&logins());
    bench.feed(&Line { from: "2001:db8::1", ..LINE });
    let fired = bench.feed(&Line { from: "2001:db8::ffff", kind: 2, ..LINE });
    assert_eq!((fired.score, &fired.points[..]), (24.0, &[(5503, 12.0)][..]));
    let fired = bench.feed(&Line { from: "2001:db8::2", at: 600.0, ..LINE });
    assert_eq!(fired.score, 24.0);
    let fired = bench.feed(&Line { from: "2001:db8:0:1::1", at: 600.0, ..LINE });
    assert_eq!(fired.score, 12.0, "another /64");
    let fired = bench.feed(&Line { from: "2001:db8::3", at: 0.0, ..LINE });
    assert_eq!(fired.score, 30.0, "a late line arrives decayed");
}

#[test]
fn rules_in_observe_mode_do_not_push_towards_a_ban() {
    let mut rules = logins();
    let mut head = (*rules.rules[0].head).clone();
    head.observe = true;
    rules.rules[0].head = Arc::new(head);
    let fired = Bench::new(&rules).feed(&LINE);
    assert_eq!((fired.score, fired.bannable_score), (12.0, 0.0));
}

#[test]
fn a_reload_keeps_what_goes_on_counting() {
    let mut bench = Bench::new(&logins());
    for _ in 0..7 {
        bench.feed(&LINE);
    }
    let mut rules = logins();
    rules.rules.insert(0, rule(1, 1, on(3)));
    for rule in &mut rules.rules {
        if let Trigger::After(after) = &mut rule.trigger {
            after.iter_mut().for_each(|rule| *rule += 1);
        }
        if let Some(preceded) = &mut rule.preceded {
            preceded.rules.iter_mut().for_each(|rule| *rule += 1);
        }
    }
    bench.correlator.reload(&rules);
    let fired = bench.feed(&LINE);
    assert_eq!((fired.alerts[0].rule.id, fired.score), (5720, 96.0));
    bench.correlator.reload(&set(vec![rule(5716, 5, on(0))]));
    assert_eq!(bench.feed(&LINE).score, 96.0);
}

#[test]
fn strange_rules_and_events_do_no_harm() {
    // A circle, a trigger that isn't there, an event that no rule knows.
    let rules = set(vec![
        rule(1, 3, on(0)),
        rule(2, 3, Trigger::After(vec![3, 77])),
        rule(3, 3, Trigger::After(vec![1])),
        rule(4, 3, Trigger::After(vec![2])),
    ]);
    let mut bench = Bench::new(&rules);
    assert_eq!(bench.ids(&LINE), [1]);
    assert!(bench.ids(&Line { kind: 3, ..LINE }).is_empty());
    assert_eq!(Bench::new(&set(Vec::new())).feed(&LINE), Fired::default());
    for at in [-1e12, 1e12, 0.0, -1.0, 4e9] {
        bench.feed(&Line { at, ..LINE });
    }
}

#[test]
fn a_flood_of_names_does_not_free_a_heavy_offender() {
    let limits = Limits { max_keys: 1_000, max_sessions: 100, ..Limits::default() };
    let mut bench = Bench::with(&logins(), limits);
    for _ in 0..7 {
        bench.feed(&LINE);
    }
    for n in 0..20_000_u32 {
        let from = Ipv4Addr::from_bits((203 << 24) | n).to_string();
        bench.feed(&Line { from: &from, pid: Some(n), at: 1.0, ..LINE });
    }
    let stats = bench.correlator.stats();
    assert_eq!(stats.keys, 1_000);
    assert!(stats.evicted >= 19_000);
    assert!(bench.ids(&Line { at: 2.0, ..LINE }).contains(&5720));
}

#[test]
fn attackers_among_ten_times_as_many_passers_by_are_found_and_memory_stays_flat() {
    /// A full table's worth.
    const KEYS: u32 = 1 << 13;
    const ATTACKERS: u8 = 16;
    let limits = Limits { max_keys: KEYS as usize, ..Limits::default() };
    let mut bench = Bench::with(&logins(), limits);
    let mut found = vec![None; usize::from(ATTACKERS)];
    let mut full = 0;
    // Each passer-by guesses once, as many of them as fill the table ten times over in four minutes; between two
    // guesses of an attacker come as many as an eighth of the table.
    for n in 0..10 * KEYS {
        let at = 240.0 * f64::from(n) / f64::from(10 * KEYS);
        let from = Ipv4Addr::from_bits((203 << 24) | n).to_string();
        bench.feed(&Line { from: &from, at, ..LINE });
        let (turn, rest) = (n / (KEYS / 8), n % (KEYS / 8));
        if let Some(attacker) = u8::try_from(rest).ok().filter(|it| *it < ATTACKERS) {
            let from = Ipv4Addr::new(198, 51, 100, attacker).to_string();
            if bench.ids(&Line { from: &from, at, ..LINE }).contains(&5720) {
                found[usize::from(attacker)].get_or_insert(turn + 1);
            }
        }
        if n == 2 * KEYS {
            full = bench.correlator.stats().bytes;
        }
    }
    let stats = bench.correlator.stats();
    assert_eq!(stats.keys, KEYS as usize);
    assert!(stats.evicted > u64::from(8 * KEYS), "{stats:?}");
    assert!(stats.bytes <= full + full / 10, "{} bytes, {full} when it was full", stats.bytes);
    // The eighth guess, or little later where the first was forgotten.
    assert!(found.iter().all(|at| at.is_some_and(|at| at <= 12)), "{found:?}");
}

/// Prints, doesn't assert: `cargo test --release ... -- --ignored --nocapture speed_and_size`.
#[test]
#[ignore = "prints figures; run it in a release build"]
fn speed_and_size() {
    // Of this thread alone: others share the machine.
    let cpu = || {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
        Duration::new(u64::try_from(time.tv_sec).unwrap(), u32::try_from(time.tv_nsec).unwrap())
    };
    let resident = || {
        let text = std::fs::read_to_string("/proc/self/statm").unwrap();
        text.split(' ').nth(1).unwrap().parse::<i64>().unwrap() * 4_096 / 1_000_000
    };
    for (name, rules) in [("logins", logins()), ("ladders", ladders())] {
        for (offenders, rounds) in [(1_000, 1_000), (1_000_000, 3)] {
            let before = resident();
            let mut bench = Bench::new(&rules);
            let kind = bench.kinds[0].clone();
            let mut run = |feed: bool| {
                let started = cpu();
                for (round, n) in
                    (0..rounds).flat_map(|round| (0..offenders).map(move |n| (round, n)))
                {
                    let addr = IpAddr::V4(Ipv4Addr::from_bits((198 << 24) | n));
                    let event = Event {
                        kind: &kind,
                        fields: [
                            ("user", Value::Text(Cow::Borrowed(&b"root"[..]))),
                            ("src", Value::Addr(addr)),
                            ("priority", Value::Number(1)),
                        ]
                        .into_iter()
                        .collect(),
                        program: None,
                        pid: None,
                        repeated: 1,
                        address: Blame::Address(addr),
                        suricata: None,
                    };
                    let event = std::hint::black_box(event);
                    let offence = Offence { offender: Some(addr), proven: true, bar: None };
                    let (time, target) = (Timestamp::from_secs(round), Target::of_address(addr));
                    if feed {
                        let correlator = &mut bench.correlator;
                        let fired = correlator.feed(&event, &offence, Some(target), time, false);
                        std::hint::black_box(fired);
                    }
                }
                cpu().checked_sub(started).unwrap()
            };
            let (idle, fed) = (run(false), run(true));
            let events = u32::try_from(rounds).unwrap() * offenders;
            println!(
                "{name}, {offenders} offenders: {:?} an event, {} MB by account, {} MB resident",
                fed.saturating_sub(idle) / events,
                bench.correlator.stats().bytes / 1_000_000,
                resident() - before,
            );
        }
    }
}
