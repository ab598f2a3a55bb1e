//! Which sources to read: those that are configured, or those that are found on the host; one per kind
//! of evidence, so that one record counts once.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::config::{Format, Input, SourceConfig};

/// Files that a syslogd beside journald fills out of the journal.
pub const AUTH_LOGS: [&str; 4] =
    ["/var/log/auth.log", "/var/log/secure", "/var/log/syslog", "/var/log/messages"];

/// What is to be read, and what there is to say about it.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Plan {
    /// The sources, in the order configured or found.
    pub sources: Vec<Planned>,
    /// What somebody should know: for `check`, `status` and the log.
    pub warnings: Vec<Warning>,
}

/// One source.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Planned {
    /// What it is.
    pub config: SourceConfig,
    /// Whether it is read.
    pub role: Role,
}

impl Planned {
    /// The source's name: of a file its path.
    pub fn name(&self) -> PathBuf {
        self.config.input.name()
    }
}

/// Whether a source is read.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Role {
    /// It is.
    Read,
    /// It carries the same records as this one, which is read instead.
    Standby {
        /// The other's path.
        instead: PathBuf,
    },
}

/// Something that is not as it should be.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Warning {
    /// Two configured sources carry the same records; one was dropped.
    Twin {
        /// The one that is dropped.
        dropped: PathBuf,
        /// The one that is read.
        kept: PathBuf,
    },
    /// No auth log is on this host, so logins aren't seen.
    NoAuthLog {
        /// The one that is awaited.
        awaited: PathBuf,
    },
    /// No Suricata log is on this host, nor a directory for it.
    NoSuricata {
        /// Where it was sought.
        sought: PathBuf,
    },
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Twin { dropped, kept } => write!(
                f,
                "`{}` carries the same records as `{}` and is left out; name only one of them in `sources`",
                dropped.display(),
                kept.display()
            ),
            Self::NoAuthLog { awaited } => write!(
                f,
                "expected a journal, /var/log/auth.log or /var/log/secure, got none of them, so logins aren't \
                 seen; install rsyslog, or name the file in `sources`; awaiting `{}`",
                awaited.display()
            ),
            Self::NoSuricata { sought } => write!(
                f,
                "expected Suricata's logs in `{}`, got no such directory; install Suricata, or name \
                 its eve.json in `sources`",
                sought.display()
            ),
        }
    }
}

/// What to read: `configured`, or what is found below `root` (`/`, but in tests).
pub fn plan(configured: Option<&[SourceConfig]>, root: &Path) -> Plan {
    match configured {
        Some(sources) => without_twins(sources),
        None => found(root),
    }
}

fn without_twins(sources: &[SourceConfig]) -> Plan {
    let mut plan = Plan::default();
    for (at, source) in sources.iter().enumerate() {
        let kept = sources.iter().enumerate().find(|&(other_at, other)| {
            other_at != at && (is_twin(source, other) || other_at < at && is_same(source, other))
        });
        match kept {
            Some((_, kept)) => plan
                .warnings
                .push(Warning::Twin { dropped: source.input.name(), kept: kept.input.name() }),
            None => plan.sources.push(Planned { config: source.clone(), role: Role::Read }),
        }
    }
    plan
}

/// Whether `source` is the lesser of two logs that the same Suricata writes.
fn is_twin(source: &SourceConfig, other: &SourceConfig) -> bool {
    let (Input::File(log), Input::File(better)) = (&source.input, &other.input) else {
        // What syslogd writes, the journal has as well, and knows who said it.
        return match (&source.input, &other.input) {
            (Input::File(log), Input::Journal { directory: None }) => is_auth_log(log),
            _ => false,
        };
    };
    let directory = |log: &Path| real(log.parent().unwrap_or(Path::new("")));
    (source.format, other.format) == (Format::SuricataFast, Format::SuricataEve)
        && directory(log) == directory(better)
}

fn is_same(source: &SourceConfig, other: &SourceConfig) -> bool {
    real(&source.input.name()) == real(&other.input.name())
}

/// Whether it is a file that a syslogd beside journald fills out of the journal.
fn is_auth_log(log: &Path) -> bool {
    AUTH_LOGS.iter().any(|known| log == Path::new(known))
}

/// Without symbolic links, where it exists.
fn real(path: &Path) -> PathBuf {
    fs::canonicalize(path).unwrap_or_else(|_absent| path.to_owned())
}

