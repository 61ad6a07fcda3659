//! The command line: what was typed, and what each command does with it.

pub mod args;
pub mod buffer;
pub mod check;
pub mod letters;
pub mod parse;
pub mod run;
pub mod schema;
pub mod setup;
