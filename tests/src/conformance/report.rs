//! The tables, and whether they meet the targets.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};

use super::fail2ban::Service;
use super::ossec::Decoded;

/// Of the lines that ought to be blamed, at least so many of a hundred.
const WANTED: usize = 97;

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

    /// Each line that is missed or blamed uncalled for, by pack's file.
    pub fn differences(&self) -> String {
        let mut text = String::new();
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
                let _ = writeln!(text, "| `{}` | {} | {reason} |", service.name, lines.join(", "));
            }
        }
        text
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
