//! Which frames are read, and that no disguise gets a banned source past.

use ravelin_common::packet::{NoPacket, Packet};
use ravelin_tests::xdp::Action::{Drop, Pass};
use ravelin_tests::xdp::Program;

use crate::assert_verdict;
use crate::frames::{
    ARP, IPV4, IPV6, Ipv4, Ipv6, QINQ, UDP, VLAN, ethernet, packet, plain, tagged,
};

const V4: &str = "198.51.100.7";
const V6: &str = "2001:db8:7::bad";
const NET_V4: &str = "203.0.113.9";
const NET_V6: &str = "2001:db8:aaaa:1::9";
const BANNED: [(&str, &str); 4] = [(V4, "v4"), (V6, "v6"), (NET_V4, "net-v4"), (NET_V6, "net-v6")];
const OTHERS: [&str; 4] = ["198.51.100.8", "2001:db8:8::bad", "203.0.114.9", "2001:db8:aaab:1::9"];

fn program() -> Program {
    let mut program = Program::load();
    for net in ["198.51.100.7/32", "2001:db8:7::/64", "203.0.113.0/24", "2001:db8:aaaa::/48"] {
        program.ban_for_good(net);
    }
    program.set(ravelin_common::Settings { nets_v4: 1, nets_v6: 1, ..Default::default() });
    program
}

#[test]
fn up_to_two_vlan_tags_are_read() {
    let program = program();
    let tags: [&[u16]; 7] =
        [&[], &[VLAN], &[QINQ], &[QINQ, VLAN], &[VLAN, VLAN], &[QINQ, QINQ], &[VLAN, QINQ]];
    for tags in tags {
        for (source, reason) in BANNED {
            let (ether_type, packet) = packet(source);
            let frame = tagged(tags, ether_type, &packet);
            assert_verdict(&program, &format!("{source} {tags:x?}"), &frame, Drop, reason);
        }
        for source in OTHERS {
            let (ether_type, packet) = packet(source);
            let frame = tagged(tags, ether_type, &packet);
            assert_verdict(&program, &format!("{source} {tags:x?}"), &frame, Pass, "miss");
        }
    }
}

#[test]
fn what_is_not_ip_passes() {
    let program = program();
    let (_, packet) = packet(V4);
    for (what, frame) in [
        ("three tags", tagged(&[QINQ, VLAN, VLAN], IPV4, &packet)),
        ("four tags", tagged(&[VLAN; 4], IPV4, &packet)),
        ("ARP", ethernet(ARP, &packet)),
        ("tagged ARP", tagged(&[VLAN], ARP, &packet)),
        ("LLDP", ethernet(0x88cc, &packet)),
        ("EAPOL", ethernet(0x888e, &packet)),
        ("PPPoE", ethernet(0x8864, &packet)),
        ("MPLS", ethernet(0x8847, &packet)),
        ("802.3 length", ethernet(0x0030, &packet)),
        ("swapped EtherType", ethernet(0x0008, &packet)),
        ("nothing but Ethernet", ethernet(ARP, &[])),
    ] {
        assert_verdict(&program, what, &frame, Pass, "not-ip");
    }
}

#[test]
fn malformed_headers_pass() {
    let program = program();
    let v4 = Ipv4::from(V4).bytes();
    let v6 = Ipv6::from(V6).bytes();
    for first in 0..=u8::MAX {
        let (version, words) = (first >> 4, first & 0xf);

        let mut packet = v4.clone();
        packet[0] = first;
        let (action, reason) =
            if version == 4 && words >= 5 { (Drop, "v4") } else { (Pass, "malformed") };
        let what = format!("IPv4 starting with {first:#04x}");
        assert_verdict(&program, &what, &ethernet(IPV4, &packet), action, reason);

        let mut packet = v6.clone();
        packet[0] = first;
        let (action, reason) = if version == 6 { (Drop, "v6") } else { (Pass, "malformed") };
        let what = format!("IPv6 starting with {first:#04x}");
        assert_verdict(&program, &what, &ethernet(IPV6, &packet), action, reason);
    }
    assert_verdict(&program, "IPv6 as IPv4", &ethernet(IPV4, &v6), Pass, "malformed");
    assert_verdict(&program, "IPv4 as IPv6", &ethernet(IPV6, &v4), Pass, "malformed");
}

/// A frame that ends inside a header is malformed, one that ends right after it is judged. The kernel
/// takes no shorter test frame than an Ethernet header.
#[test]
fn truncated_frames_pass() {
    let program = program();
    let (v4, v6) = (Ipv4::from(V4).bytes(), Ipv6::from(V6).bytes());
    for tags in [&[][..], &[VLAN], &[QINQ, VLAN]] {
        let link_len = 14 + 4 * tags.len();
        for (frame, header_len, reason) in
            [(tagged(tags, IPV4, &v4), 20, "v4"), (tagged(tags, IPV6, &v6), 40, "v6")]
        {
            for len in 14..=frame.len() {
                let (action, reason) =
                    if len < link_len + header_len { (Pass, "malformed") } else { (Drop, reason) };
                let what = format!("{len} of {} bytes, {tags:x?}", frame.len());
                assert_verdict(&program, &what, &frame[..len], action, reason);
            }
        }
    }
}

#[test]
fn no_protocol_gets_past() {
    let program = program();
    for protocol in 0..=u8::MAX {
        for (source, reason) in BANNED {
            let frame = if source.contains(':') {
                ethernet(IPV6, &Ipv6 { next_header: protocol, ..Ipv6::from(source) }.bytes())
            } else {
                ethernet(IPV4, &Ipv4 { protocol, ..Ipv4::from(source) }.bytes())
            };
            assert_verdict(&program, &format!("protocol {protocol}"), &frame, Drop, reason);
        }
    }
}

