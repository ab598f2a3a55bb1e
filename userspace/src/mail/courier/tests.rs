//! The whole way, from an effect in the database to a relay's mailbox.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};

use super::*;
use crate::mail::notice::{AlertNotice, Notice, Outcome, Started, Stopped};
use crate::store::{Effect, Retention, Writer};

/// Takes mails, or says 451 while it is busy.
async fn relay() -> (u16, Arc<AtomicBool>, mpsc::UnboundedReceiver<Option<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let busy = Arc::new(AtomicBool::new(false));
    let (taken, mails) = mpsc::unbounded_channel();
    let is_busy = Arc::clone(&busy);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (taken, is_busy) = (taken.clone(), Arc::clone(&is_busy));
            tokio::spawn(async move {
                let (read, mut write) = stream.into_split();
                let mut lines = BufReader::new(read).lines();
                write.write_all(b"220 relay ESMTP\r\n").await.unwrap();
                while let Ok(Some(line)) = lines.next_line().await {
                    let answer: &[u8] = match line.as_str() {
                        "DATA" if is_busy.load(Ordering::SeqCst) => {
                            taken.send(None).unwrap();
                            b"451 later\r\n"
                        }
                        "DATA" => {
                            write.write_all(b"354 go\r\n").await.unwrap();
                            let mut mail = String::new();
                            while let Some(line) = lines.next_line().await.unwrap() {
                                if line == "." {
                                    break;
                                }
                                mail.push_str(&line);
                                mail.push('\n');
                            }
                            write.write_all(b"250 kept\r\n").await.unwrap();
                            taken.send(Some(mail)).unwrap();
                            continue;
                        }
                        "QUIT" => break,
                        _ => b"250 ok\r\n",
                    };
                    write.write_all(answer).await.unwrap();
                }
            });
        }
    });
    (port, busy, mails)
}

fn config(port: u16) -> MailConfig {
    MailConfig {
        level: 7,
        immediate: 10,
        to: vec!["root@example.net".to_owned()],
        from: "ravelin@example.net".to_owned(),
        relay: format!("smtp://127.0.0.1:{port}"),
        per_hour: 4,
        ..MailConfig::default()
    }
}

fn alert(offender: &str) -> Notice {
    let now = Timestamp::now();
    Notice::Alert(AlertNotice {
        at: now,
        host: None,
        source: "/var/log/suricata/fast.log".to_owned(),
        rule: 300_011,
        level: 10,
        description: "Suricata level 1 alert".to_owned(),
        count: 1,
        offender: offender.parse().ok(),
        fields: Vec::new(),
        outcome: Outcome::Banned {
            target: offender.parse().unwrap(),
            since: now,
            until: Some(now.saturating_add(Duration::from_secs(300))),
            ports: None,
            reason: None,
            offences: 1,
        },
        evidence: [&b"a line"[..]].into_iter().collect(),
        mail: None,
    })
}

fn told(policy: &Policy, notice: &Notice) -> Effect {
    Effect::Mail(policy.entries(notice, Timestamp::now()).remove(0))
}

struct Daemon {
    writer: Writer,
    policy: Policy,
    health: watch::Receiver<MailHealth>,
    stop: oneshot::Sender<()>,
    courier: tokio::task::JoinHandle<()>,
}

fn daemon(dir: &std::path::Path, port: u16) -> Daemon {
    let writer = Writer::spawn(Store::open(dir).unwrap().0, Retention::default()).unwrap();
    let (courier, health) = Courier::new(&config(port), "web1", writer.handle()).unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let courier = tokio::spawn(courier.run(async move {
        stopped.await.ok();
    }));
    let policy = Policy::new(&config(port), TimeZone::system());
    Daemon { writer, policy, health, stop, courier }
}

