//! `ravelin report`, and how commands look.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use super::{CLIENT, failed_login, running};

#[test]
fn a_page_tells_who_came_and_nothing_that_they_wrote_acts() {
    let (_pair, daemon) = running();
    let page = daemon.path("page.html");
    let path = page.to_str().unwrap();
    daemon.cli(&["report", "-o", path]).done();
    assert!(fs::read_to_string(&page).unwrap().contains("Nothing happened that was worth"));
    for pid in 0..8 {
        daemon.log_line(&failed_login(800 + pid, "<script>alert(1)</script>"));
    }
    daemon.wait_until("the guesser is banned", || daemon.banned().len() == 1);
    daemon.wait_until("it is on disk", || {
        daemon.cli(&["history", "--json"]).json().as_array().unwrap().len() >= 2
    });
    for span in ["--day", "--week", "--month"] {
        let said = daemon.cli(&["report", span, "--output", path]).done().out;
        assert!(said.starts_with(path), "{said}");
        let text = fs::read_to_string(&page).unwrap();
        assert!(text.contains("198.51.100.7/32") && text.contains("sshd brute force"), "{text}");
        assert!(text.contains("&lt;script&gt;alert(1)&lt;/script&gt;"), "its evidence is quoted");
        assert!(!text.contains("<script"), "{text}");
        let mode = fs::metadata(&page).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
    let piped = daemon.cli(&["report"]).done().out;
    assert!(piped.starts_with("<!DOCTYPE html>") && piped.ends_with("</html>\n"));
    assert_eq!(daemon.cli(&["report", "--day", "--week"]).code, 2);
    assert_eq!(daemon.cli(&["report", "-o", "/nowhere/at/all.html"]).code, 1);
}

#[test]
fn colours_come_where_they_are_wanted() {
    let (_pair, daemon) = running();
    daemon.cli(&["ban", CLIENT, "--permanent"]).done();
    daemon.wait_until("it is on disk", || {
        !daemon.cli(&["history", "--json"]).json().as_array().unwrap().is_empty()
    });
    for command in [&["status"][..], &["list"], &["history"], &["show", CLIENT]] {
        let with = |more: &[&str]| {
            let mut args = command.to_vec();
            args.extend(more);
            daemon.cli(&args).done().out
        };
        let plain = with(&[]);
        assert!(!plain.contains('\x1b'), "a pipe gets none: {plain}");
        let coloured = with(&["--color", "always"]);
        assert!(coloured.contains("\x1b["), "{coloured}");
        assert!(!with(&["--color", "never"]).contains('\x1b'));
    }
    assert_eq!(daemon.cli(&["status", "--color", "sometimes"]).code, 2);
}
