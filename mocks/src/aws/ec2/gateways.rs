//! Internet gateways, NAT gateways and Elastic IP addresses.

use std::net::Ipv4Addr;

use crate::aws::ec2::interfaces::NewInterface;
use crate::aws::ec2::resource::{Kind, find, find_mut};
use crate::aws::ec2::state::*;
use crate::aws::ids::Ids;
use crate::aws::tags::Tags;
use crate::aws::{AwsError, Context};

/// Elastic IP addresses come from the block for benchmarks (RFC 2544): none of them is anybody's.
const PUBLIC: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 1);
const PUBLIC_SIZE: u32 = (1 << 17) - 2;

impl Ec2 {
    /// Creates an internet gateway.
    ///
    /// # Errors
    /// `InternetGatewayLimitExceeded`.
    pub fn create_internet_gateway(
        &mut self,
        ids: &mut Ids,
        context: &Context,
        tags: Tags,
    ) -> Result<String, AwsError> {
        let existing = self.internet_gateways.values().filter(|gateway| gateway.region == context.region).count();
        if existing >= self.quotas.internet_gateways {
            return Err(AwsError::client(
                "InternetGatewayLimitExceeded",
                "The maximum number of internet gateways has been reached.",
            ));
        }
        let id = ids.resource(Kind::INTERNET_GATEWAY.prefix);
        self.internet_gateways.insert(id.clone(), InternetGateway { region: context.region.clone(), vpc: None, tags });
        Ok(id)
    }

    /// Attaches an internet gateway to a VPC.
    ///
    /// # Errors
    /// `InvalidInternetGatewayID.NotFound`, `InvalidVpcID.NotFound`; `Resource.AlreadyAssociated` when the gateway is
    /// attached; `InvalidParameterValue` when the VPC has one.
    pub fn attach_internet_gateway(&mut self, context: &Context, id: &str, vpc: &str) -> Result<(), AwsError> {
        let attached = find(&self.internet_gateways, &context.region, id)?.vpc.clone();
        find(&self.vpcs, &context.region, vpc)?;
        if let Some(other) = attached {
            return Err(AwsError::client(
                "Resource.AlreadyAssociated",
                format!("resource {id} is already attached to network {other}"),
            ));
        }
        if self.internet_gateways.values().any(|gateway| gateway.vpc.as_deref() == Some(vpc)) {
            return Err(AwsError::invalid_value(format!("Network {vpc} already has an internet gateway attached")));
        }
        find_mut(&mut self.internet_gateways, &context.region, id)?.vpc = Some(vpc.to_owned());
        Ok(())
    }

    /// Detaches an internet gateway from its VPC.
    ///
    /// # Errors
    /// `InvalidInternetGatewayID.NotFound`; `Gateway.NotAttached`; `DependencyViolation` while the VPC has a public
    /// address.
    pub fn detach_internet_gateway(&mut self, context: &Context, id: &str, vpc: &str) -> Result<(), AwsError> {
        let gateway = find(&self.internet_gateways, &context.region, id)?;
        if gateway.vpc.as_deref() != Some(vpc) {
            return Err(AwsError::client(
                "Gateway.NotAttached",
                format!("resource {id} is not attached to network {vpc}"),
            ));
        }
        let mapped = self.addresses.values().filter_map(|address| address.interface.as_deref()).any(|interface| {
            self.interfaces
                .get(interface)
                .and_then(|interface| self.subnets.get(&interface.subnet))
                .is_some_and(|subnet| subnet.vpc == vpc)
        });
        if mapped {
            return Err(AwsError::client(
                "DependencyViolation",
                format!(
                    "Network {vpc} has some mapped public address(es). Please unmap those public address(es) before \
                     detaching the gateway."
                ),
            ));
        }
        find_mut(&mut self.internet_gateways, &context.region, id)?.vpc = None;
        Ok(())
    }

    /// Deletes an internet gateway.
    ///
    /// # Errors
    /// `InvalidInternetGatewayID.NotFound`; `DependencyViolation` while it is attached.
    pub fn delete_internet_gateway(&mut self, context: &Context, id: &str) -> Result<(), AwsError> {
        if find(&self.internet_gateways, &context.region, id)?.vpc.is_some() {
            return Err(AwsError::dependency("internetGateway", id));
        }
        self.internet_gateways.remove(id);
        Ok(())
    }

