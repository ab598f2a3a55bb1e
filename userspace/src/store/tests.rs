use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::*;
use crate::event::{BanOrder, Origin, Target, Timestamp, Ttl, Withheld};
use crate::policy::OpenSession;

fn at(secs: i64) -> Timestamp {
    Timestamp::from_secs(1_700_000_000 + secs)
}

fn target(text: &str) -> Target {
    text.parse().unwrap()
}

fn order(text: &str, offences: u32) -> BanOrder {
    BanOrder {
        target: target(text),
        since: at(0),
        ttl: Ttl::For(Duration::from_secs(300)),
        ports: None,
        origin: Origin::Rule,
        rule: Some(300_011),
        level: Some(10),
        reason: "Suricata level 1 alert".to_owned(),
        offences,
    }
}

fn banned(text: &str, offences: u32) -> Effect {
    let evidence = [&b"first line"[..], b"second line"].into_iter().collect();
    Effect::Banned { order: order(text, offences), evidence }
}

fn position(offset: u64) -> Effect {
    Effect::Position(Position { source: "/var/log/auth.log".to_owned(), place: offset.to_string() })
}

fn read_to(store: &Store) -> u64 {
    let positions = store.read().positions().unwrap();
    positions.first().map_or(0, |position| position.place.parse().unwrap())
}

fn entry(topic: &str, level: u8) -> Effect {
    Effect::Mail(OutboxEntry {
        lane: "alert",
        queued: at(i64::from(level)),
        level,
        topic: topic.to_owned(),
        offender: None,
        again: true,
        notice: format!("{topic} in full"),
    })
}

fn draft(level: u8) -> Draft {
    Draft {
        subject: "s".to_owned(),
        body: "b".to_owned(),
        html: "<p>b".to_owned(),
        level,
        host: "web1".to_owned(),
    }
}

fn bans(store: &Store) -> BTreeMap<String, StoredBan> {
    let mut bans = BTreeMap::new();
    store
        .read()
        .bans(|ban| {
            bans.insert(ban.order.target.to_string(), ban);
        })
        .unwrap();
    bans
}

fn offences(store: &Store) -> BTreeMap<String, u32> {
    let mut offences = BTreeMap::new();
    store
        .read()
        .offences(at(-1000), |seen| {
            offences.insert(seen.target.to_string(), seen.count);
        })
        .unwrap();
    offences
}

#[test]
fn bans_of_ports_stand_beside_each_other_and_end_together() {
    let dir = tempfile::tempdir().unwrap();
    let (mut store, _) = Store::open(dir.path()).unwrap();
    let of = |ports: Option<&str>, since| {
        let ports = ports.map(|ports| ports.parse().unwrap());
        BanOrder { ports, since: at(since), ..order("198.51.100.7", 1) }
    };
    let orders = [of(Some("25,465"), 10), of(None, 20), of(Some("80"), 30), of(Some("25,465"), 40)];
    let effects: Vec<Effect> = orders
        .iter()
        .map(|order| Effect::Banned { order: order.clone(), evidence: Evidence::default() })
        .collect();
    store.commit(&effects).unwrap();
    let mut stored = Vec::new();
    store.read().bans(|ban| stored.push(ban.order)).unwrap();
    stored.sort_by_key(|order| order.since);
    assert_eq!(stored, orders[1..], "the same ports again: renewed");
    assert_eq!(store.read().ban_count().unwrap(), 1);
    let latest = store.read().ban(target("198.51.100.7")).unwrap().unwrap();
    assert_eq!(latest.order, orders[3]);

    let ended = Effect::Lapsed { target: target("198.51.100.7"), at: at(90), packets: 3, bytes: 9 };
    store.commit(&[ended]).unwrap();
    assert_eq!(store.read().ban_count().unwrap(), 0);
    let past = store.read().history(&HistoryFilter::default()).unwrap();
    assert_eq!(past.len(), 5, "one end");
    assert_eq!((past[0].kind, past[0].packets), (HistoryKind::Lapse, Some(3)));
    assert_eq!(past[1].ports, Some("25,465".parse().unwrap()));
    assert_eq!(past[3].ports, None);
}

