//! `ravelin status`: whether this host is protected as configured.

use std::io::{self, Write as _};
use std::path::Path;
use std::time::Duration;

use anyhow::bail;

use super::args::Status;
use super::look::{Look, Tone};
use super::table::{Cell, Fit};
use super::{Done, setup, table};
use crate::control::{
    self, ClientError, MailStatus, PacketStatus, Request, Response, SourceStatus, State,
};
use crate::event::Timestamp;
use crate::mail::visible;
use crate::source::ListenerRow;

/// Characters of what is to be done.
const REMEDY: usize = 2_000;

pub(super) fn run(config: Option<&Path>, args: &Status, look: Look) -> anyhow::Result<Done> {
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
        print(&mut out, &status, Timestamp::now(), look)?;
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
            since: Timestamp::now().to_string(),
            remedy: why.to_string(),
        }],
        interfaces: Vec::new(),
        bans: 0,
        sources: Vec::new(),
        mail: MailStatus::default(),
        packets: PacketStatus::default(),
    }
}

/// Before the names of what is told.
const LABEL: usize = 12;

fn print(
    out: &mut impl io::Write,
    status: &control::Status,
    now: Timestamp,
    look: Look,
) -> io::Result<()> {
    let tone = match status.state {
        State::Enforcing => Tone::Good,
        State::Observing => Tone::Odd,
        State::Degraded | State::Off => Tone::Bad,
    };
    writeln!(
        out,
        "ravelin {}: {}, up {}, pid {}",
        status.version,
        look.paint(tone, status.state.as_str()),
        table::span(Duration::from_secs(status.uptime_s)),
        status.pid
    )?;
    for item in &status.health {
        let since = since(&item.since, now);
        let (code, remedy) = (&item.code, visible(&item.remedy, REMEDY));
        write!(out, "  {} ", look.paint(Tone::Odd, "!"))?;
        match look.width {
            None => writeln!(out, "{code}: {remedy} (since {})", item.since)?,
            Some(_) => {
                writeln!(
                    out,
                    "{} {}",
                    look.paint(Tone::Odd, code),
                    look.paint(Tone::Faint, &since)
                )?;
                write!(out, "    ")?;
                look.wrap(out, &remedy, 4, 4)?;
            }
        }
    }
    writeln!(out)?;
    let interfaces: Vec<String> = status
        .interfaces
        .iter()
        .map(|interface| format!("{} ({})", interface.name, interface.mode))
        .collect();
    let interfaces = if interfaces.is_empty() { "none".to_owned() } else { interfaces.join(", ") };
    let PacketStatus { passed, dropped } = status.packets;
    let MailStatus { queued, sent, failed } = status.mail;
    for (label, text) in [
        ("interfaces", interfaces),
        ("bans", table::grouped(status.bans)),
        (
            "packets",
            format!("{} dropped, {} passed", table::grouped(dropped), table::grouped(passed)),
        ),
        ("mail", format!("{sent} sent, {queued} queued, {failed} refused")),
    ] {
        write!(out, "{}", look.paint(Tone::Faint, &format!("{label:LABEL$}")))?;
        look.wrap(out, &text, LABEL, LABEL)?;
    }
    writeln!(out)?;
    let header = [
        ("SOURCE", Fit::CutFront),
        ("STATE", Fit::Cut),
        ("TRUST", Fit::Whole),
        ("LINES", Fit::Number),
        ("LAG", Fit::Number),
    ];
    let rows: Vec<Vec<Cell>> = status.sources.iter().map(|source| row(source, look)).collect();
    table::fitted(out, look, &header, &rows)?;
    let rows: Vec<Vec<Cell>> = status
        .sources
        .iter()
        .filter_map(|source| {
            let ListenerRow { peers, received, cut, lost, refused } = source.listener?;
            let mut row = vec![Cell::from(source.name.clone())];
            row.extend([peers, received, cut].map(|count| table::grouped(count).into()));
            row.push(Cell::new(table::grouped(lost), (lost > 0).then_some(Tone::Odd)));
            row.push(table::grouped(refused).into());
            Some(row)
        })
        .collect();
    if rows.is_empty() {
        return Ok(());
    }
    writeln!(out)?;
    let header = [
        ("LISTENER", Fit::CutFront),
        ("PEERS", Fit::Number),
        ("RECEIVED", Fit::Number),
        ("CUT", Fit::Number),
        ("LOST", Fit::Number),
        ("REFUSED", Fit::Number),
    ];
    table::fitted(out, look, &header, &rows)
}

