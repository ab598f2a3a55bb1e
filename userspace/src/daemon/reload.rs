//! Reloading: configuration, packs and what they name are read and checked on a thread of their own, then
//! taken over by the engine's between two lines. What can't be read changes nothing.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, mpsc};
use std::thread;

use jiff::tz::TimeZone;
use tokio::sync::{oneshot, watch};

use super::health::Health;
use super::pipeline::{Command, Pipeline};
use super::sources::{self, Positions};
use super::{DaemonError, Options, confine, effective, network};
use crate::config::{self, Config, Loaded, MailConfig, Shown};
use crate::control::Response;
use crate::host::{self, Facts};
use crate::mail::{Channel, Courier, MailHealth, Policy as MailPolicy, Webhook};
use crate::policy::{Network, SuricataProof, read_allow_file};
use crate::rules::{Packs, Rule};
use crate::sandbox::Needs;
use crate::source::{CommandSender, Inbox};
use crate::store::{self, Reader};

/// Everything a reload needs, read and found good.
pub(super) struct Fresh {
    loaded: Loaded,
    config: Config,
    packs: Arc<Packs>,
    facts: Facts,
    network: Network,
    needs: Needs,
    proof: SuricataProof,
    positions: Positions,
    /// `None`: no mail.
    courier: Option<(Courier, watch::Receiver<MailHealth>)>,
}

impl fmt::Debug for Fresh {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fresh").field("config", &self.config).finish_non_exhaustive()
    }
}

/// Where the answer to a reload goes; a signal wants none.
pub(super) type Answer = Option<oneshot::Sender<Response>>;

/// The way to the reloading thread.
#[derive(Clone)]
pub(super) struct Reloader(mpsc::Sender<Answer>);

/// What the thread works with.
pub(super) struct Job {
    pub(super) options: Options,
    pub(super) host: String,
    pub(super) state_dir: PathBuf,
    pub(super) store: store::Handle,
    pub(super) health: Health,
    pub(super) commands: CommandSender<Command>,
}

impl Reloader {
    /// Starts the thread; it ends with the last clone of this.
    pub(super) fn spawn(job: Job) -> Result<Self, DaemonError> {
        let (sender, asked) = mpsc::channel();
        thread::Builder::new()
            .name("reload".to_owned())
            .spawn(move || {
                for answer in asked {
                    job.reload(answer);
                }
            })
            .map_err(|source| DaemonError::System { what: "a thread for reloading", source })?;
        Ok(Self(sender))
    }

    /// Asks for a reload.
    pub(super) fn ask(&self, answer: Answer) {
        // Fails only where the thread is gone, and with it the daemon; then the answer is dropped.
        drop(self.0.send(answer));
    }
}

impl Job {
    fn reload(&self, answer: Answer) {
        match self.read() {
            Ok(fresh) => {
                if let Err(error) = self.commands.send(Command::Reload(Box::new(fresh), answer)) {
                    tracing::warn!(%error, "A reload was turned away.");
                }
            }
            Err(message) => {
                let message = format!("{message}; nothing was changed");
                self.health.note(
                    "reload-refused",
                    "",
                    format!("{message}: mend it, then `ravelin reload`"),
                );
                if let Some(answer) = answer {
                    // A client that went away doesn't want it any more.
                    drop(answer.send(Response::Refused { message }));
                }
            }
        }
    }

    fn read(&self) -> Result<Fresh, String> {
        let loaded = config::load(self.options.config.as_deref()).map_err(|error| {
            let excerpt = error.place().map(|place| format!("\n{}\n", place.excerpt()));
            format!("{error}{}", excerpt.unwrap_or_default())
        })?;
        let config = effective(&loaded, &self.options);
        let packs = Packs::load(config.builtin_rules, &config.rules)
            .map_err(|errors| errors.to_string())?;
        for path in &config.allow_files {
            if let (_, Some(error)) = read_allow_file(path) {
                return Err(error.to_string());
            }
        }
        let courier = (!Channel::of(&config.mail).is_empty())
            .then(|| Courier::new(&config.mail, &self.host, self.store.clone()))
            .transpose()
            .map_err(|error| error.to_string())?;
        let facts = host::facts().map_err(|error| error.to_string())?;
        let proof = SuricataProof::load(&config.suricata_rules)
            .unwrap_or_else(|_unreadable| SuricataProof::unknown());
        let positions = Reader::open(&self.state_dir)
            .map_err(DaemonError::from)
            .and_then(|reader| sources::positions(&reader))
            .map_err(|error| error.to_string())?;
        let network = network::of(&facts, &config);
        let packs = Arc::new(packs);
        let needs = confine::needs(&config, &self.options, packs.rules());
        Ok(Fresh { loaded, config, packs, facts, network, needs, proof, positions, courier })
    }
}

