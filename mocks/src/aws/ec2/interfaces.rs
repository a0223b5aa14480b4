//! Network interfaces.

use std::net::Ipv4Addr;

use crate::aws::ec2::resource::{Kind, find, find_mut};
use crate::aws::ec2::state::*;
use crate::aws::ids::Ids;
use crate::aws::tags::Tags;
use crate::aws::{AwsError, Context};

/// What a new interface is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewInterface {
    /// Subnet.
    pub subnet: String,
    /// Security groups.
    pub groups: Vec<String>,
    /// Whether the VPC's default security group stands in for missing ones, as for everybody but AWS's own services.
    pub default_group: bool,
    /// Description.
    pub description: String,
    /// Primary address; any free one if none is given.
    pub address: Option<Ipv4Addr>,
    /// `interface`, `network_load_balancer`, `nat_gateway`.
    pub interface_type: String,
    /// The service that requests it, for example `amazon-elb`: the interface is then in use and managed by it.
    pub requester: Option<String>,
    /// Instance to attach it to.
    pub instance: Option<String>,
    /// Tags.
    pub tags: Tags,
}

impl NewInterface {
    /// An interface with an address of one's own, attached to nothing.
    pub fn new(subnet: &str, groups: &[String], description: &str) -> Self {
        Self {
            subnet: subnet.to_owned(),
            groups: groups.to_vec(),
            default_group: true,
            description: description.to_owned(),
            address: None,
            interface_type: "interface".to_owned(),
            requester: None,
            instance: None,
            tags: Tags::new(),
        }
    }

    /// An interface of a service of AWS's, for example of type `network_load_balancer` for `amazon-elb`. Without
    /// security groups nothing on it is filtered, and the source/destination check is off.
    pub fn managed(subnet: &str, groups: &[String], description: &str, interface_type: &str, requester: &str) -> Self {
        Self {
            interface_type: interface_type.to_owned(),
            requester: Some(requester.to_owned()),
            default_group: false,
            ..Self::new(subnet, groups, description)
        }
    }
}

impl Ec2 {
    /// Creates an interface and gives its id and primary address.
    ///
    /// # Errors
    /// `InvalidSubnetID.NotFound`, `InvalidGroup.NotFound`, `InvalidInstanceID.NotFound`; `InvalidParameterValue` for a
    /// group of another VPC; `SecurityGroupsPerInterfaceLimitExceeded`; `InsufficientFreeAddressesInSubnet`;
    /// `InvalidIPAddress.InUse` and `InvalidParameterValue` for an address that cannot be had.
    pub fn create_interface(
        &mut self,
        ids: &mut Ids,
        context: &Context,
        new: NewInterface,
    ) -> Result<(String, Ipv4Addr), AwsError> {
        let vpc = find(&self.subnets, &context.region, &new.subnet)?.vpc.clone();
        let mut groups = new.groups;
        if groups.is_empty() && new.default_group {
            groups.extend(self.default_group(&vpc).map(str::to_owned));
        }
        self.check_groups(context, &vpc, &groups)?;
        let device_index = match &new.instance {
            None => 0,
            Some(instance) => {
                find(&self.instances, &context.region, instance)?;
                self.interfaces_of_instance(instance).map(|(_, other)| other.device_index + 1).max().unwrap_or(0)
            }
        };
        let address = match new.address {
            None => self.pick_address(&new.subnet)?,
            Some(address) => {
                self.check_address(&new.subnet, address)?;
                address
            }
        };
        let id = ids.resource(Kind::INTERFACE.prefix);
        let interface = Interface {
            region: context.region.clone(),
            subnet: new.subnet,
            addresses: vec![address],
            groups,
            description: new.description,
            interface_type: new.interface_type,
            source_dest_check: new.requester.is_none(),
            requester: new.requester,
            instance: new.instance,
            device_index,
            tags: new.tags,
        };
        self.interfaces.insert(id.clone(), interface);
        Ok((id, address))
    }

    /// Deletes an interface as its owner's request does.
    ///
    /// # Errors
    /// `InvalidNetworkInterfaceID.NotFound`; `InvalidParameterValue` while it is in use.
    pub fn delete_interface(&mut self, context: &Context, id: &str) -> Result<(), AwsError> {
        let interface = find(&self.interfaces, &context.region, id)?;
        if interface.in_use() {
            return Err(AwsError::invalid_value(format!("Network interface '{id}' is currently in use.")));
        }
        self.release_interface(id);
        Ok(())
    }

