//! Everything that exists in the account, for whoever has to prove that nothing does.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::aws::Aws;

/// Ids by kind. What AWS goes on showing after its end (deleted peering connections and NAT gateways, terminated
/// instances) is left out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inventory(pub BTreeMap<String, Vec<String>>);

impl Inventory {
    /// Whether nothing exists.
    pub fn is_empty(&self) -> bool {
        self.0.values().all(Vec::is_empty)
    }
}

pub(super) fn take(aws: &Aws) -> Inventory {
    // Any region: the reading is of the whole account.
    aws.read("us-east-1", |state, context| {
        let ec2 = &state.ec2;
        let ids = |keys: &mut dyn Iterator<Item = &String>| keys.cloned().collect::<Vec<_>>();
        let peerings = ec2.peerings.iter().filter(|(_, it)| {
            use acrossk8s_vpc::PeeringState as State;
            !matches!(
                it.state(context.now, &context.latencies),
                State::Deleted | State::Deleting | State::Failed | State::Rejected | State::Expired
            )
        });
        Inventory(BTreeMap::from([
            ("vpc".to_owned(), ids(&mut ec2.vpcs.keys())),
            ("subnet".to_owned(), ids(&mut ec2.subnets.keys())),
            ("route-table".to_owned(), ids(&mut ec2.route_tables.keys())),
            ("internet-gateway".to_owned(), ids(&mut ec2.internet_gateways.keys())),
            (
                "nat-gateway".to_owned(),
                ids(&mut ec2.nat_gateways.iter().filter(|(_, it)| !it.deleted).map(|(id, _)| id)),
            ),
            ("elastic-ip".to_owned(), ids(&mut ec2.addresses.keys())),
            ("security-group".to_owned(), ids(&mut ec2.security_groups.keys())),
            ("network-acl".to_owned(), ids(&mut ec2.network_acls.keys())),
            ("network-interface".to_owned(), ids(&mut ec2.interfaces.keys())),
            (
                "instance".to_owned(),
                ids(&mut ec2.instances.iter().filter(|(_, it)| it.state != "terminated").map(|(id, _)| id)),
            ),
            ("vpc-peering-connection".to_owned(), peerings.map(|(id, _)| id.clone()).collect()),
            ("load-balancer".to_owned(), ids(&mut state.elbv2.load_balancers.keys())),
            ("listener".to_owned(), ids(&mut state.elbv2.listeners.keys())),
            ("target-group".to_owned(), ids(&mut state.elbv2.target_groups.keys())),
            (
                "cluster".to_owned(),
                state.eks.clusters.keys().map(|(region, name)| format!("{region}/{name}")).collect(),
            ),
        ]))
    })
}
