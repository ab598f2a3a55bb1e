//! Packets dropped on a veth, by Ravelin and by what else drops packets on Linux.
//!
//! One core sends, the same frames for all; one core receives, by a NAPI thread pinned to it, whose CPU time
//! is what counts: a figure in packets a second is the sender's where the receiver isn't busy all the time.

mod generator;
mod subject;
mod wire;

use std::sync::atomic::AtomicBool;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use self::subject::Subject;
use self::wire::{Reading, Wire};
use super::Spread;

const SENDER_CPU: usize = 0;
const RECEIVER_CPU: usize = 1;
const WARM_UP: Duration = Duration::from_millis(150);
const WINDOW: Duration = Duration::from_millis(400);
const WINDOWS: usize = 3;
/// Above this share of its core the receiver is the limit.
const SATURATED: f64 = 0.95;

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

/// Which side was the limit.
#[derive(Clone, Copy, Debug, Eq, PartialEq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Limit {
    /// The receiver had time left.
    Sender,
    /// The receiver's core was busy.
    Receiver,
}

/// What was measured of one subject under one flood.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Drops {
    /// Who drops.
    pub subject: String,
    /// Whose packets.
    pub sources: Sources,
    /// Packets a second that the generator made.
    pub offered: f64,
    /// Packets a second that reached the receiver and were dropped there.
    pub dropped: f64,
    /// Share of the receiver's core.
    pub cpu: f64,
    /// Share of that core's time in which somebody else had it and the receiver had work.
    pub starved: f64,
    /// Which side was the limit.
    pub limit: Limit,
    /// Packets dropped in a second of the receiver's CPU time.
    pub per_cpu_second: Spread,
    /// Receiver's CPU nanoseconds a packet.
    pub ns: f64,
}

/// All of it.
#[derive(Debug, Default, serde::Serialize)]
pub struct Flooded {
    /// Subject by subject.
    pub drops: Vec<Drops>,
    /// Who isn't there, and why.
    pub skipped: Vec<String>,
    /// Goals of the design, section 8.
    pub goals: Vec<Goal>,
}

/// Ravelin's packets a second of receiver CPU over somebody else's.
#[derive(Debug, serde::Serialize)]
pub struct Goal {
    /// Over whose.
    pub over: String,
    /// It should be at least this.
    pub goal: f64,
    /// And is this.
    pub reached: f64,
    /// Whether that is enough.
    pub met: bool,
}

const GOALS: [(&str, f64); 5] = [
    (subject::XDP_DROP, 0.85),
    (subject::XDP_FILTER, 1.0),
    (subject::NFT_INGRESS, 3.5),
    (subject::NFT_INPUT, 3.5),
    (subject::IPTABLES_1000, 20.0),
];

/// Measures; `progress` is told what comes next.
///
/// # Errors
/// Where the lab can't be set up. A subject that can't is skipped, and said to be.
pub fn measure(mut progress: impl FnMut(&str)) -> Result<Flooded> {
    let mut flooded = Flooded::default();
    if !std::path::Path::new("/sys/devices/system/cpu/cpu1").exists() {
        flooded.skipped.push("all: sender and receiver need a core each, here is one".to_owned());
        return Ok(flooded);
    }
    for subject in Subject::all() {
        progress(subject.name);
        // A thread and namespaces of its own: with them goes whatever the subject has set up, however this
        // ends.
        let measured = thread::scope(|scope| {
            let thread = scope.spawn(|| flood(&subject));
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        });
        match measured {
            Ok(drops) => flooded.drops.extend(drops),
            Err(error) => {
                let why = format!("{}: {error:#}", subject.name);
                progress(&format!("skipped: {why}"));
                flooded.skipped.push(why);
            }
        }
    }
    flooded.goals = goals(&flooded.drops);
    Ok(flooded)
}

fn goals(drops: &[Drops]) -> Vec<Goal> {
    let speed = |name: &str| {
        let one = drops.iter().find(|drops| drops.subject == name && drops.sources == Sources::One);
        one.map(|drops| drops.per_cpu_second.median)
    };
    let Some(ravelin) = speed(subject::RAVELIN) else { return Vec::new() };
    let reached = GOALS.iter().filter_map(|&(over, goal)| {
        let reached = ravelin / speed(over)?;
        Some(Goal { over: over.to_owned(), goal, reached, met: reached >= goal })
    });
    reached.collect()
}

/// Both floods on one subject, in namespaces that only this thread and the sender are in.
fn flood(subject: &Subject) -> Result<Vec<Drops>> {
    wire::leave_the_host()?;
    thread::scope(|scope| {
        let (wire, sender) = Wire::lay(scope, SENDER_CPU)?;
        let _installed = subject.install(&wire)?;
        wire.pin_receiver(RECEIVER_CPU)?;
        let measured = subject
            .floods()
            .iter()
            .map(|&sources| {
                sender.start(sources)?;
                let measured = watch(subject, sources, &wire);
                let offered = sender.stop()?;
                measured.map(|measured| Drops { offered, ..measured })
            })
            .collect();
        // It ends with its channel.
        drop(sender);
        measured
    })
}

fn watch(subject: &Subject, sources: Sources, wire: &Wire) -> Result<Drops> {
    thread::sleep(WARM_UP);
    let read = || -> Result<_> { Ok((Instant::now(), wire.reading()?)) };
    let first = read()?;
    let mut last = first;
    let mut per_cpu_second = Vec::new();
    for _ in 0..WINDOWS {
        thread::sleep(WINDOW);
        let now = read()?;
        let Reading { received, delivered, cpu_ns, .. } = now.1.since(&last.1);
        per_cpu_second.push((received - delivered) / (cpu_ns / 1e9));
        last = now;
    }
    let seconds = last.0.duration_since(first.0).as_secs_f64();
    let Reading { received, delivered, cpu_ns, wait_ns } = last.1.since(&first.1);
    ensure!(received > 0.0, "no packet has reached the receiver");
    ensure!(
        delivered < received / 100.0,
        "{delivered} of {received} packets weren't dropped: this isn't the filter it should be"
    );
    let share = |ns: f64| ns / 1e9 / seconds;
    let (cpu, starved) = (share(cpu_ns), share(wait_ns));
    Ok(Drops {
        subject: subject.name.to_owned(),
        sources,
        // The sender knows.
        offered: 0.0,
        dropped: (received - delivered) / seconds,
        cpu,
        starved,
        limit: if cpu + starved < SATURATED { Limit::Sender } else { Limit::Receiver },
        per_cpu_second: Spread::of(per_cpu_second),
        ns: cpu_ns / received,
    })
}

/// Runs a program to its end, with `input`; what it prints belongs to its failure.
fn run(program: &str, args: &[&str], input: &str) -> Result<()> {
    use std::io::Write as _;
    use std::process::{Command, Stdio};
    let mut child = Command::new(program)
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
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{program} {}: {}", args.join(" "), said.trim());
    Ok(())
}

/// A flag that stops the sender.
type Stop = AtomicBool;
