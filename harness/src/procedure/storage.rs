//! A default StorageClass, which TiDB's volumes need (C1.6).

use super::clusters::cluster_of;
use super::manifest;
use super::omission::Omission;
use super::steps::{Each, Phase, Step};
use crate::engine::Done;

const MANIFEST: &str = "storage-class.yaml";

/// `kubectl apply -f storage-class.yaml`.
pub static CREATE_CLASS: Step = Step {
    id: "create-storage-class",
    title: "Create the default StorageClass",
    heading: "Step 1. Start the Kubernetes cluster",
    clauses: &["C1.6"],
    phase: Phase::Provision,
    each: Each::Cluster,
    needs: |_, scope| vec![("get-context", scope)],
    commands: |_, scope| vec![format!("kubectl --context ${{context_{scope}}} apply -f {MANIFEST}")],
    calls: &["kubernetes:apply storageclasses"],
    gap: Some(
        "it is on the page about deploying to EKS: EKS marks no class as default, and the TidbClusters name none",
    ),
    omission: Omission::no_probe_fails().caught_by(&["default-storage-class"]),
    run: |context, scope| {
        Box::pin(async move {
            let index = cluster_of(scope)?;
            let made = manifest::apply_all(&context, index, None, manifest::STORAGE_CLASS).await?;
            Ok(if made { Done::changed() } else { Done::unchanged() })
        })
    },
};
