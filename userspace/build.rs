//! Finds the XDP object that `cargo xtask build-ebpf` made, for `include_bytes!`.

use std::env;
use std::path::Path;

fn main() {
    println!("cargo::rerun-if-env-changed=RAVELIN_XDP_OBJECT");
    let object = env::var("RAVELIN_XDP_OBJECT").unwrap_or_else(|_| {
        concat!(env!("CARGO_MANIFEST_DIR"), "/../target/bpf/ravelin.bpf.o").to_owned()
    });
    println!("cargo::rerun-if-changed={object}");
    if Path::new(&object).is_file() {
        println!("cargo::rustc-env=RAVELIN_XDP_OBJECT={object}");
    } else {
        println!("cargo::error=the XDP object isn't built yet: run `cargo xtask build-ebpf` first");
    }
}
