//! EC2's behaviour, through the wire.
#![expect(clippy::unwrap_used, reason = "tests")]

mod addresses;
mod dependencies;
mod describe;
mod fabric;
mod network_acls;
mod peerings;
mod routes;
mod security_groups;

use std::sync::Arc;

use crate::aws::Aws;
use crate::aws::wire::testing::Client;
use crate::clock::{Clock, Latencies};

/// A client in us-west-2 of an account where nothing takes time.
fn client() -> Client {
    client_with(Latencies::INSTANT).1
}

/// A clock and a client in us-west-2.
fn client_with(latencies: Latencies) -> (Clock, Client) {
    let clock = Clock::manual();
    let aws: Arc<Aws> = Aws::new(clock.clone(), latencies);
    (clock, Client::new(&aws, "us-west-2"))
}

impl Client {
    fn vpc(&self, cidr: &str) -> String {
        self.ec2("CreateVpc", &[("CidrBlock", cidr)]).unwrap().text("vpc/vpcId")
    }

    fn subnet(&self, vpc: &str, cidr: &str) -> String {
        self.ec2("CreateSubnet", &[("VpcId", vpc), ("CidrBlock", cidr)]).unwrap().text("subnet/subnetId")
    }

    fn group(&self, vpc: &str, name: &str) -> String {
        let parameters = [("VpcId", vpc), ("GroupName", name), ("GroupDescription", "for a test")];
        self.ec2("CreateSecurityGroup", &parameters).unwrap().text("groupId")
    }

    fn route_table(&self, vpc: &str) -> String {
        self.ec2("CreateRouteTable", &[("VpcId", vpc)]).unwrap().text("routeTable/routeTableId")
    }

    fn instance(&self, subnet: &str, group: &str) -> String {
        let parameters = [("MinCount", "1"), ("MaxCount", "1"), ("SubnetId", subnet), ("SecurityGroupId.1", group)];
        self.ec2("RunInstances", &parameters).unwrap().all("instancesSet", "instanceId").remove(0)
    }

    /// Requests a peering connection and gives its id.
    fn peer(&self, requester: &str, accepter: &str, region: &str) -> String {
        let parameters = [("VpcId", requester), ("PeerVpcId", accepter), ("PeerRegion", region)];
        let answer = self.ec2("CreateVpcPeeringConnection", &parameters).unwrap();
        answer.text("vpcPeeringConnection/vpcPeeringConnectionId")
    }

    /// The state of a peering connection.
    fn peering_state(&self, id: &str) -> String {
        let answer = self.ec2("DescribeVpcPeeringConnections", &[("VpcPeeringConnectionId.1", id)]).unwrap();
        answer.all("vpcPeeringConnectionSet", "status/code").remove(0)
    }

    /// State of the route to a destination.
    fn route_state(&self, table: &str, destination: &str) -> String {
        let answer = self.ec2("DescribeRouteTables", &[("RouteTableId.1", table)]).unwrap();
        let routes = answer.at("routeTableSet/item/routeSet").children.clone();
        let route = routes.iter().find(|route| route.text("destinationCidrBlock") == destination);
        route.map_or_else(|| "none".to_owned(), |route| route.text("state"))
    }
}
