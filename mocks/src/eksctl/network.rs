//! The VPC of a cluster: subnets over its availability zones, gateways, and route tables with explicit associations.

use ipnet::Ipv4Net;

use super::ClusterConfig;
use super::config::NatMode;
use super::stack::Stack;
use crate::aws::ec2::regions::zones;
use crate::aws::{AwsError, Context, State};

/// What was made.
pub(super) struct Network {
    pub vpc: String,
    /// Subnets in the order of their zones.
    pub public: Vec<ZoneSubnet>,
    pub private: Vec<ZoneSubnet>,
}

/// A subnet of a zone.
#[derive(Debug, Clone)]
pub(super) struct ZoneSubnet {
    pub zone: String,
    pub subnet: String,
}

impl Network {
    /// All subnets, the public ones first.
    pub(super) fn all(&self) -> Vec<String> {
        self.public.iter().chain(&self.private).map(|it| it.subnet.clone()).collect()
    }
}

/// Availability zones: those asked for, else three of the region's, two where it has no more, and two in us-east-1
/// (eksctl's package `az`). eksctl picks at random, and avoids some by their ids; here it is the first ones.
fn chosen_zones(config: &ClusterConfig) -> Vec<String> {
    if !config.availability_zones.is_empty() {
        return config.availability_zones.clone();
    }
    let wanted = if config.metadata.region == "us-east-1" { 2 } else { 3 };
    zones(&config.metadata.region).into_iter().take(wanted).collect()
}

/// Blocks of the public subnets and then of the private ones: up to eight subnets are eighths of the VPC's block, up to
/// sixteen are sixteenths (eksctl's `vpc.SplitInto`).
pub(super) fn split(vpc: Ipv4Net, zones: usize) -> Result<Vec<Ipv4Net>, AwsError> {
    let total = zones * 2;
    let bits = match total {
        0..=8 => 3,
        9..=16 => 4,
        _ => {
            let message = format!("cannot create more than 16 subnets, {total} requested");
            return Err(AwsError::client("InvalidParameterException", message));
        }
    };
    let length = vpc.prefix_len() + bits;
    let refused = || {
        let message = "CIDR block size must be between a /16 netmask and /28 netmask";
        AwsError::client("InvalidParameterException", message)
    };
    if length > 28 {
        return Err(refused());
    }
    Ok(vpc.subnets(length).map_err(|_| refused())?.take(total).collect())
}

/// A zone's part of logical ids: `us-west-1a` becomes `USWEST1A`.
fn suffix(zone: &str) -> String {
    zone.replace('-', "").to_ascii_uppercase()
}

pub(super) fn create(
    state: &mut State,
    context: &Context,
    config: &ClusterConfig,
    stack: &Stack,
) -> Result<Network, AwsError> {
    let zones = chosen_zones(config);
    let blocks = split(config.cidr_block(), zones.len())?;
    let State { ids, ec2, .. } = state;
    let vpc = ec2.create_vpc(ids, context, config.cidr_block(), stack.tags("VPC"))?;
    ec2.modify_vpc_attribute(context, &vpc, Some(true), Some(true))?;
    let gateway = ec2.create_internet_gateway(ids, context, stack.tags("InternetGateway"))?;
    ec2.attach_internet_gateway(context, &gateway, &vpc)?;
    let mut network = Network { vpc: vpc.clone(), public: Vec::new(), private: Vec::new() };
    let (public, private) = blocks.split_at(zones.len());
    for (zone, (public, private)) in zones.iter().zip(public.iter().zip(private)) {
        let subnet = |ec2: &mut crate::aws::ec2::Ec2, ids: &mut _, kind: &str, role: &str, block: Ipv4Net| {
            let mut tags = stack.tags(&format!("Subnet{kind}{}", suffix(zone)));
            tags.insert(format!("kubernetes.io/role/{role}"), "1".to_owned());
            let subnet = ec2.create_subnet(ids, context, &vpc, block, zone, tags)?;
            Ok::<_, AwsError>(ZoneSubnet { zone: zone.clone(), subnet })
        };
        let open = subnet(ec2, ids, "Public", "elb", *public)?;
        ec2.map_public_ip_on_launch(context, &open.subnet, true)?;
        network.public.push(open);
        network.private.push(subnet(ec2, ids, "Private", "internal-elb", *private)?);
    }
    let table = ec2.create_route_table(ids, context, &vpc, stack.tags("PublicRouteTable"))?;
    ec2.create_route(context, &table, Ipv4Net::default(), &gateway)?;
    for it in &network.public {
        ec2.associate_route_table(ids, context, &table, &it.subnet)?;
    }
    let nat = create_nat_gateways(state, context, config.nat_mode(), stack, &network)?;
    let State { ids, ec2, .. } = state;
    for (index, it) in network.private.iter().enumerate() {
        let tags = stack.tags(&format!("PrivateRouteTable{}", suffix(&it.zone)));
        let table = ec2.create_route_table(ids, context, &vpc, tags)?;
        // One for each zone, or one for all.
        if let Some(nat) = nat.get(index).or(nat.first()) {
            ec2.create_route(context, &table, Ipv4Net::default(), nat)?;
        }
        ec2.associate_route_table(ids, context, &table, &it.subnet)?;
    }
    Ok(network)
}

fn create_nat_gateways(
    state: &mut State,
    context: &Context,
    mode: NatMode,
    stack: &Stack,
    network: &Network,
) -> Result<Vec<String>, AwsError> {
    let count = match mode {
        NatMode::Disable => 0,
        NatMode::Single => 1,
        NatMode::HighlyAvailable => network.public.len(),
    };
    let State { ids, ec2, .. } = state;
    let mut gateways = Vec::new();
    for at in network.public.iter().take(count) {
        let zone = if mode == NatMode::Single { String::new() } else { suffix(&at.zone) };
        let address = ec2.allocate_address(ids, context, stack.tags(&format!("NATIP{zone}")))?;
        let tags = stack.tags(&format!("NATGateway{zone}"));
        gateways.push(ec2.create_nat_gateway(ids, context, &at.subnet, &address, tags)?);
    }
    Ok(gateways)
}