fn found(root: &Path) -> Plan {
    let mut plan = Plan::default();
    let file = |format, path: &Path| SourceConfig {
        format,
        input: Input::File(path.to_owned()),
        trusted: false,
    };

    let directory = root.join("var/log/suricata");
    let eve = directory.join("eve.json");
    let fast = directory.join("fast.log");
    match (eve.exists(), fast.exists()) {
        (false, true) => plan.read(file(Format::SuricataFast, &fast)),
        (_, fast_exists) if directory.is_dir() => {
            plan.read(file(Format::SuricataEve, &eve));
            if fast_exists {
                plan.stand_by(file(Format::SuricataFast, &fast), eve);
            }
        }
        _ => plan.warnings.push(Warning::NoSuricata { sought: directory }),
    }

    if has_journal(root) {
        let journal = Input::Journal { directory: None };
        let name = journal.name();
        plan.read(SourceConfig { format: Format::Syslog, input: journal, trusted: false });
        for log in ["var/log/auth.log", "var/log/secure"].map(|log| root.join(log)) {
            if log.exists() {
                plan.stand_by(file(Format::Syslog, &log), name.clone());
            }
        }
        return plan;
    }
    // Debian's name and Red Hat's. Where both exist, the one that is written to is the host's.
    let debian = root.join("var/log/auth.log");
    let red_hat = root.join("var/log/secure");
    match (modified(&debian), modified(&red_hat)) {
        (None, None) => {
            let awaited = match root.join("etc/redhat-release").exists() {
                true => red_hat,
                false => debian,
            };
            plan.read(file(Format::Syslog, &awaited));
            plan.warnings.push(Warning::NoAuthLog { awaited });
        }
        (of_debian, of_red_hat) if of_debian >= of_red_hat => {
            plan.read(file(Format::Syslog, &debian));
            if of_red_hat.is_some() {
                plan.stand_by(file(Format::Syslog, &red_hat), debian);
            }
        }
        (of_debian, _) => {
            plan.read(file(Format::Syslog, &red_hat));
            if of_debian.is_some() {
                plan.stand_by(file(Format::Syslog, &debian), red_hat);
            }
        }
    }
    plan
}

/// Whether journald keeps a journal there, and somebody to read it is there. (What other hosts have sent lies
/// in `remote`, and isn't meant.)
fn has_journal(root: &Path) -> bool {
    let is_machine = |name: &str| name.len() == 32 && name.bytes().all(|it| it.is_ascii_hexdigit());
    let has_machine = |folder: PathBuf| {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        entries.into_iter().any(|entry| entry.file_name().to_str().is_some_and(is_machine))
    };
    root.join("usr/bin/journalctl").exists()
        && ["var/log/journal", "run/log/journal"]
            .map(|it| root.join(it))
            .into_iter()
            .any(has_machine)
}

fn modified(path: &Path) -> Option<SystemTime> {
    fs::metadata(path).and_then(|metadata| metadata.modified()).ok()
}

impl Plan {
    fn read(&mut self, config: SourceConfig) {
        self.sources.push(Planned { config, role: Role::Read });
    }

