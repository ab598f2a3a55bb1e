//! Against relays of our own, which behave as told.

use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpListener;

use super::*;
use crate::config::MailConfig;
use crate::event::Timestamp;
use crate::mail::documented::assert_documented;
use crate::store::{Draft, Store};

/// What a relay does wrong.
#[derive(Clone, Copy, Debug)]
enum Wrong {
    None,
    Greeting(&'static str),
    Recipient(&'static str, &'static str),
    Sender(&'static str),
    Data(&'static str),
    Taken(&'static str),
    CutInData,
}

/// Serves one connection; gives what it took.
async fn relay(fault: Wrong) -> (u16, tokio::task::JoinHandle<Option<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let serving = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let (read, mut write) = stream.into_split();
        let mut lines = BufReader::new(read).lines();
        let mut taken = None;
        let greeting = if let Wrong::Greeting(said) = fault { said } else { "220 relay ESMTP" };
        write.write_all(format!("{greeting}\r\n").as_bytes()).await.unwrap();
        while let Ok(Some(line)) = lines.next_line().await {
            let answer = match line.split([' ', ':']).next().unwrap() {
                "EHLO" => "250-relay\r\n250 8BITMIME",
                "MAIL" => {
                    if let Wrong::Sender(said) = fault {
                        said
                    } else {
                        "250 ok"
                    }
                }
                "RCPT" => match fault {
                    Wrong::Recipient(whom, said) if line.contains(whom) => said,
                    _ => "250 ok",
                },
                "DATA" => match fault {
                    Wrong::Data(said) => said,
                    Wrong::CutInData => {
                        write.write_all(b"354 go\r\n").await.unwrap();
                        lines.next_line().await.unwrap();
                        return None;
                    }
                    _ => {
                        write.write_all(b"354 go\r\n").await.unwrap();
                        let mut mail = String::new();
                        while let Some(line) = lines.next_line().await.unwrap() {
                            if line == "." {
                                break;
                            }
                            mail.push_str(line.strip_prefix('.').unwrap_or(&line));
                            mail.push('\n');
                        }
                        if let Wrong::Taken(said) = fault {
                            said
                        } else {
                            taken = Some(mail);
                            "250 kept"
                        }
                    }
                },
                "QUIT" => {
                    write.write_all(b"221 bye\r\n").await.ok();
                    return taken;
                }
                _ => "500 what?",
            };
            write.write_all(format!("{answer}\r\n").as_bytes()).await.unwrap();
        }
        taken
    });
    (port, serving)
}

fn to(port: u16) -> Relay {
    Relay::new(&MailConfig {
        level: 7,
        immediate: 10,
        to: vec!["root@localhost".to_owned(), "admin@example.net".to_owned()],
        from: "ravelin@web1.example".to_owned(),
        relay: format!("smtp://127.0.0.1:{port}"),
        per_hour: 4,
        ..MailConfig::default()
    })
    .unwrap()
}

fn mail(body: &str) -> Mail {
    let dir = tempfile::tempdir().unwrap();
    let (mut store, _) = Store::open(dir.path()).unwrap();
    let now = Timestamp::from_secs(1_700_000_000);
    let draft = Draft {
        subject: "[web1] level 10: 198.51.100.7/32 banned".to_owned(),
        body: body.to_owned(),
        html: format!("<p>{body}</p>"),
        level: 10,
        host: "web1".to_owned(),
    };
    store.make_mail("alert", now, 1, false, |_batch| Some(draft)).unwrap();
    store.read().due(&["alert"], now).unwrap().remove(0)
}

#[tokio::test]
async fn delivers() {
    let (port, serving) = relay(Wrong::None).await;
    let mail = mail("198.51.100.7 is banned\n\n.\n.hidden\nJürgen\n");
    let delivered = to(port).send(&mail, "web1").await.unwrap();
    assert_eq!(delivered, Delivered::default());
    let text = serving.await.unwrap().unwrap();
    let (headers, body) = text.split_once("\n\n").unwrap();
    for header in [
        "From: ravelin@web1.example",
        "To: root@localhost, admin@example.net",
        "Subject: [web1] level 10: 198.51.100.7/32 banned",
        "Date: Tue, 14 Nov 2023 22:13:20 +0000",
        "Auto-Submitted: auto-generated",
        "X-Ravelin-Level: 10",
        &format!("Message-ID: {}", mail.message_id),
    ] {
        assert!(headers.lines().any(|line| line == header), "{header} not in:\n{headers}");
    }
    assert!(headers.contains("Content-Type: multipart/alternative;"), "{headers}");
    let parts =
        ["Content-Type: text/plain; charset=utf-8", "Content-Type: text/html; charset=utf-8"];
    assert!(parts.iter().all(|part| body.matches(part).count() == 1), "{body}");
    assert!(body.find(parts[0]) < body.find(parts[1]), "the last one is preferred (RFC 2046)");
    assert!(body.contains("198.51.100.7 is banned") && body.contains("\n.\n.hidden\n"), "{body}");
    assert!(text.is_ascii());
}

#[tokio::test]
async fn trouble_comes_again_and_refusal_is_the_end() {
    use Wrong::{CutInData, Data, Greeting, Recipient, Sender, Taken};
    for (fault, for_good, stage) in [
        (Greeting("554 no service"), false, "connect"),
        (Greeting("421 later"), false, "connect"),
        (Sender("451 greylisted"), false, "sender"),
        (Sender("550 no such sender"), true, ""),
        (Sender("530 log in first"), false, "sender"),
        (Recipient("@", "450 mailbox busy"), false, "recipient"),
        (Recipient("admin", "451 greylisted"), false, "recipient"),
        (Recipient("@", "550 unknown"), true, ""),
        (Data("451 later"), false, "data"),
        (Data("554 no"), true, ""),
        (Taken("452 disk full"), false, "data"),
        (Taken("550 spam"), true, ""),
        (CutInData, false, "data"),
    ] {
        let (port, serving) = relay(fault).await;
        let error = to(port).send(&mail("text"), "web1").await.unwrap_err();
        match &error {
            SendError::Refused { reason, .. } => assert!(for_good, "{fault:?}: {reason}"),
            SendError::Trouble { stage: at, reason, .. } => {
                assert!(!for_good && *at == stage, "{fault:?}: {at}: {reason}");
            }
        }
        assert_eq!(serving.await.unwrap(), None, "{fault:?}");
    }
}

#[tokio::test]
async fn one_refused_recipient_does_not_cost_the_others_their_mail() {
    let (port, serving) = relay(Wrong::Recipient("admin", "550 5.1.1 unknown")).await;
    let delivered = to(port).send(&mail("text"), "web1").await.unwrap();
    assert_eq!(delivered.refused.len(), 1);
    assert!(delivered.refused[0].starts_with("admin@example.net: "), "{:?}", delivered.refused);
    assert!(delivered.refused[0].contains("5.1.1 unknown"), "{:?}", delivered.refused);
    assert!(serving.await.unwrap().is_some());
}

#[tokio::test]
async fn nobody_there_is_trouble() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let error = to(port).send(&mail("text"), "web1").await.unwrap_err();
    assert!(matches!(error, SendError::Trouble { stage: "connect", .. }), "{error}");
    assert!(error.to_string().contains("refused"), "{error}");
}

#[tokio::test]
async fn starttls_is_never_done_without() {
    let (port, serving) = relay(Wrong::None).await;
    let mut relay = to(port);
    relay.security = Security::StartTls;
    let error = relay.send(&mail("text"), "web1").await.unwrap_err();
    // Either the host has no certificates at all, or the relay doesn't offer STARTTLS.
    assert!(matches!(error, SendError::Trouble { stage: "starttls" | "tls", .. }), "{error}");
    if matches!(error, SendError::Trouble { stage: "starttls", .. }) {
        assert_eq!(serving.await.unwrap(), None);
    }
}

#[tokio::test]
async fn each_trouble_has_its_remedy() {
    use Wrong::{CutInData, Data, Greeting, Recipient, Sender, Taken};
    let mut told = String::new();
    let mut tell = |error: &SendError| {
        told.push_str(&format!("{error}\nWhat to do: {}.\n\n", error.remedy()));
    };
    for wrong in [
        Greeting("554 5.7.1 go away"),
        Greeting("421 4.3.2 too busy"),
        Sender("550 5.1.8 sender address rejected"),
        Sender("530 5.7.0 authentication required"),
        Recipient("@", "550 5.1.1 user unknown"),
        Recipient("@", "554 5.7.1 relay access denied"),
        Recipient("@", "451 4.7.1 greylisted, come back in 5 minutes"),
        Data("452 4.3.1 insufficient system storage"),
        Taken("550 5.7.1 message looks like spam"),
        CutInData,
    ] {
        let (port, serving) = relay(wrong).await;
        tell(&to(port).send(&mail("text"), "web1").await.unwrap_err());
        serving.await.unwrap();
    }
    let (port, serving) = relay(Wrong::None).await;
    let mut starttls = to(port);
    (starttls.security, starttls.authorities) = (Security::StartTls, Some([].into()));
    tell(&starttls.send(&mail("text"), "web1").await.unwrap_err());
    serving.await.unwrap();
    // Speaks TLS to somebody who doesn't.
    let (port, serving) = relay(Wrong::None).await;
    let mut smtps = to(port);
    (smtps.security, smtps.authorities) = (Security::Tls, Some([].into()));
    tell(&smtps.send(&mail("text"), "web1").await.unwrap_err());
    serving.abort();

    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    tell(&to(port).send(&mail("text"), "web1").await.unwrap_err());
    told.truncate(told.trim_end().len() + 1);
    assert_documented("troubles", &told);
}

#[test]
fn no_text_becomes_a_header_or_a_part() {
    let evil = "x\r\nBcc: victim@example.net\r\n\r\n--=_ravelin\r\n.\r\nMAIL FROM:<a@b>";
    let mut evil_mail = mail(evil);
    evil_mail.subject = format!("[web1] {evil}");
    let relay = to(25);
    let message = message(&evil_mail, &relay.from, &relay.to).unwrap();
    assert_eq!(message.envelope().to().len(), 2);
    let bytes = String::from_utf8(message.formatted()).unwrap();
    let (headers, body) = bytes.split_once("\r\n\r\n").unwrap();
    let names: Vec<&str> = headers
        .lines()
        .filter(|line| !line.starts_with([' ', '\t']))
        .map(|line| line.split_once(':').unwrap().0)
        .collect();
    let expected = [
        "From",
        "Subject",
        "Date",
        "Message-ID",
        "Auto-Submitted",
        "X-Ravelin-Level",
        "To",
        "MIME-Version",
        "Content-Type",
    ];
    let sorted = |names: &[&str]| {
        let mut names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        names.sort();
        names
    };
    assert_eq!(sorted(&names), sorted(&expected), "{headers}");
    let boundary = headers.split("boundary=").nth(1).unwrap().lines().next().unwrap();
    let boundary = format!("--{}", boundary.trim_matches('"'));
    assert_eq!(body.lines().filter(|line| line.starts_with(&boundary)).count(), 3, "{body}");
}
