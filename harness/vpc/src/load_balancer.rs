//! Network Load Balancers: which one an address belongs to, which target it selects, and the leg to the target.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use crate::walk::{End, Walk};
use crate::{
    Arrival, Direction, Fabric, Flow, Listener, LoadBalancer, LoadBalancerTarget, Other, Prepared, Protocol, Selector,
    Stop, Through, Way, translated_port,
};

/// A load balancer, found by one of its addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LoadBalancerAddress<'f> {
    /// Its ARN.
    pub arn: &'f str,
    /// The load balancer.
    pub load_balancer: &'f LoadBalancer,
    /// The interface that has the address.
    pub interface: &'f str,
    /// Availability zone of the address.
    pub availability_zone: &'f str,
    /// The listener on the port; `None` when no listener has that port.
    pub listener: Option<&'f Listener>,
}

impl Prepared {
    /// The load balancer, in any state, that has an address in a VPC.
    #[must_use]
    pub fn load_balancer_for(&self, vpc: &str, address: Ipv4Addr, port: u16) -> Option<LoadBalancerAddress<'_>> {
        let (interface_id, interface) = self.interface(vpc, address)?;
        let arn = self.index.load_balancer(interface_id)?;
        let (arn, load_balancer) = self.fabric.load_balancers.get_key_value(arn)?;
        Some(LoadBalancerAddress {
            arn,
            load_balancer,
            interface: interface_id,
            availability_zone: &self.fabric.subnets.get(&interface.subnet)?.availability_zone,
            listener: load_balancer.listeners.iter().find(|listener| listener.port == port),
        })
    }
}

/// The targets that the address of a load balancer in one zone sends to: the healthy ones of its zone, or of every
/// enabled zone with cross-zone load balancing. When none of them is healthy, all of them ("fail open"), healthy targets
/// of other zones or not: each address looks at the targets that are available to it. None at all, when none is
/// registered in its zone.
///
/// Source: Network Load Balancer guide, "Target group health" (routing failover) and "Cross-zone load balancing".
#[must_use]
pub fn eligible_targets<'f>(
    fabric: &Fabric,
    load_balancer: &LoadBalancer,
    listener: &'f Listener,
    availability_zone: &str,
) -> Vec<&'f LoadBalancerTarget> {
    let enabled: BTreeSet<&str> = if load_balancer.cross_zone {
        let subnet =
            |id: &String| fabric.interfaces.get(id).and_then(|interface| fabric.subnets.get(&interface.subnet));
        load_balancer.interfaces.iter().filter_map(subnet).map(|subnet| subnet.availability_zone.as_str()).collect()
    } else {
        BTreeSet::from([availability_zone])
    };
    let reachable = || listener.targets.iter().filter(|target| enabled.contains(target.availability_zone.as_str()));
    let healthy: Vec<_> = reachable().filter(|target| target.healthy).collect();
    if healthy.is_empty() { reachable().collect() } else { healthy }
}

/// The target for a connection from `flow` to the address of a load balancer in one zone.
///
/// A Network Load Balancer selects by a hash over protocol, addresses, ports and TCP sequence number. Here it is the
/// same without the sequence number, so that a flow always gets the same target, and different source ports get
/// different ones.
///
/// # Errors
/// [`Stop::NoTargets`] and [`Stop::NoTargetsInZone`].
pub fn select_target<'f>(
    fabric: &Fabric,
    arn: &str,
    load_balancer: &LoadBalancer,
    listener: &'f Listener,
    availability_zone: &str,
    flow: &Flow,
) -> Result<&'f LoadBalancerTarget, Stop> {
    let port = listener.port;
    if listener.targets.is_empty() {
        return Err(Stop::NoTargets { load_balancer: arn.to_owned(), port });
    }
    let targets = eligible_targets(fabric, load_balancer, listener, availability_zone);
    let chosen = flow_hash(flow).checked_rem(targets.len() as u64).unwrap_or_default();
    targets.get(usize::try_from(chosen).unwrap_or_default()).copied().ok_or_else(|| Stop::NoTargetsInZone {
        load_balancer: arn.to_owned(),
        port,
        zone: availability_zone.to_owned(),
    })
}

