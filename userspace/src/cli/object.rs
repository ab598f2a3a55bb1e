//! `ravelin object`: hands out the XDP object, for a loader that attaches it in our place.

use std::fs;
use std::io::{self, Write as _};
use std::path::Path;

use anyhow::Context as _;

use super::args::Object;
use super::{Done, setup};
use crate::blocklist;

pub(super) fn run(config: Option<&Path>, args: &Object) -> anyhow::Result<Done> {
    let max = setup::standing_config(config)?.ban.max;
    let object = blocklist::object(max)?;
    if args.file == Path::new("-") {
        io::stdout().lock().write_all(&object)?;
    } else {
        fs::write(&args.file, object)
            .with_context(|| format!("could not write `{}`", args.file.display()))?;
    }
    Ok(Done::Well)
}