impl Pipeline {
    /// Takes over what was read; what changed, one sentence each.
    pub(super) fn reload(&mut self, fresh: Fresh, inbox: &Inbox<Command>) -> Vec<String> {
        let Fresh { loaded, mut config, packs, facts, network, needs, proof, positions, courier } =
            fresh;
        let old = self.parts.config.clone();
        let mut changes = keep_fixed(&mut config, &old);
        changes.extend(config_changes(&old, &config));
        changes.extend(rule_changes(self.parts.engine.packs(), &packs));
        match confine::beyond(&needs, self.parts.left.as_ref()) {
            Some(beyond) => {
                self.parts.health.note("restart-needed", "", beyond.clone());
                changes.push(beyond);
            }
            None => self.parts.health.clear("restart-needed", ""),
        }

        let proof_known = !proof.is_unknown();
        self.parts.engine.reload(packs, &config, &network, proof);
        self.parts.lists.follow(&self.parts.engine.packs().rules().lists);
        self.parts.engine.set_lists(self.parts.lists.lists());
        self.parts.allow_files.follow(&config.allow_files);
        let files = self.parts.allow_files.nets();
        self.parts.engine.policy_mut().set_allow_files(files);
        super::allow::tell_troubles(&self.parts.allow_files, &self.parts.health);
        // Whoever is a suspect still will be one again.
        self.suspects.clear();
        self.parts.health.clear_unless("front-suspected", |_| false);
        match self.sync_allowed() {
            Ok(lifted) => changes
                .extend(lifted.iter().map(|target| format!("the ban of {target} was lifted"))),
            Err(error) => changes.push(format!("the kernel's allow list is as before: {error}")),
        }
        self.parts.config = config;
        changes.extend(self.want_interfaces(&facts));
        let Self { parts, .. } = self;
        let followed =
            parts.sources.follow(&parts.config, positions, inbox, &parts.health, proof_known);
        match followed {
            Ok(sources) => {
                parts.health.clear("source-not-started", "");
                changes.extend(sources);
            }
            Err(error) => {
                parts.health.degrade("source-not-started", "", error.to_string());
                changes.push(error.to_string());
            }
        }
        if old.mail != parts.config.mail {
            parts.mail = MailPolicy::new(&parts.config.mail, TimeZone::system());
            let (courier, watching) = match courier {
                Some((courier, watching)) => (Some(courier), watching),
                None => (None, watch::channel(MailHealth::default()).1),
            };
            parts.mail_health = watching;
            for code in ["mail-misconfigured", "mail-undelivered", "mail-refused"] {
                parts.health.clear(code, "");
            }
            // Fails only where the daemon is on its way out.
            drop(parts.couriers.send(courier));
            parts.surroundings.set_relays(network::partners(&parts.config.mail));
        }
        for code in ["configuration-invalid", "packs-invalid", "reload-refused"] {
            parts.health.clear(code, "");
        }
        match loaded.remember() {
            Ok(()) => parts.health.clear("last-good", ""),
            Err(error) => parts.health.note("last-good", "", error.to_string()),
        }
        tracing::info!(changes = changes.join("; "), "Reloaded.");
        changes
    }
}

/// Puts back what is settled at the start, and says so.
fn keep_fixed(config: &mut Config, old: &Config) -> Vec<String> {
    let mut kept = Vec::new();
    macro_rules! keep {
        ($($field:ident).+) => {
            if config.$($field).+ != old.$($field).+ {
                let name = stringify!($($field).+).replace(' ', "");
                kept.push(format!("{name} is as before: another one takes a restart"));
                config.$($field).+ = old.$($field).+.clone();
            }
        };
    }
    keep!(mode);
    keep!(xdp_mode);
    keep!(state_dir);
    keep!(run_dir);
    keep!(bpf_dir);
    keep!(control_group);
    keep!(sandbox);
    keep!(ban.max);
    keep!(ban.ipv6_prefix);
    keep!(ban.score_half_life);
    keep!(ban.forget_after);
    keep!(state);
    keep!(metrics);
    kept
}

