//! Drops as they are announced, read from the ring buffer.

use std::os::fd::{AsFd, BorrowedFd};

use aya::Ebpf;
use aya::maps::{MapData, RingBuf};
use aya_log::EbpfLogger;
use log::Log;
use ravelin_common::DropEvent;

/// A reader of announced drops. Its descriptor becomes readable when there are some; belongs into a
/// thread or task of its own.
pub struct DropEvents(RingBuf<MapData>);

impl DropEvents {
    pub(super) const fn new(ring: RingBuf<MapData>) -> Self {
        Self(ring)
    }

    /// The oldest one that hasn't been read; `None` where there is none. Doesn't block.
    ///
    /// The ring outlives the daemon: the first ones may be from before it started.
    #[expect(clippy::should_implement_trait, reason = "it doesn't end where it says None")]
    pub fn next(&mut self) -> Option<DropEvent> {
        loop {
            // One of another length isn't ours to understand.
            if let Some(event) = parse(&self.0.next()?) {
                return Some(event);
            }
        }
    }
}

impl AsFd for DropEvents {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// A reader of what a debugging build of the program logs; the others have none.
pub struct ProgramLog(EbpfLogger<&'static dyn Log>);

impl ProgramLog {
    pub(super) fn of(ebpf: &mut Ebpf) -> Option<Self> {
        // The one error is that the program has no log.
        EbpfLogger::init(ebpf).map(Self).ok()
    }

    /// Hands what was logged to the daemon's own log. Doesn't block.
    pub fn flush(&mut self) {
        self.0.flush();
    }
}

impl AsFd for ProgramLog {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

fn parse(bytes: &[u8]) -> Option<DropEvent> {
    let (time_ns, rest) = bytes.split_first_chunk()?;
    let (source, rest) = rest.split_first_chunk()?;
    let (ifindex, rest) = rest.split_first_chunk()?;
    let (length, rest) = rest.split_first_chunk()?;
    let (reason, rest) = rest.split_first_chunk()?;
    let (suppressed, rest) = rest.split_first_chunk()?;
    rest.is_empty().then(|| DropEvent {
        time_ns: u64::from_ne_bytes(*time_ns),
        source: *source,
        ifindex: u32::from_ne_bytes(*ifindex),
        length: u32::from_ne_bytes(*length),
        reason: u32::from_ne_bytes(*reason),
        suppressed: u32::from_ne_bytes(*suppressed),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_the_program_writes_and_refuses_other_lengths() {
        let mut bytes = Vec::new();
        bytes.extend(7_u64.to_ne_bytes());
        bytes.extend([9; 16]);
        for field in [1_u32, 60, 6, 3] {
            bytes.extend(field.to_ne_bytes());
        }
        assert_eq!(bytes.len(), size_of::<DropEvent>());
        let event = DropEvent {
            time_ns: 7,
            source: [9; 16],
            ifindex: 1,
            length: 60,
            reason: 6,
            suppressed: 3,
        };
        assert_eq!(parse(&bytes), Some(event));
        assert_eq!(parse(&bytes[1..]), None);
        bytes.push(0);
        assert_eq!(parse(&bytes), None);
    }
}