#[test]
fn bans_live_and_end() {
    let dir = tempfile::tempdir().unwrap();
    let (mut store, opened) = Store::open(dir.path()).unwrap();
    assert_eq!(opened, Opened { created: true, ..Opened::default() });
    let permanent = BanOrder {
        ttl: Ttl::Permanent,
        origin: Origin::Feed("drop".to_owned()),
        rule: None,
        level: None,
        offences: 0,
        ..order("203.0.113.0/24", 0)
    };
    store
        .commit(&[
            banned("198.51.100.7", 1),
            banned("2001:db8::1", 3),
            Effect::Banned { order: permanent.clone(), evidence: Evidence::default() },
            Effect::Counts { target: target("198.51.100.7"), packets: 12, bytes: u64::MAX },
            position(77),
        ])
        .unwrap();
    // A renewal keeps the counters.
    store.commit(&[banned("198.51.100.7", 2), position(99)]).unwrap();
    drop(store);

    let (mut store, opened) = Store::open(dir.path()).unwrap();
    assert_eq!(opened, Opened::default());
    let stored = bans(&store);
    assert_eq!(stored.len(), 3);
    let renewed = &stored["198.51.100.7/32"];
    assert_eq!(renewed.order, order("198.51.100.7", 2));
    assert_eq!((renewed.packets, renewed.bytes), (12, i64::MAX.cast_unsigned()));
    assert_eq!(stored["203.0.113.0/24"].order, permanent);
    assert_eq!(store.read().ban(target("2001:db8::/64")).unwrap().unwrap().order.offences, 3);
    let Effect::Position(expected) = position(99) else { panic!() };
    assert_eq!(store.read().positions().unwrap(), [expected]);

    let lapsed =
        |text| Effect::Lapsed { target: target(text), at: at(300), packets: 40, bytes: 2400 };
    let unbanned = |text| Effect::Unbanned {
        target: target(text),
        at: at(10),
        by: Origin::Hand,
        forgive: true,
        packets: 1,
        bytes: 60,
    };
    store
        .commit(&[lapsed("198.51.100.7"), unbanned("2001:db8::/64"), unbanned("203.0.113.0/24")])
        .unwrap();
    assert!(bans(&store).is_empty());
    let expected = [("198.51.100.7/32".to_owned(), 2), ("2001:db8::/64".to_owned(), 2)];
    assert_eq!(offences(&store), BTreeMap::from(expected));

    let filter = HistoryFilter { target: Some(target("198.51.100.7")), ..HistoryFilter::default() };
    let story = store.read().history(&filter).unwrap();
    let kinds: Vec<_> = story.iter().map(|entry| entry.kind).collect();
    assert_eq!(kinds, [HistoryKind::Lapse, HistoryKind::Ban, HistoryKind::Ban]);
    assert_eq!((story[0].rule, story[0].packets), (Some(300_011), Some(40)));
    assert_eq!(story[0].origin.as_deref(), Some("rule"));
    assert_eq!(story[1].evidence.lines(), ["first line", "second line"]);
    assert_eq!(story[1].expires, Some(at(300)));
    let unbans = HistoryFilter { kind: Some(HistoryKind::Unban), ..HistoryFilter::default() };
    let unbans = store.read().history(&unbans).unwrap();
    assert_eq!(unbans.len(), 2);
    assert_eq!(unbans[0].origin.as_deref(), Some("hand"));
}

#[test]
fn alerts_and_late_bans_are_history_only() {
    let dir = tempfile::tempdir().unwrap();
    let (mut store, _) = Store::open(dir.path()).unwrap();
    let alert = AlertRecord {
        at: at(5),
        target: Some(target("198.51.100.9")),
        rule: Some(5716),
        level: Some(5),
        description: "sshd authentication failed".to_owned(),
        withheld: Some(Withheld::Unproven),
        evidence: [&b"a line"[..]].into_iter().collect(),
    };
    let late = Effect::Late { order: order("198.51.100.8", 1), evidence: Evidence::default() };
    store.commit(&[Effect::Alert(alert), late]).unwrap();
    assert!(bans(&store).is_empty());
    assert_eq!(offences(&store).get("198.51.100.8/32"), Some(&1));
    let history = store.read().history(&HistoryFilter::default()).unwrap();
    assert_eq!(history[0].kind, HistoryKind::Late);
    assert_eq!(history[1].withheld.as_deref(), Some("unproven"));
    let page = HistoryFilter {
        before: Some(history[0].id),
        limit: Some(1),
        since: Some(at(5)),
        ..HistoryFilter::default()
    };
    assert_eq!(store.read().history(&page).unwrap(), history[1..]);
}

#[test]
fn files_are_private_and_a_shared_directory_keeps_its_mode() {
    let dir = tempfile::tempdir().unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    let made = dir.path().join("made");
    let (mut store, _) = Store::open(&made).unwrap();
    store.commit(&[position(1)]).unwrap();
    assert_eq!(mode(&made), 0o700);
    for file in [FILE, "ravelin.db-wal", "ravelin.db-shm"] {
        assert_eq!(mode(&made.join(file)), 0o600, "{file}");
    }
    let shared = dir.path().join("shared");
    fs::create_dir(&shared).unwrap();
    fs::set_permissions(&shared, fs::Permissions::from_mode(0o755)).unwrap();
    fs::write(shared.join(FILE), "").unwrap();
    fs::set_permissions(shared.join(FILE), fs::Permissions::from_mode(0o644)).unwrap();
    let (_store, opened) = Store::open(&shared).unwrap();
    assert!(opened.created);
    assert_eq!((mode(&shared), mode(&shared.join(FILE))), (0o755, 0o600));
}

