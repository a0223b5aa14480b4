//! The versions of Kubernetes, and of the add-ons for each.
//!
//! Source: eksctl's default add-on assets and the EKS user guide, "Kubernetes versions", as of late 2026. The builds are
//! examples: nothing here depends on them.

/// A version of Kubernetes with its default add-ons.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KubernetesVersion {
    /// For example `1.34`.
    pub version: &'static str,
    /// In standard support; otherwise in extended support.
    pub standard: bool,
    /// Version of CoreDNS that comes with it.
    pub coredns: &'static str,
}

/// The version that a cluster gets when none is asked for: eksctl's default.
pub const DEFAULT: &str = "1.34";

/// All versions, oldest first.
pub const VERSIONS: &[KubernetesVersion] = &[
    KubernetesVersion { version: "1.30", standard: false, coredns: "v1.11.4-eksbuild.2" },
    KubernetesVersion { version: "1.31", standard: false, coredns: "v1.11.4-eksbuild.2" },
    KubernetesVersion { version: "1.32", standard: false, coredns: "v1.11.4-eksbuild.2" },
    KubernetesVersion { version: "1.33", standard: true, coredns: "v1.12.1-eksbuild.2" },
    KubernetesVersion { version: "1.34", standard: true, coredns: "v1.13.2-eksbuild.1" },
    KubernetesVersion { version: "1.35", standard: true, coredns: "v1.13.2-eksbuild.1" },
    KubernetesVersion { version: "1.36", standard: true, coredns: "v1.14.3-eksbuild.1" },
];

/// The add-ons that are known, and whether they need a role of their own.
const ADDONS: &[&str] =
    &["aws-ebs-csi-driver", "coredns", "eks-pod-identity-agent", "kube-proxy", "metrics-server", "vpc-cni"];

/// A version of Kubernetes.
pub fn kubernetes(version: &str) -> Option<&'static KubernetesVersion> {
    VERSIONS.iter().find(|known| known.version == version)
}

/// Names of the add-ons that are known.
pub fn addons() -> impl Iterator<Item = &'static str> {
    ADDONS.iter().copied()
}

/// The default version of an add-on for a version of Kubernetes. None for an add-on or a version that is not known.
pub fn addon(name: &str, kubernetes_version: &str) -> Option<String> {
    let kubernetes = kubernetes(kubernetes_version)?;
    Some(match name {
        "coredns" => kubernetes.coredns.to_owned(),
        "kube-proxy" => format!("v{}.0-eksbuild.2", kubernetes.version),
        "vpc-cni" => "v1.23.1-eksbuild.1".to_owned(),
        "metrics-server" => "v0.8.0-eksbuild.2".to_owned(),
        "aws-ebs-csi-driver" => "v1.50.1-eksbuild.1".to_owned(),
        "eks-pod-identity-agent" => "v1.3.8-eksbuild.2".to_owned(),
        _ => return None,
    })
}
