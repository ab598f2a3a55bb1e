//! Lines of the format `suricata-fast`: no panic, slices of the line only, the same whatever came before.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ravelin::config::Format;
use ravelin_fuzz::{decode, lines, plant};

fuzz_target!(
    init: plant(lines(Some(Format::SuricataFast))),
    |bytes: &[u8]| decode(Format::SuricataFast, bytes)
);
