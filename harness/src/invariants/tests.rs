//! The tables of invariants.
