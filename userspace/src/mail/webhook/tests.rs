//! Against a webhook of our own, which answers as told.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::*;
use crate::event::Timestamp;
use crate::store::Draft;

/// Answers one request; gives it.
async fn serve(answer: &'static str) -> (u16, tokio::task::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let serving = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = Vec::new();
        let whole = |request: &[u8]| {
            let text = String::from_utf8_lossy(request).into_owned();
            let (head, body) = text.split_once("\r\n\r\n")?;
            let length = head.lines().find_map(|line| {
                line.to_lowercase().strip_prefix("content-length: ")?.parse().ok()
            });
            (body.len() >= length.unwrap_or(0)).then_some(text)
        };
        loop {
            let mut buffer = [0; 4096];
            let read = stream.read(&mut buffer).await.unwrap();
            request.extend_from_slice(&buffer[..read]);
            if let Some(text) = whole(&request) {
                stream.write_all(answer.as_bytes()).await.unwrap();
                return text;
            }
            assert!(read > 0, "{}", String::from_utf8_lossy(&request));
        }
    });
    (port, serving)
}

fn mail(level: u8, body: &str) -> Mail {
    let draft = Draft {
        subject: "[web1] level 10: 198.51.100.7/32 banned".to_owned(),
        body: body.to_owned(),
        html: String::new(),
        level,
        host: "web1".to_owned(),
    };
    Mail::loose(Timestamp::from_secs(1_700_000_000), "<ravelin-7-ab@web1>".to_owned(), draft)
}

fn config(url: String) -> MailConfig {
    MailConfig { webhook: Some(url), ..MailConfig::default() }
}

fn secret_file(secret: &str, mode: u32) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), format!("{secret}\n")).unwrap();
    fs::set_permissions(file.path(), fs::Permissions::from_mode(mode)).unwrap();
    file
}

const TAKEN: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok";

#[tokio::test]
async fn posts_what_chats_take() {
    let (port, serving) = serve(TAKEN).await;
    let file = secret_file("t0p", 0o600);
    let config = MailConfig {
        webhook_secret_file: Some(file.path().to_owned()),
        ..config(format!("http://127.0.0.1:{port}/hooks/{{secret}}"))
    };
    let hook = Webhook::new(&config).unwrap().unwrap();
    let evil = "198.51.100.7 is banned\n  <!channel> ```\n";
    hook.send(&mail(10, evil)).await.unwrap();
    let request = serving.await.unwrap();
    let (head, body) = request.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("POST /hooks/t0p HTTP/1.1\r\n"), "{head}");
    let head = head.to_lowercase();
    assert!(head.contains("content-type: application/json"), "{head}");
    assert!(head.contains("idempotency-key: ravelin-7-ab@web1"), "{head}");
    assert!(!head.contains("authorization"), "{head}");
    let body: Value = serde_json::from_str(body).unwrap();
    let text = body["text"].as_str().unwrap();
    assert!(text.starts_with("[web1] level 10: 198.51.100.7/32 banned\n```\n"), "{text}");
    assert_eq!((text.matches("```").count(), text.contains("<!")), (2, false), "{text}");
    assert_eq!(body.as_object().unwrap().len(), 1);
}

#[tokio::test]
async fn posts_what_ntfy_takes() {
    let (port, serving) = serve(TAKEN).await;
    let file = secret_file("tk_1", 0o640);
    let config = MailConfig {
        webhook_style: WebhookStyle::Ntfy,
        webhook_secret_file: Some(file.path().to_owned()),
        ..config(format!("http://127.0.0.1:{port}/alerts"))
    };
    let hook = Webhook::new(&config).unwrap().unwrap();
    hook.send(&mail(12, &"ä".repeat(4000))).await.unwrap();
    let request = serving.await.unwrap();
    let (head, body) = request.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("POST / HTTP/1.1\r\n"), "{head}");
    assert!(head.to_lowercase().contains("authorization: bearer tk_1"), "{head}");
    let body: Value = serde_json::from_str(body).unwrap();
    assert_eq!((&body["topic"], &body["priority"]), (&json!("alerts"), &json!(5)));
    assert!(body["message"].as_str().unwrap().len() <= 4096);
}

#[tokio::test]
async fn answers_mean_what_they_mean() {
    for (answer, for_good, expected) in [
        ("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n", true, Fault::Content),
        ("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n", false, Fault::TokenRefused),
        ("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", false, Fault::NoSuchHook),
        ("HTTP/1.1 429 Slow\r\nContent-Length: 0\r\n\r\n", false, Fault::Later),
        ("HTTP/1.1 500 Oh\r\nContent-Length: 3\r\n\r\nno\x1b", false, Fault::Later),
        (
            "HTTP/1.1 307 There\r\nLocation: http://192.0.2.1/x\r\nContent-Length: 0\r\n\r\n",
            false,
            Fault::Moved,
        ),
        ("", false, Fault::Cut),
    ] {
        let (port, serving) = serve(answer).await;
        let url = format!("http://127.0.0.1:{port}/hooks/xyzzy");
        let hook = Webhook::new(&config(url)).unwrap().unwrap();
        let error = hook.send(&mail(10, "text")).await.unwrap_err();
        serving.await.unwrap();
        let text = error.to_string();
        let (refused, fault) = match error {
            SendError::Refused { fault, .. } => (true, fault),
            SendError::Trouble { fault, .. } => (false, fault),
        };
        assert_eq!((refused, fault), (for_good, expected), "{answer}: {text}");
        assert!(!text.contains("xyzzy") && !text.contains('\x1b'), "{text}");
    }
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let hook = Webhook::new(&config(format!("http://127.0.0.1:{port}/x"))).unwrap().unwrap();
    let error = hook.send(&mail(10, "text")).await.unwrap_err();
    assert_eq!(error.remedy(), Fault::NobodyThere.remedy(), "{error}");
}

#[test]
fn says_what_is_wrong_with_the_configuration() {
    assert!(Webhook::new(&MailConfig::default()).unwrap().is_none());
    let open = secret_file("x", 0o644);
    let file = secret_file("x", 0o600);
    let with = |url: &str, file: &tempfile::NamedTempFile| MailConfig {
        webhook_secret_file: Some(file.path().to_owned()),
        ..config(url.to_owned())
    };
    for (config, expected) in [
        (config("https://chat.example/{secret}".to_owned()), "wants `mail.webhook_secret_file`"),
        (with("http://chat.example/x", &file), "use https://"),
        (with("https://chat.example/x", &open), "`mail.webhook_secret_file`"),
        (with("https://chat.example/x", &open), "mode 0644"),
        (
            MailConfig {
                webhook_style: WebhookStyle::Ntfy,
                ..config("https://ntfy.example/".to_owned())
            },
            "ntfy's topic",
        ),
        (
            MailConfig {
                ca_file: Some(file.path().to_owned()),
                ..config("https://chat.example/x".to_owned())
            },
            "expected certificates",
        ),
    ] {
        let error = Webhook::new(&config).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}
