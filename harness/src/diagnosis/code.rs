//! The codes of causes.

use std::fmt;

/// What kind of thing stops a probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Code {
    /// An explanation code of VPC Reachability Analyzer.
    ///
    /// Source: Reachability Analyzer guide, "Explanation codes"; see [`acrossk8s_vpc::Stop::code`].
    Analyzer(&'static str),
    /// One of ours, in the same form, for what Reachability Analyzer does not look at.
    Own(Own),
}

/// Codes for what Reachability Analyzer does not look at: DNS, Kubernetes, and the topology as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Own {
    /// Two clusters use one namespace, so a name below it is of both.
    NamespaceNotUnique,
    /// The cluster lacks the namespace that a name is below, with everything in it.
    NamespaceMissing,
    /// CIDR blocks of two VPCs overlap: they cannot be peered, and addresses in both are ambiguous.
    VpcCidrOverlap,
    /// The destination is within the service CIDR block of the client's cluster, where kube-proxy takes it.
    ServiceCidrOverlap,
    /// There is no peering connection between the two VPCs.
    PeeringMissing,
    /// The peering connection exists and carries nothing, and no route leads to it either.
    PeeringNotActive,
    /// The Corefile is not there.
    CorefileMissing,
    /// A zone stands inside another server block: CoreDNS refuses the Corefile and goes on with the old one.
    CorefileZoneNested,
    /// CoreDNS refuses the Corefile for another reason and goes on with the old one.
    CorefileRefused,
    /// No server block forwards the peer's zone.
    CorefileZoneMissing,
    /// The Corefile forwards the cluster's own names away.
    CorefileOwnZoneForwarded,
    /// The server block that serves the name has neither the `kubernetes` nor the `forward` plugin for it.
    CorefileNameNotServed,
    /// The peer's zone is forwarded to addresses that are not its load balancer's.
    CorefileUpstreamsMismatch,
    /// The query goes out over UDP, and the load balancer listens on TCP only.
    CorefileForceTcpMissing,
    /// The Corefile is right, but CoreDNS never reads it again.
    CorefileReloadMissing,
    /// The Corefile is right, but CoreDNS looks at it again only after a long time.
    CorefileReloadSlow,
    /// A CoreDNS pod still runs another Corefile than the one that is there.
    CorednsPodOutdated,
    /// No CoreDNS pod is there to be asked.
    CorednsPodsMissing,
    /// The Service across-cluster-dns-tcp is not there.
    DnsServiceMissing,
    /// No Network Load Balancer stands for the Service.
    DnsLoadBalancerMissing,
    /// The Service has no ready CoreDNS pod behind it.
    DnsServiceWithoutEndpoints,
    /// The Service does not take connections to port 53, or hands them to a port that CoreDNS does not listen on.
    DnsServicePortMismatch,
    /// None of the load balancer's targets is healthy.
    TargetsUnhealthy,
    /// The name has no Service with its pod behind it.
    NameWithoutService,
    /// The name has no pod, or a pod without the name's hostname and subdomain.
    NameWithoutPod,
    /// The pod is not Ready: DNS does not name it, and it does not answer.
    PodNotReady,
    /// The pod asks another resolver than the CoreDNS of its cluster.
    PodAsksAnotherResolver,
    /// The packet arrives, and nothing listens.
    NothingListens,
    /// Something answers, and not as it should.
    UnexpectedAnswer,
}

impl From<Own> for Code {
    fn from(own: Own) -> Self {
        Self::Own(own)
    }
}

/// An explanation code of Reachability Analyzer.
impl From<&'static str> for Code {
    fn from(code: &'static str) -> Self {
        Self::Analyzer(code)
    }
}

impl Code {
    /// The code as it is written.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Analyzer(code) => code,
            Self::Own(own) => own.as_str(),
        }
    }

    /// Whether Reachability Analyzer knows it.
    pub const fn is_analyzers(self) -> bool {
        matches!(self, Self::Analyzer(_))
    }
}

impl Own {
    /// The code as it is written.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NamespaceNotUnique => "NAMESPACE_NOT_UNIQUE",
            Self::NamespaceMissing => "NAMESPACE_MISSING",
            Self::VpcCidrOverlap => "VPC_CIDR_OVERLAP",
            Self::ServiceCidrOverlap => "SERVICE_CIDR_OVERLAP",
            Self::PeeringMissing => "PCX_MISSING",
            Self::PeeringNotActive => "PCX_NOT_ACTIVE",
            Self::CorefileMissing => "COREFILE_MISSING",
            Self::CorefileZoneNested => "COREFILE_ZONE_NESTED",
            Self::CorefileRefused => "COREFILE_REFUSED",
            Self::CorefileZoneMissing => "COREFILE_ZONE_MISSING",
            Self::CorefileOwnZoneForwarded => "COREFILE_OWN_ZONE_FORWARDED",
            Self::CorefileNameNotServed => "COREFILE_NAME_NOT_SERVED",
            Self::CorefileUpstreamsMismatch => "COREFILE_UPSTREAMS_MISMATCH",
            Self::CorefileForceTcpMissing => "COREFILE_FORCE_TCP_MISSING",
            Self::CorefileReloadMissing => "COREFILE_RELOAD_MISSING",
            Self::CorefileReloadSlow => "COREFILE_RELOAD_SLOW",
            Self::CorednsPodOutdated => "COREDNS_POD_OUTDATED",
            Self::CorednsPodsMissing => "COREDNS_PODS_MISSING",
            Self::DnsServiceMissing => "DNS_SERVICE_MISSING",
            Self::DnsLoadBalancerMissing => "DNS_LOAD_BALANCER_MISSING",
            Self::DnsServiceWithoutEndpoints => "DNS_SERVICE_WITHOUT_ENDPOINTS",
            Self::DnsServicePortMismatch => "DNS_SERVICE_PORT_MISMATCH",
            Self::TargetsUnhealthy => "ELBV2_TARGETS_UNHEALTHY",
            Self::NameWithoutService => "NAME_WITHOUT_SERVICE",
            Self::NameWithoutPod => "NAME_WITHOUT_POD",
            Self::PodNotReady => "POD_NOT_READY",
            Self::PodAsksAnotherResolver => "POD_ASKS_ANOTHER_RESOLVER",
            Self::NothingListens => "NOTHING_LISTENS",
            Self::UnexpectedAnswer => "UNEXPECTED_ANSWER",
        }
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