    fn stand_by(&mut self, config: SourceConfig, instead: PathBuf) {
        self.sources.push(Planned { config, role: Role::Standby { instead } });
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::time::Duration;

    use super::*;

    struct Host(tempfile::TempDir);

    impl Host {
        fn with(files: &[&str]) -> Self {
            let dir = tempfile::tempdir().unwrap();
            fs::create_dir_all(dir.path().join("var/log")).unwrap();
            for (age, file) in files.iter().rev().enumerate() {
                let path = dir.path().join(file);
                if file.ends_with('/') {
                    fs::create_dir_all(path).unwrap();
                    continue;
                }
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                let age = Duration::from_secs(age as u64);
                let created = File::create(path).unwrap();
                created.set_modified(SystemTime::now() - age).unwrap();
            }
            Self(dir)
        }

        /// The plan in short: `+path` is read, `-path` stands by, `!` warns.
        fn plan(&self) -> Vec<String> {
            let plan = plan(None, self.0.path());
            let root = format!("{}/", self.0.path().display());
            let sources = plan.sources.iter().map(|planned| {
                let sign = if planned.role == Role::Read { '+' } else { '-' };
                let path = planned.name().display().to_string();
                format!("{sign}{}", path.strip_prefix(&root).unwrap_or(&path))
            });
            let warnings = plan.warnings.iter().map(|warning| match warning {
                Warning::Twin { .. } => "!twin".to_owned(),
                Warning::NoAuthLog { .. } => "!auth".to_owned(),
                Warning::NoSuricata { .. } => "!suricata".to_owned(),
            });
            sources.chain(warnings).collect()
        }
    }

    const MACHINE: &str = "var/log/journal/0123456789abcdef0123456789abcdef/";

    #[test]
    fn the_journal_is_read_instead_of_what_is_written_out_of_it() {
        let source = |input| SourceConfig { format: Format::Syslog, input, trusted: false };
        let file = |path: &str| source(Input::File(path.into()));
        let journal = source(Input::Journal { directory: None });
        let (auth, own) = (file("/var/log/auth.log"), file("/var/log/own.log"));
        let plan = plan(Some(&[auth, own.clone(), journal.clone()]), Path::new("/"));
        let read: Vec<_> = plan.sources.into_iter().map(|planned| planned.config).collect();
        assert_eq!(read, [own, journal]);
        assert!(plan.warnings[0].to_string().contains("the same records as `journald`"));
    }

    #[test]
    fn one_source_is_read_per_kind_of_evidence() {
        for (files, expected) in [
            (&[][..], &["+var/log/auth.log", "!suricata", "!auth"][..]),
            (&["etc/redhat-release"], &["+var/log/secure", "!suricata", "!auth"]),
            (&["var/log/auth.log"], &["+var/log/auth.log", "!suricata"]),
            (&["var/log/secure"], &["+var/log/secure", "!suricata"]),
            (
                &["var/log/auth.log", "var/log/secure"],
                &["+var/log/secure", "-var/log/auth.log", "!suricata"],
            ),
            (
                &["var/log/secure", "var/log/auth.log"],
                &["+var/log/auth.log", "-var/log/secure", "!suricata"],
            ),
            (
                &["usr/bin/journalctl", MACHINE, "var/log/auth.log"],
                &["+journald", "-var/log/auth.log", "!suricata"],
            ),
            (&[MACHINE, "var/log/auth.log"], &["+var/log/auth.log", "!suricata"]),
            (
                &["usr/bin/journalctl", "var/log/journal/remote/", "var/log/auth.log"],
                &["+var/log/auth.log", "!suricata"],
            ),
            (
                &["var/log/suricata/", "var/log/auth.log"],
                &["+var/log/suricata/eve.json", "+var/log/auth.log"],
            ),
            (
                &["var/log/suricata/fast.log", "var/log/auth.log"],
                &["+var/log/suricata/fast.log", "+var/log/auth.log"],
            ),
            (
                &["var/log/suricata/fast.log", "var/log/suricata/eve.json", "var/log/auth.log"],
                &["+var/log/suricata/eve.json", "-var/log/suricata/fast.log", "+var/log/auth.log"],
            ),
        ] {
            assert_eq!(Host::with(files).plan(), expected, "{files:?}");
        }
    }

    #[test]
    fn twins_that_are_named_are_dropped_and_said() {
        let source = |format, path: &str| SourceConfig {
            format,
            input: Input::File(path.into()),
            trusted: false,
        };
        let eve = source(Format::SuricataEve, "/nowhere/eve.json");
        let fast = source(Format::SuricataFast, "/nowhere/fast.log");
        let other = source(Format::SuricataFast, "/elsewhere/fast.log");
        let auth = source(Format::Syslog, "/nowhere/auth.log");
        let sources = [fast, eve.clone(), other.clone(), auth.clone(), auth.clone()];
        let plan = plan(Some(&sources), Path::new("/"));
        let read: Vec<_> = plan.sources.into_iter().map(|planned| planned.config).collect();
        assert_eq!(read, [eve, other, auth]);
        let said: Vec<_> = plan.warnings.iter().map(Warning::to_string).collect();
        assert_eq!(said.len(), 2);
        assert!(said[0].contains("`/nowhere/fast.log` carries the same records as `/nowhere/eve"));
        assert!(said[1].starts_with("`/nowhere/auth.log` carries"));
    }

    #[test]
    fn a_link_is_the_file_it_leads_to() {
        let dir = tempfile::tempdir().unwrap();
        let (file, link) = (dir.path().join("auth.log"), dir.path().join("link"));
        File::create(&file).unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        let sources = [file, link].map(|path| SourceConfig {
            format: Format::Syslog,
            input: Input::File(path),
            trusted: false,
        });
        assert_eq!(plan(Some(&sources), Path::new("/")).sources.len(), 1);
    }
}
