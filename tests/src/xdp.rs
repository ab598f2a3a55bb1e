//! The XDP program by itself: loaded but attached nowhere, its maps filled by hand, fed with frames
//! through `BPF_PROG_TEST_RUN`.
#![expect(clippy::unwrap_used, clippy::panic, reason = "only tests use it, and they want to fail")]

use std::net::IpAddr;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::path::PathBuf;

use aya::maps::lpm_trie::{Key, LpmTrie};
use aya::maps::{Array, HashMap, Map, MapData, MapError, PerCpuArray, RingBuf};
use aya::programs::{TestRun as _, TestRunOptions, TestRunResult, Xdp};
use aya::{Ebpf, EbpfLoader};
use ravelin_common::amendment::{AMENDED, Amendment, NO_SUCH_ENTRY, Table};
use ravelin_common::prefilter::Bit;
use ravelin_common::scope::{PortRange, Scope};
use ravelin_common::{DropEvent, Entry, PERMANENT, Reason, Settings, map, program};

/// What the program says about a frame: `enum xdp_action` of `linux/bpf.h`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Action {
    /// The frame is dropped.
    Drop,
    /// The frame goes on to the stack.
    Pass,
}

/// The loaded program with maps of its own; gone when dropped.
pub struct Program {
    ebpf: Ebpf,
}

impl Program {
    /// Loads the program, with exact maps of a small size.
    pub fn load() -> Self {
        Self::load_sized(1 << 12)
    }

    /// Loads the program with exact maps of `bans` entries.
    ///
    /// # Panics
    ///
    /// Without root, without the object, and when the verifier refuses it.
    pub fn load_sized(bans: u32) -> Self {
        assert!(
            rustix::process::geteuid().is_root(),
            "loading XDP programs takes root: run these tests with `cargo xtask test`"
        );
        let object = object();
        let mut ebpf = EbpfLoader::new()
            .btf(None)
            .map_max_entries(map::BANS_V4, bans)
            .map_max_entries(map::BANS_V6, bans)
            .load_file(&object)
            .unwrap_or_else(|error| {
                panic!("{object:?}: {error:?}; `cargo xtask build-ebpf` makes it")
            });
        for name in [program::RAVELIN, program::AMEND] {
            let program: &mut Xdp = ebpf.program_mut(name).unwrap().try_into().unwrap();
            program.load().unwrap();
        }
        Self { ebpf }
    }

    /// What it does with `frame`.
    pub fn run(&self, frame: &[u8]) -> Action {
        self.repeat(frame, 1).0
    }

    /// What it does with the last of `times` equal frames, and nanoseconds each.
    pub fn repeat(&self, frame: &[u8], times: u32) -> (Action, u128) {
        let result = self.test_run(program::RAVELIN, frame, times);
        let action = match result.return_value {
            1 => Action::Drop,
            2 => Action::Pass,
            other => panic!("expected XDP_DROP or XDP_PASS, got {other}"),
        };
        (action, result.duration.as_nanos())
    }