#[test]
fn refuses_what_is_newer_or_not_ours() {
    let dir = tempfile::tempdir().unwrap();
    drop(Store::open(dir.path()).unwrap());
    let path = dir.path().join(FILE);
    let raw = Connection::open(&path).unwrap();
    raw.pragma_update(None, "user_version", VERSION + 1).unwrap();
    drop(raw);
    for error in [Store::open(dir.path()).unwrap_err(), Reader::open(dir.path()).unwrap_err()] {
        assert!(matches!(error, StoreError::Newer { .. }), "{error}");
    }
    assert!(path.exists());

    let dir = tempfile::tempdir().unwrap();
    assert!(matches!(Reader::open(dir.path()), Err(StoreError::Missing { .. })));
    let raw = Connection::open(dir.path().join(FILE)).unwrap();
    raw.execute_batch("CREATE TABLE cookies (a TEXT)").unwrap();
    drop(raw);
    assert!(matches!(Store::open(dir.path()), Err(StoreError::Foreign { .. })));

    let error = Store::open(Path::new("/proc/ravelin")).unwrap_err();
    assert!(error.to_string().contains("`state_dir`"), "{error}");
}

#[test]
fn a_damaged_file_is_set_aside() {
    for damage in ["garbage", "truncated"] {
        let dir = tempfile::tempdir().unwrap();
        let (mut store, _) = Store::open(dir.path()).unwrap();
        let many: Vec<_> =
            (0..500).map(|n| banned(&format!("198.51.{}.{}", n / 250, n % 250), 1)).collect();
        store.commit(&many).unwrap();
        drop(store);
        let path = dir.path().join(FILE);
        let content = fs::read(&path).unwrap();
        match damage {
            "garbage" => {
                fs::write(&path, "not a database, but longer than a header".repeat(9)).unwrap();
            }
            _ => fs::write(&path, &content[..content.len() / 2]).unwrap(),
        }
        let (mut store, opened) = Store::open(dir.path()).unwrap();
        let aside = opened.set_aside.unwrap_or_else(|| panic!("{damage}: not noticed"));
        assert!(opened.created && aside.exists(), "{damage}");
        assert!(aside.to_string_lossy().contains("ravelin.db.damaged-2"), "{}", aside.display());
        store.commit(&[banned("198.51.100.7", 1)]).unwrap();
        assert_eq!(bans(&store).len(), 1, "{damage}");
    }
}

#[test]
fn damage_found_later_is_told_and_renewed() {
    let dir = tempfile::tempdir().unwrap();
    let (mut store, _) = Store::open(dir.path()).unwrap();
    let many: Vec<_> =
        (0..2000).map(|n| banned(&format!("198.51.{}.{}", n / 250, n % 250), 1)).collect();
    store.commit(&many).unwrap();
    drop(store);
    // The header and the schema stay whole, what lies behind them doesn't.
    let path = dir.path().join(FILE);
    let mut content = fs::read(&path).unwrap();
    content[16 * 4096..].fill(0x5a);
    fs::write(&path, content).unwrap();

    let (mut store, opened) = Store::open(dir.path()).unwrap();
    assert_eq!(opened.set_aside, None);
    let error = store.read().bans(|_ban| ()).unwrap_err();
    assert!(error.is_corrupt(), "{error}");
    let aside = store.renew().unwrap();
    assert!(aside.exists());
    store.commit(&many[..3]).unwrap();
    assert_eq!(bans(&store).len(), 3);
    drop(store);
    assert_eq!(bans(&Store::open(dir.path()).unwrap().0).len(), 3);
}

#[test]
fn repeat_offenders_are_salvaged_from_a_damaged_database() {
    let dir = tempfile::tempdir().unwrap();
    let (mut store, _) = Store::open(dir.path()).unwrap();
    store.commit(&[banned("198.51.100.7", 3), banned("198.51.100.8", 1)]).unwrap();
    let alert = AlertRecord {
        at: at(0),
        target: None,
        rule: None,
        level: None,
        description: "d".repeat(2_000),
        withheld: None,
        evidence: Evidence::default(),
    };
    store.commit(&vec![Effect::Alert(alert); 500]).unwrap();
    drop(store);
    let path = dir.path().join(FILE);
    let mut content = fs::read(&path).unwrap();
    let end = content.len();
    content[end / 2..].fill(0x5a);
    fs::write(&path, content).unwrap();
    let (mut store, _) = Store::open(dir.path()).unwrap();
    assert!(store.read().history(&HistoryFilter::default()).unwrap_err().is_corrupt());
    let aside = store.renew().unwrap();
    assert!(offences(&store).is_empty());
    store.commit(&salvage(&aside)).unwrap();
    let known = [("198.51.100.7/32".to_owned(), 3), ("198.51.100.8/32".to_owned(), 1)];
    assert_eq!(offences(&store), known.into());
    // What is known better stays.
    store.commit(&[banned("198.51.100.7", 4)]).unwrap();
    store.commit(&salvage(&aside)).unwrap();
    assert_eq!(offences(&store)["198.51.100.7/32"], 4);
    fs::write(&aside, "nothing of it").unwrap();
    assert!(salvage(&aside).is_empty());
}

#[test]
fn a_row_edited_by_hand_is_left_out() {
    let dir = tempfile::tempdir().unwrap();
    let (mut store, _) = Store::open(dir.path()).unwrap();
    store.commit(&[banned("198.51.100.7", 1), banned("198.51.100.8", 1)]).unwrap();
    store
        .connection()
        .execute("UPDATE bans SET target = 'x' WHERE target LIKE '%.7/32'", [])
        .unwrap();
    assert_eq!(bans(&store).keys().collect::<Vec<_>>(), ["198.51.100.8/32"]);
}

