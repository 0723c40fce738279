//! What stands in for the world in tests: a disk that fails on demand. Built with the cargo feature `testing` alone.

pub mod fs;
