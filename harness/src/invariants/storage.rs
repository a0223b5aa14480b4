//! What TiDB's volumes need (C1.6).

use super::cause::Cause;
use super::check::{Finding, each_cluster, fail, none_wrong};
use super::view::View;
use super::{Invariant, kubernetes};
use crate::document::{ClauseId, Level};
use crate::observation::Observation;
use crate::topology::Topology;

pub(super) const INVARIANTS: &[Invariant] = &[
    Invariant {
        id: "ebs-csi-driver",
        title: "the EBS CSI driver runs on every node",
        level: Level::Should,
        clauses: &[ClauseId::new(1, 6)],
        causes: &[Cause::around(kubernetes::CONTEXT), Cause::around(kubernetes::NODES_READY)],
        check: driver,
    },
    Invariant {
        id: "default-storage-class",
        title: "there is a default StorageClass, and EBS provides for it",
        level: Level::Should,
        clauses: &[ClauseId::new(1, 6)],
        causes: &[Cause::around(kubernetes::CONTEXT)],
        check: default_class,
    },
];

/// Provisioners of the EBS CSI driver: its own, and the in-tree one whose volumes it has taken over.
///
/// Source: Kubernetes, "Volumes", awsElasticBlockStore CSI migration.
const PROVISIONERS: [&str; 2] = ["ebs.csi.aws.com", "kubernetes.io/aws-ebs"];

fn driver(topology: &Topology, observation: &Observation) -> Vec<Finding> {
    let view = View::new(topology, observation);
    each_cluster(topology, |index| {
        let explanation = "TiDB's volumes are EBS volumes: without the driver on a node no pod there gets one.";
        let create = format!(
            "aws eks create-addon --cluster-name {} --region {} --addon-name aws-ebs-csi-driver",
            view.name(index),
            view.region(index)
        );
        let Some(pods) = view.kubernetes(index)?.ebs_csi_nodes else {
            return Err(fail(
                [format!("{} has no DaemonSet kube-system/ebs-csi-node", view.name(index))],
                explanation,
                create,
            ));
        };
        let mut wrong = Vec::new();
        if pods.wanted == 0 || pods.ready < pods.wanted {
            wrong.push(format!(
                "{} of {} pods of ebs-csi-node of {} are ready",
                pods.ready,
                pods.wanted,
                view.name(index)
            ));
        }
        none_wrong(
            wrong,
            explanation,
            format!("kubectl --context {} -n kube-system describe daemonset ebs-csi-node", view.context(index)),
        )
    })
}

fn default_class(topology: &Topology, observation: &Observation) -> Vec<Finding> {
    let view = View::new(topology, observation);
    each_cluster(topology, |index| {
        let classes = &view.kubernetes(index)?.storage_classes;
        let defaults: Vec<_> = classes.iter().filter(|class| class.default).collect();
        let names = |names: Vec<&str>| if names.is_empty() { "none".to_owned() } else { names.join(", ") };
        let mut wrong = Vec::new();
        if defaults.is_empty() {
            let all = names(classes.iter().map(|class| class.name.as_str()).collect());
            wrong.push(format!("no StorageClass of {} is the default; there are: {all}", view.name(index)));
        }
        wrong.extend(
            defaults
                .iter()
                .filter(|class| !PROVISIONERS.contains(&class.provisioner.as_str()))
                .map(|class| format!("the default StorageClass {} is provided by {}", class.name, class.provisioner)),
        );
        none_wrong(
            wrong,
            "The sample TidbClusters name no class, so their volume claims wait for a default one for ever.",
            format!(
                "kubectl --context {} annotate storageclass gp3 storageclass.kubernetes.io/is-default-class=true",
                view.context(index)
            ),
        )
    })
}
