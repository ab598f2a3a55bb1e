//! What was measured: for the terminal, as JSON, and as the page in docs/benchmarks.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};

use super::logs::Log;
use super::memory::Peak;
use super::peers;
use super::plot::{self, Axis, Bar};

/// What the profile found: written by hand, kept between this line and the next of its kind.
const BY_HAND: &str = "<!-- by hand -->";

/// One program on one log.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) log: Log,
    pub(super) program: &'static str,
    time: Duration,
    ripgrep: Duration,
    command: String,
}

impl Row {
    pub(super) fn new(
        log: Log,
        program: &'static str,
        time: Duration,
        ripgrep: Duration,
        command: String,
    ) -> Self {
        Self { log, program, time, ripgrep, command }
    }

    pub(super) fn lines_per_second(&self) -> f64 {
        f64::from(self.log.lines()) / self.time.as_secs_f64()
    }

    /// Of ripgrep's time on the same log.
    fn times_ripgrep(&self) -> f64 {
        self.time.as_secs_f64() / self.ripgrep.as_secs_f64()
    }
}

/// Lines a second of each program on each log, as a chart.
pub(super) fn chart(rows: &[Row]) -> String {
    let bars: Vec<Bar> = rows
        .iter()
        .map(|row| Bar {
            label: format!("{}, {}", row.program, row.log.name()),
            value: row.lines_per_second(),
            ours: row.program.starts_with("ravelin"),
        })
        .collect();
    let caption = "log lines a second, one core, whole process";
    plot::bars(&bars, &Axis { caption, powers: (4, 8), unit: "M/s" })
}

/// For people at a terminal, and for the page.
pub(super) fn table(rows: &[Row], peaks: &[Peak]) -> String {
    let mut text = String::from(
        "| log | program | seconds | million lines a second | times `rg -c` |\n\
         |---|---|---:|---:|---:|\n",
    );
    for row in rows {
        line(
            &mut text,
            format_args!(
                "| {} | {} | {:.3} | {:.3} | {:.1} |",
                row.log.name(),
                row.program,
                row.time.as_secs_f64(),
                row.lines_per_second() / 1e6,
                row.times_ripgrep()
            ),
        );
    }
    text.push('\n');
    for peak in peaks {
        line(
            &mut text,
            format_args!(
                "- memory, {} offenders each seen once: peak of {:.0} MB; the one who came back was {}",
                peak.log.lines(),
                peak.megabytes(),
                if peak.banned { "banned" } else { "not banned" }
            ),
        );
    }
    for (goal, reached, met) in goals(rows, peaks) {
        let mark = if met { "met" } else { "missed" };
        line(&mut text, format_args!("- {goal}: {reached} ({mark})"));
    }
    text
}

/// Each goal of the design (section 8): what it asks, what was measured, whether that is enough.
fn goals(rows: &[Row], peaks: &[Peak]) -> Vec<(&'static str, String, bool)> {
    let time = |log: Log, program: &str| {
        let row = rows.iter().find(|row| row.log == log && row.program == program)?;
        Some(row.time.as_secs_f64())
    };
    let mut goals = Vec::new();
    let mut peer = |goal, log, program, least: f64| {
        if let (Some(ours), Some(theirs)) = (time(log, "ravelin replay"), time(log, program)) {
            goals.push((goal, format!("{:.1}", theirs / ours), theirs / ours >= least));
        }
    };
    peer("at least 80 times fail2ban-regex, attacks", Log::Attack, "fail2ban-regex", 80.0);
    peer("at least 4 times fail2ban-rs dry-run, attacks", Log::Attack, "fail2ban-rs dry-run", 4.0);
    let mut ripgrep = |goal, log, most: f64| {
        if let (Some(ours), Some(theirs)) = (time(log, "ravelin replay"), time(log, "rg -c")) {
            goals.push((goal, format!("{:.1}", ours / theirs), ours / theirs <= most));
        }
    };
    ripgrep("at most 8 times rg -c, attacks", Log::Attack, 8.0);
    ripgrep("at most 6 times rg -c, usual traffic", Log::Usual, 6.0);
    ripgrep("at most 8 times rg -c, fast.log", Log::Fast, 8.0);
    ripgrep("at most 8 times rg -c, eve.json full of alerts", Log::EveAttack, 8.0);
    ripgrep("at most 6 times rg -c, usual eve.json", Log::EveUsual, 6.0);
    if let [million, ten] = peaks {
        let (million, ten) = (million.megabytes(), ten.megabytes());
        goals.push((
            "under 300 MB with a million offenders",
            format!("{million:.0}"),
            million < 300.0,
        ));
        goals.push(("no more with ten million (MB)", format!("{ten:.0}"), ten < 1.2 * million));
    }
    goals
}

