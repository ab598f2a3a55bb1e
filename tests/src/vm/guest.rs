//! What runs inside the machine: as its first process, as the test, and as the daemon that the test kills.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "it is a test: where something is wrong it ends, and says so on the console"
)]

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::Ipv4Addr;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};
use std::{env, fs, process, thread};

use ravelin::blocklist::{self, AttachError, Blocklist, Clock, Expiry, Mode, Opened, Options};
use ravelin::config::XdpMode;
use ravelin::event::Target;
use ravelin_common::Reason;
use rustix::mount::{MountFlags, mount};
use rustix::system::{RebootCommand, init_module, reboot, uname};

use crate::differential;
use crate::netns::{BpfDir, Flood, Netns, Pair, Victim};

/// Ends the console's last line where all was well.
pub(super) const PASSED: &str = "RAVELIN PASSED";
/// Begins what the kernel can't do.
pub(super) const LACKS: &str = "RAVELIN LACKS ";
/// Where the kernel's modules lie, in the order of their names.
pub(super) const MODULES: &str = "/modules";

/// Attaches programs under a dispatcher; not everywhere.
pub(super) const LOADER: &str = "/usr/sbin/xdp-loader";

const PATH: &str = "/usr/sbin:/usr/bin:/sbin:/bin";
const SELF: &str = "/guest";
const CLIENT: &str = "198.51.100.7";
const CLIENT_V4: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 7);
const CLIENT_V6: &str = "2001:db8:51::7";
const SERVER: &str = "203.0.113.1";
const SERVER_V4: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 1);
const SERVER_V6: &str = "2001:db8:113::1";
const CARD: &str = "eth0";
const PEER_CARD: &str = "eth1";
const TTL: Duration = Duration::from_secs(5);
const UPGRADES: usize = 5;
/// Few: an emulated processor takes a hundred times as long for each.
const FRAMES: usize = 10_000;

/// The program `guest`.
pub fn main() -> ExitCode {
    match env::args().nth(1).as_deref() {
        Some("test") => test(),
        Some("daemon") => daemon(),
        _ if process::id() == 1 => init(),
        _ => {
            eprintln!("this is for a virtual machine's first process: see tests/src/vm.rs");
            return ExitCode::from(2);
        }
    }
    ExitCode::SUCCESS
}

/// Makes the machine ready, runs the test, turns the machine off.
fn init() {
    for (kind, at) in
        [("devtmpfs", "/dev"), ("proc", "/proc"), ("sysfs", "/sys"), ("tmpfs", "/run")]
    {
        if let Err(error) = mount(kind, at, kind, MountFlags::empty(), None) {
            eprintln!("could not mount {kind}: {error}");
        }
    }
    // Where `ip` keeps namespaces depends on its version.
    if let Err(error) = symlink("/run", "/var/run") {
        eprintln!("could not link /var/run: {error}");
    }
    let mut modules: Vec<_> =
        fs::read_dir(MODULES).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    modules.sort();
    for module in modules {
        let loaded = fs::read(&module).map(|image| init_module(&image, c""));
        if !matches!(loaded, Ok(Ok(()))) {
            eprintln!("could not load {}: {loaded:?}", module.display());
        }
    }
    let status =
        Command::new(SELF).arg("test").env("PATH", PATH).env("RUST_BACKTRACE", "0").status();
    match status {
        Ok(status) if status.success() => say(PASSED),
        other => say(&format!("RAVELIN FAILED: {other:?}")),
    }
    if let Err(error) = reboot(RebootCommand::PowerOff) {
        say(&format!("could not power off: {error}"));
    }
}

/// A daemon: bans, and waits to be killed. Its argument is the pin folder.
fn daemon() {
    let options = options(Path::new(&env::args().nth(2).unwrap()));
    let (mut blocklist, opened) = Blocklist::open(&options).unwrap();
    assert!(opened.refused.is_empty(), "{:?}", opened.refused);
    let expires = in_time(TTL);
    blocklist.insert(target(CLIENT), expires).unwrap();
    blocklist.insert(target("2001:db8:51::/64"), Expiry::Permanent).unwrap();
    say(&format!("expires {}", expires.as_ns()));
    thread::sleep(Duration::from_secs(600));
}

