//! Ravelin's own tasks: `cargo xtask --help` lists them. One module a task.
#![forbid(unsafe_code)]

mod apt;
mod bench;
mod build_ebpf;
mod cargo;
mod conformance;
mod demo;
mod dist;
mod fuzz;
mod kernels;
mod month;
mod provision;
mod run;
mod test;
mod torture;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Builds, runs, shows and tests Ravelin.
///
/// Each task builds what it needs and, on Debian as root, installs what is missing; nothing has to be
/// typed before it.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    BuildEbpf(build_ebpf::Args),
    Run(run::Args),
    Demo(demo::Args),
    Test(test::Args),
    Conformance(conformance::Args),
    Month(month::Args),
    Fuzz(fuzz::Args),
    Torture(torture::Args),
    Bench(bench::Args),
    Dist(dist::Args),
}

fn main() -> ExitCode {
    let done = match Cli::parse().task {
        Task::BuildEbpf(args) => build_ebpf::run(&args),
        Task::Run(args) => run::run(&args),
        Task::Demo(args) => demo::run(&args),
        Task::Test(args) => test::run(&args),
        Task::Conformance(args) => conformance::run(&args),
        Task::Month(args) => month::run(&args),
        Task::Fuzz(args) => fuzz::run(&args),
        Task::Torture(args) => torture::run(&args),
        Task::Bench(args) => bench::run(&args),
        Task::Dist(args) => dist::run(&args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
