//! The first and only program of a virtual machine that tests another kernel: see `vm/guest.rs`.

fn main() -> std::process::ExitCode {
    ravelin_tests::vm::guest::main()
}
