//! What a crash leaves, and how it is taken up again.
