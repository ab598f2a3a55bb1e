//! Every packet counts once, whoever counts at the same time.

use std::thread;

use ravelin_common::{Entry, Settings};
use ravelin_tests::xdp::Action::{Drop, Pass};
use ravelin_tests::xdp::{Program, now_ns};

use crate::frames::{IPV4, Ipv4, VLAN, ethernet, plain, tagged};

const NETS: Settings = Settings { off: 0, nets_v4: 1, nets_v6: 1, events_per_second: 0 };
/// Longer than a tick of the kernel's clock, whatever its rate.
const TICK_NS: u64 = 20_000_000;

#[test]
fn each_ban_counts_its_own() {
    let mut program = Program::load();
    program.set(NETS);
    let nets = ["198.51.100.7/32", "198.51.100.8/32", "2001:db8:7::/64", "203.0.113.0/24"];
    for net in nets {
        program.ban_for_good(net);
    }
    let before = now_ns();
    for (source, times) in
        [("198.51.100.7", 3), ("2001:db8:7::1", 5), ("2001:db8:7::2", 6), ("203.0.113.1", 7)]
    {
        program.repeat(&plain(source), times);
    }
    let after = now_ns();

    let len = |source| u64::try_from(plain(source).len()).unwrap();
    for (net, packets, frame_len) in [
        (nets[0], 3, len("198.51.100.7")),
        (nets[2], 11, len("2001:db8:7::1")),
        (nets[3], 7, len("203.0.113.1")),
    ] {
        let entry = program.entry(net);
        assert_eq!((entry.packets, entry.bytes), (packets, packets * frame_len), "{net}");
        let seen = entry.last_seen_ns;
        assert!(before - TICK_NS <= seen && seen <= after, "{net}: {before} {seen} {after}");
    }
    assert_eq!(program.entry(nets[1]), ravelin_tests::xdp::PERMANENT_ENTRY);
    assert_eq!(program.counts(), [("v4", 3), ("v6", 11), ("net-v4", 7)]);
}

/// Frame length counts: tags, padding, and all buffers of a jumbo frame.
#[test]
fn bytes_are_those_of_the_frame() {
    let mut program = Program::load();
    program.ban_for_good("198.51.100.7/32");
    let packet = |payload| Ipv4 { payload, ..Ipv4::from("198.51.100.7") }.bytes();
    let mut padded = ethernet(IPV4, &packet(vec![]));
    padded.resize(60, 0);
    let mut announces_more = ethernet(IPV4, &packet(vec![0; 100]));
    announces_more.truncate(60);
    let frames = [
        padded,
        announces_more,
        tagged(&[VLAN], IPV4, &packet(vec![1; 100])),
        ethernet(IPV4, &packet(vec![1; 1480])),
        ethernet(IPV4, &packet(vec![1; 8980])),
    ];
    let mut bytes = 0;
    for frame in frames {
        assert_eq!(program.run(&frame), Drop);
        bytes += u64::try_from(frame.len()).unwrap();
        assert_eq!(program.entry("198.51.100.7/32").bytes, bytes, "after {} bytes", frame.len());
    }
}

/// One source over several queues: several CPUs add to the same entry.
#[test]
fn no_hit_is_lost_between_cpus() {
    const TIMES: u32 = 300_000;

    let mut program = Program::load();
    program.set(NETS);
    let sources = [("198.51.100.7/32", "198.51.100.7"), ("203.0.113.0/24", "203.0.113.9")];
    for (net, _) in sources {
        program.ban_for_good(net);
    }
    let threads: u32 = 4;
    for (net, source) in sources {
        let frame = plain(source);
        thread::scope(|scope| {
            for thread in 0..threads {
                let (program, frame) = (&program, &frame);
                scope.spawn(move || {
                    pin(thread);
                    assert_eq!(program.repeat(frame, TIMES).0, Drop);
                });
            }
        });
        let packets = u64::from(TIMES * threads);
        let Entry { packets: counted, bytes, .. } = program.entry(net);
        let frame_len = u64::try_from(frame.len()).unwrap();
        assert_eq!((counted, bytes), (packets, packets * frame_len), "{net}");
    }
    let packets = u64::from(TIMES * threads);
    assert_eq!(program.counts(), [("v4", packets), ("net-v4", packets)]);
}

#[test]
fn passed_packets_count_by_reason() {
    let program = Program::load();
    assert_eq!(program.repeat(&plain("192.0.2.1"), 1000).0, Pass);
    assert_eq!(program.repeat(&ethernet(0x0806, &[0; 28]), 10).0, Pass);
    assert_eq!(program.repeat(&ethernet(IPV4, &[0; 28]), 1).0, Pass);
    assert_eq!(program.counts(), [("miss", 1000), ("not-ip", 10), ("malformed", 1)]);
}

/// Keeps this thread on one CPU: the threads take turns on the CPUs that there are.
fn pin(thread: u32) {
    let cpus = thread::available_parallelism().unwrap().get();
    let mut set = rustix::thread::CpuSet::new();
    set.set(usize::try_from(thread).unwrap() % cpus);
    rustix::thread::sched_setaffinity(None, &set).unwrap();
}
