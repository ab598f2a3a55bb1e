//! What a replay says, from files to words.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use clap::Parser as _;

use super::*;
use crate::config::Config;
use crate::policy::{Network, SuricataProof};
use crate::rules::Packs;

fn at(minute: u32, second: u32, message: &str) -> String {
    format!("2026-11-23T10:{minute:02}:{second:02}Z web1 sshd[{minute}{second:02}]: {message}\n")
}

/// An attacker, an office with forgetful people, and a private address.
fn month() -> String {
    let mut lines = String::new();
    let failed =
        |user: &str, addr: &str| format!("Failed password for {user} from {addr} port 4711 ssh2");
    let accepted =
        |user: &str, addr: &str| format!("Accepted password for {user} from {addr} port 4712 ssh2");
    let closed = |user: &str, addr: &str| format!("Disconnected from user {user} {addr} port 4712");
    for (minute, user) in ["alice", "bob", "carol"].iter().enumerate() {
        let minute = u32::try_from(minute).unwrap();
        lines += &at(minute, 0, &accepted(user, "203.0.113.9"));
        lines += &at(minute, 1, &closed(user, "203.0.113.9"));
    }
    for second in 0..20 {
        lines += &at(5, second, &failed("root", "198.51.100.7"));
        lines += &at(6, second, &failed("alice", "203.0.113.9"));
        lines += &at(7, second, &failed("root", "10.1.2.3"));
    }
    let mut lines: Vec<&str> = lines.split_inclusive('\n').collect();
    lines.sort_unstable();
    lines.concat()
}

fn replayed(options: &[&str], text: &str) -> String {
    let packs = Arc::new(Packs::load(true, &[]).unwrap());
    let config = Config::default();
    let mut engine = Engine::new(packs, &config, Network::default(), SuricataProof::unknown());
    let args = [&["replay", "--tz", "UTC"], options, &["x.log"]].concat();
    let args = Replay::parse_from(args);
    let (mut decoder, now) = setup::decoder(args.format, &args.when).unwrap();
    let mut printed = Vec::new();
    let mut report = Report::new(BufWriter::new(&mut printed), &args);
    let mut batch = Batch::default();
    for line in text.lines() {
        if batch.push(line.as_bytes()) {
            step(&mut engine, &mut decoder, &mut batch, now, &mut report).unwrap();
        }
    }
    step(&mut engine, &mut decoder, &mut batch, now, &mut report).unwrap();
    report.finish(&engine).unwrap();
    String::from_utf8(printed).unwrap()
}

#[test]
fn it_sums_up_who_by_what_and_whom_to_allow() {
    let printed = replayed(&["--min-level", "7"], &month());
    let (_, summary) = printed.split_once("\n\n").unwrap();
    for expected in [
        "66 lines, 66 of them recognised,\nover 7m 19s, from 2026-11-23 10:00 to 2026-11-23 10:07 UTC.\n",
        " bans of 2 targets; nothing was enforced.\n",
        "\nBANNED           TIMES  FIRST        LAST         IN ALL  BY\n",
        "\n198.51.100.7/32  1      11-23 10:05  11-23 10:05  5m 0s   ",
        "\nRULE  ",
        "Called for, and withheld: ",
        "You might want to allow (ravelin allow TARGET, or `allow:`):\n",
        "  203.0.113.9/32\n    3 logins from 203.0.113.9 went well (alice, bob, carol), beside 1 ban: many\n    people behind one address, an office or a VPN\n",
        "  10.1.2.3/32\n    a ban was called for",
    ] {
        assert!(summary.contains(expected), "no `{expected}` in:\n{summary}");
    }
    for line in summary.lines() {
        assert!(line.chars().count() <= 80, "{line}");
    }
}