#[test]
fn an_effect_that_fails_takes_the_whole_batch_back() {
    let dir = tempfile::tempdir().unwrap();
    let (mut store, _) = Store::open(dir.path()).unwrap();
    store.commit(&[position(1)]).unwrap();
    store.connection().execute_batch("ALTER TABLE entries RENAME TO moved").unwrap();
    let error =
        store.commit(&[position(2), banned("198.51.100.7", 1), entry("5716", 9)]).unwrap_err();
    assert!(!error.is_corrupt(), "{error}");
    assert!(bans(&store).is_empty());
    assert_eq!(read_to(&store), 1);
    assert!(store.read().history(&HistoryFilter::default()).unwrap().is_empty());
}

#[test]
fn an_entry_ends_up_in_one_mail() {
    let dir = tempfile::tempdir().unwrap();
    let (mut store, _) = Store::open(dir.path()).unwrap();
    store.commit(&[entry("a", 9), entry("b", 12), entry("a", 9)]).unwrap();
    let waiting = store.read().waiting().unwrap();
    let expected =
        Waiting { lane: "alert".to_owned(), entries: 3, first: at(9), last: at(12), again: true };
    assert_eq!(waiting, [expected]);
    let compose = |batch: &Batch| {
        assert_eq!(batch.notices, ["b in full", "a in full"]);
        let topics: Vec<_> =
            batch.topics.iter().map(|t| (t.topic.as_str(), t.level, t.entries)).collect();
        assert_eq!(topics, [("b", 12, 1), ("a", 9, 2)]);
        Some(draft(12))
    };
    let id = store.make_mail("alert", at(20), 2, false, compose).unwrap().unwrap();
    assert!(store.read().waiting().unwrap().is_empty());
    assert_eq!(
        store
            .make_mail("alert", at(21), 2, false, |batch| {
                assert_eq!(*batch, Batch::default());
                None
            })
            .unwrap(),
        None
    );

    assert!(store.read().due(&["alert", "life"], at(19)).unwrap().is_empty());
    let due = store.read().due(&["alert", "life"], at(20)).unwrap();
    assert_eq!((due.len(), due[0].id, due[0].attempts), (1, id, 0));
    let message_id = due[0].message_id.clone();
    assert!(
        message_id.starts_with("<ravelin-1-") && message_id.ends_with("@web1>"),
        "{message_id}"
    );
    store.failed(id, "connection refused", at(60)).unwrap();
    assert_eq!(store.read().next_due(&["alert", "life"]).unwrap(), Some(at(60)));
    assert_eq!(store.read().unsent().unwrap(), [("alert".to_owned(), at(20))]);
    drop(store);

    let (mut store, _) = Store::open(dir.path()).unwrap();
    let due = store.read().due(&["alert", "life"], at(60)).unwrap();
    assert_eq!((due[0].message_id.as_str(), due[0].attempts), (message_id.as_str(), 1));
    store.commit(&[entry("c", 9)]).unwrap();
    assert_eq!(
        store.read().mail_stats().unwrap(),
        MailStats { queued: 1, waiting: 1, ..MailStats::default() }
    );
    store.sent(id, at(61)).unwrap();
    // Settled once: a second word about it counts for nothing.
    store.sent(id, at(62)).unwrap();
    store.refused(id, "550 no", at(62)).unwrap();
    assert_eq!(
        store.read().mail_stats().unwrap(),
        MailStats { sent: 1, waiting: 1, ..MailStats::default() }
    );
    assert_eq!(store.read().newest("alert").unwrap(), at(20));
    assert!(store.read().newest("digest").unwrap() > at(0));
}

#[test]
fn who_was_told_is_put_off_until_it_gets_worse() {
    let dir = tempfile::tempdir().unwrap();
    let (mut store, _) = Store::open(dir.path()).unwrap();
    let blame = |offender: &str, level, again| {
        let Effect::Mail(entry) = entry("a", level) else { panic!() };
        Effect::Mail(OutboxEntry { offender: Some(offender.to_owned()), again, ..entry })
    };
    let waiting = |store: &Store| -> Vec<(String, u64)> {
        let waiting = store.read().waiting().unwrap();
        waiting.into_iter().map(|waits| (waits.lane, waits.entries)).collect()
    };
    store.commit(&[blame("198.51.100.7", 11, false), blame("198.51.100.8", 10, true)]).unwrap();
    // Nobody has been told yet.
    store.put_off_told("alert", "digest").unwrap();
    assert_eq!(waiting(&store), [("alert".to_owned(), 2)]);
    store.make_mail("alert", at(20), 9, true, |_batch| Some(draft(11))).unwrap().unwrap();

    store.commit(&[blame("198.51.100.7", 11, false), blame("198.51.100.7", 10, false)]).unwrap();
    store.put_off_told("alert", "digest").unwrap();
    assert_eq!(waiting(&store), [("digest".to_owned(), 2)]);
    // A higher level, a ban, somebody else, nobody in particular, another lane.
    let rest = [
        blame("198.51.100.7", 12, false),
        blame("198.51.100.8", 10, true),
        blame("198.51.100.9", 10, false),
        entry("a", 10),
    ];
    store.commit(&rest).unwrap();
    store.put_off_told("alert", "digest").unwrap();
    store.put_off_told("life", "digest").unwrap();
    assert_eq!(waiting(&store), [("alert".to_owned(), 4), ("digest".to_owned(), 2)]);

    store.forget_told("alert").unwrap();
    store.commit(&[blame("198.51.100.7", 10, false)]).unwrap();
    store.put_off_told("alert", "digest").unwrap();
    assert_eq!(waiting(&store), [("alert".to_owned(), 5), ("digest".to_owned(), 2)]);
}

