//! Permissions of security groups: `IpPermissions.N` and the older form with one CIDR block, in and out.

use std::collections::BTreeMap;

use acrossk8s_vpc::RulePeer;

use crate::aws::ec2::{SecurityGroup, SecurityGroupRule};
use crate::aws::tags::Tags;
use crate::aws::wire::params::Params;
use crate::aws::wire::xml::Element;
use crate::aws::{ACCOUNT, AwsError};

/// The rules that a request names, one for each CIDR block and group.
///
/// # Errors
/// `MissingParameter`, `InvalidParameterValue` and `InvalidPermission.Malformed` for what is not a permission;
/// `UnsupportedOperation` for IPv6 and prefix lists.
pub(super) fn rules(params: &Params, egress: bool, tags: &Tags) -> Result<Vec<SecurityGroupRule>, AwsError> {
    let permissions = params.structs("IpPermissions");
    if permissions.is_empty() {
        return match params.get("CidrIp") {
            Some(_) => Ok(vec![rule(params, egress, RulePeer::Cidr(cidr(params)?), None, tags)?]),
            None => Err(AwsError::missing_parameter("ipPermissions")),
        };
    }
    let mut rules = Vec::new();
    for permission in &permissions {
        if let Some(other) = ["Ipv6Ranges", "PrefixListIds"].iter().find(|name| !permission.nested(name).is_empty()) {
            return Err(AwsError::client("UnsupportedOperation", format!("{other} are not emulated.")));
        }
        let before = rules.len();
        for range in permission.structs("IpRanges") {
            rules.push(rule(permission, egress, RulePeer::Cidr(cidr(&range)?), range.get("Description"), tags)?);
        }
        for pair in permission.structs("Groups") {
            if pair.get("UserId").is_some_and(|user| user != ACCOUNT) {
                return Err(AwsError::client("UnsupportedOperation", "Groups of other accounts are not emulated."));
            }
            let peer = RulePeer::Group(pair.require("GroupId")?.to_owned());
            rules.push(rule(permission, egress, peer, pair.get("Description"), tags)?);
        }
        if rules.len() == before {
            return Err(AwsError::client(
                "MissingParameter",
                "The request must contain at least one of: ipRanges, groups",
            ));
        }
    }
    Ok(rules)
}

fn cidr(params: &Params) -> Result<ipnet::Ipv4Net, AwsError> {
    let text = params.require("CidrIp")?;
    // AWS clears host bits, as it does for routes.
    text.parse()
        .map(|block: ipnet::Ipv4Net| block.trunc())
        .map_err(|_| AwsError::invalid_value(format!("CIDR block {text} is malformed")))
}

fn rule(
    params: &Params,
    egress: bool,
    peer: RulePeer,
    description: Option<&str>,
    tags: &Tags,
) -> Result<SecurityGroupRule, AwsError> {
    let protocol = protocol(params.require("IpProtocol")?)?;
    let port = |name| -> Result<Option<i32>, AwsError> {
        let value = params.int(name)?;
        let port = value.map(i32::try_from).transpose();
        port.map_err(|_| AwsError::invalid_value(format!("Invalid value '{}' for {name}", value.unwrap_or_default())))
    };
    let (from_port, to_port) = match (protocol.as_str(), port("FromPort")?, port("ToPort")?) {
        ("tcp" | "udp", Some(from), Some(to)) => {
            if let Some(wrong) = [from, to].into_iter().find(|port| !(0..=65535).contains(port)) {
                return Err(AwsError::invalid_value(format!(
                    "{} port ({wrong}) out of range",
                    protocol.to_uppercase()
                )));
            }
            if from > to {
                return Err(AwsError::invalid_value(format!(
                    "Invalid {} port range: from port {from} is greater than to port {to}",
                    protocol.to_uppercase()
                )));
            }
            (from, to)
        }
        ("tcp" | "udp", ..) => {
            return Err(AwsError::invalid_value(
                "Invalid value 'Must specify both from and to ports with TCP/UDP.' for portRange.",
            ));
        }
        ("icmp", from, to) => (from.unwrap_or(-1), to.unwrap_or(-1)),
        _ => (-1, -1),
    };
    if description.is_some_and(|text| text.chars().count() > 255) {
        return Err(AwsError::invalid_value(
            "Invalid rule description. Rule descriptions have at most 255 characters.",
        ));
    }
    let description = description.map(str::to_owned);
    Ok(SecurityGroupRule { egress, protocol, from_port, to_port, peer, description, tags: tags.clone() })
}

fn protocol(text: &str) -> Result<String, AwsError> {
    let lower = text.to_ascii_lowercase();
    Ok(match lower.as_str() {
        "-1" | "all" => "-1".to_owned(),
        "tcp" | "6" => "tcp".to_owned(),
        "udp" | "17" => "udp".to_owned(),
        "icmp" | "1" => "icmp".to_owned(),
        number if number.parse::<u8>().is_ok() => lower,
        _ => {
            return Err(AwsError::invalid_value(format!("Invalid value '{text}' for IP protocol. Unknown protocol.")));
        }
    })
}

/// The permissions of one direction as Describe shows them: rules with the same protocol and ports together.
pub(super) fn permissions(name: &'static str, group: &SecurityGroup, egress: bool) -> Element {
    let mut by_ports: BTreeMap<(&str, i32, i32), Vec<&SecurityGroupRule>> = BTreeMap::new();
    for rule in group.rules.values().filter(|rule| rule.egress == egress) {
        by_ports.entry((&rule.protocol, rule.from_port, rule.to_port)).or_default().push(rule);
    }
    let items = by_ports.into_iter().map(|((protocol, from, to), rules)| {
        let mut fields = vec![Element::text("ipProtocol", protocol)];
        if protocol != "-1" {
            fields.extend([Element::text("fromPort", from), Element::text("toPort", to)]);
        }
        let described = |element, rule: &SecurityGroupRule| {
            let mut fields = vec![element];
            fields.extend(Element::optional("description", rule.description.as_ref()));
            fields
        };
        let ranges = rules.iter().filter_map(|rule| match &rule.peer {
            RulePeer::Cidr(block) => Some(described(Element::text("cidrIp", block), rule)),
            RulePeer::Group(_) => None,
        });
        let groups = rules.iter().filter_map(|rule| match &rule.peer {
            RulePeer::Cidr(_) => None,
            RulePeer::Group(group) => {
                let mut fields = described(Element::text("groupId", group), rule);
                fields.push(Element::text("userId", ACCOUNT));
                Some(fields)
            }
        });
        fields.push(Element::items("groups", groups));
        fields.push(Element::items("ipRanges", ranges));
        fields.push(Element::new("ipv6Ranges", Vec::new()));
        fields.push(Element::new("prefixListIds", Vec::new()));
        fields
    });
    Element::items(name, items)
}
