//! CIDR blocks held against each other.

use ipnet::Ipv4Net;

/// The first block of `left` that shares an address with a block of `right`, with that block.
///
/// VPCs with overlapping blocks cannot be peered: the peering connection becomes `failed`.
/// Source: VPC Peering Guide, "VPC peering limitations".
#[must_use]
pub fn overlap(left: &[Ipv4Net], right: &[Ipv4Net]) -> Option<(Ipv4Net, Ipv4Net)> {
    left.iter().find_map(|l| right.iter().find(|r| blocks_overlap(l, r)).map(|r| (*l, *r)))
}

/// Two CIDR blocks share an address only when one of them contains the other's network address.
fn blocks_overlap(left: &Ipv4Net, right: &Ipv4Net) -> bool {
    left.contains(&right.network()) || right.contains(&left.network())
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests fail by panicking")]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rstest::rstest;

    fn blocks(text: &str) -> Vec<Ipv4Net> {
        text.split_whitespace().map(|block| block.parse().unwrap()).collect()
    }

    #[rstest]
    #[case::equal("10.1.0.0/16", "10.1.0.0/16", Some("10.1.0.0/16 10.1.0.0/16"))]
    #[case::inside("10.1.0.0/16", "10.1.32.0/19", Some("10.1.0.0/16 10.1.32.0/19"))]
    #[case::around("10.1.32.0/19", "10.1.0.0/16", Some("10.1.32.0/19 10.1.0.0/16"))]
    #[case::neighbours("10.1.0.0/16", "10.2.0.0/16", None)]
    #[case::secondary("10.1.0.0/16 100.64.0.0/16", "10.2.0.0/16 100.64.8.0/24", Some("100.64.0.0/16 100.64.8.0/24"))]
    #[case::nothing("", "10.2.0.0/16", None)]
    #[case::everything("0.0.0.0/0", "10.2.0.0/16", Some("0.0.0.0/0 10.2.0.0/16"))]
    #[case::host_bits("10.1.2.3/16", "10.1.9.9/24", Some("10.1.2.3/16 10.1.9.9/24"))]
    fn overlaps(#[case] left: &str, #[case] right: &str, #[case] expected: Option<&str>) {
        let expected = expected.map(blocks).map(|pair| (pair[0], pair[1]));
        assert_eq!(overlap(&blocks(left), &blocks(right)), expected);
    }

    proptest! {
        #[test]
        fn two_blocks_overlap_exactly_when_an_address_is_in_both(
            a in any::<u8>(), b in any::<u8>(), left in 24u8..=32, right in 24u8..=32,
        ) {
            let left = Ipv4Net::new([10, 0, 0, a].into(), left).unwrap();
            let right = Ipv4Net::new([10, 0, 0, b].into(), right).unwrap();
            let shared = (0..=255u8).any(|last| {
                let address = std::net::Ipv4Addr::from([10, 0, 0, last]);
                left.contains(&address) && right.contains(&address)
            });
            prop_assert_eq!(overlap(&[left], &[right]).is_some(), shared);
        }
    }
}
