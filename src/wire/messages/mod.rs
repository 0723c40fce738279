//! The messages, one file per family.

pub mod api_versions;

pub use api_versions::*;
