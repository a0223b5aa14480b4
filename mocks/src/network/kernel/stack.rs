//! A namespace with the means to change it, and what has been told to the kernel about it.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::AsFd;

use nlink::netlink::addr::Ipv4Address;
use nlink::netlink::link::VethLink;
use nlink::netlink::neigh::Neighbor;
use nlink::netlink::nftables::{Chain, CtState, Family, Rule, Set, SetElement};
use nlink::netlink::route::{Ipv4Route, ResolvedRouteInterfaces, RouteConfig};
use nlink::netlink::rule::RuleBuilder;
use nlink::netlink::types::link::OperState;
use nlink::netlink::types::route::RouteType;
use nlink::netlink::{Connection, InterfaceRef, MessageBuilder, Nftables};

use super::layout::{Base, Layout, Route, RoutingRule, Ruleset, TABLE, Via};
use super::namespace::{Crew, Namespace};

/// The address that the other end of every link goes by, as the VPC CNI has it. Nobody asks who has it: the answer is
/// written down at both ends.
const GATEWAY: Ipv4Addr = Ipv4Addr::new(169, 254, 1, 1);

/// Hardware addresses of the two ends of a link; a link is a network of two.
const MACS: [[u8; 6]; 2] = [[2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2]];

/// A namespace and what is in it.
pub(super) struct Stack {
    pub namespace: Namespace,
    route: Connection<nlink::Route>,
    nftables: Connection<Nftables>,
    /// Index of each device by name.
    devices: BTreeMap<String, u32>,
    applied: Layout,
}

/// An error of netlink as one of I/O, saying what was tried.
fn failed(what: impl std::fmt::Display) -> impl FnOnce(nlink::Error) -> io::Error {
    move |error| io::Error::other(format!("{what}: {error}"))
}

impl Stack {
    /// Makes a namespace with its loopback interface up.
    pub(super) async fn make(crew: &Crew) -> io::Result<Self> {
        let namespace = crew.make().await?;
        let route = Connection::new_in(namespace.as_fd()).map_err(failed("open rtnetlink"))?;
        let nftables = Connection::new_in(namespace.as_fd()).map_err(failed("open nfnetlink"))?;
        let stack = Self { namespace, route, nftables, devices: BTreeMap::new(), applied: Layout::default() };
        stack.route.set_link_up("lo").await.map_err(failed("set up lo"))?;
        Ok(stack)
    }

    /// Finds out whether the kernel allows what the network needs: namespaces, links between them, nftables with NAT and
    /// connection tracking.
    pub(super) async fn try_out(crew: &Crew) -> io::Result<()> {
        let (mut one, mut other) = Self::pair(crew).await?;
        one.try_link(&mut other).await?;
        one.try_filter().await
    }

    /// Two namespaces to try things out with.
    pub(super) async fn pair(crew: &Crew) -> io::Result<(Self, Self)> {
        Ok((Self::make(crew).await?, Self::make(crew).await?))
    }

    /// Finds out whether links can be made.
    pub(super) async fn try_link(&mut self, other: &mut Self) -> io::Result<()> {
        Self::join((self, "en-0"), (other, "en-0"), 1500).await
    }

    /// Finds out whether packets can be filtered, translated and followed.
    pub(super) async fn try_filter(&mut self) -> io::Result<()> {
        let mut layout = Layout::default();
        layout.filter.base(Base::Postrouting, Rule::masquerade);
        layout.filter.base(Base::Forward, |rule| rule.match_ct_state(CtState::ESTABLISHED).accept());
        self.apply(&layout).await
    }

    /// Whether it has a device.
    pub(super) fn has(&self, device: &str) -> bool {
        self.devices.contains_key(device)
    }

    /// Its devices.
    pub(super) fn devices(&self) -> impl Iterator<Item = &String> {
        self.devices.keys()
    }

    /// Gives it an address, on one of its devices, unless it has it.
    pub(super) async fn own_once(&self, device: &str, address: Ipv4Addr) -> io::Result<()> {
        let index = self.index(device)?;
        let address = Ipv4Address::with_index(index, address, 32).noprefixroute();
        match self.route.add_address(address).await {
            Err(error) if !error.is_already_exists() => Err(failed(format_args!("add an address to {device}"))(error)),
            _ => Ok(()),
        }
    }

