//! Both programs end in the middle, and the same offer comes again.
