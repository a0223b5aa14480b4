//! What all resources of EC2 have in common: ids in a form, a region, tags, and errors when one is not there.

use std::collections::BTreeMap;

use crate::aws::AwsError;
use crate::aws::ec2::state::*;
use crate::aws::tags::Tags;

/// A kind of resource. The spelling of the error codes is AWS's own, inconsistencies included.
///
/// Source: EC2 API Reference, "Error codes for the Amazon EC2 API".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kind {
    /// What ids begin with, without the dash.
    pub prefix: &'static str,
    /// ResourceType in tag specifications.
    pub resource_type: &'static str,
    /// What messages call it.
    pub noun: &'static str,
    /// Code when there is none with an id.
    pub not_found: &'static str,
    /// Code when an id has not the form of one.
    pub malformed: &'static str,
}

macro_rules! kinds {
    ($($name:ident: $prefix:literal, $resource_type:literal, $noun:literal, $not_found:literal, $malformed:literal;)*) => {
        impl Kind {
            $(
                #[doc = concat!("`", $prefix, "-…`")]
                pub const $name: Kind = Kind {
                    prefix: $prefix,
                    resource_type: $resource_type,
                    noun: $noun,
                    not_found: $not_found,
                    malformed: $malformed,
                };
            )*
            const ALL: &[Kind] = &[$(Kind::$name),*];
        }
    };
}

kinds! {
    VPC: "vpc", "vpc", "vpc ID", "InvalidVpcID.NotFound", "InvalidVpcID.Malformed";
    SUBNET: "subnet", "subnet", "subnet ID", "InvalidSubnetID.NotFound", "InvalidSubnetID.Malformed";
    ROUTE_TABLE: "rtb", "route-table", "routeTable ID", "InvalidRouteTableID.NotFound", "InvalidRouteTableId.Malformed";
    INTERNET_GATEWAY: "igw", "internet-gateway", "internetGateway ID", "InvalidInternetGatewayID.NotFound",
        "InvalidInternetGatewayId.Malformed";
    NAT_GATEWAY: "nat", "natgateway", "natGateway ID", "NatGatewayNotFound", "NatGatewayMalformed";
    ADDRESS: "eipalloc", "elastic-ip", "allocation ID", "InvalidAllocationID.NotFound", "InvalidElasticIpID.Malformed";
    SECURITY_GROUP: "sg", "security-group", "security group", "InvalidGroup.NotFound", "InvalidGroupId.Malformed";
    SECURITY_GROUP_RULE: "sgr", "security-group-rule", "security group rule ID", "InvalidSecurityGroupRuleId.NotFound",
        "InvalidSecurityGroupRuleId.Malformed";
    NETWORK_ACL: "acl", "network-acl", "networkAcl ID", "InvalidNetworkAclID.NotFound", "InvalidNetworkAclId.Malformed";
    INTERFACE: "eni", "network-interface", "networkInterface ID", "InvalidNetworkInterfaceID.NotFound",
        "InvalidNetworkInterfaceId.Malformed";
    INSTANCE: "i", "instance", "instance ID", "InvalidInstanceID.NotFound", "InvalidInstanceID.Malformed";
    PEERING: "pcx", "vpc-peering-connection", "vpcPeeringConnection ID", "InvalidVpcPeeringConnectionID.NotFound",
        "InvalidVpcPeeringConnectionId.Malformed";
}

impl Kind {
    /// The kind that an id is of, by its prefix.
    pub fn of_id(id: &str) -> Option<Kind> {
        let prefix = id.rsplit_once('-')?.0;
        Kind::ALL.iter().copied().find(|kind| kind.prefix == prefix)
    }

    /// Checks the form of an id: the prefix and 8 or 17 hexadecimal digits.
    ///
    /// # Errors
    /// The kind's `….Malformed`.
    pub fn check(self, id: &str) -> Result<(), AwsError> {
        let digits = id.strip_prefix(self.prefix).and_then(|rest| rest.strip_prefix('-')).unwrap_or_default();
        if matches!(digits.len(), 8 | 17) && digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
            return Ok(());
        }
        Err(AwsError::client(self.malformed, format!("Invalid id: \"{id}\" (expecting \"{}-...\")", self.prefix)))
    }

    /// That there is none with this id; or that the id cannot be one.
    pub fn not_found(self, id: &str) -> AwsError {
        match self.check(id) {
            Ok(()) => AwsError::client(self.not_found, format!("The {} '{id}' does not exist", self.noun)),
            Err(malformed) => malformed,
        }
    }
}

/// A record of EC2's that lives in one region.
pub trait Resource {
    /// Its kind.
    const KIND: Kind;
    /// Its region.
    fn region(&self) -> &str;
    /// Its tags.
    fn tags(&self) -> &Tags;
    /// Its tags, to be changed.
    fn tags_mut(&mut self) -> &mut Tags;
}

macro_rules! resources {
    ($($record:ident: $kind:ident;)*) => { $(
        impl Resource for $record {
            const KIND: Kind = Kind::$kind;
            fn region(&self) -> &str {
                &self.region
            }
            fn tags(&self) -> &Tags {
                &self.tags
            }
            fn tags_mut(&mut self) -> &mut Tags {
                &mut self.tags
            }
        }
    )* };
}

resources! {
    Vpc: VPC;
    Subnet: SUBNET;
    RouteTable: ROUTE_TABLE;
    InternetGateway: INTERNET_GATEWAY;
    NatGateway: NAT_GATEWAY;
    ElasticAddress: ADDRESS;
    SecurityGroup: SECURITY_GROUP;
    NetworkAcl: NETWORK_ACL;
    Interface: INTERFACE;
    Instance: INSTANCE;
}

/// The record with an id in a region.
///
/// # Errors
/// The kind's `….Malformed` or `….NotFound`.
pub fn find<'a, R: Resource>(records: &'a BTreeMap<String, R>, region: &str, id: &str) -> Result<&'a R, AwsError> {
    records.get(id).filter(|record| record.region() == region).ok_or_else(|| R::KIND.not_found(id))
}

/// Like [`find`], to be changed.
///
/// # Errors
/// The kind's `….Malformed` or `….NotFound`.
pub fn find_mut<'a, R: Resource>(
    records: &'a mut BTreeMap<String, R>,
    region: &str,
    id: &str,
) -> Result<&'a mut R, AwsError> {
    records.get_mut(id).filter(|record| record.region() == region).ok_or_else(|| R::KIND.not_found(id))
}
