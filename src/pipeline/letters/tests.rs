//! Letters parsed again.
