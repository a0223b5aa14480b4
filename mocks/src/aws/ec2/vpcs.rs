//! VPCs.

use std::collections::BTreeMap;

use acrossk8s_vpc::{AclEntry, PeeringState, RulePeer, RuleProtocol};
use ipnet::Ipv4Net;

use crate::aws::ec2::resource::{Kind, find, find_mut};
use crate::aws::ec2::state::*;
use crate::aws::ids::Ids;
use crate::aws::tags::Tags;
use crate::aws::{AwsError, Context};

impl Ec2 {
    /// Creates a VPC with what comes with one: a main route table, a default security group and a default network ACL.
    ///
    /// # Errors
    /// `InvalidVpc.Range` unless the block is a /16 to /28, `VpcLimitExceeded`.
    pub fn create_vpc(
        &mut self,
        ids: &mut Ids,
        context: &Context,
        cidr_block: Ipv4Net,
        tags: Tags,
    ) -> Result<String, AwsError> {
        let region = &context.region;
        if !(16..=28).contains(&cidr_block.prefix_len()) {
            return Err(AwsError::client("InvalidVpc.Range", format!("The CIDR '{cidr_block}' is invalid.")));
        }
        if self.vpcs.values().filter(|vpc| vpc.region == *region).count() >= self.quotas.vpcs {
            return Err(AwsError::client("VpcLimitExceeded", "The maximum number of VPCs has been reached."));
        }
        let cidr_block = cidr_block.trunc();
        let id = ids.resource(Kind::VPC.prefix);
        let record = Vpc { region: region.clone(), cidr_block, dns_support: true, dns_hostnames: false, tags };
        self.vpcs.insert(id.clone(), record);

        let mut table = route_table(region, &id, cidr_block);
        table.associations.insert(ids.resource("rtbassoc"), Association::Main);
        self.route_tables.insert(ids.resource(Kind::ROUTE_TABLE.prefix), table);

        let group_id = ids.resource(Kind::SECURITY_GROUP.prefix);
        let within = rule_for_everything(false, RulePeer::Group(group_id.clone()));
        let outward = rule_for_everything(true, RulePeer::Cidr(Ipv4Net::default()));
        let prefix = Kind::SECURITY_GROUP_RULE.prefix;
        let rules = BTreeMap::from([(ids.resource(prefix), within), (ids.resource(prefix), outward)]);
        let group = SecurityGroup {
            region: region.clone(),
            vpc: id.clone(),
            name: "default".to_owned(),
            description: "default VPC security group".to_owned(),
            rules,
            tags: Tags::new(),
        };
        self.security_groups.insert(group_id, group);

        let allow = |egress| AclEntry {
            number: 100,
            egress,
            allow: true,
            protocol: RuleProtocol::All,
            ports: (-1, -1),
            cidr_block: Ipv4Net::default(),
        };
        let acl = NetworkAcl {
            region: region.clone(),
            vpc: id.clone(),
            default: true,
            entries: vec![allow(false), allow(true)],
            associations: BTreeMap::new(),
            tags: Tags::new(),
        };
        self.network_acls.insert(ids.resource(Kind::NETWORK_ACL.prefix), acl);
        Ok(id)
    }

    /// Deletes a VPC with its main route table, default security group and default network ACL. Requests for peering
    /// connections that were not accepted end with it.
    ///
    /// # Errors
    /// `InvalidVpcID.NotFound`; `DependencyViolation` while anything else is in it, an internet gateway is attached, or a
    /// peering connection is active.
    pub fn delete_vpc(&mut self, context: &Context, id: &str) -> Result<(), AwsError> {
        find(&self.vpcs, &context.region, id)?;
        let peered = self.peerings.values().any(|peering| {
            let state = peering.state(context.now, &context.latencies);
            peering.has(id) && matches!(state, PeeringState::Provisioning | PeeringState::Active)
        });
        let used = self.subnets.values().any(|subnet| subnet.vpc == id)
            || self.route_tables.values().any(|table| table.vpc == id && !table.is_main())
            || self.security_groups.values().any(|group| group.vpc == id && group.name != "default")
            || self.network_acls.values().any(|acl| acl.vpc == id && !acl.default)
            || self.internet_gateways.values().any(|gateway| gateway.vpc.as_deref() == Some(id));
        // Interfaces and NAT gateways are in subnets.
        if peered || used {
            return Err(AwsError::dependency("vpc", id));
        }
        self.route_tables.retain(|_, table| table.vpc != id);
        self.security_groups.retain(|_, group| group.vpc != id);
        self.network_acls.retain(|_, acl| acl.vpc != id);
        self.vpcs.remove(id);
        for peering in self.peerings.values_mut().filter(|peering| peering.has(id) && peering.ended.is_none()) {
            peering.ended = Some((PeeringState::Deleted, context.now));
        }
        Ok(())
    }

    /// Sets `enableDnsSupport` or `enableDnsHostnames`, where given.
    ///
    /// # Errors
    /// `InvalidVpcID.NotFound`.
    pub fn modify_vpc_attribute(
        &mut self,
        context: &Context,
        id: &str,
        dns_support: Option<bool>,
        dns_hostnames: Option<bool>,
    ) -> Result<(), AwsError> {
        let vpc = find_mut(&mut self.vpcs, &context.region, id)?;
        vpc.dns_support = dns_support.unwrap_or(vpc.dns_support);
        vpc.dns_hostnames = dns_hostnames.unwrap_or(vpc.dns_hostnames);
        Ok(())
    }
}

/// A route table with nothing but the local route.
pub(super) fn route_table(region: &str, vpc: &str, cidr_block: Ipv4Net) -> RouteTable {
    let local = Route { target: "local".to_owned(), origin: "CreateRouteTable" };
    RouteTable {
        region: region.to_owned(),
        vpc: vpc.to_owned(),
        routes: BTreeMap::from([(cidr_block, local)]),
        associations: BTreeMap::new(),
        tags: Tags::new(),
    }
}

/// A rule that allows every protocol and port.
pub(super) fn rule_for_everything(egress: bool, peer: RulePeer) -> SecurityGroupRule {
    SecurityGroupRule {
        egress,
        protocol: "-1".to_owned(),
        from_port: -1,
        to_port: -1,
        peer,
        description: None,
        tags: Tags::new(),
    }
}
