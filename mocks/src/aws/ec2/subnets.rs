//! Subnets and the addresses in them.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

use crate::aws::ec2::regions::zones;
use crate::aws::ec2::resource::{Kind, find, find_mut};
use crate::aws::ec2::state::*;
use crate::aws::ids::Ids;
use crate::aws::tags::Tags;
use crate::aws::{AwsError, Context};

/// How many addresses at the beginning of a subnet AWS keeps: the network, the router, DNS, and one for later. It keeps
/// the last one, too.
const RESERVED: u32 = 4;

impl Ec2 {
    /// Creates a subnet in an availability zone; an empty name means the region's first one. The VPC's default network
    /// ACL and main route table apply to it.
    ///
    /// # Errors
    /// `InvalidVpcID.NotFound`; `InvalidParameterValue` for a zone of another region; `InvalidSubnet.Range` for a block
    /// outside the VPC's or not a /16 to /28; `InvalidSubnet.Conflict` for one that overlaps another subnet's;
    /// `SubnetLimitExceeded`.
    pub fn create_subnet(
        &mut self,
        ids: &mut Ids,
        context: &Context,
        vpc: &str,
        cidr_block: Ipv4Net,
        availability_zone: &str,
        tags: Tags,
    ) -> Result<String, AwsError> {
        let vpc_block = find(&self.vpcs, &context.region, vpc)?.cidr_block;
        let zones = zones(&context.region);
        let availability_zone = match (availability_zone, zones.first()) {
            ("", Some(first)) => first.clone(),
            (zone, _) if zones.iter().any(|known| known == zone) => zone.to_owned(),
            (zone, _) => {
                return Err(AwsError::invalid_value(format!(
                    "Value ({zone}) for parameter availabilityZone is invalid. Subnets can currently only be created in \
                     the following availability zones: {}.",
                    zones.join(", ")
                )));
            }
        };
        let cidr_block = cidr_block.trunc();
        if !(16..=28).contains(&cidr_block.prefix_len()) || !vpc_block.contains(&cidr_block) {
            return Err(AwsError::client("InvalidSubnet.Range", format!("The CIDR '{cidr_block}' is invalid.")));
        }
        let siblings = || self.subnets.values().filter(|subnet| subnet.vpc == vpc);
        if siblings().any(|other| overlap(other.cidr_block, cidr_block)) {
            return Err(AwsError::client(
                "InvalidSubnet.Conflict",
                format!("The CIDR '{cidr_block}' conflicts with another subnet"),
            ));
        }
        if siblings().count() >= self.quotas.subnets {
            return Err(AwsError::client("SubnetLimitExceeded", "The maximum number of subnets has been reached."));
        }
        let id = ids.resource(Kind::SUBNET.prefix);
        if let Some(acl) = self.network_acls.values_mut().find(|acl| acl.vpc == vpc && acl.default) {
            acl.associations.insert(ids.resource("aclassoc"), id.clone());
        }
        let subnet = Subnet {
            region: context.region.clone(),
            vpc: vpc.to_owned(),
            cidr_block,
            availability_zone,
            map_public_ip: false,
            tags,
        };
        self.subnets.insert(id.clone(), subnet);
        Ok(id)
    }

    /// Deletes a subnet. Its associations with a route table and a network ACL go with it.
    ///
    /// # Errors
    /// `InvalidSubnetID.NotFound`; `DependencyViolation` while there is an interface in it.
    pub fn delete_subnet(&mut self, context: &Context, id: &str) -> Result<(), AwsError> {
        find(&self.subnets, &context.region, id)?;
        if self.interfaces.values().any(|interface| interface.subnet == id) {
            return Err(AwsError::dependency("subnet", id));
        }
        self.subnets.remove(id);
        self.released.remove(id);
        for table in self.route_tables.values_mut() {
            table.associations.retain(|_, of| !matches!(of, Association::Subnet(subnet) if subnet == id));
        }
        for acl in self.network_acls.values_mut() {
            acl.associations.retain(|_, subnet| subnet != id);
        }
        Ok(())
    }

