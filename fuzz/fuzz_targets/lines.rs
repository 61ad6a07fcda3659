//! libFuzzer's way into `checks/lines.rs`, which says what must hold.

#![no_main]

#[path = "../checks/lines.rs"]
mod lines;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| lines::check(input));
