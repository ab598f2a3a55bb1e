//! An innocent client that reads the web site all the while.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::Result;

use super::host::Host;
use super::internet::SERVER;
use super::web::fetch;

/// Between two pages.
const PAUSE: Duration = Duration::from_millis(50);
/// After this long somebody in front of a browser would say that the site is down.
const PATIENCE: Duration = Duration::from_secs(3);

/// Fetches a page after the other, over IPv4 and IPv6 in turn.
#[derive(Debug)]
pub struct Visitor {
    stop: Arc<AtomicBool>,
    reader: JoinHandle<Result<Visit>>,
}

/// What a visitor has to tell.
#[derive(Debug, Default)]
pub struct Visit {
    /// Pages that came.
    pub pages: u32,
    /// Those that didn't, with the reason.
    pub failures: Vec<String>,
    /// The longest that one took.
    pub slowest: Duration,
}

impl Visitor {
    /// Begins to read.
    ///
    /// # Errors
    /// Where the host's namespace can't be opened.
    pub fn start(host: &Host) -> Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let reader = host.spawn({
            let stop = Arc::clone(&stop);
            move || read(&stop)
        });
        Ok(Self { stop, reader })
    }

    /// Ends the visit.
    ///
    /// # Errors
    /// Where it ended by itself.
    pub fn finish(self) -> Result<Visit> {
        self.stop.store(true, Ordering::Relaxed);
        self.reader.join().map_err(|_panic| anyhow::anyhow!("the visitor panicked"))?
    }
}

fn read(stop: &AtomicBool) -> Visit {
    let mut visit = Visit::default();
    let both: [IpAddr; 2] = [SERVER.v4.into(), SERVER.v6.into()];
    for server in both.into_iter().cycle() {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let start = Instant::now();
        match fetch(server, "Mozilla/5.0 (a visitor)", PATIENCE) {
            Ok(()) => visit.pages += 1,
            Err(error) => visit.failures.push(format!("{server}: {error}")),
        }
        visit.slowest = visit.slowest.max(start.elapsed());
        thread::sleep(PAUSE);
    }
    visit
}
