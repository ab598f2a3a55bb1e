//! When an alert is mailed.

use super::MailConfig;

/// How soon people hear of an alert.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Urgency {
    /// In the day's digest.
    Digest,
    /// At once.
    Immediate,
}

impl Urgency {
    /// All of them, the most urgent first.
    pub const ALL: [Self; 2] = [Self::Immediate, Self::Digest];

    /// Its name in packs and output.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Digest => "digest",
            Self::Immediate => "immediate",
        }
    }

    /// That of a rule of this level, which may say `mail: true` or `mail: false`, by `mail.level` and
    /// `mail.immediate`; `None`: it isn't mailed.
    pub const fn of((from, immediate): (u8, u8), level: u8, said: Option<bool>) -> Option<Self> {
        match said {
            Some(false) => None,
            Some(true) => Some(Self::Immediate),
            None if level < from => None,
            None if level >= immediate => Some(Self::Immediate),
            None => Some(Self::Digest),
        }
    }
}

impl MailConfig {
    /// Whether somebody is told at all.
    pub fn tells(&self) -> bool {
        !self.to.is_empty() || self.webhook.is_some()
    }

    /// How soon people hear of an alert of this level; `said`: its rule's `mail`.
    pub const fn urgency(&self, level: u8, said: Option<bool>) -> Option<Urgency> {
        Urgency::of((self.level, self.immediate), level, said)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rules_word_goes_before_its_level() {
        let of = |level, said| Urgency::of((7, 12), level, said);
        assert_eq!([of(6, None), of(15, Some(false))], [None, None]);
        assert_eq!([of(7, None), of(11, None)], [Some(Urgency::Digest); 2]);
        assert_eq!([of(12, None), of(0, Some(true))], [Some(Urgency::Immediate); 2]);
    }
}
