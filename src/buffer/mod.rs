//! The buffer: one sequence of entries with one cursor per sink.

/// The buffer, as decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BufferPlan {
    /// Most bytes of entries kept at once; when they are used up, sources are not read.
    pub bytes_max: u64,
}
