//! What the XDP program costs a packet, over a program that does nothing.
//!
//! `BPF_PROG_TEST_RUN` on a pinned CPU. Hot: a million times the same frame, so that all it touches is in the
//! cache. Random: another source each time, one run a system call, which leaves the caches as a system call
//! does; the clock is read around that one run (here it goes in steps of 10 ns), so that the empty program's
//! own figure is larger too. Each trial measures the empty program beside the others and takes the difference.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsFd as _, BorrowedFd};
use std::thread;

use anyhow::{Context as _, Result, bail, ensure};
use ravelin_common::prefilter::{Bit, WORDS};
use ravelin_common::{Entry, Settings};

use super::Spread;
use super::own_core;
use super::pieces::nanoseconds;
use crate::bpf;
use crate::xdp::{PERMANENT_ENTRY, Program};

const TRIALS: usize = 10;
const REPEAT: u32 = 1_000_000;
const RANDOM_RUNS: u32 = 20_000;
/// Entries of each exact map, step by step.
const SIZES: [u32; 4] = [1, 1_000, 100_000, 1_000_000];
/// A trie has room for 131,072 prefixes.
const MOST_NETS: u32 = 100_000;
/// And so many bans of ports do.
const MOST_OF_PORTS: u32 = 100_000;
const DROP: u32 = 1;
const PASS: u32 = 2;

/// The set of ports that bans of ports are about, and the last of the four in it.
const SCOPE: u16 = 1;
const SCOPED_PORTS: [(u16, u16); 4] =
    [(25, 25), (465, 465), (587, 587), (SCOPED_PORT, SCOPED_PORT)];
const SCOPED_PORT: u16 = 993;

/// What is measured.
#[derive(Debug, serde::Serialize)]
pub struct Cost {
    /// The case.
    pub case: &'static str,
    /// Bans in the map that it is about.
    pub entries: u32,
    /// One key or many.
    pub keys: Keys,
    /// Nanoseconds over the empty program.
    pub ns: Spread,
    /// What it may be (design, section 8), where something is said.
    pub goal_ns: Option<f64>,
}

/// Whose packets.
#[derive(Clone, Copy, Debug, Eq, PartialEq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Keys {
    /// One source's.
    Hot,
    /// Another one's each time.
    Random,
}

/// All of it, with the empty program's own nanoseconds (hot, random).
#[derive(Debug, serde::Serialize)]
pub struct Costs {
    /// The empty program's nanoseconds, hot.
    pub empty_hot_ns: Spread,
    /// The empty program's nanoseconds, a run a system call.
    pub empty_random_ns: Spread,
    /// The rest, over that.
    pub costs: Vec<Cost>,
}

/// Makes a frame from a source's number.
type FrameOf = fn(u32) -> Vec<u8>;

/// What is measured: its frames, by source from 0 up to as many as there are bans, all have the verdict.
struct Case {
    name: &'static str,
    goal_ns: Option<f64>,
    verdict: u32,
    /// Whether the program is told that there are prefixes.
    nets: bool,
    /// Of how many bans there are no more.
    most: u32,
    frame: FrameOf,
}

const CASES: [Case; 10] = [
    Case {
        name: "IPv4, not banned",
        goal_ns: Some(10.0),
        verdict: PASS,
        nets: false,
        most: u32::MAX,
        frame: |n| v4(other_v4(n)),
    },
    Case {
        name: "IPv4, banned",
        goal_ns: Some(40.0),
        verdict: DROP,
        nets: false,
        most: u32::MAX,
        frame: |n| v4(banned_v4(n)),
    },
    Case {
        name: "IPv4 in one VLAN tag, banned",
        goal_ns: None,
        verdict: DROP,
        nets: false,
        most: u32::MAX,
        frame: |n| tagged(&v4(banned_v4(n))),
    },
    Case {
        name: "IPv4, ban lapsed",
        goal_ns: None,
        verdict: PASS,
        nets: false,
        most: u32::MAX,
        frame: |n| v4(lapsed_v4(n)),
    },
    Case {
        name: "IPv4, ban of ports, bound for one of them",
        goal_ns: None,
        verdict: DROP,
        nets: false,
        most: MOST_OF_PORTS,
        frame: |n| udp_to(scoped_v4(n), SCOPED_PORT),
    },
    Case {
        name: "IPv4, ban of ports, bound for another",
        goal_ns: None,
        verdict: PASS,
        nets: false,
        most: MOST_OF_PORTS,
        frame: |n| udp_to(scoped_v4(n), SCOPED_PORT + 1),
    },
    Case {
        name: "IPv6, not banned",
        goal_ns: Some(12.0),
        verdict: PASS,
        nets: false,
        most: u32::MAX,
        frame: |n| v6(other_v6(n)),
    },
    Case {
        name: "IPv6, banned",
        goal_ns: Some(42.0),
        verdict: DROP,
        nets: false,
        most: u32::MAX,
        frame: |n| v6(banned_v6(n)),
    },
    Case {
        name: "IPv4, prefix banned",
        goal_ns: None,
        verdict: DROP,
        nets: true,
        most: MOST_NETS,
        frame: |n| v4(net_v4(n)),
    },
    Case {
        name: "IPv4, not banned, with prefixes",
        goal_ns: None,
        verdict: PASS,
        nets: true,
        most: MOST_NETS,
        frame: |n| v4(other_v4(n)),
    },
];