#[test]
fn its_json_adds_up() {
    let printed = replayed(&["--json"], &month());
    let lines: Vec<serde_json::Value> =
        printed.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let kinds = |kind: &str| lines.iter().filter(|line| line["kind"] == kind).count();
    let summary = lines.last().unwrap();
    assert_eq!(summary["kind"], "summary");
    assert_eq!(summary["alerts"], kinds("alert"));
    assert_eq!(summary["bans"], kinds("ban"));
    assert_eq!(summary["targets"], 2);
    assert_eq!(summary["banned"].as_array().unwrap().len(), 2);
    assert_eq!(summary["banned"][0]["times"], 1);
    assert!(summary["withheld"]["private"].as_u64().unwrap() > 0);
    let alerts: u64 = summary["rules"]
        .as_array()
        .unwrap()
        .iter()
        .map(|rule| rule["alerts"].as_u64().unwrap())
        .sum();
    assert_eq!(summary["alerts"], alerts);
    assert_eq!(summary["advice"].as_array().unwrap().len(), 2);
}

#[test]
fn a_ban_of_ports_says_which() {
    let packs = "pack: shop\nformat: syslog\nprograms: [shop]\nevents:\n  bad: {pattern: '^bad (?<src>{ip})$', proven: true}\n\
                 rules:\n  - {id: 100001, level: 10, event: bad, ports: [25, 465-587], description: bad}\n";
    let packs = Arc::new(Packs::from_texts(&[("shop.yaml", packs)]).unwrap());
    let config = Config::default();
    let mut printed = Vec::new();
    for json in [None, Some("--json")] {
        let mut engine =
            Engine::new(Arc::clone(&packs), &config, Network::default(), SuricataProof::unknown());
        let args = ["replay", "--tz", "UTC", "x.log"].into_iter().chain(json);
        let args = Replay::parse_from(args);
        let (mut decoder, now) = setup::decoder(args.format, &args.when).unwrap();
        let mut report = Report::new(BufWriter::new(&mut printed), &args);
        let mut batch = Batch::default();
        assert!(!batch.push(b"2026-11-23T10:00:00Z web1 shop[7]: bad 198.51.100.7"));
        step(&mut engine, &mut decoder, &mut batch, now, &mut report).unwrap();
        report.finish(&engine).unwrap();
    }
    let printed = String::from_utf8(printed).unwrap();
    for expected in [
        "BAN   198.51.100.7/32 for 5m from ports 25,465-587 by rule 100001 level 10\n",
        "5m 0s   100001 (ports)\n",
        r#""rule":100001,"level":10,"ports":[25,"465-587"]}"#,
    ] {
        assert!(printed.contains(expected), "no `{expected}` in:\n{printed}");
    }
}

#[test]
fn a_broken_archive_among_several_doesn_t_hide_the_others() {
    let folder = tempfile::tempdir().unwrap();
    let whole = month();
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packer.write_all(whole.as_bytes()).unwrap();
    let packed = packer.finish().unwrap();
    let files: Vec<PathBuf> =
        ["plain.log", "old.1", "old.2"].iter().map(|name| folder.path().join(name)).collect();
    fs::write(&files[0], &whole).unwrap();
    fs::write(&files[1], &packed).unwrap();
    fs::write(&files[2], &packed[..packed.len() - 4]).unwrap();
    let args = Replay::parse_from(["replay", "--tz", "UTC", "x.log"]);
    let inputs = files.iter().map(|file| setup::input(file, args.format).unwrap()).collect();
    let mut merged = Merged::new(inputs, &args, Timestamp::now()).unwrap();
    let mut lines = Vec::new();
    while let Some(line) = merged.next() {
        lines.push(String::from_utf8(line).unwrap());
    }
    assert_eq!(lines.len(), 3 * whole.lines().count());
    assert!(lines.is_sorted_by_key(|line| line[..20].to_owned()));
    let broken: Vec<String> = merged.broken.iter().map(ToString::to_string).collect();
    assert_eq!(broken.len(), 1);
    assert!(broken[0].contains("old.2`: the gzip archive is cut short at byte"), "{}", broken[0]);
}
