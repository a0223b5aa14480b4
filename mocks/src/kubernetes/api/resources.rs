//! The resource types that a server has: the built-in ones, and those that CustomResourceDefinitions add.

use std::borrow::Cow;
use std::sync::Arc;

use k8s_openapi::api::{apps, batch, coordination, core, discovery, networking, policy, rbac, storage};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions;
use k8s_openapi::{ListableResource, Resource};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// A string of a resource type: static for the built-in ones.
pub(super) type Text = Cow<'static, str>;

/// Decodes an object as the Go type would and writes it back: unknown fields go, wrong types are an error.
type Decode = fn(Value) -> Result<Value, serde_json::Error>;

/// What the server knows about one resource type.
#[derive(Debug, Clone)]
pub(super) struct ResourceType {
    pub(super) group: Text,
    /// Version that objects are stored in.
    pub(super) version: Text,
    /// Versions that are served, preferred first.
    pub(super) served: Vec<Version>,
    pub(super) plural: Text,
    pub(super) singular: Text,
    pub(super) kind: Text,
    pub(super) list_kind: Text,
    pub(super) namespaced: bool,
    pub(super) short_names: Vec<Text>,
    pub(super) categories: Vec<Text>,
    /// Whether `metadata.generation` counts the changes of the spec.
    pub(super) generation: bool,
    /// How names are checked.
    pub(super) names: NameFormat,
    /// Further subresources, for discovery: path and kind.
    pub(super) subresources: &'static [(&'static str, &'static str)],
    pub(super) decode: Option<Decode>,
}

/// A served version.
#[derive(Debug, Clone)]
pub(super) struct Version {
    pub(super) name: Text,
    pub(super) status: bool,
    /// JSON paths of a CustomResourceDefinition's scale subresource, or the usual ones.
    pub(super) scale: Option<ScalePaths>,
    /// Structural schema of a custom resource.
    pub(super) schema: Option<Arc<Value>>,
}

/// Pointers to what the scale subresource shows.
#[derive(Debug, Clone)]
pub(super) struct ScalePaths {
    pub(super) spec_replicas: Text,
    pub(super) status_replicas: Text,
    pub(super) selector: Option<Text>,
}

/// Formats of names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NameFormat {
    /// RFC 1123 subdomain.
    Subdomain,
    /// RFC 1123 label.
    Label,
    /// RFC 1035 label.
    Label1035,
    /// Any path segment (RBAC).
    PathSegment,
}

impl ResourceType {
    /// `plural.group`, or `plural` in the core group: the key of the type, and its name in messages.
    pub(super) fn qualified(&self) -> String {
        qualified(&self.group, &self.plural)
    }

    /// `apiVersion` of objects in a version.
    pub(super) fn api_version(&self, version: &str) -> String {
        if self.group.is_empty() { version.to_owned() } else { format!("{}/{version}", self.group) }
    }

    pub(super) fn version(&self, name: &str) -> Option<&Version> {
        self.served.iter().find(|version| version.name == name)
    }

    /// Whether it is one of the types that the server is built with.
    pub(super) fn is_builtin(&self) -> bool {
        self.decode.is_some()
    }

    /// Whether the built-in type is this one.
    pub(super) fn is(&self, group: &str, kind: &str) -> bool {
        self.group == group && self.kind == kind
    }
}

/// Key of a resource type: `plural.group`, or `plural` in the core group.
pub(super) fn qualified(group: &str, plural: &str) -> String {
    if group.is_empty() { plural.to_owned() } else { format!("{plural}.{group}") }
}

fn decode<K: Resource + Serialize + DeserializeOwned>(value: Value) -> Result<Value, serde_json::Error> {
    serde_json::to_value(serde_json::from_value::<K>(value)?)
}

fn builtin<K: ListableResource + Serialize + DeserializeOwned>(singular: &'static str) -> ResourceType {
    ResourceType {
        group: K::GROUP.into(),
        version: K::VERSION.into(),
        served: vec![Version { name: K::VERSION.into(), status: false, scale: None, schema: None }],
        plural: K::URL_PATH_SEGMENT.into(),
        singular: singular.into(),
        kind: K::KIND.into(),
        list_kind: K::LIST_KIND.into(),
        namespaced: true,
        short_names: Vec::new(),
        categories: Vec::new(),
        generation: false,
        names: NameFormat::Subdomain,
        subresources: &[],
        decode: Some(decode::<K>),
    }
}

