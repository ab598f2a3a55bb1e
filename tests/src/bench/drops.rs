//! Packets dropped on a veth, by Ravelin and by what else drops packets on Linux.
//!
//! All subjects are set up at the same time, each in namespaces of its own, and then flooded in turns, in many
//! short rounds, there and back: what else the machine does hits all alike. What counts is the CPU time of the
//! NAPI thread that receives.

mod generator;
mod lane;
mod sender;
mod subject;
mod wire;

use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use self::lane::{Lane, Round};
use self::subject::Subject;
use super::Spread;

const SENDER_CPU: usize = 0;
const RECEIVER_CPU: usize = 1;
const ROUNDS: usize = 7;
/// Others have the cores between two rounds.
const REST: Duration = Duration::from_millis(5);
/// Above this share of its core the receiver is the limit.
const SATURATED: f64 = 0.95;
/// Above this share of the frames the ring has overflowed.
const OVERFLOWN: f64 = 0.02;
/// How long a program that sets a subject up may take, as timeout(1) wants it.
const SETTING_UP: &str = "30";

/// Sources in each set, of which the flood comes.
pub const BANS: u32 = 1000;

/// Whose packets.
#[derive(Clone, Copy, Debug, Eq, PartialEq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Sources {
    /// One banned address.
    One,
    /// All [`BANS`], at random.
    Many,
}

/// Where the receiver is.
#[derive(Clone, Copy, Debug, Eq, PartialEq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Core {
    /// On a core of its own: packets come from another core's cache, as fast as the sender can.
    Own,
    /// On the sender's: after each batch of 64 it has the core, until it has dropped them. No packet is
    /// lost, nobody is woken on another core.
    Senders,
}

/// How many.
#[derive(Clone, Copy, Debug, Eq, PartialEq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Load {
    /// As fast as the sender can.
    Full,
    /// About a million a second, which an XDP program has time for: the ring between the two doesn't fill.
    Paced,
}

/// How the packets come.
#[derive(Clone, Copy, Debug, Eq, PartialEq, serde::Serialize)]
pub struct Flood {
    /// Whose.
    pub sources: Sources,
    /// And where to.
    pub core: Core,
    /// And how fast.
    pub load: Load,
}

/// Which side was the limit.
#[derive(Clone, Copy, Debug, Eq, PartialEq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Limit {
    /// The receiver dropped all that came, and had time left.
    Sender,
    /// The receiver had time left, and yet the ring between them overflowed: it wasn't awake in time.
    Ring,
    /// The receiver's core was busy.
    Receiver,
    /// They share a core, which was busy.
    Shared,
}

/// What was measured of one subject under one flood: medians of the rounds.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Drops {
    /// Who drops.
    pub subject: String,
    /// What.
    pub flood: Flood,
    /// Packets a second that the generator made.
    pub offered: f64,
    /// Packets a second that reached the receiver and were dropped there.
    pub dropped: f64,
    /// Share of the receiver's core, while packets came.
    pub cpu: f64,
    /// Which side was the limit.
    pub limit: Limit,
    /// Packets dropped in a second of the receiver's CPU time.
    pub per_cpu_second: Spread,
    /// Receiver's CPU nanoseconds a packet.
    pub ns: Spread,
}

/// All of it.
#[derive(Debug, Default, serde::Serialize)]
pub struct Flooded {
    /// Subject by subject.
    pub drops: Vec<Drops>,
    /// The program in pieces (`ebpf/src/variants.rs`), each attached natively.
    pub pieces: Vec<Drops>,
    /// Who failed, and why.
    pub failed: Vec<String>,
    /// Goals of the design, section 8.
    pub goals: Vec<Goal>,
}

/// Ravelin's packets a second of receiver CPU over somebody else's: medians of the rounds, in each of which
/// both were flooded by one source.
#[derive(Debug, serde::Serialize)]
pub struct Goal {
    /// Over whose.
    pub over: String,
    /// It should be at least this.
    pub goal: f64,
    /// On a core of its own, as fast as the sender can.
    pub full: Spread,
    /// On a core of its own, a million a second.
    pub paced: Spread,
    /// On the sender's core.
    pub shared: Spread,
}

const GOALS: [(&str, f64); 5] = [
    (subject::XDP_DROP, 0.85),
    (subject::XDP_FILTER, 1.0),
    (subject::NFT_INGRESS, 3.5),
    (subject::NFT_INPUT, 3.5),
    (subject::IPTABLES_1000, 20.0),
];

/// One subject under one flood, round by round.
struct Series {
    name: &'static str,
    piece: bool,
    lane: usize,
    flood: Flood,
    rounds: Vec<Round>,
}

