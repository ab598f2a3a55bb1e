//! `ravelin doctor`: what keeps this host from being protected, and the command that mends it.

use std::io::{self, Write};
use std::path::Path;

use super::Done;
use super::args::Doctor;
use super::look::Look;
use crate::doctor::{self, Finding, Report, Severity};

/// Columns that are always there.
const WIDTH: usize = 80;
/// Before the text of a finding.
const INDENT: usize = 8;

pub(super) fn run(config: Option<&Path>, args: &Doctor, look: Look) -> anyhow::Result<Done> {
    let report = doctor::examine(config);
    let mut out = io::stdout().lock();
    if args.json {
        serde_json::to_writer_pretty(&mut out, &report)?;
        writeln!(out)?;
    } else {
        print(&mut out, &report, args.all, look.colour)?;
    }
    let bearable = if args.strict { Severity::Unseen } else { Severity::Warning };
    Ok(if report.worst <= bearable { Done::Well } else { Done::Wrong })
}

fn print(out: &mut impl Write, report: &Report, all: bool, colour: bool) -> io::Result<()> {
    let mut part = None;
    for finding in &report.findings {
        if finding.severity == Severity::Ok && !all {
            continue;
        }
        if part != Some(finding.part) {
            if part.is_some() {
                writeln!(out)?;
            }
            part = Some(finding.part);
            writeln!(out, "{}", finding.part.as_str())?;
        }
        tell(out, finding, colour)?;
    }
    if part.is_some() {
        writeln!(out)?;
    }
    let count = |severity| report.findings.iter().filter(|it| it.severity == severity).count();
    let (failures, warnings) = (count(Severity::Failure), count(Severity::Warning));
    let mut sum = match (failures, warnings) {
        (0, 0) => "Nothing is wrong".to_owned(),
        (0, _) => format!(
            "Nothing keeps this host from being protected; {}",
            counted(warnings, "warning")
        ),
        (_, 0) => counted(failures, "failure"),
        _ => format!("{}, {}", counted(failures, "failure"), counted(warnings, "warning")),
    };
    sum.push_str(&format!(", {} well", count(Severity::Ok)));
    if !all {
        sum.push_str(" (--all shows it)");
    }
    match count(Severity::Unseen) {
        0 => sum.push('.'),
        unseen => sum.push_str(&format!("; {unseen} couldn't be seen.")),
    }
    wrapped(out, &sum, 0)
}

fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

fn tell(out: &mut impl Write, finding: &Finding, colour: bool) -> io::Result<()> {
    let (mark, paint) = match finding.severity {
        Severity::Ok => ("ok", "\x1b[32m"),
        Severity::Unseen => ("?", "\x1b[36m"),
        Severity::Warning => ("warn", "\x1b[33m"),
        Severity::Failure => ("FAIL", "\x1b[1;31m"),
    };
    let (paint, plain) = if colour { (paint, "\x1b[0m") } else { ("", "") };
    write!(out, "  {paint}{mark:<4}{plain}  ")?;
    wrapped(out, &visible(&finding.message), INDENT)?;
    if let Some(why) = &finding.why {
        write!(out, "{:INDENT$}", "")?;
        wrapped(out, why, INDENT)?;
    }
    if let Some(remedy) = &finding.remedy {
        // Not wrapped: it is to be copied.
        writeln!(out, "{:INDENT$}> {}", "", visible(remedy))?;
    }
    Ok(())
}

/// Messages quote logs and other programs: nothing of that may steer the terminal.
fn visible(text: &str) -> String {
    text.chars().map(|char| if char.is_control() { ' ' } else { char }).collect()
}

/// Writes words in lines of at most [`WIDTH`] columns; the first begins where the cursor is, at `indent`.
fn wrapped(out: &mut impl Write, text: &str, indent: usize) -> io::Result<()> {
    let mut column = indent;
    for (at, word) in text.split_whitespace().enumerate() {
        let width = word.chars().count();
        if at > 0 && column + 1 + width > WIDTH {
            write!(out, "\n{:indent$}", "")?;
            column = indent;
        } else if at > 0 {
            write!(out, " ")?;
            column += 1;
        }
        write!(out, "{word}")?;
        column += width;
    }
    writeln!(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Part;

    fn finding(severity: Severity, message: &str) -> Finding {
        let bad = severity > Severity::Unseen;
        Finding {
            part: Part::Kernel,
            code: "x".into(),
            severity,
            message: message.to_owned(),
            why: bad.then(|| "It matters.".into()),
            remedy: bad.then(|| "mend it".to_owned()),
        }
    }

    fn printed(findings: Vec<Finding>, all: bool) -> String {
        let worst = findings.iter().map(|finding| finding.severity).max().unwrap();
        let mut out = Vec::new();
        print(&mut out, &Report { worst, findings }, all, false).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn what_is_well_is_shown_only_when_asked_for() {
        let findings =
            vec![finding(Severity::Ok, "fine"), finding(Severity::Failure, "bad \x1b[2J")];
        assert_eq!(
            printed(findings.clone(), false),
            "kernel\n  FAIL  bad [2J\n        It matters.\n        > mend it\n\n\
             1 failure, 1 well (--all shows it).\n"
        );
        assert!(printed(findings, true).starts_with("kernel\n  ok    fine\n  FAIL  bad"));
        let fine = vec![finding(Severity::Ok, "fine")];
        assert_eq!(printed(fine, false), "Nothing is wrong, 1 well (--all shows it).\n");
    }

    #[test]
    fn it_keeps_to_eighty_columns() {
        let long = "word ".repeat(60);
        for line in printed(vec![finding(Severity::Warning, &long)], false).lines() {
            assert!(line.len() <= 80, "{line}");
        }
    }
}
