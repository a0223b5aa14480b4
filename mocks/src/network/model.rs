//! The in-process model.
