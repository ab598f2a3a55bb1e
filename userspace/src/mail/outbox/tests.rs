use super::*;
use crate::mail::notice::{AlertNotice, Outcome, Stopped};
use crate::store::Evidence;

fn at(secs: i64) -> Timestamp {
    // 2023-11-14 12:00:00 UTC.
    Timestamp::from_secs(1_699_963_200 + secs)
}

fn config() -> MailConfig {
    MailConfig {
        level: 7,
        immediate: 10,
        to: vec!["root@localhost".to_owned()],
        from: "ravelin@web1.example".to_owned(),
        relay: "smtp://localhost:25".to_owned(),
        per_hour: 4,
        ..MailConfig::default()
    }
}

fn policy() -> Policy {
    Policy::new(&config(), TimeZone::get("Europe/Berlin").unwrap())
}

fn alert(level: u8, mail: Option<bool>) -> Notice {
    Notice::Alert(AlertNotice {
        at: at(0),
        host: None,
        source: "/var/log/auth.log".to_owned(),
        rule: 5720,
        level,
        description: "sshd brute force".to_owned(),
        count: 8,
        offender: None,
        fields: Vec::new(),
        outcome: Outcome::Nothing,
        evidence: Evidence::default(),
        mail,
    })
}

fn banned(level: u8, mail: Option<bool>) -> Notice {
    let Notice::Alert(mut alert) = alert(level, mail) else { panic!() };
    alert.offender = Some("2001:db8::7".parse().unwrap());
    alert.outcome = Outcome::Banned {
        ports: None,
        target: "2001:db8::/64".parse().unwrap(),
        since: at(0),
        until: None,
        reason: Some("score 108".to_owned()),
        offences: 1,
    };
    Notice::Alert(alert)
}

#[test]
fn each_channel_has_its_own_entry() {
    let both = MailConfig { webhook: Some("https://chat.example/x".to_owned()), ..config() };
    let policy = |config: &MailConfig| Policy::new(config, TimeZone::UTC);
    let lanes = |policy: &Policy| -> Vec<_> {
        policy.entries(&banned(10, None), at(0)).iter().map(|entry| entry.lane).collect()
    };
    assert_eq!(lanes(&policy(&both)), ["alert", "webhook-alert"]);
    let webhook_only = MailConfig { to: vec![], ..both };
    assert_eq!(lanes(&policy(&webhook_only)), ["webhook-alert"]);

    let entry = policy(&config()).entries(&banned(10, None), at(0)).remove(0);
    assert_eq!((entry.offender.as_deref(), entry.again), (Some("2001:db8::/64"), true));
    let Notice::Alert(mut unproven) = banned(10, None) else { panic!() };
    unproven.outcome = Outcome::Withheld { why: "unproven".to_owned() };
    let entry = policy(&config()).entries(&Notice::Alert(unproven), at(0)).remove(0);
    assert_eq!((entry.offender.as_deref(), entry.again), (Some("2001:db8::/64"), false));
    let entry = policy(&config()).entries(&alert(10, None), at(0)).remove(0);
    assert_eq!((entry.offender, entry.again), (None, true));
}

#[test]
fn lanes() {
    let policy = policy();
    let lane = |notice: &Notice, age| policy.lane(notice, at(age));
    for (level, mail, age, expected) in [
        (6, None, 0, None),
        (7, None, 0, Some(Lane::Digest)),
        (9, None, 9999, Some(Lane::Digest)),
        (10, None, 0, Some(Lane::Alert)),
        (15, None, 300, Some(Lane::Alert)),
        (15, None, 301, Some(Lane::Backlog)),
        (3, Some(true), 0, Some(Lane::Alert)),
        (15, Some(false), 0, None),
    ] {
        assert_eq!(lane(&alert(level, mail), age), expected, "{level} {mail:?} {age}");
    }
    let stopped = Stopped { at: at(0), reason: "SIGTERM".to_owned(), bans: 0 };
    assert_eq!(lane(&Notice::Stopped(stopped), 0), Some(Lane::Life));

    // A ban is always worth a line, but for a rule that says `mail: false`.
    for (level, mail, expected) in
        [(5, None, Some(Lane::Digest)), (10, None, Some(Lane::Alert)), (5, Some(false), None)]
    {
        assert_eq!(lane(&banned(level, mail), 0), expected, "{level} {mail:?}");
    }

    let nobody = Policy::new(&MailConfig { to: vec![], ..config() }, TimeZone::UTC);
    assert_eq!(nobody.entries(&alert(15, None), at(0)), []);
    let digest_only = Policy::new(&MailConfig { per_hour: 0, ..config() }, TimeZone::UTC);
    assert_eq!(digest_only.lane(&alert(15, None), at(0)), Some(Lane::Digest));

    let entry = policy.entries(&alert(10, None), at(1)).remove(0);
    assert_eq!(
        (entry.lane, entry.level, entry.topic.as_str()),
        ("alert", 10, "rule 5720: sshd brute force")
    );
    assert_eq!(serde_json::from_str::<Notice>(&entry.notice).unwrap(), alert(10, None));
}