fn config_changes(old: &Config, new: &Config) -> Vec<String> {
    let mut changes = Vec::new();
    let nets = |nets: &[ipnet::IpNet]| list(nets.iter().map(ToString::to_string));
    let mut tell = |name: &str, old: String, new: String| {
        if old != new {
            changes.push(format!("{name}: {new} (was {old})"));
        }
    };
    tell("interfaces", list(old.interfaces.iter().cloned()), list(new.interfaces.iter().cloned()));
    tell("home", nets(&old.home), nets(&new.home));
    tell("allow", allowed(old), allowed(new));
    tell("fronts", nets(&old.fronts), nets(&new.fronts));
    tell(
        "suricata_rules",
        old.suricata_rules.display().to_string(),
        new.suricata_rules.display().to_string(),
    );
    let (was, is) = (&old.ban, &new.ban);
    tell("ban.level", was.level.to_string(), is.level.to_string());
    tell("ban.score", was.score.to_string(), is.score.to_string());
    tell("ban.ttl", Shown(was.ttl).to_string(), Shown(is.ttl).to_string());
    let steps =
        |steps: &[std::time::Duration]| list(steps.iter().map(|step| Shown(*step).to_string()));
    tell("ban.escalate", steps(&was.escalate), steps(&is.escalate));
    tell("ban.private", was.private.to_string(), is.private.to_string());
    tell("ban.unproven", was.unproven.to_string(), is.unproven.to_string());
    tell("ban.outbound", was.outbound.to_string(), is.outbound.to_string());
    tell("ban.max_per_minute", was.max_per_minute.to_string(), is.max_per_minute.to_string());
    let (was, is) = (&old.mail, &new.mail);
    tell("mail.level", was.level.to_string(), is.level.to_string());
    tell("mail.immediate", was.immediate.to_string(), is.immediate.to_string());
    tell("mail.to", list(was.to.iter().cloned()), list(is.to.iter().cloned()));
    tell("mail.from", was.from.clone(), is.from.clone());
    tell("mail.relay", was.relay.clone(), is.relay.clone());
    let file = |file: &Option<PathBuf>| {
        file.as_ref().map_or_else(|| "none".to_owned(), |path| path.display().to_string())
    };
    tell("mail.password_file", file(&was.password_file), file(&is.password_file));
    tell("mail.ca_file", file(&was.ca_file), file(&is.ca_file));
    let webhook = |mail: &MailConfig| {
        let place = Webhook::new(mail).ok().flatten().map(|hook| hook.place());
        place.unwrap_or_else(|| "none".to_owned())
    };
    tell("mail.webhook", webhook(was), webhook(is));
    let style = |mail: &MailConfig| mail.webhook_style.as_str().to_owned();
    tell("mail.webhook_style", style(was), style(is));
    let secret = |mail: &MailConfig| file(&mail.webhook_secret_file);
    tell("mail.webhook_secret_file", secret(was), secret(is));
    tell("mail.per_hour", was.per_hour.to_string(), is.per_hour.to_string());
    changes
}

/// `allow`, as it is written.
fn allowed(config: &Config) -> String {
    let nets = config.allow.iter().map(ToString::to_string);
    let presets = config.allow_presets.iter().map(ToString::to_string);
    let files = config.allow_files.iter().map(|path| format!("file:{}", path.display()));
    list(nets.chain(presets).chain(files))
}

fn list(items: impl Iterator<Item = String>) -> String {
    format!("[{}]", items.collect::<Vec<_>>().join(", "))
}

/// Rules by id: added, gone, changed.
fn rule_changes(old: &Packs, new: &Packs) -> Vec<String> {
    let by_id = |packs: &Packs| -> BTreeMap<u32, String> {
        packs.rules().rules.iter().map(|rule| (rule.head.id, essence(rule))).collect()
    };
    let (old, new) = (by_id(old), by_id(new));
    let ids = |ids: Vec<u32>| ids.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let added = new.keys().filter(|id| !old.contains_key(id)).copied().collect();
    let gone = old.keys().filter(|id| !new.contains_key(id)).copied().collect();
    let changed = new
        .iter()
        .filter(|(id, rule)| old.get(id).is_some_and(|was| was != *rule))
        .map(|(id, _)| *id)
        .collect();
    [("added", added), ("gone", gone), ("changed", changed)]
        .into_iter()
        .filter(|(_, rules): &(_, Vec<u32>)| !rules.is_empty())
        .map(|(what, rules)| format!("rules {what}: {}", ids(rules)))
        .collect()
}

/// What a rule says, without what other packs' numbers give it.
fn essence(rule: &Rule) -> String {
    let Rule { head, when, score, window, ignore, .. } = rule;
    format!("{head:?} {when:?} {score} {window:?} {ignore:?}")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn what_a_restart_takes_is_kept_and_said() {
        let old = Config::default();
        let mut new = old.clone();
        new.ban.max = 7;
        new.state_dir = "/elsewhere".into();
        new.ban.ttl = Duration::from_secs(600);
        let kept = keep_fixed(&mut new, &old);
        assert_eq!(
            kept,
            [
                "state_dir is as before: another one takes a restart",
                "ban.max is as before: another one takes a restart"
            ]
        );
        assert_eq!((new.ban.max, &new.state_dir), (old.ban.max, &old.state_dir));
        assert_eq!(config_changes(&old, &new), ["ban.ttl: 10m (was 5m)"]);
        assert!(config_changes(&old, &old).is_empty());
    }

    #[test]
    fn rules_are_told_apart_by_id() {
        let pack = |rules: &str| {
            let text = format!(
                "pack: own\nformat: syslog\nprograms: [own]\nevents:\n  e: {{pattern: '^x$'}}\nrules:\n{rules}"
            );
            Packs::from_texts(&[("own.yaml", &text)]).unwrap()
        };
        let old = pack(
            "  - {id: 100001, level: 3, event: e, description: one}\n  - {id: 100002, level: 3, event: e, description: two}\n",
        );
        let new = pack(
            "  - {id: 100002, level: 5, event: e, description: two}\n  - {id: 100003, level: 3, event: e, description: three}\n",
        );
        assert_eq!(
            rule_changes(&old, &new),
            ["rules added: 100003", "rules gone: 100001", "rules changed: 100002"]
        );
        assert!(rule_changes(&new, &new).is_empty());
    }
}
