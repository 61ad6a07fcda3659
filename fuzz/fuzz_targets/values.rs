//! libFuzzer's way into `checks/values.rs`, which says what must hold.

#![no_main]

#[path = "../checks/values.rs"]
mod values;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| values::check(input));
