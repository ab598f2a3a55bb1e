//! The real program, as a daemon and as its command line.

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use ravelin_tests::netns::{BpfDir, Netns};
use serde_json::Value;

/// A daemon in a namespace, with folders of its own; killed when dropped.
pub(super) struct Daemon {
    child: Option<Child>,
    // The pins go before the folder with the log that says why.
    bpf: BpfDir,
    dir: tempfile::TempDir,
    namespace: PathBuf,
    /// What `run` is given beside the configuration.
    run: Vec<String>,
    /// What starts it inside the namespace.
    inside: Vec<String>,
    /// What it sees as /var/log, if that isn't the machine's own.
    var_log: Option<PathBuf>,
}

/// What a command said.
#[derive(Debug)]
pub(super) struct Said {
    /// Its exit code.
    pub(super) code: i32,
    /// Standard output.
    pub(super) out: String,
    /// Standard error.
    pub(super) err: String,
}

impl Said {
    /// Its standard output as a document.
    pub(super) fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Asserts that it did what it was asked to.
    #[track_caller]
    pub(super) fn done(self) -> Self {
        assert_eq!(self.code, 0, "{self:?}");
        self
    }
}

impl Daemon {
    /// Folders and configuration; `more` is added to it.
    pub(super) fn configured(netns: &Netns, more: &str) -> Self {
        let daemon = Self {
            child: None,
            bpf: BpfDir::new(),
            dir: tempfile::tempdir().unwrap(),
            namespace: Path::new("/var/run/netns").join(netns.name()),
            run: Vec::new(),
            inside: Vec::new(),
            var_log: None,
        };
        File::create(daemon.auth_log()).unwrap();
        daemon.configure(more);
        daemon
    }

    /// A daemon that is ready.
    pub(super) fn start(netns: &Netns, more: &str) -> Self {
        let mut daemon = Self::configured(netns, more);
        daemon.restart();
        daemon
    }

    /// Writes the configuration anew.
    pub(super) fn configure(&self, more: &str) {
        let dir = self.dir.path().display();
        let bpf = self.bpf.path().display();
        let mut text = format!(
            "state_dir: {dir}/state\nrun_dir: {dir}/run\nbpf_dir: {bpf}\nsuricata_rules: {dir}/none.rules\n"
        );
        for (key, default) in [
            ("interfaces", "[s0]".to_owned()),
            ("sources", format!("[{{format: syslog, file: {dir}/auth.log}}]")),
            ("mail", "{to: []}".to_owned()),
        ] {
            if !more.contains(key) {
                text.push_str(&format!("{key}: {default}\n"));
            }
        }
        fs::write(self.config(), text + more).unwrap();
    }

    /// From its next start on it sees this folder as /var/log.
    pub(super) fn with_var_log(mut self, folder: PathBuf) -> Self {
        self.var_log = Some(folder);
        self
    }

    /// From its next start on `run` is given these.
    pub(super) fn run_with(&mut self, args: &[&str]) {
        self.run = args.iter().map(|arg| (*arg).to_owned()).collect();
    }

    /// From its next start on a program starts it that takes its command line, inside the namespace.
    pub(super) fn started_by(&mut self, wrapper: &[&str]) {
        self.inside = wrapper.iter().map(|word| (*word).to_owned()).collect();
    }

    /// Starts it (again) and waits until it answers.
    pub(super) fn restart(&mut self) {
        self.restart_by(&[]);
    }