#[test]
fn a_flood_of_entries_is_counted_by_topic() {
    let dir = tempfile::tempdir().unwrap();
    let (mut store, _) = Store::open(dir.path()).unwrap();
    let flood: Vec<_> = (0..commit::WAITING_MAX + 500).map(|_| entry("a", 9)).collect();
    store.commit(&flood).unwrap();
    store.commit(&[entry("a", 9), entry("rare", 15)]).unwrap();
    let rows = store.read().one("count", "SELECT count(*) FROM entries").unwrap();
    let max = commit::WAITING_MAX.cast_unsigned();
    assert_eq!(rows, max + 1);
    assert_eq!(store.read().waiting().unwrap()[0].entries, max + 502);
}

#[test]
fn forgets_what_is_old_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let (mut store, _) = Store::open(dir.path()).unwrap();
    store.commit(&[banned("198.51.100.7", 1), position(1)]).unwrap();
    let mut young = order("198.51.100.8", 1);
    young.since = at(86_400);
    store.commit(&[Effect::Banned { order: young, evidence: Evidence::default() }]).unwrap();
    let draft = |_: &Batch| Some(draft(1));
    let sent = store.make_mail("life", at(0), 0, false, draft).unwrap().unwrap();
    store.make_mail("life", at(0), 0, false, draft).unwrap().unwrap();
    store.sent(sent, at(1)).unwrap();
    let day = Duration::from_secs(86_400);
    let retention = Retention { history: day, mails: day, offences: day, ..Retention::default() };
    assert!(!store.forget(&retention, at(86_401 + 10)).unwrap());
    assert_eq!(bans(&store).len(), 2);
    assert_eq!(offences(&store).into_keys().collect::<Vec<_>>(), ["198.51.100.8/32"]);
    assert_eq!(store.read().history(&HistoryFilter::default()).unwrap().len(), 1);
    assert_eq!(store.read().due(&["alert", "life"], at(10)).unwrap().len(), 1);
    assert_eq!(store.read().mail_stats().unwrap().sent, 1);

    store.commit(&vec![banned("198.51.100.7", 1); 5000]).unwrap();
    let few = Retention { history_rows: 10, history: 365 * day, ..retention };
    while store.forget(&few, at(86_401)).unwrap() {}
    assert_eq!(store.read().history(&HistoryFilter::default()).unwrap().len(), 10);
}

#[test]
fn a_reader_sees_commits_while_the_writer_lives() {
    let dir = tempfile::tempdir().unwrap();
    let (mut store, _) = Store::open(dir.path()).unwrap();
    let reader = Reader::open(dir.path()).unwrap();
    store.commit(&[banned("198.51.100.7", 1)]).unwrap();
    assert_eq!(reader.ban_count().unwrap(), 1);
    drop(store);
    drop(reader);
    assert_eq!(Reader::open(dir.path()).unwrap().ban_count().unwrap(), 1);
}

/// Batch n: position n, and so many more bans and entries, all or nothing.
const BATCH: u64 = 20;
const CHILD: &str = "RAVELIN_STORE_TEST_DIR";

#[test]
fn the_child_that_gets_killed() {
    let Some(dir) = std::env::var_os(CHILD) else { return };
    let (mut store, _) = Store::open(Path::new(&dir)).unwrap();
    let done = read_to(&store);
    for n in done + 1.. {
        let mut effects = vec![position(n)];
        for ban in n * BATCH..(n + 1) * BATCH {
            let target = format!("2001:db8:{:x}:{:x}::/64", ban >> 16, ban & 0xffff);
            effects.extend([banned(&target, 1), entry("a", 9)]);
        }
        store.commit(&effects).unwrap();
        println!("committed {n}");
    }
}

#[test]
fn sigkill_leaves_position_and_effect_together() {
    let dir = tempfile::tempdir().unwrap();
    let mut before = 0;
    for round in 1..=16_u64 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "--nocapture", "store::tests::the_child_that_gets_killed"])
            .env(CHILD, dir.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut told = before;
        let output = BufReader::new(child.stdout.take().unwrap());
        for line in output.lines() {
            let line = line.unwrap();
            if let Some(n) = line.strip_prefix("committed ") {
                told = n.parse().unwrap();
                if told >= before + round % 7 {
                    break;
                }
            }
        }
        child.kill().unwrap();
        child.wait().unwrap();

        let (store, opened) = Store::open(dir.path()).unwrap();
        assert_eq!(opened, Opened::default());
        let offset = read_to(&store);
        assert!(offset >= told, "what was committed is there: {offset} >= {told}");
        assert_eq!(store.read().ban_count().unwrap(), BATCH * offset);
        assert_eq!(store.read().waiting().unwrap()[0].entries, BATCH * offset);
        let history = store.read().one("count", "SELECT count(*) FROM history").unwrap();
        assert_eq!(history, BATCH * offset);
        before = offset;
    }
}

