//! What may happen to a topology. AWS refuses some of it, and then nothing has changed.

use acrossk8s_vpc::{AclEntry, RulePeer, RuleProtocol};
use ipnet::Ipv4Net;
use proptest::prelude::*;

use super::super::*;
use super::world::{Built, DNS, LISTENER, NODE_PORT, REGIONS, Site, WEB};
use crate::aws::ec2::Association;
use crate::aws::elbv2::{Health, listeners, load_balancers, target_groups};
use crate::aws::{Context, State};

/// One of several things, by a number that is taken modulo their count: what is left when a case shrinks is in range.
pub type Nth = usize;

/// Protocol and ports of a rule.
#[derive(Debug, Clone, Copy)]
pub struct Traffic(pub RuleProtocol, pub (i32, i32));

/// One operation. `site` is the VPC.
#[derive(Debug, Clone)]
pub enum Change {
    CreateRoute { site: Nth, table: Nth, to: Nth, peering: Nth },
    ReplaceRoute { site: Nth, route: Nth, peering: Nth },
    DeleteRoute { site: Nth, route: Nth },
    Associate { site: Nth, subnet: Nth, table: Nth },
    Disassociate { site: Nth, subnet: Nth },
    MainTable { site: Nth, table: Nth },
    Authorize { site: Nth, group: Nth, egress: bool, traffic: Traffic, peer: Peer },
    Revoke { site: Nth, group: Nth, rule: Nth },
    RevokeAll { site: Nth, group: Nth, egress: bool },
    Carry { site: Nth, interface: Nth, groups: Vec<Nth> },
    RequestPeering { from: Nth, to: Nth, accept: bool },
    DeletePeering { peering: Nth },
    PutEntry { site: Nth, acl: Nth, egress: bool, number: u16, allow: bool, traffic: Traffic, to: Nth },
    DeleteEntry { site: Nth, acl: Nth, entry: Nth },
    MoveAcl { site: Nth, subnet: Nth, acl: Nth },
    CrossZone { site: Nth, on: bool },
    PreserveClientIp { site: Nth, on: bool },
    Register { site: Nth, instance: Nth },
    Deregister { site: Nth, instance: Nth },
    Health { site: Nth, instance: Nth, health: Nth },
    DeleteListener { site: Nth },
    Endpoints { site: Nth, pods: Vec<Nth> },
    Unassign { site: Nth, pod: Nth },
}

/// The other end of a rule.
#[derive(Debug, Clone, Copy)]
pub enum Peer {
    Block(Nth),
    Group(Nth, Nth),
}

/// Traffic that rules speak of.
pub fn traffic() -> impl Strategy<Value = Traffic> {
    use RuleProtocol::{All, Icmp, Tcp, Udp};
    let port = |port: u16| (i32::from(port), i32::from(port));
    prop_oneof![
        3 => Just(Traffic(All, (-1, -1))),
        2 => Just(Traffic(Tcp, (0, 65535))),
        2 => Just(Traffic(Tcp, port(WEB))),
        1 => Just(Traffic(Tcp, port(LISTENER))),
        2 => Just(Traffic(Tcp, port(NODE_PORT))),
        2 => Just(Traffic(Tcp, (1024, 65535))),
        1 => Just(Traffic(Tcp, (32_768, 60_999))),
        2 => Just(Traffic(Udp, (0, 65535))),
        1 => Just(Traffic(Udp, port(DNS))),
        1 => Just(Traffic(Udp, (1024, 65535))),
        1 => Just(Traffic(Icmp, (-1, -1))),
        1 => Just(Traffic(Icmp, (8, -1))),
        1 => Just(Traffic(Icmp, (0, 0))),
        1 => Just(Traffic(Icmp, (3, 3))),
    ]
}

