//! Where the nanoseconds of a hit go: the program in pieces (`ebpf/src/variants.rs`), each a part more than
//! the one before it, on a hot frame from a banned IPv4 source.

use std::os::fd::{AsFd as _, BorrowedFd};
use std::path::PathBuf;
use std::thread;

use anyhow::{Context as _, Result, bail, ensure};
use aya::maps::{Array, HashMap, MapData};
use aya::programs::Xdp;
use aya::{Ebpf, EbpfLoader};
use ravelin_common::prefilter::Bit;
use ravelin_common::{Entry, Settings, map};
use rustix::time::{ClockId, clock_gettime};

use super::Spread;
use super::own_core;
use crate::bpf;
use crate::xdp::PERMANENT_ENTRY;

const TRIALS: usize = 10;
const REPEAT: u32 = 1_000_000;
const DROP: u32 = 1;

/// As the daemon has it.
pub const EVENTS_PER_SECOND: u32 = 64;

/// One piece.
#[derive(Debug, serde::Serialize)]
pub struct Piece {
    /// Its program.
    pub program: &'static str,
    /// What it does.
    pub does: &'static str,
    /// The program that it is compared with, if it isn't the one before it.
    pub beside: Option<&'static str>,
    /// Nanoseconds over the empty program.
    pub ns: Spread,
}

/// Program, what it does, and with which it is compared.
pub const PIECES: [(&str, &str, Option<&str>); 12] = [
    ("parse", "settings, and the source address", None),
    ("prefilter", "+ prefilter", None),
    ("lookup", "+ hash map", None),
    ("expiry", "+ expiry, by the clock cached on this CPU", None),
    ("flags", "+ flags and addresses that are never banned: the decision", None),
    ("reason", "+ the reason's counter on this CPU", None),
    ("ban_counters", "+ length, and the ban's atomic counters", None),
    ("whole", "+ announcement, 64 a second at most: all that is shipped", None),
    ("lookup_alone", "hash map without the prefilter", Some("lookup")),
    ("expiry_by_clock", "expiry by bpf_ktime_get_ns", Some("expiry")),
    ("whole_no_frags", "all, without frames in several buffers", Some("whole")),
    ("whole_plain", "all, with counters that aren't atomic", Some("whole")),
];

/// The object, loaded.
pub struct Pieces(Ebpf);

impl Pieces {
    /// Loads all of it.
    ///
    /// # Errors
    /// Where it isn't there, or the kernel refuses it.
    pub fn load() -> Result<Self> {
        let mut pieces = Self::open()?;
        PIECES.iter().try_for_each(|(name, ..)| pieces.reload(name))?;
        Ok(pieces)
    }

    /// Makes its maps, and loads no piece yet.
    ///
    /// # Errors
    /// Where it isn't there, or the kernel refuses it.
    pub fn open() -> Result<Self> {
        let object = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../target/bpf/variants.bpf.o");
        let mut ebpf = EbpfLoader::new()
            .btf(None)
            .load_file(&object)
            .with_context(|| format!("could not load {}", object.display()))?;
        let settings = ebpf.map_mut(map::SETTINGS).context("no settings")?;
        let told = Settings { events_per_second: EVENTS_PER_SECOND, ..Settings::default() };
        Array::<_, Settings>::try_from(settings)?.set(0, told, 0)?;
        Ok(Self(ebpf))
    }

    /// Has the kernel compile a piece, anew if it has before, so that one unlucky place doesn't stand for all.
    ///
    /// # Errors
    /// Where the kernel refuses it.
    pub fn reload(&mut self, name: &str) -> Result<()> {
        let program: &mut Xdp = self.0.program_mut(name).context("no such piece")?.try_into()?;
        if program.fd().is_ok() {
            program.unload()?;
        }
        program.load().with_context(|| format!("the kernel refuses the piece `{name}`"))
    }

    /// Bans an address.
    ///
    /// # Errors
    /// Where the kernel refuses.
    pub fn ban(&mut self, source: [u8; 4]) -> Result<()> {
        let Bit { word, mask } = Bit::of_v4(source);
        let prefilter = self.0.map_mut(map::PREFILTER).context("no prefilter")?;
        let mut prefilter = Array::<_, u64>::try_from(prefilter)?;
        let others = prefilter.get(&word, 0)?;
        prefilter.set(word, others | mask, 0)?;
        self.bans()?.insert(source, PERMANENT_ENTRY, 0)?;
        Ok(())
    }

    /// The bans.
    ///
    /// # Errors
    /// Where the object has none.
    pub fn bans(&mut self) -> Result<HashMap<&mut MapData, [u8; 4], Entry>> {
        Ok(HashMap::try_from(self.0.map_mut(map::BANS_V4).context("no bans")?)?)
    }

    /// A piece.
    ///
    /// # Errors
    /// Where there is none of this name.
    pub fn fd(&self, name: &str) -> Result<BorrowedFd<'_>> {
        let program: &Xdp = self.0.program(name).context("no such piece")?.try_into()?;
        Ok(program.fd()?.as_fd())
    }
}

/// Measures on this CPU, on a thread of its own.
///
/// # Errors
/// Where the kernel refuses, or a piece doesn't drop what it should.
pub fn measure(cpu: usize, source: [u8; 4], frame: &[u8]) -> Result<Vec<Piece>> {
    thread::scope(|scope| {
        let thread = scope.spawn(|| alone(cpu, source, frame));
        thread.join().unwrap_or_else(|_| bail!("it has panicked"))
    })
}

fn alone(cpu: usize, source: [u8; 4], frame: &[u8]) -> Result<Vec<Piece>> {
    own_core::take(cpu)?;
    let mut pieces = Pieces::open()?;
    pieces.ban(source)?;
    let mut trials = PIECES.map(|_| Vec::new());
    for _ in 0..TRIALS {
        let empty = bpf::load_xdp(&bpf::PASS).context("could not load the empty program")?;
        let (_, base) = nanoseconds(empty.as_fd(), frame, REPEAT)?;
        for ((name, ..), trials) in PIECES.iter().zip(&mut trials) {
            pieces.reload(name)?;
            own_core::rest();
            let (verdict, ns) = nanoseconds(pieces.fd(name)?, frame, REPEAT)?;
            ensure!(verdict == DROP, "the piece `{name}`: expected verdict {DROP}, got {verdict}");
            trials.push(ns - base);
        }
    }
    let spreads = trials.into_iter().map(Spread::of);
    Ok(PIECES
        .into_iter()
        .zip(spreads)
        .map(|((program, does, beside), ns)| Piece { program, does, beside, ns })
        .collect())
}

/// The verdict, and nanoseconds each: CPU time of this thread around all of them, since the kernel's own
/// figure is whole ones.
///
/// # Errors
/// Where the kernel doesn't take the frame.
pub fn nanoseconds(program: BorrowedFd<'_>, frame: &[u8], times: u32) -> Result<(u32, f64)> {
    let before = cpu_seconds();
    let (verdict, _) = bpf::test_run(program, frame, times)?;
    Ok((verdict, (cpu_seconds() - before) * 1e9 / f64::from(times)))
}

fn cpu_seconds() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}
