//! What packs say that is allowed and hardly meant, and what is told of it: word for word.

use super::mistakes::{PACK, said, with};
use super::*;

#[test]
fn a_pack_without_a_mistake_has_no_warning() {
    said([(PACK.to_owned(), "")]);
}

#[test]
fn rules_that_can_never_ban_are_told() {
    let unproven = |rule: &str| {
        with("    proven: true\n", "").replace(
            "{id: 900001, level: 5, event: failed, description: d}",
            &format!("{{id: 900001, event: failed, description: d, {rule}}}"),
        )
    };
    let proven = "can't ban for the event `failed`, which doesn't say `proven: true`: say it, if the service had an answer \
                  from that address before (TCP); if not, say `proven: false`, and it alerts only";
    let told = format!("my.yaml:6:5: rule 900001 {proven}");
    let on = |event: &str, rule: &str| {
        with("    pattern: '^done$'", event)
            .replace("level: 5, event: failed", &format!("event: done, {rule}"))
    };
    let nameless = "    pattern: '^done by (?<ip>{ip})$'";
    let success = "    pattern: '^done by (?<src>{ip})$'\n    success: true\n    proven: true";
    said([
        (unproven("level: 12"), &told),
        (unproven("level: 5, ban: true"), &told),
        (unproven("level: 5, score: 12"), &told),
        (unproven("level: 5"), ""),
        (unproven("level: 12, ban: false"), ""),
        (
            unproven("level: 12")
                .replace("    pattern: '^f", "    proven: false\n    pattern: '^f"),
            "",
        ),
        (
            on(nameless, "level: 12"),
            "my.yaml:11:5: rule 900001 can never ban: its event `done` has no field `src`; name the address \
             `(?<src>{ip})`, or say `ban: false`",
        ),
        (
            on("    pattern: '^done$'", "level: 3, score: 2"),
            "my.yaml:11:5: rule 900001 can never ban: its event `done` has no field `src`; name the address \
             `(?<src>{ip})`, or take its `score` out",
        ),
        (on("    pattern: '^done$'", "level: 12"), ""),
        (
            on(success, "level: 3, ban: true"),
            "my.yaml:13:5: rule 900001 can never ban: its event `done` is a `success`, which blames nobody; take its \
             `ban` out",
        ),
    ]);
}

#[test]
fn what_is_hardly_meant_is_told() {
    let untested = PACK.find("tests:").unwrap();
    said([
        (
            with("900001", "7"),
            "my.yaml:11:5: an upgrade may bring a rule 7 of its own: ids from 900000 on are yours",
        ),
        (
            with("[shop]", "[shop, 'shop[812]', 'a*b', 'x y', '', 'p*', '*s']"),
            "my.yaml:3:11: no line names a program `shop[812]`: what follows the name isn't a part of it; write `shop`\n\
             my.yaml:3:11: no line names a program `a*b`: a `*` stands for the rest of a name, at its end or at its \
             beginning\n\
             my.yaml:3:11: no line names a program `x y`: a name has no space in it",
        ),
        (
            with("  failed:\n", "  all:\n    pattern: '^(?<text>.*)$'\n  failed:\n"),
            "my.yaml:6:5: `all` takes every line, so none is left for `failed`, `done`: move it behind them",
        ),
        (
            with("'^done$'", r"'^[A-Z][a-z]{2} [0-9]{2} [0-9:]{8} [^ ]+ shop\[[0-9]+\]: done$'"),
            "my.yaml:9:14: this pattern asks for the line's header, which is taken off before: begin with the message \
             behind `shop[812]: `",
        ),
        (
            with(
                "description: d}",
                "description: d}\n  - {id: 900002, level: 3, event: done, preceded_by: {rules: 900001, within: 1m}, description: d}",
            ),
            "my.yaml:12:5: rule 900002 counts what came before from anybody together: give `preceded_by` a `same: \
             [src]`, or say `same: []` if that is meant",
        ),
        (
            with(
                "description: d}",
                "description: d}\n  - {id: 900002, level: 3, event: done, preceded_by: {rules: 900001, within: 1m, same: []}, description: d}",
            ),
            "",
        ),
        (
            PACK[..untested].to_owned(),
            "my.yaml:1:7: the pack `mine` has no tests: add `tests` with lines of your log, and what must come of them",
        ),
        (
            with("(?<src>{ip})$", "(?<src>[^ ]+)$").replace(".7'\n", ".7:4711'\n"),
            "my.yaml:13:5: `src` is `198.51.100.7:4711` here, an address with a port, so the line blames nobody: for \
             ADDRESS:PORT write two patterns, `(?<src>[0-9.]{7,15}):(?<port>{port})` and \
             `\\[(?<src>{ip})\\]:(?<port>{port})`",
        ),
    ]);
}

#[test]
fn files_that_are_not_read_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let told = || {
        let packs = Packs::load(false, &[folder.path().to_owned()]).unwrap();
        let warnings = packs.warnings(&BanConfig::default());
        let told: Vec<String> = warnings.iter().map(ToString::to_string).collect();
        told.join("\n").replace(&folder.path().display().to_string(), "DIR")
    };
    assert_eq!(
        told(),
        "DIR: there is no pack in this folder: only `*.yaml` in it is read, not in folders below"
    );
    fs::write(folder.path().join("x.yml"), PACK).unwrap();
    assert_eq!(
        told(),
        "DIR/x.yml: this file isn't read: only `*.yaml` is; rename it to `DIR/x.yaml`"
    );
}

#[test]
fn what_depends_on_the_configuration_is_told_only_where_it_holds() {
    let yaml = with("    proven: true\n", "").replace("level: 5", "level: 10");
    let packs = Packs::from_texts(&[("my.yaml", &yaml)]).unwrap();
    let usual = BanConfig::default();
    assert_eq!(packs.warnings(&usual).len(), 1);
    assert_eq!(packs.warnings(&BanConfig { level: 11, ..usual.clone() }).len(), 0);
    assert_eq!(packs.warnings(&BanConfig { unproven: true, ..usual }).len(), 0);
}