#[tokio::test]
async fn a_burst_arrives_as_one_mail_and_stop_comes_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let (port, _busy, mut mails) = relay().await;
    let mut daemon = daemon(dir.path(), port);
    let handle = daemon.writer.handle();
    for offender in ["198.51.100.7", "198.51.100.8"] {
        handle.push([told(&daemon.policy, &alert(offender))]);
        handle.flush().await.unwrap();
    }
    let mail = mails.recv().await.unwrap().unwrap();
    assert!(
        mail.contains("Subject: [web1] level 10: 2 offenders, 2 banned, Suricata level 1 alert"),
        "{mail}"
    );
    assert!(
        mail.contains("198.51.100.7/32 is banned for 5m") && mail.contains("rule 300011, level 10")
    );
    daemon
        .health
        .wait_for(|health| health.stats.sent == 1 && health.stats.queued == 0)
        .await
        .unwrap();

    let started = Started {
        at: Timestamp::now(),
        mode: "enforce".to_owned(),
        interfaces: vec![],
        sources: vec![],
        bans: 0,
        warnings: vec![],
    };
    let stopped = Stopped { at: Timestamp::now(), reason: "SIGTERM".to_owned(), bans: 2 };
    handle.push([
        told(&daemon.policy, &Notice::Started(started)),
        told(&daemon.policy, &Notice::Stopped(stopped)),
    ]);
    daemon.stop.send(()).unwrap();
    daemon.courier.await.unwrap();
    let mail = mails.recv().await.unwrap().unwrap();
    assert!(mail.contains("Subject: [web1] ravelin stopped: SIGTERM"), "{mail}");
    daemon.writer.close();
    let (store, _) = Store::open(dir.path()).unwrap();
    let expected = MailStats { sent: 2, ..MailStats::default() };
    assert_eq!(store.read().mail_stats().unwrap(), expected);
}

#[tokio::test]
async fn what_a_busy_relay_puts_off_survives_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let (port, busy, mut mails) = relay().await;
    busy.store(true, Ordering::SeqCst);
    let mut first = daemon(dir.path(), port);
    first.writer.handle().push([told(&first.policy, &alert("198.51.100.7"))]);
    assert_eq!(mails.recv().await.unwrap(), None);
    let health = first.health.wait_for(|health| !health.trouble.is_empty()).await.unwrap().clone();
    let reason = health.undelivered().unwrap();
    assert!(reason.starts_with("data: ") && reason.contains("later"), "{reason}");
    // Dies without a word.
    first.courier.abort();
    first.writer.close();

    let (mut store, _) = Store::open(dir.path()).unwrap();
    let long_after = Timestamp::now().saturating_add(Duration::from_secs(3600));
    let waits = store.read().due(&Channel::Mail.keys(), long_after).unwrap().remove(0);
    assert_eq!(waits.attempts, 1);
    assert!(
        store.read().due(&Channel::Mail.keys(), Timestamp::now()).unwrap().is_empty(),
        "it waits its pause out"
    );
    // The pause is over.
    store.failed(waits.id, "451", Timestamp::now()).unwrap();
    drop(store);
    busy.store(false, Ordering::SeqCst);
    let mut second = daemon(dir.path(), port);
    let mail = mails.recv().await.unwrap().unwrap();
    assert!(mail.contains(&format!("Message-ID: {}", waits.message_id)), "{mail}");
    second
        .health
        .wait_for(|health| health.stats.sent == 1 && health.stats.queued == 0)
        .await
        .unwrap();
    assert_eq!(second.health.borrow().undelivered(), None);
    second.stop.send(()).unwrap();
    second.courier.await.unwrap();
    second.writer.close();
}

#[tokio::test]
async fn what_the_disk_did_not_write_down_is_not_sent_again() {
    let dir = tempfile::tempdir().unwrap();
    let (port, _busy, mut mails) = relay().await;
    let writer = Writer::spawn(Store::open(dir.path()).unwrap().0, Retention::default()).unwrap();
    let (courier, _health) = Courier::new(&config(port), "web1", writer.handle()).unwrap();
    let mut courier = courier.legs.into_iter().next().unwrap();
    writer.handle().push([told(&courier.policy, &alert("198.51.100.7"))]);
    // The burst is over at once, and then nothing can be written for a while.
    let policy = (courier.policy.clone(), courier.scene.clone());
    let mail = writer
        .handle()
        .call(move |store| {
            let now = Timestamp::now();
            let desk = Desk::prepare(
                store,
                (Channel::Mail, &policy.0, &policy.1),
                &HashMap::new(),
                now,
                true,
            )
            .unwrap();
            store.forbid_writing(true);
            desk.due[0].clone()
        })
        .await
        .unwrap();
    assert!(!courier.bring(&mail).await);
    assert!(mails.recv().await.unwrap().is_some());
    assert_eq!(courier.unwritten.len(), 1);
    assert_eq!(courier.round(true).await, DISK_PAUSE);
    writer.handle().call(|store| store.forbid_writing(false)).await.unwrap();
    courier.round(true).await;
    assert!(courier.unwritten.is_empty());
    assert_eq!(courier.health.borrow().stats, MailStats { sent: 1, ..MailStats::default() });
    assert!(mails.try_recv().is_err(), "sent twice");
    writer.close();
}
