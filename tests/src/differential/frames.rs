//! Frames from a seed: built like real ones from addresses that matter, then damaged.

use std::net::IpAddr;

use fastrand::Rng;

/// EtherTypes that a source may hide behind, or that merely look like IP.
const OTHER_TYPES: [u16; 12] = [
    0x0806, // ARP
    0x9100, 0x9200, // tags before there was a standard
    0x8847, 0x8848, // MPLS
    0x8864, // PPPoE
    0x88cc, // LLDP
    0x88e5, // MACsec
    0x88f5, // MVRP
    0x0801, 0x86de, // neighbours of IPv4 and IPv6
    0x002e, // a length: IEEE 802.3 with LLC
];
/// TCP, UDP, ICMP, SCTP, GRE, ESP, AH, IPv4 and IPv6 in it, PIM, nothing assigned; DCCP, UDP-Lite, ICMPv6.
const PROTOCOLS: [u8; 18] = [6, 6, 6, 6, 17, 17, 1, 132, 47, 50, 51, 4, 41, 103, 253, 33, 136, 58];
/// Ports in and around those that are banned.
const PORTS: [u16; 10] = [25, 25, 465, 80, 443, 8000, 8005, 8011, 0, u16::MAX];
/// Hop-by-hop options, routing, fragment, destination options, authentication, mobility, HIP.
const EXTENSIONS: [u8; 7] = [0, 43, 44, 60, 51, 135, 139];
const LONGEST: usize = 512;
/// One frame in so many is followed by all its beginnings.
const CUT_EVERYWHERE: usize = 400;

/// Frames without end.
pub struct Frames {
    rng: Rng,
    addresses: Vec<IpAddr>,
    /// What is left of the beginnings of a frame: the frame, and the length of the next one.
    beginnings: Option<(Vec<u8>, usize)>,
    last: Vec<u8>,
}

impl Frames {
    /// Those of this seed, many of them from and around these addresses.
    pub fn new(seed: u64, addresses: Vec<IpAddr>) -> Self {
        Self { rng: Rng::with_seed(seed), addresses, beginnings: None, last: vec![0; 60] }
    }

    /// The next one.
    pub fn next_frame(&mut self) -> Vec<u8> {
        if let Some((frame, len)) = self.beginnings.take() {
            let beginning = frame[..len].to_vec();
            if len < frame.len() {
                self.beginnings = Some((frame, len + 1));
            }
            return beginning;
        }
        let mut frame = self.well_formed();
        if self.one_in(2) {
            for _ in 0..self.rng.usize(1..=4) {
                self.damage(&mut frame);
            }
        }
        if self.one_in(5) {
            frame.truncate(self.rng.usize(0..=frame.len()));
        }
        frame.truncate(LONGEST);
        if self.one_in(CUT_EVERYWHERE) {
            self.beginnings = Some((frame.clone(), 0));
        }
        self.last.clone_from(&frame);
        frame
    }

    fn well_formed(&mut self) -> Vec<u8> {
        let mut frame = Vec::with_capacity(128);
        frame.extend(self.bytes::<12>());
        for _ in 0..*self.pick(&[0, 0, 0, 1, 1, 2, 2, 3]) {
            frame.extend(self.pick(&[0x8100_u16, 0x88a8]).to_be_bytes());
            frame.extend(self.bytes::<2>());
        }
        if self.one_in(8) {
            frame.extend(self.pick(&OTHER_TYPES).to_be_bytes());
            if self.one_in(2) {
                frame.extend(self.bytes::<4>());
            }
            self.packet(&mut frame, 0);
        } else {
            let packet_at = frame.len() + 2;
            frame.extend([0, 0]);
            let ether_type: u16 = if self.packet(&mut frame, 0) { 0x0800 } else { 0x86dd };
            frame[packet_at - 2..packet_at].copy_from_slice(&ether_type.to_be_bytes());
        }
        // Ethernet's shortest frame is padded.
        if self.one_in(4) {
            frame.resize(frame.len().max(60), 0);
        }
        frame
    }

    /// Appends an IP packet; whether it is IPv4.
    fn packet(&mut self, frame: &mut Vec<u8>, depth: u8) -> bool {
        match (self.address(), self.address()) {
            (IpAddr::V4(source), other) => {
                let destination = match other {
                    IpAddr::V4(v4) => v4.octets(),
                    IpAddr::V6(_) => self.bytes(),
                };
                self.v4(frame, source.octets(), destination, depth);
                true
            }
            (IpAddr::V6(source), other) => {
                let destination = match other {
                    IpAddr::V4(_) => self.bytes(),
                    IpAddr::V6(v6) => v6.octets(),
                };
                self.v6(frame, source.octets(), destination, depth);
                false
            }
        }
    }

    fn v4(&mut self, frame: &mut Vec<u8>, source: [u8; 4], destination: [u8; 4], depth: u8) {
        let start = frame.len();
        let options = if self.one_in(3) { self.rng.usize(1..=10) } else { 0 };
        let words = u8::try_from(5 + options).unwrap_or(5);
        let protocol = *self.pick(&PROTOCOLS);
        frame.extend([0x40 | words, self.rng.u8(..), 0, 0]);
        frame.extend(self.bytes::<2>());
        // Whole, or a first, middle or last fragment.
        frame.extend(self.pick(&[0_u16, 0x4000, 0x2000, 0x2010, 0x0010, 0x1fff]).to_be_bytes());
        frame.extend([self.rng.u8(..), protocol]);
        frame.extend(self.bytes::<2>());
        frame.extend(source);
        frame.extend(destination);
        for _ in 0..options {
            frame.extend(self.bytes::<4>());
        }
        self.payload(frame, protocol, depth);
        let len = u16::try_from(frame.len() - start).unwrap_or(u16::MAX);
        let len = if self.one_in(10) { self.rng.u16(..) } else { len };
        frame[start + 2..start + 4].copy_from_slice(&len.to_be_bytes());
    }

