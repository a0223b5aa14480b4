//! temp
/// x
pub fn judge(_: &crate::topology::Topology, _: &crate::observation::Observation) -> Vec<crate::events::Verdict> {
    Vec::new()
}
/// x
pub fn unchecked_clauses() -> Vec<(String, String)> {
    Vec::new()
}
