//! Who seems to be a front: alerts about one address name many forwarded clients.
//!
//! That is said, and nothing more: whoever attacks can write into a header what he likes, so it protects
//! nobody from a ban. An admin whose load balancer it is gets to know what to do.

use std::collections::HashMap;
use std::net::IpAddr;

use crate::event::Event;

/// So many different clients make a suspect.
const CLIENTS: usize = 5;
/// Addresses that are watched at a time.
const MOST: usize = 256;

/// So many are told until somebody does something: each is a mail, and who has many addresses could cause as
/// many.
const TOLD: usize = 8;

/// Forwarded clients by who brought them.
#[derive(Debug, Default)]
pub(super) struct Suspects {
    /// At most [`CLIENTS`] of each.
    clients: HashMap<IpAddr, Vec<IpAddr>>,
    told: usize,
}

impl Suspects {
    /// Takes note of whom an event by `offender` was forwarded for; says whether that makes it a suspect.
    pub(super) fn note(&mut self, event: &Event<'_>, offender: IpAddr) -> bool {
        if self.told >= TOLD {
            return false;
        }
        let client =
            event.suricata.and_then(|alert| forwarded(alert.eve.as_ref()?.xff.as_deref()?));
        let Some(client) = client.filter(|client| *client != offender) else { return false };
        if self.clients.len() >= MOST && !self.clients.contains_key(&offender) {
            // Those who have brought fewest begin anew.
            let fewest = self.clients.values().map(Vec::len).min();
            self.clients.retain(|_, clients| Some(clients.len()) != fewest);
        }
        let clients = self.clients.entry(offender).or_default();
        if clients.len() >= CLIENTS || clients.contains(&client) {
            return false;
        }
        clients.push(client);
        let is_one = clients.len() == CLIENTS;
        self.told += usize::from(is_one);
        is_one
    }

    /// Begins anew, as after a change of `fronts`.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}

/// The client that a header names: the last one, which the proxy next to us wrote.
fn forwarded(header: &str) -> Option<IpAddr> {
    header.rsplit(',').next()?.trim().parse().ok()
}

/// What the admin is told.
pub(super) fn remedy(front: IpAddr) -> String {
    format!(
        "alerts about {front} name {CLIENTS} different forwarded clients (X-Forwarded-For): if it is a load balancer, CDN \
         or proxy that you know, add it to fronts, or a ban of it locks out all of its clients; if you don't know it, \
         the headers are made up, and there is nothing to do"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Blame, EveExtra, EventKind, Fields, SuricataAlert};

    fn note(suspects: &mut Suspects, offender: &str, xff: Option<&str>) -> bool {
        let kind = EventKind {
            index: 0,
            name: String::new(),
            pack: String::new(),
            proven: true,
            attempt: false,
            success: false,
            web: false,
        };
        let eve = EveExtra { xff: xff.map(Into::into), ..EveExtra::default() };
        let alert = SuricataAlert { eve: Some(eve), ..SuricataAlert::default() };
        let event = Event {
            kind: &kind,
            fields: Fields::default(),
            program: None,
            pid: None,
            repeated: 1,
            address: Blame::Nobody,
            suricata: Some(&alert),
        };
        suspects.note(&event, offender.parse().unwrap())
    }

    #[test]
    fn many_forwarded_clients_make_a_suspect_once() {
        let mut suspects = Suspects::default();
        let mut brings = |xff: Option<&str>| note(&mut suspects, "198.51.100.7", xff);
        assert!(!brings(None) && !brings(Some("unknown")) && !brings(Some("198.51.100.7")));
        for last in 1..5 {
            let client = format!("203.0.113.200, 192.0.2.{last}");
            assert!(!brings(Some(&client)) && !brings(Some(&client)));
        }
        assert!(brings(Some("192.0.2.5")));
        assert!(!brings(Some("192.0.2.6")));
        suspects.clear();
        assert!(!note(&mut suspects, "198.51.100.7", Some("192.0.2.5")));
    }

    #[test]
    fn a_crowd_of_suspects_is_bounded_and_a_real_one_stays() {
        let mut suspects = Suspects::default();
        let front = |suspects: &mut Suspects, last: u8| {
            note(suspects, "198.51.100.7", Some(&format!("192.0.2.{last}")))
        };
        (1..5).for_each(|last| assert!(!front(&mut suspects, last)));
        for n in 0..2_000_u32 {
            note(&mut suspects, &format!("2001:db8::{n:x}"), Some("192.0.2.1"));
            assert!(suspects.clients.len() <= MOST);
        }
        assert!(front(&mut suspects, 5));
        let told = (0..100_u8).filter(|n| {
            let mut brings = |client: u8| {
                note(&mut suspects, &format!("203.0.113.{n}"), Some(&format!("192.0.2.{client}")))
            };
            (1..6).filter(|client| brings(*client)).count() == 1
        });
        assert_eq!(told.count(), TOLD - 1);
    }
}
