//! A mail about the daemon itself: start and stop, protection degraded and restored.

use super::page::Page;
use super::{Scene, WORDS};
use crate::mail::notice::{Degraded, Notice, Recovered, Started, Stopped};
use crate::mail::text::{counted, visible};

impl Scene {
    /// Start and stop; gives the subject.
    pub(super) fn life(&self, page: &mut Page, notices: &[Notice]) -> String {
        let mut subject = "ravelin: no details".to_owned();
        for notice in notices {
            match notice {
                Notice::Started(started) => subject = self.started(page, started),
                Notice::Stopped(stopped) => subject = self.stopped(page, stopped),
                Notice::Alert(_) | Notice::Degraded(_) | Notice::Recovered(_) => {}
            }
        }
        subject
    }

    fn started(&self, page: &mut Page, started: &Started) -> String {
        let Started { at, mode, interfaces, sources, bans, warnings } = started;
        let attached: Vec<String> = interfaces
            .iter()
            .map(|(name, how)| format!("{} ({})", visible(name, 16), visible(how, 16)))
            .collect();
        let verb = if mode == "observe" { "only observes" } else { "protects" };
        page.lead(&format!("ravelin {} {verb} {}.", self.version, self.host));
        for warning in warnings {
            page.text(&format!("! {}", visible(warning, 2 * WORDS)));
        }
        page.text(&format!(
            "Started: {}\nMode: {}\nBans that stand: {bans}",
            self.local(*at),
            visible(mode, 16)
        ));
        page.list("Interfaces", or_none(&attached, "none: nothing is dropped"));
        page.list("Sources", or_none(sources, "none: nothing is read"));
        let on = if attached.is_empty() { "no interface".to_owned() } else { attached.join(", ") };
        format!("ravelin started: {} on {on}", visible(mode, 16))
    }

    fn stopped(&self, page: &mut Page, stopped: &Stopped) -> String {
        let Stopped { at, reason, bans } = stopped;
        page.lead(&format!("ravelin stopped: {}.", visible(reason, WORDS)));
        page.text(&format!(
            "Stopped: {}\n{} in the kernel:\ndrops go on, and each ban ends on time.\n\
             No new ones come until it runs again.",
            self.local(*at),
            counted(*bans, "ban"),
        ));
        format!("ravelin stopped: {}", visible(reason, 40))
    }

    /// Degraded and restored; gives the subject.
    pub(super) fn health(&self, page: &mut Page, notices: &[Notice]) -> String {
        let mut subjects = Vec::new();
        for notice in notices {
            match notice {
                Notice::Degraded(Degraded { at, code, level, what, remedy }) => {
                    page.lead(&visible(what, WORDS));
                    page.text(&format!(
                        "{}, level {level}\nsince {}",
                        visible(code, 40),
                        self.local(*at)
                    ));
                    page.text(&format!("What to do:\n{}", visible(remedy, 2 * WORDS)));
                    let code = if what.starts_with(code.as_str()) {
                        String::new()
                    } else {
                        format!("{}: ", visible(code, 40))
                    };
                    subjects.push(format!("level {level}: {code}{}", visible(what, WORDS)));
                }
                Notice::Recovered(Recovered { at, code }) => {
                    page.lead(&format!("{} is over", visible(code, 40)));
                    page.text(&format!("since {}", self.local(*at)));
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

fn or_none(items: &[String], none: &str) -> Vec<String> {
    if items.is_empty() {
        return vec![none.to_owned()];
    }
    items.iter().map(|item| visible(item, WORDS)).collect()
}