/// All that is asked of a kernel.
fn test() {
    let begun = Instant::now();
    let step = |what: &str| say(&format!("{:7.1} s  {what}", begun.elapsed().as_secs_f32()));
    step(&format!("Linux {}", uname().release().to_string_lossy()));

    let pair = cards_in_namespaces();
    let dir = BpfDir::new();
    let wanted = options(dir.path());
    let (mut blocklist, opened) = open(&pair.server, &wanted);
    assert!(opened.refused.is_empty(), "{:?}", opened.refused);
    assert!(fs::read_to_string("/proc/self/mounts").unwrap().contains(" /sys/fs/bpf bpf "));
    let attached = &blocklist.interfaces()[0];
    assert_eq!(attached.mode, Mode::Native, "{:?}", attached.fallback);
    step("bpffs mounted, program loaded, attached natively to virtio-net");

    let reaches = |v6: bool| {
        if v6 {
            pair.client.pings(CLIENT_V6, SERVER_V6, 20)
        } else {
            pair.client.pings(CLIENT, SERVER, 20)
        }
    };
    let is_cut_off = |v6: bool| {
        if v6 {
            pair.client.is_cut_off(CLIENT_V6, SERVER_V6, 3)
        } else {
            pair.client.is_cut_off(CLIENT, SERVER, 3)
        }
    };
    assert!(reaches(false) && reaches(true));
    for ban in [CLIENT, "198.51.100.0/24", "2001:db8:51::/64", "2001:db8:51::/48"] {
        blocklist.insert(target(ban), Expiry::Permanent).unwrap();
        assert!(is_cut_off(ban.contains(':')), "{ban}");
        assert!(blocklist.entry(target(ban)).unwrap().unwrap().packets >= 3, "{ban}");
        blocklist.remove(target(ban)).unwrap().unwrap();
        assert!(reaches(ban.contains(':')), "{ban}");
    }
    step("addresses and prefixes dropped and let in again");

    let many = (0..5_000_u32)
        .map(|n| (target(&Ipv4Addr::from(0x0b00_0000 | n).to_string()), Expiry::Permanent));
    assert_eq!(blocklist.restore(many).unwrap().added, 5_000);
    step("5,000 bans restored by the batch");

    blocklist.insert(target(CLIENT), Expiry::Permanent).unwrap();
    let victim = Victim::listen(&pair.server, (SERVER_V4, 9));
    let flood = Flood::start(&pair.client, CLIENT_V4, (SERVER_V4, 9));
    for _ in 0..UPGRADES {
        let before = packets(&blocklist);
        wait_until("the flood arrives", || packets(&blocklist) > before + 20);
        drop(blocklist);
        let (next, opened) = open(&pair.server, &wanted);
        assert_eq!(opened.adopted, Some(5_001));
        assert!(next.interfaces()[0].adopted);
        blocklist = next;
    }
    drop(flood);
    assert_eq!(victim.received(), 0, "something was let through");
    // The last of the flood may still be under way between the two readings.
    wait_until("every hit is counted twice, by the ban and by the reason", || {
        packets(&blocklist) == blocklist.counters().unwrap().of(Reason::DroppedV4) - 3
    });
    step("upgraded under fire, nothing let through, every hit counted");
    blocklist.remove(target(CLIENT)).unwrap().unwrap();
    drop(blocklist);

    let mut daemon = pair
        .server
        .command(SELF)
        .arg("daemon")
        .arg(dir.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let expires: u64 = BufReader::new(daemon.stdout.take().unwrap())
        .lines()
        .find_map(|line| line.unwrap().strip_prefix("expires ").map(|ns| ns.parse().unwrap()))
        .expect("the daemon banned");
    daemon.kill().unwrap();
    assert!(!daemon.wait().unwrap().success());
    let blocked = is_cut_off(false);
    assert!(blocked || now_ns() >= expires);
    step("the daemon killed, its ban holds");
    wait_until("the ban lapses", || !pair.client.is_cut_off(CLIENT, SERVER, 1));
    assert!(now_ns() >= expires, "it lapsed too early");
    assert!(is_cut_off(true));
    step("its ban lapsed without it, the permanent one holds");
    let (mut blocklist, opened) = open(&pair.server, &wanted);
    assert_eq!(opened.adopted, Some(5_002));
    assert_eq!(blocklist.detach().unwrap(), [CARD]);
    assert!(reaches(true));
    step("adopted by the next one, and detached");
    drop(blocklist);

    if Path::new(LOADER).exists() {
        dispatched(&pair, &wanted);
        step("under xdp-loader's dispatcher our maps are fed, and no others");
    } else {
        say("SKIPPED: no xdp-loader (Debian's xdp-tools) to try a dispatcher with");
    }

    let compared = differential::compare(1, FRAMES);
    step(&format!("{} frames judged as the model judges them", compared.run));

    lacks(&pair, &wanted);
    step("done");
}

/// xdp-loader attaches the program, under its dispatcher, beside another.
fn dispatched(pair: &Pair, wanted: &Options) {
    const OBJECT: &str = "/tmp/ravelin.bpf.o";
    let loader = |args: &[&str]| {
        let output = pair.server.command(LOADER).args(args).output().unwrap();
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert!(output.status.success(), "{args:?}: {said}");
        said
    };
    let maps = wanted.bpf_dir.join("v2");
    let maps = maps.to_str().unwrap();
    let others = "/sys/fs/bpf/others";
    let maps_only = Options { xdp_mode: XdpMode::MapsOnly, ..wanted.clone() };
    fs::write(OBJECT, blocklist::object(wanted.max).unwrap()).unwrap();
    fs::create_dir(others).unwrap();

    // Another's program, as far as we can tell: it has other maps.
    loader(&["load", "-n", "ravelin", "-p", others, CARD, OBJECT]);
    let (mut blocklist, opened) = open(&pair.server, &maps_only);
    let refusal = opened.refused[0].to_string();
    assert!(refusal.contains("doesn't use our maps"), "{refusal}");
    let attach = |blocklist: &mut Blocklist| {
        pair.server.enter(|| blocklist.attach(CARD).map(|attached| attached.mode))
    };

    loader(&["load", "-n", "ravelin", "-p", maps, CARD, OBJECT]);
    let status = loader(&["status", CARD]);
    assert!(status.contains("xdp_dispatcher"), "{status}");
    assert_eq!(attach(&mut blocklist).unwrap(), Mode::MapsOnly);
    blocklist.insert(target(CLIENT), Expiry::Permanent).unwrap();
    let before = packets(&blocklist);
    assert!(pair.client.is_cut_off(CLIENT, SERVER, 3));
    assert_eq!(packets(&blocklist), before + 3);

    // Ours goes, the other and the dispatcher stay.
    let ours = loader(&["status", CARD])
        .lines()
        .filter(|line| line.contains(" ravelin "))
        .filter_map(|line| line.split_whitespace().nth(3)?.parse::<u32>().ok())
        .max();
    loader(&["unload", CARD, "--id", &ours.unwrap().to_string()]);
    let status = loader(&["status", CARD]);
    assert!(status.contains("xdp_dispatcher"), "{status}");
    let error = attach(&mut blocklist).unwrap_err();
    assert!(matches!(error, AttachError::Unfed { .. }), "{error}");
    assert!(pair.client.pings(CLIENT, SERVER, 20));
    loader(&["unload", CARD, "--all"]);
    fs::remove_dir_all(others).unwrap();
}

/// Tries what not every kernel has.
fn lacks(pair: &Pair, wanted: &Options) {
    pair.server.ip(&["link", "set", CARD, "mtu", "9000"]);
    let native = Options { xdp_mode: XdpMode::Native, ..wanted.clone() };
    let (mut blocklist, opened) = open(&pair.server, &native);
    match &opened.refused[..] {
        [] => {}
        [AttachError::Refused { reason, .. }] => {
            drop(blocklist);
            say(&format!(
                "{LACKS}native XDP on virtio-net with jumbo frames ({reason}): generic there"
            ));
            let opened;
            (blocklist, opened) = open(&pair.server, wanted);
            assert!(opened.refused.is_empty(), "{:?}", opened.refused);
            assert_eq!(blocklist.interfaces()[0].mode, Mode::Generic);
            assert!(blocklist.interfaces()[0].fallback.is_some());
        }
        other => panic!("{other:?}"),
    }
    blocklist.insert(target(CLIENT), Expiry::Permanent).unwrap();
    assert!(pair.client.is_cut_off(CLIENT, SERVER, 3));
    assert!(packets(&blocklist) >= 3);
    blocklist.detach().unwrap();
}

/// The machine's two cards, each in a namespace of its own.
fn cards_in_namespaces() -> Pair {
    let pair = Pair { client: Netns::new("c"), server: Netns::new("s") };
    for (card, netns) in [(CARD, &pair.server), (PEER_CARD, &pair.client)] {
        let moved = Command::new("ip").args(["link", "set", card, "netns", netns.name()]).status();
        assert!(moved.unwrap().success(), "{card}");
        netns.ip(&["link", "set", card, "up"]);
    }
    for address in ["198.51.100.7/32", "2001:db8:51::7/128"] {
        pair.client.ip(&["addr", "add", address, "dev", PEER_CARD, "nodad"]);
    }
    pair.wire(CARD, PEER_CARD);
    pair
}

fn options(dir: &Path) -> Options {
    Options {
        bpf_dir: dir.to_owned(),
        interfaces: vec![CARD.to_owned()],
        xdp_mode: XdpMode::Auto,
        max: 65_536,
        events_per_second: 0,
        confirm_within: None,
    }
}

fn open(netns: &Netns, options: &Options) -> (Blocklist, Opened) {
    netns.enter(|| Blocklist::open(options)).unwrap()
}

fn packets(blocklist: &Blocklist) -> u64 {
    blocklist.entry(target(CLIENT)).unwrap().unwrap().packets
}

fn target(text: &str) -> Target {
    text.parse().unwrap()
}

fn in_time(time: Duration) -> Expiry {
    Expiry::At(now_ns() + u64::try_from(time.as_nanos()).unwrap())
}

fn now_ns() -> u64 {
    Clock::read().monotonic_ns()
}

/// Waits for something that is bound to happen.
fn wait_until(what: &str, mut happened: impl FnMut() -> bool) {
    let give_up = Instant::now() + Duration::from_secs(60);
    while !happened() {
        assert!(Instant::now() < give_up, "gave up waiting until {what}");
        thread::sleep(Duration::from_millis(10));
    }
}

/// A line on the console, at once.
fn say(line: &str) {
    let mut stdout = std::io::stdout().lock();
    drop(writeln!(stdout, "{line}").and_then(|()| stdout.flush()));
}
