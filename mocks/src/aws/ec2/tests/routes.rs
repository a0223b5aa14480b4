//! Route tables and routes.

use rstest::rstest;

use super::client;
use crate::aws::wire::testing::Client;

/// Two peered VPCs of one region: a client, the first VPC, a route table of it, and the connection.
fn peered() -> (Client, String, String, String) {
    let client = client();
    let (a, b) = (client.vpc("10.1.0.0/16"), client.vpc("10.2.0.0/16"));
    let id = client.peer(&a, &b, "us-west-2");
    let table = client.route_table(&a);
    (client, a, table, id)
}

impl Client {
    fn create_route(&self, table: &str, destination: &str, target: (&str, &str)) -> Result<(), (String, String)> {
        let parameters = [("RouteTableId", table), ("DestinationCidrBlock", destination), target];
        self.ec2("CreateRoute", &parameters).map(drop).map_err(|error| (error.code, error.message))
    }
}

#[test]
fn a_route_is_a_black_hole_unless_the_connection_is_active() {
    let (client, _, table, id) = peered();
    let pcx = ("VpcPeeringConnectionId", id.as_str());
    client.create_route(&table, "10.2.0.0/16", pcx).unwrap();
    assert_eq!(client.route_state(&table, "10.2.0.0/16"), "blackhole");
    client.ec2("AcceptVpcPeeringConnection", &[pcx]).unwrap();
    assert_eq!(client.route_state(&table, "10.2.0.0/16"), "active");
    client.ec2("DeleteVpcPeeringConnection", &[pcx]).unwrap();
    assert_eq!(client.route_state(&table, "10.2.0.0/16"), "blackhole");
    assert_eq!(
        client.code("CreateRoute", &[("RouteTableId", &table), ("DestinationCidrBlock", "10.3.0.0/16"), pcx]),
        "InvalidVpcPeeringConnectionID.NotFound"
    );
}

#[rstest]
#[case::again("10.2.0.0/16", "RouteAlreadyExists", "The route identified by 10.2.0.0/16 already exists.")]
#[case::again_with_host_bits(
    "10.2.3.4/16",
    "RouteAlreadyExists",
    "The route identified by 10.2.0.0/16 already exists."
)]
#[case::own_block("10.1.0.0/16", "RouteAlreadyExists", "The route identified by 10.1.0.0/16 already exists.")]
#[case::within_own_block(
    "10.1.5.0/24",
    "InvalidParameterValue",
    "The destination CIDR block 10.1.5.0/24 is equal to or more specific than one of this VPC's CIDR blocks. This route can \
     target only an interface or an instance."
)]
#[case::no_block(
    "10.2.0.0/40",
    "InvalidParameterValue",
    "Value (10.2.0.0/40) for parameter destinationCidrBlock is invalid. This is not a valid CIDR block."
)]
fn destinations_that_are_refused(#[case] destination: &str, #[case] code: &str, #[case] message: &str) {
    let (client, _, table, id) = peered();
    let pcx = ("VpcPeeringConnectionId", id.as_str());
    client.create_route(&table, "10.2.0.0/16", pcx).unwrap();
    assert_eq!(client.create_route(&table, destination, pcx), Err((code.to_owned(), message.to_owned())));
}

#[test]
fn a_wider_destination_than_the_own_block_is_allowed() {
    let (client, _, table, id) = peered();
    client.create_route(&table, "10.0.0.0/8", ("VpcPeeringConnectionId", &id)).unwrap();
    assert_eq!(client.route_state(&table, "10.1.0.0/16"), "active");
}

#[test]
fn the_connection_has_to_be_the_vpcs_own() {
    let (client, _, _, id) = peered();
    let other = client.route_table(&client.vpc("10.3.0.0/16"));
    let expected = format!("route table {other} and network gateway {id} belong to different networks");
    assert_eq!(
        client.create_route(&other, "10.2.0.0/16", ("VpcPeeringConnectionId", &id)),
        Err(("InvalidParameterValue".to_owned(), expected))
    );
}

