//! What source NAT makes of a source port.

use std::ops::RangeInclusive;

use crate::{Flow, flow_hash};

/// Source ports that source NAT chooses from.
///
/// The VPC CNI and kube-proxy do it with `--random-fully`, for which Linux takes any port from 1024 on; a load balancer
/// without client IP preservation and a NAT gateway have the same range. Source: VPC User Guide, "Ephemeral ports".
pub const TRANSLATED_PORTS: RangeInclusive<u16> = 1024..=u16::MAX;

/// The source port that a flow gets with a new source address.
///
/// The real ones choose at random. This is a hash over the flow: flows differ, and each has the same port in every run. A
/// network ACL that opens only Linux's own ephemeral ports for answers (32768 to 60999) therefore loses a part of the
/// translated flows, as it does on AWS.
#[must_use]
pub fn translated_port(flow: &Flow) -> u16 {
    let (first, last) = (*TRANSLATED_PORTS.start(), *TRANSLATED_PORTS.end());
    // The upper bits: the lower ones choose among targets and endpoints.
    let offset = (flow_hash(flow) >> 32) % (u64::from(last - first) + 1);
    u16::try_from(offset).map_or(last, |offset| first + offset)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests fail by panicking")]
mod tests {
    use super::*;
    use crate::Protocol;

    fn flow(source_port: u16) -> Flow {
        let flow = Flow::new("vpc-1", Protocol::Tcp, [10, 1, 0, 9].into(), [10, 2, 0, 9].into(), 80);
        Flow { source_port, ..flow }
    }

    #[test]
    fn every_part_of_the_range_is_used_and_nothing_below_it() {
        let ports: Vec<u16> = (32_768..=60_999).map(|port| translated_port(&flow(port))).collect();
        assert!(ports.iter().all(|port| TRANSLATED_PORTS.contains(port)));
        assert!(*ports.iter().min().unwrap() < 2_000 && *ports.iter().max().unwrap() > 64_000);
        let own = ports.iter().filter(|port| (32_768..=60_999).contains(*port)).count();
        // 28 232 of 64 512 ports.
        assert!((11_000..14_000).contains(&own), "{own}");
    }

    #[test]
    fn a_flow_keeps_its_port() {
        assert_eq!(translated_port(&flow(40_000)), translated_port(&flow(40_000)));
        assert_ne!(translated_port(&flow(40_000)), translated_port(&flow(40_001)));
    }
}
