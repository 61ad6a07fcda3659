//! Sources: what takes lines in. A source knows nothing of formats or sinks.

pub mod tcp;
