//! Lines of the format `suricata-eve`: as the others, and both its readers agree.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ravelin::config::Format;
use ravelin_fuzz::{decode, lines, plant};

fuzz_target!(
    init: plant(lines(Some(Format::SuricataEve))),
    |bytes: &[u8]| decode(Format::SuricataEve, bytes)
);
