//! Other projects' log lines. They are GPL, so they stay outside the tree and are read from there; where
//! they are absent the tests say so and pass.

use std::collections::BTreeMap;
use std::env;
use std::net::IpAddr;

use super::*;
use crate::event::Blame;

/// The first file `name` in a corpus; says aloud that there is none.
fn corpus(name: &str) -> Option<String> {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared");
    let shared = env::var_os("RAVELIN_SHARED").map_or(workspace, PathBuf::from);
    let installed = "/usr/lib/python3/dist-packages/fail2ban/tests/files";
    let places = [
        shared.join("corpora").join(name),
        Path::new("/work/shared/corpora").join(name),
        Path::new(installed).join(name.strip_prefix("fail2ban/").unwrap_or(name)),
    ];
    let found = places.iter().find_map(|place| fs::read(place).ok());
    if found.is_none() {
        println!("skipped: the corpus {name} isn't in any of {places:?}");
    }
    found.map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
}

fn packs() -> Packs {
    Packs::load(true, &[]).unwrap()
}

/// Event and blame of a line; `None` where it isn't recognised.
fn recognise(packs: &Packs, line: &str) -> Option<(String, Blame)> {
    let record = decode(line, Selection::Auto)?;
    packs.recognise(&record).map(|event| (event.kind.name.clone(), event.address))
}

/// What stands behind `"key":` in one of fail2ban's comments.
fn json_field<'j>(json: &'j str, key: &str) -> Option<&'j str> {
    let (_, rest) = json.split_once(&format!("\"{key}\":"))?;
    let rest = rest.trim_start();
    match rest.strip_prefix('"') {
        Some(text) => text.split('"').next(),
        None => rest.split([',', ' ', '}']).next(),
    }
}

/// Checks one of fail2ban's files: (lines that match and name an address in them, those we agree on).
fn fail2ban(name: &str) -> Option<(u32, u32)> {
    let text = corpus(&format!("fail2ban/logs/{name}"))?;
    let packs = packs();
    let mut comment = "";
    let (mut wanted, mut agreed) = (0, 0);
    for line in text.lines().map(str::trim_end) {
        if let Some(json) = line.strip_prefix("# failJSON:") {
            comment = json;
            continue;
        }
        if line.starts_with('#') || line.is_empty() {
            continue;
        }
        let comment = std::mem::take(&mut comment);
        // The journal's lines have no time.
        let line = line
            .strip_prefix("srv ")
            .map_or(line.to_owned(), |rest| format!("Nov 23 10:00:00 srv {rest}"));
        let host = json_field(comment, "host").and_then(|host| host.parse::<IpAddr>().ok());
        let blamed = match recognise(&packs, &line) {
            Some((_, Blame::Address(addr))) => Some(addr),
            _ => None,
        };
        let injection = comment.contains("nject");
        // There a success betrays the failures of earlier lines.
        if line.contains(": Accepted ") {
            assert_eq!(blamed, None, "{line}");
            continue;
        }
        match (json_field(comment, "match"), host) {
            (Some("true"), Some(host)) => {
                if let Some(blamed) = blamed {
                    assert_eq!(blamed, host.to_canonical(), "{line}");
                }
                // fail2ban remembers addresses of earlier lines; we look at what stands here.
                if line.contains(json_field(comment, "host").unwrap_or("?")) {
                    wanted += 1;
                    agreed += u32::from(blamed.is_some());
                    if blamed.is_none() {
                        println!("miss: {line}\n      {:?}", recognise(&packs, &line));
                    }
                }
            }
            // A host name: whatever we do, it must not be an address.
            (Some("true"), None) if json_field(comment, "host").is_some() => {
                assert_eq!(blamed, None, "{line}");
            }
            (Some("false"), _) if injection => assert_eq!(blamed, None, "{line}"),
            _ => {}
        }
    }
    println!("{name}: {agreed} of {wanted}");
    Some((wanted, agreed))
}

#[test]
fn fail2ban_s_sshd_lines() {
    for name in ["sshd", "sshd-journal"] {
        if let Some((wanted, agreed)) = fail2ban(name) {
            assert!(wanted > 50, "{wanted}");
            assert!(agreed * 100 >= wanted * 97, "{agreed} of {wanted}");
        }
    }
}

#[test]
fn fail2ban_s_pam_lines() {
    if let Some((wanted, agreed)) = fail2ban("pam-generic") {
        // One holds two addresses, which we leave undecided.
        assert!(agreed + 2 >= wanted, "{agreed} of {wanted}");
    }
}

#[test]
fn ossec_s_and_wazuh_s_lines() {
    let packs = packs();
    let mut levels: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    for rule in &packs.rules().rules {
        if let Trigger::Events(events) = &rule.trigger {
            for &event in events {
                let name = packs.events()[usize::try_from(event).unwrap()].name.clone();
                levels.entry(name).or_default().push(rule.head.level);
            }
        }
    }
    for project in ["ossec-hids/ossec-testing-tests", "wazuh/tests"] {
        for name in ["sshd", "pam", "su", "sudo"] {
            let Some(text) = corpus(&format!("{project}/{name}.ini")) else { continue };
            let mut lines = Vec::new();
            let (mut all, mut recognised) = (0, 0);
            for row in text.lines() {
                let Some((key, value)) = row.split_once('=') else { continue };
                let (key, value) = (key.trim(), value.trim());
                if key.starts_with("log") && key.contains("pass") {
                    lines.push(value.to_owned());
                } else if key == "alert" {
                    for line in lines.drain(..) {
                        all += 1;
                        let Some((event, _)) = recognise(&packs, &line) else {
                            println!("miss: {line}");
                            continue;
                        };
                        recognised += 1;
                        let mine = levels.get(&event);
                        let theirs: u8 = value.parse().unwrap();
                        if !mine.is_some_and(|mine| mine.contains(&theirs)) && theirs > 0 {
                            println!("level {theirs} there, {mine:?} here ({event}): {line}");
                        }
                    }
                }
            }
            println!("{project}/{name}: {recognised} of {all}");
            assert!(recognised * 100 >= all * 90, "{name}: {recognised} of {all}");
        }
    }
}

#[test]
fn ossec_s_raw_sshd_lines() {
    let Some(text) = corpus("ossec-hids/log-entries/sshd") else { return };
    let packs = packs();
    let (mut all, mut recognised) = (0, 0);
    for line in text.lines().filter(|line| line.contains("sshd")) {
        all += 1;
        match recognise(&packs, line) {
            Some((_, Blame::Address(addr))) => {
                recognised += 1;
                assert!(line.contains(&addr.to_string()), "{addr}: {line}");
            }
            Some(_) => recognised += 1,
            None => println!("miss: {line}"),
        }
    }
    assert!(all > 100, "{all}");
    assert!(recognised * 100 >= all * 97, "{recognised} of {all}");
}
