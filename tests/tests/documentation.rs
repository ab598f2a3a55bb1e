//! The examples in `docs/rules.md` are packs that load and pass their own tests.

use std::path::Path;
use std::sync::Arc;

use ravelin::config::BanConfig;
use ravelin::engine::run_pack_test;
use ravelin::event::Timestamp;
use ravelin::rules::Packs;

/// The blocks between ```` ```yaml ```` and ```` ``` ````, without the indentation of the list they are in.
fn examples(text: &str) -> Vec<String> {
    let mut all = Vec::new();
    let mut open: Option<(usize, String)> = None;
    for line in text.lines() {
        let indent = line.len() - line.trim_start().len();
        match &mut open {
            None if line.trim() == "```yaml" => open = Some((indent, String::new())),
            None => {}
            Some(_) if line.trim() == "```" => all.extend(open.take().map(|(_, block)| block)),
            Some((outer, block)) => {
                block.push_str(line.get(*outer..).unwrap_or_default());
                block.push('\n');
            }
        }
    }
    all
}

fn documentation() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/rules.md");
    std::fs::read_to_string(&path).expect("docs/rules.md can be read")
}

#[test]
fn what_the_linter_is_said_to_refuse_it_refuses() {
    let text = documentation();
    let table = text.split("| written | why | remedy |").nth(1).expect("the table of the linter");
    let patterns: Vec<&str> = table
        .lines()
        .skip(2)
        .map_while(|row| row.strip_prefix("| `")?.split_once("` |").map(|(pattern, _)| pattern))
        .collect();
    assert!(patterns.len() >= 4, "{patterns:?}");
    for pattern in patterns {
        let pack = format!(
            "pack: x\nformat: syslog\nprograms: [x]\nevents:\n  x:\n    pattern: '{pattern}'\n"
        );
        let refused = Packs::from_texts(&[("docs/rules.md", pack.as_str())]);
        assert!(refused.is_err(), "{pattern}");
    }
}

#[test]
fn examples_of_the_rule_language_run() {
    let examples = examples(&documentation());
    assert!(examples.len() >= 2, "{} examples", examples.len());
    for example in examples {
        // As an admin has them: beside those that ship.
        let file =
            std::env::temp_dir().join(format!("ravelin-example-{}.yaml", std::process::id()));
        std::fs::write(&file, &example).expect("a temporary file can be written");
        let loaded = Packs::load(true, std::slice::from_ref(&file));
        std::fs::remove_file(&file).expect("it can be removed");
        let packs = loaded.unwrap_or_else(|errors| panic!("{errors}\n{example}"));
        let packs = Arc::new(packs);
        assert!(!packs.tests().is_empty(), "an example without a test:\n{example}");
        let warnings = packs.warnings(&BanConfig::default());
        assert!(warnings.is_empty(), "{warnings:?}\n{example}");
        for test in packs.tests() {
            let differences = run_pack_test(&packs, test, Timestamp::from_secs(1_795_478_400));
            assert!(differences.is_empty(), "{}: {differences:?}\n{example}", test.place);
        }
    }
}
