//! The sandbox around the daemon: before the first thread, and never a reason not to protect.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;

use super::Options;
use super::health::Health;
use crate::blocklist;
use crate::config::{self, Config, Mode};
use crate::rules::RuleSet;
use crate::sandbox::{self, Needs};

/// Gives up what the daemon won't need, and says what it couldn't give up. What it has left; `None`: everything.
pub(super) fn confine(
    config: &Config,
    options: &Options,
    rules: &RuleSet,
    health: &Health,
) -> Option<Needs> {
    if !config.sandbox {
        health.note(
            "sandbox-off",
            "",
            "`sandbox: false`: the daemon keeps all of root's rights; take that line out and restart".to_owned(),
        );
        return None;
    }
    // What is to be written to has to be there to be named. Who fails here fails again later, and says so.
    drop(DirBuilder::new().recursive(true).mode(0o700).create(&config.state_dir));
    if config.mode == Mode::Enforce {
        drop(blocklist::prepare(&config.bpf_dir));
    }
    let needs = needs(config, options, rules);
    for gap in sandbox::enter(&needs) {
        health.note(
            "sandbox-incomplete",
            gap.layer(),
            format!("{gap}; the host is protected, the daemon less well confined"),
        );
    }
    Some(needs)
}

/// What a daemon with this configuration needs.
pub(super) fn needs(config: &Config, options: &Options, rules: &RuleSet) -> Needs {
    let path = options.config.as_deref().unwrap_or(Path::new(config::DEFAULT_PATH));
    Needs::of(config, path, rules)
}

/// What a configuration that is taken over while we run asks for beyond that, in a sentence.
pub(super) fn beyond(needs: &Needs, left: Option<&Needs>) -> Option<String> {
    let beyond = needs.beyond(left?);
    (!beyond.is_empty()).then(|| {
        format!(
            "a restart is needed for {}: what the daemon may do is settled at its start",
            beyond.join(", ")
        )
    })
}
