//! The line that asks for a target: `TARGET [TTL] [REASON]`.

use std::time::Duration;

use super::feed::{Job, lasting};
use crate::config::parse_duration;
use crate::event::Target;

/// What is asked for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Purpose {
    Ban,
    Allow,
}

/// A line that is being typed.
#[derive(Clone, Debug)]
pub(super) struct Prompt {
    pub(super) purpose: Purpose,
    pub(super) text: String,
    /// What was wrong with it when it was sent.
    pub(super) wrong: Option<String>,
}

/// The longest line that is taken.
const LONGEST: usize = 200;

impl Prompt {
    /// With a text to begin with.
    pub(super) fn new(purpose: Purpose, text: String) -> Self {
        Self { purpose, text, wrong: None }
    }

    pub(super) fn push(&mut self, char: char) {
        self.wrong = None;
        if !char.is_control() && self.text.len() < LONGEST {
            self.text.push(char);
        }
    }

    pub(super) fn pop(&mut self) {
        self.wrong = None;
        self.text.pop();
    }

    pub(super) fn clear(&mut self) {
        self.wrong = None;
        self.text.clear();
    }

    /// What it asks for; `usual`: how long a ban lasts where it doesn't say.
    pub(super) fn job(&self, usual: Duration) -> Result<Job, String> {
        let mut words = self.text.split_whitespace();
        let target: Target = words
            .next()
            .ok_or("expected an address or prefix")?
            .parse()
            .map_err(|error| format!("{error}"))?;
        let rest: Vec<&str> = words.collect();
        let (ttl, reason) = match rest.split_first() {
            None => (None, &rest[..]),
            Some((&"permanent", reason)) => (Some(None), reason),
            Some((first, reason)) => match parse_duration(first) {
                Ok(ttl) => (Some(Some(ttl)), reason),
                // A word that begins with a digit was meant as a time.
                Err(error) if first.starts_with(|char: char| char.is_ascii_digit()) => {
                    return Err(error.to_string());
                }
                Err(_) => (None, &rest[..]),
            },
        };
        match self.purpose {
            Purpose::Ban => {
                let reason = match reason {
                    [] => "banned by hand".to_owned(),
                    words => words.join(" "),
                };
                Ok(Job::Ban { target, ttl: ttl.unwrap_or(Some(usual)), reason })
            }
            Purpose::Allow if !reason.is_empty() => {
                Err(format!("expected a time such as 8h, got `{}`", reason.join(" ")))
            }
            Purpose::Allow => Ok(Job::Allow { target, ttl: ttl.flatten() }),
        }
    }
}

/// What is asked before a job is done.
pub(super) fn question(job: &Job) -> String {
    match job {
        Job::Ban { target, ttl, .. } => format!("Ban {target} {}?", lasting(*ttl)),
        Job::Unban(target) => format!("Unban {target}, and forgive its offences?"),
        Job::Allow { target, ttl } => format!("Never ban {target} {}?", lasting(*ttl)),
        Job::Show(target) => format!("Show {target}?"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(purpose: Purpose, text: &str) -> Result<Job, String> {
        Prompt::new(purpose, text.to_owned()).job(Duration::from_secs(300))
    }

    #[test]
    fn a_line_becomes_a_job() {
        let target = |text: &str| text.parse::<Target>().unwrap();
        let ban = |text: &str, secs: Option<u64>, reason: &str| Job::Ban {
            target: target(text),
            ttl: secs.map(Duration::from_secs),
            reason: reason.to_owned(),
        };
        for (text, expected) in [
            ("198.51.100.7", ban("198.51.100.7/32", Some(300), "banned by hand")),
            (" 198.51.100.0/24 2h  a scan ", ban("198.51.100.0/24", Some(7200), "a scan")),
            ("2001:db8::1 permanent", ban("2001:db8::/64", None, "banned by hand")),
            ("198.51.100.7 noisy neighbour", ban("198.51.100.7", Some(300), "noisy neighbour")),
        ] {
            assert_eq!(job(Purpose::Ban, text), Ok(expected), "{text}");
        }
        let allow = Job::Allow { target: target("198.51.100.7"), ttl: None };
        assert_eq!(job(Purpose::Allow, "198.51.100.7"), Ok(allow));
        let allow =
            Job::Allow { target: target("198.51.100.7"), ttl: Some(Duration::from_secs(28_800)) };
        assert_eq!(question(&allow), "Never ban 198.51.100.7/32 for 8h?");
        assert_eq!(job(Purpose::Allow, "198.51.100.7 8h"), Ok(allow));
        for (purpose, text) in [
            (Purpose::Ban, ""),
            (Purpose::Ban, "host.example"),
            (Purpose::Ban, "198.51.100.7 5x"),
            (Purpose::Allow, "198.51.100.7 my colleague"),
        ] {
            assert!(job(purpose, text).is_err(), "{text}");
        }
    }
}
