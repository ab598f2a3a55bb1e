//! The page and its plot.

use super::super::plot::{self, Axis, Bar};
use super::fail2ban;
use super::{Latencies, PEER_BANS, Row};

/// Milliseconds, by the design.
const GOALS: (f64, f64) = (1.0, 5.0);

/// For `docs/benchmarks`.
pub fn page(measured: &Latencies) -> String {
    let mut text = format!(
        "# From a line to the first dropped packet\n\n\
         Repeat it with\n\n    cargo xtask bench latency\n\nwhich writes this page but for what stands between the \
         marks `by hand`.\n\n{}. Each ban is of an address of its own; {PEER_BANS} of fail2ban's ({}).\n\n| | way | bans | p50 | p99 | max | pause | drops counted exactly |\n|---|---|---:|---:|---:|---:|---:|---:|\n",
        measured.machine,
        fail2ban::version(),
    );
    for row in &measured.rows {
        let Row { who, way, bans, p50_ms, p99_ms, max_ms, pause_ms, counted } = row;
        let counted = counted
            .map_or_else(|| "not asked".to_owned(), |counted| format!("{counted} of {bans}"));
        text.push_str(&format!(
            "| {who} | {way} | {bans} | {p50_ms:.2} ms | {p99_ms:.2} ms | {max_ms:.2} ms | {pause_ms:.3} ms | {counted} |\n"
        ));
    }
    text.push('\n');
    for skipped in &measured.skipped {
        text.push_str(&format!("- **skipped**: {skipped}\n"));
    }
    text.push_str(&goals(measured));
    text.push_str(HOW);
    text
}

/// Met or missed, a line each.
fn goals(measured: &Latencies) -> String {
    let mut text = String::new();
    for row in measured.rows.iter().filter(|row| row.who == "ravelin") {
        for (what, value, goal) in [("p50", row.p50_ms, GOALS.0), ("p99", row.p99_ms, GOALS.1)] {
            let met = if value < goal { "met" } else { "**missed**" };
            text.push_str(&format!("- {}: {what} under {goal} ms: {value:.2} ({met})\n", row.way));
        }
    }
    text
}

const HOW: &str = "
![from a line to the first dropped packet](latency.svg)

## How it is measured

Two network namespaces with a veth pair between them. In one a sender sends numbered UDP packets from an address, \
in the other a receiver notes them, and the daemon runs there too. When the sender has been heard, the line is \
written that completes the ban. The first packet after which no other arrives is the first one dropped; the time is \
from just before the line's `write` to the sending of that packet, both by the monotonic clock in one process. \
So it contains everything: the write, waking the daemon, its work, the map, and up to one pause between two packets \
(column *pause*: it makes every figure too long, never too short). A round in which a packet before the ban is \
missing fails the bench. Of Ravelin's bans the program's own count of dropped packets is compared with the packets that \
are missing.

- The seven failed logins before the eighth were written and read before the round: only the last line is timed. Rule \
5720 and fail2ban's `maxretry` want eight alike. Of EVE one alert of priority 1 bans.
- Sender, receiver, daemon and everything else share the machine's cores: a latency on a busy machine is the \
scheduler's. The load stands above.
- Nobody's clock is warm: rounds come a few tens of milliseconds after each other, at random distances.
- *journal-remote* writes the journal as journald does, but tells readers of each entry at once. **journald itself \
tells them 250 to 500 ms late** (it collects changes by a timer of 250 ms, which may be as much late), which no reader of the journal can go round.
- fail2ban is Debian's, with its own sshd filter, its `nftables` action and `backend = auto`.
";

/// The plot.
pub fn chart(measured: &Latencies) -> String {
    let bars: Vec<Bar> = measured
        .rows
        .iter()
        .flat_map(|row| {
            [("p50", row.p50_ms), ("p99", row.p99_ms)].map(|(what, ms)| Bar {
                label: format!(
                    "{}, {}: {what}",
                    row.who,
                    row.way.split(" (").next().unwrap_or(&row.way)
                ),
                // Nanoseconds, so that a million is a millisecond.
                value: ms * 1e6,
                ours: row.who == "ravelin",
            })
        })
        .collect();
    let caption = "nanoseconds from a line written to the first packet dropped";
    plot::bars(&bars, &Axis { caption, powers: (4, 9), unit: "ms" })
}
