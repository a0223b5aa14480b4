//! What AWS says, read once for each region.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use acrossk8s_aws::ec2::types::{Filter, IpPermission, Tag};
use acrossk8s_aws::{Clients, DisplayErrorContext};
use acrossk8s_vpc::{AclEntry, PeeringState, RulePeer, RuleProtocol};
use futures::future::join_all;

use super::load_balancers;
use super::{
    ClusterObservation, Eks, Interface, NetworkAcl, Observation, Peering, Route, RouteTable, Rule, SecurityGroup,
    Subnet, Unread, Vpc,
};
use crate::procedure::{World, target_of};

/// What was read of every region.
#[derive(Default)]
pub(super) struct AwsView {
    clusters: BTreeMap<usize, ClusterObservation>,
    peerings: BTreeMap<String, Peering>,
    unread: Vec<Unread>,
}

impl AwsView {
    pub(super) fn put_into(self, observation: &mut Observation) {
        for (index, cluster) in self.clusters {
            observation.clusters[index] = cluster;
        }
        observation.peerings = self.peerings.into_values().collect();
        observation.unread.extend(self.unread);
    }
}

type ReadError = Box<dyn std::error::Error + Send + Sync>;

/// Reads every region of the topology, at the same time.
pub(super) async fn read(world: &Arc<World>) -> AwsView {
    let views = join_all(world.aws.iter().map(|clients| read_region(world, clients))).await;
    views.into_iter().fold(AwsView::default(), |mut all, view| {
        all.clusters.extend(view.clusters);
        for (id, peering) in view.peerings {
            // Both regions see a connection; the one that knows more of it (the accepter's block) wins.
            let better = all.peerings.get(&id).is_none_or(|known| known.accepter_cidr.is_none());
            if better {
                all.peerings.insert(id, peering);
            }
        }
        all.unread.extend(view.unread);
        all
    })
}

async fn read_region(world: &World, clients: &Clients) -> AwsView {
    let mut view = AwsView::default();
    let here: Vec<usize> = world
        .topology
        .indices()
        .filter(|index| world.cluster(*index).region == clients.region)
        .map(|index| index.0)
        .collect();
    for index in &here {
        let name = &world.topology.clusters[*index].name;
        let cluster = view.clusters.entry(*index).or_default();
        match read_eks(clients, name).await {
            Ok(eks) => cluster.eks = eks,
            Err(error) => view.unread.push(unread(Some(*index), "EKS", clients, error)),
        }
    }
    let vpcs: BTreeMap<String, usize> =
        view.clusters.iter().filter_map(|(index, cluster)| Some((cluster.eks.as_ref()?.vpc.clone(), *index))).collect();
    if vpcs.is_empty() {
        return view;
    }
    let of = Of { clients, vpcs: &vpcs };
    macro_rules! part {
        ($what:literal, $field:ident, $read:expr) => {
            match $read.await {
                Ok(found) => {
                    for (index, item) in found {
                        view.clusters.entry(index).or_default().$field.push(item);
                    }
                }
                Err(error) => view.unread.push(unread(None, $what, clients, error)),
            }
        };
    }
    match of.vpcs().await {
        Ok(found) => {
            for (index, vpc) in found {
                view.clusters.entry(index).or_default().vpc = Some(vpc);
            }
        }
        Err(error) => view.unread.push(unread(None, "VPCs", clients, error)),
    }
    part!("subnets", subnets, of.subnets());
    part!("route tables", route_tables, of.route_tables());
    part!("network ACLs", network_acls, of.network_acls());
    part!("security groups", security_groups, of.security_groups());
    part!("network interfaces", interfaces, of.interfaces());
    match of.peerings().await {
        Ok(found) => view.peerings = found.into_iter().map(|peering| (peering.id.clone(), peering)).collect(),
        Err(error) => view.unread.push(unread(None, "peering connections", clients, error)),
    }
    match load_balancers::read(clients, &vpcs, &view.clusters).await {
        Ok(found) => {
            for (index, load_balancer) in found {
                view.clusters.entry(index).or_default().load_balancers.push(load_balancer);
            }
        }
        Err(error) => view.unread.push(unread(None, "load balancers", clients, error)),
    }
    view
}

