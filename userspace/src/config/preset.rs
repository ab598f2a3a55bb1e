//! Ranges that providers publish, by name, out of a dated file that ships inside the binary.

use std::fmt;
use std::str::FromStr;
use std::sync::LazyLock;

use ipnet::IpNet;

use super::check::prefix;
use super::nearest::nearest;

const FILE: &str = include_str!("presets.txt");

static PRESETS: LazyLock<Vec<Preset>> = LazyLock::new(|| parse(FILE));

/// One of them.
#[derive(Debug, Eq, PartialEq)]
pub struct Preset {
    /// Behind `preset:`.
    pub name: &'static str,
    /// When its ranges were last compared with what is published.
    pub date: &'static str,
    /// Where that is.
    pub source: &'static str,
    /// Whose they are.
    pub what: &'static str,
    /// The ranges.
    pub nets: Vec<IpNet>,
}

impl Preset {
    /// All there are.
    pub fn all() -> &'static [Self] {
        &PRESETS
    }

    /// The one of this name.
    ///
    /// # Errors
    /// What was expected, with the nearest name.
    pub fn named(name: &str) -> Result<&'static Self, String> {
        Self::all().iter().find(|preset| preset.name == name).ok_or_else(|| {
            let names: Vec<&str> = Self::all().iter().map(|preset| preset.name).collect();
            match nearest(name, names.iter().copied()) {
                Some(near) => format!("expected a preset's name, perhaps `preset:{near}`"),
                None => format!("expected one of the presets {}", names.join(", ")),
            }
        })
    }
}

impl fmt::Display for Preset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "preset:{}", self.name)
    }
}

/// A prefix, or a preset by its name.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Named {
    /// `192.0.2.0/24`.
    Net(IpNet),
    /// `preset:cloudflare`.
    Preset(&'static Preset),
}

impl FromStr for Named {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.strip_prefix("preset:") {
            Some(name) => Preset::named(name).map(Self::Preset),
            None => prefix(text).map(Self::Net),
        }
    }
}

impl Named {
    /// Its ranges.
    pub fn nets(&self) -> &[IpNet] {
        match self {
            Self::Net(net) => std::slice::from_ref(net),
            Self::Preset(preset) => &preset.nets,
        }
    }
}

/// What isn't as it should be is left out here; a test sees to it that nothing is.
fn parse(text: &'static str) -> Vec<Preset> {
    let mut presets: Vec<Preset> = Vec::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        if let Some(head) = line.strip_prefix("preset ") {
            let mut words = head.splitn(4, ' ');
            let mut word = || words.next().unwrap_or_default();
            let (name, date, source, what) = (word(), word(), word(), word());
            presets.push(Preset { name, date, source, what, nets: Vec::new() });
        } else if let (Some(preset), Ok(net)) = (presets.last_mut(), prefix(line)) {
            preset.nets.push(net);
        }
    }
    presets
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_of_the_file_counts() {
        let content = || FILE.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
        let heads = content().filter(|line| line.starts_with("preset ")).count();
        let nets: usize = Preset::all().iter().map(|preset| preset.nets.len()).sum();
        assert_eq!((Preset::all().len(), heads + nets), (heads, content().count()));
        for preset in Preset::all() {
            assert!(preset.date.parse::<jiff::civil::Date>().is_ok(), "{preset:?}");
            assert!(preset.source.starts_with("https://") && !preset.what.is_empty(), "{preset:?}");
            assert!(preset.nets.iter().all(|net| *net == net.trunc()), "{preset:?}");
        }
    }

    #[test]
    fn names_are_told_apart_and_guessed() {
        let cloudflare: Named = "preset:cloudflare".parse().unwrap();
        assert_eq!(cloudflare.nets().len(), 22);
        let error = "preset:cloudflair".parse::<Named>().unwrap_err();
        assert!(error.contains("preset:cloudflare"), "{error}");
        let error = "preset:moon".parse::<Named>().unwrap_err();
        assert!(error.contains("cloudflare, fastly"), "{error}");
    }
}
