//! `docs/packs.md` has each shipped rule as it is.

use std::fs;
use std::path::Path;

use ravelin::rules::Packs;

#[test]
fn the_page_names_each_rule_its_level_and_whether_it_bans() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/packs.md");
    let page = fs::read_to_string(page).expect("docs/packs.md");
    let packs = Packs::load(true, &[]).expect("the shipped packs load");
    let rows: Vec<String> = packs
        .rules()
        .rules
        .iter()
        .map(|rule| {
            let head = &rule.head;
            let bans = match head.ban {
                Some(true) => "yes",
                Some(false) => "no",
                None if head.level >= 9 => "yes",
                None if rule.score > 0.0 => "by score",
                None => "no",
            };
            format!("| {} | {} | {} | {bans} |", head.id, head.level, head.description)
        })
        .collect();
    let missing: Vec<&String> =
        rows.iter().filter(|row| !page.lines().any(|line| line == row.as_str())).collect();
    assert!(missing.is_empty(), "docs/packs.md lacks these rows: {missing:#?}");
    let stated =
        page.lines().filter(|line| line.starts_with("| ") && line.as_bytes()[2].is_ascii_digit());
    assert_eq!(stated.count(), rows.len(), "docs/packs.md has rows of rules that there aren't");
}
