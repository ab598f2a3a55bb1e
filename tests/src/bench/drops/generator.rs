//! The sender: a program of a few instructions that redirects each frame into the wire, run with live frames.

use std::net::Ipv4Addr;
use std::os::fd::{AsFd as _, OwnedFd};

use anyhow::{Context as _, Result};

use super::{BANS, Flood, Load, Sources};
use crate::bpf;

/// The receiver's address.
pub(super) const RECEIVER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
/// Its hardware address.
pub(super) const MAC: &str = "02:00:00:00:00:01";
/// Where the IP header has its identification, and the lower half of the source.
const IDENTIFICATION: i16 = 18;
const SOURCE_LOW: i16 = 28;

/// Readings of the clock that hold up a frame, to about a million a second.
const PAUSE: usize = 20;

/// The `n`-th source, of the block for benchmarks (RFC 2544).
pub(super) const fn source(n: u32) -> Ipv4Addr {
    Ipv4Addr::from_bits(0xc612_0000 + n)
}

pub(super) struct Generator {
    program: OwnedFd,
    frame: Vec<u8>,
}

impl Generator {
    /// Into the interface with this index, in the network namespace of the calling thread.
    pub(super) fn new(Flood { sources, load, .. }: Flood, ifindex: u32) -> Result<Self> {
        let ifindex = i32::try_from(ifindex)?;
        let redirect = [mov(R1, ifindex), mov(R2, 0), call(BPF_REDIRECT), EXIT];
        let choose = [
            insn(MOV_REG, R6, R1, 0, 0),
            call(BPF_GET_PRANDOM_U32),
            insn(MOD32_IMM, R0, 0, 0, BANS.cast_signed()),
            insn(TO_BE, R0, 0, 0, 16),
            insn(LOAD32, R2, R6, 0, 0),
            insn(LOAD32, R3, R6, 4, 0),
            insn(MOV_REG, R4, R2, 0, 0),
            insn(ADD_IMM, R4, 0, 0, 34),
            // Never: the frame has 64 bytes. The verifier wants to see it.
            insn(JUMP_GREATER, R4, R3, 3, 0),
            insn(STORE16, R2, R0, SOURCE_LOW, 0),
            // The identification makes up for it in the header's checksum.
            insn(XOR_IMM, R0, 0, 0, 0xffff),
            insn(STORE16, R2, R0, IDENTIFICATION, 0),
        ];
        let mut program = Vec::new();
        if sources == Sources::Many {
            program.extend(choose);
        }
        if load == Load::Paced {
            program.extend([call(BPF_KTIME_GET_NS); PAUSE]);
        }
        program.extend(redirect);
        Ok(Self {
            program: bpf::load_xdp(&program).context("could not load the generator")?,
            // The last one, which is the last rule where rules stand in a list.
            frame: frame(if sources == Sources::One { BANS - 1 } else { 0 }),
        })
    }

    /// Sends frames, in batches of 64, as many as NAPI takes at a time.
    pub(super) fn send(&self, frames: u32) -> Result<()> {
        bpf::send(self.program.as_fd(), &self.frame, frames).context("the generator failed")
    }
}

/// 64 bytes: UDP to a port where nobody listens.
fn frame(n: u32) -> Vec<u8> {
    let mut frame = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0];
    let low = n.to_be_bytes();
    let identification = [!low[2], !low[3]];
    frame.extend([0x45, 0, 0, 50]);
    frame.extend(identification);
    frame.extend([0x40, 0, 64, 17, 0, 0]);
    frame.extend(source(n).octets());
    frame.extend(RECEIVER.octets());
    let mut sum = 0_u32;
    for &[high, low] in frame[14..].as_chunks().0 {
        sum += u32::from(u16::from_be_bytes([high, low]));
    }
    let sum = (sum & 0xffff) + (sum >> 16);
    let [_, _, high, low] = (!((sum & 0xffff) + (sum >> 16))).to_be_bytes();
    frame[24..26].copy_from_slice(&[high, low]);
    frame.extend([0, 9, 0, 9, 0, 30, 0, 0]);
    frame.resize(64, 0);
    frame
}

const R0: u8 = 0;
const R1: u8 = 1;
const R2: u8 = 2;
const R3: u8 = 3;
const R4: u8 = 4;
const R6: u8 = 6;
/// Of `enum bpf_func_id`.
const BPF_KTIME_GET_NS: i32 = 5;
const BPF_GET_PRANDOM_U32: i32 = 7;
const BPF_REDIRECT: i32 = 23;
/// Opcodes (RFC 9669).
const MOV_IMM: u8 = 0xb7;
const MOV_REG: u8 = 0xbf;
const ADD_IMM: u8 = 0x07;
const XOR_IMM: u8 = 0xa7;
const MOD32_IMM: u8 = 0x94;
const TO_BE: u8 = 0xdc;
const LOAD32: u8 = 0x61;
const STORE16: u8 = 0x6b;
const JUMP_GREATER: u8 = 0x2d;
const CALL: u8 = 0x85;
const EXIT: u64 = 0x95;

const fn mov(to: u8, value: i32) -> u64 {
    insn(MOV_IMM, to, 0, 0, value)
}

const fn call(helper: i32) -> u64 {
    insn(CALL, 0, 0, 0, helper)
}

/// `struct bpf_insn`.
const fn insn(opcode: u8, to: u8, from: u8, offset: i16, value: i32) -> u64 {
    let [o0, o1] = offset.to_le_bytes();
    let [v0, v1, v2, v3] = value.to_le_bytes();
    u64::from_le_bytes([opcode, to | (from << 4), o0, o1, v0, v1, v2, v3])
}
