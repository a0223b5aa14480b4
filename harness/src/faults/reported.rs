//! What people have reported to go wrong with the procedure and with what it is made of, and the faults that show it.

/// Something that was reported to go wrong.
#[derive(Debug, Clone, Copy)]
pub struct Reported {
    /// What is seen.
    pub symptom: &'static str,
    /// What it comes from.
    pub cause: &'static str,
    /// Where it was reported: a repository and numbers of issues or pull requests; else what it follows from.
    pub source: &'static str,
    /// Whether the catalogue shows it.
    pub shown: Shown,
}

/// Whether the catalogue shows something.
#[derive(Debug, Clone, Copy)]
pub enum Shown {
    /// Ids of the faults that do, where the topology allows it.
    By(&'static [&'static str]),
    /// It does not, and why.
    Not(&'static str),
}

const NEEDS_TIDB: Shown = Shown::Not("TiDB and its operator are not there yet");

/// What was reported.
pub const REPORTED: &[Reported] = &[
    Reported {
        symptom: "peering and telnet work, names do not resolve",
        cause: "the zones were pasted inside the default server block",
        source: "pingcap/docs-tidb-operator #2171",
        shown: Shown::By(&["nested-zone"]),
    },
    Reported {
        symptom: "it works, and breaks after an update of the add-on",
        cause: "the EKS add-on coredns puts its own Corefile back",
        source: "aws/containers-roadmap #1159 #1275 #1597 #2669, eksctl-io/eksctl #1098",
        shown: Shown::By(&["corefile-reverted"]),
    },
    Reported {
        symptom: "the rule is there, and packets are dropped",
        cause: "nodes of managed node groups do not carry the group that the document opens",
        source: "eksctl-io/eksctl #1581 #1585 #1605",
        shown: Shown::By(&["rules-on-unattached-group", "rule-on-the-control-plane"]),
    },
    Reported {
        symptom: "the load balancer is not found by its name, or has other addresses",
        cause: "the AWS Load Balancer Controller or EKS Auto Mode takes the Service",
        source: "kubernetes-sigs/aws-load-balancer-controller #3203 #3340 #3583, aws/eks-charts #933",
        shown: Shown::By(&["host-name-of-another-controller"]),
    },
    Reported {
        symptom: "some pods reach the peer, some do not",
        cause: "the VPC CNI translates source addresses",
        source: "aws/amazon-vpc-cni-k8s #44 #469 #474 #495 #777 #1392",
        shown: Shown::Not(
            "what a pod's packets leave with is judged, and no setting that reaches running pods contradicts it",
        ),
    },
    Reported {
        symptom: "PD does not join over TLS; start scripts wait for names, addresses and discovery; upgrades hang",
        cause: "the cluster domain, certificates, start scripts and reconciliation of TidbClusters",
        source: "etcd-io/etcd #8268 #9276, pingcap/tidb-operator #1685 #3948 #4246 #4338 #4379 #4721 #5375 #5381 #5400",
        shown: NEEDS_TIDB,
    },
    Reported {
        symptom: "two PD clusters, and both are ready",
        cause: "the only PD of the first TidbCluster lost its data and bootstraps anew",
        source: "pingcap/tidb-operator, pkg/discovery",
        shown: NEEDS_TIDB,
    },
    Reported {
        symptom: "volumes of PD stay pending",
        cause: "EKS has no default StorageClass since Kubernetes 1.30, or no EBS CSI driver",
        source: "aws/containers-roadmap #81",
        shown: Shown::By(&["without-create-storage-class", "without-ebs-csi-driver"]),
    },
    Reported {
        symptom: "DNS is slow, or fails now and then",
        cause: "force_tcp stands in the default server block, towards the resolver of the VPC",
        source: "awsdocs/amazon-eks-user-guide #170, aws/amazon-vpc-cni-k8s #595, coredns/coredns #3938",
        shown: Shown::By(&["force-tcp-to-the-vpc-resolver"]),
    },
    Reported {
        symptom: "the cluster cannot be deleted: DependencyViolation",
        cause: "something that eksctl did not make is left in the VPC",
        source: "eksctl-io/eksctl #253 #616 #1960 #4932 #7589",
        shown: Shown::By(&["interface-of-somebody-else"]),
    },
    Reported {
        symptom: "one zone after the other times out",
        cause: "load balancers are made anew and get other addresses, while Corefiles have the old ones",
        source: "the document writes addresses into Corefiles",
        shown: Shown::By(&["service-made-anew", "wrong-upstreams"]),
    },
    Reported {
        symptom: "local names are denied, or queries go round in a loop",
        cause: "the own namespace is forwarded, or is a peer's too",
        source: "the document's note on ${namespace_1} to ${namespace_3}",
        shown: Shown::By(&["own-namespace-forwarded", "same-namespace"]),
    },
    Reported {
        symptom: "only some CoreDNS pods answer right",
        cause: "not every replica has read the Corefile again",
        source: "coredns/coredns, plugin reload",
        shown: Shown::By(&["one-coredns-pod-restarted", "reload-once-a-day", "without-await-coredns-reload"]),
    },
];