    /// Its descriptor, for who runs it by other means.
    pub fn fd(&self) -> BorrowedFd<'_> {
        let program: &Xdp = self.ebpf.program(program::RAVELIN).unwrap().try_into().unwrap();
        program.fd().unwrap().as_fd()
    }

    /// Has the kernel compile it anew, at another place.
    pub fn reload(&mut self) {
        let program: &mut Xdp =
            self.ebpf.program_mut(program::RAVELIN).unwrap().try_into().unwrap();
        program.unload().unwrap();
        program.load().unwrap();
    }

    /// Carries out an amendment; whether it found its ban.
    pub fn amend(&self, amendment: Amendment) -> bool {
        match self.test_run(program::AMEND, &amendment.to_bytes(), 1).return_value {
            AMENDED => true,
            NO_SUCH_ENTRY => false,
            other => panic!("expected an answer, got {other}"),
        }
    }

    fn test_run(&self, name: &str, frame: &[u8], times: u32) -> TestRunResult {
        let program: &Xdp = self.ebpf.program(name).unwrap().try_into().unwrap();
        let options =
            TestRunOptions { data_in: Some(frame), repeat: times, ..TestRunOptions::new() };
        program.test_run(options).unwrap()
    }

    /// Tells the program its settings.
    pub fn set(&mut self, settings: Settings) {
        let mut map = Array::<_, Settings>::try_from(self.map_mut(map::SETTINGS)).unwrap();
        map.set(0, settings, 0).unwrap();
    }

    /// Bans an address or prefix as the daemon does: first what makes the program look, then the entry.
    pub fn ban(&mut self, net: &str, entry: Entry) -> Result<(), MapError> {
        let net = Net::parse(net);
        if let Some(bit) = net.prefilter_bit() {
            self.set_bit(bit);
        }
        match net.table() {
            Table::BansV4 => self.bans_v4().insert(net.octets(), entry, 0),
            Table::BansV6 => self.bans_v6().insert(net.octets(), entry, 0),
            Table::NetsV4 => {
                let mut map =
                    LpmTrie::<_, [u8; 8], Entry>::try_from(self.map_mut(map::NETS_V4)).unwrap();
                map.insert(&net.key(), entry, 0)
            }
            Table::NetsV6 => {
                let mut map =
                    LpmTrie::<_, [u8; 16], Entry>::try_from(self.map_mut(map::NETS_V6)).unwrap();
                map.insert(&net.key(), entry, 0)
            }
        }
    }

    /// Writes a set of ports, first and last each.
    pub fn scope(&mut self, index: u32, ports: &[(u16, u16)]) {
        let mut scope = Scope::default();
        for (range, (first, last)) in scope.ranges.iter_mut().zip(ports) {
            *range = PortRange { first: *first, last: *last };
        }
        let mut map = Array::<_, Scope>::try_from(self.map_mut(map::SCOPES)).unwrap();
        map.set(index, scope, 0).unwrap();
    }

    /// Bans an address or prefix for good.
    pub fn ban_for_good(&mut self, net: &str) {
        self.ban(net, PERMANENT_ENTRY).unwrap();
    }

    /// Puts a prefix on the allow list.
    pub fn allow(&mut self, net: &str) {
        let net = Net::parse(net);
        match net.address {
            IpAddr::V4(_) => {
                let mut map =
                    LpmTrie::<_, [u8; 4], u32>::try_from(self.map_mut(map::ALLOW_V4)).unwrap();
                map.insert(&net.key(), 1, 0).unwrap();
            }
            IpAddr::V6(_) => {
                let mut map =
                    LpmTrie::<_, [u8; 16], u32>::try_from(self.map_mut(map::ALLOW_V6)).unwrap();
                map.insert(&net.key(), 1, 0).unwrap();
            }
        }
    }

    /// The ban's entry as it stands.
    pub fn entry(&self, net: &str) -> Entry {
        let net = Net::parse(net);
        match net.table() {
            Table::BansV4 => {
                let map = HashMap::<_, [u8; 4], Entry>::try_from(self.map(map::BANS_V4)).unwrap();
                map.get(&net.octets(), 0).unwrap()
            }
            Table::BansV6 => {
                let map = HashMap::<_, [u8; 8], Entry>::try_from(self.map(map::BANS_V6)).unwrap();
                map.get(&net.octets(), 0).unwrap()
            }
            Table::NetsV4 => {
                let map = LpmTrie::<_, [u8; 8], Entry>::try_from(self.map(map::NETS_V4)).unwrap();
                map.get(&net.key(), 0).unwrap()
            }
            Table::NetsV6 => {
                let map = LpmTrie::<_, [u8; 16], Entry>::try_from(self.map(map::NETS_V6)).unwrap();
                map.get(&net.key(), 0).unwrap()
            }
        }
    }

    /// The reasons that frames had so far, with how many each.
    pub fn counts(&self) -> Vec<(&'static str, u64)> {
        let map = PerCpuArray::<_, u64>::try_from(self.map(map::COUNTERS)).unwrap();
        Reason::ALL
            .iter()
            .map(|(reason, name)| (*name, map.get(&(*reason as u32), 0).unwrap().iter().sum()))
            .filter(|(_, count)| *count != 0)
            .collect()
    }

    /// The exact IPv4 bans.
    pub fn bans_v4(&mut self) -> HashMap<&mut MapData, [u8; 4], Entry> {
        HashMap::try_from(self.map_mut(map::BANS_V4)).unwrap()
    }

    /// The exact IPv6 bans.
    pub fn bans_v6(&mut self) -> HashMap<&mut MapData, [u8; 8], Entry> {
        HashMap::try_from(self.map_mut(map::BANS_V6)).unwrap()
    }

    /// The prefilter's words.
    pub fn prefilter(&mut self) -> Array<&mut MapData, u64> {
        Array::try_from(self.map_mut(map::PREFILTER)).unwrap()
    }

    /// Drop events, none of which must have been taken yet.
    pub fn take_events(&mut self) -> Events {
        Events(RingBuf::try_from(self.ebpf.take_map(map::EVENTS).unwrap()).unwrap())
    }

    fn set_bit(&mut self, bit: Bit) {
        let mut words = self.prefilter();
        let word = words.get(&bit.word, 0).unwrap();
        words.set(bit.word, word | bit.mask, 0).unwrap();
    }

    fn map(&self, name: &str) -> &Map {
        self.ebpf.map(name).unwrap()
    }

    fn map_mut(&mut self, name: &str) -> &mut Map {
        self.ebpf.map_mut(name).unwrap()
    }
}