    /// Takes a device away, and with it the other end of its link.
    pub(super) async fn remove(&mut self, device: &str) -> io::Result<()> {
        let Some(index) = self.devices.get(device).copied() else { return Ok(()) };
        self.forget(device);
        match self.route.del_link(index).await {
            Ok(()) => Ok(()),
            // The namespace of the other end went first.
            Err(error) if error.is_not_found() || error.is_no_device() => Ok(()),
            Err(error) => Err(failed(format_args!("remove {device}"))(error)),
        }
    }

    /// Takes note that a device is gone with its link. The kernel drops its routes by itself.
    pub(super) fn forget(&mut self, device: &str) {
        self.applied.routes.retain(|route| !matches!(&route.via, Via::Device(via) if via == device));
        self.devices.remove(device);
    }

    fn index(&self, device: &str) -> io::Result<u32> {
        let missing = || io::Error::new(io::ErrorKind::NotFound, format!("there is no device {device}"));
        self.devices.get(device).copied().ok_or_else(missing)
    }

    /// Makes it look like a layout: as little as possible is changed.
    pub(super) async fn apply(&mut self, wanted: &Layout) -> io::Result<()> {
        if self.applied == *wanted {
            return Ok(());
        }
        let mut batch = self.route.batch();
        for route in self.applied.routes.difference(&wanted.routes) {
            batch = batch.del_route(self.route_message(route)?);
        }
        for route in wanted.routes.difference(&self.applied.routes) {
            batch = batch.add_route(self.route_message(route)?);
        }
        let results = batch.execute().await.map_err(failed("change routes"))?;
        // What a change that failed halfway did is there already.
        let known = |error: &nlink::Error| error.is_already_exists() || error.is_not_found();
        if let Some((_, error)) = results.errors().find(|(_, error)| !known(error)) {
            return Err(io::Error::other(format!("change routes: {error}")));
        }
        self.applied.routes.clone_from(&wanted.routes);
        for rule in wanted.rules.difference(&self.applied.rules) {
            self.route.add_rule(rule_message(rule)).await.map_err(failed(format_args!("add {rule:?}")))?;
        }
        for rule in self.applied.rules.difference(&wanted.rules) {
            self.route.del_rule(rule_message(rule)).await.map_err(failed(format_args!("delete {rule:?}")))?;
        }
        self.applied.rules.clone_from(&wanted.rules);
        if self.applied.filter != wanted.filter {
            self.replace(&wanted.filter).await?;
            self.applied.filter.clone_from(&wanted.filter);
        }
        Ok(())
    }

    fn route_message(&self, route: &Route) -> io::Result<Resolved> {
        let message =
            Ipv4Route::from_addr(route.destination.network(), route.destination.prefix_len()).table(route.table);
        Ok(match &route.via {
            Via::Device(device) => {
                let index = self.index(device)?;
                Resolved { route: message.gateway(GATEWAY).dev_index(index).onlink(), index: Some(index) }
            }
            Via::Blackhole => Resolved { route: message.route_type(RouteType::Blackhole), index: None },
            Via::Throw => Resolved { route: message.route_type(RouteType::Throw), index: None },
        })
    }

    /// Replaces the nftables table, all at once: no packet sees half of it.
    async fn replace(&self, wanted: &Ruleset) -> io::Result<()> {
        let mut transaction = self.nftables.transaction();
        if !self.applied.filter.is_empty() {
            transaction = transaction.del_table(TABLE, Family::Ip);
        }
        if !wanted.is_empty() {
            transaction = transaction.add_table(TABLE, Family::Ip);
            for base in &wanted.bases {
                let chain = Chain::new(TABLE, base.name()).map_err(failed("name a chain"))?;
                transaction = transaction.add_chain(chain.family(Family::Ip).base(base.hook()));
            }
            for chain in &wanted.chains {
                let chain = Chain::new(TABLE, chain.as_str()).map_err(failed(format_args!("name chain {chain}")))?;
                transaction = transaction.add_chain(chain.family(Family::Ip));
            }
            for (name, addresses) in &wanted.sets {
                let set = Set::new(TABLE, name).family(Family::Ip);
                let elements: Vec<_> = addresses.iter().copied().map(SetElement::ipv4).collect();
                transaction = transaction.add_set(set.clone());
                if !elements.is_empty() {
                    transaction = transaction.add_set_elements(&set, &elements);
                }
            }
            for (name, blocks) in &wanted.blocks {
                let set = Set::new(TABLE, name).family(Family::Ip).interval();
                let elements: Result<Vec<_>, _> =
                    blocks.iter().map(|block| SetElement::ipv4_prefix(block.network(), block.prefix_len())).collect();
                let elements = elements.map_err(failed(format_args!("fill set {name}")))?;
                transaction = transaction.add_set(set.clone());
                if !elements.is_empty() {
                    transaction = transaction.add_set_elements(&set, &elements);
                }
            }
            for rule in &wanted.rules {
                transaction = transaction.add_rule(rule.clone());
            }
        }
        transaction.commit(&self.nftables).await.map_err(failed("change nftables"))
    }

