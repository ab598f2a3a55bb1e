//! Lists from files: users, addresses and networks that conditions ask for.
//!
//! One entry a line; `#` at a line's beginning or after a space begins a comment. What reads as an address
//! or a network is one, everything else is a text. A list without entries isn't known: neither `in` nor
//! `not_in` holds for it, so that a file which somebody emptied doesn't turn a rule on everybody.

mod watch;
mod watched_file;

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::io::{self, Read as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ipnet::IpNet;

pub use self::watch::ListWatch;
pub(crate) use self::watched_file::WatchedFile;
use super::error::{PackError, Place, Problem};
use crate::event::{Value, canonical};

/// Bytes that a list may have.
const MOST_BYTES: u64 = 8 << 20;
/// Entries that a list may have.
const MOST_ENTRIES: usize = 1 << 18;

/// A list that packs name.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ListSource {
    /// What conditions call it.
    pub name: String,
    /// Where its entries are.
    pub path: PathBuf,
    /// Where a pack names it.
    pub place: Place,
}

/// What lists hold, in the order of [`super::RuleSet::lists`]; `None`: it was never read.
pub type Lists = Vec<Option<Arc<List>>>;

/// Entries, made to be asked for.
#[derive(Debug, Default, Eq, PartialEq)]
pub struct List {
    texts: HashSet<Box<[u8]>>,
    /// First and last address of each range; ascending, and apart from each other.
    v4: Vec<(Ipv4Addr, Ipv4Addr)>,
    v6: Vec<(Ipv6Addr, Ipv6Addr)>,
}

/// Why a list can't be had.
#[derive(Debug, thiserror::Error)]
pub enum ListError {
    /// The file can't be read.
    #[error("cannot read the list `{}`: {source}: make the file, and let the daemon read it", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A folder, a pipe.
    #[error("expected a file, got something else at `{}`", path.display())]
    NotAFile {
        /// Which.
        path: PathBuf,
    },
    /// More than is read.
    #[error(
        "expected at most {} bytes and {MOST_ENTRIES} entries in the list `{}`, got more: write networks instead of \
         addresses",
        MOST_BYTES,
        path.display()
    )]
    TooLong {
        /// Which.
        path: PathBuf,
    },
    /// Neither a text nor a network.
    #[error("{}:{line}: expected a name, an address or a network, got `{text}`", path.display())]
    BadEntry {
        /// Which.
        path: PathBuf,
        /// From 1.
        line: usize,
        /// As written.
        text: String,
    },
}

impl ListSource {
    /// Reads it; the error says where the pack names it.
    pub fn read(&self) -> Result<List, PackError> {
        List::read(&self.path).map_err(|source| PackError::Problem {
            place: Box::new(self.place.clone()),
            problem: Problem::List { source },
        })
    }
}

impl List {
    /// Reads a file.
    pub fn read(path: &Path) -> Result<Self, ListError> {
        let unreadable = |source| ListError::Read { path: path.to_owned(), source };
        // A pipe would be waited for.
        if !fs::metadata(path).map_err(unreadable)?.is_file() {
            return Err(ListError::NotAFile { path: path.to_owned() });
        }
        let file = fs::File::open(path).map_err(unreadable)?;
        let mut bytes = Vec::new();
        file.take(MOST_BYTES + 1).read_to_end(&mut bytes).map_err(unreadable)?;
        if bytes.len() as u64 > MOST_BYTES {
            return Err(ListError::TooLong { path: path.to_owned() });
        }
        Self::parse(path, &bytes)
    }

    /// Those of packs' tests, by name, in the order of `sources`.
    pub(crate) fn of_test(
        sources: &[ListSource],
        given: &BTreeMap<String, Vec<String>>,
    ) -> Result<Lists, ListError> {
        let lists = sources.iter().map(|source| match given.get(&source.name) {
            Some(entries) => {
                let list = Self::parse(Path::new(&source.name), entries.join("\n").as_bytes())?;
                Ok(Some(Arc::new(list)))
            }
            None => Ok(None),
        });
        lists.collect()
    }

    fn parse(path: &Path, bytes: &[u8]) -> Result<Self, ListError> {
        let mut list = Self::default();
        let mut entries = 0;
        for (at, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
            let entry = without_comment(line).trim_ascii();
            if entry.is_empty() {
                continue;
            }
            entries += 1;
            if entries > MOST_ENTRIES {
                return Err(ListError::TooLong { path: path.to_owned() });
            }
            if !list.add(entry) {
                let text = String::from_utf8_lossy(&entry[..entry.len().min(80)])
                    .escape_debug()
                    .to_string();
                return Err(ListError::BadEntry { path: path.to_owned(), line: at + 1, text });
            }
        }
        merge(&mut list.v4, |last| last.to_bits().checked_add(1).map(Ipv4Addr::from_bits));
        merge(&mut list.v6, |last| last.to_bits().checked_add(1).map(Ipv6Addr::from_bits));
        Ok(list)
    }

