//! Elbow.
fn main() {}
