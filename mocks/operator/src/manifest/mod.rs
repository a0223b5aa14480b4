//! What is installed: the definitions of the release, and the objects of the chart.

mod chart;
mod definitions;

pub use chart::{ChartValues, chart};
pub use definitions::{definitions, tidb_cluster_schema};
