//! Measurements, each made beside what it is compared with.

pub mod contention;
pub mod cost;
pub mod drops;
pub mod latency;
pub mod own_core;
pub mod pieces;
// The chart of the other bench.
#[path = "../../xtask/src/bench/plot.rs"]
mod plot;
pub mod report;
pub mod restore;

/// What `cargo xtask bench datapath` has measured; parts that weren't asked for, or failed, are missing.
#[derive(Debug, serde::Serialize)]
pub struct Datapath {
    /// On which machine, and when.
    pub machine: String,
    /// How many packets are dropped, and by whom.
    pub flooded: Option<drops::Flooded>,
    /// What the program costs a packet.
    pub cost: Option<cost::Costs>,
    /// Of what that is made up.
    pub pieces: Option<Vec<pieces::Piece>>,
    /// What it costs that counters are exact; nothing where there is one CPU only.
    pub contention: Option<Vec<contention::Contention>>,
    /// Parts that failed, and why.
    pub failed: Vec<String>,
}

/// Some trials of something.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Spread {
    /// The middle one (the mean of the two).
    pub median: f64,
    /// The least.
    pub min: f64,
    /// The most.
    pub max: f64,
}

impl Spread {
    /// Of these, of which there is at least one.
    pub fn of(mut trials: Vec<f64>) -> Self {
        trials.sort_by(f64::total_cmp);
        let (first, last) = (trials.first(), trials.last());
        let upper = trials.get(trials.len() / 2);
        let lower = trials.get(trials.len().saturating_sub(1) / 2);
        let or_zero = |trial: Option<&f64>| trial.copied().unwrap_or_default();
        Self {
            median: f64::midpoint(or_zero(lower), or_zero(upper)),
            min: or_zero(first),
            max: or_zero(last),
        }
    }
}
