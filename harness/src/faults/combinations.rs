//! Two faults at once, drawn at random.

use rand::SeedableRng as _;
use rand::seq::SliceRandom as _;

use super::Fault;

/// Whether two faults can be made at once: both let the run go on to its verdicts, they do not meddle with the same task
/// nor with one that the other counts on, and at most one of them wants another topology.
pub fn are_compatible(a: &Fault, b: &Fault) -> bool {
    a.id != b.id
        && a.lab == b.lab
        && a.runs_through()
        && b.runs_through()
        && a.touches.is_disjoint(&b.touches)
        && a.touches.is_disjoint(&b.counts_on)
        && a.counts_on.is_disjoint(&b.touches)
        && (a.topology.is_none() || b.topology.is_none())
}

/// Some combinations of two; the same seed draws the same ones.
pub fn draw(catalogue: &[Fault], seed: u64, count: usize) -> Vec<Fault> {
    let mut pairs: Vec<(usize, usize)> = (0..catalogue.len())
        .flat_map(|a| (a + 1..catalogue.len()).map(move |b| (a, b)))
        .filter(|(a, b)| are_compatible(&catalogue[*a], &catalogue[*b]))
        .collect();
    let mut chance = rand::rngs::StdRng::seed_from_u64(seed);
    let (drawn, _) = pairs.partial_shuffle(&mut chance, count);
    drawn.iter().map(|(a, b)| combine(&catalogue[*a], &catalogue[*b])).collect()
}

/// Both faults in one run. They have to be compatible.
pub fn combine(a: &Fault, b: &Fault) -> Fault {
    let mut both = a.clone();
    both.id = format!("{}+{}", a.id, b.id);
    both.title = format!("{}; and {}", a.title, b.title);
    both.of = vec![a.id.clone(), b.id.clone()];
    both.caught_by.extend(&b.caught_by);
    both.diagnosed = a.diagnosed.clone().and(b.diagnosed.clone());
    both.beside.extend(&b.beside);
    both.leaves.extend(&b.leaves);
    both.touches.extend(b.touches.iter().cloned());
    both.counts_on.extend(b.counts_on.iter().cloned());
    both.topology = a.topology.clone().or_else(|| b.topology.clone());
    both.tasks.extend(b.tasks.iter().cloned());
    both
}
