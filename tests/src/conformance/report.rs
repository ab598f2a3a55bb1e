//! The tables, and whether they meet the targets.

use std::collections::BTreeMap;
use std::fmt;

use super::fail2ban::Service;
use super::ossec::Decoded;

/// Of the lines that ought to be blamed, at least so many of a hundred.
const WANTED: usize = 97;

const INTRODUCTION: &str = "\
# Conformance

How well the shipped packs read other projects' log lines. `cargo xtask conformance` prints these tables and
fails where a target is missed; `--write` writes this page. The lines are the tests of fail2ban 1.1.1, OSSEC
and Wazuh. They are GPL and not in this tree: a line is named by its file and number.

Targets: no line is blamed on a wrong address; nothing is blamed on a line that carries forged text; of the lines
that ought to be blamed, at least 97 of 100 are, but for differences of policy.

*Due*: the line counts against an address that it holds. *Right*: we blame that address. *By policy*: we blame
nobody, for the reason given below. *Missed*: nobody, without a reason. *Not due*: the line doesn't count for
fail2ban, or only against a host name. *Blamed*: of those, lines that we give a score or a level of 5 or more.
Host names are never resolved.
";

const EPILOGUE: &str = "\
Theirs and ours part on purpose in these:

- Nextcloud's lines that aren't failures are for its administrators: only failed logins and the wrong names of
  scanners are read.
- nginx's lines there are made up: none has the `PID#TID` that nginx writes.
- Dovecot 1 wrote `Info: auth(default)` as its program's name; 2.0 and later are read.
- Levels: a single failed login is 5 everywhere, also where OSSEC has 9, since 9 bans here.

Services without a pack in fail2ban's corpus, and why:

- Access logs (`apache-badbots`, `apache-fakegooglebot`, `apache-pass`, `nginx-bad-request`, `php-url-fopen`,
  `haproxy-http-auth`, `traefik-auth`, `squid`, ...) need the format `plain`, which isn't there yet.
- Services with an outer format of their own that `syslog` doesn't decode, or that few people run on such a host
  (`bitwarden`, `grafana`, `guacamole`, `kerio`, `mongodb-auth`, `mssql-auth`, `oracleims`, `sogo-auth`,
  `zoneminder`, ...): an admin's own pack can read those whose lines have a program or none.
";

/// What came of all corpora.
#[derive(Debug)]
pub struct Report {
    /// fail2ban's files.
    pub services: Vec<Service>,
    /// OSSEC's and Wazuh's.
    pub decoded: Vec<Decoded>,
}

impl Report {
    /// What misses a target, one sentence each; empty where all are met.
    pub fn failures(&self) -> Vec<String> {
        let mut all = Vec::new();
        let (mut due, mut unexplained) = (0, 0);
        for service in &self.services {
            for line in &service.wrong {
                all.push(format!("fail2ban/{}:{line}: blamed on another address", service.name));
            }
            for (line, forged, reason) in &service.uncalled {
                if *forged {
                    all.push(format!("fail2ban/{}:{line}: forged, and blamed", service.name));
                } else if reason.is_none() && service.pack.is_some() {
                    all.push(format!("fail2ban/{}:{line}: blamed uncalled for", service.name));
                }
            }
            if service.pack.is_some() {
                due += service.due;
                unexplained += service.unexplained();
            }
        }
        if (due - unexplained) * 100 < due * WANTED {
            all.push(format!("{unexplained} of {due} lines are missed without a reason"));
        }
        for file in &self.decoded {
            for line in &file.wrong {
                let Decoded { project, name, .. } = file;
                all.push(format!("{project}/{name}.ini:{line}: blamed on an address not in it"));
            }
        }
        all
    }

    /// The report as a page of the documentation.
    pub fn page(&self) -> String {
        format!("{INTRODUCTION}\n{self}\n{EPILOGUE}")
    }

    /// Each line that is missed or blamed uncalled for, by pack's file.
    fn differences(&self) -> String {
        let mut rows = Vec::new();
        for service in self.services.iter().filter(|service| service.pack.is_some()) {
            let mut by_reason: BTreeMap<&str, Vec<String>> = BTreeMap::new();
            for (line, reason) in &service.missed {
                let reason = reason.unwrap_or("no reason of policy: to be mended");
                by_reason.entry(reason).or_default().push(line.to_string());
            }
            for (line, _, reason) in &service.uncalled {
                let reason = reason.unwrap_or("blamed, and fail2ban doesn't count it");
                by_reason.entry(reason).or_default().push(line.to_string());
            }
            for (reason, lines) in by_reason {
                rows.push(format!("| `{}` | {} | {reason} |", service.name, lines.join(", ")));
            }
        }
        rows.join("\n")
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "| fail2ban's file | pack | due | right | by policy | missed | wrong | not due | blamed |"
        )?;
        writeln!(f, "|---|---|--:|--:|--:|--:|--:|--:|--:|")?;
        let mut total = [0; 7];
        for it in self.services.iter().filter(|service| service.pack.is_some()) {
            let missed = it.unexplained();
            let row = [
                it.due,
                it.right,
                it.missed.len() - missed,
                missed,
                it.wrong.len(),
                it.innocent,
                it.uncalled.len(),
            ];
            for (sum, part) in total.iter_mut().zip(row) {
                *sum += part;
            }
            let cells = row.map(|cell| cell.to_string()).join(" | ");
            writeln!(f, "| `{}` | {} | {cells} |", it.name, it.pack.unwrap_or_default())?;
        }
        let cells = total.map(|cell| format!("**{cell}**")).join(" | ");
        writeln!(f, "| **all** | | {cells} |\n")?;

        let without: Vec<&Service> =
            self.services.iter().filter(|service| service.pack.is_none()).collect();
        let blamed: usize = without.iter().map(|it| it.right + it.uncalled.len()).sum();
        let wrong: usize = without.iter().map(|it| it.wrong.len()).sum();
        writeln!(
            f,
            "{} files of services without a pack, {} lines due: {blamed} blamed, {wrong} wrong.\n",
            without.len(),
            without.iter().map(|it| it.due).sum::<usize>(),
        )?;

        writeln!(f, "Lines on which we differ, by file and number:\n")?;
        writeln!(f, "| file | lines | why |\n|---|---|---|\n{}\n", self.differences())?;
        writeln!(f, "OSSEC's and Wazuh's rule tests, which name no address:\n")?;
        writeln!(
            f,
            "| file | theirs alerts | recognised | level within two | wrong | not recognised |"
        )?;
        writeln!(f, "|---|--:|--:|--:|--:|---|")?;
        for it in &self.decoded {
            let missed: Vec<String> = it.missed.iter().map(usize::to_string).collect();
            writeln!(
                f,
                "| {} `{}.ini` | {} | {} | {} | {} | {} |",
                it.project,
                it.name,
                it.alerts,
                it.recognised,
                it.same_level,
                it.wrong.len(),
                missed.join(", ")
            )?;
        }
        Ok(())
    }
}
