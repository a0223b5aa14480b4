//! The scenario files, beside this crate's `Cargo.toml`; the conformance tests over them are in `tests`.