    /// Removes an interface, in use or not, as the service or the instance that it belongs to does when it ends.
    pub fn release_interface(&mut self, id: &str) {
        if let Some(interface) = self.interfaces.remove(id) {
            for address in interface.addresses {
                self.rest_address(&interface.subnet, address);
            }
        }
        for address in self.addresses.values_mut().filter(|address| address.interface.as_deref() == Some(id)) {
            address.interface = None;
        }
    }

    /// Replaces the security groups of an interface.
    ///
    /// # Errors
    /// `InvalidNetworkInterfaceID.NotFound`, `InvalidGroup.NotFound`; `InvalidParameterValue` for a group of another VPC;
    /// `SecurityGroupsPerInterfaceLimitExceeded`.
    pub fn set_interface_groups(&mut self, context: &Context, id: &str, groups: Vec<String>) -> Result<(), AwsError> {
        let subnet = find(&self.interfaces, &context.region, id)?.subnet.clone();
        let vpc = find(&self.subnets, &context.region, &subnet)?.vpc.clone();
        self.check_groups(context, &vpc, &groups)?;
        find_mut(&mut self.interfaces, &context.region, id)?.groups = groups;
        Ok(())
    }

    /// Gives an interface one more address, a free one of its subnet: how the VPC CNI gets addresses for pods. AWS limits
    /// them by instance type; here only the subnet does.
    ///
    /// # Errors
    /// `InvalidNetworkInterfaceID.NotFound`, `InsufficientFreeAddressesInSubnet`.
    pub fn assign_private_address(&mut self, context: &Context, interface: &str) -> Result<Ipv4Addr, AwsError> {
        let subnet = find(&self.interfaces, &context.region, interface)?.subnet.clone();
        let address = self.pick_address(&subnet)?;
        find_mut(&mut self.interfaces, &context.region, interface)?.addresses.push(address);
        Ok(address)
    }

    /// Gives an interface this address.
    ///
    /// # Errors
    /// `InvalidNetworkInterfaceID.NotFound`; `InvalidIPAddress.InUse`; `InvalidParameterValue` for an address outside the
    /// subnet or reserved in it.
    pub fn assign_specific(&mut self, context: &Context, interface: &str, address: Ipv4Addr) -> Result<(), AwsError> {
        let subnet = find(&self.interfaces, &context.region, interface)?.subnet.clone();
        self.check_address(&subnet, address)?;
        find_mut(&mut self.interfaces, &context.region, interface)?.addresses.push(address);
        Ok(())
    }

    /// Takes a secondary address away from an interface.
    ///
    /// # Errors
    /// `InvalidNetworkInterfaceID.NotFound`; `InvalidParameterValue` for the primary address or one that it has not.
    pub fn unassign_private_address(
        &mut self,
        context: &Context,
        interface: &str,
        address: Ipv4Addr,
    ) -> Result<(), AwsError> {
        let record = find_mut(&mut self.interfaces, &context.region, interface)?;
        match record.addresses.iter().position(|own| *own == address) {
            Some(0) => Err(AwsError::invalid_value(format!(
                "Address {address} is the primary address of interface {interface} and cannot be unassigned"
            ))),
            Some(index) => {
                record.addresses.remove(index);
                let subnet = record.subnet.clone();
                self.rest_address(&subnet, address);
                Ok(())
            }
            None => Err(AwsError::invalid_value(format!(
                "Some of the specified addresses are not assigned to interface {interface}"
            ))),
        }
    }

    /// The interfaces of an instance.
    pub fn interfaces_of_instance<'a>(
        &'a self,
        instance: &'a str,
    ) -> impl Iterator<Item = (&'a String, &'a Interface)> {
        self.interfaces.iter().filter(move |(_, interface)| interface.instance.as_deref() == Some(instance))
    }

    /// The id of a VPC's default security group.
    pub fn default_group(&self, vpc: &str) -> Option<&str> {
        let mut groups = self.security_groups.iter().filter(|(_, group)| group.vpc == vpc && group.name == "default");
        groups.next().map(|(id, _)| id.as_str())
    }

    fn check_groups(&self, context: &Context, vpc: &str, groups: &[String]) -> Result<(), AwsError> {
        for id in groups {
            let group = find(&self.security_groups, &context.region, id)?;
            if group.vpc != vpc {
                return Err(AwsError::invalid_value(format!(
                    "Security group {id} and the network interface belong to different networks."
                )));
            }
        }
        if groups.len() > self.quotas.groups_per_interface {
            return Err(AwsError::client(
                "SecurityGroupsPerInterfaceLimitExceeded",
                "The maximum number of security groups per interface has been reached.",
            ));
        }
        Ok(())
    }
}

impl Interface {
    /// Whether it belongs to an instance or a service; otherwise it is `available`.
    pub fn in_use(&self) -> bool {
        self.instance.is_some() || self.requester.is_some()
    }
}
