//! `ravelin top` in a real terminal: tmux's, 80 columns and 24 lines.

use std::fs;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use super::daemon::Daemon;
use super::{CLIENT, is_cut_off, running};

static TERMINALS: AtomicU32 = AtomicU32::new(0);

/// A terminal of its own, closed when dropped.
struct Terminal {
    server: String,
}

impl Terminal {
    /// With `ravelin top` in it, and what becomes of it.
    fn of(daemon: &Daemon) -> Self {
        let command = daemon.command(&["top"]);
        let words: Vec<_> =
            std::iter::once(command.get_program()).chain(command.get_args()).collect();
        let words: Vec<String> =
            words.iter().map(|word| format!("'{}'", word.to_str().unwrap())).collect();
        let script =
            format!("TERM=screen {}; echo \"over $?\"; stty -a; exec sleep 600", words.join(" "));
        let number = TERMINALS.fetch_add(1, Ordering::Relaxed);
        let server = format!("ravelin-{}-{number}", std::process::id());
        let terminal = Self { server };
        let started = terminal.tmux(&[
            "-f",
            "/dev/null",
            "new-session",
            "-d",
            "-x",
            "80",
            "-y",
            "24",
            "sh",
            "-c",
            &script,
        ]);
        assert_eq!(started, "");
        terminal
    }

    fn tmux(&self, args: &[&str]) -> String {
        let mut tmux = Command::new("tmux");
        // What is drawn is UTF-8, whatever this machine speaks.
        tmux.args(["-u", "-L", &self.server])
            .args(args)
            .env_remove("TMUX")
            .env("LC_ALL", "C.UTF-8");
        let output = tmux
            .output()
            .unwrap_or_else(|error| panic!("tmux: {error}; `cargo xtask test` installs it"));
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn press(&self, keys: &[&str]) {
        let mut args = vec!["send-keys"];
        args.extend(keys);
        self.tmux(&args);
    }

    fn wait_for(&self, text: &str) -> String {
        self.wait_until(text, |shown| shown.contains(text))
    }

    fn wait_until(&self, what: &str, seen: impl Fn(&str) -> bool) -> String {
        let give_up = Instant::now() + Duration::from_secs(30);
        loop {
            let shown = self.tmux(&["capture-pane", "-p"]);
            if seen(&shown) {
                return shown;
            }
            assert!(Instant::now() < give_up, "gave up waiting for `{what}`:\n{shown}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// The process in it: the shell's only child.
    fn process(&self) -> String {
        let shell = self.tmux(&["list-panes", "-F", "#{pane_pid}"]).trim().to_owned();
        let children = fs::read_to_string(format!("/proc/{shell}/task/{shell}/children")).unwrap();
        children.split_whitespace().next().unwrap().to_owned()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let mut tmux = Command::new("tmux");
        drop(tmux.args(["-L", &self.server, "kill-server"]).output());
    }
}

#[test]
fn it_shows_what_happens_and_acts_by_key() {
    let (pair, mut daemon) = running();
    daemon.cli(&["ban", CLIENT, "--reason", "a guesser"]).done();
    assert!(is_cut_off(&pair));
    let terminal = Terminal::of(&daemon);
    let shown = terminal.wait_for("a guesser");
    assert!(shown.contains("enforcing") && shown.contains("198.51.100.7/32"), "{shown}");
    assert!(shown.lines().all(|line| line.chars().count() <= 80), "{shown}");
    assert!(shown.contains("auth.log"), "{shown}");

    terminal.press(&["Enter"]);
    terminal.wait_for("is banned until");
    terminal.press(&["q"]);
    terminal.wait_for("Latest alerts");

    // Asked before anything is done; a no is a no.
    terminal.press(&["u"]);
    terminal.wait_for("Unban 198.51.100.7/32");
    terminal.press(&["n"]);
    terminal.wait_for("q quit");
    assert_eq!(daemon.banned(), ["198.51.100.7/32"]);
    terminal.press(&["u", "y"]);
    terminal.wait_for("198.51.100.7/32 is no longer banned.");
    assert_eq!(daemon.banned(), [""; 0]);

    terminal.press(&["b"]);
    terminal.press(&["-l", "198.51.100.9 2h a scan"]);
    terminal.press(&["Enter"]);
    terminal.wait_for("Ban 198.51.100.9/32 for 2h?");
    terminal.press(&["y"]);
    terminal
        .wait_until("the ban listed", |shown| shown.contains("a scan") && shown.contains("1h 59m"));
    terminal.press(&["a"]);
    terminal.wait_for("allow: 198.51.100.9/32");
    terminal.press(&["Enter", "y"]);
    terminal.wait_for("198.51.100.9/32 is never banned");
    assert_eq!(daemon.banned(), [""; 0], "whoever is allowed isn't banned any more");

    terminal.tmux(&["resize-window", "-x", "120", "-y", "40"]);
    terminal.wait_until("a wider picture", |shown| {
        shown.lines().any(|line| line.chars().count() > 100)
    });

    daemon.cli(&["ban", CLIENT, "--reason", "a guesser"]).done();
    daemon.kill();
    let shown = terminal.wait_for("NO DAEMON");
    assert!(shown.contains("198.51.100.7/32"), "the kernel goes on: {shown}");
    terminal.press(&["q"]);
    let shown = terminal.wait_for("over 0");
    let shown = if shown.contains("icanon") { shown } else { terminal.wait_for("icanon") };
    assert!(!shown.contains("-icanon") && !shown.contains("NO DAEMON"), "{shown}");
}

#[test]
fn a_signal_gives_the_terminal_back() {
    let (_pair, daemon) = running();
    let terminal = Terminal::of(&daemon);
    terminal.wait_for("Nobody is banned.");
    let pid = terminal.process();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    terminal.wait_for("over 0");
    let shown = terminal.wait_for("icanon");
    assert!(!shown.contains("-icanon") && !shown.contains("Nobody is banned"), "{shown}");
    let piped = daemon.cli(&["top"]);
    assert_eq!(piped.code, 1);
    assert!(piped.err.contains("needs a terminal"), "{}", piped.err);
}
