//! The Corefile of each cluster as a whole, and its back-up (C2.12, C2.14, C2.15).

use std::collections::BTreeMap;

use acrossk8s_corefile::{Corefile, ZoneKey, check, forward_of, nested_zones};
use serde::Deserialize;

use super::cause::Cause;
use super::check::{Finding, Judged, each_cluster, fail, none_wrong, not_applicable, unseen};
use super::view::{Seen, View};
use super::{Invariant, clusters, kubernetes, namespaces};
use crate::document::{ClauseId, Level};
use crate::observation::Observation;
use crate::topology::{ClusterIndex, Topology};

pub(super) const BACKUP: &str = "corefile-backup";
pub(super) const TOP_LEVEL: &str = "corefile-zones-top-level";
pub(super) const ACCEPTED: &str = "corefile-accepted";
pub(super) const DEFAULT_BLOCK: &str = "corefile-default-block";
pub(super) const OWN_ZONE: &str = "corefile-own-zone";
pub(super) const RELOAD: &str = "corefile-reload";

pub(super) const INVARIANTS: &[Invariant] = &[
    Invariant {
        id: BACKUP,
        title: "the CoreDNS ConfigMap is backed up, and the back-up can be read",
        level: Level::Must,
        clauses: &[ClauseId::new(2, 12), ClauseId::beyond(2, 12)],
        causes: &[Cause::around(kubernetes::CONTEXT)],
        check: backup,
    },
    Invariant {
        id: "corefile-backup-before-edit",
        title: "the back-up was taken before the edit",
        level: Level::Should,
        clauses: &[ClauseId::beyond(2, 12)],
        causes: &[Cause::around(BACKUP)],
        check: backup_before_edit,
    },
    Invariant {
        id: TOP_LEVEL,
        title: "zones are server blocks of their own, not nested in another",
        level: Level::Should,
        clauses: &[ClauseId::beyond(2, 14)],
        causes: &[Cause::around(kubernetes::CONTEXT)],
        check: top_level,
    },
    Invariant {
        id: ACCEPTED,
        title: "CoreDNS accepts the Corefile",
        level: Level::Should,
        clauses: &[ClauseId::beyond(2, 14)],
        causes: &[
            Cause::around(kubernetes::CONTEXT),
            Cause::around(clusters::AUTO_MODE_OFF),
            Cause::everywhere(namespaces::DISTINCT),
            Cause::around(TOP_LEVEL),
        ],
        check: accepted,
    },
    Invariant {
        id: DEFAULT_BLOCK,
        title: "the default server block is the one of the back-up, byte for byte",
        level: Level::Must,
        clauses: &[ClauseId::new(2, 14)],
        causes: &[Cause::around(BACKUP), Cause::around(TOP_LEVEL), Cause::around(ACCEPTED)],
        check: default_block,
    },
    Invariant {
        id: OWN_ZONE,
        title: "the own namespace is not forwarded",
        level: Level::Should,
        clauses: &[ClauseId::beyond(2, 14)],
        causes: &[Cause::everywhere(namespaces::DISTINCT), Cause::around(ACCEPTED)],
        check: own_zone,
    },
    Invariant {
        id: "corefile-stray-zones",
        title: "no namespace is forwarded that is not another cluster's",
        level: Level::Should,
        clauses: &[ClauseId::beyond(2, 14)],
        causes: &[Cause::around(ACCEPTED)],
        check: stray_zones,
    },
    Invariant {
        id: RELOAD,
        title: "the reload plugin is on",
        level: Level::Should,
        clauses: &[ClauseId::beyond(2, 15)],
        causes: &[Cause::around(ACCEPTED)],
        check: reload,
    },
];

/// The text of a cluster's Corefile.
pub(super) fn text<'a>(view: View<'a>, index: ClusterIndex) -> Seen<&'a str> {
    let corefile = view.kubernetes(index)?.corefile.as_deref();
    corefile.ok_or_else(|| unseen(format!("the Corefile of {}", view.name(index))))
}

/// A cluster's Corefile; unseen when it cannot be read, which [`ACCEPTED`] tells of.
pub(super) fn parsed(view: View<'_>, index: ClusterIndex) -> Seen<Corefile> {
    let name = view.name(index);
    Corefile::parse(text(view, index)?).map_err(|error| unseen(format!("a readable Corefile of {name} ({error})")))
}

/// The command that edits a cluster's Corefile.
pub(super) fn edit(view: View<'_>, index: ClusterIndex) -> String {
    format!("kubectl --context {} -n kube-system edit configmap coredns", view.context(index))
}

