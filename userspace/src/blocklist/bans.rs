//! Banning, renewing, lifting, looking up.

use ipnet::IpNet;
use ravelin_common::Entry;

use super::amend::{Amended, amend};
use super::maps::Added;
use super::nets::Drift;
use super::place::Place;
use super::{Blocklist, BlocklistError, Clock, Expiry, Extent, KernelBan};
use crate::event::{Ports, Target};

/// What [`Blocklist::insert`] did.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Inserted {
    /// The ban is new.
    New,
    /// It was there, and its counts go on: see [`Blocklist::ban`] for what it is now.
    Renewed,
}

impl Blocklist {
    /// Bans `target` until `expires`, or renews its ban: [`ban`](Self::ban) of every port.
    ///
    /// # Errors
    /// As there.
    pub fn insert(&mut self, target: Target, expires: Expiry) -> Result<Inserted, BlocklistError> {
        self.ban(target, None, expires)
    }

    /// Bans these ports of `target` until `expires` (`None`: every one), or renews its ban, counts and all.
    ///
    /// Of the same ports the new expiry counts, earlier or later. Other ports are added to those of a ban
    /// that still holds, and all of them last as long as the longer. A ban of every port and one of some
    /// stand beside each other, each for its own time.
    ///
    /// The kernel has room for some 250 different sets of ports. Where there is none for another, all of
    /// 1-65535 stands for it, and the log says so.
    ///
    /// # Errors
    /// [`BlocklistError::Full`] where there is no room; [`BlocklistError::Allowed`] where all of the
    /// target is on the allow list; where the kernel refuses.
    pub fn ban(
        &mut self,
        target: Target,
        ports: Option<&Ports>,
        expires: Expiry,
    ) -> Result<Inserted, BlocklistError> {
        self.allow.refuse(target)?;
        match Place::from(target) {
            Place::V4(_) | Place::V6(_) => self.insert_exact(target, ports, expires),
            Place::NetV4(_) | Place::NetV6(_) => self.insert_net(target, ports, expires),
        }
    }

    /// Lifts a ban; what it counted, or `None` where there is none. Prefixes inside it get back the
    /// expiry that was wanted for them.
    ///
    /// # Errors
    /// Where a map can't be written.
    pub fn remove(&mut self, target: Target) -> Result<Option<KernelBan>, BlocklistError> {
        match Place::from(target) {
            Place::V4(_) | Place::V6(_) => self.remove_exact(target),
            Place::NetV4(_) | Place::NetV6(_) => self.remove_net(target),
        }
    }

    /// The ban of exactly this target, lapsed or not.
    ///
    /// # Errors
    /// Where a map can't be read.
    pub fn entry(&self, target: Target) -> Result<Option<KernelBan>, BlocklistError> {
        let wanted = match Place::from(target) {
            Place::V4(_) | Place::V6(_) => None,
            Place::NetV4(_) | Place::NetV6(_) => match self.nets.get(target.net()) {
                Some(net) => Some(net.wanted.clone()),
                None => return Ok(None),
            },
        };
        let entry = self.maps.entry(target)?;
        Ok(entry.map(|entry| {
            let extent = wanted.unwrap_or_else(|| self.maps.extent(&entry));
            KernelBan::new(target, &entry, extent)
        }))
    }

    /// The ban around `target` that lapses last, itself left out: what goes on dropping it when its own
    /// is lifted.
    ///
    /// # Errors
    /// Where a map can't be read.
    pub fn around(&self, target: Target) -> Result<Option<KernelBan>, BlocklistError> {
        let mut around = match self.nets.around(target) {
            Some((net, _)) => self.entry(Target::from(net))?,
            None => None,
        };
        if let IpNet::V6(net) = target.net()
            && net.prefix_len() > 64
        {
            let network = Target::of_offender(net.addr().into(), 64);
            let exact = self.entry(network)?;
            around = around.into_iter().chain(exact).max_by_key(|ban| ban.expires);
        }
        Ok(around)
    }

    /// Visits all bans, lapsed ones that haven't been swept among them; addresses first, in no order.
    ///
    /// # Errors
    /// Where a map can't be read.
    pub fn each(&self, mut visit: impl FnMut(KernelBan)) -> Result<(), BlocklistError> {
        self.maps.each_exact(|target, entry| {
            visit(KernelBan::new(target, &entry, self.maps.extent(&entry)));
        })?;
        for (net, _) in self.nets.iter() {
            if let Some(ban) = self.entry(Target::from(net))? {
                visit(ban);
            }
        }
        Ok(())
    }

    /// All bans: see [`each`](Self::each).
    ///
    /// # Errors
    /// Where a map can't be read.
    pub fn entries(&self) -> Result<Vec<KernelBan>, BlocklistError> {
        let mut bans = Vec::with_capacity(self.len());
        self.each(|ban| bans.push(ban))?;
        Ok(bans)
    }

    /// An entry that has counted nothing.
    pub(super) fn fresh_entry(
        &mut self,
        target: Target,
        extent: &Extent,
    ) -> Result<Entry, BlocklistError> {
        let Amended { expires_ns, flags, scope, scoped_until_s } = self.amended(target, extent)?;
        Ok(Entry { expires_ns, flags, scope, scoped_until_s, ..Entry::default() })
    }

