//! What drives an interface, and what of its setting matters to native XDP: driver, offloads, queues, and
//! whether the driver says that it can.
//!
//! By ethtool's netlink and netdev's (kernel documentation: networking/ethtool-netlink, netlink/specs/netdev).
//! Whatever can't be told is `None`: an old kernel, a driver that is silent.

use std::fs;
use std::path::Path;

use super::genetlink::{Family, attribute, attributes, find, nested};
use super::{Kind, Link};

/// `ETHTOOL_MSG_FEATURES_GET`, `ETHTOOL_MSG_CHANNELS_GET`.
const FEATURES_GET: u8 = 11;
const CHANNELS_GET: u8 = 17;
/// `ETHTOOL_A_*_HEADER`, `ETHTOOL_A_HEADER_DEV_INDEX`.
const REQUEST_HEADER: u16 = 1;
const DEV_INDEX: u16 = 1;
/// `ETHTOOL_A_FEATURES_HW`, `ETHTOOL_A_FEATURES_ACTIVE`; `ETHTOOL_A_BITSET_BITS`,
/// `ETHTOOL_A_BITSET_BIT_NAME`, `ETHTOOL_A_BITSET_BIT_VALUE`.
const CHANGEABLE: u16 = 2;
const ACTIVE: u16 = 4;
const BITS: u16 = 3;
const BIT_NAME: u16 = 2;
const BIT_VALUE: u16 = 3;
/// `ETHTOOL_A_CHANNELS_{RX,TX,COMBINED}_MAX` and `..._COUNT`.
const RX_MAX: u16 = 2;
const TX_MAX: u16 = 3;
const COMBINED_MAX: u16 = 5;
const RX: u16 = 6;
const TX: u16 = 7;
const COMBINED: u16 = 9;
/// `NETDEV_CMD_DEV_GET`, `NETDEV_A_DEV_IFINDEX`, `NETDEV_A_DEV_XDP_FEATURES`, `NETDEV_XDP_ACT_BASIC`.
const DEV_GET: u8 = 1;
const DEV_IFINDEX: u16 = 1;
const XDP_FEATURES: u16 = 3;
const XDP_BASIC: u64 = 1;

/// An interface's driver and its setting.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Driver {
    /// The driver's name, `virtio_net`; of virtual interfaces their kind, `veth`.
    pub name: Option<String>,
    /// Offloads that are on.
    pub offloads: Option<Vec<Offload>>,
    /// Queues.
    pub channels: Option<Channels>,
    /// Whether the driver says that it has native XDP (since Linux 6.3).
    pub native_xdp: Option<bool>,
}

/// An offload that is on.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Offload {
    /// Ethtool's name for it: `rx-lro`, `rx-gro-hw`.
    pub name: String,
    /// It can't be turned off.
    pub fixed: bool,
}

/// Queues that are used, and that there could be.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Channels {
    /// Queues that receive, those that also send among them.
    pub rx: u32,
    /// Queues that send, those that also receive among them.
    pub tx: u32,
    /// At most so many that do both.
    pub combined_max: u32,
    /// At most so many that receive, and that send.
    pub max: (u32, u32),
}

impl Driver {
    /// Of this interface, as far as it can be told.
    pub fn of(link: &Link) -> Self {
        let mut driver = Self { name: name(link), ..Self::default() };
        let header = nested(REQUEST_HEADER, &attribute(DEV_INDEX, &link.index.to_ne_bytes()));
        if let Ok(ethtool) = Family::open("ethtool") {
            driver.offloads = ethtool.ask(FEATURES_GET, &header).ok().map(|answer| active(&answer));
            driver.channels =
                ethtool.ask(CHANNELS_GET, &header).ok().map(|answer| channels(&answer));
        }
        driver.native_xdp = Family::open("netdev")
            .and_then(|netdev| {
                netdev.ask(DEV_GET, &attribute(DEV_IFINDEX, &link.index.to_ne_bytes()))
            })
            .ok()
            .and_then(|answer| find(&answer, XDP_FEATURES)?.first_chunk().copied())
            .map(|bits| u64::from_ne_bytes(bits) & XDP_BASIC != 0);
        driver
    }
}

/// The device is known by netlink. Its driver isn't, but devices on a bus, unlike interfaces, are the same
/// in every namespace's sysfs.
fn name(link: &Link) -> Option<String> {
    match &link.kind {
        Some(Kind::Bridge) => return Some("bridge".to_owned()),
        Some(Kind::Veth) => return Some("veth".to_owned()),
        Some(Kind::Other(kind)) => return Some(kind.clone()),
        None => {}
    }
    let (bus, device) = link.device.as_ref()?;
    let driver = Path::new("/sys/bus").join(bus).join("devices").join(device).join("driver");
    Some(fs::read_link(driver).ok()?.file_name()?.to_str()?.to_owned())
}

fn active(answer: &[u8]) -> Vec<Offload> {
    let changeable: Vec<&[u8]> = bits(answer, CHANGEABLE)
        // This list names them all, with a flag on those that are meant.
        .filter(|bit| find(bit, BIT_VALUE).is_some())
        .filter_map(|bit| find(bit, BIT_NAME))
        .collect();
    bits(answer, ACTIVE)
        .filter_map(|bit| find(bit, BIT_NAME))
        .map(|name| Offload {
            name: String::from_utf8_lossy(name).trim_end_matches('\0').to_owned(),
            fixed: !changeable.contains(&name),
        })
        .collect()
}

/// The bits of a set.
fn bits(answer: &[u8], set: u16) -> impl Iterator<Item = &[u8]> {
    let bits = find(answer, set).and_then(|set| find(set, BITS)).unwrap_or_default();
    attributes(bits).map(|(_, bit)| bit)
}

fn channels(answer: &[u8]) -> Channels {
    let number = |kind| {
        find(answer, kind)
            .and_then(|value| value.first_chunk().copied())
            .map_or(0, u32::from_ne_bytes)
    };
    let combined = number(COMBINED);
    Channels {
        rx: number(RX).saturating_add(combined),
        tx: number(TX).saturating_add(combined),
        combined_max: number(COMBINED_MAX),
        max: (number(RX_MAX), number(TX_MAX)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loopback_has_offloads_and_no_native_xdp() {
        let lo = super::super::link("lo").unwrap().unwrap();
        let driver = Driver::of(&lo);
        let offloads = driver.offloads.unwrap();
        let is_fixed = |name: &str| {
            offloads.iter().find(|offload| offload.name == name).map(|offload| offload.fixed)
        };
        assert_eq!(is_fixed("rx-gro"), Some(false), "{offloads:?}");
        assert_eq!(is_fixed("loopback"), Some(true), "{offloads:?}");
        assert_eq!(is_fixed("rx-lro"), None);
        assert_eq!(driver.name, None);
        // Kernels before 6.3 don't tell.
        assert_ne!(driver.native_xdp, Some(true));
    }

    #[test]
    fn combined_queues_do_both() {
        let number = |kind, value: u32| attribute(kind, &value.to_ne_bytes());
        let answer = [number(COMBINED_MAX, 8), number(RX, 1), number(COMBINED, 4)].concat();
        let expected = Channels { rx: 5, tx: 4, combined_max: 8, max: (0, 0) };
        assert_eq!(channels(&answer), expected);
    }
}