fn unread(cluster: Option<usize>, what: &str, clients: &Clients, error: ReadError) -> Unread {
    Unread { cluster, what: format!("{what} in {}", clients.region), why: DisplayErrorContext(&*error).to_string() }
}

async fn read_eks(clients: &Clients, name: &str) -> Result<Option<Eks>, ReadError> {
    let found = match clients.eks.describe_cluster().name(name).send().await {
        Ok(found) => found.cluster,
        Err(error) if error.as_service_error().is_some_and(|it| it.is_resource_not_found_exception()) => None,
        Err(error) => return Err(error.into()),
    };
    let Some(cluster) = found else { return Ok(None) };
    let config = cluster.resources_vpc_config();
    let names = clients.eks.list_nodegroups().cluster_name(name).send().await?;
    let mut nodegroups = BTreeMap::new();
    for nodegroup in names.nodegroups() {
        let answer = clients.eks.describe_nodegroup().cluster_name(name).nodegroup_name(nodegroup).send().await?;
        let status = answer.nodegroup().and_then(|found| found.status()).map_or("", |status| status.as_str());
        nodegroups.insert(nodegroup.clone(), status.to_owned());
    }
    let addons = clients.eks.list_addons().cluster_name(name).send().await?;
    Ok(Some(Eks {
        status: cluster.status().map_or("", |status| status.as_str()).to_owned(),
        version: cluster.version().unwrap_or_default().to_owned(),
        endpoint: cluster.endpoint().unwrap_or_default().to_owned(),
        vpc: config.and_then(|config| config.vpc_id()).unwrap_or_default().to_owned(),
        subnets: config.map(|config| config.subnet_ids().to_vec()).unwrap_or_default(),
        cluster_security_group: config.and_then(|config| config.cluster_security_group_id()).map(str::to_owned),
        service_cidr: cluster
            .kubernetes_network_config()
            .and_then(|network| network.service_ipv4_cidr())
            .and_then(|cidr| cidr.parse().ok()),
        auto_mode: cluster.compute_config().and_then(|compute| compute.enabled()).unwrap_or(false),
        nodegroups,
        addons: addons.addons().iter().cloned().collect::<BTreeSet<_>>(),
    }))
}

/// The reads of one region's VPCs.
struct Of<'a> {
    clients: &'a Clients,
    vpcs: &'a BTreeMap<String, usize>,
}