pub fn changes() -> impl Strategy<Value = Change> {
    use Change::*;
    let nth = || 0usize..24;
    let site = || 0usize..3;
    let two = || 0usize..2;
    let peer = prop_oneof![2 => nth().prop_map(Peer::Block), 1 => (site(), two()).prop_map(|(a, b)| Peer::Group(a, b))];
    prop_oneof![
        3 => (site(), two(), nth(), nth()).prop_map(|(site, table, to, peering)| CreateRoute { site, table, to, peering }),
        2 => (site(), nth(), nth()).prop_map(|(site, route, peering)| ReplaceRoute { site, route, peering }),
        2 => (site(), nth()).prop_map(|(site, route)| DeleteRoute { site, route }),
        1 => (site(), two(), two()).prop_map(|(site, subnet, table)| Associate { site, subnet, table }),
        1 => (site(), two()).prop_map(|(site, subnet)| Disassociate { site, subnet }),
        1 => (site(), two()).prop_map(|(site, table)| MainTable { site, table }),
        4 => (site(), two(), any::<bool>(), traffic(), peer)
            .prop_map(|(site, group, egress, traffic, peer)| Authorize { site, group, egress, traffic, peer }),
        4 => (site(), two(), nth()).prop_map(|(site, group, rule)| Revoke { site, group, rule }),
        1 => (site(), two(), any::<bool>()).prop_map(|(site, group, egress)| RevokeAll { site, group, egress }),
        2 => (site(), nth(), prop::collection::vec(two(), 1..3))
            .prop_map(|(site, interface, groups)| Carry { site, interface, groups }),
        2 => (site(), site(), any::<bool>()).prop_map(|(from, to, accept)| RequestPeering { from, to, accept }),
        1 => nth().prop_map(|peering| DeletePeering { peering }),
        5 => (site(), two(), any::<bool>(), 50u16..150, any::<bool>(), traffic(), nth()).prop_map(
            |(site, acl, egress, number, allow, traffic, to)| PutEntry { site, acl, egress, number, allow, traffic, to }),
        1 => (site(), two(), nth()).prop_map(|(site, acl, entry)| DeleteEntry { site, acl, entry }),
        2 => (site(), two(), two()).prop_map(|(site, subnet, acl)| MoveAcl { site, subnet, acl }),
        1 => (site(), any::<bool>()).prop_map(|(site, on)| CrossZone { site, on }),
        1 => (site(), any::<bool>()).prop_map(|(site, on)| PreserveClientIp { site, on }),
        1 => (site(), two()).prop_map(|(site, instance)| Register { site, instance }),
        1 => (site(), two()).prop_map(|(site, instance)| Deregister { site, instance }),
        2 => (site(), two(), 0usize..3).prop_map(|(site, instance, health)| Health { site, instance, health }),
        1 => site().prop_map(|site| DeleteListener { site }),
        1 => (site(), prop::collection::vec(nth(), 0..3)).prop_map(|(site, pods)| Endpoints { site, pods }),
        1 => (site(), nth()).prop_map(|(site, pod)| Unassign { site, pod }),
    ]
}

fn nth<T: Clone>(of: impl IntoIterator<Item = T>, nth: Nth) -> Option<T> {
    let all: Vec<T> = of.into_iter().collect();
    all.get(nth.checked_rem(all.len())?).cloned()
}

impl Built {
    fn site(&self, index: Nth) -> &Site {
        &self.sites[index % self.sites.len()]
    }

    /// Blocks that routes and rules speak of.
    fn block(&self, index: Nth) -> Ipv4Net {
        let of_sites = self.sites.iter().flat_map(|site| {
            let part = |third: u8| {
                let [a, b, ..] = site.block.network().octets();
                Ipv4Net::new([a, b, third, 0].into(), 24).unwrap()
            };
            [site.block, part(0), part(1)]
        });
        let of_hosts = self.hosts.iter().map(|host| Ipv4Net::from(host.spec.address));
        let wide = ["0.0.0.0/0", "10.0.0.0/8"].map(|block| block.parse().unwrap());
        nth(wide.into_iter().chain(of_sites).chain(of_hosts), index).unwrap()
    }

    /// Does it, and lets the kernel know before anything else happens: what stands then is what the next change starts
    /// from.
    pub async fn apply(&self, change: &Change) {
        if let Change::Endpoints { site, pods } = change {
            let index = site % self.sites.len();
            let pods = pods.iter().filter_map(|pod| nth(&self.sites[index].pods, *pod)).map(|(pod, _)| *pod);
            let pods: std::collections::BTreeSet<_> = pods.collect();
            self.endpoints.lock().insert(index, pods.into_iter().collect());
            self.serve(index).await;
            return;
        }
        for region in REGIONS {
            self.aws.with(region, |state, context| self.operate(state, context, change));
        }
        if let Some(host) = self.hosts.first() {
            host.kernel.bind(0).await.unwrap();
        }
    }

    /// Makes the operation in the region that it belongs to. What is refused is refused.
    fn operate(&self, state: &mut State, context: &Context, change: &Change) {
        let _ = self.on_networks(state, context, change).or_else(|| self.on_balancers(state, context, change));
    }

    fn here(&self, context: &Context, site: Nth) -> Option<&Site> {
        Some(self.site(site)).filter(|site| site.region == context.region)
    }

