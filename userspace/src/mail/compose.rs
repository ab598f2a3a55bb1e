//! From notices to a mail that is worth reading on a phone: what happened and what was done first, short
//! lines, the evidence, how to undo it.
//!
//! Text from logs stands in the body only, indented, escaped in the HTML, and with everything invisible made visible; a
//! subject is made of our own words, addresses and the packs' descriptions.

mod alerts;
mod daemon;
mod digest;
mod line;
mod offender;
mod page;

use jiff::tz::TimeZone;

use self::offender::Offender;
use self::page::Page;
use super::notice::Notice;
use super::outbox::Lane;
use super::text::{header, local, visible};
use crate::event::Timestamp;
use crate::store::{Batch, Draft, Mail, Topic};

/// Who speaks, and when.
#[derive(Clone, Debug)]
pub struct Scene {
    host: String,
    version: &'static str,
    zone: TimeZone,
}

/// How things stand, for the digest.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Vitals {
    /// The digest before.
    pub since: Timestamp,
    /// Bans that stand.
    pub bans: u64,
}

/// Notices that a mail is made of at most; all others are in its numbers.
pub(super) const NOTICES: usize = 500;

/// Characters of a log line.
const LINE: usize = 400;
/// Characters of a description, a field, a remedy.
const WORDS: usize = 200;
/// Characters of a subject.
const SUBJECT: usize = 120;

impl Scene {
    /// `host` is this host's name, `zone` the one of the times in the mail.
    pub fn new(host: &str, zone: TimeZone) -> Self {
        Self { host: header(host, 64), version: env!("CARGO_PKG_VERSION"), zone }
    }

    /// The host's name as it can stand in a Message-ID and an EHLO: letters, digits, dots, hyphens.
    pub fn domain(&self) -> String {
        let kept: String = self
            .host
            .chars()
            .filter(|char| char.is_ascii_alphanumeric() || matches!(char, '.' | '-'))
            .collect();
        let kept = kept.trim_matches(['.', '-']);
        if kept.is_empty() { "localhost".to_owned() } else { kept.to_owned() }
    }

    /// The mail of all that waits in a lane; `None` where there is nothing to tell.
    pub fn compose(
        &self,
        lane: Lane,
        batch: &Batch,
        vitals: Vitals,
        now: Timestamp,
    ) -> Option<Draft> {
        let notices: Vec<Notice> = batch
            .notices
            .iter()
            // What another version wrote and we can't read is in the numbers.
            .filter_map(|text| serde_json::from_str(text).ok())
            .collect();
        if lane != Lane::Digest && batch.topics.is_empty() {
            return None;
        }
        let level = batch.topics.iter().map(|topic| topic.level).max().unwrap_or(0);
        let mut page = Page::default();
        let subject = match lane {
            Lane::Alert | Lane::Backlog => {
                let offenders = Offender::group(&notices);
                if lane == Lane::Backlog {
                    page.text("Old news: these lines were read late,\nafter a pause or an outage.");
                }
                self.alerts(&mut page, &offenders, &batch.topics);
                let late = if lane == Lane::Backlog { "late news, " } else { "" };
                format!("{late}level {level}: {}", alerts::subject(&offenders, &batch.topics))
            }
            Lane::Digest => {
                let offenders = Offender::group(&notices);
                digest::body(self, &mut page, &offenders, &batch.topics, vitals, now);
                digest::subject(&offenders, &batch.topics)
            }
            Lane::Life => self.life(&mut page, &notices),
            Lane::Health => self.health(&mut page, &notices),
        };
        Some(self.draft(&subject, &page, level))
    }

    /// A mail that only says that mail works.
    pub fn test(&self, now: Timestamp) -> Mail {
        let mut page = Page::default();
        page.lead(&format!("This is what `ravelin mail test` sends on {}.", self.host));
        page.text(&format!("Sent: {}", self.local(now)));
        page.text("Alerts will come the same way.");
        let id = format!("<ravelin-test-{}@{}>", now.as_micros(), self.domain());
        Mail::loose(now, id, self.draft("ravelin: test of the mail relay", &page, 0))
    }

    fn draft(&self, subject: &str, page: &Page, level: u8) -> Draft {
        let signature = format!("ravelin {} on {}", self.version, self.host);
        let subject = header(&format!("[{}] {subject}", self.host), SUBJECT);
        Draft {
            body: page.plain(&signature),
            html: page.html(&subject, &signature),
            subject,
            level,
            host: self.domain(),
        }
    }

    fn local(&self, time: Timestamp) -> String {
        local(time, &self.zone)
    }
}

fn entries(topics: &[Topic]) -> u64 {
    topics.iter().map(|topic| topic.entries).sum()
}

fn by_rule(topics: &[Topic]) -> Vec<String> {
    const TOPICS: usize = 50;
    let mut rules: Vec<String> = topics
        .iter()
        .take(TOPICS)
        .map(|Topic { topic, level, entries }| {
            format!("{entries} x level {level}, {}", visible(topic, WORDS))
        })
        .collect();
    if topics.len() > TOPICS {
        rules.push(format!("and {} more rules", topics.len() - TOPICS));
    }
    rules
}

#[cfg(test)]
mod tests;
