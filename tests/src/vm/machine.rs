//! A virtual machine from its start to its end.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};
use std::{fs, thread};

use anyhow::{Context as _, Result, ensure};

use super::guest;
use super::initramfs::Initramfs;
use super::kernel::Kernel;
use crate::netns::{MAC, PEER_MAC};
use crate::xdp::object;

const QEMU: &str = "qemu-system-x86_64";
/// What the guest calls.
const PROGRAMS: [&str; 3] = ["ip", "ping", "nsenter"];
/// Where xdp-loader (Debian's xdp-tools) looks for its dispatcher.
const DISPATCHER: &str = "/usr/lib/x86_64-linux-gnu/bpf/xdp-dispatcher.o";
const PATH: [&str; 4] = ["/usr/sbin", "/usr/bin", "/sbin", "/bin"];
/// Unhindered it takes some ten seconds. The machine may be very busy.
const PATIENCE: Duration = Duration::from_secs(300);

/// What became of a machine.
#[derive(Debug)]
pub struct Boot {
    /// All that it wrote on its console.
    pub console: String,
    /// What it says that its kernel can't do.
    pub lacks: Vec<String>,
    /// Whether the guest's test came to a good end.
    pub passed: bool,
}

/// Whether there is what emulates a machine.
pub fn is_possible() -> bool {
    PATH.iter().any(|dir| Path::new(dir).join(QEMU).exists())
}

/// Boots `kernel` with `guest` (this crate's program of that name) as its first process, and waits until
/// the machine is off.
///
/// # Errors
/// Where the machine can't be made or isn't off in time.
pub fn run(kernel: &Kernel, guest: &Path) -> Result<Boot> {
    let dir = tempfile::Builder::new().prefix("ravelin-vm").tempdir()?;
    let initramfs = dir.path().join("initramfs");
    fs::write(&initramfs, archive(kernel, guest, dir.path())?)
        .with_context(|| format!("could not write {}", initramfs.display()))?;
    let mut machine = Machine(
        Command::new(QEMU)
            .args(["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"])
            // KVM inside of virtual machines ends in failed assertions as often as not.
            .args(["-accel", "tcg", "-cpu", "max", "-smp", "2", "-m", "1G"])
            .args(["-serial", "stdio", "-append"])
            // On a busy machine the emulated timer may come too late for the kernel's check of it.
            .arg("console=ttyS0 quiet panic=-1 no_timer_check rdinit=/guest")
            .arg("-kernel")
            .arg(&kernel.image)
            .arg("-initrd")
            .arg(&initramfs)
            .args(card("a", MAC))
            .args(card("b", PEER_MAC))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("could not start {QEMU}"))?,
    );
    let console = machine.0.stdout.take().context("the console is a pipe")?;
    let (sender, lines) = channel();
    thread::spawn(move || {
        for line in BufReader::new(console).split(b'\n').map_while(Result::ok) {
            let line = String::from_utf8_lossy(&line).trim_end().to_owned();
            if sender.send(line).is_err() {
                break;
            }
        }
    });

    let give_up = Instant::now() + PATIENCE;
    let mut boot = Boot { console: String::new(), lacks: Vec::new(), passed: false };
    loop {
        match lines.recv_timeout(give_up.saturating_duration_since(Instant::now())) {
            Ok(line) => {
                boot.passed |= line.ends_with(guest::PASSED);
                if let Some((_, lack)) = line.split_once(guest::LACKS) {
                    boot.lacks.push(lack.to_owned());
                }
                boot.console.push_str(&line);
                boot.console.push('\n');
            }
            Err(RecvTimeoutError::Disconnected) => return Ok(boot),
            Err(RecvTimeoutError::Timeout) => {
                ensure!(false, "not off after {PATIENCE:?}; its console:\n{}", boot.console);
            }
        }
    }
}

/// A machine that runs no longer than its owner.
struct Machine(Child);

impl Drop for Machine {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// A network card on the one wire. No boot firmware: it takes longer to load than the kernel.
fn card(id: &str, mac: &str) -> [String; 4] {
    [
        "-netdev".to_owned(),
        format!("hubport,hubid=0,id={id}"),
        "-device".to_owned(),
        format!("virtio-net-pci,netdev={id},mac={mac},romfile="),
    ]
}

fn archive(kernel: &Kernel, guest: &Path, scratch: &Path) -> Result<Vec<u8>> {
    let mut files = Initramfs::default();
    for directory in ["/dev", "/proc", "/sys", "/run", "/tmp", "/var"] {
        files.directory(Path::new(directory))?;
    }
    let stripped = strip(guest, scratch)?;
    files.copy(&stripped, Path::new("/guest"))?;
    files.libraries_of(guest)?;
    for program in PROGRAMS {
        files.program(&find(program)?)?;
    }
    if Path::new(guest::LOADER).exists() {
        files.program(Path::new(guest::LOADER))?;
        files.copy(Path::new(DISPATCHER), Path::new(DISPATCHER))?;
    }
    for (index, (name, content)) in kernel.modules()?.into_iter().enumerate() {
        files.file(&Path::new(guest::MODULES).join(format!("{index:02}-{name}.ko")), &content)?;
    }
    // Where the tests look for it.
    let object = object();
    files.directory(Path::new(env!("CARGO_MANIFEST_DIR")))?;
    files.copy(&object, &std::path::absolute(normal(&object))?)?;
    files.finish()
}

/// Nine tenths of the program are what a debugger wants.
fn strip(program: &Path, scratch: &Path) -> Result<PathBuf> {
    let stripped = scratch.join("guest");
    let status = Command::new("strip").arg("-o").arg(&stripped).arg(program).status();
    match status {
        Ok(status) if status.success() => Ok(stripped),
        // It is only larger then.
        _ => Ok(program.to_owned()),
    }
}

fn find(program: &str) -> Result<PathBuf> {
    PATH.iter()
        .map(|dir| Path::new(dir).join(program))
        .find(|path| path.exists())
        .with_context(|| format!("expected `{program}` in {}, found none", PATH.join(", ")))
}

/// Without the `..` in it, which need not lead anywhere in the guest.
fn normal(path: &Path) -> PathBuf {
    let mut normal = PathBuf::new();
    for part in path.components() {
        match part {
            std::path::Component::ParentDir => {
                normal.pop();
            }
            part => normal.push(part),
        }
    }
    normal
}