    /// The same, by a program that takes its command line.
    pub(super) fn restart_by(&mut self, wrapper: &[&str]) {
        self.kill();
        let log = OpenOptions::new().create(true).append(true).open(self.path("log")).unwrap();
        let args = std::iter::once("run").chain(self.run.iter().map(String::as_str));
        let mut plain = self.command_by(&self.inside, &args.collect::<Vec<_>>());
        if let Some(folder) = &self.var_log {
            // Replaced by what it runs, so that it is one process, with mounts of its own.
            let mut inside = Command::new("unshare");
            inside.args(["--mount", "sh", "-c", "mount --bind \"$0\" /var/log && exec \"$@\""]);
            inside.arg(folder).arg(plain.get_program()).args(plain.get_args());
            plain = inside;
        }
        let mut words = wrapper.iter().map(OsStr::new);
        let mut command = match words.next() {
            Some(program) => Command::new(program),
            None => Command::new(plain.get_program()),
        };
        command.args(words);
        if !wrapper.is_empty() {
            command.arg(plain.get_program());
        }
        command.args(plain.get_args()).stdin(Stdio::null()).env_remove("SSH_CONNECTION");
        let child = command.stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap();
        self.child = Some(child);
        self.wait_until("it answers", || self.cli(&["status", "--json"]).json()["pid"] != 0);
    }

    /// `kill -9`.
    pub(super) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Sends it a signal.
    pub(super) fn signal(&self, name: &str) {
        let pid = self.child.as_ref().unwrap().id().to_string();
        assert!(Command::new("kill").args([name, &pid]).status().unwrap().success());
    }

    /// Calls the command line beside it.
    pub(super) fn cli(&self, args: &[&str]) -> Said {
        let output = self.command(args).output().unwrap();
        Said {
            code: output.status.code().unwrap(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// A command of Ravelin's in the namespace, with its configuration.
    pub(super) fn command(&self, args: &[&str]) -> Command {
        self.command_by(&[], args)
    }

    /// The same, started inside the namespace by a program that takes its command line.
    fn command_by(&self, wrapper: &[String], args: &[&str]) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net={}", self.namespace.display())).arg("--");
        command
            .args(wrapper)
            .arg(program().get_program())
            .args(args)
            .arg("--config")
            .arg(self.config());
        command.stdin(Stdio::null()).env_remove("SSH_CONNECTION");
        command
    }

    /// `status --json`.
    pub(super) fn status(&self) -> Value {
        self.cli(&["status", "--json"]).json()
    }

    /// The codes of what is wrong.
    pub(super) fn health(&self) -> Vec<String> {
        let status = self.status();
        let items = status["health"].as_array().unwrap();
        items.iter().map(|item| item["code"].as_str().unwrap().to_owned()).collect()
    }

    /// The targets that `list` shows.
    pub(super) fn banned(&self) -> Vec<String> {
        let list = self.cli(&["list", "--json"]).done().json();
        let bans = list.as_array().unwrap();
        bans.iter().map(|ban| ban["target"].as_str().unwrap().to_owned()).collect()
    }

    /// Appends a line to the log that it reads.
    pub(super) fn log_line(&self, line: &str) {
        let mut file = OpenOptions::new().append(true).open(self.auth_log()).unwrap();
        writeln!(file, "{line}").unwrap();
    }

    /// Waits for something that is bound to happen.
    pub(super) fn wait_until(&self, what: &str, mut happened: impl FnMut() -> bool) {
        let give_up = Instant::now() + Duration::from_secs(30);
        while !happened() {
            assert!(
                Instant::now() < give_up,
                "gave up waiting until {what}; the log:\n{}",
                self.log()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// What it has logged so far.
    pub(super) fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    /// Its configuration.
    pub(super) fn config(&self) -> PathBuf {
        self.path("ravelin.yaml")
    }

    /// The log that it reads.
    pub(super) fn auth_log(&self) -> PathBuf {
        self.path("auth.log")
    }

    /// A file of its own.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Where its pins are.
    pub(super) fn bpf(&self) -> &Path {
        self.bpf.path()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            drop(child.kill());
            drop(child.wait());
        }
    }
}

/// `ravelin` as built beside this program, or as RAVELIN_BIN says.
pub(super) fn program() -> Command {
    let path = std::env::var_os("RAVELIN_BIN").map_or_else(
        || {
            let this = std::env::current_exe().unwrap();
            this.parent().unwrap().parent().unwrap().join("ravelin")
        },
        PathBuf::from,
    );
    assert!(path.is_file(), "{} isn't built: `cargo build -p ravelin`", path.display());
    Command::new(path)
}
