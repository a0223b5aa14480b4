#![expect(clippy::unwrap_used, reason = "a test")]

use proptest::prelude::*;

use super::*;

const TWO: &str = r#"name = "two"

[[clusters]]
name = "tidb-1"
region = "us-west-1"
cidr_block = "10.1.0.0/16"
namespace = "ns-1"

[[clusters.node_groups]]
name = "admin"
desired_capacity = 2

[[clusters]]
name = "tidb-2"
region = "us-west-2"
cidr_block = "10.2.0.0/16"
namespace = "ns-2"

[[clusters.node_groups]]
name = "admin"
"#;

/// The message for the text with one thing replaced.
fn message(from: &str, to: &str) -> String {
    assert!(TWO.contains(from), "{from}");
    parse(Path::new("two.toml"), &TWO.replacen(from, to, 1)).unwrap_err().to_string()
}

#[test]
fn the_documented_scenario_is_three_clusters() {
    let topology = parse(Path::new("three-clusters.toml"), DOCUMENTED).unwrap();
    assert_eq!(topology.clusters.len(), 3);
    assert_eq!(topology.regions().len(), 3);
    assert!(topology.clusters.iter().flat_map(|cluster| &cluster.node_groups).all(|group| !group.managed));
}

#[test]
fn what_is_left_out_has_its_default() {
    let topology = parse(Path::new("two.toml"), TWO).unwrap();
    let second = &topology.clusters[1];
    assert_eq!(second.service_cidr, "172.20.0.0/16".parse().unwrap());
    assert_eq!(second.node_groups[0].desired_capacity, 1);
    assert!(second.node_groups[0].private_networking);
    assert!(!second.node_groups[0].managed);
    assert!(second.availability_zones.is_empty());
}

