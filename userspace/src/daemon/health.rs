//! What is wrong right now: `status` shows it, its first sight and its end are logged and mailed.

use std::collections::BTreeMap;
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::control::HealthItem;
use crate::event::Timestamp;
use crate::mail::{Degraded, Notice, Recovered};

/// Level of a finding that keeps the host from being protected, on the scale of alerts.
const DEGRADED: u8 = 10;
/// Level of a finding that an admin should know.
const NOTED: u8 = 5;

/// Findings by code and subject; shared by everybody who may find something.
#[derive(Clone, Debug, Default)]
pub(super) struct Health(Arc<Mutex<Findings>>);

#[derive(Debug, Default)]
struct Findings {
    standing: BTreeMap<(&'static str, String), Finding>,
    news: Vec<Notice>,
}

#[derive(Debug)]
struct Finding {
    since: Timestamp,
    remedy: String,
    degrades: bool,
}

impl Health {
    /// `subject` keeps the host from being protected as configured; `remedy` says what is wrong and what
    /// mends it.
    pub(super) fn degrade(&self, code: &'static str, subject: &str, remedy: String) {
        self.raise(code, subject, remedy, true);
    }

    /// Something that an admin should know, while the protection is as configured.
    pub(super) fn note(&self, code: &'static str, subject: &str, remedy: String) {
        self.raise(code, subject, remedy, false);
    }

    /// It is over.
    pub(super) fn clear(&self, code: &'static str, subject: &str) {
        let mut findings = self.findings();
        if let Some(finding) = findings.standing.remove(&(code, subject.to_owned())) {
            tracing::info!(code, subject, "Mended.");
            if finding.degrades {
                let recovered = Recovered { at: Timestamp::now(), code: code.to_owned() };
                findings.news.push(Notice::Recovered(recovered));
            }
        }
    }

    /// Of this code only what stands about these subjects.
    pub(super) fn clear_unless(&self, code: &'static str, stays: impl Fn(&str) -> bool) {
        let subjects: Vec<String> = self
            .findings()
            .standing
            .keys()
            .filter(|(standing, subject)| *standing == code && !stays(subject))
            .map(|(_, subject)| subject.clone())
            .collect();
        for subject in subjects {
            self.clear(code, &subject);
        }
    }

    /// Whether anything degrades the protection.
    pub(super) fn is_degraded(&self) -> bool {
        self.findings().standing.values().any(|finding| finding.degrades)
    }

    /// All findings, for `status`.
    pub(super) fn items(&self) -> Vec<HealthItem> {
        self.findings()
            .standing
            .iter()
            .map(|((code, _), finding)| HealthItem {
                code: (*code).to_owned(),
                since: finding.since.to_string(),
                remedy: finding.remedy.clone(),
            })
            .collect()
    }

    /// What came and went since this was asked last, to be mailed.
    pub(super) fn news(&self) -> Vec<Notice> {
        mem::take(&mut self.findings().news)
    }

    fn raise(&self, code: &'static str, subject: &str, remedy: String, degrades: bool) {
        let mut findings = self.findings();
        let key = (code, subject.to_owned());
        if let Some(known) = findings.standing.get_mut(&key) {
            known.remedy = remedy;
            return;
        }
        if degrades {
            tracing::error!(code, subject, "{remedy}");
        } else {
            tracing::warn!(code, subject, "{remedy}");
        }
        let since = Timestamp::now();
        findings.news.push(Notice::Degraded(Degraded {
            at: since,
            code: code.to_owned(),
            level: if degrades { DEGRADED } else { NOTED },
            what: if subject.is_empty() { code.to_owned() } else { format!("{code}: {subject}") },
            remedy: remedy.clone(),
        }));
        findings.standing.insert(key, Finding { since, remedy, degrades });
    }

    fn findings(&self) -> MutexGuard<'_, Findings> {
        // No code that holds the lock can leave the findings half changed.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn news_once_and_mended() {
        let health = Health::default();
        health.degrade("source-unreadable", "/var/log/a", "no permission".into());
        health.degrade("source-unreadable", "/var/log/a", "still none".into());
        health.note("proof-unknown", "", "no rules file".into());
        assert!(health.is_degraded());
        assert_eq!(health.items().len(), 2);
        assert_eq!(health.news().len(), 2);
        health.clear("source-unreadable", "/var/log/a");
        assert!(!health.is_degraded());
        assert!(matches!(health.news()[..], [Notice::Recovered(_)]));
        assert_eq!(health.items().len(), 1);
        health.note("sources", "one", "one".into());
        health.note("sources", "two", "two".into());
        health.clear_unless("sources", |subject| subject == "two");
        assert_eq!(health.items().len(), 2);
    }
}
