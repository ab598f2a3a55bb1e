//! Keeps `docs/mail.md` true: its samples are what tests produced.

use std::fs;
use std::sync::{Mutex, PoisonError};

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/mail.md");

/// Tests write one after the other.
static WRITING: Mutex<()> = Mutex::new(());

/// The block after `<!-- sample: NAME -->` is `text`; RAVELIN_WRITE_DOCS=1 makes it so.
pub(super) fn assert_documented(name: &str, text: &str) {
    let _writing = WRITING.lock().unwrap_or_else(PoisonError::into_inner);
    let page = fs::read_to_string(PAGE).unwrap();
    let marker = format!("<!-- sample: {name} -->\n");
    let (before, rest) =
        page.split_once(&marker).unwrap_or_else(|| panic!("no {marker} in {PAGE}"));
    let (language, rest) = rest.strip_prefix("```").unwrap().split_once('\n').unwrap();
    let (shown, after) = rest.split_once("```\n").unwrap();
    if shown == text {
        return;
    }
    assert!(
        std::env::var_os("RAVELIN_WRITE_DOCS").is_some(),
        "docs/mail.md's sample `{name}` isn't what is sent any more (RAVELIN_WRITE_DOCS=1 writes it anew):\n{text}"
    );
    fs::write(PAGE, format!("{before}{marker}```{language}\n{text}```\n{after}")).unwrap();
}
