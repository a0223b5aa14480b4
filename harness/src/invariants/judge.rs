//! From findings to verdicts: which failure is a root cause and which a consequence.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use super::cause::{Cause, Relation};
use super::check::{Failure, Finding, Shortfall};
use super::verdict::{Outcome, Root, Subject, Verdict};
use super::{Invariant, invariants, reading};
use crate::observation::Observation;
use crate::topology::Topology;

/// Judges an observation of a topology: a verdict for every invariant and each of its subjects, in the order of the
/// procedure.
///
/// A finding that fails is blocked when one of its invariant's [causes](Invariant::causes) fails for a related subject
/// (see [`Relation`]); the roots that it names are followed through causes that are blocked themselves. A finding that
/// could not be seen is blocked by what could not be read, and, since what failed earlier may be why there was nothing to
/// see, also by any failure of its causes, however far, that shares a cluster with it. If nothing explains it, it fails:
/// what was not seen never passes.
pub fn judge(topology: &Topology, observation: &Observation) -> Vec<Verdict> {
    judge_with(invariants(), topology, observation)
}

pub(super) fn judge_with(
    invariants: &[&'static Invariant],
    topology: &Topology,
    observation: &Observation,
) -> Vec<Verdict> {
    let mut judgement = Judgement {
        by_id: invariants.iter().map(|invariant| (invariant.id, *invariant)).collect(),
        short: BTreeMap::new(),
        roots: BTreeMap::new(),
    };
    let findings: Vec<(&'static Invariant, Vec<Finding>)> =
        invariants.iter().map(|invariant| (*invariant, (invariant.check)(topology, observation))).collect();
    for (invariant, findings) in &findings {
        for finding in findings {
            match &finding.judged {
                Err(Shortfall::Fail(_)) => judgement.note(invariant.id, finding.subject, false),
                Err(Shortfall::Unseen { .. }) => judgement.note(invariant.id, finding.subject, true),
                Ok(()) | Err(Shortfall::NotApplicable { .. }) => {}
            }
        }
    }
    findings
        .into_iter()
        .flat_map(|(invariant, findings)| findings.into_iter().map(move |finding| (invariant, finding)))
        .map(|(invariant, finding)| judgement.verdict(invariant, finding))
        .collect()
}

struct Judgement {
    by_id: BTreeMap<&'static str, &'static Invariant>,
    /// What falls short, by invariant and subject, and whether it was only not seen.
    short: BTreeMap<&'static str, BTreeMap<Subject, bool>>,
    /// Roots found already.
    roots: BTreeMap<(&'static str, Subject), Vec<Root>>,
}

impl Judgement {
    fn note(&mut self, invariant: &'static str, subject: Subject, unseen: bool) {
        self.short.entry(invariant).or_default().insert(subject, unseen);
    }

    fn verdict(&mut self, invariant: &'static Invariant, finding: Finding) -> Verdict {
        let Finding { subject, judged } = finding;
        let outcome = match judged {
            Ok(()) => Outcome::Pass,
            Err(Shortfall::NotApplicable { reason }) => Outcome::NotApplicable { reason },
            Err(Shortfall::Fail(failure)) => self.outcome(invariant, subject, failure),
            Err(Shortfall::Unseen { what }) => self.outcome(invariant, subject, not_seen(what)),
        };
        Verdict {
            invariant: Cow::Borrowed(invariant.id),
            title: Cow::Borrowed(invariant.title),
            level: invariant.level,
            clauses: invariant.clauses.to_vec(),
            subject,
            outcome,
        }
    }

    fn outcome(&mut self, invariant: &'static Invariant, subject: Subject, failure: Failure) -> Outcome {
        let by: Vec<Root> = self
            .roots_of(invariant, subject, &mut BTreeSet::new())
            .into_iter()
            .filter(|root| root.invariant != invariant.id || root.subject != subject)
            .collect();
        let Failure { evidence, explanation, remedy } = failure;
        if by.is_empty() { Outcome::Fail { evidence, explanation, remedy } } else { Outcome::Blocked { by, evidence } }
    }

    /// What has to be mended before this can hold: itself, when nothing else explains it.
    fn roots_of(
        &mut self,
        invariant: &'static Invariant,
        subject: Subject,
        under_way: &mut BTreeSet<(&'static str, Subject)>,
    ) -> Vec<Root> {
        let key = (invariant.id, subject);
        if let Some(known) = self.roots.get(&key) {
            return known.clone();
        }
        // A cycle of causes would be a mistake in the tables, which a test rules out; it must not be endless all the same.
        if !under_way.insert(key) {
            return Vec::new();
        }
        let mut roots = Vec::new();
        for (cause, at) in self.failing_causes(invariant, subject) {
            for root in self.roots_of(cause, at, under_way) {
                if !roots.contains(&root) {
                    roots.push(root);
                }
            }
        }
        under_way.remove(&key);
        if roots.is_empty() {
            roots.push(Root { invariant: Cow::Borrowed(invariant.id), subject });
        }
        self.roots.insert(key, roots.clone());
        roots
    }

    fn failing_causes(&self, invariant: &'static Invariant, subject: Subject) -> Vec<(&'static Invariant, Subject)> {
        let unseen = self.short.get(invariant.id).and_then(|short| short.get(&subject)).copied().unwrap_or(false);
        let mut causes = Vec::new();
        if unseen && invariant.id != reading::COMPLETE {
            causes.extend(self.failing(&Cause { invariant: reading::COMPLETE, relation: Relation::Around }, subject));
        }
        for cause in invariant.causes {
            causes.extend(self.failing(cause, subject));
        }
        if unseen {
            for ancestor in self.ancestors(invariant) {
                let touching = Cause { invariant: ancestor, relation: Relation::Touching };
                causes.extend(self.failing(&touching, subject));
            }
        }
        causes
    }

    fn failing(&self, cause: &Cause, effect: Subject) -> Vec<(&'static Invariant, Subject)> {
        let (Some(invariant), Some(short)) = (self.by_id.get(cause.invariant), self.short.get(cause.invariant)) else {
            return Vec::new();
        };
        short
            .keys()
            .filter(|subject| cause.relation.holds(**subject, effect))
            .map(|subject| (*invariant, *subject))
            .collect()
    }

    /// Every cause, direct or not.
    fn ancestors(&self, invariant: &'static Invariant) -> BTreeSet<&'static str> {
        let mut found = BTreeSet::new();
        let mut next: Vec<&'static str> = invariant.causes.iter().map(|cause| cause.invariant).collect();
        while let Some(id) = next.pop() {
            if found.insert(id) {
                next.extend(self.by_id.get(id).into_iter().flat_map(|it| it.causes).map(|cause| cause.invariant));
            }
        }
        found
    }
}

fn not_seen(what: String) -> Failure {
    Failure {
        evidence: vec![format!("not in the observation: {what}")],
        explanation: "What was not seen cannot be said to hold.".to_owned(),
        remedy: "Observe again; when it is missing again, it does not exist and has to be made.".to_owned(),
    }
}
