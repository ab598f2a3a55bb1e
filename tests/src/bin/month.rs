//! Replays an honest month through the shipped packs, and the same with twenty attackers; arguments: seed,
//! days, and a folder for the logs where they are wanted.
#![forbid(unsafe_code)]

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use ravelin_tests::month::{Log, Month};

fn main() -> Result<ExitCode> {
    let mut args = std::env::args().skip(1);
    let mut number = |what: &'static str| {
        let text = args.next().with_context(|| format!("expected {what}"))?;
        text.parse::<i64>().with_context(|| format!("expected {what} as a number, got `{text}`"))
    };
    let seed = u64::try_from(number("the seed")?).context("expected a seed of 0 or more")?;
    let days = number("the days")?;
    let folder = args.next();
    let mut well = true;
    for (name, month) in
        [("honest", Month::honest(seed, days)), ("attacked", Month::attacked(seed, days))]
    {
        if let Some(folder) = &folder {
            let folder = Path::new(folder).join(name);
            month
                .write(&folder)
                .with_context(|| format!("could not write into {}", folder.display()))?;
        }
        let result = month.replay(Log::Eve);
        let (wronged, missed) =
            (result.wronged(month.attackers()), result.missed(month.attackers()));
        println!(
            "{name}: {} lines ({} say nothing to any pack), {} targets banned, {} of {} attackers missed",
            result.lines,
            result.unknown,
            result.bans.len(),
            missed.len(),
            month.attackers().len()
        );
        for (rule, (level, times, description)) in &result.alerts {
            println!("  {times:>6} times  {rule:>6}  level {level:>2}  {description}");
        }
        for target in &wronged {
            println!("  wronged: {target}");
        }
        for attacker in &missed {
            println!("  missed: {attacker}");
        }
        well &= wronged.is_empty() && missed.is_empty();
    }
    Ok(if well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
