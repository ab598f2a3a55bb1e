//! `ravelin history`: the past, newest last, from the database; with a daemon or without.

use std::io::{self, BufWriter, Write as _};
use std::path::Path;

use super::args::{History, Since};
use super::look::Look;
use super::{Done, past, setup};
use crate::event::Timestamp;
use crate::store::{HistoryFilter, Reader};

pub(super) fn run(config: Option<&Path>, args: &History, look: Look) -> anyhow::Result<Done> {
    let config = setup::standing_config(config)?;
    let since = args.since.map(|since| match since {
        Since::Ago(age) => Timestamp::now().saturating_sub(age),
        Since::At(time) => Timestamp::from_micros(time.as_microsecond()),
    });
    let limit = (args.limit > 0).then_some(args.limit);
    let filter = HistoryFilter { since, limit, ..HistoryFilter::default() };
    let mut entries = Reader::open(&config.state_dir)?.history(&filter)?;
    entries.reverse();
    let mut out = BufWriter::new(io::stdout().lock());
    if args.json {
        let entries: Vec<past::Entry> = entries.into_iter().map(past::Entry::from).collect();
        serde_json::to_writer_pretty(&mut out, &entries)?;
        writeln!(out)?;
    } else {
        for entry in &entries {
            past::write(&mut out, entry, true, look)?;
        }
        if entries.is_empty() {
            writeln!(out, "Nothing has happened{}.", if since.is_some() { " since" } else { "" })?;
        } else if limit.is_some_and(|limit| entries.len() >= limit as usize) {
            writeln!(out, "\nThe newest {} entries; --limit 0 shows all.", entries.len())?;
        }
    }
    out.flush()?;
    Ok(Done::Well)
}
