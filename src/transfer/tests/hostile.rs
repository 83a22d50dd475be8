//! What stands in the way of a file must not be followed, replaced or written to.
