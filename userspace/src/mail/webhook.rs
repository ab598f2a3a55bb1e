//! A webhook: what is mailed is also posted, as chat services and ntfy take it.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use ureq::Agent;
use ureq::tls::{Certificate, RootCerts, TlsConfig};
use url::Url;

use super::fault::Fault;
use super::relay::{RelayError, is_loopback};
use super::smtp::{Delivered, SendError};
use super::trust::{Authorities, authorities, secret};
use crate::config::{MailConfig, WebhookStyle};
use crate::store::Mail;

/// A webhook that mails can be posted to.
#[derive(Clone, Debug)]
pub struct Webhook {
    url: String,
    style: WebhookStyle,
    secret_file: Option<PathBuf>,
    authorities: Authorities,
}

/// Where the URL holds the secret.
const SECRET: &str = "{secret}";
const SECRET_KEY: &str = "mail.webhook_secret_file";

/// For everything together.
const PATIENCE: Duration = Duration::from_secs(20);
/// Characters of a chat message; Mattermost takes 16,383, Slack 40,000.
const CHAT: usize = 12_000;
/// Bytes of ntfy's message: above 4,096 it becomes a file.
const NTFY: usize = 3_500;
/// Bytes of an answer that are looked at.
const ANSWER: u64 = 2_000;

impl Webhook {
    /// By `mail:`; `None` where it has no webhook.
    ///
    /// # Errors
    ///
    /// What is wrong with URL, secret or authorities, and how to mend it.
    pub fn new(config: &MailConfig) -> Result<Option<Self>, RelayError> {
        let Some(url) = &config.webhook else { return Ok(None) };
        let parsed = Url::parse(url).map_err(|_error| RelayError::Webhook { what: "" })?;
        let secret_file = config.webhook_secret_file.clone();
        let host = parsed.host_str().unwrap_or_default();
        match (parsed.scheme(), &secret_file) {
            ("https", _) | ("http", None) => {}
            ("http", Some(_)) if is_loopback(host) => {}
            ("http", Some(_)) => return Err(RelayError::SecretInClear { host: host.to_owned() }),
            _ => return Err(RelayError::Webhook { what: "" }),
        }
        if url.contains(SECRET) && secret_file.is_none() {
            let what = "; {secret} in it wants `mail.webhook_secret_file`";
            return Err(RelayError::Webhook { what });
        }
        let hook = Self {
            url: url.clone(),
            style: config.webhook_style,
            secret_file,
            authorities: authorities(config.ca_file.as_deref())?,
        };
        if hook.style == WebhookStyle::Ntfy && hook.topic().is_none() {
            return Err(RelayError::Webhook { what: "; ntfy's topic is its last part" });
        }
        hook.secret()?;
        Ok(Some(hook))
    }

    /// Where it is, for people: without what may be secret in its path.
    pub fn place(&self) -> String {
        match Url::parse(&self.url) {
            Ok(url) => format!("{}://{}", url.scheme(), url.host_str().unwrap_or_default()),
            Err(_) => "the webhook".to_owned(),
        }
    }

    /// Posts a mail.
    ///
    /// # Errors
    ///
    /// Whether to try again, or not.
    pub async fn send(&self, mail: &Mail) -> Result<Delivered, SendError> {
        let (hook, body) = (self.clone(), self.body(mail));
        let id = mail.message_id.trim_matches(['<', '>']).to_owned();
        let posted = tokio::task::spawn_blocking(move || hook.post(&id, &body));
        posted.await.unwrap_or_else(|error| {
            let reason = error.to_string();
            Err(SendError::Trouble { stage: "webhook", fault: Fault::Other, reason })
        })
    }