/// The Corefile in a back-up of the ConfigMap.
fn backed_up(view: View<'_>, index: ClusterIndex) -> Seen<Result<String, String>> {
    #[derive(Deserialize)]
    struct ConfigMap {
        #[serde(default)]
        data: BTreeMap<String, String>,
    }
    let name = view.name(index);
    let backup = view.cluster(index)?.coredns_backup.as_deref();
    let backup = backup.ok_or_else(|| unseen(format!("the back-up of the CoreDNS ConfigMap of {name}")))?;
    Ok(match serde_saphyr::from_str::<ConfigMap>(backup) {
        Err(error) => Err(format!(
            "{name}-coredns.yaml.bk cannot be read: {}",
            error.to_string().lines().next().unwrap_or_default()
        )),
        Ok(mut config_map) => match config_map.data.remove("Corefile") {
            Some(corefile) if !corefile.trim().is_empty() => Ok(corefile),
            _ => Err(format!("{name}-coredns.yaml.bk holds no Corefile")),
        },
    })
}

/// The back-up's Corefile where [`BACKUP`] passes.
fn good_backup(view: View<'_>, index: ClusterIndex) -> Seen<String> {
    backed_up(view, index)?.map_err(unseen)
}

fn backup(topology: &Topology, observation: &Observation) -> Vec<Finding> {
    let view = View::new(topology, observation);
    each_cluster(topology, |index| {
        let wrong = match backed_up(view, index)? {
            Ok(corefile) => Corefile::parse(&corefile).err().map(|error| format!("in the back-up: {error}")),
            Err(wrong) => Some(wrong),
        };
        none_wrong(
            wrong.into_iter().collect(),
            "The back-up is the way back when an edit breaks the cluster's DNS.",
            format!(
                "Before the edit: kubectl --context {} -n kube-system get configmap coredns -o yaml > {}-coredns.yaml.bk",
                view.context(index),
                view.name(index)
            ),
        )
    })
}

/// The zones below svc.cluster.local that a Corefile forwards, with the line of each.
fn forwarded_namespaces(corefile: &Corefile) -> Vec<(String, usize)> {
    corefile
        .blocks
        .iter()
        .filter(|block| forward_of(block).is_some())
        .flat_map(|block| block.keys.iter().map(|key| (key.zone.clone(), block.line)))
        .filter(|(zone, _)| zone.ends_with(".svc.cluster.local"))
        .collect()
}

fn backup_before_edit(topology: &Topology, observation: &Observation) -> Vec<Finding> {
    let view = View::new(topology, observation);
    each_cluster(topology, |index| {
        let corefile = Corefile::parse(&good_backup(view, index)?);
        let corefile = corefile.map_err(|error| unseen(format!("a readable back-up ({error})")))?;
        let nested = nested_zones(&corefile).into_iter().map(|(key, line)| (key.zone, line));
        let zones = forwarded_namespaces(&corefile).into_iter().chain(nested);
        none_wrong(
            zones
                .map(|(zone, line)| format!("line {line} of the back-up's Corefile forwards {zone} already"))
                .collect(),
            "Who restores this back-up does not get the configuration from before the procedure.",
            format!(
                "Take the zones out of the Corefile in {}-coredns.yaml.bk by hand, or look for an older back-up.",
                view.name(index)
            ),
        )
    })
}

fn top_level(topology: &Topology, observation: &Observation) -> Vec<Finding> {
    let view = View::new(topology, observation);
    each_cluster(topology, |index| -> Judged {
        let elsewhere = || not_applicable(format!("there is no Corefile that can be read: see {ACCEPTED}"));
        let text = view.kubernetes(index)?.corefile.as_deref().ok_or_else(elsewhere)?;
        let corefile = Corefile::parse(text).map_err(|_| elsewhere())?;
        let nested = nested_zones(&corefile);
        none_wrong(
            nested.iter().map(|(key, line)| format!("line {line}: {key} stands inside another server block")).collect(),
            "CoreDNS takes a zone inside a server block for a plugin that it does not know. It refuses the whole Corefile \
             and goes on with the old one, and does not start any more when its pod is restarted.",
            format!("{}, and move the zone behind the closing brace of the default block", edit(view, index)),
        )
    })
}

