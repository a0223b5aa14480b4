//! `acrossk8s lint`.

use std::collections::BTreeSet;

use owo_colors::OwoColorize as _;
use serde_json::Value;

use super::args::LintArgs;
use super::{CommandError, topology};
use crate::exit::ExitCode;
use crate::lint::{Input, lint as judge};
use crate::topology::{Cluster, Topology};

/// The domain that the document has every cluster keep.
const DOMAIN: &str = "cluster.local";

/// Judges the manifests together and shows what is wrong with them.
pub fn lint(args: &LintArgs) -> Result<ExitCode, CommandError> {
    let topology = topology(&args.scenario)?;
    let inputs = args.manifests.iter().map(|it| input(&topology, it)).collect::<Result<Vec<_>, _>>()?;
    let mut seen = BTreeSet::new();
    if let Some(twice) = inputs.iter().find(|it| !seen.insert(&it.cluster)) {
        return Err(CommandError::usage(format!(
            "cluster {} is named twice\n  to mend it: give one manifest for each cluster",
            twice.cluster
        )));
    }
    let findings = judge(&inputs);
    for finding in &findings {
        let (problem, at) = (&finding.problem, finding.cluster.as_deref().unwrap_or("all clusters"));
        anstream::println!("{} {at}: {problem} ({})", "✗".red().bold(), problem.clause());
        anstream::println!("    {}", problem.consequence());
        anstream::println!("    to mend it: {}", problem.remedy());
    }
    let count = inputs.len();
    if findings.is_empty() {
        anstream::println!("{} {count} TidbClusters, nothing wrong with them", "✓".green());
        return Ok(ExitCode::Passed);
    }
    anstream::println!("wrong in {count} TidbClusters: {}", findings.len());
    Ok(ExitCode::Failed)
}

/// The manifest that an argument names, with what its cluster expects of it.
fn input(topology: &Topology, argument: &str) -> Result<Input, CommandError> {
    let Some((name, path)) = argument.split_once('=') else {
        return Err(CommandError::usage(format!(
            "{argument} is not CLUSTER=FILE\n  to mend it: for example tidb-1=tidb-cluster-1.yaml"
        )));
    };
    let names = || topology.clusters.iter().map(|it| it.name.as_str()).collect::<Vec<_>>().join(", ");
    let Some(Cluster { namespace, .. }) = topology.clusters.iter().find(|it| it.name == name) else {
        return Err(CommandError::usage(format!(
            "scenario {} has no cluster {name}\n  to mend it: its clusters are {}",
            topology.name,
            names()
        )));
    };
    let text = std::fs::read_to_string(path)
        .map_err(|error| CommandError::usage(format!("{path} cannot be read: {error}")))?;
    let documents: Vec<Value> = serde_saphyr::from_multiple(&text)
        .map_err(|error| CommandError::usage(format!("{path} is not YAML: {error}")))?;
    // Whatever else is applied with it: the one that is a TidbCluster, or the only one.
    let named: Vec<&Value> = documents.iter().filter(|it| it["kind"] == "TidbCluster").collect();
    let manifest = match (named.as_slice(), documents.as_slice()) {
        ([one], _) => (*one).clone(),
        ([], [one]) => one.clone(),
        (found, _) => {
            return Err(CommandError::usage(format!(
                "{path} has {} TidbClusters\n  to mend it: give one file for each cluster, with one in it",
                found.len()
            )));
        }
    };
    Ok(Input { cluster: name.to_owned(), namespace: namespace.clone(), domain: DOMAIN.to_owned(), manifest })
}