fn row(source: &SourceStatus, look: Look) -> Vec<Cell> {
    // Why not, both are said above.
    let brief = |text: &str| text.split(':').next().unwrap_or_default().to_owned();
    let state = match look.width {
        Some(_) => brief(&source.state),
        None => source.state.clone(),
    };
    let tone = match brief(&source.state).as_str() {
        "error" => Some(Tone::Bad),
        "reading" => None,
        _ => Some(Tone::Faint),
    };
    let trust = brief(&source.trust);
    let doubt = (trust == "untrusted").then_some(Tone::Odd);
    let lag = match source.lag_s.filter(|seconds| *seconds > 0) {
        Some(seconds) => table::span(Duration::from_secs(seconds)),
        None => table::bytes(source.lag_bytes),
    };
    vec![
        source.name.clone().into(),
        Cell::new(state, tone),
        Cell::new(trust, doubt),
        table::grouped(source.lines).into(),
        lag.into(),
    ]
}

/// `since 4m 12s`; where that isn't a time, as it is said.
fn since(time: &str, now: Timestamp) -> String {
    match time.parse::<jiff::Timestamp>() {
        Ok(time) => {
            let age = now.since(Timestamp::from_micros(time.as_microsecond()));
            format!("for {}", table::span(age))
        }
        Err(_) => format!("since {time}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status() -> control::Status {
        let source = |name: &str, state: &str, trust: &str| SourceStatus {
            name: name.to_owned(),
            state: state.to_owned(),
            trust: trust.to_owned(),
            lines: 12_345,
            bytes: 0,
            lag_bytes: 2048,
            listener: None,
            lag_s: None,
        };
        control::Status {
            version: "0.1.0".to_owned(),
            pid: 812,
            uptime_s: 3_700,
            state: State::Degraded,
            health: vec![control::HealthItem {
                code: "source-unreadable".to_owned(),
                since: "2026-11-24T10:00:00.123456Z".to_owned(),
                remedy: "/var/log/auth.log: Permission denied (os error 13); it is tried again: give the daemon access to it".to_owned(),
            }],
            interfaces: vec![control::InterfaceStatus {
                name: "eth0".to_owned(),
                mode: "native".to_owned(),
            }],
            bans: 12,
            sources: vec![
                source("/var/log/auth.log", "error: Permission denied (os error 13)", "unknown"),
                source(
                    "/var/log/a-rather-long-directory/with-another-one/suricata/eve.json",
                    "reading",
                    "untrusted: its group www-data can write to it",
                ),
            ],
            mail: MailStatus { queued: 0, sent: 3, failed: 0 },
            packets: PacketStatus { passed: 1_234, dropped: 5_678_901 },
        }
    }

    fn printed(look: Look) -> String {
        let now = "2026-11-24T10:04:12Z".parse::<jiff::Timestamp>().unwrap().as_microsecond();
        let mut out = Vec::new();
        print(&mut out, &status(), Timestamp::from_micros(now), look).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn it_reads_well_at_eighty_columns() {
        let text = printed(Look { colour: false, width: Some(80) });
        assert_eq!(
            text,
            "\
ravelin 0.1.0: degraded, up 1h 1m, pid 812
  ! source-unreadable for 4m 11s
    /var/log/auth.log: Permission denied (os error 13); it is tried again: give
    the daemon access to it

interfaces  eth0 (native)
bans        12
packets     5 678 901 dropped, 1 234 passed
mail        3 sent, 0 queued, 0 refused

SOURCE                                       STATE    TRUST       LINES      LAG
/var/log/auth.log                            error    unknown    12 345  2.0 KiB
…rectory/with-another-one/suricata/eve.json  reading  untrusted  12 345  2.0 KiB
"
        );
        let piped = printed(Look::PLAIN);
        assert!(
            piped.contains("give the daemon access to it (since 2026-11-24T10:00:00.123456Z)\n")
        );
        let coloured = printed(Look { colour: true, width: Some(80) });
        assert!(coloured.contains("\x1b[1;31mdegraded\x1b[0m"), "{coloured}");
    }
}
