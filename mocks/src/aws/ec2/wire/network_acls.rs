//! Network ACLs on the wire.

use acrossk8s_vpc::{AclEntry, RuleProtocol};
use ipnet::Ipv4Net;

use super::listing::{Listing, many, one, tag_set};
use super::{Answer, done, tags};
use crate::aws::ec2::NetworkAcl;
use crate::aws::ec2::network_acls::LAST_ENTRY;
use crate::aws::ec2::resource::{Kind, find};
use crate::aws::wire::params::Params;
use crate::aws::wire::xml::Element;
use crate::aws::{ACCOUNT, AwsError, Context, State};

pub(super) fn create(state: &mut State, context: &Context, params: &Params) -> Answer {
    let tags = tags::specified(params, Kind::NETWORK_ACL, &[])?;
    let id = state.ec2.create_network_acl(&mut state.ids, context, params.require("VpcId")?, tags)?;
    let acl = find(&state.ec2.network_acls, &context.region, &id)?;
    Ok(vec![Element::new("networkAcl", xml(&id, acl))])
}

pub(super) fn delete(state: &mut State, context: &Context, params: &Params) -> Answer {
    state.ec2.delete_network_acl(context, params.require("NetworkAclId")?)?;
    done()
}

pub(super) fn create_entry(state: &mut State, context: &Context, params: &Params) -> Answer {
    state.ec2.put_network_acl_entry(context, params.require("NetworkAclId")?, entry(params)?, false)?;
    done()
}

pub(super) fn replace_entry(state: &mut State, context: &Context, params: &Params) -> Answer {
    state.ec2.put_network_acl_entry(context, params.require("NetworkAclId")?, entry(params)?, true)?;
    done()
}

pub(super) fn delete_entry(state: &mut State, context: &Context, params: &Params) -> Answer {
    let (number, egress) = number(params)?;
    state.ec2.delete_network_acl_entry(context, params.require("NetworkAclId")?, number, egress)?;
    done()
}

pub(super) fn replace_association(state: &mut State, context: &Context, params: &Params) -> Answer {
    let (association, acl) = (params.require("AssociationId")?, params.require("NetworkAclId")?);
    let id = state.ec2.replace_network_acl_association(&mut state.ids, context, association, acl)?;
    Ok(vec![Element::text("newAssociationId", id)])
}

fn number(params: &Params) -> Result<(u16, bool), AwsError> {
    let number = params.int("RuleNumber")?.ok_or_else(|| AwsError::missing_parameter("ruleNumber"))?;
    let egress = params.bool("Egress")?.ok_or_else(|| AwsError::missing_parameter("egress"))?;
    let number = u16::try_from(number).map_err(|_| {
        AwsError::invalid_value(format!("Invalid value '{number}' for ruleNumber: must be between 1 and 32766"))
    })?;
    Ok((number, egress))
}

fn entry(params: &Params) -> Result<AclEntry, AwsError> {
    let (number, egress) = number(params)?;
    let protocol = match params.require("Protocol")? {
        "-1" | "all" => RuleProtocol::All,
        "6" | "tcp" => RuleProtocol::Tcp,
        "17" | "udp" => RuleProtocol::Udp,
        "1" | "icmp" => RuleProtocol::Icmp,
        other => return Err(AwsError::invalid_value(format!("Invalid value '{other}' for IP protocol."))),
    };
    let allow = match params.require("RuleAction")? {
        "allow" => true,
        "deny" => false,
        other => return Err(AwsError::invalid_value(format!("Invalid value '{other}' for ruleAction"))),
    };
    let port = |name: &str| -> Result<Option<i32>, AwsError> {
        let invalid = |_| AwsError::invalid_value(format!("Invalid value for {name}"));
        params.int(name)?.map(i32::try_from).transpose().map_err(invalid)
    };
    let ports = match protocol {
        RuleProtocol::All => (-1, -1),
        RuleProtocol::Icmp => (port("Icmp.Type")?.unwrap_or(-1), port("Icmp.Code")?.unwrap_or(-1)),
        RuleProtocol::Tcp | RuleProtocol::Udp => {
            let (from, to) = (port("PortRange.From")?, port("PortRange.To")?);
            match (from, to) {
                (Some(from), Some(to)) if 0 <= from && from <= to && to <= 65535 => (from, to),
                (Some(_), Some(_)) => return Err(AwsError::invalid_value("Invalid value for portRange")),
                _ => return Err(AwsError::missing_parameter("portRange")),
            }
        }
    };
    let cidr_block = params.cidr("CidrBlock")?.ok_or_else(|| AwsError::missing_parameter("cidrBlock"))?;
    Ok(AclEntry { number, egress, allow, protocol, ports, cidr_block })
}

pub(super) fn describe(state: &mut State, context: &Context, params: &Params) -> Answer {
    let listing = Listing {
        action: "DescribeNetworkAcls",
        ids: "NetworkAclId",
        set: "networkAclSet",
        filters: &[
            "association.association-id",
            "association.network-acl-id",
            "association.subnet-id",
            "default",
            "network-acl-id",
            "owner-id",
            "vpc-id",
        ],
    };
    let field = |id: &str, acl: &NetworkAcl, name: &str| match name {
        "association.association-id" => many(acl.associations.keys()),
        "association.network-acl-id" if acl.associations.is_empty() => Vec::new(),
        "association.subnet-id" => many(acl.associations.values()),
        "default" => one(acl.default),
        "owner-id" => one(ACCOUNT),
        "vpc-id" => one(&acl.vpc),
        _ => one(id),
    };
    listing.of_region(context, params, &state.ec2.network_acls, field, xml)
}

fn xml(id: &str, acl: &NetworkAcl) -> Vec<Element> {
    let last = |egress| AclEntry {
        number: LAST_ENTRY,
        egress,
        allow: false,
        protocol: RuleProtocol::All,
        ports: (-1, -1),
        cidr_block: Ipv4Net::default(),
    };
    let entries = acl.entries.iter().cloned().chain([last(false), last(true)]).map(|entry| {
        let protocol = match entry.protocol {
            RuleProtocol::All => "-1",
            RuleProtocol::Tcp => "6",
            RuleProtocol::Udp => "17",
            RuleProtocol::Icmp => "1",
        };
        let mut fields = vec![
            Element::text("ruleNumber", entry.number),
            Element::text("egress", entry.egress),
            Element::text("protocol", protocol),
            Element::text("ruleAction", if entry.allow { "allow" } else { "deny" }),
            Element::text("cidrBlock", entry.cidr_block),
        ];
        let (first, second) = entry.ports;
        match entry.protocol {
            RuleProtocol::All => {}
            RuleProtocol::Icmp => fields
                .push(Element::new("icmpTypeCode", vec![Element::text("type", first), Element::text("code", second)])),
            RuleProtocol::Tcp | RuleProtocol::Udp => {
                fields.push(Element::new("portRange", vec![Element::text("from", first), Element::text("to", second)]))
            }
        }
        fields
    });
    let associations = acl.associations.iter().map(|(association, subnet)| {
        vec![
            Element::text("networkAclAssociationId", association),
            Element::text("networkAclId", id),
            Element::text("subnetId", subnet),
        ]
    });
    vec![
        Element::text("networkAclId", id),
        Element::text("vpcId", &acl.vpc),
        Element::text("ownerId", ACCOUNT),
        Element::text("default", acl.default),
        Element::items("entrySet", entries),
        Element::items("associationSet", associations),
        tag_set(&acl.tags),
    ]
}