/// Measures on this CPU, on a thread of its own; `progress` is told what comes next.
///
/// # Errors
/// Where the kernel refuses, or the program gives another verdict than the case is about.
pub fn measure(cpu: usize, progress: impl FnMut(&str) + Send) -> Result<Costs> {
    thread::scope(|scope| {
        let thread = scope.spawn(|| alone(cpu, progress));
        thread.join().unwrap_or_else(|_| bail!("it has panicked"))
    })
}

fn alone(cpu: usize, mut progress: impl FnMut(&str)) -> Result<Costs> {
    own_core::take(cpu)?;

    // As many again have lapsed, and some are of ports.
    let mut program = Program::load_sized(2 * SIZES[SIZES.len() - 1] + MOST_OF_PORTS);
    program.scope(u32::from(SCOPE), &SCOPED_PORTS);
    let mut filled = 0;
    let mut costs = Vec::new();
    let (mut empty_hot, mut empty_random) = (Vec::new(), Vec::new());
    for size in SIZES {
        progress(&format!("{size} bans"));
        fill(&mut program, filled..size)?;
        let before = std::mem::replace(&mut filled, size);
        for keys in [Keys::Hot, Keys::Random] {
            let mut trials = CASES.each_ref().map(|_| Vec::new());
            for trial in 0..TRIALS {
                let empty =
                    bpf::load_xdp(&bpf::PASS).context("could not load the empty program")?;
                program.reload();
                let base = time(empty.as_fd(), keys, PASS, size, trial, |n| v4(other_v4(n)))?;
                match keys {
                    Keys::Hot => empty_hot.push(base),
                    Keys::Random => empty_random.push(base),
                }
                for (case, trials) in CASES.iter().zip(&mut trials) {
                    let nets = u32::from(case.nets);
                    program.set(Settings { nets_v4: nets, ..Settings::default() });
                    let time = time(program.fd(), keys, case.verdict, size, trial, case.frame)
                        .with_context(|| format!("{}, {size} bans", case.name))?;
                    trials.push(time - base);
                }
            }
            for (case, trials) in CASES.iter().zip(trials) {
                if before >= case.most {
                    continue;
                }
                costs.push(Cost {
                    case: case.name,
                    entries: size.min(case.most),
                    keys,
                    ns: Spread::of(trials),
                    goal_ns: case.goal_ns.filter(|_| keys == Keys::Hot),
                });
            }
        }
    }
    Ok(Costs {
        empty_hot_ns: Spread::of(empty_hot),
        empty_random_ns: Spread::of(empty_random),
        costs,
    })
}

/// A banned source and a frame of it.
pub fn hit() -> ([u8; 4], Vec<u8>) {
    (banned_v4(0).octets(), v4(banned_v4(0)))
}

/// Nanoseconds a frame.
fn time(
    program: BorrowedFd<'_>,
    keys: Keys,
    verdict: u32,
    size: u32,
    trial: usize,
    frame: FrameOf,
) -> Result<f64> {
    own_core::rest();
    let expect = |said| -> Result<()> {
        ensure!(said == verdict, "expected verdict {verdict}, got {said}");
        Ok(())
    };
    match keys {
        Keys::Hot => {
            let (said, ns) = nanoseconds(program, &frame(0), REPEAT)?;
            expect(said)?;
            Ok(ns)
        }
        Keys::Random => {
            let mut rng = fastrand::Rng::with_seed(trial as u64);
            let mut times = Vec::with_capacity(RANDOM_RUNS as usize);
            for _ in 0..RANDOM_RUNS {
                let (said, ns) = bpf::test_run(program, &frame(rng.u32(..size)), 1)?;
                expect(said)?;
                times.push(f64::from(ns));
            }
            // Now and then one run is interrupted.
            Ok(Spread::of(times).median)
        }
    }
}

