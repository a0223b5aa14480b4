//! Tags of EC2's resources, by id.

use crate::aws::ec2::resource::{Kind, Resource as _, find_mut};
use crate::aws::ec2::state::*;
use crate::aws::tags::Tags;
use crate::aws::{AwsError, Context};

/// The most tags that a resource can have.
pub const MAX_TAGS: usize = 50;

impl Ec2 {
    /// The tags of any resource, to be changed. Those of a peering connection are the region's own.
    ///
    /// # Errors
    /// The `NotFound` of the kind that the id's prefix names; `InvalidID` for an id of no known kind.
    pub fn tags_mut(&mut self, context: &Context, id: &str) -> Result<&mut Tags, AwsError> {
        let region = context.region.as_str();
        let kind =
            Kind::of_id(id).ok_or_else(|| AwsError::client("InvalidID", format!("The ID '{id}' is not valid")))?;
        Ok(match kind {
            Kind::VPC => find_mut(&mut self.vpcs, region, id)?.tags_mut(),
            Kind::SUBNET => find_mut(&mut self.subnets, region, id)?.tags_mut(),
            Kind::ROUTE_TABLE => find_mut(&mut self.route_tables, region, id)?.tags_mut(),
            Kind::INTERNET_GATEWAY => find_mut(&mut self.internet_gateways, region, id)?.tags_mut(),
            Kind::NAT_GATEWAY => find_mut(&mut self.nat_gateways, region, id)?.tags_mut(),
            Kind::ADDRESS => find_mut(&mut self.addresses, region, id)?.tags_mut(),
            Kind::SECURITY_GROUP => find_mut(&mut self.security_groups, region, id)?.tags_mut(),
            Kind::NETWORK_ACL => find_mut(&mut self.network_acls, region, id)?.tags_mut(),
            Kind::INTERFACE => find_mut(&mut self.interfaces, region, id)?.tags_mut(),
            Kind::INSTANCE => find_mut(&mut self.instances, region, id)?.tags_mut(),
            Kind::SECURITY_GROUP_RULE => {
                let groups = self.security_groups.values_mut().filter(|group| group.region == region);
                let rule = groups.flat_map(|group| group.rules.iter_mut()).find(|(rule, _)| *rule == id);
                &mut rule.ok_or_else(|| kind.not_found(id))?.1.tags
            }
            _ => {
                self.peering(context, id)?;
                let peering = self.peerings.get_mut(id).ok_or_else(|| kind.not_found(id))?;
                peering.tags.entry(region.to_owned()).or_default()
            }
        })
    }

    /// Adds tags to resources, or changes them, on all or on none.
    ///
    /// # Errors
    /// As for [`Ec2::tags_mut`]; `TagLimitExceeded`.
    pub fn create_tags(&mut self, context: &Context, resources: &[String], tags: &Tags) -> Result<(), AwsError> {
        for id in resources {
            let own = self.tags_mut(context, id)?;
            if own.len() + tags.keys().filter(|key| !own.contains_key(*key)).count() > MAX_TAGS {
                return Err(AwsError::client(
                    "TagLimitExceeded",
                    "The maximum number of Tags for a resource has been reached.",
                ));
            }
        }
        for id in resources {
            self.tags_mut(context, id)?.extend(tags.clone());
        }
        Ok(())
    }

    /// Removes tags from resources. With a value, only where the tag has it; without any tags named, all of them but
    /// those of AWS's own.
    ///
    /// # Errors
    /// As for [`Ec2::tags_mut`].
    pub fn delete_tags(
        &mut self,
        context: &Context,
        resources: &[String],
        tags: &[(String, Option<String>)],
    ) -> Result<(), AwsError> {
        for id in resources {
            self.tags_mut(context, id)?.retain(|key, value| {
                let named = tags.iter().any(|(k, v)| k == key && v.as_ref().is_none_or(|v| v == value));
                !(named || tags.is_empty() && !key.starts_with("aws:"))
            });
        }
        Ok(())
    }

    /// Every tag in a region: id and kind of the resource, and its tags.
    pub fn all_tags(&self, context: &Context) -> Vec<(String, Kind, Tags)> {
        fn of<R: crate::aws::ec2::resource::Resource>(
            records: &std::collections::BTreeMap<String, R>,
            region: &str,
        ) -> Vec<(String, Kind, Tags)> {
            let here = records.iter().filter(|(_, record)| record.region() == region);
            here.map(|(id, record)| (id.clone(), R::KIND, record.tags().clone())).collect()
        }
        let region = context.region.as_str();
        let mut all = of(&self.vpcs, region);
        all.extend(of(&self.subnets, region));
        all.extend(of(&self.route_tables, region));
        all.extend(of(&self.internet_gateways, region));
        all.extend(of(&self.nat_gateways, region));
        all.extend(of(&self.addresses, region));
        all.extend(of(&self.security_groups, region));
        all.extend(of(&self.network_acls, region));
        all.extend(of(&self.interfaces, region));
        all.extend(of(&self.instances, region));
        let groups = self.security_groups.values().filter(|group| group.region == region);
        let rules = groups.flat_map(|group| &group.rules);
        all.extend(rules.map(|(id, rule)| (id.clone(), Kind::SECURITY_GROUP_RULE, rule.tags.clone())));
        let peerings = self.peerings.iter().filter(|(_, peering)| self.knows(context, peering));
        all.extend(
            peerings.filter_map(|(id, peering)| Some((id.clone(), Kind::PEERING, peering.tags.get(region)?.clone()))),
        );
        all
    }
}
