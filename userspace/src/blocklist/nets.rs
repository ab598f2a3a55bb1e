//! Banned prefixes in the tries, and the expiries that nesting forces on them.
//!
//! A trie gives its longest match only: a nested prefix that lapsed before the one around it would be a
//! hole in that. So the kernel's expiry of a prefix is the latest of its own and of all prefixes around
//! it; what was wanted for it is remembered here and put back when those around it are gone. Likewise its
//! ports: those of all bans of ports around it and its own, as long as the longest of these. A nested
//! prefix may so be banned longer or for more ports than it was meant to be until the outer ban is gone and
//! the sweeper puts it right, but for every port never longer than one of the bans around it asked.

use ipnet::IpNet;
use prefix_trie::joint::map::JointPrefixMap;

use super::clock::Expiry;
use super::extent::Extent;
use crate::event::Target;

/// A banned prefix.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Net {
    /// What is banned of it, and when that is to lapse by itself.
    pub(super) wanted: Extent,
    /// What the trie has; `None` while it isn't there yet.
    pub(super) kernel: Option<Extent>,
    /// `FLAG_*`, as in the trie.
    pub(super) flags: u16,
}

/// All banned prefixes.
#[derive(Default)]
pub(super) struct Nets(JointPrefixMap<IpNet, Net>);

/// Writes that bring the tries to what they should be.
///
/// Done in this order, raises before lowers and each in the order given, no prefix has less in any part
/// than one around it at any moment between: the daemon may die after any of them. A prefix that loses
/// in one part what it gains in another is raised to both together first.
#[derive(Debug, Default, Eq, PartialEq)]
pub(super) struct Drift {
    /// The innermost first.
    pub(super) raise: Vec<(IpNet, Extent)>,
    /// The outermost first.
    pub(super) lower: Vec<(IpNet, Extent)>,
}

impl Nets {
    /// Notes what the trie was found to have, taken for what was wanted.
    pub(super) fn adopt(&mut self, net: IpNet, extent: Extent, flags: u16) {
        self.0.insert(net, Net { wanted: extent.clone(), kernel: Some(extent), flags });
    }

    /// Notes what is wanted; whether the prefix is new.
    pub(super) fn want(&mut self, net: IpNet, wanted: Extent, flags: u16) -> bool {
        match self.0.get_mut(&net) {
            Some(known) => {
                known.wanted = wanted;
                false
            }
            None => {
                self.0.insert(net, Net { wanted, kernel: None, flags });
                true
            }
        }
    }

    /// Notes what has been written to the trie.
    pub(super) fn written(&mut self, net: IpNet, extent: Extent, flags: u16) {
        if let Some(known) = self.0.get_mut(&net) {
            known.kernel = Some(extent);
            known.flags = flags;
        }
    }

    /// Notes the flags that have been written to the trie.
    pub(super) fn flagged(&mut self, net: IpNet, flags: u16) {
        if let Some(known) = self.0.get_mut(&net) {
            known.flags = flags;
        }
    }

    /// Gives up what of a prefix has lapsed; whether anything has.
    pub(super) fn prune(&mut self, net: IpNet, now_ns: u64) -> bool {
        self.0.get_mut(&net).is_some_and(|known| known.wanted.prune(now_ns))
    }

    pub(super) fn forget(&mut self, net: IpNet) -> Option<Net> {
        self.0.remove(&net)
    }

