//! How long a host is without its bans after a reboot: from the start of the process until the last ban of
//! the database is in the kernel, beside `ipset restore` and `nft -f` of the same addresses.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use ravelin::control::{self, Request, Response};
use ravelin::event::{BanOrder, Origin, Target, Timestamp, Ttl};
use ravelin::store::{Effect, Evidence, Store};
use serde::Serialize;

use super::Spread;
use crate::netns::{BpfDir, Netns};

/// Bans of addresses.
pub const ADDRESSES: u32 = 1_000_000;
/// Bans of prefixes, nested in each other.
pub const PREFIXES: u32 = 100_000;
/// Trials of each.
const TRIALS: usize = 5;
const TTL: Duration = Duration::from_secs(24 * 3600);
/// So long may a start take.
const PATIENCE: Duration = Duration::from_secs(300);

/// What was measured.
#[derive(Debug, Serialize)]
pub struct Restored {
    /// On which machine, and when.
    pub machine: String,
    /// By whom, what, in how many seconds.
    pub rows: Vec<Row>,
}

/// One of them.
#[derive(Debug, Serialize)]
pub struct Row {
    /// Who.
    pub who: &'static str,
    /// What was restored.
    pub what: &'static str,
    /// How many.
    pub count: usize,
    /// Seconds.
    pub seconds: Spread,
}

/// Measures all; `ravelin` is the program.
///
/// # Errors
/// Where something can't be made or doesn't do its work.
pub fn measure(ravelin: &Path, progress: impl Fn(&str)) -> Result<Vec<Row>> {
    let dir = tempfile::tempdir()?;
    let addresses = addresses();
    let mut rows = Vec::new();
    for (what, targets) in [
        (
            "addresses",
            addresses.iter().map(|address| Target::of_address((*address).into())).collect(),
        ),
        ("nested prefixes", prefixes()?),
    ] {
        progress(&format!("a database of {} {what}", targets.len()));
        let state = dir.path().join(what);
        fill(&state, &targets)?;
        progress(&format!("ravelin: {} {what}", targets.len()));
        let trials = (0..TRIALS).map(|_| start(ravelin, &state, targets.len()));
        let seconds = Spread::of(trials.collect::<Result<_>>()?);
        rows.push(Row { who: "ravelin run", what, count: targets.len(), seconds });
    }
    for (who, program, write) in [
        ("ipset restore", "ipset", ipset as fn(&[Ipv4Addr]) -> Result<String>),
        ("nft -f", "nft", nft),
    ] {
        let Some(program) = find(program) else {
            progress(&format!("{who}: not on this machine"));
            continue;
        };
        progress(who);
        let file = dir.path().join("peer");
        fs::write(&file, write(&addresses)?)?;
        let trials = (0..TRIALS).map(|_| peer(&program, &file));
        let seconds = Spread::of(trials.collect::<Result<_>>()?);
        rows.push(Row { who, what: "addresses", count: addresses.len(), seconds });
    }
    Ok(rows)
}

/// For `docs/benchmarks`.
pub fn page(measured: &Restored) -> String {
    let mut text = String::from(
        "# Bans at start\n\nWritten by `cargo xtask bench restore`. From the start of the process until all \
         bans of the database are in the kernel and the daemon answers, after a reboot (no maps are there); \
         each ban is enforced as it enters. Beside it, in the same run, what the peers take to load the same \
         addresses with a timeout each, out of a file.\n\n| | what | seconds, median (least to most) |\n|---|---|---|\n",
    );
    for Row { who, what, count, seconds: Spread { median, min, max } } in &measured.rows {
        let row = format!("| {who} | {count} {what} | {median:.2} ({min:.2} to {max:.2}) |\n");
        text.push_str(&row);
    }
    let goal = "\nGoal (design, section 8): a million addresses in less than 1.3 s.\n\n";
    text + goal + &measured.machine + ".\n"
}

/// Spread over the space of unicast addresses, no two alike: an odd factor permutes the numbers.
fn addresses() -> Vec<Ipv4Addr> {
    let all: BTreeSet<u32> = (1..).map(spread).take(ADDRESSES as usize).collect();
    all.into_iter().map(Ipv4Addr::from_bits).collect()
}

fn spread(index: u32) -> u32 {
    // 16.0.0.0/4, in which nothing is private or special.
    0x1000_0000 | (index.wrapping_mul(0x9e37_79b1) >> 4)
}

/// /16s, each with /24s in it.
fn prefixes() -> Result<Vec<Target>> {
    let outer = PREFIXES / 251;
    let mut all = Vec::new();
    for index in 0..outer {
        let base = 0x1000_0000 + (index << 16);
        for (part, length) in (0..250).map(|part| (part << 8, 24)).chain(std::iter::once((0, 16))) {
            all.push(format!("{}/{length}", Ipv4Addr::from_bits(base + part)).parse()?);
        }
    }
    Ok(all)
}

