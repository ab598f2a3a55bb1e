//! A little torture: seconds, a few deaths, and each moment between kernel, commit and mail once.

use ravelin_tests::torture::{self, Plan};

#[test]
fn nothing_is_lost_and_nothing_doubled_whenever_the_daemon_dies() {
    // Not clean yet in a million lines (docs/torture.md); `cargo xtask torture` has it.
    let plan = Plan { compress_unread: false, ..Plan::default() };
    if !plan.together {
        println!("skipped: bans that several lines make together");
    }
    if !plan.compress_unread {
        println!("skipped: rotated files compressed before they were read");
    }
    let program = torture::program().expect("the program was built");
    let outcome = torture::run(&plan, &program, |what| println!("{what}")).expect("it runs");
    println!("{:#?}", outcome.verdict);
    assert!(outcome.verdict.is_clean(), "{:#?}", outcome.verdict.faults);
}