/// `cargo test -p ravelin --lib a_million_bans -- --ignored --nocapture`
#[test]
#[ignore = "a measurement"]
fn a_million_bans() {
    let dir = tempfile::tempdir().unwrap();
    let (mut store, _) = Store::open(dir.path()).unwrap();
    let effects: Vec<_> = (0..1_000_000_u32)
        .map(|n| banned(&std::net::Ipv4Addr::from(n.wrapping_mul(2_654_435_761)).to_string(), 1))
        .collect();
    let start = Instant::now();
    store.commit(&effects).unwrap();
    eprintln!("a million bans with history and offences committed in {:?}", start.elapsed());
    drop(store);
    let start = Instant::now();
    let (store, _) = Store::open(dir.path()).unwrap();
    let mut count = 0;
    store.read().bans(|_ban| count += 1).unwrap();
    eprintln!("opened and {count} bans read in {:?}", start.elapsed());
    let start = Instant::now();
    store.read().offences(at(-1), |_offences| count += 1).unwrap();
    eprintln!("offences read in {:?}", start.elapsed());
    let size = fs::metadata(dir.path().join(FILE)).unwrap().len();
    eprintln!("{} MB", size >> 20);
}

mod writer {
    use super::*;

    #[tokio::test]
    async fn writes_in_order_and_rings_for_mail() {
        let dir = tempfile::tempdir().unwrap();
        let writer =
            Writer::spawn(Store::open(dir.path()).unwrap().0, Retention::default()).unwrap();
        let handle = writer.handle();
        let bell = handle.mail();
        for n in 0..1000 {
            handle.push([position(n), banned(&format!("198.51.{}.{}", n / 250, n % 250), 1)]);
        }
        handle.push([entry("a", 9)]);
        bell.notified().await;
        let seen =
            handle.call(|store| (store.read().ban_count().unwrap(), read_to(store))).await.unwrap();
        assert_eq!(seen, (1000, 999));
        let health = handle.flush().await.unwrap();
        assert_eq!(health, WriterHealth::default());
        handle.push([position(5000)]);
        writer.close();
        assert_eq!(handle.call(|_store| ()).await, Err(Gone));
        let (store, _) = Store::open(dir.path()).unwrap();
        assert_eq!(read_to(&store), 5000);
    }

    #[tokio::test]
    async fn keeps_what_the_disk_refuses_until_it_takes_it() {
        let dir = tempfile::tempdir().unwrap();
        let (mut store, _) = Store::open(dir.path()).unwrap();
        store.connection().execute_batch("ALTER TABLE history RENAME TO moved").unwrap();
        let writer = Writer::spawn(store, Retention::default()).unwrap();
        let handle = writer.handle();
        handle.push([position(1), banned("198.51.100.7", 1)]);
        let health = handle.flush().await.unwrap();
        let (_, error) = health.failing.unwrap();
        assert!(error.contains("history"), "{error}");
        assert_eq!(health.waiting, 2);
        handle.push([position(2), banned("198.51.100.8", 1)]);
        handle
            .call(|store| {
                store.connection().execute_batch("ALTER TABLE moved RENAME TO history").unwrap();
            })
            .await
            .unwrap();
        let health = handle.flush().await.unwrap();
        assert_eq!(health, WriterHealth::default());
        writer.close();
        let (store, _) = Store::open(dir.path()).unwrap();
        assert_eq!((bans(&store).len(), read_to(&store)), (2, 2));
    }

    #[tokio::test]
    async fn what_it_keeps_is_bounded_and_bans_go_last() {
        let dir = tempfile::tempdir().unwrap();
        let (mut store, _) = Store::open(dir.path()).unwrap();
        store.connection().execute_batch("ALTER TABLE history RENAME TO moved").unwrap();
        let writer = Writer::spawn(store, Retention::default()).unwrap();
        let handle = writer.handle();
        let big = |n: u32| {
            let mut order = order(&format!("198.51.{}.{}", n / 250, n % 250), 1);
            order.reason = "r".repeat(100);
            Effect::Banned { order, evidence: std::iter::repeat_n(&[b'x'; 1000][..], 20).collect() }
        };
        let alert = AlertRecord {
            at: at(0),
            target: None,
            rule: None,
            level: None,
            description: "d".repeat(20_000),
            withheld: None,
            evidence: Evidence::default(),
        };
        for n in 0..1000 {
            handle.push([big(n), Effect::Alert(alert.clone())]);
        }
        let health = handle.flush().await.unwrap();
        assert!(health.let_go > 100, "{health:?}");
        handle
            .call(|store| {
                store.connection().execute_batch("ALTER TABLE moved RENAME TO history").unwrap();
            })
            .await
            .unwrap();
        handle.flush().await.unwrap();
        let kept = handle.call(|store| store.read().ban_count().unwrap()).await.unwrap();
        assert_eq!(kept, 1000, "each ban is kept");
        writer.close();
    }