fn accepted(topology: &Topology, observation: &Observation) -> Vec<Finding> {
    let view = View::new(topology, observation);
    each_cluster(topology, |index| {
        let text = text(view, index)?;
        let Err(error) = Corefile::parse(text).and_then(|corefile| check(&corefile)) else { return Ok(()) };
        Err(fail(
            [error.to_string()],
            "CoreDNS refuses this Corefile and goes on with the old one, and does not start any more when its pod is \
             restarted.",
            format!(
                "{}, or restore the back-up: kubectl --context {} apply -f {}-coredns.yaml.bk",
                edit(view, index),
                view.context(index),
                view.name(index)
            ),
        ))
    })
}

fn default_block(topology: &Topology, observation: &Observation) -> Vec<Finding> {
    let view = View::new(topology, observation);
    each_cluster(topology, |index| {
        let backup = good_backup(view, index)?;
        let before = Corefile::parse(&backup).map_err(|error| unseen(format!("a readable back-up ({error})")))?;
        let now_text = text(view, index)?;
        let now = parsed(view, index)?;
        let (before, now) = (before.block_of("."), now.block_of("."));
        let wrong = match (before.map(|block| block.text(&backup)), now.map(|block| block.text(now_text))) {
            (Some(before), Some(now)) if before == now => None,
            (Some(before), Some(now)) => Some(first_difference(before, now)),
            (None, None) => Some("neither the back-up nor the Corefile has a default server block".to_owned()),
            (None, Some(_)) => Some("the back-up has no default server block".to_owned()),
            (Some(_), None) => Some("the default server block is gone".to_owned()),
        };
        none_wrong(
            wrong.into_iter().collect(),
            "The default block serves the cluster's own names; the document says not to modify it.",
            format!("{}, and copy the default block from {}-coredns.yaml.bk", edit(view, index), view.name(index)),
        )
    })
}

fn first_difference(before: &str, now: &str) -> String {
    let (mut before, mut now) = (before.lines(), now.lines());
    for line in 1.. {
        match (before.next(), now.next()) {
            (Some(a), Some(b)) if a == b => {}
            (None, None) => break,
            (a, b) => {
                let show =
                    |line: Option<&str>| line.map_or("no more lines".to_owned(), |line| format!("\"{}\"", line.trim()));
                return format!("line {line} of the default block is {} and was {}", show(b), show(a));
            }
        }
    }
    "the default block differs in its line ends".to_owned()
}

fn own_zone(topology: &Topology, observation: &Observation) -> Vec<Finding> {
    let view = View::new(topology, observation);
    each_cluster(topology, |index| {
        let own = view.zone(index);
        let corefile = parsed(view, index)?;
        let forwarded = forwarded_namespaces(&corefile).into_iter().filter(|(zone, _)| *zone == own);
        none_wrong(
            forwarded
                .map(|(zone, line)| format!("line {line} forwards {zone}, the own namespace of {}", view.name(index)))
                .collect(),
            "The cluster's own names in that namespace are asked of another cluster, which does not know them or sends the \
             question back.",
            format!("{}, and delete that server block", edit(view, index)),
        )
    })
}

fn stray_zones(topology: &Topology, observation: &Observation) -> Vec<Finding> {
    let view = View::new(topology, observation);
    each_cluster(topology, |index| {
        let known: Vec<String> = topology.indices().map(|it| view.zone(it)).collect();
        let corefile = parsed(view, index)?;
        let stray = forwarded_namespaces(&corefile).into_iter().filter(|(zone, _)| !known.contains(zone));
        none_wrong(
            stray.map(|(zone, line)| format!("line {line} forwards {zone}, the namespace of no cluster")).collect(),
            "A zone of a cluster that is no more, or with a typing error: names in a local namespace of that name are lost.",
            format!("{}, and delete or correct that server block", edit(view, index)),
        )
    })
}

fn reload(topology: &Topology, observation: &Observation) -> Vec<Finding> {
    let view = View::new(topology, observation);
    each_cluster(topology, |index| {
        let corefile = parsed(view, index)?;
        // One reload plugin, in whichever block, watches the whole file.
        let on = corefile.blocks.iter().any(|block| block.directive("reload").is_some());
        none_wrong(
            (!on).then(|| "no server block has the reload plugin".to_owned()).into_iter().collect(),
            "Without it CoreDNS never reads the edited Corefile until its pods are restarted.",
            format!("kubectl --context {} -n kube-system rollout restart deployment coredns", view.context(index)),
        )
    })
}

/// The key of a cluster's zone, as the document writes it.
pub(super) fn zone_key(view: View<'_>, index: ClusterIndex) -> ZoneKey {
    ZoneKey::new(&view.zone(index))
}