    pub(super) fn amended(
        &mut self,
        target: Target,
        extent: &Extent,
    ) -> Result<Amended, BlocklistError> {
        let (expires_ns, scoped_until_s) = extent.in_entry();
        let scope = self.maps.scope(extent)?;
        Ok(Amended { expires_ns, flags: self.allow.flags(target), scope, scoped_until_s })
    }

    fn insert_exact(
        &mut self,
        target: Target,
        ports: Option<&Ports>,
        expires: Expiry,
    ) -> Result<Inserted, BlocklistError> {
        let entry = self.fresh_entry(target, &Extent::of(ports, expires))?;
        loop {
            match self.maps.add(target, entry)? {
                Added::New => {
                    self.exact += 1;
                    self.exact_v6 += usize::from(target.net().addr().is_ipv6());
                    self.note_lapse(target, expires);
                    return Ok(Inserted::New);
                }
                Added::Exists => {
                    let Some(there) = self.maps.entry(target)? else { continue };
                    let before = self.maps.extent(&there);
                    let last = before.last();
                    let now_ns = Clock::read().monotonic_ns();
                    let extent = before.renewed(ports, expires, now_ns);
                    let amended = self.amended(target, &extent)?;
                    // Gone between the two calls: somebody lifted it by the pinned maps.
                    if !amend(&mut self.ebpf, target, amended)? {
                        continue;
                    }
                    // A later lapse is found out when the earlier one comes.
                    if extent.last() < last {
                        self.note_lapse(target, extent.last());
                    }
                    return Ok(Inserted::Renewed);
                }
            }
        }
    }

    fn remove_exact(&mut self, target: Target) -> Result<Option<KernelBan>, BlocklistError> {
        let Some(before) = self.maps.entry(target)? else { return Ok(None) };
        // Lapsed first, so that what is read next is what it counted in the end.
        if !amend(&mut self.ebpf, target, Amended::OVER)? {
            return Ok(None);
        }
        let last = self.maps.entry(target)?.unwrap_or(before);
        if !self.maps.remove(target)? {
            return Ok(None);
        }
        self.note_gone(target);
        Ok(Some(KernelBan::new(target, &last, self.maps.extent(&before))))
    }

    pub(super) fn insert_net(
        &mut self,
        target: Target,
        ports: Option<&Ports>,
        expires: Expiry,
    ) -> Result<Inserted, BlocklistError> {
        let net = target.net();
        let flags = self.allow.flags(target);
        let extent = match self.nets.get(net) {
            Some(known) => {
                let now_ns = Clock::read().monotonic_ns();
                known.wanted.clone().renewed(ports, expires, now_ns)
            }
            None => Extent::of(ports, expires),
        };
        let new = self.nets.want(net, extent.clone(), flags);
        self.settle(net)?;
        if self.nets.get(net).is_none() {
            // Somebody lifted it by the pinned maps, and `settle` found out.
            return self.insert_net(target, ports, expires);
        }
        if new {
            self.write_families()?;
            let effective = self.nets.effective(net).unwrap_or_else(|| extent.clone());
            let entry = self.fresh_entry(target, &effective);
            if let Err(error) = entry.and_then(|entry| self.maps.add(target, entry)) {
                self.nets.forget(net);
                self.settle(net)?;
                self.write_families()?;
                return Err(error);
            }
            self.nets.written(net, effective, flags);
        }
        for expires in extent.lapses() {
            self.lapses_nets.note(target, expires);
        }
        Ok(if new { Inserted::New } else { Inserted::Renewed })
    }

    pub(super) fn remove_net(
        &mut self,
        target: Target,
    ) -> Result<Option<KernelBan>, BlocklistError> {
        let net = target.net();
        let Some(known) = self.nets.get(net).cloned() else { return Ok(None) };
        // With no ban around it, it can stop before its counts are read. With one, that would be a
        // hole in it; a packet that is counted in the microsecond between is in the counters only.
        if self.nets.around(target).is_none() {
            amend(&mut self.ebpf, target, Amended::OVER)?;
        }
        let entry = self.maps.entry(target)?;
        let there = self.maps.remove(target)?;
        self.nets.forget(net);
        self.settle(net)?;
        self.write_families()?;
        Ok(entry.filter(|_| there).map(|entry| KernelBan::new(target, &entry, known.wanted)))
    }

    /// Writes to the tries what they should have of `root` and everything in it.
    pub(super) fn settle(&mut self, root: IpNet) -> Result<(), BlocklistError> {
        let Drift { raise, lower } = self.nets.drift(root);
        for (net, extent) in raise.into_iter().chain(lower) {
            let flags = self.nets.get(net).map_or(0, |known| known.flags);
            let target = Target::from(net);
            let amended = Amended { flags, ..self.amended(target, &extent)? };
            if amend(&mut self.ebpf, target, amended)? {
                self.nets.written(net, extent, flags);
            } else {
                self.nets.forget(net);
            }
        }
        Ok(())
    }

    pub(super) fn note_lapse(&mut self, target: Target, expires: Expiry) {
        match Place::from(target) {
            Place::V4(key) => self.lapses_v4.note(key, expires),
            Place::V6(key) => self.lapses_v6.note(key, expires),
            Place::NetV4(_) | Place::NetV6(_) => self.lapses_nets.note(target, expires),
        }
    }

    pub(super) fn note_gone(&mut self, target: Target) {
        self.exact = self.exact.saturating_sub(1);
        let is_v6 = usize::from(target.net().addr().is_ipv6());
        self.exact_v6 = self.exact_v6.saturating_sub(is_v6);
        self.gone += 1;
    }
}
