//! The Corefile of cluster 1 as people edit it wrong ("Configure CoreDNS").

use super::corefiles::{self, Wrong};
use super::{Fault, ONE};
use crate::diagnosis::{Diagnosed, Own};

const EDIT: &str = "edit-coredns/1";
const RELOAD: &str = "await-coredns-reload/1";

pub(super) fn faults() -> Vec<Fault> {
    vec![
        edited(
            "nested-zone",
            "the zone of cluster 2 is inside the default server block",
            Diagnosed::at(Own::CorefileZoneNested, "configmap", ONE),
            corefiles::nest_first_zone,
        )
        .caught_by(&["corefile-zones-top-level"])
        .stops(&[RELOAD]),
        edited(
            "missing-force-tcp",
            "the zone of cluster 2 is forwarded without force_tcp",
            Diagnosed::at(Own::CorefileForceTcpMissing, "configmap", ONE),
            corefiles::forward_first_zone_over_udp,
        )
        .caught_by(&["corefile-force-tcp"]),
        edited(
            "wrong-upstreams",
            "the zone of cluster 2 is forwarded to addresses of nobody",
            Diagnosed::at(Own::CorefileUpstreamsMismatch, "configmap", ONE),
            corefiles::forward_first_zone_astray,
        )
        .caught_by(&["corefile-upstreams"]),
        edited(
            "one-upstream-only",
            "the zone of cluster 2 is forwarded to one address of its load balancer",
            Diagnosed::NoProbeFails,
            corefiles::forward_first_zone_to_one,
        )
        .caught_by(&["corefile-upstreams"]),
        edited(
            "upstreams-on-another-port",
            "the zone of cluster 2 is forwarded to port 5353",
            Diagnosed::at(Own::CorefileUpstreamsMismatch, "configmap", ONE),
            corefiles::forward_first_zone_to_another_port,
        )
        .caught_by(&["corefile-upstreams"]),
        edited(
            "too-many-upstreams",
            "the zone of cluster 2 is forwarded to 16 addresses",
            Diagnosed::at(Own::CorefileRefused, "configmap", ONE),
            corefiles::forward_first_zone_to_many,
        )
        .caught_by(&["corefile-accepted", "corefile-upstreams"])
        .stops(&[RELOAD]),
        edited(
            "forgotten-zone",
            "the zone of cluster 2 is forgotten",
            Diagnosed::at(Own::CorefileZoneMissing, "configmap", ONE),
            corefiles::forget_first_zone,
        )
        .caught_by(&["corefile-zone"]),
        edited(
            "misspelt-zone",
            "the zone of cluster 2 is below svc.cluster.lokal",
            Diagnosed::at(Own::CorefileZoneMissing, "configmap", ONE),
            |topology, corefile, zones| {
                corefiles::documented_after(topology, corefile, zones).replacen(
                    "svc.cluster.local:53",
                    "svc.cluster.lokal:53",
                    1,
                )
            },
        )
        .caught_by(&["corefile-zone"]),
        edited(
            "zone-twice",
            "the zone of cluster 2 is there twice",
            Diagnosed::at(Own::CorefileRefused, "configmap", ONE),
            corefiles::repeat_first_zone,
        )
        .caught_by(&["corefile-accepted"])
        .stops(&[RELOAD]),
        edited(
            "unknown-plugin",
            "the zone of cluster 2 has a plugin that CoreDNS does not know",
            Diagnosed::at(Own::CorefileRefused, "configmap", ONE),
            |topology, corefile, zones| {
                corefiles::documented_after(topology, corefile, zones).replacen(
                    "cache 30\n    forward .",
                    "cache 30\n    forwards .",
                    1,
                )
            },
        )
        .caught_by(&["corefile-accepted"])
        .stops(&[RELOAD]),
        edited(
            "unclosed-block",
            "the last server block is not closed",
            Diagnosed::at(Own::CorefileRefused, "configmap", ONE),
            |topology, corefile, zones| {
                corefiles::documented_after(topology, corefile, zones).trim_end().trim_end_matches('}').to_owned()
            },
        )
        .caught_by(&["corefile-accepted"])
        .stops(&[RELOAD]),
        edited(
            "cache-for-an-hour",
            "the zone of cluster 2 is cached for an hour",
            Diagnosed::NoProbeFails,
            |topology, corefile, zones| {
                corefiles::documented_after(topology, corefile, zones).replacen(
                    "    cache 30\n    forward . 1",
                    "    cache 3600\n    forward . 1",
                    1,
                )
            },
        )
        .caught_by(&["corefile-zone-form"]),
        edited(
            "own-namespace-forwarded",
            "the own namespace is forwarded to cluster 2",
            Diagnosed::at(Own::CorefileOwnZoneForwarded, "configmap", ONE),
            corefiles::forward_own_zone,
        )
        .caught_by(&["corefile-own-zone"]),
        edited(
            "stray-namespace-forwarded",
            "a namespace of nobody is forwarded to cluster 2",
            Diagnosed::NoProbeFails,
            corefiles::forward_stray_zone,
        )
        .caught_by(&["corefile-stray-zones"]),
        edited(
            "default-block-modified",
            "the default server block loses its prometheus plugin",
            Diagnosed::NoProbeFails,
            |topology, corefile, zones| {
                let corefile = corefiles::without(corefile, "prometheus");
                corefiles::documented_after(topology, &corefile, zones)
            },
        )
        .caught_by(&["corefile-default-block"]),
        edited(
            "force-tcp-to-the-vpc-resolver",
            "the default server block gets the force_tcp that the zones are to have",
            Diagnosed::NoProbeFails,
            |topology, corefile, zones| {
                let forward = "forward . /etc/resolv.conf";
                let corefile = corefile.replacen(forward, &format!("{forward} {{\n      force_tcp\n    }}"), 1);
                corefiles::documented_after(topology, &corefile, zones)
            },
        )
        .caught_by(&["corefile-default-block"]),
    ]
}

fn edited(id: &str, title: &str, diagnosed: Diagnosed, wrong: Wrong) -> Fault {
    Fault::new(id, format!("{title} [Corefile of cluster 1]"), diagnosed)
        .instead(EDIT, move |context, scope| corefiles::edit(context, scope, wrong))
}
