//! A mail about the daemon itself: start and stop, protection degraded and restored.

use super::{Scene, WORDS};
use crate::mail::notice::{Degraded, Notice, Recovered, Started, Stopped};
use crate::mail::text::{counted, visible};

impl Scene {
    /// Start and stop; gives the subject.
    pub(super) fn life(&self, body: &mut String, notices: &[Notice]) -> String {
        let mut subject = "ravelin: no details".to_owned();
        for notice in notices {
            match notice {
                Notice::Started(started) => subject = self.started(body, started),
                Notice::Stopped(stopped) => subject = self.stopped(body, stopped),
                Notice::Alert(_) | Notice::Degraded(_) | Notice::Recovered(_) => {}
            }
        }
        subject
    }

    fn started(&self, body: &mut String, started: &Started) -> String {
        let Started { at, mode, interfaces, sources, bans, warnings } = started;
        let attached: Vec<String> = interfaces
            .iter()
            .map(|(name, how)| format!("{} ({})", visible(name, 16), visible(how, 16)))
            .collect();
        let verb = if mode == "observe" { "only observes" } else { "protects" };
        body.push_str(&format!("ravelin {} {verb} {}.\n\n", self.version, self.host));
        for warning in warnings {
            body.push_str(&format!("! {}\n", visible(warning, WORDS)));
        }
        if !warnings.is_empty() {
            body.push('\n');
        }
        body.push_str(&format!("Started: {}\nMode: {}\n", self.local(*at), visible(mode, 16)));
        body.push_str(&format!("Bans that stand: {bans}\n\nInterfaces:\n"));
        list(body, &attached, "none: nothing is dropped");
        body.push_str("\nSources:\n");
        list(body, sources, "none: nothing is read");
        body.push('\n');
        let on = if attached.is_empty() { "no interface".to_owned() } else { attached.join(", ") };
        format!("ravelin started: {} on {on}", visible(mode, 16))
    }

    fn stopped(&self, body: &mut String, stopped: &Stopped) -> String {
        let Stopped { at, reason, bans } = stopped;
        body.push_str(&format!(
            "ravelin stopped: {}.\n\nStopped: {}\n{} in the kernel:\n\
             drops go on, and each ban ends on time.\n\
             No new ones come until it runs again.\n\n",
            visible(reason, WORDS),
            self.local(*at),
            counted(*bans, "ban"),
        ));
        format!("ravelin stopped: {}", visible(reason, 40))
    }

    /// Degraded and restored; gives the subject.
    pub(super) fn health(&self, body: &mut String, notices: &[Notice]) -> String {
        let mut subjects = Vec::new();
        for notice in notices {
            match notice {
                Notice::Degraded(Degraded { at, code, level, what, remedy }) => {
                    body.push_str(&format!(
                        "{}\n\n{}, level {level}\nsince {}\n\nWhat to do:\n{}\n\n",
                        visible(what, WORDS),
                        visible(code, 40),
                        self.local(*at),
                        visible(remedy, 2 * WORDS),
                    ));
                    subjects.push(format!(
                        "level {level}: {}: {}",
                        visible(code, 40),
                        visible(what, WORDS)
                    ));
                }
                Notice::Recovered(Recovered { at, code }) => {
                    body.push_str(&format!(
                        "{} is over\nsince {}\n\n",
                        visible(code, 40),
                        self.local(*at)
                    ));
                    subjects.push(format!("{} is over", visible(code, 40)));
                }
                Notice::Alert(_) | Notice::Started(_) | Notice::Stopped(_) => {}
            }
        }
        let first = subjects.first().cloned().unwrap_or_else(|| "health: no details".to_owned());
        if subjects.len() > 1 {
            format!("{first} (and {} more)", subjects.len() - 1)
        } else {
            first
        }
    }
}

fn list(body: &mut String, items: &[String], none: &str) {
    for item in items {
        body.push_str(&format!("  {}\n", visible(item, WORDS)));
    }
    if items.is_empty() {
        body.push_str(&format!("  {none}\n"));
    }
}
