//! Routes.
//!
//! Sources: Amazon VPC User Guide, "Configure route tables"; messages as clients report them.

use acrossk8s_vpc::PeeringState;
use ipnet::Ipv4Net;

use crate::aws::ec2::resource::{Kind, find, find_mut};
use crate::aws::ec2::route_tables::different_networks;
use crate::aws::ec2::state::*;
use crate::aws::{AwsError, Context};

impl Ec2 {
    /// Creates a route to `igw-…`, `nat-…`, `pcx-…` or `eni-…`. Host bits of the destination are cleared.
    ///
    /// # Errors
    /// `InvalidRouteTableID.NotFound`; the `NotFound` of the target; `InvalidParameterValue` for a target that belongs to
    /// another VPC or for a destination inside the VPC that the target cannot have; `RouteAlreadyExists`, also for the
    /// VPC's own block; `RouteLimitExceeded`.
    pub fn create_route(
        &mut self,
        context: &Context,
        table: &str,
        destination: Ipv4Net,
        target: &str,
    ) -> Result<(), AwsError> {
        let destination = destination.trunc();
        let record = find(&self.route_tables, &context.region, table)?;
        self.check_target(context, table, record, target)?;
        if record.routes.contains_key(&destination) {
            return Err(AwsError::client(
                "RouteAlreadyExists",
                format!("The route identified by {destination} already exists."),
            ));
        }
        self.check_inside(record, destination, target)?;
        let created = record.routes.values().filter(|route| route.target != "local").count();
        if created >= self.quotas.routes {
            return Err(AwsError::client("RouteLimitExceeded", "The maximum number of routes has been reached."));
        }
        self.put_route(context, table, destination, target)
    }

    /// Gives a route another target.
    ///
    /// # Errors
    /// As for [`Ec2::create_route`]; `InvalidParameterValue` where there is no such route, and for the local route with a
    /// target other than an interface or a NAT gateway.
    pub fn replace_route(
        &mut self,
        context: &Context,
        table: &str,
        destination: Ipv4Net,
        target: &str,
    ) -> Result<(), AwsError> {
        let destination = destination.trunc();
        let record = find(&self.route_tables, &context.region, table)?;
        self.check_target(context, table, record, target)?;
        if !record.routes.contains_key(&destination) {
            return Err(AwsError::invalid_value(format!(
                "There is no route defined for '{destination}' in the route table. Use CreateRoute instead."
            )));
        }
        self.check_inside(record, destination, target)?;
        self.put_route(context, table, destination, target)
    }

    /// Deletes a route.
    ///
    /// # Errors
    /// `InvalidRouteTableID.NotFound`, `InvalidRoute.NotFound`; `InvalidParameterValue` for the local route.
    pub fn delete_route(&mut self, context: &Context, table: &str, destination: Ipv4Net) -> Result<(), AwsError> {
        let destination = destination.trunc();
        let record = find_mut(&mut self.route_tables, &context.region, table)?;
        match record.routes.get(&destination) {
            None => Err(AwsError::client(
                "InvalidRoute.NotFound",
                format!("no route with destination-cidr-block {destination} in route table {table}"),
            )),
            Some(route) if route.origin == "CreateRouteTable" => {
                Err(AwsError::invalid_value(format!("cannot remove local route {destination} in route table {table}")))
            }
            Some(_) => {
                record.routes.remove(&destination);
                Ok(())
            }
        }
    }

