//! `ravelin check`: configuration, packs with their tests, and access to what they name.

mod packs;

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;

use serde::Serialize;

use super::Done;
use super::args::Check;
use crate::config::{Config, Format, Input, SourceConfig};
use crate::control::{self, Request, Response};
use crate::daemon::{anybodys, untrusted};
use crate::host;
use crate::mail::{Relay, Webhook};
use crate::policy::AllowFiles;
use crate::source::{self, Listen, MOST_FILES, Plan, Planned, Role, State, Trust};

pub(super) fn run(config: Option<&Path>, args: &Check) -> anyhow::Result<Done> {
    let mut findings = Findings::default();
    match Config::load(config) {
        Ok(config) => {
            packs::packs(&config, &mut findings);
            sources(&config, &mut findings);
            allow_files(&config, &mut findings);
            interfaces(&config, &mut findings);
            places(&config, &mut findings);
            if !config.mail.to.is_empty()
                && let Err(error) = Relay::new(&config.mail)
            {
                findings.error("mail", error.to_string());
            }
            if let Err(error) = Webhook::new(&config.mail) {
                findings.error("mail", error.to_string());
            }
        }
        Err(error) => {
            let excerpt = error.place().map(|place| format!("\n{}", place.excerpt()));
            findings.error("configuration", format!("{error}{}", excerpt.unwrap_or_default()));
        }
    }
    let wrong = findings.0.iter().any(|finding| finding.severity == Severity::Error);
    let mut out = io::stdout().lock();
    if args.json {
        let document = serde_json::json!({ "ok": !wrong, "findings": findings.0 });
        writeln!(out, "{document:#}")?;
    } else {
        for finding in &findings.0 {
            writeln!(out, "{}: {}: {}", finding.severity.as_str(), finding.about, finding.message)?;
        }
        let well = findings.1.join(", ");
        match findings.0.len() {
            _ if wrong => {
                writeln!(out, "The errors keep this host from being protected as configured.")?;
            }
            0 => writeln!(out, "All is well: {well}.")?,
            1 => writeln!(out, "No error, but the warning above. Well: {well}.")?,
            warnings => writeln!(out, "No error, but {warnings} warnings. Well: {well}.")?,
        }
    }
    let strictly = args.strict && !findings.0.is_empty();
    Ok(if wrong || strictly { Done::Wrong } else { Done::Well })
}

/// What was found, and what was found to be well.
#[derive(Default)]
struct Findings(Vec<Finding>, Vec<String>);

#[derive(Serialize)]
struct Finding {
    severity: Severity,
    about: &'static str,
    message: String,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Severity {
    Error,
    Warning,
}

impl Severity {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

impl Findings {
    fn error(&mut self, about: &'static str, message: String) {
        self.0.push(Finding { severity: Severity::Error, about, message });
    }

    fn warning(&mut self, about: &'static str, message: String) {
        self.0.push(Finding { severity: Severity::Warning, about, message });
    }