#[test]
fn a_text_that_is_not_toml_is_told_with_its_place() {
    insta::assert_snapshot!(message("[[clusters]]", "[[clusters"), @r#"
    two.toml:3:11: unclosed array table, expected `]]`
      to mend it: see scenarios/three-clusters.toml for the form
    "#);
}

#[test]
fn an_unknown_field_is_told_with_its_place() {
    insta::assert_snapshot!(message("namespace", "name_space"), @r#"
    two.toml:7:1: unknown field `name_space`, expected one of `name`, `region`, `cidr_block`, `service_cidr`, `namespace`, `kubernetes_version`, `availability_zones`, `node_groups`
      to mend it: see scenarios/three-clusters.toml for the form
    "#);
}

#[test]
fn a_missing_field_is_told_with_its_table() {
    insta::assert_snapshot!(message("region = \"us-west-1\"\n", ""), @r#"
    two.toml:3:1: missing field `region`
      to mend it: see scenarios/three-clusters.toml for the form
    "#);
}

#[test]
fn a_block_that_is_not_one_is_told_with_its_place() {
    insta::assert_snapshot!(message("\"10.1.0.0/16\"", "\"10.1.0.0\""), @r#"
    two.toml:6:14: invalid IP address syntax
      to mend it: see scenarios/three-clusters.toml for the form
    "#);
}

#[test]
fn a_number_that_is_none_is_told_with_its_place() {
    insta::assert_snapshot!(message("desired_capacity = 2", "desired_capacity = \"two\""), @r#"
    two.toml:11:20: invalid type: string "two", expected u32
      to mend it: see scenarios/three-clusters.toml for the form
    "#);
}

#[test]
fn too_many_nodes_are_told_at_the_number() {
    insta::assert_snapshot!(message("desired_capacity = 2", "desired_capacity = 1000"), @r#"
    two.toml:11:20: 1000 nodes are asked for
      to mend it: ask for 100 at most
    "#);
}

#[test]
fn numbers_that_overflow_together_are_told() {
    let most = format!(
        "desired_capacity = {max}\n\n[[clusters.node_groups]]\nname = \"b\"\ndesired_capacity = {max}",
        max = u32::MAX
    );
    assert!(message("desired_capacity = 2", &most).starts_with("two.toml:11:20: 4294967295 nodes are asked for"));
}

#[test]
fn overlapping_blocks_are_told_at_the_second() {
    insta::assert_snapshot!(message("10.2.0.0/16", "10.1.128.0/17"), @r#"
    two.toml:16:14: the CIDR block 10.1.128.0/17 of "tidb-2" overlaps 10.1.0.0/16 of "tidb-1"
      to mend it: VPCs with overlapping blocks cannot be peered: give disjoint ones
    "#);
}

#[test]
fn the_same_namespace_is_told_at_the_second() {
    insta::assert_snapshot!(message("\"ns-2\"", "\"ns-1\""), @r#"
    two.toml:17:13: "tidb-1" and "tidb-2" both use the namespace "ns-1"
      to mend it: the namespace tells CoreDNS which cluster to ask: give each cluster its own
    "#);
}

#[test]
fn the_same_name_is_told_at_the_second() {
    insta::assert_snapshot!(message("\"tidb-2\"", "\"tidb-1\""), @r#"
    two.toml:14:8: clusters 1 and 2 are both named "tidb-1"
      to mend it: give each its own name
    "#);
}

#[test]
fn a_namespace_that_is_no_label_is_told() {
    insta::assert_snapshot!(message("\"ns-1\"", "\"NS_1\""), @r#"
    two.toml:7:13: "NS_1" is not a DNS-1123 label
      to mend it: use lower-case letters, digits and dashes, beginning and ending with a letter or digit, 63 characters at most
    "#);
}

#[test]
fn a_region_that_is_none_is_told() {
    insta::assert_snapshot!(message("\"us-west-2\"", "\"us-west\""), @r#"
    two.toml:15:10: "us-west" does not have the form of an AWS region
      to mend it: write it like "us-west-2"
    "#);
}

#[test]
fn a_wide_vpc_is_told() {
    insta::assert_snapshot!(message("10.1.0.0/16", "10.0.0.0/8"), @r#"
    two.toml:6:14: the CIDR block 10.0.0.0/8 is a /8
      to mend it: eksctl makes VPCs from /16 to /24
    "#);
}

#[test]
fn host_bits_are_told_with_the_block_without_them() {
    insta::assert_snapshot!(message("10.1.0.0/16", "10.1.2.3/16"), @r#"
    two.toml:6:14: 10.1.2.3/16 has bits set behind its prefix
      to mend it: write 10.1.0.0/16
    "#);
}

#[test]
fn a_service_block_over_a_vpc_is_told_where_it_is_written() {
    insta::assert_snapshot!(message("namespace = \"ns-2\"", "namespace = \"ns-2\"\nservice_cidr = \"10.1.0.0/20\""), @r#"
    two.toml:18:16: the VPC block 10.1.0.0/16 of "tidb-1" overlaps the service CIDR block 10.1.0.0/20 of "tidb-2"
      to mend it: pods of the one could not reach the other: give disjoint blocks
    "#);
}

#[test]
fn a_zone_of_another_region_is_told() {
    let zones = "namespace = \"ns-1\"\navailability_zones = [\"us-west-1a\", \"us-east-1b\"]";
    insta::assert_snapshot!(message("namespace = \"ns-1\"", zones), @r#"
    two.toml:8:22: "us-east-1b" is not an availability zone of us-west-1
      to mend it: write them like "us-west-1a"
    "#);
}

#[test]
fn no_nodes_are_told_at_the_cluster() {
    insta::assert_snapshot!(message("\n[[clusters.node_groups]]\nname = \"admin\"\ndesired_capacity = 2\n", ""), @r#"
    two.toml:3:1: cluster "tidb-1" has no nodes
      to mend it: without nodes CoreDNS cannot run and the load balancer has no targets: give a node group with a desired_capacity of at least 1
    "#);
}

#[test]
fn one_cluster_is_told() {
    let one = TWO.split("\n[[clusters]]\nname = \"tidb-2\"").next().unwrap();
    insta::assert_snapshot!(parse(Path::new("one.toml"), one).unwrap_err(), @r#"
    one.toml:3:1: there is 1 cluster
      to mend it: give between 2 and 50 [[clusters]]
    "#);
}

#[test]
fn an_empty_file_is_told() {
    insta::assert_snapshot!(parse(Path::new("empty.toml"), "").unwrap_err(), @r#"
    empty.toml:1:1: missing field `name`
      to mend it: see scenarios/three-clusters.toml for the form
    "#);
}

#[test]
fn no_clusters_are_told() {
    insta::assert_snapshot!(parse(Path::new("none.toml"), "name = \"none\"\n").unwrap_err(), @r#"
    none.toml:1:1: there are 0 clusters
      to mend it: give between 2 and 50 [[clusters]]
    "#);
}

#[test]
fn a_file_that_is_not_there_is_told() {
    let error = read(Path::new("no-such-folder/no-such-file.toml")).unwrap_err();
    insta::assert_snapshot!(error, @r#"
    no-such-folder/no-such-file.toml: cannot be read: No such file or directory (os error 2)
      to mend it: name a readable scenario file, or none to use the documented three clusters
    "#);
}

proptest! {
    /// A bad file gets a message, never a panic, and the place is one in the file.
    #[test]
    fn any_text_is_read_or_refused(text in "\\PC{0,200}") {
        check_refusal(&text)?;
    }

    /// The same near to a good file.
    #[test]
    fn any_edit_is_read_or_refused(at in 0..TWO.len(), length in 0usize..40, with in "[ -~\n\u{e4}]{0,10}") {
        let end = (at + length).min(TWO.len());
        check_refusal(&format!("{}{with}{}", &TWO[..at], &TWO[end..]))?;
    }
}

fn check_refusal(text: &str) -> Result<(), TestCaseError> {
    if let Err(error) = parse(Path::new("any.toml"), text) {
        prop_assert!(error.to_string().starts_with("any.toml"));
        prop_assert!(!error.what.is_empty() && error.fix.is_some());
        let (line, column) = error.position.ok_or_else(|| TestCaseError::fail(format!("no place: {error}")))?;
        // The end of the text is a place too.
        let lines: Vec<&str> = text.split('\n').collect();
        prop_assert!(line <= lines.len(), "{} of {}", line, lines.len());
        prop_assert!(column <= lines[line - 1].chars().count() + 1);
    }
    Ok(())
}