fn waiting(lane: Lane, first: i64, last: i64) -> Standing {
    Standing {
        waiting: vec![(lane, at(first), at(last))],
        last_digest: at(0),
        ..Standing::default()
    }
}

fn make(lanes: &[Lane]) -> Vec<Lane> {
    lanes.to_vec()
}

/// Without the digest, which is always to come.
fn plan(standing: &Standing, now: i64) -> (Vec<Lane>, Option<i64>) {
    let plan = policy().plan(standing, at(now), false);
    let midnight = at(11 * 3600);
    let next = plan.look_again.filter(|next| *next != midnight);
    (plan.make, next.map(|next| i64::try_from(next.since(at(0)).as_secs()).unwrap()))
}

#[test]
fn a_burst_becomes_one_mail() {
    for (lane, first, last, now, expected) in [
        // Quiet for two seconds.
        (Lane::Alert, 0, 0, 1, (make(&[]), Some(2))),
        (Lane::Alert, 0, 0, 2, (make(&[Lane::Alert]), None)),
        (Lane::Alert, 0, 5, 6, (make(&[]), Some(7))),
        // It doesn't end: ten seconds.
        (Lane::Alert, 0, 9, 9, (make(&[]), Some(10))),
        (Lane::Alert, 0, 10, 10, (make(&[Lane::Alert]), None)),
        (Lane::Health, 0, 0, 2, (make(&[Lane::Health]), None)),
        (Lane::Life, 0, 0, 2, (make(&[Lane::Life]), None)),
        (Lane::Backlog, 0, 100, 105, (make(&[]), Some(110))),
        (Lane::Backlog, 0, 100, 110, (make(&[Lane::Backlog]), None)),
        (Lane::Backlog, 0, 599, 600, (make(&[Lane::Backlog]), None)),
        // The clock was set back: no waiting for the past's future.
        (Lane::Alert, 5000, 5001, 0, (make(&[Lane::Alert]), None)),
    ] {
        assert_eq!(
            plan(&waiting(lane, first, last), now),
            expected,
            "{lane:?} {first} {last} {now}"
        );
    }
    let closing = policy().plan(&waiting(Lane::Life, 0, 0), at(0), true);
    assert_eq!(closing.make, [Lane::Life]);
}

#[test]
fn above_the_budget_alerts_gather() {
    let mut standing = waiting(Lane::Alert, 1000, 1000);
    let made = |secs: &[i64]| secs.iter().map(|secs| (Lane::Alert, at(*secs))).collect::<Vec<_>>();
    standing.made = made(&[0, 100, 200]);
    assert_eq!(plan(&standing, 1002).0, [Lane::Alert]);
    standing.made = made(&[0, 100, 200, 300]);
    assert_eq!(plan(&standing, 1002), (make(&[]), Some(3600)));
    assert_eq!(plan(&standing, 3600).0, [Lane::Alert]);
    // The backlog's mails come out of the same purse.
    standing.made[0].0 = Lane::Backlog;
    assert_eq!(plan(&standing, 1002), (make(&[]), Some(3600)));
    // Others don't.
    standing.made[0].0 = Lane::Health;
    assert_eq!(plan(&standing, 1002).0, [Lane::Alert]);
    // Where nobody is banned, half of it is left to those who will be.
    standing.unbanned = vec![Lane::Alert];
    standing.made = made(&[100]);
    assert_eq!(plan(&standing, 1002).0, [Lane::Alert]);
    standing.made = made(&[100, 200]);
    assert_eq!(plan(&standing, 1002), (make(&[]), Some(3600 + 100)));
    standing.unbanned.clear();
    assert_eq!(plan(&standing, 1002).0, [Lane::Alert]);
    // A smaller budget since: the newest counts.
    standing.made = made(&[0, 100, 200, 300, 400, 500]);
    assert_eq!(plan(&standing, 1002), (make(&[]), Some(3600 + 200)));
    // The clock was set back: what was made in the future doesn't count.
    standing.made = made(&[9000, 9001, 9002, 9003]);
    assert_eq!(plan(&standing, 1002).0, [Lane::Alert]);
    // An admin's stop doesn't spend more than the budget either.
    standing.made = made(&[0, 100, 200, 300]);
    assert!(policy().plan(&standing, at(1002), true).make.is_empty());

    let mut life = waiting(Lane::Life, 1000, 1000);
    life.made = (0..4).map(|n| (Lane::Life, at(n))).collect();
    assert_eq!(plan(&life, 1002), (make(&[]), Some(3600)));
}

