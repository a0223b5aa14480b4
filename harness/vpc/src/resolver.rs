//! The DNS resolver that every VPC has.

use std::net::Ipv4Addr;

use crate::Fabric;

/// The link-local address of the resolver, the same in every VPC.
const LINK_LOCAL: Ipv4Addr = Ipv4Addr::new(169, 254, 169, 253);

/// The address of a VPC's DNS resolver: the base of its primary CIDR block plus two.
///
/// Source: VPC User Guide, "Amazon DNS server".
#[must_use]
pub fn resolver_address(fabric: &Fabric, vpc: &str) -> Option<Ipv4Addr> {
    let primary = fabric.vpcs.get(vpc)?.cidr_blocks.first()?;
    u32::from(primary.network()).checked_add(2).map(Ipv4Addr::from)
}

/// Whether an address is that of a VPC's own DNS resolver, which every interface of the VPC reaches: neither security
/// groups, nor network ACLs, nor routes filter that traffic.
///
/// Source: VPC User Guide, "Security groups" and "Network ACLs" (traffic that they do not filter).
#[must_use]
pub fn resolver(fabric: &Fabric, vpc: &str, address: Ipv4Addr) -> bool {
    address == LINK_LOCAL || resolver_address(fabric, vpc) == Some(address)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests fail by panicking")]
mod tests {
    use super::*;
    use crate::Vpc;
    use rstest::rstest;

    #[rstest]
    #[case("vpc-1", "10.1.0.2", true)]
    #[case("vpc-1", "169.254.169.253", true)]
    #[case("vpc-1", "100.64.0.2", false)]
    #[case("vpc-1", "10.1.0.3", false)]
    #[case("vpc-2", "10.1.0.2", false)]
    fn it_is_the_base_of_the_primary_block_plus_two(#[case] vpc: &str, #[case] address: &str, #[case] expected: bool) {
        let mut fabric = Fabric::default();
        let cidr_blocks = vec!["10.1.0.0/16".parse().unwrap(), "100.64.0.0/16".parse().unwrap()];
        let vpc_1 = Vpc { region: "us-west-1".into(), cidr_blocks, main_route_table: "rtb-1".into() };
        fabric.vpcs.insert("vpc-1".into(), vpc_1);
        assert_eq!(resolver(&fabric, vpc, address.parse().unwrap()), expected);
    }
}
