#![expect(clippy::unwrap_used, reason = "a test")]

use std::net::Ipv4Addr;

use proptest::prelude::*;
use rstest::rstest;

use super::*;

fn cluster(number: usize, cidr_block: Ipv4Net, service_cidr: Ipv4Net) -> Cluster {
    Cluster {
        name: format!("tidb-{number}"),
        region: "us-west-2".to_owned(),
        cidr_block,
        service_cidr,
        namespace: format!("ns-{number}"),
        kubernetes_version: "1.34".to_owned(),
        availability_zones: Vec::new(),
        node_groups: vec![NodeGroup {
            name: "admin".to_owned(),
            managed: false,
            desired_capacity: 1,
            instance_type: "m5.large".to_owned(),
            private_networking: true,
        }],
    }
}

fn topology(blocks: &[&str]) -> Topology {
    let clusters = blocks.iter().enumerate().map(|(index, block)| {
        let block = block.parse().unwrap();
        cluster(index + 1, block, default_service_cidr(block))
    });
    Topology { name: "test".to_owned(), clusters: clusters.collect() }
}

fn valid() -> Topology {
    let topology = topology(&["10.1.0.0/16", "10.2.0.0/16"]);
    assert_eq!(topology.validate(), Ok(()));
    topology
}

#[rstest]
#[case::no_name(|c: &mut Cluster| c.name = String::new(), Field::Name)]
#[case::a_digit_first(|c: &mut Cluster| c.name = "1-tidb".to_owned(), Field::Name)]
#[case::a_dot(|c: &mut Cluster| c.name = "tidb.1".to_owned(), Field::Name)]
#[case::a_long_name(|c: &mut Cluster| c.name = "a".repeat(101), Field::Name)]
#[case::no_region(|c: &mut Cluster| c.region = String::new(), Field::Region)]
#[case::a_zone(|c: &mut Cluster| c.region = "us-west-2a".to_owned(), Field::Region)]
#[case::capitals(|c: &mut Cluster| c.region = "US-west-2".to_owned(), Field::Region)]
#[case::no_number(|c: &mut Cluster| c.region = "us-west".to_owned(), Field::Region)]
#[case::a_number_of_two_digits(|c: &mut Cluster| c.region = "us-west-10".to_owned(), Field::Region)]
#[case::too_wide(|c: &mut Cluster| c.cidr_block = "10.0.0.0/15".parse().unwrap(), Field::CidrBlock)]
#[case::too_narrow(|c: &mut Cluster| c.cidr_block = "10.1.0.0/25".parse().unwrap(), Field::CidrBlock)]
#[case::host_bits(|c: &mut Cluster| c.cidr_block = "10.1.0.1/16".parse().unwrap(), Field::CidrBlock)]
#[case::a_public_service_block(|c: &mut Cluster| c.service_cidr = "8.8.0.0/16".parse().unwrap(), Field::ServiceCidr)]
#[case::a_wide_service_block(|c: &mut Cluster| c.service_cidr = "172.16.0.0/11".parse().unwrap(), Field::ServiceCidr)]
#[case::a_narrow_service_block(|c: &mut Cluster| c.service_cidr = "172.20.0.0/25".parse().unwrap(), Field::ServiceCidr)]
#[case::the_own_service_block(|c: &mut Cluster| c.service_cidr = "10.1.128.0/20".parse().unwrap(), Field::ServiceCidr)]
#[case::no_namespace(|c: &mut Cluster| c.namespace = String::new(), Field::Namespace)]
#[case::a_namespace_in_capitals(|c: &mut Cluster| c.namespace = "TiDB".to_owned(), Field::Namespace)]
#[case::a_namespace_with_a_dot(|c: &mut Cluster| c.namespace = "a.b".to_owned(), Field::Namespace)]
#[case::a_namespace_ending_in_a_dash(|c: &mut Cluster| c.namespace = "a-".to_owned(), Field::Namespace)]
#[case::a_long_namespace(|c: &mut Cluster| c.namespace = "a".repeat(64), Field::Namespace)]
#[case::a_foreign_zone(|c: &mut Cluster| c.availability_zones = zones(&["us-east-1a", "us-west-2b"]), Field::AvailabilityZones)]
#[case::one_zone(|c: &mut Cluster| c.availability_zones = zones(&["us-west-2a"]), Field::AvailabilityZones)]
#[case::a_zone_twice(|c: &mut Cluster| c.availability_zones = zones(&["us-west-2a", "us-west-2a"]), Field::AvailabilityZones)]
#[case::no_node_groups(|c: &mut Cluster| c.node_groups.clear(), Field::NodeGroups)]
#[case::no_nodes(|c: &mut Cluster| c.node_groups[0].desired_capacity = 0, Field::NodeGroups)]
fn a_cluster_that_cannot_work_is_refused(#[case] spoil: fn(&mut Cluster), #[case] field: Field) {
    let mut topology = valid();
    spoil(&mut topology.clusters[0]);
    assert_eq!(topology.validate().unwrap_err().place, Place::Cluster(0, field));
}

