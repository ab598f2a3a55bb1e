//! What the datapath's bench has found: as the page docs/benchmarks/datapath.md, and its chart.

use std::fmt::Write as _;
use std::fs;

use super::cost::{Cost, Costs, Keys};
use super::drops::{Drops, Flooded, Limit, Sources};
use super::plot::{self, Axis, Bar};
use super::{Datapath, Spread, contention::Contention, pieces::Piece};

/// What is written by hand is kept between this line and the next of its kind.
const BY_HAND: &str = "<!-- by hand -->";

/// The page, with what was written by hand into the one `before`.
pub fn page(measured: &Datapath, before: &str) -> String {
    let by_hand = before.split(BY_HAND).nth(1).unwrap_or("\n");
    format!(
        "# The data plane: what it costs\n\n\
         Written by `cargo xtask bench datapath`, all but what stands between the marks `by hand`. {}.\n\n\
         {}{}{}{}{}{BY_HAND}{by_hand}{BY_HAND}\n",
        measured.machine,
        goals(measured),
        flooded(&measured.flooded),
        cost(&measured.cost),
        pieces(&measured.pieces),
        measured.contention.as_deref().map_or_else(String::new, contention),
    )
}

/// Drops a second of receiver CPU, one source.
pub fn chart(flooded: &Flooded) -> String {
    let one = flooded.drops.iter().filter(|drops| drops.sources == Sources::One);
    let bars: Vec<Bar> = one
        .map(|drops| Bar {
            label: drops.subject.clone(),
            value: drops.per_cpu_second.median,
            ours: drops.subject.starts_with("ravelin"),
        })
        .collect();
    let caption = "packets dropped in a second of the receiver's CPU time, one source";
    plot::bars(&bars, &Axis { caption, powers: (4, 7), unit: "M" })
}

/// On what, and when; `before` is the load when the bench began.
pub fn machine(before: &str) -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    format!(
        "Measured {} on {}, {} cores, Linux {}, load average {before} before and {} after",
        jiff::Timestamp::now().strftime("%Y-%m-%d %H:%M UTC"),
        model.map_or("an unknown processor", |(_, model)| model),
        info.lines().filter(|line| line.starts_with("processor")).count(),
        rustix::system::uname().release().to_string_lossy(),
        load(),
    )
}

/// The load average of the last minute.
pub fn load() -> String {
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    load.split(' ').next().unwrap_or("unknown").to_owned()
}

fn goals(measured: &Datapath) -> String {
    let mut text = String::from("## Goals (design, section 8)\n\n");
    for goal in &measured.flooded.goals {
        line(
            &mut text,
            format_args!(
                "- {}: at least {} times {} (drops a second of receiver CPU): {:.2}",
                met(goal.met),
                goal.goal,
                goal.over,
                goal.reached
            ),
        );
    }
    for cost in &measured.cost.costs {
        let Some(goal) = cost.goal_ns else { continue };
        let ns = cost.ns.median;
        line(
            &mut text,
            format_args!(
                "- {}: {}, {} bans, hot, at most {goal:.0} ns: {ns:.1}",
                met(ns <= goal),
                cost.case,
                cost.entries
            ),
        );
    }
    text + "\n"
}

const fn met(met: bool) -> &'static str {
    if met { "met" } else { "**missed**" }
}

fn flooded(flooded: &Flooded) -> String {
    let mut text = String::from(
        "## Drops on a veth\n\n\
         UDP frames of 64 bytes from one core, made by a program of a few instructions that redirects live \
         frames of BPF_PROG_TEST_RUN into a veth pair; on the other core the pair's other end, its NAPI \
         thread pinned, both with real-time priority (in brackets: how much of its core the receiver wanted and \
         others had). A thousand addresses are banned, each filter set up anew in namespaces of its own. \
         Of *one* source, or of all the thousand at random. In iptables' list the flood's rule is the \
         last: as the oldest ban's is, and as all are to a packet that isn't banned. Where the receiver's core \
         had time left the sender was the limit: packets a second say less then than those in a second of \
         the receiver's CPU, and those too little, since a thread that waits between packets works in smaller \
         batches.\n\n\
         ![drops in a second of receiver CPU](datapath.svg)\n\n\
         | filter | sources | offered, M/s | dropped, M/s | receiver CPU (others') | limit | M drops in a CPU second (least to most) | CPU ns a packet |\n\
         |---|---|---:|---:|---:|---|---:|---:|\n",
    );
    for drops in &flooded.drops {
        row(&mut text, drops);
    }
    for skipped in &flooded.skipped {
        line(&mut text, format_args!("\nSkipped: {skipped}"));
    }
    text + "\n"
}