impl Of<'_> {
    fn filter(&self, name: &str) -> Filter {
        Filter::builder().name(name).set_values(Some(self.vpcs.keys().cloned().collect())).build()
    }

    fn index(&self, vpc: Option<&str>) -> Option<usize> {
        self.vpcs.get(vpc?).copied()
    }

    async fn vpcs(&self) -> Result<Vec<(usize, Vpc)>, ReadError> {
        let mut pages = self.clients.ec2.describe_vpcs().filters(self.filter("vpc-id")).into_paginator().items().send();
        let mut found = Vec::new();
        while let Some(vpc) = pages.next().await {
            let vpc = vpc?;
            let Some(index) = self.index(vpc.vpc_id()) else { continue };
            let mut cidr_blocks: Vec<_> = vpc
                .cidr_block_association_set()
                .iter()
                .filter_map(|association| association.cidr_block()?.parse().ok())
                .collect();
            if cidr_blocks.is_empty() {
                cidr_blocks.extend(vpc.cidr_block().and_then(|cidr| cidr.parse::<ipnet::Ipv4Net>().ok()));
            }
            found.push((index, Vpc { id: vpc.vpc_id().unwrap_or_default().to_owned(), cidr_blocks }));
        }
        Ok(found)
    }

    async fn subnets(&self) -> Result<Vec<(usize, Subnet)>, ReadError> {
        let mut pages =
            self.clients.ec2.describe_subnets().filters(self.filter("vpc-id")).into_paginator().items().send();
        let mut found = Vec::new();
        while let Some(subnet) = pages.next().await {
            let subnet = subnet?;
            let Some(index) = self.index(subnet.vpc_id()) else { continue };
            let Some(cidr_block) = subnet.cidr_block().and_then(|cidr| cidr.parse().ok()) else { continue };
            found.push((
                index,
                Subnet {
                    id: subnet.subnet_id().unwrap_or_default().to_owned(),
                    cidr_block,
                    availability_zone: subnet.availability_zone().unwrap_or_default().to_owned(),
                },
            ));
        }
        Ok(found)
    }

    async fn route_tables(&self) -> Result<Vec<(usize, RouteTable)>, ReadError> {
        let mut pages =
            self.clients.ec2.describe_route_tables().filters(self.filter("vpc-id")).into_paginator().items().send();
        let mut found = Vec::new();
        while let Some(table) = pages.next().await {
            let table = table?;
            let Some(index) = self.index(table.vpc_id()) else { continue };
            let routes = table
                .routes()
                .iter()
                .filter_map(|route| {
                    Some(Route {
                        destination: route.destination_cidr_block()?.parse().ok()?,
                        target: target_of(route).to_owned(),
                        state: route.state().map_or("", |state| state.as_str()).to_owned(),
                        origin: route.origin().map_or("", |origin| origin.as_str()).to_owned(),
                    })
                })
                .collect();
            let associations = table.associations();
            found.push((
                index,
                RouteTable {
                    id: table.route_table_id().unwrap_or_default().to_owned(),
                    name: name_tag(table.tags()),
                    main: associations.iter().any(|association| association.main() == Some(true)),
                    subnets: associations.iter().filter_map(|it| it.subnet_id().map(str::to_owned)).collect(),
                    routes,
                },
            ));
        }
        Ok(found)
    }

    async fn network_acls(&self) -> Result<Vec<(usize, NetworkAcl)>, ReadError> {
        let mut pages =
            self.clients.ec2.describe_network_acls().filters(self.filter("vpc-id")).into_paginator().items().send();
        let mut found = Vec::new();
        while let Some(acl) = pages.next().await {
            let acl = acl?;
            let Some(index) = self.index(acl.vpc_id()) else { continue };
            let entries = acl
                .entries()
                .iter()
                .filter_map(|entry| {
                    Some(AclEntry {
                        number: u16::try_from(entry.rule_number()?).ok()?,
                        egress: entry.egress().unwrap_or(false),
                        allow: entry.rule_action().is_some_and(|action| action.as_str() == "allow"),
                        protocol: protocol(entry.protocol().unwrap_or("-1"))?,
                        ports: entry
                            .port_range()
                            .map_or((0, 65535), |range| (range.from().unwrap_or(0), range.to().unwrap_or(65535))),
                        cidr_block: entry.cidr_block()?.parse().ok()?,
                    })
                })
                .collect();
            found.push((
                index,
                NetworkAcl {
                    id: acl.network_acl_id().unwrap_or_default().to_owned(),
                    subnets: acl.associations().iter().filter_map(|it| it.subnet_id().map(str::to_owned)).collect(),
                    entries,
                },
            ));
        }
        Ok(found)
    }

    async fn security_groups(&self) -> Result<Vec<(usize, SecurityGroup)>, ReadError> {
        let mut pages =
            self.clients.ec2.describe_security_groups().filters(self.filter("vpc-id")).into_paginator().items().send();
        let mut found = Vec::new();
        while let Some(group) = pages.next().await {
            let group = group?;
            let Some(index) = self.index(group.vpc_id()) else { continue };
            found.push((
                index,
                SecurityGroup {
                    id: group.group_id().unwrap_or_default().to_owned(),
                    group_name: group.group_name().unwrap_or_default().to_owned(),
                    name: name_tag(group.tags()),
                    ingress: group.ip_permissions().iter().flat_map(rules).collect(),
                    egress: group.ip_permissions_egress().iter().flat_map(rules).collect(),
                },
            ));
        }
        Ok(found)
    }

    async fn interfaces(&self) -> Result<Vec<(usize, Interface)>, ReadError> {
        let mut pages = self
            .clients
            .ec2
            .describe_network_interfaces()
            .filters(self.filter("vpc-id"))
            .into_paginator()
            .items()
            .send();
        let mut found = Vec::new();
        while let Some(interface) = pages.next().await {
            let interface = interface?;
            let Some(index) = self.index(interface.vpc_id()) else { continue };
            let mut addresses: Vec<(bool, std::net::Ipv4Addr)> = interface
                .private_ip_addresses()
                .iter()
                .filter_map(|address| {
                    Some((!address.primary().unwrap_or(false), address.private_ip_address()?.parse().ok()?))
                })
                .collect();
            addresses.sort_by_key(|(secondary, _)| *secondary);
            found.push((
                index,
                Interface {
                    id: interface.network_interface_id().unwrap_or_default().to_owned(),
                    subnet: interface.subnet_id().unwrap_or_default().to_owned(),
                    addresses: addresses.into_iter().map(|(_, address)| address).collect(),
                    security_groups: interface
                        .groups()
                        .iter()
                        .filter_map(|it| it.group_id().map(str::to_owned))
                        .collect(),
                    description: interface.description().unwrap_or_default().to_owned(),
                    instance: interface.attachment().and_then(|it| it.instance_id()).map(str::to_owned),
                },
            ));
        }
        Ok(found)
    }

    /// Connections in which a VPC of the region is requester or accepter.
    async fn peerings(&self) -> Result<Vec<Peering>, ReadError> {
        let mut found = Vec::new();
        for side in ["requester-vpc-info.vpc-id", "accepter-vpc-info.vpc-id"] {
            let mut pages = self
                .clients
                .ec2
                .describe_vpc_peering_connections()
                .filters(self.filter(side))
                .into_paginator()
                .items()
                .send();
            while let Some(connection) = pages.next().await {
                let connection = connection?;
                let (requester, accepter) = (connection.requester_vpc_info(), connection.accepter_vpc_info());
                let Some(state) = connection
                    .status()
                    .and_then(|status| status.code())
                    .and_then(|code| serde_json::from_value::<PeeringState>(code.as_str().into()).ok())
                else {
                    continue;
                };
                found.push(Peering {
                    id: connection.vpc_peering_connection_id().unwrap_or_default().to_owned(),
                    state,
                    message: connection.status().and_then(|status| status.message()).map(str::to_owned),
                    requester_vpc: requester.and_then(|side| side.vpc_id()).unwrap_or_default().to_owned(),
                    requester_cidr: requester.and_then(|side| side.cidr_block()?.parse().ok()),
                    accepter_vpc: accepter.and_then(|side| side.vpc_id()).unwrap_or_default().to_owned(),
                    accepter_cidr: accepter.and_then(|side| side.cidr_block()?.parse().ok()),
                });
            }
        }
        Ok(found)
    }
}

