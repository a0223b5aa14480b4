//! EC2's query protocol: parameters in, XML out.

mod addresses;
mod instances;
mod interfaces;
mod listing;
mod network_acls;
mod peerings;
mod permissions;
mod regions;
mod route_tables;
mod security_groups;
mod subnets;
mod tags;
mod vpcs;

use crate::aws::wire::params::Params;
use crate::aws::wire::xml::Element;
use crate::aws::{AwsError, Context, State};

/// What an action gives: the children of `<ActionResponse>`.
type Answer = Result<Vec<Element>, AwsError>;

type Handler = fn(&mut State, &Context, &Params) -> Answer;

/// The actions that are emulated.
const ACTIONS: &[(&str, Handler)] = &[
    ("AcceptVpcPeeringConnection", peerings::accept),
    ("AllocateAddress", addresses::allocate_address),
    ("AssignPrivateIpAddresses", interfaces::assign_private_addresses),
    ("AssociateRouteTable", route_tables::associate),
    ("AttachInternetGateway", addresses::attach_internet_gateway),
    ("AuthorizeSecurityGroupEgress", security_groups::authorize_egress),
    ("AuthorizeSecurityGroupIngress", security_groups::authorize_ingress),
    ("CreateInternetGateway", addresses::create_internet_gateway),
    ("CreateNatGateway", addresses::create_nat_gateway),
    ("CreateNetworkAcl", network_acls::create),
    ("CreateNetworkAclEntry", network_acls::create_entry),
    ("CreateNetworkInterface", interfaces::create),
    ("CreateRoute", route_tables::create_route),
    ("CreateRouteTable", route_tables::create),
    ("CreateSecurityGroup", security_groups::create),
    ("CreateSubnet", subnets::create),
    ("CreateTags", tags::create),
    ("CreateVpc", vpcs::create),
    ("CreateVpcPeeringConnection", peerings::create),
    ("DeleteInternetGateway", addresses::delete_internet_gateway),
    ("DeleteNatGateway", addresses::delete_nat_gateway),
    ("DeleteNetworkAcl", network_acls::delete),
    ("DeleteNetworkAclEntry", network_acls::delete_entry),
    ("DeleteNetworkInterface", interfaces::delete),
    ("DeleteRoute", route_tables::delete_route),
    ("DeleteRouteTable", route_tables::delete),
    ("DeleteSecurityGroup", security_groups::delete),
    ("DeleteSubnet", subnets::delete),
    ("DeleteTags", tags::delete),
    ("DeleteVpc", vpcs::delete),
    ("DeleteVpcPeeringConnection", peerings::delete),
    ("DescribeAddresses", addresses::describe_addresses),
    ("DescribeAvailabilityZones", regions::describe_availability_zones),
    ("DescribeInstances", instances::describe),
    ("DescribeInternetGateways", addresses::describe_internet_gateways),
    ("DescribeNatGateways", addresses::describe_nat_gateways),
    ("DescribeNetworkAcls", network_acls::describe),
    ("DescribeNetworkInterfaces", interfaces::describe),
    ("DescribeRegions", regions::describe_regions),
    ("DescribeRouteTables", route_tables::describe),
    ("DescribeSecurityGroupRules", security_groups::describe_rules),
    ("DescribeSecurityGroups", security_groups::describe),
    ("DescribeSubnets", subnets::describe),
    ("DescribeTags", tags::describe),
    ("DescribeVpcAttribute", vpcs::describe_attribute),
    ("DescribeVpcPeeringConnections", peerings::describe),
    ("DescribeVpcs", vpcs::describe),
    ("DetachInternetGateway", addresses::detach_internet_gateway),
    ("DisassociateRouteTable", route_tables::disassociate),
    ("ModifyNetworkInterfaceAttribute", interfaces::modify_attribute),
    ("ModifySubnetAttribute", subnets::modify_attribute),
    ("ModifyVpcAttribute", vpcs::modify_attribute),
    ("RejectVpcPeeringConnection", peerings::reject),
    ("ReleaseAddress", addresses::release_address),
    ("ReplaceNetworkAclAssociation", network_acls::replace_association),
    ("ReplaceNetworkAclEntry", network_acls::replace_entry),
    ("ReplaceRoute", route_tables::replace_route),
    ("ReplaceRouteTableAssociation", route_tables::replace_association),
    ("RevokeSecurityGroupEgress", security_groups::revoke_egress),
    ("RevokeSecurityGroupIngress", security_groups::revoke_ingress),
    ("RunInstances", instances::run),
    ("TerminateInstances", instances::terminate),
    ("UnassignPrivateIpAddresses", interfaces::unassign_private_addresses),
];

/// Answers an action of EC2 with the children of `<ActionResponse>`.
///
/// `DryRun=true` is answered before anything else is looked at: everybody has all permissions here.
///
/// # Errors
/// EC2's own error codes; `InvalidAction` for what is not emulated; `DryRunOperation` (HTTP 412) for a dry run.
pub fn handle(state: &mut State, context: &Context, action: &str, params: &Params) -> Answer {
    let index = ACTIONS.binary_search_by_key(&action, |(name, _)| name);
    let Some((_, handler)) = index.ok().and_then(|index| ACTIONS.get(index)) else {
        return Err(AwsError::not_emulated("EC2", action));
    };
    if params.bool("DryRun")? == Some(true) {
        return Err(AwsError::with_status(
            412,
            "DryRunOperation",
            "Request would have succeeded, but DryRun flag is set.",
        ));
    }
    handler(state, context, params)
}

/// `<return>true</return>`, all that many actions have to say.
fn done() -> Answer {
    Ok(vec![Element::text("return", true)])
}

#[cfg(test)]
mod tests {
    use super::ACTIONS;

    #[test]
    fn actions_are_sorted_for_the_search() {
        assert!(ACTIONS.is_sorted_by_key(|(name, _)| *name));
    }
}