impl ResourceType {
    fn cluster(mut self) -> Self {
        self.namespaced = false;
        self
    }

    fn short(mut self, names: &'static [&'static str]) -> Self {
        self.short_names = names.iter().map(|name| Cow::Borrowed(*name)).collect();
        self
    }

    /// In `kubectl get all`.
    fn all(mut self) -> Self {
        self.categories.push("all".into());
        self
    }

    fn status(mut self) -> Self {
        self.served.iter_mut().for_each(|version| version.status = true);
        self
    }

    fn generation(mut self) -> Self {
        self.generation = true;
        self
    }

    fn scale(mut self) -> Self {
        self.served.iter_mut().for_each(|version| {
            version.scale = Some(ScalePaths {
                spec_replicas: "/spec/replicas".into(),
                status_replicas: "/status/replicas".into(),
                selector: None,
            });
        });
        self
    }

    fn names(mut self, format: NameFormat) -> Self {
        self.names = format;
        self
    }

    fn subresources(mut self, subresources: &'static [(&'static str, &'static str)]) -> Self {
        self.subresources = subresources;
        self
    }
}

const POD_SUBRESOURCES: &[(&str, &str)] = &[
    ("binding", "Binding"),
    ("eviction", "Eviction"),
    ("exec", "PodExecOptions"),
    ("log", "Pod"),
    ("portforward", "PodPortForwardOptions"),
];

/// The built-in types, in the order of discovery.
pub(super) fn builtins() -> Vec<ResourceType> {
    use NameFormat::{Label, Label1035, PathSegment};
    vec![
        builtin::<core::v1::Namespace>("namespace")
            .cluster()
            .short(&["ns"])
            .status()
            .names(Label)
            .subresources(&[("finalize", "Namespace")]),
        builtin::<core::v1::Node>("node").cluster().short(&["no"]).status(),
        builtin::<core::v1::Pod>("pod").short(&["po"]).all().status().generation().subresources(POD_SUBRESOURCES),
        builtin::<core::v1::Service>("service").short(&["svc"]).all().status().names(Label1035),
        builtin::<core::v1::Endpoints>("endpoints").short(&["ep"]),
        builtin::<core::v1::ConfigMap>("configmap").short(&["cm"]),
        builtin::<core::v1::Secret>("secret"),
        builtin::<core::v1::ServiceAccount>("serviceaccount").short(&["sa"]),
        builtin::<core::v1::Event>("event").short(&["ev"]),
        builtin::<core::v1::PersistentVolume>("persistentvolume").cluster().short(&["pv"]).status(),
        builtin::<core::v1::PersistentVolumeClaim>("persistentvolumeclaim").short(&["pvc"]).status(),
        builtin::<apps::v1::Deployment>("deployment").short(&["deploy"]).all().status().scale().generation(),
        builtin::<apps::v1::ReplicaSet>("replicaset").short(&["rs"]).all().status().scale().generation(),
        builtin::<apps::v1::StatefulSet>("statefulset").short(&["sts"]).all().status().scale().generation(),
        builtin::<apps::v1::DaemonSet>("daemonset").short(&["ds"]).all().status().generation(),
        builtin::<apps::v1::ControllerRevision>("controllerrevision"),
        builtin::<batch::v1::Job>("job").all().status().generation(),
        builtin::<discovery::v1::EndpointSlice>("endpointslice").generation(),
        builtin::<coordination::v1::Lease>("lease"),
        builtin::<rbac::v1::Role>("role").names(PathSegment),
        builtin::<rbac::v1::RoleBinding>("rolebinding").names(PathSegment),
        builtin::<rbac::v1::ClusterRole>("clusterrole").cluster().names(PathSegment),
        builtin::<rbac::v1::ClusterRoleBinding>("clusterrolebinding").cluster().names(PathSegment),
        builtin::<storage::v1::StorageClass>("storageclass").cluster().short(&["sc"]),
        builtin::<networking::v1::NetworkPolicy>("networkpolicy").short(&["netpol"]).generation(),
        builtin::<policy::v1::PodDisruptionBudget>("poddisruptionbudget").short(&["pdb"]).status().generation(),
        builtin::<apiextensions::v1::CustomResourceDefinition>("customresourcedefinition")
            .cluster()
            .short(&["crd", "crds"])
            .status()
            .generation(),
    ]
}
