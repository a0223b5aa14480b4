//! Security groups on the wire.

use acrossk8s_vpc::RulePeer;

use super::listing::{Candidate, Listing, many, one, tag_set};
use super::permissions::{permissions, rules};
use super::{Answer, tags};
use crate::aws::ec2::resource::{Kind, find};
use crate::aws::ec2::{SecurityGroup, SecurityGroupRule};
use crate::aws::wire::params::Params;
use crate::aws::wire::xml::Element;
use crate::aws::{ACCOUNT, AwsError, Context, State};

pub(super) fn create(state: &mut State, context: &Context, params: &Params) -> Answer {
    let tags = tags::specified(params, Kind::SECURITY_GROUP, &[])?;
    let (name, description) = (params.require("GroupName")?, params.require("GroupDescription")?);
    let vpc = params.get("VpcId").ok_or_else(|| {
        AwsError::client("VPCIdNotSpecified", "No default VPC for this user. GroupName is only supported with a VpcId.")
    })?;
    let id = state.ec2.create_security_group(&mut state.ids, context, vpc, name, description, tags)?;
    let group = find(&state.ec2.security_groups, &context.region, &id)?;
    Ok(vec![
        Element::text("return", true),
        Element::text("groupId", &id),
        Element::text("securityGroupArn", arn(context, &id)),
        tag_set(&group.tags),
    ])
}

pub(super) fn delete(state: &mut State, context: &Context, params: &Params) -> Answer {
    let id = group_id(params)?;
    state.ec2.delete_security_group(context, id)?;
    Ok(vec![Element::text("return", true), Element::text("groupId", id)])
}

/// The group a request is for. A name alone would do only in a default VPC, and there is none.
fn group_id(params: &Params) -> Result<&str, AwsError> {
    match (params.get("GroupId"), params.get("GroupName")) {
        (None, Some(name)) => Err(AwsError::client(
            "InvalidGroup.NotFound",
            format!("The security group '{name}' does not exist in default VPC 'null'"),
        )),
        _ => params.require("GroupId"),
    }
}

pub(super) fn authorize_ingress(state: &mut State, context: &Context, params: &Params) -> Answer {
    authorize(state, context, params, false)
}

pub(super) fn authorize_egress(state: &mut State, context: &Context, params: &Params) -> Answer {
    authorize(state, context, params, true)
}

fn authorize(state: &mut State, context: &Context, params: &Params, egress: bool) -> Answer {
    let group = group_id(params)?;
    let tags = tags::specified(params, Kind::SECURITY_GROUP_RULE, &[])?;
    let rules = rules(params, egress, &tags)?;
    let made = state.ec2.authorize(&mut state.ids, context, group, rules)?;
    let record = find(&state.ec2.security_groups, &context.region, group)?;
    let items = made.iter().filter_map(|id| Some(rule_xml(context, id, group, record.rules.get(id)?)));
    Ok(vec![Element::text("return", true), Element::items("securityGroupRuleSet", items)])
}

pub(super) fn revoke_ingress(state: &mut State, context: &Context, params: &Params) -> Answer {
    revoke(state, context, params, false)
}

pub(super) fn revoke_egress(state: &mut State, context: &Context, params: &Params) -> Answer {
    revoke(state, context, params, true)
}

fn revoke(state: &mut State, context: &Context, params: &Params, egress: bool) -> Answer {
    let group = group_id(params)?;
    let before = find(&state.ec2.security_groups, &context.region, group)?.rules.clone();
    let mut revoked = params.list("SecurityGroupRuleId");
    if revoked.is_empty() {
        let rules = rules(params, egress, &Default::default())?;
        revoked = state.ec2.revoke(context, group, &rules)?;
    } else {
        state.ec2.revoke_by_id(context, group, egress, &revoked)?;
    }
    let items = revoked.iter().filter_map(|id| {
        let mut fields = rule_fields(id, group, before.get(id)?);
        if let RulePeer::Group(peer) = &before.get(id)?.peer {
            fields.push(Element::text("referencedGroupId", peer));
        }
        Some(fields)
    });
    Ok(vec![Element::text("return", true), Element::items("revokedSecurityGroupRuleSet", items)])
}