/// A number that stays the same for a flow and differs between flows: FNV-1a over protocol, addresses and ports, with
/// MurmurHash3's finish, as the low bits of FNV alone hardly mix.
#[must_use]
pub fn flow_hash(flow: &Flow) -> u64 {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    let bytes = [flow.protocol as u8]
        .into_iter()
        .chain(flow.source.octets())
        .chain(flow.destination.octets())
        .chain(flow.source_port.to_be_bytes())
        .chain(flow.destination_port.to_be_bytes());
    for byte in bytes {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    hash ^ (hash >> 33)
}

impl<'f> Walk<'f> {
    /// The leg from a load balancer to the target it selects, and the answer's leg back to the load balancer.
    pub(crate) fn balance(
        &mut self,
        arn: &'f str,
        load_balancer: &'f LoadBalancer,
        client: &End<'f>,
        address: &End<'f>,
        flow: &Flow,
    ) -> Result<(), Stop> {
        if !load_balancer.active {
            return Err(Stop::LoadBalancerNotActive { load_balancer: arn.to_owned() });
        }
        let listener = load_balancer.listeners.iter().find(|listener| listener.port == flow.destination_port);
        let Some(listener) = listener.filter(|_| flow.protocol == Protocol::Tcp) else {
            return Err(Stop::NoListener { load_balancer: arn.to_owned(), packet: flow.request() });
        };
        let zone = &address.subnet.availability_zone;
        let chosen = select_target(self.fabric, arn, load_balancer, listener, zone, flow)?;
        let (source, source_port) = match listener.preserve_client_ip {
            true => (client.address, flow.source_port),
            false => (address.address, translated_port(flow)),
        };
        self.pass(
            Way::Forward,
            Through::LoadBalancer {
                arn: arn.to_owned(),
                port: listener.port,
                target: chosen.address,
                target_port: chosen.port,
                source,
            },
        );
        let missing = || Stop::NoDestinationInterface { vpc: address.vpc.to_owned(), address: chosen.address };
        let target = self.find(address.vpc, chosen.address)?.ok_or_else(missing)?;
        if listener.preserve_client_ip && client.vpc == target.vpc && client.same_instance(&target) {
            return Err(Stop::Hairpin { load_balancer: arn.to_owned(), target: chosen.address });
        }
        self.enter_target(client, address, &target, chosen, source, flow)?;
        self.arrival = Some(Arrival {
            vpc: target.vpc.to_owned(),
            address: chosen.address,
            port: chosen.port,
            source,
            source_port,
            load_balancer: Some(arn.to_owned()),
        });
        self.leave_target(client, address, &target, source, self.answer_to(flow.protocol, source_port))
    }

    fn enter_target(
        &mut self,
        client: &End<'f>,
        address: &End<'f>,
        target: &End<'f>,
        chosen: &LoadBalancerTarget,
        source: Ipv4Addr,
        flow: &Flow,
    ) -> Result<(), Stop> {
        let request = Selector::request(flow.protocol, chosen.port);
        self.groups(address, Direction::Egress, request, chosen.address, Some(target))?;
        if !address.same_subnet(target) {
            self.acl(Way::Forward, address, Direction::Egress, request, chosen.address)?;
            self.acl(Way::Forward, target, Direction::Ingress, request, source)?;
        }
        // Rules of the target can refer to the groups of the load balancer, not to the client's.
        let other = Other {
            address: source,
            groups: &address.interface.security_groups,
            lost_groups: &client.interface.security_groups,
        };
        self.groups_of(target, Direction::Ingress, request, other)?;
        self.pass(Way::Forward, target.as_hop());
        Ok(())
    }

    fn leave_target(
        &mut self,
        client: &End<'f>,
        address: &End<'f>,
        target: &End<'f>,
        source: Ipv4Addr,
        answer: Selector,
    ) -> Result<(), Stop> {
        if !address.same_subnet(target) {
            self.acl(Way::Return, target, Direction::Egress, answer, source)?;
        }
        if source == client.address {
            self.route_back(target, client)?;
        }
        if !address.same_subnet(target) {
            self.acl(Way::Return, address, Direction::Ingress, answer, target.address)?;
        }
        self.pass(Way::Return, address.as_hop());
        Ok(())
    }
}