#[rstest]
#[case(("VpcPeeringConnectionId", "pcx-0123456789abcdef0"), "InvalidVpcPeeringConnectionID.NotFound")]
#[case(("VpcPeeringConnectionId", "pcx-1"), "InvalidVpcPeeringConnectionId.Malformed")]
#[case(("GatewayId", "igw-0123456789abcdef0"), "InvalidGatewayID.NotFound")]
#[case(("NatGatewayId", "nat-0123456789abcdef0"), "InvalidNatGatewayID.NotFound")]
#[case(("NetworkInterfaceId", "eni-0123456789abcdef0"), "InvalidNetworkInterfaceID.NotFound")]
#[case(("TransitGatewayId", "tgw-0123456789abcdef0"), "UnsupportedOperation")]
#[case(("Nothing", ""), "MissingParameter")]
fn targets_that_are_refused(#[case] target: (&str, &str), #[case] code: &str) {
    let (client, _, table, _) = peered();
    assert_eq!(client.create_route(&table, "10.2.0.0/16", target).unwrap_err().0, code);
}

#[test]
fn a_table_holds_fifty_routes_beside_the_local_one() {
    let (client, _, table, id) = peered();
    let pcx = ("VpcPeeringConnectionId", id.as_str());
    for n in 0..50 {
        client.create_route(&table, &format!("172.16.{n}.0/24"), pcx).unwrap();
    }
    assert_eq!(client.create_route(&table, "172.16.50.0/24", pcx).unwrap_err().0, "RouteLimitExceeded");
    let count = client.ec2("DescribeRouteTables", &[("RouteTableId.1", &table)]).unwrap();
    assert_eq!(count.at("routeTableSet/item/routeSet").children.len(), 51);
}

#[test]
fn routes_are_replaced_and_deleted() {
    let (client, a, table, id) = peered();
    let other = client.peer(&a, &client.vpc("10.3.0.0/16"), "us-west-2");
    let route = |destination, pcx: &str| {
        client.code(
            "ReplaceRoute",
            &[("RouteTableId", &table), ("DestinationCidrBlock", destination), ("VpcPeeringConnectionId", pcx)],
        )
    };
    let delete = |destination| {
        client
            .ec2("DeleteRoute", &[("RouteTableId", table.as_str()), ("DestinationCidrBlock", destination)])
            .map_err(|e| (e.code, e.message))
    };
    assert_eq!(route("10.2.0.0/16", &id), "InvalidParameterValue");
    client.create_route(&table, "10.2.0.0/16", ("VpcPeeringConnectionId", &id)).unwrap();
    assert_eq!(route("10.2.0.0/16", &other), "ok");
    let filter = [("Filter.1.Name", "route.vpc-peering-connection-id"), ("Filter.1.Value.1", other.as_str())];
    assert_eq!(
        client.ec2("DescribeRouteTables", &filter).unwrap().all("routeTableSet", "routeTableId"),
        std::slice::from_ref(&table)
    );
    assert_eq!(route("10.1.0.0/16", &other), "InvalidParameterValue");
    assert!(delete("10.2.0.0/16").is_ok());
    let missing = format!("no route with destination-cidr-block 10.2.0.0/16 in route table {table}");
    assert_eq!(delete("10.2.0.0/16").unwrap_err(), ("InvalidRoute.NotFound".to_owned(), missing));
    let local = format!("cannot remove local route 10.1.0.0/16 in route table {table}");
    assert_eq!(delete("10.1.0.0/16").unwrap_err(), ("InvalidParameterValue".to_owned(), local));
}

