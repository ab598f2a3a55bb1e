//! Waiting for events.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// Asks `look` again and again until it sees something; an error after `limit` names what was waited for.
///
/// # Errors
/// What `look` returns, or that the time is over.
pub fn until<T>(
    what: &str,
    limit: Duration,
    mut look: impl FnMut() -> Result<Option<T>>,
) -> Result<T> {
    let start = Instant::now();
    loop {
        if let Some(seen) = look()? {
            return Ok(seen);
        }
        if start.elapsed() > limit {
            bail!("waited {} s for this and didn't see it: {what}", limit.as_secs());
        }
        thread::sleep(Duration::from_millis(10));
    }
}
