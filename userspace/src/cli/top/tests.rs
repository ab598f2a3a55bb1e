use std::time::{Duration, Instant};

use jiff::tz::TimeZone;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ratatui::style::{Color, Modifier};

use super::draw::{self, Palette};
use super::feed::{Job, Told, Unheard, View};
use super::keys::{self, Wish};
use super::state::{Mode, Top};
use crate::cli::look::Look;
use crate::control::{
    HealthItem, InterfaceStatus, ListedBan, MailStatus, PacketStatus, SourceStatus, State, Status,
};
use crate::event::{Target, Timestamp};
use crate::store::{Evidence, HistoryEntry, HistoryKind};

const NOW: i64 = 1_795_478_400;

fn ban(target: &str, packets: u64, level: Option<u8>, reason: &str) -> ListedBan {
    ListedBan {
        target: target.parse().unwrap(),
        origin: if level.is_some() { "rule" } else { "hand" }.to_owned(),
        since: Timestamp::from_secs(NOW - 60).to_string(),
        expires: level.map(|_| Timestamp::from_secs(NOW + 240).to_string()),
        ports: None,
        every_port_until: None,
        rule: level.map(|_| 5720),
        level,
        reason: reason.to_owned(),
        offences: 1,
        dropped_packets: packets,
        dropped_bytes: packets * 60,
    }
}

fn bans(packets: u64) -> Vec<ListedBan> {
    vec![
        ban("198.51.100.7", packets, Some(10), "sshd brute force"),
        ban("2001:db8:1:2::/64", 0, Some(12), "evil \x1b[2J name that goes on and on and on"),
        ban("192.0.2.0/24", 17, None, "a whole net"),
    ]
}

fn alert(target: &str, level: u8, reason: &str, withheld: Option<&str>) -> HistoryEntry {
    HistoryEntry {
        id: 1,
        at: Timestamp::from_secs(NOW - 61),
        kind: HistoryKind::Alert,
        target: Some(target.parse().unwrap()),
        origin: None,
        rule: Some(5720),
        level: Some(level),
        reason: Some(reason.to_owned()),
        expires: None,
        ports: None,
        offences: None,
        packets: None,
        bytes: None,
        withheld: withheld.map(str::to_owned),
        evidence: Evidence::default(),
    }
}

fn source(name: &str, state: &str, lag_bytes: u64) -> SourceStatus {
    SourceStatus {
        name: name.to_owned(),
        state: state.to_owned(),
        trust: "file".to_owned(),
        lines: 12_345,
        bytes: 0,
        lag_bytes,
        listener: None,
        lag_s: None,
    }
}

fn view(at: Instant, dropped: u64, bans: Vec<ListedBan>) -> View {
    View {
        at,
        status: Ok(Status {
            version: "0.1.0".to_owned(),
            pid: 812,
            uptime_s: 93_600,
            state: State::Degraded,
            health: vec![HealthItem {
                code: "source-unreadable".to_owned(),
                since: Timestamp::from_secs(NOW).to_string(),
                remedy: "/var/log/mail.log: Permission denied; it is tried again: give the daemon access to it".to_owned(),
            }],
            interfaces: vec![InterfaceStatus { name: "eth0".to_owned(), mode: "native".to_owned() }],
            bans: 3,
            sources: vec![
                source("/var/log/auth.log", "reading", 0),
                source("/var/log/suricata/eve.json", "reading", 2_048),
                source("/var/log/mail.log", "error: Permission denied", 0),
            ],
            mail: MailStatus { queued: 0, sent: 3, failed: 0 },
            packets: PacketStatus { passed: 1_000_000, dropped },
        }),
        packets: Some(PacketStatus { passed: 1_000_000, dropped }),
        bans: Some(Ok(bans)),
        alerts: Ok(vec![
            alert("198.51.100.7", 10, "sshd brute force", None),
            alert("203.0.113.99", 12, "login after failures", Some("live-session")),
        ]),
    }
}