#[test]
fn a_dead_relay_is_not_greeted_by_a_flood() {
    // A day of alerts every minute; the relay takes nothing.
    let mut standing = Standing { last_digest: at(0), ..Standing::default() };
    let mut mails = Vec::new();
    for minute in 0..24 * 60 {
        let now = minute * 60 + 2;
        let first = standing.waiting.first().map_or(at(minute * 60), |(_, first, _)| *first);
        standing.waiting = vec![(Lane::Alert, first, at(minute * 60))];
        standing.made = mails.iter().map(|made| (Lane::Alert, *made)).collect();
        standing.unsent = mails.last().map(|made| (Lane::Alert, *made)).into_iter().collect();
        if policy().plan(&standing, at(now), false).make.contains(&Lane::Alert) {
            mails.push(at(now));
            standing.waiting.clear();
        }
    }
    assert_eq!(mails.len(), 4);
    // It is back: what has gathered goes at once, as one.
    standing.unsent.clear();
    standing.made.clear();
    assert_eq!(
        plan(&standing, 24 * 3600 + 10).0,
        [Lane::Digest, Lane::Alert].into_iter().rev().collect::<Vec<_>>()
    );
}

#[test]
fn the_digest_comes_once_a_day_after_midnight() {
    let policy = policy();
    // Noon UTC is 13:00 in Berlin: eleven hours to midnight.
    let mut standing = Standing { last_digest: at(0), ..Standing::default() };
    let before = policy.plan(&standing, at(11 * 3600 - 1), false);
    assert_eq!(before, Plan { make: vec![], look_again: Some(at(11 * 3600)) });
    assert_eq!(policy.plan(&standing, at(11 * 3600), false).make, [Lane::Digest]);
    // The daemon was down for days: at the first opportunity, once.
    assert_eq!(policy.plan(&standing, at(5 * 86_400), false).make, [Lane::Digest]);
    standing.last_digest = at(5 * 86_400);
    let after = policy.plan(&standing, at(5 * 86_400 + 60), false);
    assert_eq!(after.make, []);
    assert_eq!(after.look_again, Some(at(5 * 86_400 + 11 * 3600)));
    // The clock was set back by a week.
    let back = policy.plan(&standing, at(-2 * 86_400), false);
    assert_eq!(back, Plan { make: vec![], look_again: Some(at(-2 * 86_400 + 11 * 3600)) });
    // The last one hasn't got through.
    standing.unsent = vec![(Lane::Digest, at(5 * 86_400 + 11 * 3600 - 60))];
    assert_eq!(policy.plan(&standing, at(5 * 86_400 + 11 * 3600), false).make, []);
}

#[test]
fn attempts_grow_apart_and_end() {
    let age = Duration::from_secs(60);
    for (attempts, low, high) in
        [(1, 24, 36), (2, 48, 72), (4, 192, 288), (6, 720, 1080), (99, 720, 1080)]
    {
        for dice in [0, 1, u64::MAX, 0x5555_5555_5555] {
            let pause = retry_after(attempts, age, dice).unwrap();
            let range = Duration::from_secs(low)..=Duration::from_secs(high);
            assert!(range.contains(&pause), "{attempts}: {pause:?}");
        }
    }
    assert_ne!(retry_after(3, age, 1), retry_after(3, age, 77_777));
    assert!(retry_after(500, Duration::from_secs(4 * 86_400), 0).is_some());
    assert_eq!(retry_after(1, Duration::from_secs(5 * 86_400), 0), None);
}
