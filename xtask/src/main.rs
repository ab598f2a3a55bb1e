//! Ravelin's own tasks: `cargo xtask TASK`. One module a task.

mod build_ebpf;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Ravelin's own tasks.
#[derive(Parser)]
#[command(bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    BuildEbpf(build_ebpf::Args),
}

fn main() -> ExitCode {
    let done = match Cli::parse().task {
        Task::BuildEbpf(args) => build_ebpf::run(&args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
