//! `ravelin mail test`: one mail through the configured relay, in the foreground.

use std::io::{self, Write as _};
use std::path::Path;

use anyhow::Context as _;
use jiff::tz::TimeZone;

use super::args::{Mail, MailCommand, MailTest};
use super::{Done, setup};
use crate::daemon;
use crate::event::Timestamp;
use crate::mail::{Relay, Scene};

pub(super) fn run(config: Option<&Path>, args: &Mail) -> anyhow::Result<Done> {
    match &args.command {
        MailCommand::Test(args) => test(config, args),
    }
}

fn test(config: Option<&Path>, args: &MailTest) -> anyhow::Result<Done> {
    let config = setup::config(config)?.mail;
    let relay = Relay::new(&config)?;
    let scene = Scene::new(&daemon::hostname(), TimeZone::system());
    let mail = scene.test(Timestamp::now());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let delivered = runtime
        .block_on(relay.send(&mail, &scene.domain()))
        .with_context(|| format!("{} didn't take the mail", config.relay))?;
    let mut out = io::stdout().lock();
    if args.json {
        let document = serde_json::json!({
            "relay": config.relay, "to": config.to, "message_id": mail.message_id,
            "refused": delivered.refused
        });
        writeln!(out, "{document}")?;
    } else {
        writeln!(out, "{} took {} for {}.", config.relay, mail.message_id, config.to.join(", "))?;
        for refused in &delivered.refused {
            writeln!(out, "It refused a recipient: {refused}")?;
        }
    }
    Ok(if delivered.refused.is_empty() { Done::Well } else { Done::Wrong })
}
