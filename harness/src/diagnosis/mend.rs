//! The commands that mend what stops a packet, with the ids of the observation.

use std::net::Ipv4Addr;

use acrossk8s_vpc::{Direction, PeeringState};
use ipnet::Ipv4Net;

use super::model::Mend;
use super::sight::Sight;
use crate::observation::{Peering, RouteTable};
use crate::topology::{ClusterIndex, Pair};

impl Sight<'_> {
    /// Routes from one cluster to addresses of another: into each route table in effect for its subnets that lacks them,
    /// the table at hand first.
    pub(super) fn add_routes(&self, from: ClusterIndex, to: ClusterIndex, at: &str, destination: Ipv4Addr) -> Mend {
        let block = self.block_with(to, destination);
        let Some(peering) = self.peering(from, to) else {
            return self.make_peering(from, to);
        };
        let leads =
            |table: &RouteTable| table.routes.iter().any(|it| it.destination == block && it.target == peering.id);
        let lacking = self.tables(from, at).into_iter().filter(|table| !leads(table));
        Mend::by(lacking.map(|table| {
            // A route with the very destination, to something else, is replaced: there can be only one.
            let verb = match table.routes.iter().any(|it| it.destination == block) {
                true => "replace-route",
                false => "create-route",
            };
            self.route_command(verb, from, &table.id, block, &peering.id)
        }))
    }

    /// The route at hand, and every other with its destination, pointed to the peering connection with the right VPC. One
    /// more specific than the peer's block is deleted where a right one stands beside it.
    pub(super) fn turn_routes(
        &self,
        from: ClusterIndex,
        to: ClusterIndex,
        at: &str,
        route: Ipv4Net,
        destination: Ipv4Addr,
    ) -> Mend {
        let Some(peering) = self.peering(from, to) else {
            return self.make_peering(from, to);
        };
        let tables = self.tables(from, at);
        let wrong = tables
            .iter()
            .filter(|table| table.routes.iter().any(|it| it.destination == route && it.target != peering.id));
        let block = self.block_with(to, destination);
        Mend::by(wrong.map(|table| {
            let stands = table.routes.iter().any(|it| it.destination == block && it.target == peering.id);
            if route != block && stands {
                let region = self.view.region(from);
                format!(
                    "aws ec2 delete-route --region {region} --route-table-id {} --destination-cidr-block {route}",
                    table.id
                )
            } else {
                self.route_command("replace-route", from, &table.id, route, &peering.id)
            }
        }))
    }

    fn route_command(&self, verb: &str, at: ClusterIndex, table: &str, block: Ipv4Net, peering: &str) -> String {
        let region = self.view.region(at);
        format!(
            "aws ec2 {verb} --region {region} --route-table-id {table} --destination-cidr-block {block} \
             --vpc-peering-connection-id {peering}"
        )
    }

    /// The table at hand, and the others in effect for the cluster's subnets.
    fn tables(&self, index: ClusterIndex, at: &str) -> Vec<&RouteTable> {
        let Ok(cluster) = self.view.cluster(index) else { return Vec::new() };
        let mut tables: Vec<&RouteTable> = cluster.route_tables.iter().filter(|table| table.id == at).collect();
        for (table, _) in self.view.cluster_route_tables(index).unwrap_or_default() {
            if table.id != at {
                tables.push(table);
            }
        }
        tables
    }

    /// A peering connection of two clusters, accepted, with the routes of both.
    pub(super) fn make_peering(&self, a: ClusterIndex, b: ClusterIndex) -> Mend {
        let Some(Pair { requester, accepter }) = Pair::of(a, b) else { return Mend::default() };
        if [a, b].into_iter().any(|index| self.region_was_read(index, "peering connections").is_err()) {
            return Mend::only(
                "observe again: the VPC peering connections, to which a route is to lead, were not read",
            );
        }
        let id = |index| self.view.vpc(index).map_or("VPC_ID", |vpc| vpc.id.as_str());
        let (here, there) = (self.view.region(requester), self.view.region(accepter));
        Mend::by([
            format!(
                "aws ec2 create-vpc-peering-connection --region {here} --vpc-id {} --peer-vpc-id {} --peer-region {there}",
                id(requester),
                id(accepter)
            ),
            format!(
                "aws ec2 accept-vpc-peering-connection --region {there} --vpc-peering-connection-id PCX_ID"
            ),
        ])
        .and(format!(
            "PCX_ID is what the first command gives; then point the routes of {} and {} to it",
            self.view.name(requester),
            self.view.name(accepter)
        ))
    }

    /// What brings a peering connection to carry packets.
    pub(super) fn revive_peering(&self, a: ClusterIndex, b: ClusterIndex, peering: &Peering) -> Mend {
        let accepter = self.of_vpc(&peering.accepter_vpc).unwrap_or(b);
        let region = self.view.region(accepter);
        match peering.state {
            PeeringState::PendingAcceptance => Mend::by([format!(
                "aws ec2 accept-vpc-peering-connection --region {region} --vpc-peering-connection-id {}",
                peering.id
            )]),
            PeeringState::InitiatingRequest | PeeringState::Provisioning | PeeringState::Active => Mend::by([format!(
                "aws ec2 describe-vpc-peering-connections --region {region} --vpc-peering-connection-ids {}",
                peering.id
            )])
            .and("wait until its state is active"),
            _ => self.make_peering(a, b),
        }
    }

    /// A rule for all traffic with a block, as the document has it.
    pub(super) fn allow(&self, at: ClusterIndex, direction: Direction, group: &str, block: Ipv4Net) -> Mend {
        let verb = match direction {
            Direction::Ingress => "authorize-security-group-ingress",
            Direction::Egress => "authorize-security-group-egress",
        };
        let region = self.view.region(at);
        Mend::by([format!("aws ec2 {verb} --region {region} --group-id {group} --protocol all --cidr {block}")])
    }

    /// An entry of a network ACL that comes before the one that denies.
    pub(super) fn allow_in_acl(
        &self,
        at: ClusterIndex,
        direction: Direction,
        acl: &str,
        denies: Option<u16>,
        block: Ipv4Net,
    ) -> Mend {
        let region = self.view.region(at);
        let egress = direction == Direction::Egress;
        let seen = self.view.cluster(at).ok().and_then(|cluster| cluster.network_acls.iter().find(|it| it.id == acl));
        let taken = |number: u16| {
            seen.is_some_and(|acl| acl.entries.iter().any(|it| it.egress == egress && it.number == number))
        };
        // 32767 is the entry that AWS lists as `*`: like no entry at all.
        let before = denies.unwrap_or(32_767).min(101);
        let side = if egress { "--egress" } else { "--ingress" };
        match (1..before).rev().find(|number| !taken(*number)) {
            Some(number) => Mend::by([format!(
                "aws ec2 create-network-acl-entry --region {region} --network-acl-id {acl} {side} --rule-number {number} \
                 --protocol -1 --rule-action allow --cidr-block {block}"
            )]),
            None => Mend::by([format!(
                "aws ec2 delete-network-acl-entry --region {region} --network-acl-id {acl} {side} --rule-number {}",
                denies.unwrap_or(1)
            )]),
        }
    }

    /// `kubectl` with a cluster's context.
    pub(super) fn kubectl(&self, index: ClusterIndex, rest: &str) -> String {
        format!("kubectl --context {} {rest}", self.view.context(index))
    }

    /// An edit of a cluster's Corefile, with what to change.
    pub(super) fn edit_corefile(&self, index: ClusterIndex, change: impl Into<String>) -> Mend {
        Mend::by([self.kubectl(index, "-n kube-system edit configmap coredns")]).and(change)
    }

    /// The DNS Service as the document has it.
    pub(super) fn apply_dns_service(&self, index: ClusterIndex) -> Mend {
        Mend::by([self.kubectl(index, "apply -f dns-lb.yaml")])
    }

    /// The nginx Pod and Service as the document has them.
    pub(super) fn apply_nginx(&self, index: ClusterIndex) -> Mend {
        let namespace = &self.view.wanted(index).namespace;
        Mend::by([self.kubectl(index, &format!("-n {namespace} apply -f sample-nginx.yaml"))])
    }

    /// Another CIDR block for a cluster's VPC, which means another VPC.
    pub(super) fn rebuild(&self, index: ClusterIndex) -> Mend {
        let (name, region) = (self.view.name(index), self.view.region(index));
        Mend::by([format!("eksctl delete cluster --name {name} --region {region} --wait")]).and(format!(
            "no command changes a VPC's CIDR block: give {name} another vpc.cidr in its configuration file and create it \
             again, with everything that the procedure does for it"
        ))
    }
}
