//! The blocklist on real interfaces: attaching, banning, dying, coming back. Needs root, `ip` and
//! `ping`; each test has network namespaces and a pin folder of its own.
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests end where something is wrong")]

mod adopt;
mod allow;
mod bans;
mod bulk;
mod dispatched;
mod flood;
mod interfaces;
mod outlive;
mod ports;
mod refuse;
mod takeover;

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use ravelin::blocklist::{Blocklist, Clock, Expiry, KernelBan, Opened, Options};
use ravelin::config::XdpMode;
use ravelin::event::Target;
use ravelin_tests::netns::{BpfDir, Netns};

const CLIENT: &str = "198.51.100.7";
const CLIENT_V4: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 7);
const SERVER: &str = "203.0.113.1";
const SERVER_V4: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 1);
const CLIENT_V6: &str = "2001:db8:51::7";
const SERVER_V6: &str = "2001:db8:113::1";

fn options(dir: &BpfDir, interfaces: &[&str]) -> Options {
    Options {
        bpf_dir: dir.path().to_owned(),
        interfaces: interfaces.iter().map(|name| (*name).to_owned()).collect(),
        xdp_mode: XdpMode::Auto,
        max: 4_096,
        events_per_second: 0,
        confirm_within: None,
    }
}

/// Opens in a namespace, where every interface must take it.
fn open(netns: &Netns, options: &Options) -> (Blocklist, Opened) {
    let (blocklist, opened) = netns.enter(|| Blocklist::open(options)).unwrap();
    assert!(opened.refused.is_empty(), "{:?}", opened.refused);
    (blocklist, opened)
}

fn target(text: &str) -> Target {
    text.parse().unwrap()
}

fn in_time(time: Duration) -> Expiry {
    Expiry::At(Clock::read().monotonic_ns() + u64::try_from(time.as_nanos()).unwrap())
}

fn entry(blocklist: &Blocklist, text: &str) -> KernelBan {
    blocklist.entry(target(text)).unwrap().unwrap_or_else(|| panic!("{text} isn't banned"))
}

/// Waits for something that is bound to happen.
fn wait_until(what: &str, mut happened: impl FnMut() -> bool) {
    let give_up = Instant::now() + Duration::from_secs(20);
    while !happened() {
        assert!(Instant::now() < give_up, "gave up waiting until {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}
