//! Which drivers have native XDP, what each refuses it for, and the command that changes that.
//!
//! | driver | refuses when | remedy |
//! |---|---|---|
//! | ena | MTU above 3498; queues above half of what there could be | lower both |
//! | gve | receiving and sending queues differ, or above half; LRO, HW-GRO; MTU above 2030 | as named |
//! | hv_netvsc | LRO; MTU above 3500 | `ethtool -K IF lro off` |
//! | mana | MTU above 3506 | lower it |
//! | virtio_net | the hypervisor merges (HW-GRO) and doesn't let us turn it off | the hypervisor's options |
//! | ixgbevf, ixgbe, i40e, ice, bnxt_en | MTU above what fits a buffer; LRO; queues | as named |
//! | mlx5_core | LRO | `ethtool -K IF lro off` |
//!
//! Sources: the drivers themselves (ena_xdp.h, gve_main.c, netvsc_bpf.c, mana_bpf.c, virtio_net.c, ixgbe_main.c,
//! i40e_main.c, bnxt_xdp.c, en_main.c) and the reports of people who met it: amzn-drivers #240, Cilium #12138,
//! #12172, #25453, #40259, firezone #8538, mimic #11, oxdpus #2, xdp-tools #327, #333.

use crate::host::Driver;

/// Something that keeps a driver from running the program natively.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Obstacle {
    /// What is in the way.
    pub(super) what: String,
    /// The command that takes it away.
    pub(super) remedy: String,
}

/// What is known of a driver.
struct Known {
    name: &'static str,
    /// Native XDP goes up to this MTU in bytes, where the driver has a limit.
    mtu: Option<u32>,
    /// It refuses with LRO on.
    lro: bool,
    /// It refuses with the hardware's GRO on.
    gro_hw: bool,
    /// XDP takes sending queues of its own: at most half of what there could be may be in use.
    halves_queues: bool,
    /// As many queues have to send as receive.
    equal_queues: bool,
}

const fn known(name: &'static str, mtu: Option<u32>) -> Known {
    Known { name, mtu, lro: false, gro_hw: false, halves_queues: false, equal_queues: false }
}

const KNOWN: [Known; 21] = [
    Known { halves_queues: true, ..known("ena", Some(3_498)) },
    Known {
        lro: true,
        gro_hw: true,
        halves_queues: true,
        equal_queues: true,
        ..known("gve", Some(2_030))
    },
    Known { lro: true, ..known("hv_netvsc", Some(3_500)) },
    known("mana", Some(3_506)),
    known("virtio_net", None),
    known("ixgbevf", Some(3_050)),
    Known { lro: true, ..known("ixgbe", Some(3_050)) },
    known("igb", Some(3_050)),
    known("igc", Some(1_500)),
    known("i40e", Some(3_046)),
    known("ice", None),
    Known { lro: true, gro_hw: true, halves_queues: true, ..known("bnxt_en", None) },
    Known { lro: true, ..known("mlx5_core", None) },
    known("mlx4_en", Some(3_498)),
    known("nfp", Some(3_498)),
    Known { lro: true, gro_hw: true, ..known("qede", None) },
    Known { lro: true, ..known("vmxnet3", None) },
    known("stmmac", Some(1_500)),
    known("mvneta", None),
    known("veth", None),
    known("tun", None),
];

/// Drivers that are everywhere and have no native XDP at all.
const WITHOUT: [&str; 7] = ["e1000", "e1000e", "r8169", "tg3", "bnx2", "forcedeth", "iavf"];

/// What would keep `driver` from running the program on `interface`, by what is known of it and by what it
/// says itself. None doesn't mean that it will: only the driver knows.
pub(super) fn obstacles(interface: &str, mtu: u32, driver: &Driver) -> Vec<Obstacle> {
    let name = driver.name.as_deref().unwrap_or("");
    let obstacle = |what: String, remedy: String| Obstacle { what, remedy };
    let generic = "xdp_mode: generic   # says that this is known; `auto` does the same by itself";
    if WITHOUT.contains(&name) || driver.native_xdp == Some(false) && !is_toggled(name) {
        return vec![obstacle(format!("the driver {name} has no native XDP"), generic.to_owned())];
    }
    let Some(known) = KNOWN.iter().find(|known| known.name == name) else { return Vec::new() };
    let mut found = Vec::new();
    if let Some(most) = known.mtu.filter(|most| mtu > *most) {
        found.push(obstacle(
            format!("{name} takes native XDP up to an MTU of {most}, and it is {mtu}"),
            format!("ip link set {interface} mtu {most}"),
        ));
    }
    let on = |name: &str| driver.offloads.iter().flatten().find(|offload| offload.name == name);
    if known.lro && on("rx-lro").is_some() {
        found.push(obstacle(
            format!("{name} refuses native XDP while it merges packets (LRO)"),
            format!("ethtool -K {interface} lro off"),
        ));
    }
    match on("rx-gro-hw") {
        Some(offload) if name == "virtio_net" && offload.fixed => found.push(obstacle(
            "virtio_net refuses native XDP: the hypervisor merges packets (HW-GRO), and doesn't let us \
             turn that off"
                .to_owned(),
            "qemu ... -device virtio-net-pci,guest_tso4=off,guest_tso6=off,guest_ecn=off,guest_ufo=off,\
             guest_csum=off   # where the hypervisor isn't yours: xdp_mode: generic"
                .to_owned(),
        )),
        Some(_) if known.gro_hw => found.push(obstacle(
            format!("{name} refuses native XDP while its hardware merges packets (HW-GRO)"),
            format!("ethtool -K {interface} rx-gro-hw off"),
        )),
        _ => {}
    }
    if let Some(channels) = driver.channels {
        let (rx_max, tx_max) = channels.max;
        let most = channels.combined_max.max(rx_max.min(tx_max)) / 2;
        let set = |count: u32| match channels.combined_max {
            0 => format!("ethtool -L {interface} rx {count} tx {count}"),
            _ => format!("ethtool -L {interface} combined {count}"),
        };
        if known.halves_queues && channels.rx.max(channels.tx) > most {
            let used = channels.rx.max(channels.tx);
            if most == 0 {
                found.push(obstacle(
                    format!("{name} needs a second queue for native XDP, and there is one"),
                    "gcloud compute instances create ... --network-interface=queue-count=2"
                        .to_owned(),
                ));
            } else {
                found.push(obstacle(
                    format!(
                        "{name} needs half of its {} queues for XDP, and {used} are in use",
                        most * 2
                    ),
                    set(most),
                ));
            }
        } else if known.equal_queues && channels.rx != channels.tx {
            let count = channels.rx.min(channels.tx);
            found.push(obstacle(
                format!(
                    "{name} needs as many receiving as sending queues, not {} and {}",
                    channels.rx, channels.tx
                ),
                format!("ethtool -L {interface} rx {count} tx {count}"),
            ));
        }
    }
    found
}

