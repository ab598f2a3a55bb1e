//! One record counts once: the same Suricata may write its alerts to a file and to a socket, and both be
//! read. (What can be told beforehand is left out by `source::plan`.)

use std::collections::VecDeque;
use std::hash::BuildHasher as _;

use crate::event::{SuricataAlert, Timestamp, canonical};
use crate::seeded::{HashMap, Seeded};

/// Alerts that are remembered; sources are read in turn, so the other's is never far behind.
const MOST: usize = 16_384;

/// The latest alerts, and which source brought each first.
#[derive(Debug, Default)]
pub(super) struct Echoes {
    first: HashMap<u64, usize>,
    order: VecDeque<u64>,
    hasher: Seeded,
}

impl Echoes {
    /// Whether another source has brought this alert before: of the same microsecond, rule and packet.
    pub(super) fn is_echo(
        &mut self,
        source: usize,
        trusted: bool,
        time: Option<Timestamp>,
        alert: &SuricataAlert<'_>,
    ) -> bool {
        let Some(time) = time else { return false };
        let SuricataAlert { gid, sid, src, src_port, dst, dst_port, .. } = alert;
        let (src, dst) = (src.map(canonical), dst.map(canonical));
        // What anybody may have written takes nothing away from what nobody else could.
        let key = (trusted, time.as_micros(), gid, sid, src, src_port, dst, dst_port);
        let key = self.hasher.hash_one(key);
        if let Some(first) = self.first.get(&key) {
            return *first != source;
        }
        if self.order.len() >= MOST
            && let Some(oldest) = self.order.pop_front()
        {
            self.first.remove(&oldest);
        }
        self.order.push_back(key);
        self.first.insert(key, source);
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alert_counts_once_whichever_source_brings_it_first() {
        let mut echoes = Echoes::default();
        let alert = |sid, src: &str| SuricataAlert {
            gid: 1,
            sid,
            src: Some(src.parse().unwrap()),
            ..SuricataAlert::default()
        };
        let (at, later) = (Timestamp::from_secs(1_000), Timestamp::from_secs(1_001));
        let (one, other) = (alert(1, "192.0.2.1"), alert(2, "192.0.2.1"));
        assert!(!echoes.is_echo(0, true, Some(at), &one));
        assert!(echoes.is_echo(1, true, Some(at), &one));
        assert!(echoes.is_echo(1, true, Some(at), &alert(1, "::ffff:192.0.2.1")));
        assert!(!echoes.is_echo(0, true, Some(at), &one), "a packet may match a rule twice");
        assert!(!echoes.is_echo(1, true, Some(later), &one));
        assert!(!echoes.is_echo(1, true, Some(at), &other));
        assert!(!echoes.is_echo(1, true, None, &one));
        assert!(!echoes.is_echo(1, false, Some(at), &one));
        assert!(!echoes.is_echo(1, false, Some(later), &other));
        assert!(!echoes.is_echo(0, true, Some(later), &other), "a forged one is nobody's echo");
    }

    #[test]
    fn a_flood_takes_no_more_room() {
        let mut echoes = Echoes::default();
        for n in 0..3 * i64::try_from(MOST).unwrap() {
            let time = Some(Timestamp::from_secs(n));
            assert!(!echoes.is_echo(0, true, time, &SuricataAlert::default()));
        }
        assert_eq!((echoes.first.len(), echoes.order.len()), (MOST, MOST));
    }
}
