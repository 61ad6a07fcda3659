//! libFuzzer's way into `checks/proxy.rs`, which says what must hold.

#![no_main]

#[path = "../checks/proxy.rs"]
mod proxy;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| proxy::check(input));
