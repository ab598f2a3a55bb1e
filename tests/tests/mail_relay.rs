//! Mail against real Postfix with SASL and TLS: what goes through, what each trouble is called, and that every
//! mail is accounted for.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use jiff::tz::TimeZone;
use ravelin::config::MailConfig;
use ravelin::event::{Target, Timestamp};
use ravelin::mail::{
    AlertNotice, Courier, Fault, MailHealth, Notice, Outcome, Policy, Relay, RelayError, Scene,
    SendError, Webhook,
};
use ravelin::store::{Effect, Retention, Store, Writer};
use ravelin_tests::lab::submission::{
    BadLine, Cut, EXPIRED, GREY, HOOK, PLAIN, RECIPIENT, SLOW, SMTPS, STARTTLS, Submission, USER,
};
use ravelin_tests::netns::Space;
use tokio::sync::{oneshot, watch};

/// What a test does on the relay's host, in a runtime of one thread that is there.
fn there<T: Send>(space: &Space, work: impl AsyncFnOnce() -> T + Send) -> T {
    space
        .enter(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime").block_on(work())
        })
        .expect("the relay's host")
}

fn running() -> Submission {
    let mut relay = Submission::prepare().expect("the relay can be made");
    relay.start().expect("Postfix starts");
    relay
}

fn config(url: String) -> MailConfig {
    MailConfig {
        to: vec![RECIPIENT.to_owned()],
        from: "ravelin@web1.example".to_owned(),
        relay: url,
        ..MailConfig::default()
    }
}

/// Sends one mail: nothing, or whether it was refused for good, and the fault.
async fn sent(config: &MailConfig) -> Result<(), (bool, Fault)> {
    let scene = Scene::new("web1", TimeZone::UTC);
    let relay = Relay::new(config).expect("a relay");
    let mail = scene.test(Timestamp::now());
    match relay.send(&mail, &scene.domain()).await {
        Ok(delivered) => {
            assert_eq!(delivered.refused, Vec::<String>::new());
            Ok(())
        }
        Err(error) => {
            println!("{}: {error}\n  What to do: {}.", config.relay, error.remedy());
            Err(match error {
                SendError::Trouble { fault, .. } => (false, fault),
                SendError::Refused { fault, .. } => (true, fault),
            })
        }
    }
}

#[test]
fn logs_in_over_tls_and_names_each_trouble() {
    let relay = running();
    let secure = |url: String, password: &str| MailConfig {
        password_file: Some(relay.file(password)),
        ca_file: Some(relay.file("ca.pem")),
        ..config(url)
    };
    let starttls = |port| format!("smtp+starttls://{USER}@127.0.0.1:{port}");
    let smtps = format!("smtps://{USER}@127.0.0.1:{SMTPS}");
    let other_ca = |url: String| MailConfig {
        ca_file: Some(relay.file("other-ca.pem")),
        ..secure(url, "password")
    };
    let gone = MailConfig {
        to: vec!["gone@server.example".to_owned()],
        ..config(format!("smtp://127.0.0.1:{PLAIN}"))
    };
    let cases = [
        (config(format!("smtp://127.0.0.1:{PLAIN}")), Ok(())),
        (secure(starttls(STARTTLS), "password"), Ok(())),
        (secure(smtps.clone(), "password"), Ok(())),
        (secure(starttls(STARTTLS), "wrong"), Err((false, Fault::LoginRefused))),
        (secure(smtps.clone(), "wrong"), Err((false, Fault::LoginRefused))),
        (secure(starttls(EXPIRED), "password"), Err((false, Fault::Expired))),
        (other_ca(starttls(STARTTLS)), Err((false, Fault::UnknownAuthority))),
        (other_ca(smtps), Err((false, Fault::UnknownAuthority))),
        (
            secure(format!("smtps://{USER}@localhost:{SMTPS}"), "password"),
            Err((false, Fault::OtherHost)),
        ),
        // The wrong port for the scheme.
        (
            secure(format!("smtps://{USER}@127.0.0.1:{STARTTLS}"), "password"),
            Err((false, Fault::Tls)),
        ),
        (secure(starttls(PLAIN), "password"), Err((false, Fault::NoStartTls))),
        (
            secure(format!("smtp://{USER}@127.0.0.1:{PLAIN}"), "password"),
            Err((false, Fault::NoMechanism)),
        ),
        (config(format!("smtp://127.0.0.1:{STARTTLS}")), Err((false, Fault::TlsWanted))),
        (config("smtp://127.0.0.1:2".to_owned()), Err((false, Fault::NobodyThere))),
        (gone, Err((true, Fault::Recipient))),
        (config(format!("smtp://127.0.0.1:{GREY}")), Err((false, Fault::Later))),
        (config(format!("smtp://127.0.0.1:{GREY}")), Ok(())),
        (config(format!("smtp://127.0.0.1:{SLOW}")), Ok(())),
    ];
    let went = cases.iter().filter(|(_, expected)| expected.is_ok()).count();
    there(relay.space(), async || {
        for (config, expected) in &cases {
            assert_eq!(sent(config).await, *expected, "{}", config.relay);
        }
    });
    arrived(&relay, went);

    let open = relay.file("password");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    std::fs::set_permissions(&open, mode).expect("chmod");
    let error = Relay::new(&secure(starttls(STARTTLS), "password")).expect_err("open to everyone");
    assert!(matches!(error, RelayError::SecretFileOpen { mode: 0o644, .. }), "{error}");
    assert!(error.to_string().contains("chmod 600"), "{error}");
}