fn zones(zones: &[&str]) -> Vec<String> {
    zones.iter().map(|zone| (*zone).to_owned()).collect()
}

#[rstest]
#[case::a_bad_name(|c: &mut Cluster| c.node_groups[0].name = "1".to_owned(), 0, Field::Name)]
#[case::a_long_name(|c: &mut Cluster| c.node_groups[0].name = "a".repeat(64), 0, Field::Name)]
#[case::twice(|c: &mut Cluster| c.node_groups.push(c.node_groups[0].clone()), 1, Field::Name)]
#[case::too_many(|c: &mut Cluster| c.node_groups[0].desired_capacity = 101, 0, Field::DesiredCapacity)]
fn a_node_group_that_cannot_work_is_refused(
    #[case] spoil: fn(&mut Cluster),
    #[case] group: usize,
    #[case] field: Field,
) {
    let mut topology = valid();
    spoil(&mut topology.clusters[1]);
    assert_eq!(topology.validate().unwrap_err().place, Place::NodeGroup(1, group, field));
}

#[rstest]
#[case::names(|t: &mut Topology| t.clusters[1].name = "tidb-1".to_owned(), Field::Name)]
#[case::the_same_block(|t: &mut Topology| t.clusters[1].cidr_block = t.clusters[0].cidr_block, Field::CidrBlock)]
#[case::a_part_of_the_block(|t: &mut Topology| t.clusters[1].cidr_block = "10.1.16.0/20".parse().unwrap(), Field::CidrBlock)]
#[case::a_vpc_in_a_service_block(|t: &mut Topology| t.clusters[1].cidr_block = "172.20.0.0/16".parse().unwrap(), Field::ServiceCidr)]
#[case::a_service_block_in_a_vpc(|t: &mut Topology| t.clusters[1].service_cidr = "10.1.0.0/20".parse().unwrap(), Field::ServiceCidr)]
#[case::namespaces(|t: &mut Topology| t.clusters[1].namespace = "ns-1".to_owned(), Field::Namespace)]
fn clusters_that_cannot_be_together_are_refused(#[case] spoil: fn(&mut Topology), #[case] field: Field) {
    let mut topology = valid();
    spoil(&mut topology);
    let place = topology.validate().unwrap_err().place;
    assert!(matches!(place, Place::Cluster(_, found) if found == field), "{place:?}");
}

