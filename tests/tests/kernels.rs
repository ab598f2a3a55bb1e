//! Other kernels than this machine's, each booted in a virtual machine, on a real driver (virtio-net).
//!
//! `cargo xtask test` brings QEMU and the kernels where it can.

use std::path::Path;

use ravelin_tests::vm::{self, Kernel};

#[test]
fn linux_6_1() {
    boots("6.1");
}

#[test]
fn linux_6_12() {
    boots("6.12");
}

fn boots(series: &str) {
    let Some(kernel) = Kernel::find(series).filter(|_| vm::is_possible()) else {
        eprintln!(
            "SKIPPED: no Linux {series} in target/kernels, or no QEMU: `cargo xtask test` brings both on Debian, as root"
        );
        return;
    };
    let boot = vm::run(&kernel, Path::new(env!("CARGO_BIN_EXE_guest"))).unwrap();
    assert!(boot.passed, "Linux {series}:\n{}", boot.console);
    println!("{}", boot.console);
    // What older kernels lack is known. Less is good news, more isn't.
    let jumbo = "native XDP on virtio-net with jumbo frames";
    assert!(
        boot.lacks.iter().all(|lack| series == "6.1" && lack.starts_with(jumbo)),
        "{:?}",
        boot.lacks
    );
}