/// Waits until so many mails are in the mailbox; gives each one's Message-ID and text.
fn arrived(relay: &Submission, count: usize) -> Vec<(String, String)> {
    let mailbox = relay.mailbox();
    ravelin_tests::lab::until(&format!("{count} mails"), Duration::from_secs(30), || {
        let mails = mailbox.mails()?;
        Ok((mails.len() >= count).then_some(mails))
    })
    .expect("all arrive")
    .into_iter()
    .map(|mail| {
        assert!(mail.html.as_ref().is_some_and(|html| html.contains("</html>")));
        (mail.header("Message-ID").to_owned(), mail.text)
    })
    .collect()
}

/// Store and courier as the daemon has them, by a clock that is set by hand.
struct Desk {
    writer: Writer,
    policy: Policy,
    health: watch::Receiver<MailHealth>,
    now: Arc<AtomicI64>,
    stop: oneshot::Sender<()>,
    courier: tokio::task::JoinHandle<()>,
    _dir: tempfile::TempDir,
}

/// Noon of a day without a change of the clocks.
const NOON: i64 = 1_795_521_600;

impl Desk {
    fn open(config: &MailConfig) -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let (store, _) = Store::open(dir.path()).expect("a database");
        let writer = Writer::spawn(store, Retention::default()).expect("a writer");
        let now = Arc::new(AtomicI64::new(NOON));
        let (courier, health) = Courier::new(config, "web1", writer.handle()).expect("a courier");
        let clock = Arc::clone(&now);
        let courier =
            courier.with_clock(move || Timestamp::from_secs(clock.load(Ordering::SeqCst)));
        let (stop, stopped) = oneshot::channel::<()>();
        let courier = tokio::spawn(courier.run(async move { drop(stopped.await) }));
        let policy = Policy::new(config, TimeZone::system());
        Self { writer, policy, health, now, stop, courier, _dir: dir }
    }

    fn now(&self) -> Timestamp {
        Timestamp::from_secs(self.now.load(Ordering::SeqCst))
    }

    /// An alert: what it caused.
    fn happens(&self, offender: &str, outcome: fn(Target, Timestamp) -> Outcome) {
        let address: IpAddr = offender.parse().expect("an address");
        let notice = Notice::Alert(AlertNotice {
            at: self.now(),
            host: None,
            source: "/var/log/suricata/fast.log".to_owned(),
            rule: 300_011,
            level: 10,
            description: "Suricata level 1 alert".to_owned(),
            count: 1,
            offender: Some(address),
            fields: Vec::new(),
            outcome: outcome(Target::of_address(address), self.now()),
            evidence: [&b"a line"[..]].into_iter().collect(),
            mail: None,
        });
        let entries = self.policy.entries(&notice, self.now());
        self.writer.handle().push(entries.into_iter().map(Effect::Mail));
    }

    /// Time passes, and the courier has looked.
    async fn pass(&mut self, secs: i64) {
        self.writer.handle().flush().await.expect("a writer");
        self.health.borrow_and_update();
        self.now.fetch_add(secs, Ordering::SeqCst);
        self.writer.handle().mail().notify_one();
        self.health.changed().await.expect("a courier");
    }

    /// Waits until mail fares so.
    async fn reaches(&mut self, what: &str, wanted: impl FnMut(&MailHealth) -> bool) -> MailHealth {
        let reached = self.health.wait_for(wanted);
        let reached = tokio::time::timeout(Duration::from_secs(30), reached).await;
        reached.expect(what).expect("a courier").clone()
    }

    /// A quarter of an hour after the other, until nothing waits any more.
    async fn until_all_is_sent(&mut self) {
        for _ in 0..20 {
            self.pass(16 * 60).await;
            let all = self
                .health
                .wait_for(|health| health.stats.queued == 0 && health.stats.waiting == 0);
            if tokio::time::timeout(Duration::from_secs(5), all).await.is_ok_and(|all| all.is_ok())
            {
                break;
            }
        }
        let stats = self.health.borrow().stats;
        assert_eq!((stats.queued, stats.waiting), (0, 0), "not all was sent");
    }

    async fn close(self) {
        drop(self.stop);
        self.courier.await.expect("the courier ends well");
        self.writer.close();
    }
}