pub(super) fn describe(state: &mut State, context: &Context, params: &Params) -> Answer {
    let listing = Listing {
        action: "DescribeSecurityGroups",
        ids: "GroupId",
        set: "securityGroupInfo",
        filters: &[
            "description",
            "egress.ip-permission.cidr",
            "egress.ip-permission.group-id",
            "egress.ip-permission.protocol",
            "group-id",
            "group-name",
            "ip-permission.cidr",
            "ip-permission.from-port",
            "ip-permission.group-id",
            "ip-permission.protocol",
            "ip-permission.to-port",
            "owner-id",
            "vpc-id",
        ],
    };
    let groups = &state.ec2.security_groups;
    if let Some(name) = params.list("GroupName").first() {
        return Err(AwsError::client(
            "InvalidGroup.NotFound",
            format!("The security group '{name}' does not exist in default VPC 'null'"),
        ));
    }
    let field = |id: &str, group: &SecurityGroup, name: &str| {
        let egress = name.starts_with("egress.");
        let rules = || group.rules.values().filter(move |rule| rule.egress == egress);
        match name.trim_start_matches("egress.") {
            "description" => one(&group.description),
            "group-name" => one(&group.name),
            "owner-id" => one(ACCOUNT),
            "vpc-id" => one(&group.vpc),
            "ip-permission.cidr" => many(rules().filter_map(|rule| match &rule.peer {
                RulePeer::Cidr(block) => Some(block),
                RulePeer::Group(_) => None,
            })),
            "ip-permission.group-id" => many(rules().filter_map(peer_group)),
            "ip-permission.protocol" => many(rules().map(|rule| &rule.protocol)),
            "ip-permission.from-port" => many(rules().map(|rule| rule.from_port)),
            "ip-permission.to-port" => many(rules().map(|rule| rule.to_port)),
            _ => one(id),
        }
    };
    listing.of_region(context, params, groups, field, |id, group| {
        vec![
            Element::text("ownerId", ACCOUNT),
            Element::text("groupId", id),
            Element::text("groupName", &group.name),
            Element::text("groupDescription", &group.description),
            Element::text("securityGroupArn", arn(context, id)),
            Element::text("vpcId", &group.vpc),
            permissions("ipPermissions", group, false),
            permissions("ipPermissionsEgress", group, true),
            tag_set(&group.tags),
        ]
    })
}

pub(super) fn describe_rules(state: &mut State, context: &Context, params: &Params) -> Answer {
    let listing = Listing {
        action: "DescribeSecurityGroupRules",
        ids: "SecurityGroupRuleId",
        set: "securityGroupRuleSet",
        filters: &["group-id", "security-group-rule-id"],
    };
    let groups = state.ec2.security_groups.iter().filter(|(_, group)| group.region == context.region);
    // Each with the group it is of.
    let rules: Vec<(&str, (&str, &SecurityGroupRule))> = groups
        .flat_map(|(id, group)| group.rules.iter().map(move |(rule, r)| (rule.as_str(), (id.as_str(), r))))
        .collect();
    let candidates = rules.iter().map(|(id, record)| Candidate { id, record, tags: &record.1.tags });
    let exists = |id: &str| match rules.iter().any(|(rule, _)| *rule == id) {
        true => Ok(()),
        false => Err(Kind::SECURITY_GROUP_RULE.not_found(id)),
    };
    let field = |id: &str, record: &(&str, &SecurityGroupRule), name: &str| match name {
        "group-id" => one(record.0),
        _ => one(id),
    };
    listing.answer(params, candidates, exists, field, |id, (group, rule)| rule_xml(context, id, group, rule))
}

fn arn(context: &Context, id: &str) -> String {
    format!("arn:aws:ec2:{}:{ACCOUNT}:security-group/{id}", context.region)
}

fn peer_group(rule: &SecurityGroupRule) -> Option<&String> {
    match &rule.peer {
        RulePeer::Cidr(_) => None,
        RulePeer::Group(group) => Some(group),
    }
}

fn rule_fields(id: &str, group: &str, rule: &SecurityGroupRule) -> Vec<Element> {
    let mut fields = vec![
        Element::text("securityGroupRuleId", id),
        Element::text("groupId", group),
        Element::text("isEgress", rule.egress),
        Element::text("ipProtocol", &rule.protocol),
        Element::text("fromPort", rule.from_port),
        Element::text("toPort", rule.to_port),
    ];
    if let RulePeer::Cidr(block) = &rule.peer {
        fields.push(Element::text("cidrIpv4", block));
    }
    fields.extend(Element::optional("description", rule.description.as_ref()));
    fields
}

fn rule_xml(context: &Context, id: &str, group: &str, rule: &SecurityGroupRule) -> Vec<Element> {
    let mut fields = rule_fields(id, group, rule);
    fields.push(Element::text("groupOwnerId", ACCOUNT));
    let arn = format!("arn:aws:ec2:{}:{ACCOUNT}:security-group-rule/{id}", context.region);
    fields.push(Element::text("securityGroupRuleArn", arn));
    if let Some(peer) = peer_group(rule) {
        let referenced = vec![Element::text("groupId", peer), Element::text("userId", ACCOUNT)];
        fields.push(Element::new("referencedGroupInfo", referenced));
    }
    fields.push(tag_set(&rule.tags));
    fields
}