    /// Takes an entry in; says whether it makes sense.
    fn add(&mut self, entry: &[u8]) -> bool {
        if entry.iter().any(u8::is_ascii_control) {
            return false;
        }
        let text = str::from_utf8(entry).unwrap_or_default();
        let net = match text.parse::<IpAddr>() {
            Ok(addr) => Some(IpNet::from(canonical(addr))),
            Err(_) => text.parse().ok(),
        };
        match net {
            Some(IpNet::V4(net)) => self.v4.push((net.network(), net.broadcast())),
            Some(IpNet::V6(net)) => self.v6.push((net.network(), net.broadcast())),
            // A network with a mistake in it isn't a name.
            None if text
                .split_once('/')
                .is_some_and(|(addr, _)| addr.parse::<IpAddr>().is_ok()) =>
            {
                return false;
            }
            None => {
                self.texts.insert(entry.into());
            }
        }
        true
    }

    /// Whether it has no entry.
    pub fn is_empty(&self) -> bool {
        self.texts.is_empty() && self.v4.is_empty() && self.v6.is_empty()
    }

    /// Whether a value is in it.
    pub fn contains(&self, value: &Value<'_>) -> bool {
        match value {
            Value::Text(text) => self.texts.contains(&**text),
            Value::Number(number) => self.texts.contains(number.to_string().as_bytes()),
            Value::Addr(IpAddr::V4(addr)) => lies_in(&self.v4, *addr),
            Value::Addr(IpAddr::V6(addr)) => lies_in(&self.v6, *addr),
        }
    }
}

fn without_comment(line: &[u8]) -> &[u8] {
    let begins = |at: &usize| line[*at] == b'#' && (*at == 0 || line[at - 1].is_ascii_whitespace());
    (0..line.len()).find(begins).map_or(line, |at| &line[..at])
}

/// Sorts ranges, and joins those that touch.
fn merge<A: Copy + Ord>(ranges: &mut Vec<(A, A)>, next: impl Fn(A) -> Option<A>) {
    ranges.sort_unstable();
    ranges.dedup_by(|later, earlier| {
        let touches = next(earlier.1).is_none_or(|next| later.0 <= next);
        if touches {
            earlier.1 = earlier.1.max(later.1);
        }
        touches
    });
}

fn lies_in<A: Copy + Ord>(ranges: &[(A, A)], addr: A) -> bool {
    let at = ranges.partition_point(|(_, last)| *last < addr);
    ranges.get(at).is_some_and(|(first, _)| *first <= addr)
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::*;

    fn list(text: &str) -> Result<List, ListError> {
        List::parse(Path::new("list"), text.as_bytes())
    }

    #[test]
    fn holds_names_addresses_and_networks() {
        let list = list(
            "# comment\n\nroot  # the one\r\n  John Smith\na#b\n22\n198.51.100.7\n198.51.100.0/25\n\
             198.51.100.128/25\n::ffff:203.0.113.9\n2001:db8::/32\n",
        )
        .unwrap();
        let text = |text: &'static str| list.contains(&Value::Text(Cow::Borrowed(text.as_bytes())));
        assert!(text("root") && text("John Smith") && text("a#b"));
        assert!(!text("comment") && !text("Root") && !text("") && !text("198.51.100.7"));
        assert!(list.contains(&Value::Number(22)) && !list.contains(&Value::Number(2)));
        let addr = |text: &str| list.contains(&Value::Addr(text.parse().unwrap()));
        assert!(addr("198.51.100.0") && addr("198.51.100.255") && addr("203.0.113.9"));
        assert!(!addr("198.51.99.255") && !addr("198.51.101.0") && !addr("203.0.113.8"));
        assert!(addr("2001:db8:ffff::1") && !addr("2001:db9::"));
        assert_eq!(list.v4.len(), 2, "what touches is one range: {:?}", list.v4);
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_its_line() {
        let error = list("root\n198.51.100.0/33\n").unwrap_err().to_string();
        assert_eq!(
            error,
            "list:2: expected a name, an address or a network, got `198.51.100.0/33`"
        );
        assert!(list("a\0b").is_err());
        let many = "a\n".repeat(MOST_ENTRIES);
        assert!(list(&many).is_ok());
        assert!(matches!(list(&format!("{many}a")), Err(ListError::TooLong { .. })));
        assert!(list("# nothing\n").unwrap().is_empty());
        assert!(matches!(List::read(Path::new("/")), Err(ListError::NotAFile { .. })));
        assert!(matches!(List::read(Path::new("/nowhere/x")), Err(ListError::Read { .. })));
    }

    #[test]
    fn the_whole_of_both_families_is_one_range() {
        let list = list("0.0.0.0/0\n255.255.255.255\n::/0\nffff::1\n").unwrap();
        assert_eq!((list.v4.len(), list.v6.len()), (1, 1));
        assert!(list.contains(&Value::Addr("255.255.255.255".parse().unwrap())));
    }
}