    /// Allocates an Elastic IP address and gives its allocation id.
    ///
    /// # Errors
    /// `AddressLimitExceeded`.
    pub fn allocate_address(&mut self, ids: &mut Ids, context: &Context, tags: Tags) -> Result<String, AwsError> {
        let existing = self.addresses.values().filter(|address| address.region == context.region).count();
        if existing >= self.quotas.addresses {
            return Err(AwsError::client("AddressLimitExceeded", "The maximum number of addresses has been reached."));
        }
        let id = ids.resource(Kind::ADDRESS.prefix);
        let public_ip = Ipv4Addr::from_bits(PUBLIC.to_bits() + self.allocated_addresses % PUBLIC_SIZE);
        self.allocated_addresses += 1;
        let address = ElasticAddress { region: context.region.clone(), public_ip, interface: None, tags };
        self.addresses.insert(id.clone(), address);
        Ok(id)
    }

    /// Releases an Elastic IP address.
    ///
    /// # Errors
    /// `InvalidAllocationID.NotFound`; `InvalidIPAddress.InUse` while it is associated.
    pub fn release_address(&mut self, context: &Context, id: &str) -> Result<(), AwsError> {
        let address = find(&self.addresses, &context.region, id)?;
        if address.interface.is_some() {
            return Err(AwsError::client(
                "InvalidIPAddress.InUse",
                format!("Address {} is in use.", address.public_ip),
            ));
        }
        self.addresses.remove(id);
        Ok(())
    }

    /// Creates a public NAT gateway: `pending` in its answer, `available` after it.
    ///
    /// # Errors
    /// `InvalidSubnetID.NotFound`, `InvalidAllocationID.NotFound`; `Resource.AlreadyAssociated` when the address is
    /// associated; `InsufficientFreeAddressesInSubnet`. On AWS a VPC without an internet gateway makes it fail later
    /// (`Gateway.NotAttached`); here at once.
    pub fn create_nat_gateway(
        &mut self,
        ids: &mut Ids,
        context: &Context,
        subnet: &str,
        allocation: &str,
        tags: Tags,
    ) -> Result<String, AwsError> {
        let vpc = find(&self.subnets, &context.region, subnet)?.vpc.clone();
        if find(&self.addresses, &context.region, allocation)?.interface.is_some() {
            return Err(AwsError::client(
                "Resource.AlreadyAssociated",
                format!("Elastic IP address [{allocation}] is already associated"),
            ));
        }
        if !self.internet_gateways.values().any(|gateway| gateway.vpc.as_ref() == Some(&vpc)) {
            return Err(AwsError::client(
                "Gateway.NotAttached",
                format!("Network {vpc} has no Internet gateway attached"),
            ));
        }
        let id = ids.resource(Kind::NAT_GATEWAY.prefix);
        let description = format!("Interface for NAT Gateway {id}");
        let new = NewInterface::managed(subnet, &[], &description, "nat_gateway", "amazon-vpc");
        let (interface, _) = self.create_interface(ids, context, new)?;
        find_mut(&mut self.addresses, &context.region, allocation)?.interface = Some(interface.clone());
        let gateway = NatGateway {
            region: context.region.clone(),
            vpc,
            subnet: subnet.to_owned(),
            allocation: allocation.to_owned(),
            interface,
            deleted: false,
            tags,
        };
        self.nat_gateways.insert(id.clone(), gateway);
        Ok(id)
    }

    /// Deletes a NAT gateway with its interface; its address stays allocated. The gateway stays visible as `deleted` (on
    /// AWS for about an hour).
    ///
    /// # Errors
    /// `NatGatewayNotFound`.
    pub fn delete_nat_gateway(&mut self, context: &Context, id: &str) -> Result<(), AwsError> {
        let gateway = find_mut(&mut self.nat_gateways, &context.region, id)?;
        gateway.deleted = true;
        let interface = gateway.interface.clone();
        self.release_interface(&interface);
        Ok(())
    }
}
