//! Banning, renewing, lifting, looking up.

use ipnet::IpNet;
use ravelin_common::Entry;

use super::maps::Added;
use super::nets::Drift;
use super::place::Place;
use super::{Blocklist, BlocklistError, Expiry, KernelBan, amend};
use crate::event::Target;

/// What [`Blocklist::insert`] did.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Inserted {
    /// The ban is new.
    New,
    /// It was there: its expiry is now this one, earlier or later; its counts go on.
    Renewed,
}

impl Blocklist {
    /// Bans `target` until `expires`, or renews its ban, counts and all.
    ///
    /// # Errors
    /// [`BlocklistError::Full`] where there is no room; [`BlocklistError::Allowed`] where all of the
    /// target is on the allow list; where the kernel refuses.
    pub fn insert(&mut self, target: Target, expires: Expiry) -> Result<Inserted, BlocklistError> {
        self.allow.refuse(target)?;
        match Place::from(target) {
            Place::V4(_) | Place::V6(_) => self.insert_exact(target, expires),
            Place::NetV4(_) | Place::NetV6(_) => self.insert_net(target, expires),
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
                Some(net) => Some(net.wanted),
                None => return Ok(None),
            },
        };
        let entry = self.maps.entry(target)?;
        Ok(entry.map(|entry| {
            let ban = KernelBan::new(target, &entry);
            KernelBan { expires: wanted.unwrap_or(ban.expires), ..ban }
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
        self.maps.each_exact(|target, entry| visit(KernelBan::new(target, &entry)))?;
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

    pub(super) fn fresh_entry(&self, target: Target, expires: Expiry) -> Entry {
        Entry { expires_ns: expires.as_ns(), flags: self.allow.flags(target), ..Entry::default() }
    }

    fn insert_exact(
        &mut self,
        target: Target,
        expires: Expiry,
    ) -> Result<Inserted, BlocklistError> {
        let entry = self.fresh_entry(target, expires);
        loop {
            match self.maps.add(target, entry)? {
                Added::New => {
                    self.exact += 1;
                    self.note_lapse(target, expires);
                    return Ok(Inserted::New);
                }
                Added::Exists => {
                    let before = self.maps.entry(target)?.map(|entry| entry.expires_ns);
                    // Gone between the two calls: somebody lifted it by the pinned maps.
                    if !amend::amend(&mut self.ebpf, target, expires, entry.flags)? {
                        continue;
                    }
                    // A later lapse is found out when the earlier one comes.
                    if before.is_none_or(|before| expires < Expiry::from_ns(before)) {
                        self.note_lapse(target, expires);
                    }
                    return Ok(Inserted::Renewed);
                }
            }
        }
    }

    fn remove_exact(&mut self, target: Target) -> Result<Option<KernelBan>, BlocklistError> {
        let Some(before) = self.maps.entry(target)? else { return Ok(None) };
        // Lapsed first, so that what is read next is what it counted in the end.
        if !amend::amend(&mut self.ebpf, target, Expiry::At(0), before.flags)? {
            return Ok(None);
        }
        let last = self.maps.entry(target)?.unwrap_or(before);
        if !self.maps.remove(target)? {
            return Ok(None);
        }
        self.note_gone();
        Ok(Some(KernelBan::new(target, &Entry { expires_ns: before.expires_ns, ..last })))
    }

    pub(super) fn insert_net(
        &mut self,
        target: Target,
        expires: Expiry,
    ) -> Result<Inserted, BlocklistError> {
        let net = target.net();
        let flags = self.allow.flags(target);
        let before = self.nets.get(net).map(|known| known.wanted);
        let new = self.nets.want(net, expires, flags);
        self.settle(net)?;
        if self.nets.get(net).is_none() {
            // Somebody lifted it by the pinned maps, and `settle` found out.
            return self.insert_net(target, expires);
        }
        if new {
            self.write_families()?;
            let effective = self.nets.effective(net).unwrap_or(expires);
            let entry =
                Entry { expires_ns: effective.as_ns(), ..self.fresh_entry(target, expires) };
            if let Err(error) = self.maps.add(target, entry) {
                self.nets.forget(net);
                self.settle(net)?;
                self.write_families()?;
                return Err(error);
            }
            self.nets.written(net, effective, flags);
        }
        if before.is_none_or(|before| expires < before) {
            self.lapses_nets.note(target, expires);
        }
        Ok(if new { Inserted::New } else { Inserted::Renewed })
    }

    pub(super) fn remove_net(
        &mut self,
        target: Target,
    ) -> Result<Option<KernelBan>, BlocklistError> {
        let net = target.net();
        let Some(known) = self.nets.get(net) else { return Ok(None) };
        // With no ban around it, it can stop before its counts are read. With one, that would be a
        // hole in it; a packet that is counted in the microsecond between is in the counters only.
        if self.nets.around(target).is_none() {
            amend::amend(&mut self.ebpf, target, Expiry::At(0), known.flags)?;
        }
        let entry = self.maps.entry(target)?;
        let there = self.maps.remove(target)?;
        self.nets.forget(net);
        self.settle(net)?;
        self.write_families()?;
        Ok(entry
            .filter(|_| there)
            .map(|entry| KernelBan { expires: known.wanted, ..KernelBan::new(target, &entry) }))
    }

    /// Writes to the tries what they should have of `root` and everything in it.
    pub(super) fn settle(&mut self, root: IpNet) -> Result<(), BlocklistError> {
        let Drift { raise, lower } = self.nets.drift(root);
        for (net, expires) in raise.into_iter().chain(lower) {
            let flags = self.nets.get(net).map_or(0, |known| known.flags);
            if amend::amend(&mut self.ebpf, Target::from(net), expires, flags)? {
                self.nets.written(net, expires, flags);
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

    pub(super) const fn note_gone(&mut self) {
        self.exact = self.exact.saturating_sub(1);
        self.gone += 1;
    }
}
