//! What the diagnosis of a fault's failed probes has to name: the true cause, and nothing else.

/// A cause, without ids, which differ from run to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Named {
    /// Its code.
    pub code: &'static str,
    /// Kind of the resource that it names first.
    pub kind: &'static str,
    /// Number of the cluster that the resource belongs to, as the document counts; `None` for what belongs to two.
    pub cluster: Option<usize>,
}

const fn at(code: &'static str, kind: &'static str, cluster: usize) -> Named {
    Named { code, kind, cluster: Some(cluster) }
}

const fn between(code: &'static str, kind: &'static str) -> Named {
    Named { code, kind, cluster: None }
}

/// The causes by the fault's id: of those faults whose cause the diagnosis is held to so far.
static CAUSES: &[(&str, &[Named])] = &[
    ("missing-route", &[at("NO_ROUTE_TO_DESTINATION", "route-table", 1)]),
    ("route-to-wrong-peering", &[at("PCX_REQUIRES_ADDRESS_IN_VPC_CIDR", "route-table", 1)]),
    ("peering-not-accepted", &[between("BAD_STATE_ROUTE", "vpc-peering-connection")]),
    ("overlapping-cidr-blocks", &[at("VPC_CIDR_OVERLAP", "vpc", 2)]),
    ("missing-security-group-rule", &[at("ENI_SG_RULES_MISMATCH", "security-group", 2)]),
    (
        "rules-on-unattached-group",
        &[
            at("ENI_SG_RULES_MISMATCH", "security-group", 1),
            at("ENI_SG_RULES_MISMATCH", "security-group", 2),
            at("ENI_SG_RULES_MISMATCH", "security-group", 3),
        ],
    ),
    ("nested-zone", &[at("COREFILE_ZONE_NESTED", "configmap", 1)]),
    ("missing-force-tcp", &[at("COREFILE_FORCE_TCP_MISSING", "configmap", 1)]),
    ("wrong-upstreams", &[at("COREFILE_UPSTREAMS_MISMATCH", "configmap", 1)]),
    ("same-namespace", &[at("NAMESPACE_NOT_UNIQUE", "namespace", 2)]),
];

/// Ids of the faults that have a row.
pub fn diagnosed() -> impl Iterator<Item = &'static str> {
    CAUSES.iter().map(|(id, _)| *id)
}

/// The causes that a fault's diagnosis has to name; `None` for a fault without a row.
pub fn causes_of(fault: &str) -> Option<&'static [Named]> {
    CAUSES.iter().find(|(id, _)| *id == fault).map(|(_, causes)| *causes)
}
