//! Writes the manual pages and the shells' completions, out of the command line's own definition, so that
//! neither can say anything else than the program does. `cargo xtask dist` calls it.
#![forbid(unsafe_code)]

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use clap::Command;
use clap_complete::{Shell, generate_to};
use clap_mangen::Man;

const SEE_ALSO: &str = "\
.SH FILES
.TP
\\fI/etc/ravelin/ravelin.yaml\\fR
The configuration; every key is optional.
.TP
\\fI/var/lib/ravelin\\fR
The database: bans, history, mails, positions.
.TP
\\fI/sys/fs/bpf/ravelin\\fR
The kernel's maps and links, which outlive the daemon.
.SH \"EXIT STATUS\"
0: done. 1: not done, or something is wrong. 2: wrong use.
.SH \"SEE ALSO\"
\\fI/usr/share/doc/ravelin\\fR, \\fBsuricata\\fR(1), \\fBjournalctl\\fR(1)
";

fn main() -> Result<()> {
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    let [folder] = &arguments[..] else {
        bail!("expected one argument, the folder to write to, got {}", arguments.len());
    };
    let folder = PathBuf::from(folder);
    let mut command = ravelin::cli::command();
    command.build();

    let pages = folder.join("man");
    fs::create_dir_all(&pages).with_context(|| format!("could not make {}", pages.display()))?;
    pages_of(&command, &pages)?;

    let completions = folder.join("completions");
    fs::create_dir_all(&completions)
        .with_context(|| format!("could not make {}", completions.display()))?;
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        generate_to(shell, &mut ravelin::cli::command(), "ravelin", &completions)
            .with_context(|| format!("could not write {shell}'s completions"))?;
    }
    Ok(())
}

/// The page of a command and of those below it, under the names that clap has given them:
/// `ravelin-mail-test.1`.
fn pages_of(command: &Command, folder: &Path) -> Result<()> {
    let manual = Man::new(command.clone()).source("Ravelin").manual("Ravelin");
    let file = folder.join(manual.get_filename());
    let mut text = Vec::new();
    manual.render(&mut text)?;
    text.extend_from_slice(SEE_ALSO.as_bytes());
    fs::write(&file, text).with_context(|| format!("could not write {}", file.display()))?;
    command
        .get_subcommands()
        .filter(|below| !below.is_hide_set())
        .try_for_each(|below| pages_of(below, folder))
}
