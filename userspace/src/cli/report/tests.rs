use std::time::Duration;

use jiff::tz::TimeZone;

use super::*;
use crate::event::{BanOrder, Origin, Target, Ttl, Withheld};
use crate::store::{AlertRecord, Effect, Evidence, Store};

const NOW: i64 = 1_795_478_400;
const EVIL: &str = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)> \x1b[2J&amp;";

fn at(ago_s: i64) -> Timestamp {
    Timestamp::from_secs(NOW - ago_s)
}

fn target(text: &str) -> Target {
    text.parse().unwrap()
}

fn alert(ago_s: i64, who: &str, level: u8, description: &str, line: &str) -> Effect {
    Effect::Alert(AlertRecord {
        at: at(ago_s),
        target: Some(target(who)),
        rule: Some(5720),
        level: Some(level),
        description: description.to_owned(),
        withheld: (level > 11).then_some(Withheld::LiveSession),
        evidence: [line.as_bytes()].into_iter().collect(),
    })
}

fn ban(ago_s: i64, who: &str, reason: &str) -> Effect {
    let order = BanOrder {
        target: target(who),
        since: at(ago_s),
        ttl: Ttl::For(Duration::from_secs(3_600)),
        ports: None,
        origin: Origin::Rule,
        rule: Some(5720),
        level: Some(10),
        reason: reason.to_owned(),
        offences: 1,
    };
    Effect::Banned { order, evidence: Evidence::default() }
}

fn lapse(ago_s: i64, who: &str, packets: u64) -> Effect {
    Effect::Lapsed { target: target(who), at: at(ago_s), packets, bytes: packets * 60 }
}

fn reported(effects: &[Effect], span: Span) -> String {
    let dir = tempfile::tempdir().unwrap();
    let (mut store, _) = Store::open(dir.path()).unwrap();
    store.commit(effects).unwrap();
    let reader = Reader::open(dir.path()).unwrap();
    page(&Config::default(), &reader, span, Ok(Vec::new())).unwrap()
}

fn day() -> Span {
    Span::day(at(0), &TimeZone::UTC)
}

#[test]
fn an_empty_database_makes_a_page() {
    for span in [day(), Span::week(at(0), &TimeZone::UTC), Span::month(at(0), &TimeZone::UTC)] {
        let page = reported(&[], span);
        assert!(page.contains("Nothing happened that was worth an alert"), "{page}");
        assert!(page.starts_with("<!DOCTYPE html>") && page.ends_with("</html>\n"));
        assert!(!page.contains("<svg"), "no empty charts");
    }
}

#[test]
fn what_attackers_write_stays_text_wherever_it_stands() {
    let line = format!("sshd[812]: Failed password for {EVIL} from 198.51.100.7 port 4711 ssh2");
    let page = reported(
        &[
            alert(600, "198.51.100.7", 10, EVIL, &line),
            ban(590, "198.51.100.7", EVIL),
            lapse(300, "198.51.100.7", 100),
        ],
        day(),
    );
    assert!(page.contains("&lt;script&gt;alert(1)&lt;/script&gt;&quot;&#39;&gt;&lt;img"), "{page}");
    assert!(page.matches("&lt;script&gt;").count() >= 2, "as a reason and as evidence");
    for foreign in
        ["<script", "<img", "\x1b", "src=", "href", "url(", "http://", "https://", "@import"]
    {
        let text = page.replace("src=x onerror", "");
        assert!(!text.contains(foreign), "{foreign}");
    }
    // Nothing is open that a browser would have to guess about.
    for element in ["main", "table", "tr", "td", "figure", "svg", "details", "pre", "div", "style"]
    {
        let opened = page.matches(&format!("<{element}>")).count()
            + page.matches(&format!("<{element} ")).count();
        assert_eq!(opened, page.matches(&format!("</{element}>")).count(), "{element}");
    }
}

#[test]
fn it_adds_up() {
    let mut ledger = Ledger::new(day());
    let dir = tempfile::tempdir().unwrap();
    let (mut store, _) = Store::open(dir.path()).unwrap();
    store
        .commit(&[
            // Before the span.
            alert(30 * 3_600, "198.51.100.9", 10, "old", "old"),
            alert(7_200, "198.51.100.7", 10, "sshd brute force", "a"),
            alert(7_100, "198.51.100.8", 7, "sshd brute force", "b"),
            alert(7_000, "203.0.113.99", 12, "login after failures", "c"),
            ban(7_200, "198.51.100.7", "sshd brute force"),
            lapse(3_600, "198.51.100.7", 3_600),
        ])
        .unwrap();
    let reader = Reader::open(dir.path()).unwrap();
    let (since, until) = ledger.span().bounds();
    assert_eq!((since, until), (at(23 * 3_600), at(-3_600)), "24 hours up to the end of this one");
    reader.past(since, until, |entry| ledger.enter(&entry)).unwrap();
    assert_eq!((ledger.alerts(), ledger.bans()), (3, 1));
    assert_eq!(ledger.packets(), 3_600, "all of the ban lies in the span");
    assert_eq!(ledger.buckets[21].packets, 3_600, "in the hour in which it held");
    assert_eq!(ledger.buckets[21].alerts, [1, 1, 1]);
    assert_eq!(ledger.withheld["live-session"], 1);
    let offenders = ledger.offenders();
    assert_eq!(offenders[0].target, target("198.51.100.7"), "the banned one first");
    assert_eq!(offenders[0].packets, 3_600);
    let networks = ledger.networks();
    assert_eq!(networks.len(), 1, "of a single address no network is told");
    assert_eq!(
        (networks[0].net.to_string().as_str(), networks[0].offenders),
        ("198.51.100.0/24", 2)
    );
    assert_eq!(ledger.busiest()[0].1.offenders.len(), 3);

    // A ban that began before the span tells its part of it only.
    let ban = ListedBan {
        target: target("192.0.2.1"),
        origin: "rule".to_owned(),
        since: at(46 * 3_600).to_string(),
        expires: None,
        ports: None,
        every_port_until: None,
        rule: None,
        level: None,
        reason: String::new(),
        offences: 1,
        dropped_packets: 4_600,
        dropped_bytes: 0,
    };
    ledger.stands(&ban);
    assert_eq!(ledger.packets(), 3_600 + 2_300);
}

#[test]
fn spans_begin_and_end_where_people_expect_it() {
    let berlin = TimeZone::get("Europe/Berlin").unwrap();
    let time = Timestamp::from_secs(NOW + 1_234);
    let week = Span::week(time, &berlin);
    assert_eq!(week.steps(), 28);
    assert_eq!(week.called(0, "%H:%M").len(), 5);
    for step in 0..28 {
        assert!(
            ["00:00", "06:00", "12:00", "18:00"].contains(&week.called(step, "%H:%M").as_str())
        );
    }
    let month = Span::month(time, &berlin);
    assert!((0..30).all(|step| month.called(step, "%H:%M") == "00:00"));
    assert!(month.bounds().1 > time, "today is in it");
}