/// Measures; `progress` is told what comes next. A subject that fails is said to have, the others go on.
pub fn measure(mut progress: impl FnMut(&str)) -> Flooded {
    let mut flooded = Flooded::default();
    if !lane::two_cores() {
        flooded.failed.push("all: sender and receiver need a core each, here is one".to_owned());
        return flooded;
    }
    let (mut lanes, mut series) = (Vec::new(), Vec::new());
    for subject in Subject::all() {
        progress(&format!("set up {}", subject.name));
        let (name, piece, floods) = (subject.name, subject.is_piece(), subject.floods());
        match Lane::open(subject) {
            Ok(lane) => {
                lanes.push(Some(lane));
                let lane = lanes.len() - 1;
                series.extend(floods.into_iter().map(|flood| Series {
                    name,
                    piece,
                    lane,
                    flood,
                    rounds: Vec::new(),
                }));
            }
            Err(error) => {
                let why = format!("{name}: {error:#}");
                progress(&format!("failed: {why}"));
                flooded.failed.push(why);
            }
        }
    }
    for number in 0..ROUNDS {
        progress(&format!("flood them all, round {} of {ROUNDS}", number + 1));
        if number > 0 {
            for (lane, slot) in lanes.iter_mut().enumerate() {
                let Some(Err(error)) = slot.as_ref().map(Lane::again) else { continue };
                let its = series.iter().find(|series| series.lane == lane);
                let name = its.map_or("", |series| series.name);
                flooded.failed.push(format!("{name}: {error:#}"));
                *slot = None;
            }
        }
        let mut order: Vec<&mut Series> = series.iter_mut().collect();
        if number % 2 == 1 {
            order.reverse();
        }
        for series in order {
            let Some(slot) = lanes.get_mut(series.lane) else { continue };
            let Some(lane) = slot else { continue };
            match lane.flood(series.flood) {
                Ok(round) => series.rounds.push(round),
                Err(error) => {
                    flooded.failed.push(format!("{}: {error:#}", series.name));
                    *slot = None;
                }
            }
            thread::sleep(REST);
        }
    }
    flooded.goals = goals(&series);
    for series in series.iter().filter(|series| !series.rounds.is_empty()) {
        if series.piece { &mut flooded.pieces } else { &mut flooded.drops }.push(series.drops());
    }
    flooded
}

impl Series {
    fn drops(&self) -> Drops {
        let all = |value: fn(&Round) -> f64| Spread::of(self.rounds.iter().map(value).collect());
        let cpu = all(|round| round.cpu_ns / 1e9 / round.sending).median;
        let kept = all(|round| round.dropped / round.offered).median;
        Drops {
            subject: self.name.to_owned(),
            flood: self.flood,
            offered: all(|round| round.offered / round.sending).median,
            dropped: all(|round| round.dropped / round.sending).median,
            cpu,
            limit: match self.flood.core {
                Core::Senders => Limit::Shared,
                Core::Own if cpu > SATURATED => Limit::Receiver,
                Core::Own if 1.0 - kept > OVERFLOWN => Limit::Ring,
                Core::Own => Limit::Sender,
            },
            per_cpu_second: all(Round::per_cpu_second),
            ns: all(|round| round.cpu_ns / round.dropped),
        }
    }
}

impl Round {
    fn per_cpu_second(&self) -> f64 {
        self.dropped / (self.cpu_ns / 1e9)
    }
}

fn goals(series: &[Series]) -> Vec<Goal> {
    let ratio = |over: &str, core: Core, load: Load| -> Option<Spread> {
        let of = |name: &str| {
            let flood = Flood { sources: Sources::One, core, load };
            series.iter().find(|series| series.name == name && series.flood == flood)
        };
        let (ours, theirs) = (of(subject::RAVELIN)?, of(over)?);
        // Round by round: in the same one both had the same machine.
        let ratios: Vec<f64> = ours
            .rounds
            .iter()
            .zip(&theirs.rounds)
            .map(|(ours, theirs)| ours.per_cpu_second() / theirs.per_cpu_second())
            .collect();
        (!ratios.is_empty()).then(|| Spread::of(ratios))
    };
    let reached = GOALS.iter().filter_map(|&(over, goal)| {
        Some(Goal {
            over: over.to_owned(),
            goal,
            full: ratio(over, Core::Own, Load::Full)?,
            paced: ratio(over, Core::Own, Load::Paced)?,
            shared: ratio(over, Core::Senders, Load::Full)?,
        })
    });
    reached.collect()
}

/// Runs a program to its end, with `input`; what it prints belongs to its failure.
fn run(program: &str, args: &[&str], input: &str) -> Result<()> {
    use std::io::Write as _;
    use std::process::{Command, Stdio};
    let mut child = Command::new("timeout")
        .args(["--kill-after=1", SETTING_UP, program])
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("could not start {program}"))?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(input.as_bytes()).with_context(|| format!("{program} doesn't listen"))?;
    }
    let output = child.wait_with_output()?;
    let line = format!("{program} {}", args.join(" "));
    ensure!(output.status.code() != Some(124), "{line}: not done after {SETTING_UP} s");
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{line}: {}", said.trim());
    Ok(())
}