fn row(text: &mut String, drops: &Drops) {
    let Spread { median, min, max } = drops.per_cpu_second;
    line(
        text,
        format_args!(
            "| {} | {} | {:.2} | {:.3} | {:.0} % ({:.0}) | {} | {:.3} ({:.3} to {:.3}) | {:.0} |",
            drops.subject,
            if drops.sources == Sources::One { "one" } else { "1,000" },
            drops.offered / 1e6,
            drops.dropped / 1e6,
            drops.cpu * 100.0,
            drops.starved * 100.0,
            if drops.limit == Limit::Sender { "sender" } else { "receiver" },
            median / 1e6,
            min / 1e6,
            max / 1e6,
            drops.ns
        ),
    );
}

fn cost(costs: &Costs) -> String {
    let mut text = format!(
        "## The program alone\n\n\
         Nanoseconds a packet over an XDP program that does nothing but `return XDP_PASS`, measured beside it \
         by BPF_PROG_TEST_RUN on one pinned CPU: the median of ten trials, with the least and the most. The \
         empty program: {} ns hot, {} ns alone.\n\n\
         ### One source (hot): a million times the same frame\n\n",
        spread(&costs.empty_hot_ns),
        spread(&costs.empty_random_ns)
    );
    table(&mut text, costs, Keys::Hot);
    text.push_str(
        "\n### Random sources (cold): one frame a system call\n\n\
         Each run has a source of its own and whatever the system call before it left in the caches; the \
         figure is the median of 20,000 runs, ten times over; the kernel's clock may go in steps of 10 ns. On \
         a wire, where packets come in batches, the cost lies between this and the table above.\n\n",
    );
    table(&mut text, costs, Keys::Random);
    text + "\n"
}

fn table(text: &mut String, costs: &Costs, keys: Keys) {
    text.push_str("| case | goal | bans | ns (least to most) |\n|---|---:|---:|---:|\n");
    let mut rows: Vec<&Cost> = costs.costs.iter().filter(|cost| cost.keys == keys).collect();
    // A case's sizes side by side, the cases in the order in which they came.
    let order: Vec<&str> = rows.iter().map(|cost| cost.case).collect();
    rows.sort_by_key(|cost| (order.iter().position(|case| *case == cost.case), cost.entries));
    for cost in rows {
        let goal = cost.goal_ns.map_or(String::new(), |goal| format!("{goal:.0}"));
        line(
            text,
            format_args!("| {} | {goal} | {} | {} |", cost.case, cost.entries, spread(&cost.ns)),
        );
    }
}

fn pieces(pieces: &[Piece]) -> String {
    let mut text = String::from(
        "## Where a hit's nanoseconds go\n\n\
         The program in pieces (`ebpf/src/variants.rs`), each built from the shipped modules and doing a part \
         more than the one before it; a hot frame from a banned IPv4 source, over the empty program. The parts \
         overlap in the processor, so that a step says what leaving the part out would save there.\n\n\
         | the program does | ns (least to most) | step |\n|---|---:|---:|\n",
    );
    let mut previous = 0.0;
    for piece in pieces {
        let beside = match piece.beside {
            Some(name) => pieces.iter().find(|other| other.program == name),
            None => None,
        };
        let base = beside.map_or(previous, |other| other.ns.median);
        let against = piece.beside.map_or(String::new(), |name| format!(" (beside `{name}`)"));
        line(
            &mut text,
            format_args!(
                "| `{}`: {}{against} | {} | {:+.1} |",
                piece.program,
                piece.does,
                spread(&piece.ns),
                piece.ns.median - base
            ),
        );
        previous = piece.ns.median;
    }
    text + "\n"
}

fn contention(ways: &[Contention]) -> String {
    let mut text = String::from(
        "## One source over two CPUs\n\n\
         Both drop packets of the same banned source at the same time, millions of times: nanoseconds a hit on \
         each (the kernel's own part, that of the empty program, included), and how many hits the ban's \
         counter has lost in the worst of the trials.\n\n\
         | counters | alone, ns | together, ns | lost |\n|---|---:|---:|---:|\n",
    );
    for way in ways {
        line(
            &mut text,
            format_args!(
                "| {} | {} | {} | {:.2} % |",
                way.counters,
                spread(&way.alone_ns),
                spread(&way.together_ns),
                way.lost * 100.0
            ),
        );
    }
    text + "\n"
}

fn spread(spread: &Spread) -> String {
    format!("{:.1} ({:.1} to {:.1})", spread.median, spread.min, spread.max)
}

fn line(text: &mut String, line: std::fmt::Arguments<'_>) {
    text.write_fmt(line).expect("a string takes all that is written");
    text.push('\n');
}