fn fill(program: &mut Program, numbers: std::ops::Range<u32>) -> Result<()> {
    let mut words = vec![0_u64; WORDS as usize];
    let mut prefilter = program.prefilter();
    for (index, word) in (0..).zip(&mut words) {
        *word = prefilter.get(&index, 0)?;
    }
    let mut mark = |Bit { word, mask }: Bit| {
        if let Some(word) = words.get_mut(word as usize) {
            *word |= mask;
        }
    };
    for n in numbers.clone() {
        mark(Bit::of_v4(banned_v4(n).octets()));
        mark(Bit::of_v4(lapsed_v4(n).octets()));
        if n < MOST_OF_PORTS {
            mark(Bit::of_v4(scoped_v4(n).octets()));
        }
        mark(Bit::of_v6(network(banned_v6(n))));
    }
    for (index, word) in (0..).zip(&words) {
        prefilter.set(index, word, 0)?;
    }
    let lapsed = Entry { expires_ns: 1, ..PERMANENT_ENTRY };
    let of_ports = Entry { scope: SCOPE, scoped_until_s: u32::MAX, ..lapsed };
    for n in numbers.clone() {
        program.bans_v4().insert(banned_v4(n).octets(), PERMANENT_ENTRY, 0)?;
        program.bans_v4().insert(lapsed_v4(n).octets(), lapsed, 0)?;
        if n < MOST_OF_PORTS {
            program.bans_v4().insert(scoped_v4(n).octets(), of_ports, 0)?;
        }
        program.bans_v6().insert(network(banned_v6(n)), PERMANENT_ENTRY, 0)?;
    }
    for n in numbers.start..numbers.end.min(MOST_NETS) {
        program
            .ban(&format!("{}/28", Ipv4Addr::from(net_v4(n).to_bits() & !0xf)), PERMANENT_ENTRY)?;
    }
    Ok(())
}

/// Spread over a quarter of the address space each, no two alike: an odd factor permutes the numbers.
const fn spread(n: u32, quarter: u32) -> Ipv4Addr {
    Ipv4Addr::from_bits((n.wrapping_mul(0x9e37_79b1) >> 2) | (quarter << 30))
}

/// Four neighbours at most share their upper 30 bits: `n` differ in those as long as there are few.
const fn banned_v4(n: u32) -> Ipv4Addr {
    spread(n, 1)
}

const fn other_v4(n: u32) -> Ipv4Addr {
    spread(n, 3)
}

const fn lapsed_v4(n: u32) -> Ipv4Addr {
    spread(n, 2)
}

/// As for prefixes; not 0.0.0.0, which is never banned.
const fn scoped_v4(n: u32) -> Ipv4Addr {
    spread(n % MOST_OF_PORTS + 1, 0)
}

/// An address in the `n`-th banned prefix (modulo as many as there are).
const fn net_v4(n: u32) -> Ipv4Addr {
    Ipv4Addr::from_bits(0x0a00_0007 + ((n % MOST_NETS) << 8))
}

const fn banned_v6(n: u32) -> Ipv6Addr {
    Ipv6Addr::from_bits((0x2001_0db8_u128 << 96) | ((n as u128) << 64) | 7)
}

const fn other_v6(n: u32) -> Ipv6Addr {
    Ipv6Addr::from_bits((0x2001_0db9_u128 << 96) | ((n as u128) << 64) | 7)
}

fn network(address: Ipv6Addr) -> [u8; 8] {
    let bits = address.to_bits() >> 64;
    u64::try_from(bits).unwrap_or_default().to_be_bytes()
}

/// 64 bytes with a UDP header and a few bytes.
fn v4(source: Ipv4Addr) -> Vec<u8> {
    let mut frame = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0];
    frame.extend([0x45, 0, 0, 50, 0, 0, 0x40, 0, 64, 17, 0, 0]);
    frame.extend(source.octets());
    frame.extend([192, 0, 2, 1]);
    frame.resize(64, 0);
    frame
}

fn udp_to(source: Ipv4Addr, port: u16) -> Vec<u8> {
    let mut frame = v4(source);
    frame.splice(36..38, port.to_be_bytes());
    frame
}

fn v6(source: Ipv6Addr) -> Vec<u8> {
    let mut frame = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x86, 0xdd];
    frame.extend([0x60, 0, 0, 0, 0, 20, 17, 64]);
    frame.extend(source.octets());
    frame.extend(other_v6(1).octets());
    frame.resize(74, 0);
    frame
}

fn tagged(frame: &[u8]) -> Vec<u8> {
    let (ends, rest) = frame.split_at(12);
    [ends, &[0x81, 0, 0, 42], rest].concat()
}
