//! The VPC of a cluster: subnets over its availability zones, gateways, and route tables with explicit associations.

use ipnet::Ipv4Net;

use super::{ClusterConfig, cluster_stack, stack_tags};
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
    pub(super) fn all(&self) -> Vec<String> {
        self.public.iter().chain(&self.private).map(|it| it.subnet.clone()).collect()
    }
}

/// Availability zones: those asked for, else three of the region's, two where it has no more, and two in us-east-1
/// (eksctl's `az` package). eksctl picks at random; here it is the first ones.
fn chosen_zones(config: &ClusterConfig) -> Vec<String> {
    if !config.availability_zones.is_empty() {
        return config.availability_zones.clone();
    }
    let wanted = if config.metadata.region == "us-east-1" { 2 } else { 3 };
    zones(&config.metadata.region).into_iter().take(wanted).collect()
}

/// Blocks of the public subnets and then of the private ones (eksctl's `vpc.SplitInto`): two zones or one split the VPC
/// into eight or fewer, up to eight subnets into eight, up to sixteen into sixteen.
fn split(vpc: Ipv4Net, zones: usize) -> Result<Vec<Ipv4Net>, AwsError> {
    let total = zones * 2;
    let bits = if total <= 8 { 3 } else { 4 };
    let refused = || AwsError::client("InvalidParameter", format!("{vpc} cannot be split into {total} subnets"));
    if total > 16 {
        return Err(refused());
    }
    let blocks = vpc.subnets(vpc.prefix_len() + bits).map_err(|_| refused())?;
    Ok(blocks.take(total).collect())
}

/// Logical id of a zone: `us-west-1a` becomes `USWEST1A`.
fn logical(zone: &str) -> String {
    zone.replace('-', "").to_ascii_uppercase()
}

pub(super) fn create(state: &mut State, context: &Context, config: &ClusterConfig) -> Result<Network, AwsError> {
    let stack = cluster_stack(&config.metadata.name);
    let tags = |logical_id: &str| stack_tags(config, &stack, logical_id);
    let State { ids, ec2, .. } = state;
    let vpc = ec2.create_vpc(ids, context, config.cidr_block(), tags("VPC"))?;
    ec2.modify_vpc_attribute(context, &vpc, Some(true), Some(true))?;
    let gateway = ec2.create_internet_gateway(ids, context, tags("InternetGateway"))?;
    ec2.attach_internet_gateway(context, &gateway, &vpc)?;
    let zones = chosen_zones(config);
    let blocks = split(config.cidr_block(), zones.len())?;
    let mut network = Network { vpc: vpc.clone(), public: Vec::new(), private: Vec::new() };
    for (index, zone) in zones.iter().enumerate() {
        let mut public = tags(&format!("SubnetPublic{}", logical(zone)));
        public.insert("kubernetes.io/role/elb".to_owned(), "1".to_owned());
        let subnet = ec2.create_subnet(ids, context, &vpc, blocks[index], zone, public)?;
        ec2.map_public_ip_on_launch(context, &subnet, true)?;
        network.public.push(ZoneSubnet { zone: zone.clone(), subnet });
        let mut private = tags(&format!("SubnetPrivate{}", logical(zone)));
        private.insert("kubernetes.io/role/internal-elb".to_owned(), "1".to_owned());
        let subnet = ec2.create_subnet(ids, context, &vpc, blocks[zones.len() + index], zone, private)?;
        network.private.push(ZoneSubnet { zone: zone.clone(), subnet });
    }
    let everywhere = Ipv4Net::default();
    let public_table = ec2.create_route_table(ids, context, &vpc, tags("PublicRouteTable"))?;
    ec2.create_route(context, &public_table, everywhere, &gateway)?;
    for it in &network.public {
        ec2.associate_route_table(ids, context, &public_table, &it.subnet)?;
    }
    let nat = match network.public.first().filter(|_| config.has_nat()) {
        Some(first) => {
            let address = ec2.allocate_address(ids, context, tags("NATIP"))?;
            Some(ec2.create_nat_gateway(ids, context, &first.subnet, &address, tags("NATGateway"))?)
        }
        None => None,
    };
    for it in &network.private {
        let table =
            ec2.create_route_table(ids, context, &vpc, tags(&format!("PrivateRouteTable{}", logical(&it.zone))))?;
        if let Some(nat) = &nat {
            ec2.create_route(context, &table, everywhere, nat)?;
        }
        ec2.associate_route_table(ids, context, &table, &it.subnet)?;
    }
    Ok(network)
}