    /// Whether a route leads anywhere: `active` or `blackhole`.
    pub fn route_state(&self, context: &Context, route: &Route) -> &'static str {
        let target = route.target.as_str();
        let leads = match Kind::of_id(target) {
            Some(Kind::PEERING) => self
                .peerings
                .get(target)
                .is_some_and(|peering| peering.state(context.now, &context.latencies) == PeeringState::Active),
            Some(Kind::INTERNET_GATEWAY) => {
                self.internet_gateways.get(target).is_some_and(|gateway| gateway.vpc.is_some())
            }
            Some(Kind::NAT_GATEWAY) => self.nat_gateways.get(target).is_some_and(|gateway| !gateway.deleted),
            Some(Kind::INTERFACE) => self.interfaces.get(target).is_some_and(Interface::in_use),
            _ => target == "local",
        };
        if leads { "active" } else { "blackhole" }
    }

    fn put_route(
        &mut self,
        context: &Context,
        table: &str,
        destination: Ipv4Net,
        target: &str,
    ) -> Result<(), AwsError> {
        let record = find_mut(&mut self.route_tables, &context.region, table)?;
        let origin = record.routes.get(&destination).map_or("CreateRoute", |route| route.origin);
        record.routes.insert(destination, Route { target: target.to_owned(), origin });
        Ok(())
    }

    /// Whether the target exists and can be reached from the table's VPC.
    fn check_target(&self, context: &Context, id: &str, table: &RouteTable, target: &str) -> Result<(), AwsError> {
        let region = &context.region;
        match Kind::of_id(target) {
            Some(Kind::PEERING) => {
                let peering = self.peering(context, target)?;
                let over = matches!(
                    peering.state(context.now, &context.latencies),
                    PeeringState::Failed | PeeringState::Rejected | PeeringState::Expired | PeeringState::Deleted
                );
                if over {
                    // Not documented; nothing can be routed to a connection that has ended.
                    return Err(Kind::PEERING.not_found(target));
                }
                if !peering.has(&table.vpc) {
                    return Err(different_networks(id, &format!("network gateway {target}")));
                }
                Ok(())
            }
            Some(Kind::INTERNET_GATEWAY) => {
                let gateway = self.internet_gateways.get(target).filter(|gateway| gateway.region == *region);
                let gateway = gateway.ok_or_else(|| {
                    let message = format!("The gateway ID '{target}' does not exist");
                    AwsError::client("InvalidGatewayID.NotFound", message)
                })?;
                if gateway.vpc.as_ref() != Some(&table.vpc) {
                    return Err(different_networks(id, &format!("network gateway {target}")));
                }
                Ok(())
            }
            Some(Kind::NAT_GATEWAY) => {
                let gateway = self.nat_gateways.get(target).filter(|gateway| gateway.region == *region);
                let gateway = gateway.filter(|gateway| !gateway.deleted).ok_or_else(|| {
                    let message = format!("The natGateway ID '{target}' does not exist");
                    AwsError::client("InvalidNatGatewayID.NotFound", message)
                })?;
                if gateway.vpc != table.vpc {
                    return Err(different_networks(id, &format!("NAT gateway {target}")));
                }
                Ok(())
            }
            Some(Kind::INTERFACE) => {
                let interface = find(&self.interfaces, region, target)?;
                let subnet = find(&self.subnets, region, &interface.subnet)?;
                if subnet.vpc != table.vpc {
                    return Err(different_networks(id, &format!("interface {target}")));
                }
                Ok(())
            }
            _ => {
                Err(AwsError::client("InvalidGatewayID.NotFound", format!("The gateway ID '{target}' does not exist")))
            }
        }
    }

    /// A destination within the VPC is for NAT gateways and interfaces only, and has to be a whole subnet.
    fn check_inside(&self, table: &RouteTable, destination: Ipv4Net, target: &str) -> Result<(), AwsError> {
        let Some(block) = self.vpcs.get(&table.vpc).map(|vpc| vpc.cidr_block) else { return Ok(()) };
        if !block.contains(&destination) {
            return Ok(());
        }
        if !matches!(Kind::of_id(target), Some(Kind::NAT_GATEWAY | Kind::INTERFACE)) {
            return Err(AwsError::invalid_value(format!(
                "The destination CIDR block {destination} is equal to or more specific than one of this VPC's CIDR \
                 blocks. This route can target only an interface or an instance."
            )));
        }
        let subnet = self.subnets.values().any(|subnet| subnet.vpc == table.vpc && subnet.cidr_block == destination);
        if destination != block && !subnet {
            return Err(AwsError::invalid_value(format!(
                "The destination CIDR block {destination} is more specific than this VPC's CIDR block but does not match \
                 the CIDR block of a subnet."
            )));
        }
        Ok(())
    }
}
