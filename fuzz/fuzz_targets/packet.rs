//! The parser of the XDP program against etherparse, on whatever libFuzzer comes up with.
//!
//! `cargo +nightly fuzz run packet` in the workspace's root; `cargo install cargo-fuzz` brings `fuzz`.
//! What it has found interesting stays in `fuzz/corpus/packet`.
#![no_main]

use std::net::IpAddr;

use libfuzzer_sys::fuzz_target;
use ravelin_common::destination::Destination;
use ravelin_common::packet::Packet;

#[path = "../../tests/src/oracle.rs"]
mod oracle;

fuzz_target!(|frame: &[u8]| {
    let parsed = Packet::parse(frame);
    assert_eq!(parsed.map(Packet::source), oracle::source(frame));
    let Ok(packet) = parsed else { return };

    // What the program takes for the packet's place and length is so.
    let (start, header_len, announced) = match packet {
        Packet::V4(packet) => (packet.as_ptr(), 20, packet.announced_len()),
        Packet::V6(packet) => (packet.as_ptr(), 40, packet.announced_len()),
    };
    let offset = start.addr() - frame.as_ptr().addr();
    assert!([14, 18, 22].contains(&offset) && offset + header_len <= frame.len());
    let destination = Destination::of(packet, &frame[offset..]);
    assert_eq!(oracle::destination(frame), Ok((offset, destination)));
    let source = match packet.source() {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    };
    let (source_at, length_at) = match packet {
        Packet::V4(_) => (offset + 12, offset + 2),
        Packet::V6(_) => (offset + 8, offset + 4),
    };
    assert_eq!(frame[source_at..source_at + source.len()], source);
    let length = usize::from(u16::from_be_bytes([frame[length_at], frame[length_at + 1]]));
    assert_eq!(announced, if header_len == 40 { 40 + length } else { length });
});