    #[tokio::test]
    async fn renews_a_database_that_is_damaged_under_it() {
        let dir = tempfile::tempdir().unwrap();
        let (mut store, _) = Store::open(dir.path()).unwrap();
        let many: Vec<_> =
            (0..2000).map(|n| banned(&format!("198.51.{}.{}", n / 250, n % 250), 1)).collect();
        store.commit(&many).unwrap();
        drop(store);
        let path = dir.path().join(FILE);
        let mut content = fs::read(&path).unwrap();
        content[16 * 4096..].fill(0x5a);
        fs::write(&path, content).unwrap();
        let writer =
            Writer::spawn(Store::open(dir.path()).unwrap().0, Retention::default()).unwrap();
        let handle = writer.handle();
        handle.push(many[..3].to_vec());
        handle.flush().await.unwrap();
        let health = handle.flush().await.unwrap();
        let aside = health.renewed.unwrap().1.unwrap();
        assert!(Path::new(&aside).exists());
        assert_eq!(health.failing, None);
        writer.close();
        assert_eq!(bans(&Store::open(dir.path()).unwrap().0).len(), 3);
    }
}

#[test]
fn what_people_allowed_stays_until_it_is_taken_off() {
    let dir = tempfile::tempdir().unwrap();
    let (mut store, _) = Store::open(dir.path()).unwrap();
    let first = Allowed { target: target("198.51.100.7"), since: at(1), expires: None };
    let second =
        Allowed { target: target("2001:db8::/48"), since: at(2), expires: Some(at(3_602)) };
    store.commit(&[Effect::Allowed(first), Effect::Allowed(second)]).unwrap();
    assert_eq!(store.read().allowed().unwrap(), [first, second]);
    let again = Allowed { expires: Some(at(9)), since: at(3), ..first };
    store.commit(&[Effect::Allowed(again), Effect::Disallowed { target: second.target }]).unwrap();
    drop(store);
    let (store, _) = Store::open(dir.path()).unwrap();
    assert_eq!(store.read().allowed().unwrap(), [again]);
}

#[test]
fn checkpoints_are_a_ring_and_stay_at_a_place() {
    let dir = tempfile::tempdir().unwrap();
    let (mut store, _) = Store::open(dir.path()).unwrap();
    let checkpoint = |n: i64, source: &str, behind| {
        Effect::Checkpoint(Checkpoint {
            position: Position { source: source.to_owned(), place: format!("place {n}") },
            at: at(n),
            behind,
            bytes: 7,
        })
    };
    store.commit(&(0..400).map(|n| checkpoint(n, "a", Some(0))).collect::<Vec<_>>()).unwrap();
    store.commit(&[checkpoint(1, "b", None), checkpoint(399, "a", None)]).unwrap();
    let known = store.read().checkpoints("a").unwrap();
    assert_eq!(known.len(), 320);
    assert_eq!((known[0].at, known[0].behind, known[0].bytes), (at(399), None, 7));
    assert_eq!((known[319].at, known[319].behind), (at(80), Some(0)));
    assert_eq!(store.read().checkpoints("b").unwrap().len(), 1);
    assert!(store.read().checkpoints("c").unwrap().is_empty());
}

#[test]
fn a_size_is_kept_to_by_forgetting_the_oldest_past() {
    let dir = tempfile::tempdir().unwrap();
    let (mut store, _) = Store::open(dir.path()).unwrap();
    let line = [b'x'; 1000];
    for n in 0..40_u32 {
        let batch = (0..100_u32).map(|m| Effect::Late {
            order: order(&format!("198.51.{n}.{m}"), 1),
            evidence: std::iter::repeat_n(&line[..], 5).collect(),
        });
        store.commit(&batch.collect::<Vec<_>>()).unwrap();
    }
    store.commit(&[banned("192.0.2.1", 1), position(9), entry("5716", 9)]).unwrap();
    let size = || fs::metadata(dir.path().join(FILE)).unwrap().len();
    let checkpoint = |store: &mut Store| {
        store.connection().execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
    };
    checkpoint(&mut store);
    let before = size();
    let cap = 4 << 20;
    assert!(before > 4 * cap, "{before}");
    let retention = Retention { bytes: cap, ..Retention::default() };
    let mut steps = 0;
    while store.shrink(&retention).unwrap() {
        steps += 1;
    }
    checkpoint(&mut store);
    assert!(size() < cap + (2 << 20), "{} of {before}", size());
    assert!(steps > 5, "small steps: {steps}");
    let left = store.read().history(&HistoryFilter::default()).unwrap();
    assert!(left.len() > 100, "no more than needed: {}", left.len());
    assert_eq!(left[0].target, Some(target("192.0.2.1")), "the newest stays");
    assert_eq!((bans(&store).len(), read_to(&store)), (1, 9));
    assert!(!store.shrink(&retention).unwrap());
    // What can't be forgotten may take more.
    let none = Retention { bytes: 0, ..retention };
    while store.shrink(&none).unwrap() {}
    assert_eq!((bans(&store).len(), read_to(&store)), (1, 9));
}

