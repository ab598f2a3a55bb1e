//! Lines of the format `plain`: no panic, slices of the line only, the same whatever came before.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ravelin::config::Format;
use ravelin_fuzz::{decode, lines, plant};

fuzz_target!(
    init: plant(lines(Some(Format::Plain))),
    |bytes: &[u8]| decode(Format::Plain, bytes)
);
