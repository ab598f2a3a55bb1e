//! The Debian package on a clean Debian 12: installed, tried, banning, upgraded, removed, purged. In a root
//! of its own (`target/debian`, which `cargo xtask test` makes) and a network namespace; nothing of it is on
//! this machine afterwards.
#![expect(clippy::unwrap_used, reason = "tests end where something is wrong")]

use std::collections::BTreeSet;
use std::fs::{self, OpenOptions};
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use ravelin_tests::netns::Pair;
use serde_json::Value;

const CLIENT: &str = "198.51.100.7";
const SERVER: &str = "203.0.113.1";
/// What dpkg and its helpers write whenever anything is installed.
const DPKG: [&str; 5] = [
    "/var/lib/dpkg/",
    "/var/log/dpkg.log",
    "/var/cache/",
    "/var/lib/systemd",
    "/var/log/alternatives.log",
];

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap()
}

/// A clean Debian whose changes lie in a temporary folder, in a mount namespace of its own: both are gone
/// with this.
struct Root {
    holder: Child,
    dir: tempfile::TempDir,
    netns: PathBuf,
}

impl Root {
    /// `None`, said aloud, where there is no Debian to begin with.
    fn new(pair: &Pair) -> Option<Self> {
        let clean = workspace().join("target/debian/bookworm");
        if !clean.is_dir() {
            eprintln!(
                "SKIPPED: no {}; `cargo xtask test` makes it by debootstrap",
                clean.display()
            );
            return None;
        }
        let dir = tempfile::tempdir().unwrap();
        for folder in ["upper", "work", "root"] {
            fs::create_dir(dir.path().join(folder)).unwrap();
        }
        let netns = Path::new("/run/netns").join(pair.server.name());
        // Keeps the namespace until its input ends.
        let script = format!(
            "set -e; cd {}; \
             mount -t overlay overlay -o lowerdir={},upperdir=upper,workdir=work root; \
             mount -t proc proc root/proc; mount -t sysfs sysfs root/sys; \
             mount -t bpf bpf root/sys/fs/bpf; echo ready; exec cat",
            dir.path().display(),
            clean.display()
        );
        let mut holder = Command::new("nsenter")
            .arg(format!("--net={}", netns.display()))
            .args(["--", "unshare", "--mount", "--propagation=private", "sh", "-c", &script])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut ready = String::new();
        BufReader::new(holder.stdout.take().unwrap()).read_line(&mut ready).unwrap();
        assert_eq!(ready, "ready\n", "the root can't be mounted");
        Some(Self { holder, dir, netns })
    }

    /// A command in it.
    fn command(&self, program: &str, args: &[&str]) -> Command {
        let mut command = Command::new("nsenter");
        command
            .arg(format!("--mount=/proc/{}/ns/mnt", self.holder.id()))
            .arg(format!("--net={}", self.netns.display()))
            .args(["--", "env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin"])
            .args(["DEBIAN_FRONTEND=noninteractive", "chroot"])
            .arg(self.dir.path().join("root"))
            .arg(program)
            .args(args)
            .stdin(Stdio::null());
        command
    }

    /// Runs it; what it printed, where it did what it should.
    #[track_caller]
    fn run(&self, program: &str, args: &[&str]) -> String {
        let output = self.command(program, args).output().unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        assert!(
            output.status.success(),
            "{program} {args:?}: {said}{}",
            String::from_utf8_lossy(&output.stderr)
        );
        said
    }

    /// Copies a file into it, as `/ravelin.deb`: what is written past the overlay it wouldn't see.
    fn take(&self, file: &Path) {
        let mut copy = self.command("sh", &["-c", "cat > /ravelin.deb"]);
        assert!(copy.stdin(fs::File::open(file).unwrap()).status().unwrap().success());
    }

    /// All that is there, by path.
    fn listing(&self) -> BTreeSet<String> {
        let found = self
            .run("find", &["/", "-xdev", "-not", "-path", "/proc/*", "-not", "-path", "/sys/*"]);
        found.lines().map(str::to_owned).collect()
    }

    /// What is pinned, but for what the kernel itself puts there.
    fn pins(&self) -> String {
        self.run("find", &["/sys/fs/bpf", "-mindepth", "1", "-not", "-name", "*.debug"])
    }

