//! The report, for `docs/torture.md`.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::death::{Death, Point};
use super::{Outcome, Plan};

/// The page of these rounds.
pub fn page(machine: &str, rounds: &[(Plan, Outcome)]) -> String {
    let mut text = String::from(
        "# Torture\n\nWritten by `cargo xtask torture`. Four writers log as fast as they can, the daemon is killed with \
         SIGKILL again and again, and a model says what must have come of it. The daemon is the real one with real \
         maps in a network namespace; nothing is built into it for this.\n\n",
    );
    text.push_str(HOW);
    text.push_str("\n## What came of it\n\n");
    for (plan, outcome) in rounds {
        round(&mut text, plan, outcome);
    }
    put(&mut text, format_args!("{machine}.\n"));
    text
}

const HOW: &str = "\
## How

**Lines.** Most mean nothing (some look as if they did). One in fifty is counted in the history, one in two hundred bans \
an address of its own; others belong to addresses of which five lines make a ban (by count, or by score), or to \
addresses that have only four, and must not be banned. Each has a number. Lines are written in pieces that end \
anywhere.

**Rotation** is done by the writer itself, which loses nothing by its own doing: what a log holds is destroyed \
(emptied without a copy, deleted, or rotated out as the oldest) only when its last line is in the database. \
Everything else happens whether the daemon lives or not, and whether it has read the lines or not.

**Deaths.** At random moments, some of them during the start; and at each moment between kernel, commit and mail, \
found from outside: somebody else holds the database's write lock while a ban enters the kernel; the relay holds its \
first word, its 250, or the connection inside the mail back; rows and frames of the write-ahead log are waited for. \
After each death the database is looked at in a copy, so that the next start finds what the dead daemon left.

**The model** wants each line that counts once in the history; each ban once in the history, in the database and in \
the kernel, by the line that completes it, with the end that follows from that line; nobody else banned; each notice \
in one mail; each mail delivered once, and again only where a death left it taken by the relay and queued in the \
database, with the same Message-ID.
";

fn round(text: &mut String, plan: &Plan, outcome: &Outcome) {
    let Outcome { script, deaths, verdict, took } = outcome;
    put(text, format_args!("### Seed {}\n\n", plan.seed));
    let [hits, counted, scored] = verdict.bans;
    let result = if verdict.is_clean() {
        "nothing lost, nothing doubled, nobody wronged"
    } else {
        "**faults**"
    };
    put(
        text,
        format_args!(
            "{} lines, {} deaths in {} s: {result}.\n\n",
            script.lines,
            deaths.len(),
            took.as_secs()
        ),
    );
    for fault in &verdict.faults {
        put(text, format_args!("- **{fault}**\n"));
    }
    if !plan.together {
        text.push_str(
            "- skipped: bans that several lines make together (their count must survive a death)\n",
        );
    }
    if !plan.compress_unread {
        text.push_str("- skipped: rotated files compressed before they were read\n");
    }
    put(text, format_args!("- {} lines that count\n", verdict.marks));
    put(
        text,
        format_args!(
            "- {hits} bans by one line, {counted} by five, {scored} by the score of five; {} addresses with fewer lines, which aren't banned\n",
            verdict.spared
        ),
    );
    put(
        text,
        format_args!(
            "- {} mails, {} of them delivered twice after a death between the relay's 250 and its commit ({} such deaths), with the same Message-ID\n",
            verdict.mails, verdict.doubles, verdict.doubles_allowed
        ),
    );
    put(text, format_args!("- reports of lost lines by the daemon: {}\n", verdict.told_of_loss));
    text.push_str("\n| log | times |\n|---|---:|\n");
    for (what, times) in &script.rotations {
        put(text, format_args!("| {what} | {times} |\n"));
    }
    let mut kinds: BTreeMap<String, (usize, usize)> = BTreeMap::new();
    for (death, left) in deaths {
        let kind = match death {
            Death::Random(_) => "at a random moment".to_owned(),
            Death::Starting(_) => "while it started".to_owned(),
            Death::At(point) => {
                let order = Point::ALL.iter().position(|other| other == point).unwrap_or(0);
                format!("{}: {}", order + 1, point.name())
            }
        };
        let (all, came) = kinds.entry(kind).or_default();
        *all += 1;
        *came += usize::from(left.hit);
    }
    text.push_str("\n| death | times | of which the moment came |\n|---|---:|---:|\n");
    for (kind, (all, came)) in &kinds {
        put(text, format_args!("| {kind} | {all} | {came} |\n"));
    }
    text.push_str("\n| deaths that left | times |\n|---|---:|\n");
    for (state, times) in &verdict.left {
        put(text, format_args!("| {state} | {times} |\n"));
    }
    text.push('\n');
}

fn put(text: &mut String, part: std::fmt::Arguments<'_>) {
    text.write_fmt(part).expect("a string takes all that is written");
}
