//! The unit for a first try: the ordinary one, but for a start that ends by itself unless it is confirmed.

use anyhow::{Result, ensure};

/// How long it waits for `ravelin confirm`.
const WITHIN: &str = "10m";

/// The trial's unit, out of the ordinary one's text.
pub(super) fn unit(ordinary: &str) -> Result<String> {
    let mut trial = String::new();
    let mut changed = 0;
    for line in ordinary.lines() {
        let line = match line {
            "[Install]" => break,
            _ if line.starts_with("Description=") => {
                changed += 1;
                &format!("{line}: on trial, until it is confirmed")
            }
            // The ordinary unit takes over from it, without a gap.
            "After=network-online.target" => {
                changed += 1;
                "After=network-online.target\nConflicts=ravelin.service\nBefore=ravelin.service"
            }
            "ExecStart=/usr/bin/ravelin run" => {
                changed += 1;
                &format!("{line} --confirm-within {WITHIN}")
            }
            _ => line,
        };
        trial.push_str(line);
        trial.push('\n');
    }
    ensure!(changed == 3, "expected the unit to have a description, After and ExecStart as known");
    Ok(trial.trim_end().to_owned() + "\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_trial_differs_in_what_makes_it_one() {
        let ordinary = include_str!("../../../packaging/debian/ravelin.service");
        let trial = unit(ordinary).unwrap();
        let only_in = |one: &str, other: &str| -> Vec<String> {
            let others: Vec<&str> = other.lines().collect();
            one.lines().filter(|line| !others.contains(line)).map(str::to_owned).collect()
        };
        assert_eq!(
            only_in(&trial, ordinary)[1..],
            [
                "Conflicts=ravelin.service",
                "Before=ravelin.service",
                "ExecStart=/usr/bin/ravelin run --confirm-within 10m"
            ]
        );
        assert!(only_in(ordinary, &trial).contains(&"[Install]".to_owned()), "it is never enabled");
        assert!(unit("[Service]\n").is_err());
    }
}