#[test]
fn gateways_that_go_leave_black_holes() {
    let client = client();
    let vpc = client.vpc("10.1.0.0/16");
    let (subnet, table) = (client.subnet(&vpc, "10.1.0.0/24"), client.route_table(&vpc));
    let gateway = client.ec2("CreateInternetGateway", &[]).unwrap().text("internetGateway/internetGatewayId");
    let igw = [("InternetGatewayId", gateway.as_str()), ("VpcId", &vpc)];
    assert_eq!(
        client.create_route(&table, "0.0.0.0/0", ("GatewayId", &gateway)).unwrap_err().0,
        "InvalidParameterValue"
    );
    client.ec2("AttachInternetGateway", &igw).unwrap();
    client.create_route(&table, "0.0.0.0/0", ("GatewayId", &gateway)).unwrap();
    let allocation = client.ec2("AllocateAddress", &[]).unwrap().text("allocationId");
    let nat = client.ec2("CreateNatGateway", &[("SubnetId", &subnet), ("AllocationId", &allocation)]).unwrap();
    let nat = nat.text("natGateway/natGatewayId");
    client.create_route(&table, "192.0.2.0/24", ("NatGatewayId", &nat)).unwrap();
    let states = || [client.route_state(&table, "0.0.0.0/0"), client.route_state(&table, "192.0.2.0/24")];
    assert_eq!(states(), ["active", "active"]);
    assert_eq!(client.code("DetachInternetGateway", &igw), "DependencyViolation");
    client.ec2("DeleteNatGateway", &[("NatGatewayId", &nat)]).unwrap();
    client.ec2("DetachInternetGateway", &igw).unwrap();
    assert_eq!(states(), ["blackhole", "blackhole"]);
}

#[test]
fn an_explicit_association_goes_before_the_main_table() {
    let client = client();
    let vpc = client.vpc("10.1.0.0/16");
    let subnet = client.subnet(&vpc, "10.1.0.0/24");
    let (first, second) = (client.route_table(&vpc), client.route_table(&vpc));
    let tables_of_subnet = || {
        let filter = [("Filter.1.Name", "association.subnet-id"), ("Filter.1.Value.1", subnet.as_str())];
        client.ec2("DescribeRouteTables", &filter).unwrap().all("routeTableSet", "routeTableId")
    };
    assert!(tables_of_subnet().is_empty());
    let associate = |table: &str| client.ec2("AssociateRouteTable", &[("RouteTableId", table), ("SubnetId", &subnet)]);
    let association = associate(&first).unwrap().text("associationId");
    assert_eq!(associate(&first).unwrap().text("associationId"), association);
    assert_eq!(associate(&second).unwrap_err().code, "Resource.AlreadyAssociated");
    assert_eq!(tables_of_subnet(), std::slice::from_ref(&first));
    assert_eq!(client.code("DeleteRouteTable", &[("RouteTableId", &first)]), "DependencyViolation");
    let replaced =
        client.ec2("ReplaceRouteTableAssociation", &[("AssociationId", &association), ("RouteTableId", &second)]);
    let association = replaced.unwrap().text("newAssociationId");
    assert_eq!(tables_of_subnet(), [second]);
    assert_eq!(client.code("DisassociateRouteTable", &[("AssociationId", &association)]), "ok");
    assert_eq!(
        client.code("DisassociateRouteTable", &[("AssociationId", &association)]),
        "InvalidAssociationID.NotFound"
    );
    assert_eq!(client.code("DeleteRouteTable", &[("RouteTableId", &first)]), "ok");
}

#[test]
fn the_main_association_can_be_moved_but_not_ended() {
    let client = client();
    let vpc = client.vpc("10.1.0.0/16");
    let other = client.route_table(&vpc);
    let main = || {
        let filter = [("Filter.1.Name", "association.main"), ("Filter.1.Value.1", "true")];
        let answer = client.ec2("DescribeRouteTables", &filter).unwrap();
        let item = answer.at("routeTableSet/item").clone();
        (item.text("routeTableId"), item.text("associationSet/item/routeTableAssociationId"))
    };
    let (old, association) = main();
    assert_ne!(old, other);
    assert_eq!(client.code("DisassociateRouteTable", &[("AssociationId", &association)]), "InvalidParameterValue");
    client.ec2("ReplaceRouteTableAssociation", &[("AssociationId", &association), ("RouteTableId", &other)]).unwrap();
    assert_eq!(main().0, other);
    assert_eq!(client.code("DeleteRouteTable", &[("RouteTableId", &old)]), "ok");
    assert_eq!(client.code("DeleteRouteTable", &[("RouteTableId", &other)]), "DependencyViolation");
}
