//! Network ACLs.

use std::collections::BTreeMap;

use acrossk8s_vpc::AclEntry;

use crate::aws::ec2::resource::{Kind, find, find_mut};
use crate::aws::ec2::state::*;
use crate::aws::ids::Ids;
use crate::aws::tags::Tags;
use crate::aws::{AwsError, Context};

/// The number of the entry that denies the rest. It is there always and cannot be changed, so it is not stored.
pub const LAST_ENTRY: u16 = 32767;

impl Ec2 {
    /// Creates a network ACL. Without entries it denies everything.
    ///
    /// # Errors
    /// `InvalidVpcID.NotFound`.
    pub fn create_network_acl(
        &mut self,
        ids: &mut Ids,
        context: &Context,
        vpc: &str,
        tags: Tags,
    ) -> Result<String, AwsError> {
        find(&self.vpcs, &context.region, vpc)?;
        let id = ids.resource(Kind::NETWORK_ACL.prefix);
        let acl = NetworkAcl {
            region: context.region.clone(),
            vpc: vpc.to_owned(),
            default: false,
            entries: Vec::new(),
            associations: BTreeMap::new(),
            tags,
        };
        self.network_acls.insert(id.clone(), acl);
        Ok(id)
    }

    /// Deletes a network ACL.
    ///
    /// # Errors
    /// `InvalidNetworkAclID.NotFound`; `InvalidParameterValue` for a default one; `DependencyViolation` while it is
    /// associated with a subnet.
    pub fn delete_network_acl(&mut self, context: &Context, id: &str) -> Result<(), AwsError> {
        let acl = find(&self.network_acls, &context.region, id)?;
        if acl.default {
            return Err(AwsError::invalid_value(format!("cannot delete default network ACL {id}")));
        }
        if !acl.associations.is_empty() {
            return Err(AwsError::dependency("networkAcl", id));
        }
        self.network_acls.remove(id);
        Ok(())
    }

    /// Adds an entry, or with `replace` changes the one of the same number and direction.
    ///
    /// # Errors
    /// `InvalidNetworkAclID.NotFound`; `InvalidParameterValue` for a number outside 1 to 32766;
    /// `NetworkAclEntryAlreadyExists`; with `replace`, `InvalidNetworkAclEntry.NotFound`.
    pub fn put_network_acl_entry(
        &mut self,
        context: &Context,
        id: &str,
        entry: AclEntry,
        replace: bool,
    ) -> Result<(), AwsError> {
        let acl = find_mut(&mut self.network_acls, &context.region, id)?;
        if !(1..LAST_ENTRY).contains(&entry.number) {
            return Err(AwsError::invalid_value(format!(
                "Invalid value '{}' for ruleNumber: must be between 1 and 32766",
                entry.number
            )));
        }
        let old = acl.entries.iter_mut().find(|old| (old.number, old.egress) == (entry.number, entry.egress));
        match (old, replace) {
            (Some(old), true) => *old = AclEntry { cidr_block: entry.cidr_block.trunc(), ..entry },
            (None, false) => {
                acl.entries.push(AclEntry { cidr_block: entry.cidr_block.trunc(), ..entry });
                acl.entries.sort_by_key(|entry| (entry.egress, entry.number));
            }
            (Some(_), false) => {
                return Err(AwsError::client(
                    "NetworkAclEntryAlreadyExists",
                    format!("The network acl entry identified by {} already exists.", entry.number),
                ));
            }
            (None, true) => return Err(no_entry(id, entry.number)),
        }
        Ok(())
    }

    /// Deletes an entry.
    ///
    /// # Errors
    /// `InvalidNetworkAclID.NotFound`, `InvalidNetworkAclEntry.NotFound`.
    pub fn delete_network_acl_entry(
        &mut self,
        context: &Context,
        id: &str,
        number: u16,
        egress: bool,
    ) -> Result<(), AwsError> {
        let acl = find_mut(&mut self.network_acls, &context.region, id)?;
        let before = acl.entries.len();
        acl.entries.retain(|entry| (entry.number, entry.egress) != (number, egress));
        if acl.entries.len() == before { Err(no_entry(id, number)) } else { Ok(()) }
    }

    /// Moves a subnet's association to another network ACL of the same VPC and gives its new id.
    ///
    /// # Errors
    /// `InvalidAssociationID.NotFound`, `InvalidNetworkAclID.NotFound`; `InvalidParameterValue` for an ACL of another VPC.
    pub fn replace_network_acl_association(
        &mut self,
        ids: &mut Ids,
        context: &Context,
        association: &str,
        acl: &str,
    ) -> Result<String, AwsError> {
        let vpc = find(&self.network_acls, &context.region, acl)?.vpc.clone();
        let mut acls = self.network_acls.values_mut().filter(|acl| acl.region == context.region);
        let old = acls.find(|acl| acl.associations.contains_key(association)).ok_or_else(|| {
            AwsError::client(
                "InvalidAssociationID.NotFound",
                format!("The association ID '{association}' does not exist"),
            )
        })?;
        if old.vpc != vpc {
            return Err(AwsError::invalid_value(format!(
                "network ACL {acl} and association {association} belong to different networks"
            )));
        }
        let subnet = old.associations.remove(association).unwrap_or_default();
        let new = ids.resource("aclassoc");
        find_mut(&mut self.network_acls, &context.region, acl)?.associations.insert(new.clone(), subnet);
        Ok(new)
    }
}

fn no_entry(id: &str, number: u16) -> AwsError {
    AwsError::client(
        "InvalidNetworkAclEntry.NotFound",
        format!("The network acl entry identified by {number} does not exist in {id}."),
    )
}
