//! What the data plane costs: measures, writes `docs/benchmarks/datapath.md`, prints a table or JSON.

use std::path::Path;
use std::process::ExitCode;
use std::{env, fs};

use anyhow::{Context as _, Result};
use ravelin_tests::bench::Spread;
use ravelin_tests::bench::cost::{self, Cost, Costs, Keys};

fn main() -> ExitCode {
    match run(env::args().any(|arg| arg == "--json")) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(json: bool) -> Result<()> {
    let load_before = load();
    let costs = cost::measure(0, |what| eprintln!("measuring: {what}"))?;
    let report = report(&costs, &load_before);
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/benchmarks/datapath.md");
    if let Some(dir) = file.parent() {
        fs::create_dir_all(dir).with_context(|| format!("could not create {}", dir.display()))?;
    }
    fs::write(&file, &report).with_context(|| format!("could not write {}", file.display()))?;
    if json {
        println!("{}", serde_json::to_string_pretty(&costs)?);
    } else {
        println!("{report}");
    }
    Ok(())
}

fn report(costs: &Costs, load_before: &str) -> String {
    let mut text = String::from(
        "# The data plane: what it costs\n\n\
         Written by `cargo xtask bench datapath`; don't edit. Nanoseconds a packet over an XDP program that does\n\
         nothing but `return XDP_PASS`, measured beside it by BPF_PROG_TEST_RUN on one pinned CPU: the median\n\
         of ten trials, with the least and the most.\n\n",
    );
    let kernel = rustix::system::uname();
    text += &format!(
        "Measured {}, Linux {}, {}, load average {load_before} before and {} after.\n\
         The empty program: {} ns hot, {} ns alone.\n\n",
        jiff::Timestamp::now().strftime("%Y-%m-%d %H:%M UTC"),
        kernel.release().to_string_lossy(),
        processor(),
        load(),
        spread(&costs.empty_hot_ns),
        spread(&costs.empty_random_ns),
    );
    text.push_str("## One source (hot): a million times the same frame\n\n");
    table(&mut text, costs, Keys::Hot);
    text.push_str(
        "\n## Random sources (cold): one frame a system call\n\n\
         Each run has a source of its own and whatever the system call before it left in the caches; the\n\
         figure is the median of 20,000 runs, ten times over; the kernel's clock may go in steps of 10 ns. On a wire, where packets come in batches, the cost\n\
         lies between this and the table above.\n\n",
    );
    table(&mut text, costs, Keys::Random);
    let missed: Vec<&Cost> = costs
        .costs
        .iter()
        .filter(|cost| cost.goal_ns.is_some_and(|goal| cost.ns.median > goal))
        .collect();
    text.push_str("\n## Goals\n\n");
    if missed.is_empty() {
        text.push_str(
            "All goals (design, section 8: 10, 40, 12 and 42 ns with a hot key) are met.\n",
        );
    }
    for cost in missed {
        text += &format!(
            "- missed: {}, {} bans: {:.1} ns, goal {:.0} ns\n",
            cost.case,
            cost.entries,
            cost.ns.median,
            cost.goal_ns.unwrap_or_default()
        );
    }
    text
}

fn table(text: &mut String, costs: &Costs, keys: Keys) {
    text.push_str("| case | goal | bans | ns (least to most) |\n|---|---:|---:|---:|\n");
    let mut rows: Vec<&Cost> = costs.costs.iter().filter(|cost| cost.keys == keys).collect();
    // A case's sizes side by side, the cases in the order in which they came.
    let order: Vec<&str> = rows.iter().map(|cost| cost.case).collect();
    rows.sort_by_key(|cost| (order.iter().position(|case| *case == cost.case), cost.entries));
    for cost in rows {
        let goal = cost.goal_ns.map_or(String::new(), |goal| format!("{goal:.0}"));
        *text += &format!("| {} | {goal} | {} | {} |\n", cost.case, cost.entries, spread(&cost.ns));
    }
}

fn spread(spread: &Spread) -> String {
    format!("{:.1} ({:.0} to {:.0})", spread.median, spread.min, spread.max)
}

fn load() -> String {
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    load.split(' ').next().unwrap_or("?").to_owned()
}

fn processor() -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    model.map_or_else(|| "unknown processor".to_owned(), |(_, model)| model.to_owned())
}
