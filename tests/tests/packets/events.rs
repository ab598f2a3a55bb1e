//! Drops are announced, at the rate that userspace asks for.

use std::time::{Duration, Instant};

use ravelin_common::{Reason, Settings};
use ravelin_tests::xdp::Action::Drop;
use ravelin_tests::xdp::{Program, now_ns};

use crate::frames::plain;

/// Longer than a tick of the kernel's clock, whatever its rate.
const TICK_NS: u64 = 20_000_000;

fn program(events_per_second: u32) -> Program {
    // The rate is a CPU's own.
    let mut set = rustix::thread::CpuSet::new();
    set.set(0);
    rustix::thread::sched_setaffinity(None, &set).unwrap();

    let mut program = Program::load();
    program.ban_for_good("198.51.100.7/32");
    program.ban_for_good("2001:db8:7::/64");
    program.ban_for_good("203.0.113.0/24");
    program.set(Settings { off: 0, nets_v4: 1, nets_v6: 1, events_per_second });
    program
}

#[test]
fn an_event_tells_what_was_dropped() {
    let mut program = program(1000);
    let mut events = program.take_events();
    for (source, mapped, reason) in [
        ("198.51.100.7", "::ffff:198.51.100.7", Reason::DroppedV4),
        ("2001:db8:7::bad", "2001:db8:7::bad", Reason::DroppedV6),
        ("203.0.113.9", "::ffff:203.0.113.9", Reason::DroppedNetV4),
    ] {
        let frame = plain(source);
        let before = now_ns();
        assert_eq!(program.run(&frame), Drop);
        let event = events.next().unwrap();
        let mapped: std::net::Ipv6Addr = mapped.parse().unwrap();
        assert_eq!(event.source, mapped.octets());
        assert_eq!(event.reason, reason as u32);
        assert_eq!(usize::try_from(event.length).unwrap(), frame.len());
        assert_eq!(event.suppressed, 0);
        // Test runs come in by the loopback interface.
        assert_eq!(event.ifindex, 1);
        assert!(before - TICK_NS <= event.time_ns && event.time_ns <= now_ns());
        assert_eq!(events.next(), None);
    }
    program.run(&plain("192.0.2.1"));
    assert_eq!(events.next(), None, "a packet that passes is no event");
}

#[test]
fn events_are_limited_and_what_was_left_out_is_counted() {
    const RATE: u32 = 10;
    const BURST: u32 = 20_000;

    let mut program = program(RATE);
    let mut events = program.take_events();
    let frame = plain("198.51.100.7");

    let started = Instant::now();
    program.repeat(&frame, BURST);
    let mut announced: Vec<_> = events.by_ref().collect();
    // A second's worth, and what came due while it lasted.
    let most = f64::from(RATE) * (1.0 + started.elapsed().as_secs_f64()) + 1.0;
    assert!(announced.len() >= usize::try_from(RATE).unwrap(), "{}", announced.len());
    assert!(announced.len() as f64 <= most, "{} > {most}", announced.len());

    // The next one that is due tells about the rest.
    let deadline = Instant::now() + Duration::from_secs(10);
    let mut drops = u64::from(BURST);
    let last = loop {
        assert!(Instant::now() < deadline, "no event within ten seconds");
        program.run(&frame);
        drops += 1;
        if let Some(event) = events.next() {
            break event;
        }
    };
    announced.push(last);
    let told: u64 = announced.iter().map(|event| 1 + u64::from(event.suppressed)).sum();
    assert_eq!(told, drops);
}

#[test]
fn no_rate_no_events() {
    let mut program = program(0);
    let mut events = program.take_events();
    program.repeat(&plain("198.51.100.7"), 1000);
    assert_eq!(events.next(), None);
    assert_eq!(program.entry("198.51.100.7/32").packets, 1000);
}

/// Nobody reads: the ring fills, and drops go on all the same.
#[test]
fn a_full_ring_costs_no_drop() {
    let program = program(u32::MAX);
    let frame = plain("198.51.100.7");
    assert_eq!(program.repeat(&frame, 100_000).0, Drop);
    assert_eq!(program.entry("198.51.100.7/32").packets, 100_000);
}
