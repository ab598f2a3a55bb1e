//! The command line, a file per command.
//!
//! Exit codes: 0 done, 1 not done or something is wrong, 2 wrong use. What is printed for programs goes to
//! standard output, what is said to people about it to standard error.
#![forbid(unsafe_code)]

mod allow;
mod args;
mod ban;
mod check;
mod confirm;
mod doctor;
mod explain;
mod history;
mod list;
mod look;
mod mail;
mod object;
mod panic;
mod past;
mod progress;
mod reload;
mod replay;
mod report;
mod run;
mod setup;
mod show;
mod status;
mod table;
mod top;
mod unban;

use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser as _};

use self::args::{Args, Command};
use self::look::Look;

/// How a command ended.
enum Done {
    /// As asked.
    Well,
    /// The command did its work, and what it found is wrong.
    Wrong,
}

/// Parses the arguments, runs the command, and says what went wrong.
pub fn main() -> ExitCode {
    let args = Args::parse();
    let config = args.config.as_deref();
    let look = Look::of_stdout(args.color);
    let done = match &args.command {
        Command::Run(run) => run::run(config, run),
        Command::Check(check) => check::run(config, check),
        Command::Doctor(doctor) => doctor::run(config, doctor, look),
        Command::Explain(explain) => explain::run(config, explain),
        Command::Replay(replay) => replay::run(config, replay),
        Command::Ban(ban) => ban::run(config, ban),
        Command::Unban(unban) => unban::run(config, unban),
        Command::Allow(allow) => allow::run(config, allow),
        Command::List(list) => list::run(config, list, look),
        Command::Show(show) => show::run(config, show, look),
        Command::History(history) => history::run(config, history, look),
        Command::Status(status) => status::run(config, status, look),
        Command::Top(top) => top::run(config, top, look),
        Command::Report(report) => report::run(config, report),
        Command::Reload(reload) => reload::run(config, reload),
        Command::Panic(panic) => panic::run(config, panic),
        Command::Confirm(confirm) => confirm::run(config, confirm),
        Command::Mail(mail) => mail::run(config, mail),
        Command::Object(object) => object::run(config, object),
    };
    match done {
        Ok(Done::Well) => ExitCode::SUCCESS,
        Ok(Done::Wrong) => ExitCode::FAILURE,
        // `ravelin list | head` ends well.
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            // Nobody is left to tell where even that fails.
            drop(writeln!(io::stderr().lock(), "ravelin: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// All that can be typed, for manual pages and completions.
pub fn command() -> clap::Command {
    Args::command()
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause
            .downcast_ref::<io::Error>()
            .is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
    })
}