    fn v6(&mut self, frame: &mut Vec<u8>, source: [u8; 16], destination: [u8; 16], depth: u8) {
        let start = frame.len();
        frame.extend([0x60 | self.rng.u8(..16)]);
        frame.extend(self.bytes::<3>());
        frame.extend([0, 0]);
        let mut next_at = frame.len();
        frame.extend([0, self.rng.u8(..)]);
        frame.extend(source);
        frame.extend(destination);
        for _ in 0..*self.pick(&[0, 0, 1, 1, 2, 5, 6, 7, 8]) {
            let extension = *self.pick(&EXTENSIONS);
            frame[next_at] = extension;
            next_at = frame.len();
            if extension == 44 {
                // Whole, or a first, middle or last fragment.
                frame.extend([0, 0]);
                frame.extend(self.pick(&[0_u16, 1, 0, 1, 9, 8, 0xfff8]).to_be_bytes());
                frame.extend(self.bytes::<4>());
                continue;
            }
            let words = self.rng.u8(..3);
            frame.extend([0, words]);
            for _ in 0..usize::from(words) * 8 + 6 {
                frame.push(self.rng.u8(..));
            }
        }
        let protocol = *self.pick(&PROTOCOLS);
        frame[next_at] = protocol;
        self.payload(frame, protocol, depth);
        let len = u16::try_from(frame.len() - start - 40).unwrap_or(u16::MAX);
        // Zero announces a jumbogram.
        let len = if self.one_in(10) { *self.pick(&[0, 1, 39, u16::MAX]) } else { len };
        frame[start + 4..start + 6].copy_from_slice(&len.to_be_bytes());
    }

    /// A tunnel's inner packet where the protocol is one's, else a few bytes.
    fn payload(&mut self, frame: &mut Vec<u8>, protocol: u8, depth: u8) {
        match protocol {
            4 | 41 if depth < 3 => {
                self.packet(frame, depth + 1);
            }
            47 if depth < 3 => {
                // GRE, or VXLAN without its UDP header: either way, an inner packet behind something.
                frame.extend([0, 0]);
                frame.extend(self.pick(&[0x0800_u16, 0x86dd, 0x6558]).to_be_bytes());
                self.packet(frame, depth + 1);
            }
            // An authentication header, of which something follows.
            51 if depth < 3 => {
                let (next, words) = (*self.pick(&PROTOCOLS), self.rng.u8(..4));
                frame.extend([next, words]);
                for _ in 0..usize::from(words) * 4 + 6 {
                    frame.push(self.rng.u8(..));
                }
                self.payload(frame, next, depth + 1);
            }
            _ => {
                frame.extend(self.bytes::<2>());
                frame.extend(self.pick(&PORTS).to_be_bytes());
                for _ in 0..self.rng.usize(..32) {
                    frame.push(self.rng.u8(..));
                }
            }
        }
    }

    /// An address that matters, one a few bits off it, or any.
    fn address(&mut self) -> IpAddr {
        if self.one_in(6) {
            return if self.rng.bool() {
                IpAddr::from(self.bytes::<4>())
            } else {
                IpAddr::from(self.bytes::<16>())
            };
        }
        let index = self.rng.usize(..self.addresses.len());
        let address = self.addresses[index];
        if self.one_in(2) {
            return address;
        }
        // Low bits more often than high ones.
        match address {
            IpAddr::V4(v4) => {
                IpAddr::V4((v4.to_bits() ^ (self.rng.u32(..) >> self.rng.u32(..32))).into())
            }
            IpAddr::V6(v6) => {
                IpAddr::V6((v6.to_bits() ^ (self.rng.u128(..) >> self.rng.u32(..128))).into())
            }
        }
    }

    fn damage(&mut self, frame: &mut Vec<u8>) {
        if frame.is_empty() {
            return;
        }
        // The headers are at the front.
        let end = if self.one_in(3) { frame.len() } else { frame.len().min(64) };
        let at = self.rng.usize(..end);
        match self.rng.u8(..6) {
            0 => frame[at] ^= 1 << self.rng.u32(..8),
            1 => frame[at] = self.rng.u8(..),
            2 => {
                frame[at] =
                    *self.pick(&[0, 1, 0x7f, 0x80, 0xff, 0x45, 0x60, 0x08, 0x81, 0x88, 0x86]);
            }
            3 => frame.insert(at, self.rng.u8(..)),
            4 => {
                frame.remove(at);
            }
            // The rest of another frame.
            _ => {
                let from = self.rng.usize(..=self.last.len());
                frame.truncate(at);
                frame.extend(&self.last[from..]);
            }
        }
    }

    fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        self.rng.fill(&mut bytes);
        bytes
    }

    fn pick<'c, T>(&mut self, choices: &'c [T]) -> &'c T {
        &choices[self.rng.usize(..choices.len())]
    }

    fn one_in(&mut self, times: usize) -> bool {
        self.rng.usize(..times) == 0
    }
}
