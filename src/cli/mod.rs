//! The command line: what was typed, and what each command does with it.

pub mod args;
pub mod check;
