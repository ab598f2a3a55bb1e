//! Addresses and times of the lines that `replay` prints, without the machinery of `fmt`: there
//! may be as many of them as lines in the input.

use std::fmt::Write as _;
use std::net::IpAddr;

use crate::event::Timestamp;

/// A line under way.
#[derive(Debug, Default)]
pub(super) struct Text(String);

impl Text {
    /// Begins the next line.
    pub(super) fn begin(&mut self) -> &mut Self {
        self.0.clear();
        self
    }

    pub(super) fn text(&mut self, text: &str) -> &mut Self {
        self.0.push_str(text);
        self
    }

    pub(super) fn address(&mut self, addr: IpAddr) -> &mut Self {
        match addr {
            IpAddr::V4(v4) => {
                let mut digits = itoa::Buffer::new();
                let [first, others @ ..] = v4.octets();
                self.0.push_str(digits.format(first));
                for octet in others {
                    self.0.push('.');
                    self.0.push_str(digits.format(octet));
                }
            }
            IpAddr::V6(v6) => write!(self.0, "{v6}").expect("a string takes all that is written"),
        }
        self
    }

    /// All of it, ended.
    pub(super) fn end(&mut self) -> &[u8] {
        self.0.push('\n');
        self.0.as_bytes()
    }
}

/// The text of a time, as [`Timestamp`] displays it; the next one is mostly of the same second.
#[derive(Debug, Default)]
pub(super) struct Clock {
    time: Option<Timestamp>,
    text: String,
    /// Length of the text up to its second.
    whole: usize,
}

impl Clock {
    pub(super) fn show(&mut self, time: Timestamp) -> &str {
        if self.time != Some(time) {
            self.read(time);
            self.time = Some(time);
        }
        &self.text
    }

    fn read(&mut self, time: Timestamp) {
        const SECOND: i64 = 1_000_000;
        let second = time.as_micros().div_euclid(SECOND);
        let before = self.time.map(|before| before.as_micros().div_euclid(SECOND));
        if before != Some(second) {
            self.text.clear();
            write!(self.text, "{}", Timestamp::from_secs(second))
                .expect("a string takes all that is written");
            self.whole = self.text.len() - 1;
        }
        if !self.text.ends_with('Z') {
            // Beyond the calendar.
            self.text = time.to_string();
            return;
        }
        self.text.truncate(self.whole);
        let micros = time.as_micros().rem_euclid(SECOND);
        if micros != 0 {
            // A one in front keeps the zeros.
            let mut digits = itoa::Buffer::new();
            let digits = digits.format(SECOND + micros).trim_end_matches('0');
            self.text.push('.');
            self.text.push_str(&digits[1..]);
        }
        self.text.push('Z');
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_clock_shows_times_as_they_display(
            steps in prop::collection::vec(
                prop_oneof![
                    any::<i64>(),
                    -2_000_000_000_000_000_i64..3_000_000_000_000_000,
                    -3_000_000_i64..3_000_000,
                    (-3_i64..3).prop_map(|second| second * 1_000_000),
                ],
                1..20,
            ),
        ) {
            let mut clock = Clock::default();
            for micros in steps {
                let time = Timestamp::from_micros(micros);
                prop_assert_eq!(clock.show(time), time.to_string());
            }
        }

        #[test]
        fn addresses_are_written_as_they_display(addr: IpAddr) {
            let mut text = Text::default();
            let line = text.begin().address(addr).text(" ").end();
            let expected = format!("{addr} \n");
            prop_assert_eq!(line, expected.as_bytes());
        }
    }
}