/// Someone who has been looking for a while.
fn looking() -> Top {
    let mut top = Top::new(Duration::from_secs(300));
    top.now = Timestamp::from_secs(NOW);
    top.zone = TimeZone::UTC;
    let now = Instant::now();
    for (step, second) in (0..10).enumerate() {
        let at = now - Duration::from_secs(9 - second);
        let dropped = 1_000 + 100 * (step * step) as u64;
        top.take(Told::View(Box::new(view(at, dropped, bans(dropped)))));
    }
    top
}

fn drawn(top: &mut Top, width: u16, height: u16, colour: bool) -> Terminal<TestBackend> {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    let palette = Palette::of(Look { colour, width: None });
    terminal.draw(|frame| draw::draw(frame, top, palette)).unwrap();
    terminal
}

fn text(top: &mut Top, width: u16, height: u16) -> String {
    let terminal = drawn(top, width, height, false);
    let buffer = terminal.backend().buffer();
    let mut lines = Vec::new();
    for y in 0..height {
        let line: String = (0..width).map(|x| buffer[(x, y)].symbol()).collect();
        lines.push(line.trim_end().to_owned());
    }
    lines.join("\n")
}

fn press(top: &mut Top, code: KeyCode) -> Wish {
    keys::press(top, KeyEvent::new(code, KeyModifiers::NONE))
}

fn type_in(top: &mut Top, text: &str) {
    for char in text.chars() {
        assert_eq!(press(top, KeyCode::Char(char)), Wish::Nothing);
    }
}

fn unheard(gone: bool) -> Unheard {
    Unheard { gone, why: "no daemon answers at /run/ravelin/ravelin.sock".to_owned() }
}

fn target(text: &str) -> Target {
    text.parse().unwrap()
}

#[test]
fn the_picture_at_eighty_by_twenty_four() {
    let text = text(&mut looking(), 80, 24);
    assert_eq!(text, include_str!("tests/80x24.txt").trim_end(), "\n{text}");
}

#[test]
fn colours_say_what_is_wrong_and_none_are_drawn_without() {
    let mut top = looking();
    let coloured = drawn(&mut top, 80, 24, true);
    let state = &coloured.backend().buffer()[(9, 0)];
    assert_eq!((state.symbol(), state.fg), ("d", Color::Red));
    let plain = drawn(&mut top, 80, 24, false);
    let cells = plain.backend().buffer().content();
    assert!(cells.iter().all(|cell| cell.fg == Color::Reset && cell.bg == Color::Reset));
    assert!(cells.iter().any(|cell| cell.modifier.contains(Modifier::REVERSED)), "the chosen one");
}

#[test]
fn it_is_drawn_in_any_size() {
    for (width, height) in [(200, 60), (80, 24), (50, 12), (49, 24), (80, 11), (1, 1)] {
        let mut top = looking();
        let small = width < 50 || height < 12;
        for mode in ["", "b", "u", "/", "?"] {
            type_in(&mut top, mode);
            let text = text(&mut top, width, height);
            let awaited = if mode == "?" { "choose; PgUp" } else { "198.51.100.7/32" };
            assert_eq!(text.contains(awaited), !small, "{width}x{height} {mode}\n{text}");
            press(&mut top, KeyCode::Esc);
        }
    }
}

#[test]
fn nothing_is_done_unasked() {
    let mut top = looking();
    assert_eq!(press(&mut top, KeyCode::Char('u')), Wish::Nothing);
    assert!(text(&mut top, 80, 24).contains("Unban 198.51.100.7/32, and forgive its offences?"));
    assert_eq!(press(&mut top, KeyCode::Enter), Wish::Nothing, "only y is a yes");
    press(&mut top, KeyCode::Char('u'));
    let unban = Job::Unban(target("198.51.100.7"));
    assert_eq!(press(&mut top, KeyCode::Char('y')), Wish::Do(unban));

    type_in(&mut top, "b203.0.113.50 1x");
    assert_eq!(press(&mut top, KeyCode::Enter), Wish::Nothing);
    assert!(matches!(&top.mode, Mode::Asking(prompt) if prompt.wrong.is_some()));
    press(&mut top, KeyCode::Backspace);
    type_in(&mut top, "h a scan");
    assert_eq!(press(&mut top, KeyCode::Enter), Wish::Nothing);
    assert!(text(&mut top, 80, 24).contains("Ban 203.0.113.50/32 for 1h?"));
    let ban = Job::Ban {
        target: target("203.0.113.50"),
        ttl: Some(Duration::from_secs(3_600)),
        reason: "a scan".to_owned(),
    };
    assert_eq!(press(&mut top, KeyCode::Char('y')), Wish::Do(ban));

    // The chosen one is what `a` begins with.
    press(&mut top, KeyCode::Down);
    press(&mut top, KeyCode::Char('a'));
    press(&mut top, KeyCode::Enter);
    let chosen = top.target().unwrap();
    let allow = Job::Allow { target: chosen, ttl: None };
    assert_eq!(press(&mut top, KeyCode::Char('y')), Wish::Do(allow));
    top.take(Told::Done(Err("it is \x1b[2Jrefused".to_owned())));
    assert!(text(&mut top, 80, 24).contains("it is \\x1b[2Jrefused"));
    assert_eq!(press(&mut top, KeyCode::Char('q')), Wish::Leave);
}

