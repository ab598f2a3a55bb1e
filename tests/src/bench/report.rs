//! What the datapath's bench has found: as the page docs/benchmarks/datapath.md, and its chart.

use std::fmt::Write as _;
use std::fs;

use super::cost::{Cost, Costs, Keys};
use super::drops::{Core, Drops, Flood, Flooded, Limit, Load, Sources};
use super::plot::{self, Axis, Bar};
use super::{Datapath, Spread, contention::Contention, pieces::Piece};

/// What is written by hand is kept between this line and the next of its kind.
const BY_HAND: &str = "<!-- by hand -->";

/// The floods of one source.
const FULL: Flood = Flood { sources: Sources::One, core: Core::Own, load: Load::Full };
const PACED: Flood = Flood { load: Load::Paced, ..FULL };
const SHARED: Flood = Flood { core: Core::Senders, ..FULL };

/// The page, with what was written by hand into the one `before`.
pub fn page(measured: &Datapath, before: &str) -> String {
    let by_hand = before.split(BY_HAND).nth(1).unwrap_or("\n");
    let mut text = format!(
        "# The data plane: what it costs\n\n\
         Written by `cargo xtask bench datapath`, all but what stands between the marks `by hand`. {}.\n\n\
         {BY_HAND}{by_hand}{BY_HAND}\n\n",
        measured.machine
    );
    for failed in &measured.failed {
        line(&mut text, format_args!("**Failed**: {failed}\n"));
    }
    text.push_str(&goals(measured));
    text.extend(measured.flooded.as_ref().map(flooded));
    text.extend(measured.pieces.as_deref().map(|pieces| {
        let wired = measured.flooded.as_ref().map_or(&[][..], |flooded| &flooded.pieces);
        self::pieces(pieces, wired)
    }));
    text.extend(measured.contention.as_deref().map(contention));
    text.extend(measured.cost.as_ref().map(cost));
    text.truncate(text.trim_end().len());
    text + "\n"
}

/// Drops a second of receiver CPU, one source.
pub fn chart(flooded: &Flooded) -> String {
    let one = flooded.drops.iter().filter(|drops| drops.flood == SHARED);
    let bars: Vec<Bar> = one
        .map(|drops| Bar {
            label: drops.subject.clone(),
            value: drops.per_cpu_second.median,
            ours: drops.subject.starts_with("ravelin"),
        })
        .collect();
    let caption = "packets dropped in a second of the receiver's CPU time, one source, one core";
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
    let mut text = String::new();
    if let Some(Flooded { goals, .. }) = &measured.flooded
        && !goals.is_empty()
    {
        text.push_str(
            "Drops in a second of receiver CPU, of one source, over (the ways are those below):\n\n\
             | over | at least | one core | own core, paced | own core, in full | |\n\
             |---|---:|---:|---:|---:|---|\n",
        );
        for goal in goals {
            let (shared, paced, full) = (&goal.shared, &goal.paced, &goal.full);
            line(
                &mut text,
                format_args!(
                    "| {} | {} | {} | {} | {} | {} |",
                    goal.over,
                    goal.goal,
                    ratio(shared),
                    ratio(paced),
                    ratio(full),
                    in_how_many([shared, paced, full], goal.goal)
                ),
            );
        }
        text.push('\n');
    }
    if let Some(costs) = &measured.cost {
        text.push_str(
            "Nanoseconds over the empty program, one hot source:\n\n\
             | case | bans | at most | ns | |\n|---|---:|---:|---:|---|\n",
        );
        let goals = costs.costs.iter().filter_map(|cost| Some((cost, cost.goal_ns?)));
        for (cost, goal) in goals.filter(|(cost, _)| [1, 1_000_000].contains(&cost.entries)) {
            line(
                &mut text,
                format_args!(
                    "| {} | {} | {goal:.0} | {} | {} |",
                    cost.case,
                    cost.entries,
                    spread(&cost.ns),
                    met(cost.ns.median <= goal)
                ),
            );
        }
        text.push('\n');
    }
    if text.is_empty() { text } else { format!("## Goals (design, section 8)\n\n{text}") }
}

fn in_how_many(ways: [&Spread; 3], goal: f64) -> String {
    match ways.iter().filter(|way| way.median >= goal).count() {
        0 => met(false).to_owned(),
        3 => met(true).to_owned(),
        some => format!("met in {some} of 3 ways"),
    }
}

fn ratio(Spread { median, min, max }: &Spread) -> String {
    format!("{median:.2} ({min:.2} to {max:.2})")
}

const fn met(met: bool) -> &'static str {
    if met { "met" } else { "**missed**" }
}

