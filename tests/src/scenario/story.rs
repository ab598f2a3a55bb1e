//! A story that is told as it happens, and what it claims.

use std::fmt::Display;
use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

/// Tells a timeline on standard output and keeps its claims.
#[derive(Debug)]
pub struct Story {
    start: Instant,
    colour: bool,
    claims: Vec<Claim>,
    slowest_drop: Option<Duration>,
}

/// Something that the story shows, or fails to show.
#[derive(Debug)]
struct Claim {
    text: String,
    observed: bool,
}

/// Who does something.
#[derive(Clone, Copy, Debug)]
pub enum Who {
    /// The lab itself.
    Lab,
    /// Somebody with bad intentions, by name.
    Attacker(&'static str),
    /// Somebody without, by name.
    Guest(&'static str),
    /// A program on the server that notices things, by name.
    Witness(&'static str),
    /// Ravelin, daemon or kernel program.
    Ravelin,
}

/// No log line may take longer than this to become a dropped packet.
pub const DROP_LIMIT: Duration = Duration::from_millis(50);

impl Story {
    /// Begins now; colours only on a terminal.
    pub fn begin() -> Self {
        let colour = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        Self { start: Instant::now(), colour, claims: Vec::new(), slowest_drop: None }
    }

    /// A new act.
    pub fn act(&self, title: &str) {
        println!("\n{}", self.paint(BOLD, title));
    }

    /// What somebody does, now.
    pub fn tell(&self, who: Who, what: impl Display) {
        let seconds = format!("{:6.1} s", self.start.elapsed().as_secs_f64());
        let (colour, name) = match who {
            Who::Lab => (DIM, "lab"),
            Who::Attacker(name) => (RED, name),
            Who::Guest(name) => (BLUE, name),
            Who::Witness(name) => (YELLOW, name),
            Who::Ravelin => (GREEN, "ravelin"),
        };
        let name = format!("{name:<9}");
        println!("{}  {}  {what}", self.paint(DIM, &seconds), self.paint(colour, &name));
    }

    /// A text set apart, as it is; only what is very wide is cut.
    pub fn quote(&self, text: &str) {
        const WIDTH: usize = 100;
        let bar = self.paint(DIM, "│");
        println!();
        for line in text.trim_end().lines() {
            let mut line = line.trim_end().to_owned();
            if let Some((cut, _)) = line.char_indices().nth(WIDTH) {
                line.truncate(cut);
                line.push('…');
            }
            println!("    {bar} {line}");
        }
    }

    /// Claims something.
    pub fn claim(&mut self, text: impl Into<String>, observed: bool) {
        let claim = Claim { text: text.into(), observed };
        if !observed {
            println!("{}", self.verdict(&claim));
        }
        self.claims.push(claim);
    }

    /// A packet was dropped so long after the line that was the reason; at most.
    pub fn dropped_after(&mut self, time: Duration) {
        self.slowest_drop = self.slowest_drop.max(Some(time));
    }

    /// The longest that [`Self::dropped_after`] was told.
    pub fn slowest_drop(&self) -> Option<Duration> {
        self.slowest_drop
    }

    /// Lists the claims; whether all of them were observed.
    pub fn conclude(&self) -> bool {
        for claim in &self.claims {
            println!("  {}", self.verdict(claim));
        }
        !self.claims.is_empty() && self.claims.iter().all(|claim| claim.observed)
    }

    /// For tests.
    ///
    /// # Panics
    /// Where something that was claimed wasn't observed, or nothing was claimed.
    pub fn assert_all(&self) {
        assert!(!self.claims.is_empty(), "the scenario claims nothing");
        for claim in &self.claims {
            assert!(claim.observed, "not observed: {}", claim.text);
        }
    }

    fn verdict(&self, claim: &Claim) -> String {
        let mark = if claim.observed { self.paint(GREEN, "✓") } else { self.paint(RED, "✗") };
        format!("{mark} {}", claim.text)
    }

    fn paint(&self, colour: &str, text: &str) -> String {
        if self.colour { format!("\x1b[{colour}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

const BOLD: &str = "1";
const DIM: &str = "2";
const RED: &str = "31";
const GREEN: &str = "32";
const YELLOW: &str = "33";
const BLUE: &str = "34";