impl Peak {
    fn megabytes(self) -> f64 {
        // Bytes to a double: exact below 2^53.
        f64::from(u32::try_from(self.bytes >> 10).unwrap_or(u32::MAX)) / 1_024.0
    }
}

/// One document: an object for each row, and for each flood.
pub(super) fn json(rows: &[Row], peaks: &[Peak]) -> String {
    let mut objects: Vec<String> = rows
        .iter()
        .map(|row| {
            format!(
                r#"{{"log":"{}","program":"{}","lines":{},"seconds":{:.6},"lines_per_second":{:.0},"times_rg":{:.3}}}"#,
                row.log.name(),
                row.program,
                row.log.lines(),
                row.time.as_secs_f64(),
                row.lines_per_second(),
                row.times_ripgrep()
            )
        })
        .collect();
    objects.extend(peaks.iter().map(|peak| {
        format!(
            r#"{{"log":"{}","program":"ravelin replay","lines":{},"peak_bytes":{},"returning_banned":{}}}"#,
            peak.log.name(),
            peak.log.lines(),
            peak.bytes,
            peak.banned
        )
    }));
    format!("[{}]", objects.join(",\n "))
}

/// Writes the page, and keeps what was written into it by hand.
pub(super) fn write(path: &Path, rows: &[Row], peaks: &[Peak], rounds: u32) -> Result<()> {
    let before = fs::read_to_string(path).unwrap_or_default();
    let by_hand = before.split(BY_HAND).nth(1).unwrap_or("\n");
    let mut page = String::from(
        "# Log lines a second\n\n\
         From a file to alerts and bans: `ravelin replay`, whole process, on one core, beside programs \
         that read the same file. Repeat it with\n\n    cargo xtask bench pipeline\n\n\
         which makes the logs anew (seeded), and writes this page but for what stands between the marks \
         `by hand`.\n\n",
    );
    line(&mut page, format_args!("{}. Best of {rounds}, the programs taking turns.\n", machine()));
    page.push_str(&table(rows, peaks));
    page.push_str(
        "\n![log lines a second](pipeline.svg)\n\n\
         `fail2ban-regex` reads a tenth of the log, and its time is multiplied by ten. CrowdSec isn't in \
         this run: it needs its hub's collections, which aren't packaged; replaying the same sshd log it \
         was measured once at 5,000 lines a second (design.md, section 8).\n\nThe commands:\n\n",
    );
    for row in rows {
        line(&mut page, format_args!("    {}", row.command));
    }
    line(&mut page, format_args!("\n{BY_HAND}{by_hand}{BY_HAND}"));
    fs::write(path, page).with_context(|| format!("could not write {}", path.display()))
}

/// What this was measured on, and with what.
fn machine() -> String {
    let read = |path| fs::read_to_string(path).unwrap_or_default();
    let cpu = read("/proc/cpuinfo");
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let cores = cpu.lines().filter(|line| line.starts_with("processor")).count();
    let load = read("/proc/loadavg");
    format!(
        "{}, {cores} cores, Linux {}, load {} at the end; {}, fail2ban {}",
        model.map_or("an unknown processor", |(_, model)| model),
        read("/proc/sys/kernel/osrelease").trim(),
        load.split(' ').next().unwrap_or("unknown"),
        peers::version("rg"),
        peers::version("fail2ban-regex").trim_start_matches("fail2ban-regex "),
    )
}

fn line(text: &mut String, line: std::fmt::Arguments<'_>) {
    text.write_fmt(line).expect("a string takes all that is written");
    text.push('\n');
}
