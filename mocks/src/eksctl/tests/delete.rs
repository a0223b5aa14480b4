//! What a deletion takes, and what holds it up.

use rstest::rstest;

use super::shown::counts;
use super::{CONFIG, REGION, Site, account, make};
use crate::aws::ec2::{NewInterface, PeeringRequest, SecurityGroupRule};
use crate::aws::tags::Tags;
use crate::aws::{AwsError, Context, State, eks};
use crate::eksctl::delete_cluster;

#[test]
fn nothing_is_left_and_again_is_no_error() {
    let site = Site::new(CONFIG);
    for _ in 0..2 {
        site.delete().unwrap();
        assert_eq!(site.aws.read(REGION, |state, _| counts(state)), [0; 14]);
    }
    make(&site.aws, CONFIG).unwrap();
}

#[test]
fn another_cluster_stays_as_it_is() {
    let aws = account();
    // Names that begin alike.
    make(&aws, &CONFIG.replace("tidb-1", "tidb")).unwrap();
    let before = aws.read(REGION, |state, _| counts(state));
    let site = Site { created: make(&aws, CONFIG).unwrap(), aws };
    make(&site.aws, &CONFIG.replace("us-west-2", "us-east-2")).unwrap();
    site.delete().unwrap();
    site.aws.with("us-east-2", |state, context| delete_cluster(state, context, "tidb-1")).unwrap();
    assert_eq!(site.aws.read(REGION, |state, _| counts(state)), before);
}

/// What somebody else has put there, and how it is taken away again.
type Obstacle = fn(&mut State, &Context, &Site) -> Removal;
type Removal = Box<dyn FnOnce(&mut State, &Context) -> Result<(), AwsError>>;

fn interface_in_a_subnet(state: &mut State, context: &Context, site: &Site) -> Removal {
    let new =
        NewInterface::managed(&site.created.subnets[3], &[], "ELB net/a/b", "network_load_balancer", "amazon-elb");
    let (id, _) = state.ec2.create_interface(&mut state.ids, context, new).unwrap();
    Box::new(move |state, _| {
        state.ec2.release_interface(&id);
        Ok(())
    })
}

fn active_peering(state: &mut State, context: &Context, site: &Site) -> Removal {
    let (ec2, ids) = (&mut state.ec2, &mut state.ids);
    let other = ec2.create_vpc(ids, context, "10.2.0.0/16".parse().unwrap(), Tags::new()).unwrap();
    let request = PeeringRequest {
        requester: site.created.vpc.clone(),
        accepter: other.clone(),
        accepter_region: None,
        accepter_account: None,
        tags: Tags::new(),
    };
    let id = ec2.create_peering(ids, context, request).unwrap();
    ec2.accept_peering(context, &id).unwrap();
    Box::new(move |state, context| {
        state.ec2.delete_peering(context, &id)?;
        state.ec2.delete_vpc(context, &other)
    })
}

fn group_of_somebody_elses(state: &mut State, context: &Context, site: &Site) -> Removal {
    let (ec2, ids) = (&mut state.ec2, &mut state.ids);
    let id = ec2.create_security_group(ids, context, &site.created.vpc, "mine", "mine", Tags::new()).unwrap();
    Box::new(move |state, context| state.ec2.delete_security_group(context, &id))
}

fn rule_that_names_the_shared_group(state: &mut State, context: &Context, site: &Site) -> Removal {
    let ec2 = &mut state.ec2;
    let shared = ec2.security_groups.iter().find(|(_, it)| it.name.contains("ClusterShared")).unwrap().0.clone();
    let default = ec2.default_group(&site.created.vpc).unwrap().to_owned();
    let rule = SecurityGroupRule::all(acrossk8s_vpc::RulePeer::Group(shared));
    ec2.authorize(&mut state.ids, context, &default, vec![rule.clone()]).unwrap();
    Box::new(move |state, context| state.ec2.revoke(context, &default, &[rule]).map(drop))
}

