//! What a story asks of the machine beside sockets and files: programs of the system, and whether it may do without.

use std::env;
use std::process::Command;

/// Says why a test is skipped, and fails it where nothing may be.
#[track_caller]
pub(crate) fn skipped<T>(why: &str) -> Option<T> {
    assert!(env::var("CI").as_deref() != Ok("true"), "CI can do everything: {why}");
    println!("skipped: {why}");
    None
}

/// Runs a command and gives what it says, or why it failed.
pub(crate) fn run(program: &str, words: &[&str]) -> Result<String, String> {
    let told = |what: &str| format!("{program} {}: {what}", words.join(" "));
    let output = Command::new(program).args(words).output().map_err(|error| told(&error.to_string()))?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        Err(told(String::from_utf8_lossy(&output.stderr).trim()))
    }
}