    fn on_networks(&self, state: &mut State, context: &Context, change: &Change) -> Option<()> {
        let State { ids, ec2, .. } = state;
        let peering_of = |ec2: &crate::aws::ec2::Ec2, site: &Site, index: Nth| {
            nth(ec2.peerings.iter().filter(|(_, it)| it.has(&site.vpc)).map(|(id, _)| id.clone()), index)
        };
        match change {
            Change::CreateRoute { site, table, to, peering } => {
                let site = self.here(context, *site)?;
                let peering = peering_of(ec2, site, *peering)?;
                ec2.create_route(context, &site.tables[*table], self.block(*to), &peering).ok()
            }
            Change::ReplaceRoute { site, route, peering } => {
                let site = self.here(context, *site)?;
                let (table, to) = self.route(ec2, site, *route)?;
                let peering = peering_of(ec2, site, *peering)?;
                ec2.replace_route(context, &table, to, &peering).ok()
            }
            Change::DeleteRoute { site, route } => {
                let (table, to) = self.route(ec2, self.here(context, *site)?, *route)?;
                ec2.delete_route(context, &table, to).ok()
            }
            Change::Associate { site, subnet, table } => {
                let site = self.here(context, *site)?;
                let (subnet, table) = (&site.subnets[*subnet], &site.tables[*table]);
                match association(ec2, &Association::Subnet(subnet.clone())) {
                    Some(old) => ec2.replace_route_table_association(ids, context, &old, table).ok().map(drop),
                    None => ec2.associate_route_table(ids, context, table, subnet).ok().map(drop),
                }
            }
            Change::Disassociate { site, subnet } => {
                let subnet = self.here(context, *site)?.subnets[*subnet].clone();
                let old = association(ec2, &Association::Subnet(subnet))?;
                ec2.disassociate_route_table(context, &old).ok()
            }
            Change::MainTable { site, table } => {
                let site = self.here(context, *site)?;
                let tables = ec2.route_tables.values().filter(|it| it.vpc == site.vpc);
                let mut main = tables.flat_map(|it| &it.associations).filter(|(_, it)| **it == Association::Main);
                let main = main.next()?.0.clone();
                ec2.replace_route_table_association(ids, context, &main, &site.tables[*table]).ok().map(drop)
            }
            Change::Authorize { site, group, egress, traffic: Traffic(protocol, ports), peer } => {
                let site = self.here(context, *site)?;
                let peer = match peer {
                    Peer::Block(to) => RulePeer::Cidr(self.block(*to)),
                    Peer::Group(other, group) => RulePeer::Group(self.site(*other).groups[*group].clone()),
                };
                let protocol = match protocol {
                    RuleProtocol::All => "-1",
                    RuleProtocol::Tcp => "tcp",
                    RuleProtocol::Udp => "udp",
                    RuleProtocol::Icmp => "icmp",
                };
                let rule = SecurityGroupRule::cidr(*egress, protocol, *ports, Ipv4Net::default());
                let rule = SecurityGroupRule { peer, ..rule };
                ec2.authorize(ids, context, &site.groups[*group], vec![rule]).ok().map(drop)
            }
            Change::Revoke { site, group, rule } => {
                let group = &self.here(context, *site)?.groups[*group];
                let rule = nth(ec2.security_groups.get(group)?.rules.values(), *rule)?.clone();
                ec2.revoke(context, group, &[rule]).ok().map(drop)
            }
            Change::RevokeAll { site, group, egress } => {
                let group = &self.here(context, *site)?.groups[*group];
                let rules = ec2.security_groups.get(group)?.rules.values().filter(|rule| rule.egress == *egress);
                let rules: Vec<_> = rules.cloned().collect();
                ec2.revoke(context, group, &rules).ok().map(drop)
            }
            Change::Carry { site, interface, groups } => {
                let site = self.here(context, *site)?;
                let groups: std::collections::BTreeSet<_> = groups.iter().map(|it| site.groups[*it].clone()).collect();
                let interface = nth(&site.interfaces, *interface)?;
                ec2.set_interface_groups(context, interface, groups.into_iter().collect()).ok()
            }
            Change::RequestPeering { from, to, accept } => {
                let (from, to) = (self.site(*from), self.site(*to));
                // Once, in the requester's region, and again in the accepter's, which is where it is accepted.
                let request = PeeringRequest {
                    requester: from.vpc.clone(),
                    accepter: to.vpc.clone(),
                    accepter_region: Some(to.region.to_owned()),
                    ..PeeringRequest::default()
                };
                if from.region == context.region {
                    ec2.create_peering(ids, context, request).ok()?;
                }
                let pending = ec2.peerings.iter().filter(|(_, it)| it.requester == from.vpc && it.accepter == to.vpc);
                let pending = pending.filter(|(_, it)| it.ended.is_none() && it.accepted.is_none());
                let id = pending.map(|(id, _)| id.clone()).next()?;
                if *accept && to.region == context.region { ec2.accept_peering(context, &id).ok() } else { None }
            }
            Change::DeletePeering { peering } => {
                let live =
                    ec2.peerings.iter().filter(|(_, it)| it.ended.is_none() && it.requester_region == context.region);
                let id = nth(live.map(|(id, _)| id.clone()), *peering)?;
                ec2.delete_peering(context, &id).ok()
            }
            Change::PutEntry { site, acl, egress, number, allow, traffic: Traffic(protocol, ports), to } => {
                let acl = &self.here(context, *site)?.acls[*acl];
                let (egress, number, allow, protocol, ports) = (*egress, *number, *allow, *protocol, *ports);
                let entry = AclEntry { number, egress, allow, protocol, ports, cidr_block: self.block(*to) };
                ec2.put_network_acl_entry(context, acl, entry, false).ok()
            }
            Change::DeleteEntry { site, acl, entry } => {
                let acl = &self.here(context, *site)?.acls[*acl];
                let entry = nth(ec2.network_acls.get(acl)?.entries.iter(), *entry)?;
                let (number, egress) = (entry.number, entry.egress);
                ec2.delete_network_acl_entry(context, acl, number, egress).ok()
            }
            Change::MoveAcl { site, subnet, acl } => {
                let site = self.here(context, *site)?;
                let (subnet, acl) = (&site.subnets[*subnet], &site.acls[*acl]);
                let mut old = ec2.network_acls.values().flat_map(|acl| &acl.associations);
                let old = old.find(|(_, of)| *of == subnet)?.0.clone();
                ec2.replace_network_acl_association(ids, context, &old, acl).ok().map(drop)
            }
            Change::Unassign { site, pod } => {
                let (address, interface) = nth(&self.here(context, *site)?.assigned, *pod)?.clone();
                ec2.unassign_private_address(context, &interface, address).ok()
            }
            _ => None,
        }
    }