fn name_tag(tags: &[Tag]) -> Option<String> {
    tags.iter().find(|tag| tag.key() == Some("Name")).and_then(|tag| tag.value()).map(str::to_owned)
}

fn protocol(protocol: &str) -> Option<RuleProtocol> {
    match protocol {
        "-1" => Some(RuleProtocol::All),
        "tcp" | "6" => Some(RuleProtocol::Tcp),
        "udp" | "17" => Some(RuleProtocol::Udp),
        "icmp" | "1" => Some(RuleProtocol::Icmp),
        _ => None,
    }
}

fn rules(permission: &IpPermission) -> Vec<Rule> {
    let rule = |peer, description: Option<&str>| Rule {
        protocol: permission.ip_protocol().unwrap_or("-1").to_owned(),
        from_port: permission.from_port().unwrap_or(-1),
        to_port: permission.to_port().unwrap_or(-1),
        peer,
        description: description.map(str::to_owned),
    };
    let blocks = permission
        .ip_ranges()
        .iter()
        .filter_map(|range| Some(rule(RulePeer::Cidr(range.cidr_ip()?.parse().ok()?), range.description())));
    let groups = permission
        .user_id_group_pairs()
        .iter()
        .filter_map(|pair| Some(rule(RulePeer::Group(pair.group_id()?.to_owned()), pair.description())));
    blocks.chain(groups).collect()
}