    fn post(&self, id: &str, body: &Value) -> Result<Delivered, SendError> {
        let trouble = |fault, reason| SendError::Trouble { stage: "webhook", fault, reason };
        let secret = self.secret().map_err(|error| trouble(Fault::Secret, error.to_string()))?;
        let (url, token) = match secret {
            Some(secret) if self.url.contains(SECRET) => (self.url.replace(SECRET, &secret), None),
            token => (self.url.clone(), token),
        };
        // ntfy takes JSON at its root only.
        let url = match self.style {
            WebhookStyle::Ntfy => {
                url.rsplit_once('/').map_or(url.clone(), |(root, _)| format!("{root}/"))
            }
            WebhookStyle::Chat => url,
        };
        let mut request = self
            .agent()
            .post(&url)
            .header("Content-Type", "application/json; charset=utf-8")
            // The same at every attempt: who looks at it doesn't show a message twice.
            .header("Idempotency-Key", id);
        if let Some(token) = token {
            request = request.header("Authorization", format!("Bearer {token}"));
        }
        let mut answer = request
            .send(body.to_string())
            .map_err(|error| trouble(fault(&error), self.said(&error.to_string())))?;
        let status = answer.status();
        if status.is_success() {
            return Ok(Delivered::default());
        }
        let text = answer.body_mut().with_config().limit(ANSWER).lossy_utf8(true).read_to_string();
        let text = text.unwrap_or_default();
        let words: Vec<&str> = text.split_whitespace().collect();
        let reason = self.said(&format!("HTTP {status}: {}", words.join(" ")));
        match status.as_u16() {
            400 | 413 | 415 | 422 => Err(SendError::Refused { fault: Fault::Content, reason }),
            401 | 403 => Err(trouble(Fault::TokenRefused, reason)),
            404 | 405 | 410 => Err(trouble(Fault::NoSuchHook, reason)),
            300..=399 => Err(trouble(Fault::Moved, reason)),
            408 | 425 | 429 | 500.. => Err(trouble(Fault::Later, reason)),
            _ => Err(trouble(Fault::Other, reason)),
        }
    }

    fn agent(&self) -> Agent {
        let roots = match &self.authorities {
            Some(authorities) => {
                authorities.iter().map(|der| Certificate::from_der(der).to_owned()).collect()
            }
            None => system_roots(),
        };
        let tls = TlsConfig::builder()
            .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .root_certs(RootCerts::from(roots.into_iter()))
            .build();
        Agent::config_builder()
            .tls_config(tls)
            .timeout_global(Some(PATIENCE))
            .http_status_as_error(false)
            // The secret goes where it was meant to go, and nowhere else.
            .max_redirects(0)
            .max_redirects_will_error(false)
            .proxy(None)
            .user_agent(concat!("ravelin/", env!("CARGO_PKG_VERSION")))
            .build()
            .new_agent()
    }

    fn secret(&self) -> Result<Option<String>, RelayError> {
        self.secret_file.as_deref().map(|path| secret(SECRET_KEY, path)).transpose()
    }

    fn topic(&self) -> Option<&str> {
        self.url
            .rsplit_once('/')
            .map(|(_, topic)| topic)
            .filter(|topic| !topic.is_empty() && !topic.contains(['?', '{']))
            .filter(|_| Url::parse(&self.url).is_ok_and(|url| url.path() != "/"))
    }

    /// An error's text, bounded and without the URL: that may hold the secret.
    fn said(&self, text: &str) -> String {
        let mut text = text.replace(&self.url, "the webhook");
        if let Ok(Some(secret)) = self.secret() {
            text = text.replace(&secret, "***");
        }
        super::text::visible(&text, 300)
    }

    fn body(&self, mail: &Mail) -> Value {
        match self.style {
            WebhookStyle::Chat => {
                // Slack's `<!channel>` and a code block's end don't come out of a log line.
                let tame = |text: &str| text.replace('<', "\u{2039}").replace('`', "'");
                let text: String = mail.body.trim_end().chars().take(CHAT).collect();
                json!({ "text": format!("{}\n```\n{}\n```", tame(&mail.subject), tame(&text)) })
            }
            WebhookStyle::Ntfy => {
                let priority = match mail.level {
                    12.. => 5,
                    10..=11 => 4,
                    7..=9 => 3,
                    _ => 2,
                };
                let mut text = mail.body.trim_end();
                if text.len() > NTFY {
                    text = &text[..text.floor_char_boundary(NTFY)];
                }
                json!({
                    "topic": self.topic(), "title": mail.subject, "message": text,
                    "priority": priority,
                })
            }
        }
    }
}

fn fault(error: &ureq::Error) -> Fault {
    match error {
        ureq::Error::HostNotFound => Fault::Unresolved,
        ureq::Error::ConnectionFailed => Fault::NobodyThere,
        ureq::Error::Timeout(_) => Fault::Silent,
        ureq::Error::Io(error) => {
            Fault::of(error).unwrap_or(if error.kind() == io::ErrorKind::UnexpectedEof {
                Fault::Cut
            } else {
                Fault::Other
            })
        }
        other => Fault::of(other).unwrap_or(Fault::Other),
    }
}

/// What this host trusts; what of it can't be read is left out, and the connection says so.
fn system_roots() -> Vec<Certificate<'static>> {
    let found = rustls_native_certs::load_native_certs().certs;
    found.iter().map(|der| Certificate::from_der(der).to_owned()).collect()
}

#[cfg(test)]
mod tests;