#[test]
fn alerts_can_be_chosen_and_evidence_read() {
    let mut top = looking();
    press(&mut top, KeyCode::Tab);
    press(&mut top, KeyCode::Char('j'));
    let them = target("203.0.113.99");
    assert_eq!(press(&mut top, KeyCode::Enter), Wish::Do(Job::Show(them)));
    let lines = (0..50).map(|line| format!("line {line} \u{1b}")).collect();
    top.take(Told::Story(them, lines));
    assert!(text(&mut top, 80, 24).contains("line 0"));
    press(&mut top, KeyCode::PageDown);
    let shown = text(&mut top, 80, 24);
    assert!(!shown.contains("line 9 ") && shown.contains("line 10"), "{shown}");
    press(&mut top, KeyCode::End);
    assert!(text(&mut top, 80, 24).contains("line 49"));
    assert_eq!(press(&mut top, KeyCode::Char('q')), Wish::Nothing, "back, not out");
    press(&mut top, KeyCode::Char('b'));
    assert!(matches!(&top.mode, Mode::Asking(prompt) if prompt.text == "203.0.113.99/32 "));
}

#[test]
fn filter_and_order() {
    let mut top = looking();
    assert_eq!(top.rows[0].ban.target, target("198.51.100.7"), "it is dropped at this moment");
    press(&mut top, KeyCode::Char('G'));
    let chosen = top.chosen;
    for _ in 0..4 {
        press(&mut top, KeyCode::Char('s'));
        assert_eq!(top.chosen, chosen, "what is chosen stays so");
    }
    type_in(&mut top, "/WHOLE");
    assert_eq!(top.rows.len(), 1);
    press(&mut top, KeyCode::Enter);
    assert_eq!(top.target(), Some(target("192.0.2.0/24")));
    assert!(text(&mut top, 80, 24).contains("1 with “WHOLE”"));
    press(&mut top, KeyCode::Esc);
    assert_eq!(top.rows.len(), 3);
}

#[test]
fn without_a_daemon_it_says_so_and_shows_the_kernels_bans() {
    let mut top = looking();
    let dead = View {
        status: Err(unheard(true)),
        alerts: Err("no database".to_owned()),
        ..view(Instant::now(), 9_200, bans(9_200))
    };
    top.take(Told::View(Box::new(dead)));
    let shown = text(&mut top, 80, 24);
    for said in [
        "NO DAEMON",
        "! no daemon: nothing new is banned",
        "! why: no daemon answers at",
        "lapse by themselves",
        "198.51.100.7/32",
        "no database",
        "no daemon tells",
    ] {
        assert!(shown.contains(said), "{said}\n{shown}");
    }
    let nothing = View {
        status: Err(unheard(false)),
        packets: None,
        bans: Some(Err("nothing is pinned under /sys/fs/bpf/ravelin".to_owned())),
        ..view(Instant::now(), 0, Vec::new())
    };
    top.take(Told::View(Box::new(nothing)));
    let shown = text(&mut top, 80, 24);
    assert!(shown.contains("nothing is pinned") && shown.contains("NO ANSWER"), "{shown}");
}
