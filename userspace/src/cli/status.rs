//! `ravelin status`: whether this host is protected as configured.

use std::io::{self, Write as _};
use std::path::Path;
use std::time::Duration;

use anyhow::bail;

use super::args::Status;
use super::{Done, setup, table};
use crate::control::{self, ClientError, MailStatus, PacketStatus, Request, Response, State};

pub(super) fn run(config: Option<&Path>, args: &Status) -> anyhow::Result<Done> {
    let config = setup::standing_config(config)?;
    let status = match control::request(&config.run_dir, &Request::Status) {
        Ok(Response::Status(status)) => *status,
        Ok(Response::Refused { message }) => bail!("{message}"),
        Ok(other) => bail!("expected an answer to `status`, got {other:?}"),
        Err(error @ ClientError::NotRunning { .. }) => {
            if !args.json {
                return Err(error.into());
            }
            off(&error)
        }
        Err(error) => return Err(error.into()),
    };
    let mut out = io::stdout().lock();
    if args.json {
        serde_json::to_writer_pretty(&mut out, &status)?;
        writeln!(out)?;
    } else {
        print(&mut out, &status)?;
    }
    Ok(match status.state {
        State::Enforcing | State::Observing => Done::Well,
        State::Degraded | State::Off => Done::Wrong,
    })
}

fn off(why: &ClientError) -> control::Status {
    control::Status {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        pid: 0,
        uptime_s: 0,
        state: State::Off,
        health: vec![control::HealthItem {
            code: "not-running".to_owned(),
            since: crate::event::Timestamp::now().to_string(),
            remedy: why.to_string(),
        }],
        interfaces: Vec::new(),
        bans: 0,
        sources: Vec::new(),
        mail: MailStatus::default(),
        packets: PacketStatus::default(),
    }
}

fn print(out: &mut impl io::Write, status: &control::Status) -> io::Result<()> {
    let interfaces: Vec<String> = status
        .interfaces
        .iter()
        .map(|interface| format!("{} ({})", interface.name, interface.mode))
        .collect();
    writeln!(
        out,
        "ravelin {}: {}, up {}, pid {}",
        status.version,
        status.state.as_str(),
        table::span(Duration::from_secs(status.uptime_s)),
        status.pid
    )?;
    for item in &status.health {
        writeln!(out, "  ! {}: {} (since {})", item.code, item.remedy, item.since)?;
    }
    writeln!(out)?;
    writeln!(
        out,
        "interfaces  {}",
        if interfaces.is_empty() { "none".to_owned() } else { interfaces.join(", ") }
    )?;
    writeln!(out, "bans        {}", table::grouped(status.bans))?;
    let PacketStatus { passed, dropped } = status.packets;
    writeln!(
        out,
        "packets     {} dropped, {} passed",
        table::grouped(dropped),
        table::grouped(passed)
    )?;
    let MailStatus { queued, sent, failed } = status.mail;
    writeln!(out, "mail        {sent} sent, {queued} queued, {failed} refused")?;
    writeln!(out)?;
    let rows: Vec<[String; 5]> = status
        .sources
        .iter()
        .map(|source| {
            [
                source.name.clone(),
                source.state.clone(),
                // Why not is said above.
                source.trust.split(':').next().unwrap_or_default().to_owned(),
                table::grouped(source.lines),
                match source.lag_s.filter(|seconds| *seconds > 0) {
                    Some(seconds) => table::span(Duration::from_secs(seconds)),
                    None => table::bytes(source.lag_bytes),
                },
            ]
        })
        .collect();
    table::write(out, ["SOURCE", "STATE", "TRUST", "LINES", "LAG"], &rows)
}
