//! Route tables and their associations.

use crate::aws::ec2::resource::{Kind, find, find_mut};
use crate::aws::ec2::state::*;
use crate::aws::ec2::vpcs::route_table;
use crate::aws::ids::Ids;
use crate::aws::tags::Tags;
use crate::aws::{AwsError, Context};

impl RouteTable {
    /// Whether it is its VPC's main route table.
    pub fn is_main(&self) -> bool {
        self.associations.values().any(|association| *association == Association::Main)
    }
}

impl Ec2 {
    /// Creates a route table with the local route in it.
    ///
    /// # Errors
    /// `InvalidVpcID.NotFound`, `RouteTableLimitExceeded`.
    pub fn create_route_table(
        &mut self,
        ids: &mut Ids,
        context: &Context,
        vpc: &str,
        tags: Tags,
    ) -> Result<String, AwsError> {
        let cidr_block = find(&self.vpcs, &context.region, vpc)?.cidr_block;
        if self.route_tables.values().filter(|table| table.vpc == vpc).count() >= self.quotas.route_tables {
            return Err(AwsError::client(
                "RouteTableLimitExceeded",
                "The maximum number of route tables has been reached.",
            ));
        }
        let id = ids.resource(Kind::ROUTE_TABLE.prefix);
        self.route_tables.insert(id.clone(), RouteTable { tags, ..route_table(&context.region, vpc, cidr_block) });
        Ok(id)
    }

    /// Deletes a route table.
    ///
    /// # Errors
    /// `InvalidRouteTableID.NotFound`; `DependencyViolation` while it is associated or the main one.
    pub fn delete_route_table(&mut self, context: &Context, id: &str) -> Result<(), AwsError> {
        if !find(&self.route_tables, &context.region, id)?.associations.is_empty() {
            return Err(AwsError::dependency("routeTable", id));
        }
        self.route_tables.remove(id);
        Ok(())
    }

    /// Associates a subnet explicitly with a route table and gives the association's id.
    ///
    /// # Errors
    /// `InvalidRouteTableID.NotFound`, `InvalidSubnetID.NotFound`; `InvalidParameterValue` when they are in different
    /// VPCs; `Resource.AlreadyAssociated` when the subnet has another table.
    pub fn associate_route_table(
        &mut self,
        ids: &mut Ids,
        context: &Context,
        table: &str,
        subnet: &str,
    ) -> Result<String, AwsError> {
        let table_vpc = &find(&self.route_tables, &context.region, table)?.vpc;
        let subnet_vpc = &find(&self.subnets, &context.region, subnet)?.vpc;
        if table_vpc != subnet_vpc {
            return Err(different_networks(table, &format!("subnet {subnet}")));
        }
        let wanted = Association::Subnet(subnet.to_owned());
        for (id, other) in &self.route_tables {
            if let Some((association, _)) = other.associations.iter().find(|(_, of)| **of == wanted) {
                // The same association once more is answered with the one that exists.
                return if id == table {
                    Ok(association.clone())
                } else {
                    Err(AwsError::client(
                        "Resource.AlreadyAssociated",
                        format!(
                            "the specified association for route table {table} conflicts with an existing association"
                        ),
                    ))
                };
            }
        }
        let association = ids.resource("rtbassoc");
        find_mut(&mut self.route_tables, &context.region, table)?.associations.insert(association.clone(), wanted);
        Ok(association)
    }

    /// Ends an explicit association: the main route table is effective for the subnet again.
    ///
    /// # Errors
    /// `InvalidAssociationID.NotFound`; `InvalidParameterValue` for the main association.
    pub fn disassociate_route_table(&mut self, context: &Context, association: &str) -> Result<(), AwsError> {
        let (table, of) = self.association(context, association)?;
        if of == Association::Main {
            return Err(AwsError::invalid_value(format!(
                "cannot disassociate the main route table association {association}"
            )));
        }
        find_mut(&mut self.route_tables, &context.region, &table)?.associations.remove(association);
        Ok(())
    }

    /// Moves an association, also the main one, to another route table of the same VPC and gives its new id.
    ///
    /// # Errors
    /// `InvalidAssociationID.NotFound`, `InvalidRouteTableID.NotFound`; `InvalidParameterValue` for a table of another VPC.
    pub fn replace_route_table_association(
        &mut self,
        ids: &mut Ids,
        context: &Context,
        association: &str,
        table: &str,
    ) -> Result<String, AwsError> {
        let (old, of) = self.association(context, association)?;
        let vpc = find(&self.route_tables, &context.region, &old)?.vpc.clone();
        if find(&self.route_tables, &context.region, table)?.vpc != vpc {
            return Err(different_networks(table, &format!("association {association}")));
        }
        let new = ids.resource("rtbassoc");
        find_mut(&mut self.route_tables, &context.region, &old)?.associations.remove(association);
        find_mut(&mut self.route_tables, &context.region, table)?.associations.insert(new.clone(), of);
        Ok(new)
    }

    /// The route table of an association, and what it is for.
    fn association(&self, context: &Context, association: &str) -> Result<(String, Association), AwsError> {
        let tables = self.route_tables.iter().filter(|(_, table)| table.region == context.region);
        let mut found =
            tables.filter_map(|(id, table)| Some((id.clone(), table.associations.get(association)?.clone())));
        found.next().ok_or_else(|| {
            AwsError::client(
                "InvalidAssociationID.NotFound",
                format!("The association ID '{association}' does not exist"),
            )
        })
    }
}

/// That a route table and something else are in different VPCs.
pub(super) fn different_networks(table: &str, other: &str) -> AwsError {
    AwsError::invalid_value(format!("route table {table} and {other} belong to different networks"))
}
