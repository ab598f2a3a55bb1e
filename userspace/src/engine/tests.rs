//! The stages joined: what single lines and many come to.

use super::*;
use crate::config::Format;
use crate::event::{Line, Withheld};
use crate::format::{Decoder, Selection};

/// What each line leads to, in a fresh engine with the built-in packs.
fn verdicts(lines: &[String]) -> Vec<Verdict> {
    let packs = Arc::new(Packs::load(true, &[]).unwrap());
    let config = Config::default();
    let proof = SuricataProof::unknown();
    let mut engine = Engine::new(packs, &config, Network::default(), proof);
    let mut decoder = Decoder::new(Selection::Only(Format::Syslog), TimeZone::UTC);
    let mut verdict = |line: &String| {
        let line = Line { bytes: line.as_bytes(), arrived: Timestamp::now() };
        let record = decoder.decode(line).unwrap();
        let time = record.time.unwrap();
        engine.step(&record, time).verdict
    };
    lines.iter().map(&mut verdict).collect()
}

fn at(second: usize, pid: u32, message: &str) -> String {
    format!("2026-11-23T10:{:02}:{:02}Z web1 sshd[{pid}]: {message}", second / 60, second % 60)
}

fn guess(second: usize) -> String {
    let pid = u32::try_from(second).unwrap() + 1_000;
    at(second, pid, "Failed password for root from 198.51.100.7 port 4711 ssh2")
}

/// A wrong mail password, again and again, too slowly for a brute force.
fn mistyped(second: usize) -> String {
    format!(
        "2026-11-23T10:{:02}:{:02}Z web1 dovecot: imap-login: Disconnected (auth failed, 1 attempts in 2 \
         secs): user=<bob>, method=PLAIN, rip=198.51.100.7, lip=203.0.113.9, session=<s{second}>",
        second / 60,
        second % 60
    )
}

fn banned(verdicts: &[Verdict]) -> Vec<(Option<u32>, Option<String>)> {
    let orders = verdicts.iter().filter_map(|verdict| match verdict {
        Verdict::Ban(order) => Some((order.rule, order.ports.as_ref().map(ToString::to_string))),
        _ => None,
    });
    orders.collect()
}

#[test]
fn a_score_from_one_kind_of_service_bans_its_ports_and_a_mixed_one_every_port() {
    const MAIL: &str = "25,110,143,465,587,993,995,4190";
    let lines: Vec<String> = (0..60).map(|n| mistyped(n * 20)).collect();
    assert_eq!(banned(&verdicts(&lines)), [(None, Some(MAIL.to_owned()))]);
    let mixed: Vec<String> = [guess(0), guess(1)].into_iter().chain(lines).collect();
    assert_eq!(banned(&verdicts(&mixed))[0], (None, None));
}

#[test]
fn guesses_beside_a_live_session_never_lead_to_a_ban() {
    let accepted = "Accepted publickey for alice from 198.51.100.7 port 4700 ssh2: RSA x";
    let closed = "pam_unix(sshd:session): session closed for user alice";
    let mut lines = vec![at(0, 700, accepted)];
    lines.extend((1..=12).map(guess));
    lines.push(at(20, 701, closed));
    lines.push(guess(21));
    lines.push(at(22, 700, closed));
    let session = lines.len();
    // What was told beside the session doesn't count after it either.
    lines.extend((23..30).map(guess));
    let verdicts = verdicts(&lines);
    assert!(verdicts.contains(&Verdict::Withheld(Withheld::LiveSession)), "{verdicts:?}");
    assert!(!verdicts.iter().any(|verdict| matches!(verdict, Verdict::Ban(_))));
    assert!(!verdicts[session..].contains(&Verdict::Withheld(Withheld::LiveSession)));

    lines.push(guess(30));
    assert!(matches!(self::verdicts(&lines).last(), Some(Verdict::Ban(_))));
    // From elsewhere nothing is shielded.
    lines[0] = lines[0].replace("198.51.100.7", "198.51.100.8");
    assert!(self::verdicts(&lines).iter().any(|verdict| matches!(verdict, Verdict::Ban(_))));
}

/// Seven failures before the clock is set by so many microseconds, the eighth after it: the engine, and
/// the eighth's verdict.
fn failures_around_a_step(by: i64, told: bool) -> Verdict {
    let packs = Arc::new(Packs::load(true, &[]).unwrap());
    let proof = SuricataProof::unknown();
    let mut engine = Engine::new(packs, &Config::default(), Network::default(), proof);
    let mut decoder = Decoder::new(Selection::Only(Format::Syslog), TimeZone::UTC);
    let mut verdict = Verdict::Nothing;
    for second in 0..8 {
        let line = guess(second);
        let line = Line { bytes: line.as_bytes(), arrived: Timestamp::now() };
        let mut record = decoder.decode(line).unwrap();
        let mut time = record.time.unwrap();
        if second == 7 {
            time = Timestamp::from_micros(time.as_micros() + by);
            if told {
                engine.step_clock(by);
            }
        }
        record.time = Some(time);
        verdict = engine.step(&record, time).verdict;
    }
    verdict
}