fn fill(state: &Path, targets: &[Target]) -> Result<()> {
    fs::create_dir(state)?;
    let (mut store, _opened) = Store::open(state)?;
    let since = Timestamp::now();
    for batch in targets.chunks(20_000) {
        let effects: Vec<Effect> = batch
            .iter()
            .map(|target| Effect::Banned {
                order: BanOrder {
                    target: *target,
                    since,
                    ttl: Ttl::For(TTL),
                    ports: None,
                    origin: Origin::Rule,
                    rule: Some(5_712),
                    level: Some(10),
                    reason: "password guessing by one address".to_owned(),
                    offences: 1,
                },
                evidence: Evidence::default(),
            })
            .collect();
        store.commit(&effects)?;
    }
    Ok(())
}

/// Seconds until the daemon has restored `count` bans.
fn start(ravelin: &Path, state: &Path, count: usize) -> Result<f64> {
    let (netns, bpf, dir) = (Netns::new("restore"), BpfDir::new(), tempfile::tempdir()?);
    netns.ip(&["link", "add", "s0", "type", "veth", "peer", "name", "c0"]);
    for end in ["s0", "c0"] {
        netns.ip(&["link", "set", end, "up"]);
    }
    let (config, run_dir) = (dir.path().join("ravelin.yaml"), dir.path().join("run"));
    let text = format!(
        "interfaces: [s0]\nstate_dir: {}\nrun_dir: {}\nbpf_dir: {}\nsources: []\nmail: {{to: []}}\n",
        state.display(),
        run_dir.display(),
        bpf.path().display()
    );
    fs::write(&config, text)?;
    let log = File::create(dir.path().join("log"))?;
    let begun = Instant::now();
    let mut command = netns.command(ravelin);
    command.arg("run").arg("--config").arg(&config).stdin(Stdio::null());
    let mut daemon = Daemon(command.stdout(log.try_clone()?).stderr(log).spawn()?);
    loop {
        if let Ok(Response::Status(status)) = control::request(&run_dir, &Request::Status) {
            let seconds = begun.elapsed().as_secs_f64();
            let bans = usize::try_from(status.bans)?;
            ensure!(bans == count, "expected {count} bans restored, got {bans}");
            return Ok(seconds);
        }
        if daemon.0.try_wait()?.is_some() || begun.elapsed() > PATIENCE {
            bail!("it didn't start: {}", fs::read_to_string(dir.path().join("log"))?);
        }
        thread::sleep(Duration::from_millis(1));
    }
}

/// A daemon that runs no longer than its owner.
struct Daemon(Child);

impl Drop for Daemon {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

fn ipset(addresses: &[Ipv4Addr]) -> Result<String> {
    let mut text = String::from("create bans hash:ip hashsize 1048576 maxelem 1048576 timeout 0\n");
    for address in addresses {
        writeln!(text, "add bans {address} timeout 86400")?;
    }
    Ok(text)
}

fn nft(addresses: &[Ipv4Addr]) -> Result<String> {
    let mut text = String::from(
        "table inet bans {\nset bans { type ipv4_addr; flags timeout; size 1048576; elements = {\n",
    );
    for address in addresses {
        writeln!(text, "{address} timeout 1d,")?;
    }
    text.push_str(
        "} }\nchain input { type filter hook input priority 0; ip saddr @bans drop; }\n}\n",
    );
    Ok(text)
}

/// Seconds that a peer takes, in a namespace of its own.
fn peer(program: &Path, file: &Path) -> Result<f64> {
    let netns = Netns::new("peer");
    let mut command = netns.command(program);
    if program.ends_with("ipset") {
        command.arg("restore").stdin(File::open(file)?);
    } else {
        command.arg("-f").arg(file);
    }
    let begun = Instant::now();
    let output = command.output()?;
    let seconds = begun.elapsed().as_secs_f64();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(output.status.success(), "{}: {said}", program.display());
    Ok(seconds)
}

fn find(program: &str) -> Option<PathBuf> {
    ["/usr/sbin", "/usr/bin", "/sbin", "/bin"]
        .iter()
        .map(|dir| Path::new(dir).join(program))
        .find(|path| path.exists())
}

/// The program that `cargo build --release` makes, or RAVELIN_BIN.
///
/// # Errors
/// Where it isn't there.
pub fn program() -> Result<PathBuf> {
    let path = match std::env::var_os("RAVELIN_BIN") {
        Some(path) => PathBuf::from(path),
        None => {
            let this = std::env::current_exe()?;
            let target = this.parent().and_then(Path::parent).context("this lies in no folder")?;
            target.join("release/ravelin")
        }
    };
    ensure!(
        path.is_file(),
        "no program at {}: `cargo xtask bench restore` builds it",
        path.display()
    );
    Ok(path)
}
