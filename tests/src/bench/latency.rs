//! From a line written to the first packet dropped, with a live sender: Ravelin by each of its ways in, and
//! fail2ban beside it.
//!
//! The time is told by the receiver, and by nobody who is measured: a sender's packets are numbered, and the
//! first after which none arrives any more is the first one dropped. It runs from just before the write of the
//! line to the sending of that packet, so it is too long by up to the pause between two packets, and never too
//! short.

mod fail2ban;
mod journal;
mod report;
mod stage;
mod way;
mod wire;

use std::net::Ipv4Addr;
use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use serde::Serialize;

pub use self::report::{chart, page};

use self::fail2ban::Fail2ban;
use self::stage::Stage;
use self::way::Way;
use self::wire::Wire;

/// Bans that fail2ban makes: it takes its time.
pub const PEER_BANS: u32 = 40;

/// What was measured.
#[derive(Debug, Serialize)]
pub struct Latencies {
    /// On which machine, and when.
    pub machine: String,
    /// By whom, on which way.
    pub rows: Vec<Row>,
    /// Ways that weren't measured, and why.
    pub skipped: Vec<String>,
}

/// One of them.
#[derive(Debug, Serialize)]
pub struct Row {
    /// Who.
    pub who: String,
    /// On which way the line came.
    pub way: String,
    /// How many bans.
    pub bans: usize,
    /// Milliseconds from the write to the first dropped packet: of half of the bans at most so much.
    pub p50_ms: f64,
    /// Of 99 in 100.
    pub p99_ms: f64,
    /// The longest.
    pub max_ms: f64,
    /// Milliseconds between two of the sender's packets, median.
    pub pause_ms: f64,
    /// Bans of which the program counted exactly the packets that are missing; of fail2ban it isn't asked.
    pub counted: Option<usize>,
}

/// Measures all; `ravelin` is the program, which makes so many bans on each way.
///
/// # Errors
/// Where something can't be made or doesn't do its work.
pub fn measure(
    ravelin: &Path,
    bans: u32,
    progress: impl Fn(&str),
) -> Result<(Vec<Row>, Vec<String>)> {
    let (mut rows, mut skipped) = (Vec::new(), Vec::new());
    for way in Way::ALL {
        progress(&format!("ravelin, {}", way.name()));
        match ours(way, ravelin, bans) {
            Ok(row) => rows.push(row),
            Err(error) => {
                progress(&format!("skipped: {}: {error:#}", way.name()));
                skipped.push(format!("{}: {error:#}", way.name()));
            }
        }
    }
    progress("fail2ban");
    match peer() {
        Ok(row) => rows.push(row),
        Err(error) => {
            progress(&format!("skipped: fail2ban: {error:#}"));
            skipped.push(format!("fail2ban: {error:#}"));
        }
    }
    Ok((rows, skipped))
}

fn ours(way: Way, ravelin: &Path, bans: u32) -> Result<Row> {
    let stage = Stage::set()?;
    let mut daemon = way.start(&stage, ravelin)?;
    let wire = Wire::lay(&stage)?;
    for n in 0..bans {
        daemon.prepare(offender(n))?;
    }
    daemon.caught_up()?;
    let mut rounds = Vec::new();
    for n in 0..bans {
        rounds.push(
            wire.round(n, offender(n), Duration::from_secs(5), || daemon.strike(offender(n)))?,
        );
    }
    let missing = rounds.iter().zip(0..).map(|(round, n)| (offender(n), round.missing));
    let counted = daemon.counted(missing)?;
    Ok(row("ravelin", way.name(), &rounds, Some(counted)))
}

fn peer() -> Result<Row> {
    let stage = Stage::set()?;
    let mut fail2ban = Fail2ban::start(&stage)?;
    let wire = Wire::lay(&stage)?;
    for n in 0..PEER_BANS {
        fail2ban.prepare(offender(n))?;
    }
    fail2ban.caught_up()?;
    let mut rounds = Vec::new();
    for n in 0..PEER_BANS {
        rounds.push(
            wire.round(n, offender(n), Duration::from_secs(30), || fail2ban.strike(offender(n)))?,
        );
    }
    Ok(row("fail2ban", fail2ban.way(), &rounds, None))
}

/// RFC 2544's addresses: nobody's, and not private.
fn offender(n: u32) -> Ipv4Addr {
    Ipv4Addr::from_bits(0xc612_0001 + n)
}

fn row(who: &str, way: &str, rounds: &[wire::Round], counted: Option<usize>) -> Row {
    let ms = |time: Duration| time.as_secs_f64() * 1e3;
    let mut times: Vec<f64> = rounds.iter().map(|round| ms(round.latency)).collect();
    let mut pauses: Vec<f64> = rounds.iter().map(|round| ms(round.pause)).collect();
    times.sort_by(f64::total_cmp);
    pauses.sort_by(f64::total_cmp);
    Row {
        who: who.to_owned(),
        way: way.to_owned(),
        bans: times.len(),
        p50_ms: rank(&times, 50),
        p99_ms: rank(&times, 99),
        max_ms: rank(&times, 100),
        pause_ms: rank(&pauses, 50),
        counted,
    }
}

/// The smallest that is at least as large as so many in a hundred (nearest rank).
fn rank(sorted: &[f64], percent: usize) -> f64 {
    let at = (sorted.len() * percent).div_ceil(100).saturating_sub(1);
    sorted.get(at).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_are_of_values_that_were_measured() {
        let times: Vec<f64> = (1..=1000).map(f64::from).collect();
        assert!((rank(&times, 50) - 500.0).abs() < f64::EPSILON);
        assert!((rank(&times, 99) - 990.0).abs() < f64::EPSILON);
        assert!((rank(&times, 100) - 1000.0).abs() < f64::EPSILON);
    }
}