fn rule_that_names_a_node_groups_own(state: &mut State, context: &Context, site: &Site) -> Removal {
    let ec2 = &mut state.ec2;
    let own = ec2.security_groups.iter().find(|(_, it)| it.name.contains("nodegroup-admin")).unwrap().0.clone();
    let default = ec2.default_group(&site.created.vpc).unwrap().to_owned();
    let rule = SecurityGroupRule::all(acrossk8s_vpc::RulePeer::Group(own));
    ec2.authorize(&mut state.ids, context, &default, vec![rule.clone()]).unwrap();
    Box::new(move |state, context| state.ec2.revoke(context, &default, &[rule]).map(drop))
}

#[rstest]
#[case::interface(
    interface_in_a_subnet,
    "stack \"eksctl-tidb-1-cluster\" is DELETE_FAILED",
    "[SubnetPrivateUSWEST2A]",
    false
)]
#[case::peering(active_peering, "stack \"eksctl-tidb-1-cluster\" is DELETE_FAILED", "[VPC]", false)]
#[case::group(group_of_somebody_elses, "stack \"eksctl-tidb-1-cluster\" is DELETE_FAILED", "[VPC]", false)]
#[case::rule(
    rule_that_names_the_shared_group,
    "stack \"eksctl-tidb-1-cluster\" is DELETE_FAILED",
    "[ClusterSharedNodeSecurityGroup]",
    false
)]
#[case::nodegroup(
    rule_that_names_a_node_groups_own,
    "stack \"eksctl-tidb-1-nodegroup-admin\" is DELETE_FAILED",
    "[SG]",
    true
)]
fn what_somebody_else_uses_holds_it_up_until_it_is_gone(
    #[case] obstacle: Obstacle,
    #[case] stack: &str,
    #[case] resource: &str,
    #[case] cluster_stays: bool,
) {
    let site = Site::new(CONFIG);
    let remove = site.aws.with(REGION, |state, context| obstacle(state, context, &site));
    for _ in 0..2 {
        let error = site.delete().unwrap_err();
        assert_eq!(error.code, "DependencyViolation");
        assert!(error.message.starts_with(stack) && error.message.contains(resource), "{error}");
        site.aws.read(REGION, |state, context| {
            assert!(state.ec2.vpcs.contains_key(&site.created.vpc));
            assert_eq!(eks::find(state, context, "tidb-1").is_ok(), cluster_stays);
        });
        // The stack is still there, so the name is not free.
        assert_eq!(make(&site.aws, CONFIG).unwrap_err().code, "AlreadyExistsException");
    }
    site.aws.with(REGION, remove).unwrap();
    site.delete().unwrap();
    assert_eq!(site.aws.read(REGION, |state, _| counts(state)), [0; 14]);
}

#[test]
fn cidr_rules_and_routes_to_a_peering_go_with_what_they_are_in() {
    let site = Site::new(CONFIG);
    site.aws.with(REGION, |state, context| {
        let groups: Vec<_> = state.ec2.security_groups.keys().cloned().collect();
        for group in groups {
            let rule = SecurityGroupRule::cidr(false, "-1", (-1, -1), "10.2.0.0/16".parse().unwrap());
            state.ec2.authorize(&mut state.ids, context, &group, vec![rule]).unwrap();
        }
    });
    site.delete().unwrap();
    assert_eq!(site.aws.read(REGION, |state, _| counts(state)), [0; 14]);
}

#[test]
fn a_cluster_that_eksctl_has_not_made_is_deleted_without_its_network() {
    let site = Site::new(CONFIG);
    site.aws.with(REGION, |state, context| {
        let new = eks::NewCluster {
            name: "other".to_owned(),
            version: "1.34".to_owned(),
            role_arn: "arn:aws:iam::123456789012:role/x".to_owned(),
            subnets: site.created.subnets.clone(),
            security_groups: Vec::new(),
            service_cidr: None,
            tags: Tags::new(),
        };
        eks::create_cluster(state, context, new).unwrap();
        delete_cluster(state, context, "other").unwrap();
        assert!(eks::find(state, context, "other").is_err());
        assert!(eks::find(state, context, "tidb-1").is_ok());
    });
    site.delete().unwrap();
    assert_eq!(site.aws.read(REGION, |state, _| counts(state)), [0; 14]);
}