#[test]
fn windows_go_on_when_the_clock_is_set() {
    const DAY_US: i64 = 86_400_000_000;
    for by in [DAY_US, -DAY_US] {
        assert!(matches!(failures_around_a_step(by, true), Verdict::Ban(_)), "{by}");
        assert_eq!(failures_around_a_step(by, false), Verdict::Nothing, "{by}");
    }
}

/// Takes lines, each with something about it, through an engine of the shipped packs in `step`.
fn play<T>(
    lines: &[(String, bool)],
    mut step: impl FnMut(&mut Engine, &Record<'_>, Timestamp, bool) -> T,
) -> Vec<T> {
    let packs = Arc::new(Packs::load(true, &[]).unwrap());
    let proof = SuricataProof::unknown();
    let mut engine = Engine::new(packs, &Config::default(), Network::default(), proof);
    let mut decoder = Decoder::new(Selection::Only(Format::Syslog), TimeZone::UTC);
    let mut came = Vec::new();
    for (line, about) in lines {
        let line = Line { bytes: line.as_bytes(), arrived: Timestamp::now() };
        let record = decoder.decode(line).unwrap();
        came.push(step(&mut engine, &record, record.time.unwrap(), *about));
    }
    came
}

#[test]
fn lines_that_anybody_could_write_alert_and_neither_ban_nor_shield() {
    let run = |lines: &[(String, bool)]| -> (u8, Vec<Verdict>) {
        let mut worst = 0;
        let verdicts = play(lines, |engine, record, time, trusted| {
            let outcome = match trusted {
                true => engine.step(record, time),
                false => engine.step_untrusted(record, time),
            };
            let levels = outcome.fired.alerts.iter().map(|alert| alert.rule.level);
            worst = levels.fold(worst, u8::max);
            outcome.verdict
        });
        (worst, verdicts)
    };
    let is_ban = |verdict: &Verdict| matches!(verdict, Verdict::Ban(_));

    let mut lines: Vec<_> = (0..30).map(|second| (guess(second), false)).collect();
    let (worst, verdicts) = run(&lines);
    assert!(worst >= 10);
    assert!(!verdicts.iter().any(is_ban));
    assert!(verdicts.contains(&Verdict::Withheld(Withheld::Untrusted)));
    // Nor is somebody banned for his first honest mistake after them, ...
    lines.push((guess(31), true));
    assert!(!run(&lines).1.iter().any(is_ban));
    // ... while real guesses are counted, though forged ones told of the same attempts before.
    lines.pop();
    lines.extend((0..30).map(|second| (guess(second), true)));
    assert!(run(&lines).1.iter().any(is_ban));

    let accepted = "Accepted publickey for alice from 198.51.100.7 port 4700 ssh2: RSA x";
    let mut lines = vec![(at(0, 700, accepted), false)];
    lines.extend((1..12).map(|second| (guess(second), true)));
    assert!(run(&lines).1.iter().any(is_ban), "a forged login saves nobody");
    lines[0].1 = true;
    assert!(!run(&lines).1.iter().any(is_ban));
}

#[test]
fn what_happens_elsewhere_opens_and_closes_no_session_here() {
    let run = |lines: &[(String, bool)]| {
        let bans = play(lines, |engine, record, time, here| {
            let outcome = match here {
                true => engine.step(record, time),
                false => engine.step_from_elsewhere(record, time),
            };
            matches!(outcome.verdict, Verdict::Ban(_))
        });
        bans.contains(&true)
    };
    let accepted = at(0, 700, "Accepted publickey for a from 198.51.100.7 port 4700 ssh2: RSA x");
    let closed = at(1, 700, "pam_unix(sshd:session): session closed for user a");
    let guesses = |here| (2..22).map(move |second| (guess(second), here));
    let with = |first: &[(&String, bool)], here| {
        let first = first.iter().map(|(line, here)| ((*line).clone(), *here));
        run(&first.chain(guesses(here)).collect::<Vec<_>>())
    };
    assert!(with(&[], false), "guesses there ban here");
    assert!(with(&[(&accepted, false)], true), "a login there saves nobody here");
    assert!(!with(&[(&accepted, true)], false), "one here does, wherever the guesses are");
    assert!(!with(&[(&accepted, true), (&closed, false)], true), "its process is another there");
    assert!(with(&[(&accepted, true), (&closed, true)], true));
}

#[test]
fn times_of_day_are_those_of_the_zone() {
    const PACK: &str = "
pack: shop
format: syslog
programs: [shop]
events:
  opened: {pattern: '^opened$'}
rules:
  - {id: 1, level: 3, event: opened, when: {time: 22:00-06:00, weekday: sat}, description: d}
";
    // A Friday, 23:30 in UTC.
    let line = b"2026-11-20T23:30:00Z web1 shop[1]: opened";
    let packs = Arc::new(Packs::from_texts(&[("shop.yaml", PACK)]).unwrap());
    let mut decoder = Decoder::new(Selection::Only(Format::Syslog), TimeZone::UTC);
    for (zone, fires) in [("Europe/Berlin", true), ("UTC", false), ("Asia/Tokyo", false)] {
        let config = Config::default();
        let proof = SuricataProof::unknown();
        let mut engine = Engine::new(Arc::clone(&packs), &config, Network::default(), proof)
            .in_zone(TimeZone::get(zone).unwrap());
        let now = Timestamp::now();
        let record = decoder.decode(Line { bytes: line, arrived: now }).unwrap();
        let outcome = engine.step(&record, record.time.unwrap());
        assert_eq!(!outcome.fired.alerts.is_empty(), fires, "{zone}");
    }
}

#[test]
fn a_front_is_banned_for_its_ssh_and_never_for_its_clients() {
    let packs = Arc::new(Packs::load(true, &[]).unwrap());
    let front: IpNet = "198.51.100.7/32".parse().unwrap();
    let banned = |fronts: &[IpNet], format, line: &dyn Fn(usize) -> String| {
        let config = Config { fronts: fronts.to_vec(), ..Config::default() };
        let proof = SuricataProof::unknown();
        let mut engine = Engine::new(Arc::clone(&packs), &config, Network::default(), proof);
        let mut decoder = Decoder::new(Selection::Only(format), TimeZone::UTC);
        (0..60).any(|second| {
            let line = line(second);
            let line = Line { bytes: line.as_bytes(), arrived: Timestamp::now() };
            let record = decoder.decode(line).unwrap();
            let time = record.time.unwrap();
            matches!(engine.step(&record, time).verdict, Verdict::Ban(_))
        })
    };
    let scan = |second: usize| {
        let time = format!("23/Nov/2026:10:00:{second:02} +0000");
        format!("198.51.100.7 - - [{time}] \"GET /.env HTTP/1.1\" 404 196 \"-\" \"curl\"")
    };
    assert!(banned(&[], Format::Plain, &scan));
    assert!(!banned(&[front], Format::Plain, &scan));
    assert!(banned(&[front], Format::Syslog, &guess));
}

#[test]
fn a_message_that_comes_again_is_judged_anew_where_it_may_matter() {
    const PACK: &str = "
pack: shop
format: syslog
programs: [shop]
events:
  opened: {pattern: '^opened the shop by (?<user>[a-z]+)$'}
  closed: {pattern: '^closed the shop by (?<user>[a-z]+)$'}
rules:
  - {id: 1, level: 3, event: opened, when: {time: 22:00-06:00}, description: d}
  - {id: 2, level: 3, event: closed, when: {user: {not: [root]}}, description: d}
";
    let packs = Arc::new(Packs::from_texts(&[("shop.yaml", PACK)]).unwrap());
    let proof = SuricataProof::unknown();
    let mut engine = Engine::new(packs, &Config::default(), Network::default(), proof);
    let mut decoder = Decoder::new(Selection::Only(Format::Syslog), TimeZone::UTC);
    let mut alerts = |hour: u32, message: &str| {
        let line = format!("2026-11-20T{hour}:30:00Z web1 shop[{hour}]: {message}");
        let line = Line { bytes: line.as_bytes(), arrived: Timestamp::now() };
        let record = decoder.decode(line).unwrap();
        let outcome = engine.step(&record, record.time.unwrap());
        let user = outcome.event.as_ref().and_then(|event| event.field("user"));
        (outcome.fired.alerts.len(), user.is_some())
    };
    for hour in 10..20 {
        assert_eq!(alerts(hour, "opened the shop by root"), (0, true));
        assert_eq!(alerts(hour, "closed the shop by root"), (0, true));
        assert_eq!(alerts(hour, "closed the shop by alice"), (1, true));
        assert_eq!(alerts(hour, "nobody knows what this is"), (0, false));
    }
    assert_eq!(alerts(23, "opened the shop by root"), (1, true));
}