fn banned(target: Target, since: Timestamp) -> Outcome {
    let until = Some(since.saturating_add(Duration::from_secs(300)));
    Outcome::Banned { target, since, until, ports: None, reason: None, offences: 1 }
}

fn unproven(_: Target, _: Timestamp) -> Outcome {
    Outcome::Withheld { why: "unproven".to_owned() }
}

fn address(number: usize) -> String {
    format!("198.51.100.{number}")
}

/// How many mails name each offender.
fn named(mails: &[(String, String)], offenders: usize) -> Vec<usize> {
    let names = |text: &str, address: &str| {
        text.match_indices(address).any(|(at, _)| {
            !text[at + address.len()..].starts_with(|next: char| next.is_ascii_digit())
        })
    };
    (1..=offenders)
        .map(|n| mails.iter().filter(|(_, text)| names(text, &address(n))).count())
        .collect()
}

#[test]
fn a_relay_that_was_dead_for_a_day_loses_nothing_and_floods_nobody() {
    let mut relay = Submission::prepare().expect("the relay can be made");
    let config = config(format!("smtp://127.0.0.1:{PLAIN}"));
    // A ban every half hour, for a day and past midnight.
    let bans = 50;
    let space = relay.space().clone();
    there(&space, async || {
        let mut desk = Desk::open(&config);
        for n in 1..=bans {
            desk.happens(&address(n), banned);
            desk.pass(30 * 60).await;
        }
        let health = desk.health.borrow().clone();
        assert_eq!(health.stats.sent, 0);
        let trouble = health.undelivered().expect("status says that mail doesn't get through");
        assert!(trouble.contains(Fault::NobodyThere.remedy()), "{trouble}");

        relay.start().expect("Postfix starts");
        desk.until_all_is_sent().await;
        let sent = usize::try_from(desk.health.borrow().stats.sent).expect("few");
        desk.close().await;
        let mails = arrived(&relay, sent);
        println!("a day's {bans} bans: {} mails", mails.len());
        assert!(mails.len() <= 8, "{} mails greet the relay", mails.len());
        assert_eq!(mails.len(), sent);
        assert_eq!(named(&mails, bans), vec![1; bans], "each ban is in exactly one mail");
        assert!(by_id(&mails).values().all(|count| *count == 1), "no doubles");
    });
}