    /// A route that was created.
    fn route(&self, ec2: &crate::aws::ec2::Ec2, site: &Site, index: Nth) -> Option<(String, Ipv4Net)> {
        let of_table = |id: &String| {
            let routes = ec2.route_tables[id].routes.iter().filter(|(_, route)| route.origin == "CreateRoute");
            routes.map(|(to, _)| (id.clone(), *to)).collect::<Vec<_>>()
        };
        nth(site.tables.iter().flat_map(of_table), index)
    }

    fn on_balancers(&self, state: &mut State, context: &Context, change: &Change) -> Option<()> {
        let balancer = |site: Nth| self.here(context, site)?.balancer.as_ref();
        let instance = |site: Nth, instance: Nth| nth(&self.here(context, site)?.instances, instance).cloned();
        match change {
            Change::CrossZone { site, on } => {
                let cross_zone = ("load_balancing.cross_zone.enabled".to_owned(), on.to_string());
                load_balancers::modify_attributes(state, context, &balancer(*site)?.arn, &[cross_zone]).ok()
            }
            Change::PreserveClientIp { site, on } => {
                let preserve = ("preserve_client_ip.enabled".to_owned(), on.to_string());
                target_groups::modify_attributes(state, context, &balancer(*site)?.target_group, &[preserve]).ok()
            }
            Change::Register { site, instance: target } => {
                let target = (instance(*site, *target)?, None);
                target_groups::register(state, context, &balancer(*site)?.target_group, &[target]).ok()
            }
            Change::Deregister { site, instance: target } => {
                let target = instance(*site, *target)?;
                target_groups::deregister(state, context, &balancer(*site)?.target_group, &[target]).ok()
            }
            Change::Health { site, instance: target, health } => {
                let target = instance(*site, *target)?;
                let group = state.elbv2.target_groups.get_mut(&balancer(*site)?.target_group)?;
                let health = [Health::Initial, Health::Healthy, Health::Unhealthy][*health];
                group.targets.get_mut(&target)?.health = health;
                Some(())
            }
            Change::DeleteListener { site } => listeners::delete(state, context, &balancer(*site)?.listener).ok(),
            _ => None,
        }
    }
}

/// The association of a route table for something.
fn association(ec2: &crate::aws::ec2::Ec2, wanted: &Association) -> Option<String> {
    let mut all = ec2.route_tables.values().flat_map(|table| &table.associations);
    all.find(|(_, of)| *of == wanted).map(|(id, _)| id.clone())
}
