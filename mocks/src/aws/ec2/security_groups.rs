//! Security groups and their rules.

use std::collections::BTreeMap;

use acrossk8s_vpc::RulePeer;
use ipnet::Ipv4Net;

use crate::aws::ec2::resource::{Kind, find, find_mut};
use crate::aws::ec2::state::*;
use crate::aws::ec2::vpcs::rule_for_everything;
use crate::aws::ids::Ids;
use crate::aws::tags::Tags;
use crate::aws::{AwsError, Context};

impl SecurityGroupRule {
    /// A rule for a CIDR block: protocol `-1`, `tcp`, `udp` or `icmp`, and its ports (-1 and -1 for all).
    pub fn cidr(egress: bool, protocol: &str, ports: (i32, i32), block: Ipv4Net) -> Self {
        Self {
            egress,
            protocol: protocol.to_owned(),
            from_port: ports.0,
            to_port: ports.1,
            ..Self::all(RulePeer::Cidr(block))
        }
    }

    /// An inbound rule for everything from this peer.
    pub fn all(peer: RulePeer) -> Self {
        rule_for_everything(false, peer)
    }

    /// The same with a description.
    pub fn described(self, description: impl Into<String>) -> Self {
        Self { description: Some(description.into()), ..self }
    }

    /// Whether both allow the same. The description makes no difference.
    pub fn allows_same(&self, other: &Self) -> bool {
        self.egress == other.egress
            && self.protocol == other.protocol
            && (self.from_port, self.to_port) == (other.from_port, other.to_port)
            && self.peer == other.peer
    }

    /// As messages about duplicates name it.
    fn describe(&self) -> String {
        let peer = match &self.peer {
            RulePeer::Cidr(block) => block.to_string(),
            RulePeer::Group(group) => group.clone(),
        };
        if self.protocol == "-1" {
            return format!("peer: {peer}, ALL, ALLOW");
        }
        let protocol = self.protocol.to_uppercase();
        format!("peer: {peer}, {protocol}, from port: {}, to port: {}, ALLOW", self.from_port, self.to_port)
    }
}

impl Ec2 {
    /// Creates a security group with the outbound rule that allows everything.
    ///
    /// # Errors
    /// `InvalidVpcID.NotFound`; `InvalidGroup.Duplicate`; `InvalidGroup.Reserved` for the name `default`;
    /// `InvalidParameterValue` for a name like an id.
    pub fn create_security_group(
        &mut self,
        ids: &mut Ids,
        context: &Context,
        vpc: &str,
        name: &str,
        description: &str,
        tags: Tags,
    ) -> Result<String, AwsError> {
        find(&self.vpcs, &context.region, vpc)?;
        if name == "default" {
            return Err(AwsError::client("InvalidGroup.Reserved", "The security group name 'default' is reserved"));
        }
        if name.starts_with("sg-") {
            return Err(AwsError::invalid_value(
                "invalid value for parameter groupName: Group names may not begin with sg-",
            ));
        }
        if name.chars().count() > 255 || description.chars().count() > 255 {
            return Err(AwsError::invalid_value("Group names and descriptions have at most 255 characters"));
        }
        if self.security_groups.values().any(|group| group.vpc == vpc && group.name == name) {
            return Err(AwsError::client(
                "InvalidGroup.Duplicate",
                format!("The security group '{name}' already exists for VPC '{vpc}'"),
            ));
        }
        let id = ids.resource(Kind::SECURITY_GROUP.prefix);
        let outward = rule_for_everything(true, RulePeer::Cidr(Ipv4Net::default()));
        let group = SecurityGroup {
            region: context.region.clone(),
            vpc: vpc.to_owned(),
            name: name.to_owned(),
            description: description.to_owned(),
            rules: BTreeMap::from([(ids.resource(Kind::SECURITY_GROUP_RULE.prefix), outward)]),
            tags,
        };
        self.security_groups.insert(id.clone(), group);
        Ok(id)
    }

    /// Deletes a security group.
    ///
    /// # Errors
    /// `InvalidGroup.NotFound`; `CannotDelete` for a default group; `DependencyViolation` while an interface carries it or
    /// a rule of another group names it.
    pub fn delete_security_group(&mut self, context: &Context, id: &str) -> Result<(), AwsError> {
        let group = find(&self.security_groups, &context.region, id)?;
        if group.name == "default" {
            return Err(AwsError::client(
                "CannotDelete",
                format!("the specified group: \"{id}\" name: \"default\" cannot be deleted by a user"),
            ));
        }
        let peer = RulePeer::Group(id.to_owned());
        let carried = self.interfaces.values().any(|interface| interface.groups.iter().any(|group| group == id));
        let named = self
            .security_groups
            .iter()
            .any(|(other, group)| other != id && group.rules.values().any(|rule| rule.peer == peer));
        if carried || named {
            return Err(AwsError::client("DependencyViolation", format!("resource {id} has a dependent object")));
        }
        self.security_groups.remove(id);
        Ok(())
    }

