//! The metrics: measured on the engine's thread when somebody asks, served beside the control socket.

use std::net::SocketAddr;
use std::time::Duration;

use ravelin_common::map;
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};

use super::health::Health;
use super::pipeline::{Command, Pipeline};
use crate::metrics::{self, Room, Snapshot};
use crate::source::CommandSender;

/// Whoever scrapes gives up after about that long.
const PATIENCE: Duration = Duration::from_secs(4);
/// A port that is taken is tried again so often.
const AGAIN: Duration = Duration::from_secs(15);

impl Pipeline {
    /// Measures, unless something can't be read; then nobody gets an answer.
    pub(super) fn measure(&mut self, answer: oneshot::Sender<Snapshot>) {
        match self.snapshot() {
            // Whoever asked may have given up.
            Ok(snapshot) => drop(answer.send(snapshot)),
            Err(error) => tracing::warn!(%error, "The metrics can't be measured."),
        }
    }

    fn snapshot(&mut self) -> Result<Snapshot, String> {
        let status = self.status()?;
        let (mut packets, mut rooms) = (None, Vec::new());
        if let Some(blocklist) = self.parts.enforcement.kernel() {
            packets = Some(blocklist.counters().map_err(|error| error.to_string())?);
            for (name, entries, capacity) in blocklist.rooms().map_err(|error| error.to_string())? {
                rooms.push(Room { map: label(name), entries, capacity });
            }
        }
        let store = self.parts.store.health();
        Ok(Snapshot {
            status,
            packets,
            rooms,
            tally: self.tally.clone(),
            memory: self.parts.engine.memory_in_use(),
            held_back: self.parts.engine.policy().held_back().0,
            turned_away: self.turned_away.values().sum(),
            unwritten: store.waiting,
            let_go: store.let_go,
        })
    }
}

/// A map as its label says it: as words are written there.
fn label(map: &str) -> &'static str {
    match map {
        map::BANS_V4 => "bans_v4",
        map::BANS_V6 => "bans_v6",
        map::NETS_V4 => "nets_v4",
        _ => "nets_v6",
    }
}

/// Serves the metrics until dropped. A host whose metrics can't be had is protected all the same: the port is tried
/// again, and `status` says so.
pub(super) async fn serve(at: SocketAddr, commands: CommandSender<Command>, health: Health) {
    let listener = loop {
        match metrics::bind(at).await {
            Ok(listener) => break listener,
            Err(error) => {
                let remedy = format!(
                    "the metrics can't be had at {at}: {error}; it is tried again: free that port, or set another one in `metrics` and restart"
                );
                health.note("metrics-unavailable", "", remedy);
                sleep(AGAIN).await;
            }
        }
    };
    health.clear("metrics-unavailable", "");
    tracing::info!(%at, "Metrics are at /metrics.");
    metrics::serve(listener, move || {
        let commands = commands.clone();
        async move {
            let (answer, wait) = oneshot::channel();
            commands.send(Command::Measure(answer)).ok()?;
            let snapshot = timeout(PATIENCE, wait).await.ok()?.ok()?;
            Some(metrics::expose(&snapshot))
        }
    })
    .await;
}
