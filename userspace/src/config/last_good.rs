//! The last good copy: what the daemon starts with when the configuration has become invalid.
//!
//! After each load that succeeded the daemon keeps a copy in `<state_dir>/last-good.yaml`. When the
//! file is broken at a later start, its `state_dir` is still read from it by itself, as far as that
//! line can be understood, and is the default otherwise; the copy there is used if it was made from
//! the same file.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf, absolute};

use serde::Deserialize;

use super::{Config, ConfigError, DEFAULT_PATH, check};

/// The copy's name in the state directory.
const NAME: &str = "last-good.yaml";

/// No configuration is as long as this; a device or a log named by mistake is.
const LONGEST: u64 = 4 << 20;

/// A configuration, and how we came by it.
#[derive(Debug)]
pub struct Loaded {
    /// What to run with.
    pub config: Config,
    /// Set where that is the last good copy: why the file itself couldn't be used.
    pub degraded: Option<ConfigError>,
    /// The file's path and text; `None` where there is no file, or a broken one.
    source: Option<(PathBuf, String)>,
}

/// Why the last good copy couldn't be kept.
#[derive(Debug, thiserror::Error)]
#[error(
    "can't keep a copy of the configuration in `{}`: {source}; make its folder writable for ravelin",
    path.display()
)]
pub struct LastGoodError {
    /// The copy.
    pub path: PathBuf,
    /// What failed.
    pub source: io::Error,
}

/// Loads the configuration at `path`, or the default one where that is `None`.
///
/// This is what a reload uses: it has a configuration to go on with when this one is refused.
pub fn load(path: Option<&Path>) -> Result<Loaded, ConfigError> {
    load_from(path, Path::new(DEFAULT_PATH))
}

/// As [`load`]; where the file is refused, its last good copy, with the reason in
/// [`Loaded::degraded`]. The error is the file's own where there is no copy of it.
pub fn load_or_last_good(path: Option<&Path>) -> Result<Loaded, ConfigError> {
    load_or_last_good_from(path, Path::new(DEFAULT_PATH))
}

impl Loaded {
    /// Keeps a copy of the file in the state directory, which must exist; call it once the daemon
    /// runs with this configuration. A degraded one leaves the copy as it is; without a file there
    /// is nothing to keep, and an old copy goes.
    pub fn remember(&self) -> Result<(), LastGoodError> {
        if self.degraded.is_some() {
            return Ok(());
        }
        let path = self.config.state_dir.join(NAME);
        let kept = match &self.source {
            Some((origin, text)) => keep(&path, &(heading(origin) + text)),
            None => match fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
                _ => Ok(()),
            },
        };
        kept.map_err(|source| LastGoodError { path, source })
    }
}

fn load_from(path: Option<&Path>, default: &Path) -> Result<Loaded, ConfigError> {
    let named = path.unwrap_or(default);
    let text = match read(named) {
        Ok(text) => text,
        Err(error) if path.is_none() && error.kind() == io::ErrorKind::NotFound => {
            let config = check::parse("", named)?;
            return Ok(Loaded { config, degraded: None, source: None });
        }
        Err(source) => return Err(ConfigError::Unreadable { path: named.to_owned(), source }),
    };
    let config = check::parse(&text, named)?;
    Ok(Loaded { config, degraded: None, source: Some((named.to_owned(), text)) })
}

fn load_or_last_good_from(path: Option<&Path>, default: &Path) -> Result<Loaded, ConfigError> {
    let error = match load_from(path, default) {
        Ok(loaded) => return Ok(loaded),
        Err(error) => error,
    };
    let named = path.unwrap_or(default);
    match last_good(named) {
        Some(config) => Ok(Loaded { config, degraded: Some(error), source: None }),
        None => Err(error),
    }
}

/// The last good copy of the configuration at `origin`.
fn last_good(origin: &Path) -> Option<Config> {
    let state_dir = read(origin)
        .ok()
        .and_then(|text| state_dir(&text, origin))
        .unwrap_or_else(|| Config::default().state_dir);
    let copy = read(&state_dir.join(NAME)).ok()?;
    let text = copy.strip_prefix(&heading(origin))?;
    check::parse(text, origin).ok()
}

/// What a broken configuration still says about `state_dir`: the line is read as if it were alone.
fn state_dir(text: &str, origin: &Path) -> Option<PathBuf> {
    #[derive(Deserialize)]
    struct Alone {
        state_dir: String,
    }

    let line = text.lines().find(|line| line.starts_with("state_dir:"))?;
    let Alone { state_dir } = serde_yaml::from_str(line).ok()?;
    Some(origin.parent().unwrap_or(Path::new("")).join(state_dir))
}

