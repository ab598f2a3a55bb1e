//! What is wrong right now; `status` shows it, and its first sight is logged and mailed.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::control::HealthItem;
use crate::event::Timestamp;

/// Findings by code and subject; shared by everybody who may find something.
#[derive(Clone, Debug, Default)]
pub struct Health {
    findings: Arc<Mutex<BTreeMap<(&'static str, String), Finding>>>,
}

#[derive(Clone, Debug)]
struct Finding {
    since: Timestamp,
    remedy: String,
    degrades: bool,
}

impl Health {
    /// Something keeps the host from being protected as configured. True where this is news.
    pub fn degrade(&self, code: &'static str, subject: &str, remedy: String) -> bool {
        self.raise(code, subject, remedy, true)
    }

    /// Something that an admin should know, while the protection is as configured. True where this is news.
    pub fn note(&self, code: &'static str, subject: &str, remedy: String) -> bool {
        self.raise(code, subject, remedy, false)
    }

    /// It is over.
    pub fn clear(&self, code: &'static str, subject: &str) {
        let mut findings = self.findings.lock().unwrap_or_else(PoisonError::into_inner);
        if findings.remove(&(code, subject.to_owned())).is_some() {
            tracing::info!(code, subject, "Mended.");
        }
    }

    /// Whether anything degrades the protection.
    pub fn is_degraded(&self) -> bool {
        let findings = self.findings.lock().unwrap_or_else(PoisonError::into_inner);
        findings.values().any(|finding| finding.degrades)
    }

    /// All findings, for `status`.
    pub fn items(&self) -> Vec<HealthItem> {
        let findings = self.findings.lock().unwrap_or_else(PoisonError::into_inner);
        findings
            .iter()
            .map(|((code, _), finding)| HealthItem {
                code: (*code).to_owned(),
                since: finding.since.to_string(),
                remedy: finding.remedy.clone(),
            })
            .collect()
    }

    fn raise(&self, code: &'static str, subject: &str, remedy: String, degrades: bool) -> bool {
        let mut findings = self.findings.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (code, subject.to_owned());
        if let Some(known) = findings.get_mut(&key) {
            known.remedy = remedy;
            return false;
        }
        if degrades {
            tracing::error!(code, subject, "{remedy}");
        } else {
            tracing::warn!(code, subject, "{remedy}");
        }
        findings.insert(key, Finding { since: Timestamp::now(), remedy, degrades });
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn news_once_and_mended() {
        let health = Health::default();
        assert!(health.degrade("source-unreadable", "/var/log/a", "no permission".into()));
        assert!(!health.degrade("source-unreadable", "/var/log/a", "still none".into()));
        assert!(health.note("proof-unknown", "", "no rules file".into()));
        assert!(health.is_degraded());
        assert_eq!(health.items().len(), 2);
        health.clear("source-unreadable", "/var/log/a");
        assert!(!health.is_degraded());
    }
}