/// A ban that never lapses and has no hits yet.
pub const PERMANENT_ENTRY: Entry = Entry {
    expires_ns: PERMANENT,
    packets: 0,
    bytes: 0,
    last_seen_ns: 0,
    flags: 0,
    scope: 0,
    scoped_until_s: 0,
};

/// The drop events of a program.
pub struct Events(RingBuf<MapData>);

impl Iterator for Events {
    type Item = DropEvent;

    /// The next event that lies in the ring buffer; it doesn't wait for one.
    fn next(&mut self) -> Option<DropEvent> {
        let item = self.0.next()?;
        let mut words = item.as_chunks::<8>().0.iter().copied();
        assert_eq!(item.len(), size_of::<DropEvent>());
        let mut word = || words.next().unwrap();
        let halves = |word: [u8; 8]| {
            let [a, b, c, d, e, f, g, h] = word;
            (u32::from_ne_bytes([a, b, c, d]), u32::from_ne_bytes([e, f, g, h]))
        };
        let time_ns = u64::from_ne_bytes(word());
        let mut source = [0; 16];
        source[..8].copy_from_slice(&word());
        source[8..].copy_from_slice(&word());
        let (ifindex, length) = halves(word());
        let (reason, suppressed) = halves(word());
        Some(DropEvent { time_ns, source, ifindex, length, reason, suppressed })
    }
}

/// Nanoseconds of `CLOCK_MONOTONIC`.
pub fn now_ns() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    u64::try_from(now.tv_sec).unwrap() * 1_000_000_000 + u64::try_from(now.tv_nsec).unwrap()
}

/// Where `cargo xtask build-ebpf` puts the object.
pub fn object() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../target/bpf/ravelin.bpf.o")
}

/// An address with a prefix length.
struct Net {
    address: IpAddr,
    prefix_len: u32,
}

impl Net {
    fn parse(text: &str) -> Self {
        let (address, prefix_len) = text.split_once('/').unwrap();
        Self { address: address.parse().unwrap(), prefix_len: prefix_len.parse().unwrap() }
    }

    fn table(&self) -> Table {
        match (self.address, self.prefix_len) {
            (IpAddr::V4(_), 32) => Table::BansV4,
            (IpAddr::V4(_), _) => Table::NetsV4,
            (IpAddr::V6(_), 64) => Table::BansV6,
            (IpAddr::V6(_), _) => Table::NetsV6,
        }
    }

    fn prefilter_bit(&self) -> Option<Bit> {
        match self.table() {
            Table::BansV4 => Some(Bit::of_v4(self.octets())),
            Table::BansV6 => Some(Bit::of_v6(self.octets())),
            Table::NetsV4 | Table::NetsV6 => None,
        }
    }

    /// The first `N` bytes of the address, zeros after its end.
    fn octets<const N: usize>(&self) -> [u8; N] {
        let mut octets = match self.address {
            IpAddr::V4(v4) => v4.octets().to_vec(),
            IpAddr::V6(v6) => v6.octets().to_vec(),
        };
        octets.resize(octets.len().max(N), 0);
        *octets.first_chunk().unwrap()
    }

    fn key<const N: usize>(&self) -> Key<[u8; N]> {
        Key::new(self.prefix_len, self.octets())
    }
}