#[test]
fn a_cluster_whose_vpc_is_a_peers_service_block_is_what_is_told() {
    // 192.168/16 gets the service block 10.100/16, which is the other's VPC.
    let topology = topology(&["192.168.0.0/16", "10.100.0.0/16"]);
    let violation = topology.validate().unwrap_err();
    assert_eq!(violation.place, Place::Cluster(1, Field::CidrBlock));
    insta::assert_snapshot!(violation, @r#"the VPC block 10.100.0.0/16 of "tidb-2" overlaps the service CIDR block 10.100.0.0/16 of "tidb-1"; pods of the one could not reach the other: give disjoint blocks"#);
}

#[rstest]
#[case(0)]
#[case(1)]
#[case(51)]
fn too_few_and_too_many_clusters_are_refused(#[case] count: usize) {
    let blocks: Vec<String> = (0..count).map(|index| format!("10.{index}.0.0/16")).collect();
    let topology = topology(&blocks.iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!(topology.validate().unwrap_err().place, Place::Clusters);
}

#[rstest]
#[case("us-west-2")]
#[case("ap-northeast-1")]
#[case("us-gov-east-1")]
#[case("cn-north-1")]
#[case("me-central-1")]
fn aws_regions_are_taken(#[case] region: &str) {
    let mut topology = valid();
    topology.clusters[0].region = region.to_owned();
    topology.clusters[0].availability_zones = zones(&[&format!("{region}a"), &format!("{region}c")]);
    assert_eq!(topology.validate(), Ok(()));
}

#[rstest]
#[case("10.1.0.0/16", "172.20.0.0/16")]
#[case("192.168.0.0/16", "10.100.0.0/16")]
#[case("172.31.0.0/16", "10.100.0.0/16")]
fn eks_takes_the_service_block_that_does_not_conflict(#[case] vpc: &str, #[case] service: &str) {
    assert_eq!(default_service_cidr(vpc.parse().unwrap()), service.parse().unwrap());
}

#[test]
fn the_lower_cluster_requests() {
    let (a, b) = (ClusterIndex(0), ClusterIndex(2));
    assert_eq!(Pair::of(a, b), Pair::of(b, a));
    assert_eq!(Pair::of(b, a).unwrap().requester, a);
    assert_eq!(Pair::of(a, a), None);
    assert_eq!(Pair::of(a, b).unwrap().to_string(), "1-3");
}

/// VPC-sized blocks that are close together, so that about half of the sets overlap.
fn vpc_block() -> impl Strategy<Value = Ipv4Net> {
    (0u32..1 << 7, 16u8..=20).prop_map(|(place, length)| {
        let address = u32::from(Ipv4Addr::new(10, 64, 0, 0)) + (place << 13);
        Ipv4Net::new(Ipv4Addr::from(address), length).unwrap().trunc()
    })
}

proptest! {
    /// Two blocks overlap exactly when the one's first address up to its last and the other's share an address.
    #[test]
    fn blocks_overlap_when_their_ranges_do(a in vpc_block(), b in vpc_block()) {
        let shared = a.network().max(b.network()) <= a.broadcast().min(b.broadcast());
        prop_assert_eq!(overlap(a, b), shared);
        prop_assert_eq!(overlap(a, b), overlap(b, a));
        prop_assert!(overlap(a, a));
    }

    /// Of topologies that are valid otherwise, those are taken whose blocks are disjoint by pairs.
    #[test]
    fn disjoint_blocks_and_no_others_are_taken(blocks in proptest::collection::vec(vpc_block(), 2..6)) {
        let service = "172.20.0.0/16".parse().unwrap();
        let clusters = blocks.iter().enumerate().map(|(index, block)| cluster(index + 1, *block, service));
        let topology = Topology { name: "test".to_owned(), clusters: clusters.collect() };
        let disjoint = (0..blocks.len()).all(|a| (0..a).all(|b| !overlap(blocks[a], blocks[b])));
        match topology.validate() {
            Ok(()) => prop_assert!(disjoint),
            Err(violation) => {
                prop_assert!(!disjoint);
                prop_assert!(matches!(violation.place, Place::Cluster(_, Field::CidrBlock)), "{}", violation);
            }
        }
    }

    #[test]
    fn pairs_and_directions_are_complete(count in 0usize..20) {
        let block = "10.1.0.0/16".parse().unwrap();
        let clusters = (0..count).map(|index| cluster(index, block, default_service_cidr(block))).collect();
        let topology = Topology { name: "test".to_owned(), clusters };
        let pairs: BTreeSet<Pair> = topology.pairs().into_iter().collect();
        let directions: BTreeSet<_> = topology.directions().into_iter().collect();
        prop_assert_eq!(pairs.len(), count * count.saturating_sub(1) / 2);
        prop_assert_eq!(directions.len(), count * count.saturating_sub(1));
        prop_assert_eq!(topology.pairs().len(), pairs.len());
        prop_assert_eq!(topology.directions().len(), directions.len());
        prop_assert!(pairs.iter().all(|pair| pair.requester < pair.accepter));
        for index in topology.indices() {
            prop_assert_eq!(topology.others(index).count(), count - 1);
            prop_assert_eq!(topology.index_of(&topology.cluster(index).name), Some(index));
        }
    }
}