    fn well(&mut self, what: String) {
        self.1.push(what);
    }
}

fn sources(config: &Config, findings: &mut Findings) {
    let plan = source::plan(config.sources.as_deref(), Path::new("/"));
    for warning in &plan.warnings {
        findings.warning("sources", warning.to_string());
    }
    let is_fast = |planned: &Planned| {
        planned.role == Role::Read && planned.config.format == Format::SuricataFast
    };
    if plan.sources.iter().any(is_fast)
        && let Err(error) = File::open(&config.suricata_rules)
    {
        findings.warning(
            "suricata_rules",
            format!(
                "{}: {error}: whether fast.log's alerts are proven can't be told, so TCP counts as proof; set suricata_rules, or read eve.json",
                config.suricata_rules.display()
            ),
        );
    }
    let mut read = 0;
    for planned in plan.sources.iter().filter(|planned| planned.role == Role::Read) {
        let path = match &planned.config.input {
            Input::File(path) => path,
            Input::Glob(pattern) => {
                read += matching(pattern, &planned.config, &plan, findings);
                continue;
            }
            journal @ Input::Journal { .. } => {
                match source::journal_answers(journal) {
                    Ok(()) => read += 1,
                    Err(error) => findings.error("sources", error),
                }
                continue;
            }
            Input::Socket(socket) => {
                read +=
                    listener(config, &planned.name(), &Listen::Socket(socket.clone()), findings);
                continue;
            }
            Input::Port(port) => {
                if port.from.is_empty() {
                    findings.warning("sources", anybodys(&port.to_string()));
                }
                read += listener(config, &planned.name(), &Listen::Port(port.clone()), findings);
                continue;
            }
        };
        trust(path, &planned.config, findings);
        match File::open(path) {
            Ok(_) => read += 1,
            Err(error) if error.kind() == io::ErrorKind::NotFound => findings.warning(
                "sources",
                format!(
                    "{} isn't there yet; it is read from its beginning as soon as it is",
                    path.display()
                ),
            ),
            Err(error) => findings.error(
                "sources",
                format!(
                    "{}: {error}: run as root, or give the daemon's user access",
                    path.display()
                ),
            ),
        }
    }
    if read == 0 {
        findings.warning("sources", "no log can be read now, so nobody would be banned".to_owned());
    } else {
        findings.well(format!("{read} sources"));
    }
}

/// Whether one can listen there, or the running daemon does; how many sources that makes.
fn listener(config: &Config, name: &Path, at: &Listen, findings: &mut Findings) -> usize {
    match source::can_listen(at) {
        Ok(()) => return 1,
        Err(error) if error.taken && is_the_daemons(config, name) => return 1,
        Err(error) => findings.error("sources", format!("{}: {error}", name.display())),
    }
    0
}

fn is_the_daemons(config: &Config, name: &Path) -> bool {
    let Ok(Response::Status(status)) = control::request(&config.run_dir, &Request::Status) else {
        return false;
    };
    let name = name.to_string_lossy();
    status.sources.iter().any(|source| {
        source.name == name
            && source.listener.is_some()
            && source.state == State::Reading.to_string()
    })
}

/// The files that match a pattern: how many can be read.
fn matching(pattern: &Path, config: &SourceConfig, plan: &Plan, findings: &mut Findings) -> usize {
    let found = source::look(pattern);
    if let Some(refused) = found.refused {
        findings
            .error("sources", format!("{refused}: run as root, or give the daemon's user access"));
    }
    let named: Vec<_> = plan.sources.iter().map(Planned::name).collect();
    let choice = source::choose(&found.files, &BTreeSet::new(), &named);
    if choice.files.is_empty() {
        let message = format!(
            "no file matches {} now; each is read from its beginning as soon as it appears",
            pattern.display()
        );
        findings.warning("sources", message);
    }
    if choice.excess > 0 {
        let message = format!(
            "{}: {} files match, and only the {MOST_FILES} that were written to last are read: narrow the \
             pattern, or split it into several",
            pattern.display(),
            choice.files.len() + choice.excess
        );
        findings.error("sources", message);
    }
    for path in &choice.files {
        trust(path, config, findings);
    }
    choice.files.len()
}

fn trust(path: &Path, config: &SourceConfig, findings: &mut Findings) {
    if !config.trusted
        && let Trust::Untrusted { why } = source::trust_in_file(path)
    {
        findings.warning("sources", untrusted(&path.display().to_string(), &why));
    }
}

fn allow_files(config: &Config, findings: &mut Findings) {
    let files = AllowFiles::new(&config.allow_files);
    for (_, error) in files.troubles() {
        findings.error("allow", error.to_string());
    }
    if !config.allow_files.is_empty() {
        findings.well(format!("{} entries in files of `allow`", files.nets().len()));
    }
}

fn interfaces(config: &Config, findings: &mut Findings) {
    let facts = match host::facts() {
        Ok(facts) => facts,
        Err(error) => {
            findings.warning("interfaces", error.to_string());
            return;
        }
    };
    let known: Vec<&str> = facts.links.iter().map(|link| link.name.as_str()).collect();
    for name in &config.interfaces {
        if !known.contains(&name.as_str()) {
            findings.error(
                "interfaces",
                format!(
                    "expected an interface of this host, got `{name}`; there are {}",
                    known.join(", ")
                ),
            );
        }
    }
    let used =
        if config.interfaces.is_empty() { &facts.default_interfaces } else { &config.interfaces };
    if used.is_empty() {
        findings.error(
            "interfaces",
            "this host has no default route, so its outward interface can't be told; name it in interfaces".to_owned(),
        );
    } else {
        findings.well(format!("interfaces {}", used.join(", ")));
    }
}

/// Folders that the daemon writes to: there and writable, or to be made.
fn places(config: &Config, findings: &mut Findings) {
    for (about, dir) in [("state_dir", &config.state_dir), ("run_dir", &config.run_dir)] {
        match fs::metadata(dir) {
            Ok(found) if !found.is_dir() => {
                findings
                    .error(about, format!("{}: expected a directory, got a file", dir.display()));
            }
            Ok(_) => {
                if let Err(error) = rustix::fs::access(dir.as_path(), rustix::fs::Access::WRITE_OK)
                {
                    findings.error(
                        about,
                        format!(
                            "{}: {}: run as root, or set another one",
                            dir.display(),
                            io::Error::from(error)
                        ),
                    );
                }
            }
            Err(_) => findings.well(format!("{} will be made", dir.display())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::SourceConfig;

    /// What is found, with `DIR` for the folder.
    fn found(folder: &Path, look: impl Fn(&mut Findings)) -> Vec<String> {
        let mut findings = Findings::default();
        look(&mut findings);
        let said = findings.0.iter().map(|Finding { severity, about, message }| {
            let message = message.replace(&folder.display().to_string(), "DIR");
            format!("{}: {about}: {message}", severity.as_str())
        });
        said.collect()
    }

    #[test]
    fn sources_and_folders_say_what_keeps_them_from_being_used() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::write(at("state"), "").unwrap();
        let source =
            |format, name| SourceConfig { format, input: Input::File(at(name)), trusted: false };
        let config = Config {
            sources: Some(vec![source(Format::SuricataFast, "fast.log")]),
            suricata_rules: at("suricata.rules"),
            state_dir: at("state"),
            run_dir: at("run"),
            ..Config::default()
        };
        assert_eq!(
            found(folder.path(), |findings| places(&config, findings)),
            ["error: state_dir: DIR/state: expected a directory, got a file"]
        );
        assert_eq!(
            found(folder.path(), |findings| sources(&config, findings)),
            [
                "warning: suricata_rules: DIR/suricata.rules: No such file or directory (os error 2): whether fast.log's \
                 alerts are proven can't be told, so TCP counts as proof; set suricata_rules, or read eve.json",
                "warning: sources: DIR/fast.log isn't there yet; it is read from its beginning as soon as it is",
                "warning: sources: no log can be read now, so nobody would be banned",
            ]
        );
        let config = Config { sources: Some(vec![source(Format::Syslog, "auth.log")]), ..config };
        fs::write(at("auth.log"), "").unwrap();
        assert_eq!(found(folder.path(), |findings| sources(&config, findings)), [""; 0]);
    }

    #[test]
    fn interfaces_must_be_this_hosts() {
        let config = Config { interfaces: vec!["no-such".to_owned()], ..Config::default() };
        let said = found(Path::new("/no/such"), |findings| interfaces(&config, findings));
        let wanted =
            "error: interfaces: expected an interface of this host, got `no-such`; there are ";
        assert!(said.iter().any(|finding| finding.starts_with(wanted)), "{said:?}");
    }
}