    /// A daemon out of the installed files, once it answers.
    fn daemon(&self, args: &[&str]) -> Daemon {
        self.daemon_of("ravelin", args)
    }

    /// The same of another program.
    fn daemon_of(&self, program: &str, args: &[&str]) -> Daemon {
        let log = OpenOptions::new().create(true).append(true).open(self.log()).unwrap();
        let mut command = self.command(program, &[&["run"], args].concat());
        let child = command.stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap();
        let daemon = Daemon(child);
        self.wait_until("the daemon answers", || self.status(program)["pid"] != 0);
        daemon
    }

    fn status(&self, program: &str) -> Value {
        let output = self.command(program, &["status", "--json"]).output().unwrap();
        serde_json::from_slice(&output.stdout).unwrap()
    }

    fn log(&self) -> PathBuf {
        self.dir.path().join("log")
    }

    /// Waits for something that is bound to happen.
    fn wait_until(&self, what: &str, mut happened: impl FnMut() -> bool) {
        let give_up = Instant::now() + Duration::from_secs(60);
        while !happened() {
            let log = fs::read_to_string(self.log()).unwrap_or_default();
            assert!(Instant::now() < give_up, "gave up waiting until {what}; the log:\n{log}");
            thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Root {
    fn drop(&mut self) {
        drop(self.holder.stdin.take());
        drop(self.holder.wait());
    }
}

/// Killed when dropped.
struct Daemon(Child);

impl Daemon {
    fn terminate(mut self) {
        assert!(Command::new("kill").arg(self.0.id().to_string()).status().unwrap().success());
        assert!(self.0.wait().unwrap().success(), "it ends well");
    }

    fn kill(mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// A program that is built beside this one.
fn built(name: &str) -> PathBuf {
    let this = std::env::current_exe().unwrap();
    let program = this.parent().unwrap().parent().unwrap().join(name);
    assert!(program.is_file(), "{} isn't built: `cargo build --bins`", program.display());
    program
}

/// The package of this tree's debug build.
fn package(into: &Path) -> PathBuf {
    let output =
        Command::new(built("xtask")).args(["dist", "--debug", "--out"]).arg(into).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    PathBuf::from(said.trim())
}

fn findings(report: &str, severity: &str) -> Vec<String> {
    let report: Value = serde_json::from_str(report).unwrap();
    let findings = report["findings"].as_array().unwrap();
    let grave = findings.iter().filter(|finding| finding["severity"] == severity);
    grave.map(|finding| finding["code"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn it_installs_tries_bans_upgrades_and_leaves_nothing() {
    let pair = Pair::new();
    // What every host has, so that its outward interface can be told.
    pair.server.ip(&["route", "add", "default", "via", "203.0.113.254", "dev", "s0"]);
    let Some(root) = Root::new(&pair) else { return };
    let package = package(root.dir.path());
    root.take(&package);
    let before = root.listing();
    let install = || root.run("dpkg", &["--install", "/ravelin.deb"]);
    install();

    // Nothing is enabled, nothing runs, everything is where it belongs.
    let enabled = "/etc/systemd/system/multi-user.target.wants/ravelin.service";
    assert!(!root.listing().contains(enabled));
    assert_eq!(root.status("ravelin")["state"], "off");
    root.run("bash", &["-n", "/usr/share/bash-completion/completions/ravelin"]);
    for file in [
        "/usr/share/man/man1/ravelin-doctor.1.gz",
        "/usr/share/zsh/vendor-completions/_ravelin",
        "/usr/share/fish/vendor_completions.d/ravelin.fish",
        "/usr/share/ravelin/rules/sshd.yaml",
        "/usr/lib/systemd/system/ravelin.service",
        "/usr/lib/systemd/system/ravelin-trial.service",
        "/etc/ravelin/ravelin.yaml",
    ] {
        root.run("test", &["-s", file]);
    }

    // As it is, without editing anything.
    let report = root.run("ravelin", &["doctor", "--json"]);
    assert!(findings(&report, "failure").is_empty(), "{report}");
    assert!(findings(&report, "ok").contains(&"program".to_owned()), "{report}");
    root.run("ravelin", &["check"]);
    let dry = root.daemon(&["--dry-run"]);
    assert_eq!(root.status("ravelin")["state"], "observing");
    assert_eq!(root.pins(), "", "a dry run touches the kernel");
    dry.terminate();

    // It bans.
    let auth_log = "for n in 1 2 3 4 5 6 7 8 9 10; do echo \"$(date --iso-8601=seconds) web1 \
        sshd[$n]: Failed password for root from 198.51.100.7 port 4711 ssh2\" >> /var/log/auth.log; done";
    root.run("touch", &["/var/log/auth.log"]);
    let daemon = root.daemon(&[]);
    assert!(pair.client.pings(CLIENT, SERVER, 1));
    root.run("sh", &["-c", auth_log]);
    root.wait_until("it bans", || root.status("ravelin")["bans"] == 1);
    assert!(pair.client.is_cut_off(CLIENT, SERVER, 2));

    // Neither a death nor an upgrade lets anybody in.
    daemon.kill();
    install();
    assert!(pair.client.is_cut_off(CLIENT, SERVER, 2));
    assert!(root.pins().contains("/links/s0"));

    // Removed, nobody stays banned whom no command could let in again; the database stays, and so the ban.
    root.run("dpkg", &["--remove", "ravelin"]);
    assert_eq!(root.pins(), "");
    assert!(pair.client.pings(CLIENT, SERVER, 1));
    root.run("test", &["-s", "/var/lib/ravelin/ravelin.db"]);
    install();
    let daemon = root.daemon(&[]);
    assert!(pair.client.is_cut_off(CLIENT, SERVER, 2));
    daemon.terminate();

    // Purged, nothing is left: not even what a copy of the program has pinned after the package was removed.
    root.run("cp", &["/usr/bin/ravelin", "/copy"]);
    root.run("dpkg", &["--remove", "ravelin"]);
    assert_eq!(root.pins(), "");
    let daemon = root.daemon_of("/copy", &[]);
    assert!(pair.client.is_cut_off(CLIENT, SERVER, 2));
    daemon.kill();
    assert!(root.pins().contains("/BANS_V4") && root.pins().contains("/links/s0"));
    root.run("rm", &["/copy", "/var/log/auth.log"]);
    root.run("dpkg", &["--purge", "ravelin"]);
    assert_eq!(root.pins(), "");
    let after = root.listing();
    let left: Vec<&String> = after
        .difference(&before)
        .filter(|path| !DPKG.iter().any(|own| path.starts_with(own)) || path.contains("ravelin"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
    let gone: Vec<&String> = before
        .difference(&after)
        .filter(|path| !DPKG.iter().any(|own| path.starts_with(own)))
        .collect();
    assert!(gone.is_empty(), "{gone:?}");
    assert!(pair.client.pings(CLIENT, SERVER, 1));
}

#[test]
fn the_unit_is_sound_and_its_sandbox_tight() {
    let unit = workspace().join("packaging/debian/ravelin.service");
    let analyze = |args: &[&str]| {
        let output = Command::new("systemd-analyze").args(args).arg(&unit).output();
        output.map(|output| {
            let said = [output.stdout, output.stderr].concat();
            (output.status.success(), String::from_utf8_lossy(&said).into_owned())
        })
    };
    // 20 is 2.0; above it this fails.
    match analyze(&["security", "--offline=yes", "--threshold=20", "--no-pager"]) {
        Ok((tight, said)) => {
            assert!(tight, "{said}");
            assert!(said.contains("Overall exposure level"), "{said}");
        }
        Err(error) => return eprintln!("SKIPPED: no systemd-analyze ({error})"),
    }
    let (_, said) = analyze(&["verify", "--man=no"]).unwrap();
    // The program isn't installed here; nothing else may be wrong.
    let wrong: Vec<&str> =
        said.lines().filter(|line| !line.contains("is not executable")).collect();
    assert!(wrong.is_empty(), "{wrong:?}");
}

#[test]
fn every_command_has_its_page() {
    let stage = tempfile::tempdir().unwrap();
    assert!(Command::new(built("ravelin-packaging")).arg(stage.path()).status().unwrap().success());
    for subcommand in ravelin::cli::command().get_subcommands() {
        let page = stage.path().join(format!("man/ravelin-{}.1", subcommand.get_name()));
        let text =
            fs::read_to_string(&page).unwrap_or_else(|error| panic!("{}: {error}", page.display()));
        assert!(text.contains(".SH OPTIONS") && text.contains("EXIT STATUS"), "{text}");
    }
}