/// The copy's first line, by which it is known whose copy it is.
fn heading(origin: &Path) -> String {
    let origin = absolute(origin).unwrap_or_else(|_| origin.to_owned());
    format!("# Ravelin's last good copy of {origin:?}; written at each good start, don't edit.\n")
}

fn read(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    if File::open(path)?.take(LONGEST + 1).read_to_string(&mut text)? as u64 > LONGEST {
        return Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            format!("expected at most {LONGEST} bytes"),
        ));
    }
    Ok(text)
}

/// Writes `text` so that at any moment, power loss included, the old or the new one is there.
fn keep(path: &Path, text: &str) -> io::Result<()> {
    if read(path).is_ok_and(|kept| kept == text) {
        return Ok(());
    }
    let new = path.with_extension("new");
    let mut file =
        OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&new, path)?;
    path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Host {
        root: tempfile::TempDir,
    }

    impl Host {
        fn new() -> Self {
            let root = tempfile::tempdir().unwrap();
            fs::create_dir(root.path().join("state")).unwrap();
            Self { root }
        }

        fn file(&self) -> PathBuf {
            self.root.path().join("ravelin.yaml")
        }

        fn write(&self, text: &str) {
            fs::write(self.file(), text).unwrap();
        }

        fn start(&self) -> Result<Loaded, ConfigError> {
            let loaded = load_or_last_good_from(None, &self.file())?;
            loaded.remember().unwrap();
            Ok(loaded)
        }
    }

    #[test]
    fn a_missing_default_means_defaults_and_a_missing_named_file_is_an_error() {
        let host = Host::new();
        let loaded = load_from(None, &host.file()).unwrap();
        assert_eq!(loaded.config, Config::default());
        let error = load_from(Some(&host.file()), &host.file()).unwrap_err().to_string();
        assert!(error.contains("ravelin.yaml") && error.contains("--config"), "{error}");
    }

    #[test]
    fn the_last_good_copy_stands_in_for_a_broken_file() {
        let host = Host::new();
        for (good, broken) in [
            // A wrong value, a wrong key, no YAML at all, no text at all.
            ("state_dir: state # here\nban: {ttl: 7m}\n", "state_dir: state\nban: {ttl: 7}\n"),
            ("state_dir: 'state'\nban: {ttl: 8m}\n", "state_dir: 'state'\nbann: {}\n"),
            ("ban: {ttl: 9m}\nstate_dir: state\n", "ban: {ttl: 9m\nstate_dir: state\n"),
            ("state_dir: \"state\"\nban: {ttl: 1m}\n", "\tstate_dir\nstate_dir: \"state\"\n[\n"),
        ] {
            host.write(good);
            let before = host.start().unwrap();
            assert!(before.degraded.is_none());
            host.write(broken);
            for _start in 0..2 {
                let loaded = host.start().unwrap();
                assert_eq!(loaded.config, before.config, "{broken}");
                assert!(loaded.degraded.is_some());
            }
        }
    }

    #[test]
    fn a_copy_of_another_file_or_none_is_no_help() {
        let host = Host::new();
        host.write("state_dir: state\n");
        host.start().unwrap();
        let other = host.root.path().join("other.yaml");
        fs::write(&other, "state_dir: state\nmode: off\n").unwrap();
        let error = load_or_last_good_from(Some(&other), &host.file()).unwrap_err();
        assert!(error.to_string().contains("other.yaml:2:7"), "{error}");
        // A copy that someone broke as well.
        fs::write(host.root.path().join("state").join(NAME), "mode: off\n").unwrap();
        host.write("state_dir: state\nmode: off\n");
        assert!(host.start().is_err());
    }

    #[test]
    fn without_a_file_the_old_copy_goes() {
        let host = Host::new();
        let config = Config { state_dir: host.root.path().join("state"), ..Config::default() };
        let copy = config.state_dir.join(NAME);
        fs::write(&copy, "x").unwrap();
        let loaded = Loaded { config, degraded: None, source: None };
        loaded.remember().unwrap();
        assert!(!copy.exists());
        loaded.remember().unwrap();
    }

    #[test]
    fn what_cannot_be_read_or_kept_says_which_file() {
        let host = Host::new();
        fs::write(host.file(), b"mode: \xff\n").unwrap();
        let error = load_from(None, &host.file()).unwrap_err().to_string();
        assert!(error.contains("ravelin.yaml"), "{error}");
        let endless = load_from(Some(Path::new("/dev/zero")), &host.file()).unwrap_err();
        assert!(endless.to_string().contains("/dev/zero"), "{endless}");
        host.write("state_dir: nowhere\n");
        let loaded = load_from(None, &host.file()).unwrap();
        let error = loaded.remember().unwrap_err().to_string();
        assert!(error.contains("nowhere/last-good.yaml"), "{error}");
    }
}
