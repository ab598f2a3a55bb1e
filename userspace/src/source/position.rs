//! How far a source has been read, in a form that survives restarts, renames and reused inodes.

use std::fmt;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// How far a source has been read; text (JSON) for the database.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Position {
    /// A file that is followed through rotation.
    File {
        /// Open files in the order they are read: rotated ones that may still grow, then the current
        /// one. Empty where the file has never been there.
        files: Vec<FilePosition>,
        /// Files beside it that need no reading: those that were read to their end and left, and those that were there
        /// before it was followed.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        left: Vec<FilePosition>,
        /// Rotated files written to later than this are to be read, unless they are among those. `None`: nobody has
        /// looked yet, or an earlier version wrote this, for which the last of `files` tells it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        since: Option<i64>,
    },
    /// A pattern: which files match was seen; those that appear later are read from their beginning.
    Glob {
        /// When, in nanoseconds since the epoch; what was written to a file before isn't new.
        since: i64,
    },
    /// The journal.
    Journal {
        /// Of the last entry that was read; `None`: there was none yet, all are to be read.
        cursor: Option<String>,
    },
    /// None, since it is a socket; never stored.
    Socket,
}

/// How far one file has been read.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
pub struct FilePosition {
    /// Its filesystem.
    pub device: u64,
    /// Its inode there.
    pub inode: u64,
    /// Its first bytes.
    pub head: Head,
    /// The first byte that hasn't been delivered; the beginning of a line.
    pub offset: u64,
    /// When it was last written to, as far as we saw: nanoseconds since the epoch.
    pub modified: i64,
}

/// A fingerprint of a file's first bytes: of the first [`Head::MOST`] of those that were read.
///
/// FNV-1a, since it can be extended as the file grows and is the same for ever. An attacker gains
/// nothing from a collision: it would take two files beside the log whose beginnings he writes.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
pub struct Head {
    len: u16,
    hash: u64,
}

/// A stored position that can't be understood.
#[derive(Debug, thiserror::Error)]
#[error("expected a source's position, got `{text}`; a newer version may have written it")]
pub struct PositionError {
    /// What was stored.
    pub text: String,
    #[source]
    source: serde_json::Error,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&serde_json::to_string(self).map_err(|_unprintable| fmt::Error)?)
    }
}

impl FromStr for Position {
    type Err = PositionError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        serde_json::from_str(text)
            .map_err(|source| PositionError { text: text.chars().take(200).collect(), source })
    }
}

impl Default for Head {
    fn default() -> Self {
        Self::EMPTY
    }
}

impl Head {
    /// The most bytes it covers.
    pub const MOST: usize = 256;
    /// That of a file of which nothing was read: every file matches it.
    pub const EMPTY: Self = Self { len: 0, hash: 0xcbf2_9ce4_8422_2325 };

    /// Of the first `offset` bytes of `file`, at most [`Head::MOST`].
    pub(super) fn read(file: &File, offset: u64) -> io::Result<Self> {
        let mut bytes = [0; Self::MOST];
        let most = usize::try_from(offset).map_or(Self::MOST, |offset| offset.min(Self::MOST));
        let filled = read_up_to(file, &mut bytes[..most])?;
        let mut head = Self::EMPTY;
        head.extend(&bytes[..filled]);
        Ok(head)
    }

    /// Covers the bytes that follow, as far as it has room.
    pub(super) fn extend(&mut self, bytes: &[u8]) {
        let room = Self::MOST - self.len().min(Self::MOST);
        for &byte in bytes.iter().take(room) {
            self.hash = (self.hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
            self.len += 1;
        }
    }

    /// Bytes covered.
    pub(super) fn len(self) -> usize {
        usize::from(self.len)
    }

    /// Whether it covers as much as it can, so that an equal one means the same content even in
    /// another inode.
    pub(super) fn is_full(self) -> bool {
        self.len() >= Self::MOST
    }

    /// Whether `file` begins with what it covers.
    pub(super) fn matches(self, file: &File) -> io::Result<bool> {
        Ok(self.len == 0 || Self::read(file, u64::from(self.len))? == self)
    }
}

/// Fills as much of `buffer` with the beginning of `file` as there is.
pub(super) fn read_up_to(file: &File, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read_at(&mut buffer[filled..], filled as u64) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn a_head_grows_to_what_reading_it_at_once_gives() {
        let mut file = tempfile::tempfile().unwrap();
        let bytes: Vec<u8> = (0..=255).cycle().take(400).collect();
        file.write_all(&bytes).unwrap();
        let mut head = Head::EMPTY;
        for (part, offset) in [(0..3, 3), (3..200, 200), (200..400, 400)] {
            head.extend(&bytes[part]);
            assert_eq!(head, Head::read(&file, offset).unwrap());
            assert!(head.matches(&file).unwrap());
        }
        assert!(head.is_full());
        file.set_len(255).unwrap();
        assert!(!head.matches(&file).unwrap(), "a shorter file isn't the same");
    }

    #[test]
    fn positions_survive_as_text() {
        let file = FilePosition {
            device: u64::MAX,
            inode: 1,
            head: Head { len: 9, hash: 8 },
            offset: 300,
            modified: -5,
        };
        let position = Position::File { files: vec![file], left: vec![], since: None };
        let text = position.to_string();
        assert_eq!(
            text,
            r#"{"file":{"files":[{"device":18446744073709551615,"inode":1,"head":{"len":9,"hash":8},"offset":300,"modified":-5}]}}"#
        );
        assert_eq!(text.parse::<Position>().unwrap(), position);
        assert!("{}".parse::<Position>().is_err());
    }

    #[test]
    fn a_stored_head_of_nonsense_length_is_harmless() {
        let mut head: Head = serde_json::from_str(r#"{"len":65535,"hash":1}"#).unwrap();
        head.extend(b"more");
        assert!(!head.matches(&tempfile::tempfile().unwrap()).unwrap());
    }
}
