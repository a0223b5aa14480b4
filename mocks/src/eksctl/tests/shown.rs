//! An account in words, without ids, for snapshots and comparisons.

use acrossk8s_vpc::RulePeer;

use crate::aws::State;
use crate::aws::ec2::{Association, SecurityGroupRule};

/// The `Name` tag or what else tells what a resource is.
fn name(state: &State, id: &str) -> String {
    let ec2 = &state.ec2;
    let tags = match id.split('-').next().unwrap() {
        "vpc" => &ec2.vpcs[id].tags,
        "subnet" => &ec2.subnets[id].tags,
        "igw" => &ec2.internet_gateways[id].tags,
        "nat" => &ec2.nat_gateways[id].tags,
        "sg" => {
            let group = &ec2.security_groups[id];
            return match group.name.strip_prefix("eks-cluster-sg-") {
                Some(rest) => format!("eks-cluster-sg-{}", rest.rsplit_once('-').unwrap().0),
                None => group.tags.get("Name").unwrap_or(&group.name).clone(),
            };
        }
        _ => return id.to_owned(),
    };
    tags["Name"].rsplit('/').next().unwrap().to_owned()
}

/// VPC, subnets, routes, gateways.
pub(super) fn network(state: &State) -> String {
    let ec2 = &state.ec2;
    let mut lines: Vec<String> = Vec::new();
    for (id, vpc) in &ec2.vpcs {
        lines.push(format!(
            "{} {} dns support {} hostnames {}",
            name(state, id),
            vpc.cidr_block,
            vpc.dns_support,
            vpc.dns_hostnames
        ));
    }
    for (id, subnet) in &ec2.subnets {
        let roles: Vec<_> = subnet.tags.keys().filter(|key| key.starts_with("kubernetes.io/")).cloned().collect();
        lines.push(format!(
            "{} {} {} {}{}",
            name(state, id),
            subnet.cidr_block,
            subnet.availability_zone,
            roles.join(" "),
            if subnet.map_public_ip { " public addresses" } else { "" }
        ));
    }
    for table in ec2.route_tables.values() {
        let title = table.tags.get("Name").map_or("main table", |name| name.rsplit('/').next().unwrap());
        let routes: Vec<_> = table.routes.iter().map(|(to, it)| format!("{to} {}", name(state, &it.target))).collect();
        let mut of: Vec<_> = table
            .associations
            .values()
            .map(|it| match it {
                Association::Main => "main".to_owned(),
                Association::Subnet(subnet) => name(state, subnet),
            })
            .collect();
        of.sort_unstable();
        lines.push(format!("{title} [{}] of {}", routes.join(", "), of.join(" ")));
    }
    for (id, gateway) in &ec2.nat_gateways {
        lines.push(format!("{} in {}", name(state, id), name(state, &gateway.subnet)));
    }
    lines.sort_unstable();
    lines.join("\n")
}

fn rule(state: &State, rule: &SecurityGroupRule) -> String {
    let peer = match &rule.peer {
        RulePeer::Cidr(block) => block.to_string(),
        RulePeer::Group(group) => name(state, group),
    };
    let direction = if rule.egress { "to" } else { "from" };
    format!("  {direction} {peer} {} {}-{}", rule.protocol, rule.from_port, rule.to_port)
}

/// Security groups with their rules, and what carries them.
pub(super) fn security(state: &State) -> String {
    let ec2 = &state.ec2;
    let mut groups: Vec<(String, &_)> =
        ec2.security_groups.iter().map(|(id, group)| (name(state, id), group)).collect();
    groups.sort_by(|(a, _), (b, _)| a.cmp(b));
    let mut lines = Vec::new();
    for (title, group) in groups {
        lines.push(title);
        let mut rules: Vec<_> = group.rules.values().map(|it| rule(state, it)).collect();
        rules.sort_unstable();
        lines.extend(rules);
    }
    let mut carried: Vec<String> = ec2
        .interfaces
        .values()
        .map(|it| {
            let what = match &it.instance {
                Some(instance) => ec2.instances[instance].tags["Name"].clone(),
                None => it.description.split(" nat-").next().unwrap().to_owned(),
            };
            let groups: Vec<_> = it.groups.iter().map(|id| name(state, id)).collect();
            format!("{what} in {} carries {}", name(state, &it.subnet), groups.join(", "))
        })
        .collect();
    carried.sort_unstable();
    lines.extend(carried);
    lines.join("\n")
}

/// How many there are of everything that is not terminated or deleted.
pub(super) fn counts(state: &State) -> [usize; 14] {
    let (ec2, elbv2) = (&state.ec2, &state.elbv2);
    [
        ec2.vpcs.len(),
        ec2.subnets.len(),
        ec2.route_tables.len(),
        ec2.internet_gateways.len(),
        ec2.nat_gateways.values().filter(|it| !it.deleted).count(),
        ec2.addresses.len(),
        ec2.security_groups.len(),
        ec2.network_acls.len(),
        ec2.interfaces.len(),
        ec2.instances.values().filter(|it| it.state != "terminated").count(),
        elbv2.load_balancers.len(),
        elbv2.target_groups.len(),
        elbv2.released.len(),
        state.eks.clusters.len(),
    ]
}