#[test]
fn each_mail_arrives_once_through_greylist_slowness_and_cut_lines() {
    let relay = running();
    there(relay.space(), async || {
        let lines = [
            BadLine::lay(Cut::InData).expect("a line"),
            BadLine::lay(Cut::AfterTaken).expect("a line"),
        ];
        let [in_data, after_taken] = &lines;
        let mut expected = BTreeMap::new();
        for (offender, port, times) in [
            (1, GREY, 1),
            (2, SLOW, 1),
            (3, in_data.port, 1),
            // Postfix had it and couldn't say so: the one double that there may be.
            (4, after_taken.port, 2),
        ] {
            let mut desk = Desk::open(&config(format!("smtp://127.0.0.1:{port}")));
            desk.happens(&address(offender), banned);
            desk.until_all_is_sent().await;
            assert_eq!(desk.health.borrow().stats.sent, 1, "{port}");
            assert_eq!(desk.health.borrow().undelivered(), None, "{port}");
            desk.close().await;
            expected.insert(address(offender), times);
        }
        assert_eq!(lines.each_ref().map(BadLine::connections), [2, 2]);
        let mails = arrived(&relay, expected.values().sum());
        for (offender, times) in &expected {
            let told: Vec<_> =
                mails.iter().filter(|(_, text)| text.contains(offender.as_str())).collect();
            assert_eq!(told.len(), *times, "{offender}");
            assert!(told.iter().all(|(id, _)| *id == told[0].0), "{offender}: another Message-ID");
        }
    });
}

#[test]
fn a_source_without_proof_does_not_use_up_the_hour() {
    let relay = running();
    there(relay.space(), async || {
        let mut desk = Desk::open(&config(format!("smtp://127.0.0.1:{PLAIN}")));
        // One spoofed source, an alert a minute, and then a real offender.
        for _ in 0..20 {
            desk.happens(&address(1), unproven);
            desk.pass(60).await;
        }
        desk.happens(&address(2), banned);
        desk.pass(60).await;
        desk.reaches("the ban is told at once, not when the hour is over", |health| {
            health.stats.sent >= 2
        })
        .await;
        assert_eq!(desk.health.borrow().stats.sent, 2);
        let mails = arrived(&relay, 2);
        assert_eq!(named(&mails, 2), [1, 1]);
        // The rest is in the digest.
        desk.pass(24 * 60 * 60).await;
        desk.reaches("the digest goes", |health| health.stats.waiting + health.stats.queued == 0)
            .await;
        let mails = arrived(&relay, 3);
        let digest = mails.iter().find(|(_, text)| text.contains("By offender"));
        let (_, text) = digest.expect("a digest");
        // Whether the second alert came before the first mail was made is chance.
        let first =
            if mails.iter().any(|(_, text)| text.contains("level 10, 2 times")) { 2 } else { 1 };
        assert!(text.starts_with(&format!("{} alerts,", 20 - first)), "{text}");
        desk.close().await;
    });
}

#[test]
fn a_ban_is_told_at_once_beside_a_flood_from_spoofed_addresses() {
    let relay = running();
    there(relay.space(), async || {
        let mut desk = Desk::open(&config(format!("smtp://127.0.0.1:{PLAIN}")));
        // An address a minute: more than the hour's budget.
        for n in 1..=20 {
            desk.happens(&address(n), unproven);
            desk.pass(60).await;
        }
        desk.reaches("two of them are mailed", |health| health.stats.sent >= 2).await;
        desk.happens(&address(21), banned);
        desk.pass(60).await;
        desk.reaches("the ban is told at once", |health| health.stats.sent >= 3).await;
        assert_eq!(desk.health.borrow().stats.sent, 3);
        assert_eq!(named(&arrived(&relay, 3), 21), [1; 21], "and with it those who waited");
        desk.close().await;
    });
}

