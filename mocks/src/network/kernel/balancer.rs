//! The namespace of a load balancer's interface: a Network Load Balancer passes connections on, it does not end them.
//! Each new one goes to one of the targets that the interface may send to, and all its packets both ways come through
//! here; whether the target sees the client's address or the interface's is up to the target group.

use std::net::Ipv4Addr;

use acrossk8s_vpc::{Prepared, eligible_targets};
use nlink::netlink::nftables::{CtDirection, CtState, CtStatus, NatStatement, Rule};

use super::choice::one_of;
use super::layout::{Base, Layout, MAIN, Via, everything, host, to};

const TCP: u8 = 6;

/// What the namespace of the interface with an address looks like.
pub(super) fn layout(fabric: &Prepared, vpc: &str, address: Ipv4Addr, device: Option<&str>) -> Layout {
    let mut layout = Layout::default();
    let Some(device) = device else { return layout };
    layout.route(MAIN, everything(), Via::Device(device.to_owned()));
    let Some((id, interface)) = fabric.interface(vpc, address) else { return layout };
    let fabric = fabric.fabric();
    let Some(balancer) = fabric.load_balancers.values().find(|it| it.interfaces.iter().any(|it| it == id)) else {
        return layout;
    };
    let Some(zone) = fabric.subnets.get(&interface.subnet).map(|it| it.availability_zone.as_str()) else {
        return layout;
    };
    let rules = &mut layout.filter;
    for listener in balancer.listeners.iter().filter(|_| balancer.active) {
        if !listener.preserve_client_ip {
            rules.base(Base::Postrouting, |rule| {
                rule.match_ct_status(CtStatus::DST_NAT)
                    .match_ct_port(CtDirection::Original, false, listener.port)
                    .nat(NatStatement::snat(address).fully_random())
            });
        }
        let targets = eligible_targets(fabric, balancer, listener, zone);
        for (index, target) in targets.iter().enumerate() {
            let chosen = |rule: Rule| {
                let rule = to(rule, host(address)).match_l4proto(TCP).match_tcp_dport(listener.port);
                one_of(rule, targets.len() - index)
            };
            rules.base(Base::Prerouting, |rule| chosen(rule).nat(NatStatement::dnat(target.address).port(target.port)));
        }
    }
    // Nothing else comes through: there is no listener.
    rules.base(Base::Forward, |rule| rule.match_ct_status(CtStatus::DST_NAT).accept());
    // And nothing else is answered than what the health checks asked.
    rules.base(Base::Input, |rule| rule.match_iif(device).match_ct_state(CtState::NEW).drop());
    layout
}