    /// Sets `mapPublicIpOnLaunch`.
    ///
    /// # Errors
    /// `InvalidSubnetID.NotFound`.
    pub fn map_public_ip_on_launch(&mut self, context: &Context, id: &str, value: bool) -> Result<(), AwsError> {
        find_mut(&mut self.subnets, &context.region, id)?.map_public_ip = value;
        Ok(())
    }

    /// How many addresses of a subnet can still be given out.
    pub fn available_addresses(&self, id: &str) -> u32 {
        let Some(subnet) = self.subnets.get(id) else { return 0 };
        let used = u32::try_from(self.used_addresses(id).len()).unwrap_or(u32::MAX);
        capacity(subnet.cidr_block).saturating_sub(used)
    }

    fn used_addresses(&self, subnet: &str) -> BTreeSet<Ipv4Addr> {
        let inside = self.interfaces.values().filter(|interface| interface.subnet == subnet);
        inside.flat_map(|interface| interface.addresses.iter().copied()).collect()
    }

    /// Picks a free address of a subnet: the lowest that was never given out, else the one that was released longest ago.
    /// So an address that was just released is not given out again while there are others.
    pub(super) fn pick_address(&mut self, subnet: &str) -> Result<Ipv4Addr, AwsError> {
        let block = self.subnets.get(subnet).ok_or_else(|| Kind::SUBNET.not_found(subnet))?.cidr_block;
        let used = self.used_addresses(subnet);
        let released = self.released.entry(subnet.to_owned()).or_default();
        released.retain(|address| !used.contains(address));
        let first = block.network().to_bits() + RESERVED;
        let mut all = (first..first + capacity(block)).map(Ipv4Addr::from_bits);
        let resting: BTreeSet<Ipv4Addr> = released.iter().copied().collect();
        let fresh = all.find(|address| !used.contains(address) && !resting.contains(address));
        if let Some(address) = fresh.or_else(|| released.pop_front()) {
            return Ok(address);
        }
        Err(AwsError::client(
            "InsufficientFreeAddressesInSubnet",
            "The specified subnet does not have enough free addresses to satisfy the request.",
        ))
    }

    /// Notes that an address of a subnet is free again.
    pub(super) fn rest_address(&mut self, subnet: &str, address: Ipv4Addr) {
        let released = self.released.entry(subnet.to_owned()).or_default();
        released.retain(|other| *other != address);
        released.push_back(address);
    }

    /// Whether an address of a subnet can be given out.
    pub(super) fn check_address(&self, subnet: &str, address: Ipv4Addr) -> Result<(), AwsError> {
        let block = self.subnets.get(subnet).ok_or_else(|| Kind::SUBNET.not_found(subnet))?.cidr_block;
        if !block.contains(&address) {
            return Err(AwsError::invalid_value("Address does not fall within the subnet's address range"));
        }
        let offset = address.to_bits() - block.network().to_bits();
        if offset < RESERVED || offset - RESERVED >= capacity(block) {
            return Err(AwsError::invalid_value("Address is in subnet's reserved address range"));
        }
        if self.used_addresses(subnet).contains(&address) {
            return Err(AwsError::client(
                "InvalidIPAddress.InUse",
                format!("The address {address} is already in use."),
            ));
        }
        Ok(())
    }
}

/// How many addresses of a block can be given out.
fn capacity(block: Ipv4Net) -> u32 {
    let size = 1_u64 << (32 - u32::from(block.prefix_len()));
    u32::try_from(size.saturating_sub(u64::from(RESERVED) + 1)).unwrap_or(u32::MAX)
}

/// Whether two blocks have an address in common.
pub(super) fn overlap(a: Ipv4Net, b: Ipv4Net) -> bool {
    a.contains(&b) || b.contains(&a)
}