#[test]
fn no_disguise_gets_past() {
    let program = program();
    let v4 = |change: fn(&mut Ipv4)| {
        let mut packet = Ipv4::from(V4);
        change(&mut packet);
        ethernet(IPV4, &packet.bytes())
    };
    let v6 = |next_header: u8, payload: &[u8]| {
        let packet = Ipv6 { next_header, payload: payload.to_vec(), ..Ipv6::from(V6) };
        ethernet(IPV6, &packet.bytes())
    };
    for (what, frame, reason) in [
        ("router alert", v4(|p| p.options = vec![148, 4, 0, 0]), "v4"),
        ("record route", v4(|p| p.options = [&[1, 7, 39, 4][..], &[0; 36]].concat()), "v4"),
        ("source route", v4(|p| p.options = vec![1, 131, 7, 4, 192, 0, 2, 9]), "v4"),
        ("bad options", v4(|p| p.options = vec![0xff; 40]), "v4"),
        ("first fragment", v4(|p| p.fragment = 0x2000), "v4"),
        ("later fragment", v4(|p| p.fragment = 0x2005), "v4"),
        ("last fragment", v4(|p| p.fragment = 0x1fff), "v4"),
        ("no payload", v4(|p| p.payload.clear()), "v4"),
        ("hop by hop", v6(0, &[6, 0, 1, 4, 0, 0, 0, 0, 0x55]), "v6"),
        ("routing", v6(43, &[6, 0, 0, 0, 0, 0, 0, 0, 0x55]), "v6"),
        ("fragment", v6(44, &[6, 0, 0, 1, 0, 0, 0, 1, 0x55]), "v6"),
        ("later fragment", v6(44, &[6, 0, 5, 0xa9, 0, 0, 0, 1, 0x55]), "v6"),
        ("destination options", v6(60, &[6, 0, 1, 4, 0, 0, 0, 0, 0x55]), "v6"),
        ("chain cut off", v6(0, &[60, 255]), "v6"),
        ("no next header", v6(59, &[]), "v6"),
        ("neighbour solicitation", v6(58, &[135, 0, 0, 0, 0, 0, 0, 0]), "v6"),
        ("echo request", v6(58, &[128, 0, 0, 0, 0, 1, 0, 1]), "v6"),
    ] {
        assert_verdict(&program, what, &frame, Drop, reason);
    }

    let mut broadcast = plain(V4);
    broadcast[..6].fill(0xff);
    assert_verdict(&program, "broadcast", &broadcast, Drop, "v4");
    let mut multicast = plain(V6);
    multicast[..6].copy_from_slice(&[0x33, 0x33, 0, 0, 0, 1]);
    assert_verdict(&program, "multicast", &multicast, Drop, "v6");

    // As drivers without header split hand up what lies behind a minimal frame.
    let mut padded = ethernet(IPV4, &Ipv4 { payload: Vec::new(), ..Ipv4::from(V4) }.bytes());
    padded.resize(60, 0);
    assert_verdict(&program, "padded", &padded, Drop, "v4");
}

/// Tunnels are judged by who sends the outer packet; what is in them comes by again when the stack has
/// unpacked it, on an interface of its own.
#[test]
fn tunnels_are_judged_by_their_outer_source() {
    let program = program();
    let (banned, other) = (Ipv4::from(V4).bytes(), Ipv4::from("192.0.2.200").bytes());
    let gre = |inner: &[u8]| [&[0, 0, 0x08, 0][..], inner].concat();
    for (what, protocol, outer, inner, action, reason) in [
        ("IPIP, outer banned", 4, V4, other.clone(), Drop, "v4"),
        ("IPIP, inner banned", 4, "192.0.2.200", banned.clone(), Pass, "miss"),
        ("GRE, outer banned", 47, V4, gre(&other), Drop, "v4"),
        ("GRE, inner banned", 47, "192.0.2.200", gre(&banned), Pass, "miss"),
        ("6in4, inner banned", 41, "192.0.2.200", Ipv6::from(V6).bytes(), Pass, "miss"),
        ("UDP with an address in it", UDP, "192.0.2.200", banned.clone(), Pass, "miss"),
    ] {
        let packet = Ipv4 { protocol, payload: inner, ..Ipv4::from(outer) }.bytes();
        assert_verdict(&program, what, &ethernet(IPV4, &packet), action, reason);
    }
}

/// The parser is one piece of code, but reaches bytes in two ways: both must see the same.
#[test]
fn userspace_reads_frames_as_the_program_does() {
    let program = program();
    let seeds = [
        plain(V4),
        plain(V6),
        tagged(&[QINQ, VLAN], IPV4, &Ipv4::from(V4).bytes()),
        tagged(&[VLAN, VLAN], IPV6, &Ipv6::from(V6).bytes()),
    ];
    for seed in seeds {
        for at in 12..seed.len().min(27) {
            for value in [0x00, 0x08, 0x45, 0x60, 0x81, 0x86, 0x88, 0xa8, 0xdd, 0xff] {
                let mut frame = seed.clone();
                frame[at] = value;
                let (action, reason) = match Packet::parse(frame.as_slice()) {
                    Err(NoPacket::NotIp) => (Pass, "not-ip"),
                    Err(NoPacket::Malformed) => (Pass, "malformed"),
                    Ok(packet) if packet.source().to_string() == V4 => (Drop, "v4"),
                    Ok(packet) if packet.source().to_string().starts_with("2001:db8:7:") => {
                        (Drop, "v6")
                    }
                    Ok(_) => (Pass, "miss"),
                };
                assert_verdict(&program, &format!("byte {at}"), &frame, action, reason);
            }
        }
    }
}