    pub(super) fn get(&self, net: IpNet) -> Option<&Net> {
        self.0.get(&net)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (IpNet, &Net)> {
        self.0.iter()
    }

    /// Whether there are any of a family: IPv4, IPv6.
    pub(super) fn families(&self) -> (bool, bool) {
        let any = |all: IpNet| self.0.children(&all).next().is_some();
        (any(IpNet::V4(ipnet::Ipv4Net::default())), any(IpNet::V6(ipnet::Ipv6Net::default())))
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// The banned prefix around `target` that is to lapse last, itself left out.
    pub(super) fn around(&self, target: Target) -> Option<(IpNet, Expiry)> {
        self.0
            .cover(&target.net())
            .filter(|(net, _)| *net != target.net())
            .map(|(net, known)| (net, known.wanted.last()))
            .max_by_key(|(_, last)| *last)
    }

    /// What the kernel should have of `net`.
    pub(super) fn effective(&self, net: IpNet) -> Option<Extent> {
        self.0.cover_values(&net).map(|known| known.wanted.clone()).reduce(|a, b| a.join(&b))
    }

    /// Moves every finite expiry that is wanted.
    pub(super) fn shift_earlier(&mut self, by_ns: u64) {
        for (_, known) in self.0.iter_mut() {
            known.wanted = known.wanted.earlier(by_ns);
        }
    }

    /// What is to be written to the tries for `root` and everything in it; what isn't there yet is left
    /// out.
    pub(super) fn drift(&self, root: IpNet) -> Drift {
        let mut around: Vec<(IpNet, Extent)> = Vec::new();
        if let Some(outer) = root.supernet()
            && let Some(extent) = self.effective(outer)
        {
            around.push((outer, extent));
        }
        let mut drift = Drift::default();
        // In the order of their addresses, outer before inner: a stack holds those around the current.
        for (net, known) in self.0.children(&root) {
            while around.last().is_some_and(|(outer, _)| !outer.contains(&net)) {
                around.pop();
            }
            let effective = match around.last() {
                Some((_, outer)) => known.wanted.join(outer),
                None => known.wanted.clone(),
            };
            if let Some(kernel) = &known.kernel {
                if !kernel.covers(&effective) {
                    drift.raise.push((net, kernel.join(&effective)));
                }
                if !effective.covers(kernel) {
                    drift.lower.push((net, effective.clone()));
                }
            }
            around.push((net, effective));
        }
        drift.raise.sort_by_key(|(net, _)| std::cmp::Reverse(net.prefix_len()));
        drift.lower.sort_by_key(|(net, _)| net.prefix_len());
        drift
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::event::Ports;

    fn net(text: &str) -> IpNet {
        text.parse().unwrap()
    }

    /// A stand-in for the trie that checks at each write that nothing has become a hole.
    #[derive(Default)]
    struct Trie(BTreeMap<IpNet, Extent>);

    impl Trie {
        fn assert_no_hole(&self) {
            for (outer, expires) in &self.0 {
                for (inner, inner_expires) in &self.0 {
                    assert!(
                        !outer.contains(inner) || inner_expires.covers(expires),
                        "{inner} ({inner_expires:?}) is a hole in {outer} ({expires:?})"
                    );
                }
            }
        }

        fn write(&mut self, nets: &mut Nets, net: IpNet, extent: Extent) {
            self.0.insert(net, extent.clone());
            nets.written(net, extent, 0);
            self.assert_no_hole();
        }

        fn settle(&mut self, nets: &mut Nets, root: IpNet) {
            let Drift { raise, lower } = nets.drift(root);
            for (net, extent) in raise.into_iter().chain(lower) {
                self.write(nets, net, extent);
            }
        }

        fn insert(&mut self, nets: &mut Nets, net: IpNet, wanted: Extent) {
            let new = nets.want(net, wanted, 0);
            self.settle(nets, net);
            if new {
                let effective = nets.effective(net).unwrap();
                self.write(nets, net, effective);
            }
        }

        fn remove(&mut self, nets: &mut Nets, net: IpNet) {
            self.0.remove(&net);
            self.assert_no_hole();
            nets.forget(net);
            self.settle(nets, net);
        }
    }

    #[test]
    fn a_nested_ban_lasts_as_long_as_the_one_around_it_and_no_longer_after() {
        let (mut nets, mut trie) = (Nets::default(), Trie::default());
        let (inner, outer) = (net("198.51.100.0/25"), net("198.51.100.0/24"));
        trie.insert(&mut nets, inner, Extent::of(None, Expiry::At(10)));
        trie.insert(&mut nets, outer, Extent::of(None, Expiry::Permanent));
        assert_eq!(trie.0[&inner].every, Some(Expiry::Permanent));
        assert_eq!(nets.around(Target::from(inner)).unwrap().0, outer);
        trie.remove(&mut nets, outer);
        assert_eq!(trie.0[&inner].every, Some(Expiry::At(10)));
    }

    #[test]
    fn a_nested_ban_of_ports_is_no_hole_in_a_ban_of_every_port_nor_in_one_of_others() {
        let (mut nets, mut trie) = (Nets::default(), Trie::default());
        let ports = |text: &str| Some(text.parse::<Ports>().unwrap());
        let (inner, outer) = (net("198.51.100.0/25"), net("198.51.100.0/24"));
        let mail = Extent::of(ports("25").as_ref(), Expiry::At(30));
        trie.insert(&mut nets, inner, mail.clone());
        trie.insert(&mut nets, outer, Extent::of(None, Expiry::At(20)));
        let expected = Extent { every: Some(Expiry::At(20)), ..mail.clone() };
        assert_eq!(trie.0[&inner], expected);
        trie.insert(&mut nets, outer, Extent::of(ports("80").as_ref(), Expiry::At(40)));
        assert_eq!(trie.0[&inner], Extent::of(ports("25,80").as_ref(), Expiry::At(40)));
        trie.remove(&mut nets, outer);
        assert_eq!(trie.0[&inner], mail);
    }

    #[test]
    fn families_are_counted_apart() {
        let mut nets = Nets::default();
        assert_eq!(nets.families(), (false, false));
        nets.adopt(net("2001:db8::/32"), Extent::of(None, Expiry::Permanent), 0);
        assert_eq!(nets.families(), (false, true));
        nets.adopt(net("0.0.0.0/0"), Extent::of(None, Expiry::Permanent), 0);
        assert_eq!(nets.families(), (true, true));
        assert_eq!(nets.len(), 2);
    }

    fn nested() -> impl Strategy<Value = IpNet> {
        let v4 = (0_u32..64, 20_u8..32).prop_map(|(low, length)| {
            IpNet::new(std::net::IpAddr::from((0xc633_6400 + low).to_be_bytes()), length)
                .unwrap()
                .trunc()
        });
        let v6 = (0_u128..16, 100_u8..=128).prop_map(|(low, length)| {
            let base = 0x2001_0db8_u128 << 96;
            IpNet::new(std::net::IpAddr::from((base + low).to_be_bytes()), length).unwrap().trunc()
        });
        prop_oneof![3 => v4, 1 => v6]
    }

    fn expiry() -> impl Strategy<Value = Expiry> {
        prop_oneof![9 => (1_u64..20).prop_map(Expiry::At), 1 => Just(Expiry::Permanent)]
    }

    fn extent() -> impl Strategy<Value = Extent> {
        let ports = prop::sample::select(vec!["25", "80", "25,465", "80-90"]);
        let scoped = (ports, expiry()).prop_map(|(text, expires)| (text.parse().unwrap(), expires));
        (prop::option::of(expiry()), prop::option::of(scoped))
            .prop_map(|(every, scoped)| Extent { every, scoped })
    }

    proptest! {
        /// Whatever is banned, renewed and lifted in whatever order: never a hole, not between two
        /// writes either, and each prefix ends with the latest expiry of all around it.
        #[test]
        fn never_a_hole(steps in prop::collection::vec((nested(), prop::option::weighted(0.8, extent())), 1..60)) {
            let (mut nets, mut trie) = (Nets::default(), Trie::default());
            let mut wanted: BTreeMap<IpNet, Extent> = BTreeMap::new();
            for (net, step) in steps {
                match step {
                    Some(extent) => {
                        wanted.insert(net, extent.clone());
                        trie.insert(&mut nets, net, extent);
                    }
                    None if wanted.remove(&net).is_some() => trie.remove(&mut nets, net),
                    None => {}
                }
                let expected: BTreeMap<IpNet, Extent> = wanted
                    .keys()
                    .map(|net| {
                        let around = wanted.iter().filter(|(outer, _)| outer.contains(net));
                        let joined = around.map(|(_, extent)| extent.clone()).reduce(|a, b| a.join(&b));
                        (*net, joined.unwrap())
                    })
                    .collect();
                prop_assert_eq!(&trie.0, &expected);
            }
        }
    }
}