    /// Adds rules to a group, all or none, and gives their ids in order.
    ///
    /// # Errors
    /// `InvalidGroup.NotFound` for the group or one that a rule names; `InvalidPermission.Duplicate` where a rule allows
    /// what another one does, whatever their descriptions; `InvalidParameterValue` where two of the new ones do;
    /// `RulesPerSecurityGroupLimitExceeded`.
    pub fn authorize(
        &mut self,
        ids: &mut Ids,
        context: &Context,
        group: &str,
        rules: Vec<SecurityGroupRule>,
    ) -> Result<Vec<String>, AwsError> {
        let record = find(&self.security_groups, &context.region, group)?;
        for (index, rule) in rules.iter().enumerate() {
            if rules[..index].iter().any(|other| other.allows_same(rule)) {
                return Err(AwsError::invalid_value("The same permission must not appear multiple times"));
            }
            if record.rules.values().any(|other| other.allows_same(rule)) {
                return Err(AwsError::client(
                    "InvalidPermission.Duplicate",
                    format!("the specified rule \"{}\" already exists", rule.describe()),
                ));
            }
            if let RulePeer::Group(peer) = &rule.peer {
                self.check_peer_group(context, &record.vpc, peer)?;
            }
        }
        for egress in [false, true] {
            let old = record.rules.values().filter(|rule| rule.egress == egress).count();
            let new = rules.iter().filter(|rule| rule.egress == egress).count();
            if new > 0 && old + new > self.quotas.rules {
                return Err(AwsError::client(
                    "RulesPerSecurityGroupLimitExceeded",
                    "The maximum number of rules per security group has been reached.",
                ));
            }
        }
        let record = find_mut(&mut self.security_groups, &context.region, group)?;
        Ok(rules
            .into_iter()
            .map(|rule| {
                let id = ids.resource(Kind::SECURITY_GROUP_RULE.prefix);
                record.rules.insert(id.clone(), rule);
                id
            })
            .collect())
    }

    /// A rule can name a group of its own VPC, or of one that is peered in the same region.
    fn check_peer_group(&self, context: &Context, vpc: &str, peer: &str) -> Result<(), AwsError> {
        let other = &find(&self.security_groups, &context.region, peer)?.vpc;
        let peered = self.peerings.values().any(|peering| {
            peering.has(vpc)
                && peering.has(other)
                && peering.state(context.now, &context.latencies) == acrossk8s_vpc::PeeringState::Active
        });
        if other == vpc || peered {
            return Ok(());
        }
        Err(AwsError::client(
            "InvalidGroup.NotFound",
            "You have specified two resources that belong to different networks.",
        ))
    }

    /// Removes the rules that allow the same as these, all or none, and gives their ids.
    ///
    /// # Errors
    /// `InvalidGroup.NotFound`; `InvalidPermission.NotFound` where the group has no such rule.
    pub fn revoke(
        &mut self,
        context: &Context,
        group: &str,
        rules: &[SecurityGroupRule],
    ) -> Result<Vec<String>, AwsError> {
        let record = find_mut(&mut self.security_groups, &context.region, group)?;
        let mut revoked = Vec::new();
        for rule in rules {
            let found = record.rules.iter().find(|(_, own)| own.allows_same(rule)).map(|(id, _)| id.clone());
            revoked.push(found.ok_or_else(|| {
                AwsError::client(
                    "InvalidPermission.NotFound",
                    "The specified rule does not exist in this security group.",
                )
            })?);
        }
        record.rules.retain(|id, _| !revoked.contains(id));
        Ok(revoked)
    }

    /// Removes rules by their ids, all or none.
    ///
    /// # Errors
    /// `InvalidGroup.NotFound`; `InvalidSecurityGroupRuleId.NotFound` where the group has no such rule in that direction.
    pub fn revoke_by_id(
        &mut self,
        context: &Context,
        group: &str,
        egress: bool,
        rules: &[String],
    ) -> Result<(), AwsError> {
        let record = find_mut(&mut self.security_groups, &context.region, group)?;
        if let Some(missing) = rules.iter().find(|id| record.rules.get(*id).is_none_or(|rule| rule.egress != egress)) {
            return Err(Kind::SECURITY_GROUP_RULE.not_found(missing));
        }
        record.rules.retain(|id, _| !rules.contains(id));
        Ok(())
    }
}