#[test]
fn a_webhook_is_verified_and_a_dead_relay_does_not_hold_it_up() {
    let mut relay = Submission::prepare().expect("the relay can be made");
    relay.start_hook().expect("nginx starts");
    let hook = |url: String, ca: &str| MailConfig {
        webhook: Some(url),
        webhook_secret_file: Some(relay.file("token")),
        ca_file: Some(relay.file(ca)),
        ..config(format!("smtp://127.0.0.1:{PLAIN}"))
    };
    let url = format!("https://127.0.0.1:{HOOK}/hooks/x");
    there(relay.space(), async || {
        let scene = Scene::new("web1", TimeZone::UTC);
        let mail = scene.test(Timestamp::now());
        for (config, expected) in [
            (hook(url.clone(), "other-ca.pem"), Fault::UnknownAuthority),
            (hook(url.replace("127.0.0.1", "localhost"), "ca.pem"), Fault::OtherHost),
            (hook(url.replace("hooks", "gone"), "ca.pem"), Fault::NoSuchHook),
        ] {
            let webhook = Webhook::new(&config).expect("a good one").expect("one");
            let error = webhook.send(&mail).await.expect_err("it fails");
            println!("{error}: {}", error.remedy());
            assert!(
                matches!(error, SendError::Trouble { fault, .. } if fault == expected),
                "{error}"
            );
        }

        // The relay doesn't run.
        let mut desk = Desk::open(&hook(url.clone(), "ca.pem"));
        desk.happens(&address(1), banned);
        desk.pass(60).await;
        let health = desk
            .reaches("the webhook has it", |health| {
                health.stats.sent == 1 && !health.trouble.is_empty()
            })
            .await;
        assert_eq!((health.stats.queued, health.stats.failed), (1, 0));
        let trouble = health.undelivered().expect("the relay is dead");
        assert!(trouble.contains(Fault::NobodyThere.remedy()), "{trouble}");
        desk.close().await;
        let log = relay.hook_log().expect("a log");
        let taken: Vec<_> = log.iter().filter(|line| line.starts_with("200 ")).collect();
        assert_eq!(taken.len(), 1, "{log:?}");
        assert!(taken[0].starts_with("200 POST /hooks/x HTTP/1.1 ravelin-"), "{log:?}");
        assert!(taken[0].ends_with(" Bearer t0ken"), "{log:?}");
    });
}

#[test]
fn mail_test_says_what_happened_and_what_to_do() {
    let relay = running();
    let test = |url: &str, password: &str| {
        let configuration = format!(
            "mail:\n  to: [{RECIPIENT}]\n  from: ravelin@web1.example\n  relay: {url}\n  ca_file: ca.pem\n  password_file: {password}\n"
        );
        let output = relay.ravelin(&["mail", "test"], &configuration).expect("ravelin was built");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        (output.status.code(), said + &String::from_utf8_lossy(&output.stderr))
    };
    let url = format!("smtp+starttls://{USER}@127.0.0.1:{STARTTLS}");
    let (code, said) = test(&url, "password");
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains(&format!("for {RECIPIENT}.")), "{said}");
    arrived(&relay, 1);
    let (code, said) = test(&url, "wrong");
    assert_eq!(code, Some(1), "{said}");
    let expected = format!(
        "{url} didn't take it: login: permanent error (535): 5.7.8 Error: authentication failed: \
         authentication failure\nWhat to do: {}.\n",
        Fault::LoginRefused.remedy()
    );
    assert_eq!(said, expected);
    let (code, said) = test(&url, "missing");
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("can't read `mail.password_file`"), "{said}");
}

#[test]
fn what_is_refused_for_good_is_set_apart_and_holds_up_nothing() {
    let relay = running();
    there(relay.space(), async || {
        let gone = MailConfig {
            to: vec!["gone@server.example".to_owned()],
            ..config(format!("smtp://127.0.0.1:{PLAIN}"))
        };
        let mut desk = Desk::open(&gone);
        desk.happens(&address(1), banned);
        desk.until_all_is_sent().await;
        let health = desk.health.borrow().clone();
        assert_eq!((health.stats.sent, health.stats.failed), (0, 1));
        assert_eq!(health.undelivered(), None);
        let refused = health.refused_for_good().expect("status says so");
        for part in ["198.51.100.1/32 banned", "550", "gone@server.example"] {
            assert!(refused.contains(part), "{part}: {refused}");
        }
        assert!(refused.contains(Fault::Recipient.remedy()), "{refused}");
        desk.close().await;
        assert_eq!(relay.mailbox().mails().expect("a mailbox").len(), 0);
    });
}

fn by_id(mails: &[(String, String)]) -> BTreeMap<&str, usize> {
    let mut ids = BTreeMap::new();
    for (id, _) in mails {
        *ids.entry(id.as_str()).or_default() += 1;
    }
    ids
}