fn flooded(flooded: &Flooded) -> String {
    let mut text = String::from(
        "## Drops on a veth\n\n\
         UDP frames of 64 bytes, made by a program of a few instructions that redirects live frames of \
         BPF_PROG_TEST_RUN into a veth pair; at the pair's other end its NAPI thread receives. Sender and \
         receiver have real-time priority. A thousand addresses are banned, each filter is set up in namespaces \
         of its own; all of them are flooded in turns, in short rounds, there and back; the figures are medians \
         of the rounds, before each of which XDP programs are set up anew. Of *one* source, or of all the thousand at random. In iptables' list the flood's rule is \
         the last: as the oldest ban's is, and as all are to a packet that isn't banned.\n\n\
         What is compared is the receiver's CPU time, which the kernel keeps exactly (schedstat). It depends on \
         how packets come, so they come in three ways:\n\n\
         - *on one core*, in turns: the receiver has the sender's core after each batch of 64, until it has \
         dropped it. No packet is lost, none comes from another core's cache, and nobody waits for an \
         interrupt.\n\
         - *on its own core, paced*: about a million a second, which XDP programs have time for, so that they \
         sleep between batches. Others don't.\n\
         - *on its own core, in full*: as fast as the sender can.\n\n\
         ![drops in a second of receiver CPU](datapath.svg)\n\n\
         | filter | sources | M drops in a CPU second, one core (least to most) | ns, one core | ns, own core, paced | ns, own core, in full |\n\
         |---|---|---:|---:|---:|---:|\n",
    );
    let ways = |drops: &&Drops| drops.flood.core == Core::Senders;
    for drops in flooded.drops.iter().filter(ways) {
        let other = |flood: Flood| {
            let flood = Flood { sources: drops.flood.sources, ..flood };
            let mut all = flooded.drops.iter();
            let it = all.find(|other| other.subject == drops.subject && other.flood == flood);
            it.map_or_else(String::new, |it| whole(&it.ns))
        };
        line(
            &mut text,
            format_args!(
                "| {} | {} | {} | {} | {} | {} |",
                drops.subject,
                sources(drops),
                millions(&drops.per_cpu_second),
                whole(&drops.ns),
                other(PACED),
                other(FULL)
            ),
        );
    }
    text.push_str(
        "\n### The receiver on a core of its own: who was the limit\n\n\
         Limit *ring*: the receiver had time left, and yet the ring of 256 packets between the two overflowed, \
         before it was awake.\n\n\
         | filter | sources | load | offered, M/s | dropped, M/s | receiver's core | limit |\n\
         |---|---|---|---:|---:|---:|---|\n",
    );
    for drops in flooded.drops.iter().filter(|drops| drops.flood.core == Core::Own) {
        row(&mut text, drops);
    }
    for failed in &flooded.failed {
        line(&mut text, format_args!("\n**Failed**: {failed}"));
    }
    text + "\n"
}

fn row(text: &mut String, drops: &Drops) {
    line(
        text,
        format_args!(
            "| {} | {} | {} | {:.2} | {:.3} | {:.0} % | {} |",
            drops.subject,
            sources(drops),
            if drops.flood.load == Load::Paced { "paced" } else { "full" },
            drops.offered / 1e6,
            drops.dropped / 1e6,
            drops.cpu.min(1.0) * 100.0,
            match drops.limit {
                Limit::Sender => "sender",
                Limit::Ring => "ring",
                Limit::Receiver => "receiver",
                Limit::Shared => "both",
            },
        ),
    );
}

fn whole(Spread { median, min, max }: &Spread) -> String {
    format!("{median:.0} ({min:.0} to {max:.0})")
}

const fn sources(drops: &Drops) -> &'static str {
    match drops.flood.sources {
        Sources::One => "one",
        Sources::Many => "1,000",
    }
}

fn millions(Spread { median, min, max }: &Spread) -> String {
    format!("{:.3} ({:.3} to {:.3})", median / 1e6, min / 1e6, max / 1e6)
}

fn cost(costs: &Costs) -> String {
    let mut text = format!(
        "## The program alone\n\n\
         Nanoseconds a packet over an XDP program that does nothing but `return XDP_PASS`, measured beside it \
         by BPF_PROG_TEST_RUN on one pinned CPU: the median of ten trials, each with the program compiled anew, \
         with the least and the most. The empty program: {} ns hot, {} ns alone.\n\n\
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

fn pieces(pieces: &[Piece], wired: &[Drops]) -> String {
    let mut text = String::from(
        "## Where a hit's nanoseconds go\n\n\
         The program in pieces (`ebpf/src/variants.rs`), each built from the shipped modules and doing a part \
         more than the one before it. *Alone*: a hot frame from a banned IPv4 source, over the empty program. \
         On the veth: receiver's CPU time a packet, as above, all that the kernel does with a packet included. The \
         parts overlap in the processor, so that a step says what leaving the part out would save there.\n\n\
         | the program does | alone, ns | step | veth, one core, ns | step | own core, paced, ns | own core, in full, ns |\n\
         |---|---:|---:|---:|---:|---:|---:|\n",
    );
    let on_wire = |program: &str, flood| {
        let mut drops = wired.iter();
        let drops = drops.find(|drops| drops.subject == program && drops.flood == flood);
        drops.map(|drops| &drops.ns)
    };
    let only = |program: &str, flood| on_wire(program, flood).map_or_else(String::new, spread);
    let figure = |ns: Option<&Spread>, base: Option<&Spread>| {
        let ns_text = ns.map_or_else(String::new, spread);
        let step = ns.zip(base).map(|(ns, base)| format!("{:+.1}", ns.median - base.median));
        format!("{ns_text} | {}", step.unwrap_or_default())
    };
    let mut previous: Option<&Piece> = None;
    for piece in pieces {
        let base = match piece.beside {
            Some(name) => pieces.iter().find(|other| other.program == name),
            None => previous,
        };
        let against = piece.beside.map_or(String::new(), |name| format!(" (beside `{name}`)"));
        let shared = base.and_then(|base| on_wire(base.program, SHARED));
        line(
            &mut text,
            format_args!(
                "| `{}`: {}{against} | {} | {} | {} | {} |",
                piece.program,
                piece.does,
                figure(Some(&piece.ns), base.map(|base| &base.ns)),
                figure(on_wire(piece.program, SHARED), shared),
                only(piece.program, PACED),
                only(piece.program, FULL)
            ),
        );
        previous = Some(piece);
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
