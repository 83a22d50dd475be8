//! Where files land.
