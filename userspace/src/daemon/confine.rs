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

/// Gives up what the daemon won't need, and says what it couldn't give up.
pub(super) fn confine(config: &Config, options: &Options, rules: &RuleSet, health: &Health) {
    if !config.sandbox {
        health.note(
            "sandbox-off",
            "",
            "`sandbox: false`: the daemon keeps all of root's rights; take that line out and restart".to_owned(),
        );
        return;
    }
    // What is to be written to has to be there to be named. Who fails here fails again later, and says so.
    drop(DirBuilder::new().recursive(true).mode(0o700).create(&config.state_dir));
    if config.mode == Mode::Enforce {
        drop(blocklist::prepare(&config.bpf_dir));
    }
    let path = options.config.as_deref().unwrap_or(Path::new(config::DEFAULT_PATH));
    for gap in sandbox::enter(&Needs::of(config, path, rules)) {
        health.note(
            "sandbox-incomplete",
            gap.layer(),
            format!("{gap}; the host is protected, the daemon less well confined"),
        );
    }
}
