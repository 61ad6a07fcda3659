//! libFuzzer's way into `checks/redact.rs`, which says what must hold.

#![no_main]

#[path = "../checks/redact.rs"]
mod redact;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| redact::check(input));
