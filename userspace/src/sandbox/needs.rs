//! What a daemon with this configuration needs.

use std::path::{Path, PathBuf};

use super::places;
use crate::config::{Config, Input, XdpMode};
use crate::rules::RuleSet;
use crate::source::{self, Planned};

/// Below it a port is for the privileged (`net.ipv4.ip_unprivileged_port_start`).
const PRIVILEGED: u16 = 1024;

/// What the sandbox leaves, beside what every daemon needs.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Needs {
    /// Folders and files that are read.
    pub read: Vec<PathBuf>,
    /// Folders in which files are made, written and removed.
    pub write: Vec<PathBuf>,
    /// Whether another program (`journalctl`) is run.
    pub programs: bool,
    /// Whether programs of others are looked at, for `xdp_mode: maps-only`.
    pub others_programs: bool,
    /// Whether a port below 1024 is listened at.
    pub low_ports: bool,
    /// Whether a socket is given to a group.
    pub groups: bool,
}

impl Needs {
    /// Those of the configuration that was read from `path`, and of its rules.
    pub fn of(config: &Config, path: &Path, rules: &RuleSet) -> Self {
        let mut needs = Self {
            write: vec![config.state_dir.clone(), config.run_dir.clone(), config.bpf_dir.clone()],
            others_programs: config.xdp_mode == XdpMode::MapsOnly,
            groups: config.control_group.is_some(),
            ..Self::default()
        };
        needs.read_beside(path);
        needs.read_beside(&config.suricata_rules);
        for path in &config.rules {
            needs.read.push(path.clone());
            needs.read_beside(path);
        }
        let lists = rules.lists.iter().map(|list| &list.path);
        let mail = &config.mail;
        let secrets = [&mail.password_file, &mail.ca_file, &mail.webhook_secret_file];
        for path in lists.chain(&config.allow_files).chain(secrets.into_iter().flatten()) {
            needs.read_beside(path);
        }
        for variable in ["SSL_CERT_FILE", "SSL_CERT_DIR"] {
            needs.read.extend(std::env::var_os(variable).map(PathBuf::from));
        }
        let plan = source::plan(config.sources.as_deref(), Path::new("/"));
        for Planned { config: source, .. } in &plan.sources {
            needs.source(&source.input);
        }
        needs
    }

    /// What of these another one, that is in force, doesn't leave; a phrase each.
    pub fn beyond(&self, left: &Self) -> Vec<String> {
        let reached = |path: &Path, write: bool| {
            let read =
                || places::READ.iter().map(Path::new).chain(left.read.iter().map(AsRef::as_ref));
            left.write.iter().any(|folder| path.starts_with(folder))
                || (!write && read().any(|folder| path.starts_with(folder)))
        };
        let mut beyond: Vec<String> = self
            .read
            .iter()
            .filter(|path| !reached(path, false))
            .map(|path| format!("reading {}", path.display()))
            .chain(
                self.write
                    .iter()
                    .filter(|path| !reached(path, true))
                    .map(|path| format!("writing to {}", path.display())),
            )
            .collect();
        for (needed, there, what) in [
            (self.programs, left.programs, "running journalctl"),
            (self.low_ports, left.low_ports, "listening at a port below 1024"),
            (self.groups, left.groups, "giving a socket to a group"),
        ] {
            if needed && !there {
                beyond.push(what.to_owned());
            }
        }
        beyond
    }

    fn source(&mut self, input: &Input) {
        match input {
            Input::File(path) => self.read_beside(path),
            Input::Glob(pattern) => self.read_beside(&fixed_part(pattern)),
            Input::Journal { directory } => {
                self.programs = true;
                self.read.extend(directory.clone());
            }
            Input::Socket(socket) => {
                self.write.extend(socket.path.parent().map(Path::to_owned));
                self.groups |= socket.group.is_some();
            }
            Input::Port(port) => self.low_ports |= port.at.port() < PRIVILEGED,
        }
    }

    /// The folder of a file that may be replaced, or come later: as much of its way as is there. Where the way
    /// leads through links, the folder that they lead to as well.
    fn read_beside(&mut self, file: &Path) {
        let real = std::fs::canonicalize(file).ok();
        for file in [Some(file), real.as_deref()].into_iter().flatten() {
            let there = file.ancestors().skip(1).find(|folder| folder.is_dir());
            // All of it would be no restriction.
            self.read.extend(there.filter(|folder| folder.parent().is_some()).map(Path::to_owned));
        }
    }
}

/// A pattern up to where it begins to be one.
fn fixed_part(pattern: &Path) -> PathBuf {
    let plain = |part: &&std::ffi::OsStr| {
        !part.as_encoded_bytes().iter().any(|byte| matches!(byte, b'*' | b'?' | b'['))
    };
    let fixed: PathBuf = pattern.iter().take_while(plain).collect();
    // As if it were the file.
    fixed.join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_beyond_is_told() {
        let of = |read: &[&str], write: &[&str]| Needs {
            read: read.iter().map(PathBuf::from).collect(),
            write: write.iter().map(PathBuf::from).collect(),
            ..Needs::default()
        };
        let left = of(&["/srv/log"], &["/var/lib/ravelin"]);
        assert!(of(&["/srv/log/app", "/etc/x", "/var/lib/ravelin"], &[]).beyond(&left).is_empty());
        let more = Needs { programs: true, ..of(&["/srv", "/srv/logs"], &["/srv/log"]) };
        assert_eq!(
            more.beyond(&left),
            ["reading /srv", "reading /srv/logs", "writing to /srv/log", "running journalctl"]
        );
    }

    #[test]
    fn a_pattern_needs_the_folder_before_its_first_wildcard() {
        for (pattern, fixed) in [
            ("/var/log/nginx/*.log", "/var/log/nginx/-"),
            ("/srv/*/log/a.log", "/srv/-"),
            ("/srv/a?/b", "/srv/-"),
        ] {
            assert_eq!(fixed_part(Path::new(pattern)), Path::new(fixed));
        }
    }

    #[test]
    fn what_is_not_there_yet_needs_as_much_of_its_way_as_is() {
        let dir = tempfile::tempdir().unwrap();
        let real = dir.path().canonicalize().unwrap();
        let mut needs = Needs::default();
        needs.read_beside(&real.join("later/deeper/auth.log"));
        assert_eq!(needs.read, std::slice::from_ref(&real));
        std::fs::create_dir(real.join("elsewhere")).unwrap();
        std::fs::write(real.join("elsewhere/log"), "").unwrap();
        std::fs::create_dir(real.join("logs")).unwrap();
        std::os::unix::fs::symlink(real.join("elsewhere/log"), real.join("logs/log")).unwrap();
        let mut needs = Needs::default();
        needs.read_beside(&real.join("logs/log"));
        assert_eq!(needs.read, [real.join("logs"), real.join("elsewhere")]);
        let mut needs = Needs::default();
        needs.read_beside(Path::new("/no-such-folder/x"));
        assert!(needs.read.is_empty(), "the root would be everything");
    }
}
