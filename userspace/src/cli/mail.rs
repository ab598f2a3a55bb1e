//! `ravelin mail test`: one mail through the configured relay and webhook, in the foreground.

use std::io::{self, Write as _};
use std::path::Path;

use jiff::tz::TimeZone;

use super::args::{Mail, MailCommand, MailTest};
use super::{Done, setup};
use crate::config::MailConfig;
use crate::daemon;
use crate::event::Timestamp;
use crate::mail::{Delivered, Relay, RelayError, Scene, SendError, Webhook};
use crate::store;

pub(super) fn run(config: Option<&Path>, args: &Mail) -> anyhow::Result<Done> {
    match &args.command {
        MailCommand::Test(args) => test(config, args),
    }
}

fn test(config: Option<&Path>, args: &MailTest) -> anyhow::Result<Done> {
    let config = setup::config(config)?.mail;
    let scene = Scene::new(&daemon::hostname(), TimeZone::system());
    let mail = scene.test(Timestamp::now());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let attempts = runtime.block_on(attempts(&config, &scene, &mail))?;
    let mut out = io::stdout().lock();
    if args.json {
        let first = attempts.first();
        let refused = first.and_then(|attempt| attempt.outcome.as_ref().ok());
        let error = attempts.iter().find_map(|attempt| attempt.outcome.as_ref().err());
        let document = serde_json::json!({
            "relay": config.relay, "to": config.to, "message_id": mail.message_id,
            "webhook": attempts.iter().any(|attempt| attempt.is_webhook),
            "refused": refused.map(|delivered| delivered.refused.as_slice()).unwrap_or_default(),
            "error": error.map(ToString::to_string), "remedy": error.map(SendError::remedy),
        });
        writeln!(out, "{document}")?;
    } else {
        for attempt in &attempts {
            writeln!(out, "{}", attempt.told(&config, &mail))?;
        }
    }
    let well = |attempt: &Attempt| {
        attempt.outcome.as_ref().is_ok_and(|delivered| delivered.refused.is_empty())
    };
    Ok(if attempts.iter().all(well) { Done::Well } else { Done::Wrong })
}

/// What came of one way.
struct Attempt {
    whom: String,
    is_webhook: bool,
    outcome: Result<Delivered, SendError>,
}

async fn attempts(
    config: &MailConfig,
    scene: &Scene,
    mail: &store::Mail,
) -> Result<Vec<Attempt>, RelayError> {
    let webhook = Webhook::new(config)?;
    let mut attempts = Vec::new();
    if webhook.is_none() || !config.to.is_empty() {
        let outcome = Relay::new(config)?.send(mail, &scene.domain()).await;
        attempts.push(Attempt { whom: config.relay.clone(), is_webhook: false, outcome });
    }
    if let Some(webhook) = webhook {
        let outcome = webhook.send(mail).await;
        attempts.push(Attempt { whom: webhook.place(), is_webhook: true, outcome });
    }
    Ok(attempts)
}

impl Attempt {
    fn told(&self, config: &MailConfig, mail: &store::Mail) -> String {
        let Self { whom, is_webhook, outcome } = self;
        match outcome {
            Ok(_) if *is_webhook => format!("{whom} took it."),
            Ok(delivered) => {
                let mut told =
                    format!("{whom} took {} for {}.", mail.message_id, config.to.join(", "));
                for refused in &delivered.refused {
                    told.push_str(&format!("\nIt refused a recipient: {refused}"));
                }
                told
            }
            Err(error) => {
                format!("{whom} didn't take it: {error}\nWhat to do: {}.", error.remedy())
            }
        }
    }
}
