//! What becomes of the paths of one `/send`.
