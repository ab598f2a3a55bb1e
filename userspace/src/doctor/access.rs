//! Whether those who administer this host from afar could be banned from it.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::{Findings, Host, Part};
use crate::control::{self, Request};
use crate::daemon;
use crate::event::{Target, Timestamp};
use crate::host;
use crate::policy::{AllowFiles, Policy, SuricataProof};
use crate::store::{Reader, StoreError};

pub(super) fn examine(it: &Host, findings: &mut Findings) {
    let files = AllowFiles::new(&it.config.allow_files);
    for (_, error) in files.troubles() {
        findings.failure(
            Part::Access,
            "allow-file",
            error.to_string(),
            "Whoever should be allowed by it may be banned.",
            "ravelin check",
        );
    }
    let mut people: BTreeMap<IpAddr, String> = BTreeMap::new();
    for (address, user) in host::logins() {
        people.insert(address, format!("{user} is logged in from there"));
    }
    if let Some(address) = host::own_session() {
        people.insert(address, "you are logged in from there".to_owned());
    }
    people.retain(|address, _| !address.is_loopback());
    if people.is_empty() {
        return findings.ok(Part::Access, "access", "nobody is logged in from another host");
    }
    let network = daemon::network_of(&it.facts, &it.config);
    let mut policy = Policy::new(&it.config, &network, SuricataProof::unknown());
    policy.set_allow_files(files.nets());
    let mut unseen = false;
    match allowed_by_hand(it) {
        Ok(by_hand) => by_hand.into_iter().for_each(|(target, until)| policy.allow(target, until)),
        Err(_) => unseen = true,
    }
    // What is allowed by hand needs a daemon to take it.
    let alive = control::request(&it.config.run_dir, &Request::Status).is_ok();
    for (address, who) in people {
        if let Some((net, why)) = policy.why_allowed(address) {
            let message = format!("{address} is never banned ({net}: {why}); {who}");
            findings.ok(Part::Access, "own-address", message);
        } else if unseen {
            findings.unseen(
                Part::Access,
                "own-address",
                format!(
                    "{address} isn't in `allow`; whether it is allowed by hand can only root see"
                ),
                "sudo ravelin doctor",
            );
        } else {
            findings.warning(
                Part::Access,
                "own-address-not-allowed",
                format!("{address} isn't on the allow list; {who}"),
                "A few mistyped passwords could lock you out; a session that lives protects only itself.",
                match alive {
                    true => format!("ravelin allow {address}"),
                    false => format!("allow: [{address}]   # in {}", it.config_path),
                },
            );
        }
    }
}

type ByHand = Vec<(Target, Option<Timestamp>)>;

fn allowed_by_hand(host: &Host) -> Result<ByHand, StoreError> {
    let state_dir = &host.config.state_dir;
    // Before the first start there is none.
    if host.is_root && !state_dir.exists() {
        return Ok(Vec::new());
    }
    let now = Timestamp::now();
    let allowed = Reader::open(state_dir)?.allowed()?;
    let holds = |until: Option<Timestamp>| until.is_none_or(|until| until > now);
    Ok(allowed
        .into_iter()
        .filter(|it| holds(it.expires))
        .map(|it| (it.target, it.expires))
        .collect())
}
