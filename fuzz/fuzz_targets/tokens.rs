//! libFuzzer's way into `checks/tokens.rs`, which says what must hold.

#![no_main]

#[path = "../checks/tokens.rs"]
mod tokens;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| tokens::check(input));