    /// Joins two namespaces by a link of one device in each, both up.
    pub(super) async fn join(a: (&mut Self, &str), b: (&mut Self, &str), mtu: u32) -> io::Result<()> {
        let ((a, a_device), (b, b_device)) = (a, b);
        let veth = VethLink::new(a_device, b_device)
            .mtu(mtu)
            .address(MACS[0])
            .peer_address(MACS[1])
            .peer_netns_fd(b.namespace.as_fd());
        a.route.add_link(veth).await.map_err(failed(format_args!("make {a_device}")))?;
        let mut ends = [(a, a_device, MACS[1]), (b, b_device, MACS[0])];
        for (stack, device, other) in &mut ends {
            let what = || failed(format!("set up {device}"));
            let link = stack.route.get_link_by_name(*device).await.map_err(what())?;
            let index = link.map(|link| link.ifindex()).ok_or_else(|| io::Error::other(format!("{device} is lost")))?;
            stack.devices.insert((*device).to_owned(), index);
            stack.route.set_link_up(index).await.map_err(what())?;
            let gateway = Neighbor::with_index(index, IpAddr::V4(GATEWAY)).lladdr(*other).permanent();
            stack.route.add_neighbor(gateway).await.map_err(what())?;
        }
        for (stack, device, _) in &ends {
            stack.carries(device).await?;
        }
        Ok(())
    }

    /// Waits until a device carries packets. Linux takes note of the other end's coming up later, and loses until then what
    /// is sent.
    async fn carries(&self, device: &str) -> io::Result<()> {
        loop {
            let link = self.route.get_link_by_name(device).await.map_err(failed(format_args!("look at {device}")))?;
            match link.map(|link| link.operstate()) {
                Some(Some(OperState::Up)) => return Ok(()),
                Some(_) => tokio::task::yield_now().await,
                None => return Err(io::Error::other(format!("{device} is lost"))),
            }
        }
    }
}

/// A route with the index of its device: nlink's batches drop it from the messages otherwise (0.33).
struct Resolved {
    route: Ipv4Route,
    index: Option<u32>,
}

impl Resolved {
    fn interfaces(&self) -> ResolvedRouteInterfaces {
        ResolvedRouteInterfaces { oif: self.index, multipath: Vec::new() }
    }
}

impl RouteConfig for Resolved {
    fn device_ref(&self) -> Option<&InterfaceRef> {
        self.route.device_ref()
    }

    fn multipath_device_refs(&self) -> Vec<Option<&InterfaceRef>> {
        self.route.multipath_device_refs()
    }

    fn family(&self) -> u8 {
        self.route.family()
    }

    fn write_add(&self, builder: &mut MessageBuilder, _: &ResolvedRouteInterfaces) {
        self.route.write_add(builder, &self.interfaces());
    }

    fn write_delete(&self, builder: &mut MessageBuilder) {
        self.route.write_delete_with_interfaces(builder, &self.interfaces());
    }
}

fn rule_message(rule: &RoutingRule) -> RuleBuilder {
    let mut message = RuleBuilder::v4().priority(rule.priority).table(rule.table);
    if let Some(input) = &rule.input {
        message = message.iif(input);
    }
    if let Some(from) = rule.from {
        message = message.from_v4(from.network(), from.prefix_len());
    }
    if let Some(to) = rule.to {
        message = message.to_v4(to.network(), to.prefix_len());
    }
    if let Some(mark) = rule.mark {
        message = message.fwmark(mark);
    }
    message
}