/// Whether the driver's word on native XDP changes with its offloads: then these are what to name.
fn is_toggled(name: &str) -> bool {
    matches!(name, "veth" | "virtio_net" | "mlx5_core" | "gve" | "bnxt_en")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::{Channels, Offload};

    fn driver(name: &str) -> Driver {
        Driver { name: Some(name.to_owned()), ..Driver::default() }
    }

    fn with_offload(name: &str, offload: &str) -> Driver {
        let offload = Offload { name: offload.to_owned(), fixed: false };
        Driver { offloads: Some(vec![offload]), ..driver(name) }
    }

    fn with_queues(name: &str, used: u32, combined_max: u32) -> Driver {
        let channels = Channels { rx: used, tx: used, combined_max, max: (0, 0) };
        Driver { channels: Some(channels), ..driver(name) }
    }

    fn remedies(mtu: u32, driver: &Driver) -> Vec<String> {
        obstacles("eth0", mtu, driver).into_iter().map(|obstacle| obstacle.remedy).collect()
    }

    #[test]
    fn each_obstacle_has_the_command_that_takes_it_away() {
        for (mtu, driver, remedy) in [
            (9_001, with_queues("ena", 2, 8), "ip link set eth0 mtu 3498"),
            (1_500, with_queues("ena", 8, 8), "ethtool -L eth0 combined 4"),
            (
                1_460,
                with_queues("gve", 1, 1),
                "gcloud compute instances create ... --network-interface=queue-count=2",
            ),
            (1_460, with_offload("gve", "rx-lro"), "ethtool -K eth0 lro off"),
            (1_500, with_offload("hv_netvsc", "rx-lro"), "ethtool -K eth0 lro off"),
            (9_000, driver("mana"), "ip link set eth0 mtu 3506"),
            (1_500, with_offload("qede", "rx-gro-hw"), "ethtool -K eth0 rx-gro-hw off"),
            (9_000, driver("ixgbevf"), "ip link set eth0 mtu 3050"),
            (9_000, with_offload("mlx5_core", "rx-lro"), "ethtool -K eth0 lro off"),
            (1_500, with_queues("bnxt_en", 8, 8), "ethtool -L eth0 combined 4"),
        ] {
            assert_eq!(remedies(mtu, &driver), [remedy], "{driver:?}");
        }
        let fixed = Offload { name: "rx-gro-hw".to_owned(), fixed: true };
        let virtio = Driver { offloads: Some(vec![fixed]), ..driver("virtio_net") };
        assert!(remedies(1_500, &virtio)[0].contains("guest_tso4=off"));
        let uneven = Channels { rx: 2, tx: 1, combined_max: 0, max: (8, 8) };
        let gve = Driver { channels: Some(uneven), ..driver("gve") };
        assert_eq!(remedies(1_460, &gve), ["ethtool -L eth0 rx 1 tx 1"]);
    }

    #[test]
    fn nothing_is_in_the_way_where_nothing_is() {
        for driver in [
            with_queues("ena", 4, 8),
            // It turns that off by itself, where it may.
            with_offload("virtio_net", "rx-gro-hw"),
            driver("veth"),
            driver("never-heard-of"),
            Driver::default(),
        ] {
            assert_eq!(remedies(1_500, &driver), Vec::<String>::new(), "{driver:?}");
        }
    }

    #[test]
    fn what_has_no_native_xdp_is_said_to_have_none() {
        let says_no = Driver { native_xdp: Some(false), ..driver("never-heard-of") };
        for driver in [driver("e1000e"), says_no] {
            let found = obstacles("eth0", 1_500, &driver);
            assert!(found[0].what.contains("has no native XDP"), "{found:?}");
        }
        // It says no because its peer merges; attaching changes that.
        let veth = Driver { native_xdp: Some(false), ..driver("veth") };
        assert!(remedies(1_500, &veth).is_empty());
    }
}
