//! A cluster as a whole.

mod tasks;

pub use tasks::Tasks;
