//! Instances.
//!
//! An instance is `pending` in the answer that makes it and `running` after it, `shutting-down` in the answer that ends
//! it and `terminated` after it; terminated ones stay visible (AWS removes them after an hour). There is no image, no disk
//! and nothing that runs.

use crate::aws::ec2::interfaces::NewInterface;
use crate::aws::ec2::resource::{Kind, find, find_mut};
use crate::aws::ec2::state::*;
use crate::aws::ids::Ids;
use crate::aws::tags::Tags;
use crate::aws::{AwsError, Context};

impl Ec2 {
    /// Runs an instance with a primary interface in a subnet. Without security groups it gets the VPC's default one.
    ///
    /// # Errors
    /// As for [`Ec2::create_interface`].
    pub fn run_instance(
        &mut self,
        ids: &mut Ids,
        context: &Context,
        subnet: &str,
        groups: &[String],
        instance_type: &str,
        tags: Tags,
    ) -> Result<String, AwsError> {
        self.run_instance_with(ids, context, NewInterface::new(subnet, groups, ""), instance_type, tags)
    }

    /// Runs an instance with a primary interface as described; `instance` of the description is ignored.
    ///
    /// # Errors
    /// As for [`Ec2::create_interface`].
    pub fn run_instance_with(
        &mut self,
        ids: &mut Ids,
        context: &Context,
        interface: NewInterface,
        instance_type: &str,
        tags: Tags,
    ) -> Result<String, AwsError> {
        let subnet = interface.subnet.clone();
        let (interface, _) = self.create_interface(ids, context, NewInterface { instance: None, ..interface })?;
        let id = ids.resource(Kind::INSTANCE.prefix);
        find_mut(&mut self.interfaces, &context.region, &interface)?.instance = Some(id.clone());
        let instance = Instance {
            region: context.region.clone(),
            subnet,
            interface,
            instance_type: instance_type.to_owned(),
            state: "running",
            tags,
        };
        self.instances.insert(id.clone(), instance);
        Ok(id)
    }

    /// Terminates an instance; its interfaces go with it. Again has no effect.
    ///
    /// # Errors
    /// `InvalidInstanceID.NotFound`.
    pub fn terminate_instance(&mut self, context: &Context, id: &str) -> Result<(), AwsError> {
        find_mut(&mut self.instances, &context.region, id)?.state = "terminated";
        let interfaces: Vec<String> = self.interfaces_of_instance(id).map(|(id, _)| id.clone()).collect();
        for interface in interfaces {
            self.release_interface(&interface);
        }
        Ok(())
    }

    /// The primary private address of an instance that is not terminated.
    ///
    /// # Errors
    /// `InvalidInstanceID.NotFound`; `InvalidNetworkInterfaceID.NotFound` once it is terminated.
    pub fn instance_address(&self, context: &Context, id: &str) -> Result<std::net::Ipv4Addr, AwsError> {
        let instance = find(&self.instances, &context.region, id)?;
        let interface = find(&self.interfaces, &context.region, &instance.interface)?;
        interface.addresses.first().copied().ok_or_else(|| Kind::INTERFACE.not_found(&instance.interface))
    }
}
