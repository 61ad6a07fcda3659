//! libFuzzer's way into `checks/json.rs`, which says what must hold.

#![no_main]

#[path = "../checks/json.rs"]
mod json;
#[path = "../../tests/support/tree.rs"]
mod tree;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| json::check(input));
