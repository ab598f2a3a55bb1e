//! The allow list by hand: in policy, kernel and database, with an end or without.

use std::time::Duration;

use super::health::Health;
use super::logline::AllowLine;
use super::pipeline::Pipeline;
use crate::control::{AllowedEntry, Response};
use crate::event::{Target, Timestamp};
use crate::policy::{AllowEntry, AllowFiles};
use crate::store::{Allowed, Effect};

impl Pipeline {
    pub(super) fn allow(
        &mut self,
        target: Target,
        ttl_s: Option<u64>,
        force: bool,
    ) -> Result<Response, String> {
        let policy = self.parts.engine.policy_mut();
        policy.check_allow(target, force).map_err(|refusal| refusal.to_string())?;
        let since = Timestamp::now();
        let expires = ttl_s.map(|secs| since.saturating_add(Duration::from_secs(secs)));
        policy.allow(target, expires);
        let lifted = match self.sync_allowed() {
            Ok(lifted) => lifted,
            Err(error) => {
                // What the kernel doesn't know must not look allowed.
                if self.parts.engine.policy_mut().disallow(target).is_ok() {
                    drop(self.sync_allowed());
                }
                return Err(format!("{target} can't be allowed: {error}"));
            }
        };
        tracing::info!("{}", AllowLine { target, allowed: true, until: expires });
        self.parts.store.push([Effect::Allowed(Allowed { target, since, expires })]);
        let expires = expires.map(|expires| expires.to_string());
        Ok(Response::Allowed { target, expires, lifted })
    }

    pub(super) fn disallow(&mut self, target: Target) -> Result<Response, String> {
        let policy = self.parts.engine.policy_mut();
        policy.disallow(target).map_err(|refusal| refusal.to_string())?;
        let still = policy.why_covered(target).map(allowed_entry);
        self.disallowed([target]);
        Ok(Response::Disallowed { still })
    }

    pub(super) fn allow_list(&self) -> Response {
        let entries = self.parts.engine.policy().allow_entries();
        Response::AllowList { entries: entries.into_iter().map(allowed_entry).collect() }
    }

    /// What people allowed for a time that is over.
    pub(super) fn expire_allowed(&mut self, now: Timestamp) {
        let gone = self.parts.engine.policy_mut().expire_allowed(now);
        if !gone.is_empty() {
            self.disallowed(gone);
        }
    }

    /// Files that `allow` names: what is new in them, and what is wrong with them.
    pub(super) fn look_at_allow_files(&mut self) {
        if !self.parts.allow_files.look() {
            return;
        }
        let nets = self.parts.allow_files.nets();
        let entries = nets.len();
        if self.parts.engine.policy_mut().set_allow_files(nets) {
            match self.sync_allowed() {
                Ok(_) => tracing::info!(entries, "The files in `allow` have changed."),
                Err(error) => self.parts.health.degrade("allow-list", "", error),
            }
        }
        tell_troubles(&self.parts.allow_files, &self.parts.health);
    }

    fn disallowed(&mut self, targets: impl IntoIterator<Item = Target>) {
        if let Err(error) = self.sync_allowed() {
            tracing::warn!(%error, "The kernel still allows what is allowed no longer.");
        }
        for target in targets {
            tracing::info!("{}", AllowLine { target, allowed: false, until: None });
            self.parts.store.push([Effect::Disallowed { target }]);
        }
    }

    /// Brings the kernel's allow list in line with the policy's; the bans that this lifted.
    pub(super) fn sync_allowed(&mut self) -> Result<Vec<Target>, String> {
        let allowed = self.parts.engine.policy().allowed();
        let Some(blocklist) = self.parts.enforcement.kernel() else { return Ok(Vec::new()) };
        let outcome = blocklist.set_allowed(&allowed).map_err(|error| error.to_string())?;
        for ban in &outcome.removed {
            self.lifted(ban.target, Some(ban), "allow");
        }
        Ok(outcome.removed.iter().map(|ban| ban.target).collect())
    }
}

/// Says what is wrong with files that `allow` names: somebody could be banned who mustn't be.
pub(super) fn tell_troubles(files: &AllowFiles, health: &Health) {
    let mut broken = Vec::new();
    for (path, error) in files.troubles() {
        let path = path.display().to_string();
        health.degrade(
            "allow-file",
            &path,
            format!("{error}; until then what could be read of it, now or before, is allowed"),
        );
        broken.push(path);
    }
    match files.left_out() {
        0 => health.clear("allow-files-full", ""),
        left_out => health.degrade(
            "allow-files-full",
            "",
            format!("{left_out} entries of the files in `allow` have no room: write prefixes instead of addresses"),
        ),
    }
    health.clear_unless("allow-file", |path| broken.iter().any(|broken| broken == path));
}

/// As it goes over the socket.
pub(super) fn allowed_entry(entry: AllowEntry) -> AllowedEntry {
    AllowedEntry {
        target: Target::from(entry.net),
        why: entry.why.to_string(),
        expires: entry.expires.map(|expires| expires.to_string()),
    }
}