#[test]
fn a_clock_that_is_set_moves_what_lasts() {
    let dir = tempfile::tempdir().unwrap();
    let (mut store, _) = Store::open(dir.path()).unwrap();
    let allowed = Allowed { target: target("192.0.2.1"), since: at(0), expires: Some(at(60)) };
    store.commit(&[banned("198.51.100.7", 2), Effect::Allowed(allowed)]).unwrap();
    let forever = BanOrder { ttl: Ttl::Permanent, ..order("198.51.100.8", 1) };
    store.commit(&[Effect::Banned { order: forever, evidence: Evidence::default() }]).unwrap();
    assert_eq!(store.read().anchor().unwrap(), None);
    let anchor = Anchor { boot: "this".to_owned(), booted_us: 5 };
    let before = bans(&store);
    store.commit(&[Effect::Clock { anchor: anchor.clone(), stepped: -86_400_000_000 }]).unwrap();
    assert_eq!(store.read().anchor().unwrap(), Some(anchor));
    let after = bans(&store);
    for (name, ban) in &after {
        let was = &before[name].order;
        assert_eq!(ban.order.since.as_micros(), was.since.as_micros() - 86_400_000_000);
        assert_eq!(ban.order.ttl, was.ttl);
    }
    assert_eq!(store.read().allowed().unwrap()[0].expires, Some(at(60 - 86_400)));
    let offences = store.read().offences_of(target("198.51.100.7")).unwrap().unwrap();
    assert_eq!(
        offences.last.as_micros(),
        before["198.51.100.7/32"].order.since.as_micros() - 86_400_000_000
    );
}

#[test]
fn a_standing_ban_that_is_known_is_not_told_twice() {
    let dir = tempfile::tempdir().unwrap();
    let (mut store, _) = Store::open(dir.path()).unwrap();
    let standing = |text| Effect::Standing { order: order(text, 2) };
    store.commit(&[banned("198.51.100.7", 1), standing("198.51.100.7")]).unwrap();
    store.commit(&[standing("198.51.100.8")]).unwrap();
    assert_eq!(store.read().history(&HistoryFilter::default()).unwrap().len(), 2);
    assert_eq!(
        offences(&store),
        [("198.51.100.7/32".into(), 1), ("198.51.100.8/32".into(), 2)].into()
    );
}

#[test]
fn open_sessions_are_kept_as_they_are() {
    let dir = tempfile::tempdir().unwrap();
    let (mut store, _) = Store::open(dir.path()).unwrap();
    let session = |addr: &str, port| OpenSession {
        addr: addr.parse().unwrap(),
        port,
        pid: Some(7),
        since: at(1),
    };
    let first = [session("198.51.100.7", Some(4711)), session("2001:db8::7", None)];
    store.commit(&[Effect::Sessions(first.to_vec())]).unwrap();
    assert_eq!(store.read().sessions().unwrap(), first);
    store.commit(&[Effect::Sessions(first[1..].to_vec())]).unwrap();
    assert_eq!(store.read().sessions().unwrap(), first[1..]);
}

mod stand_in {
    use super::*;

    #[test]
    fn what_cannot_be_made_is_stood_in_for_until_it_can() {
        let dir = tempfile::tempdir().unwrap();
        let state = dir.path().join("state");
        fs::write(&state, "in the way").unwrap();
        assert!(Store::open(&state).is_err());
        let (mut store, opened) = Store::open_or_stand_in(&state).unwrap();
        assert!(opened.unusable.unwrap().contains("state_dir"));
        assert!(bans(&store).is_empty());
        assert!(store.commit(&[banned("198.51.100.7", 1)]).is_err(), "nothing is kept nowhere");
        assert!(store.take_over().is_err());
        fs::remove_file(&state).unwrap();
        assert!(store.take_over().unwrap().unwrap().created);
        store.commit(&[banned("198.51.100.7", 1)]).unwrap();
        assert_eq!(store.take_over().unwrap(), None);
        drop(store);
        assert_eq!(bans(&Store::open(&state).unwrap().0).len(), 1);
    }

    #[test]
    fn what_a_newer_one_wrote_is_refused_all_the_same() {
        let dir = tempfile::tempdir().unwrap();
        let (mut store, _) = Store::open(dir.path()).unwrap();
        store.connection().pragma_update(None, "user_version", VERSION + 1).unwrap();
        drop(store);
        let error = Store::open_or_stand_in(dir.path()).unwrap_err();
        assert!(matches!(error, StoreError::Newer { .. }), "{error}");
    }
}

/// The sandbox lets nobody write outside the state's folder, where SQLite would put them.
#[test]
fn temporary_tables_and_journals_are_kept_in_memory() {
    let dir = tempfile::tempdir().unwrap();
    let (mut store, _) = Store::open(dir.path()).unwrap();
    let where_to: i64 =
        store.connection().pragma_query_value(None, "temp_store", |row| row.get(0)).unwrap();
    assert_eq!(where_to, 2, "as SQLite counts: 2 is memory");
}
