//! The number of an entry, which the buffer gives and the sinks' protocols count by.

/// Number of an entry: grows by one, never reused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Seq(pub u64);
