//! A topology: VPCs with everything open, nodes and pods in them, load balancers in front of the nodes.

use ipnet::Ipv4Net;
use proptest::prelude::*;

use super::super::*;
use crate::aws::elbv2::{NewLoadBalancer, NewTargetGroup, listeners, load_balancers, target_groups};
use crate::aws::tags::Tags;

pub const REGIONS: [&str; 2] = ["us-west-2", "us-east-1"];
/// What every host listens at.
pub const WEB: u16 = 80;
pub const DNS: u16 = 53;
/// Ports of the Service: it has the same endpoints, for TCP and UDP, in front of [`WEB`] and [`DNS`].
pub const NODE_PORT: u16 = 30_080;
pub const NODE_PORT_UDP: u16 = 30_053;
/// Its listener on load balancers.
pub const LISTENER: u16 = 8080;

/// A topology.
#[derive(Debug, Clone)]
pub struct World {
    pub vpcs: Vec<VpcPlan>,
    /// The third VPC has the block of the first one, which AWS allows as long as the two are not peered.
    pub twins: bool,
}

#[derive(Debug, Clone)]
pub struct VpcPlan {
    /// Index in [`REGIONS`].
    pub region: usize,
    pub nodes: Vec<NodePlan>,
    pub balancer: Option<BalancerPlan>,
}

#[derive(Debug, Clone)]
pub struct NodePlan {
    /// Which of the two subnets, and with it the zone.
    pub subnet: usize,
    /// Its pods are on a second interface, as those are that the first one has no room for.
    pub second_interface: bool,
    pub pods: Vec<PodPlan>,
}

#[derive(Debug, Clone)]
pub struct PodPlan {
    pub source_nat: bool,
    /// VPCs whose blocks are excluded from it.
    pub excluded: Vec<usize>,
    /// Whether it is an endpoint of the Service of its cluster.
    pub endpoint: bool,
}

#[derive(Debug, Clone)]
pub struct BalancerPlan {
    pub cross_zone: bool,
    pub preserve_client_ip: bool,
    /// Whether it has security groups.
    pub groups: bool,
}

pub fn worlds() -> impl Strategy<Value = World> {
    let pod = (any::<bool>(), prop::collection::vec(0usize..3, 0..2), any::<bool>())
        .prop_map(|(source_nat, excluded, endpoint)| PodPlan { source_nat, excluded, endpoint });
    let node = (0usize..2, prop::bool::weighted(0.3), prop::collection::vec(pod, 0..3))
        .prop_map(|(subnet, second_interface, pods)| NodePlan { subnet, second_interface, pods });
    let balancer = (any::<bool>(), any::<bool>(), prop::bool::weighted(0.3))
        .prop_map(|(cross_zone, preserve_client_ip, groups)| BalancerPlan { cross_zone, preserve_client_ip, groups });
    let vpc = (prop::bool::weighted(0.3), prop::collection::vec(node, 1..3), prop::option::weighted(0.4, balancer))
        .prop_map(|(region, nodes, balancer)| VpcPlan { region: usize::from(region), nodes, balancer });
    (prop::collection::vec(vpc, 1..4), prop::bool::weighted(0.2)).prop_map(|(vpcs, twins)| World { vpcs, twins })
}

/// A VPC that has been made.
pub struct Site {
    pub vpc: String,
    pub region: &'static str,
    pub block: Ipv4Net,
    pub subnets: Vec<String>,
    /// The main route table, and one that is associated with the first subnet at first.
    pub tables: Vec<String>,
    /// The group of the nodes, and one that nobody carries at first.
    pub groups: Vec<String>,
    /// The default network ACL, and one that no subnet has at first.
    pub acls: Vec<String>,
    pub interfaces: Vec<String>,
    pub instances: Vec<String>,
    pub balancer: Option<Balancer>,
    /// Pods, and whether they are endpoints of the Service.
    pub pods: Vec<(Ipv4Addr, bool)>,
    /// Address and interface of each pod.
    pub assigned: Vec<(Ipv4Addr, String)>,
}

pub struct Balancer {
    pub arn: String,
    pub target_group: String,
    pub listener: String,
    pub addresses: Vec<Ipv4Addr>,
}

/// One host on both networks.
pub struct Pair {
    pub spec: HostSpec,
    pub model: Arc<dyn Host>,
    pub kernel: Arc<dyn Host>,
}

/// A topology that has been made.
pub struct Built {
    pub aws: Arc<Aws>,
    pub model: Arc<Model>,
    pub kernel: Arc<Kernel>,
    pub sites: Vec<Site>,
    pub hosts: Vec<Pair>,
    /// Endpoints of each site's Service, where they have been changed.
    pub endpoints: parking_lot::Mutex<BTreeMap<usize, Vec<Ipv4Addr>>>,
}

fn block(text: &str) -> Ipv4Net {
    text.parse().unwrap()
}

pub fn service() -> Ipv4Addr {
    [172, 20, 0, 80].into()
}

impl Built {
    pub async fn new(world: &World) -> Self {
        let aws = Aws::new(Clock::manual(), Latencies::INSTANT);
        let mut sites = Vec::new();
        let mut specs = Vec::new();
        for (index, plan) in world.vpcs.iter().enumerate() {
            let number = if world.twins && index == 2 { 1 } else { index + 1 };
            let region = REGIONS[plan.region];
            let blocks: Vec<Ipv4Net> = (1..4).map(|number| block(&format!("10.{number}.0.0/16"))).collect();
            let made = aws.with(region, |state, context| site(state, context, index, number, plan, region, &blocks));
            sites.push(made.0);
            specs.extend(made.1);
        }
        let model = Model::new(aws.clone());
        let kernel = Kernel::new(aws.clone()).await.unwrap();
        let mut hosts = Vec::new();
        for spec in specs {
            let on_model = model.attach(spec.clone()).await.unwrap();
            let on_kernel = kernel.attach(spec.clone()).await.unwrap();
            hosts.push(Pair { spec, model: on_model, kernel: on_kernel });
        }
        let built = Self { aws, model, kernel, sites, hosts, endpoints: parking_lot::Mutex::default() };
        for (one, other) in [(0, 1), (1, 2), (0, 2)] {
            if other < built.sites.len() {
                built.peer(one, other);
            }
        }
        for index in 0..built.sites.len() {
            built.open(index);
            built.serve(index).await;
        }
        built
    }

    /// Requests a peering connection and accepts it; AWS refuses one between twins.
    fn peer(&self, one: usize, other: usize) {
        let (one, other) = (&self.sites[one], &self.sites[other]);
        let request = PeeringRequest {
            requester: one.vpc.clone(),
            accepter: other.vpc.clone(),
            accepter_region: Some(other.region.to_owned()),
            ..PeeringRequest::default()
        };
        let id = self.aws.with(one.region, |state, context| state.ec2.create_peering(&mut state.ids, context, request));
        let id = id.unwrap();
        let accepted = self.aws.with(other.region, |state, context| state.ec2.accept_peering(context, &id));
        if one.block != other.block {
            accepted.unwrap();
        }
    }

    /// Routes to every peer in every table.
    fn open(&self, index: usize) {
        let site = &self.sites[index];
        self.aws.with(site.region, |state, context| {
            let peerings: Vec<(String, Ipv4Net)> = state
                .ec2
                .peerings
                .iter()
                .filter_map(|(id, it)| {
                    let peer = if it.requester == site.vpc { it.accepter_cidr? } else { it.requester_cidr };
                    (it.has(&site.vpc) && it.accepted.is_some()).then(|| (id.clone(), peer))
                })
                .collect();
            for (id, peer) in peerings {
                for table in &site.tables {
                    // One of two twins has to do without.
                    let _ = state.ec2.create_route(context, table, peer, &id);
                }
            }
        });
    }

    /// Tells both networks what kube-proxy knows in a VPC.
    pub async fn serve(&self, index: usize) {
        let site = &self.sites[index];
        let endpoints = self.endpoints.lock().get(&index).cloned();
        let endpoints = endpoints
            .unwrap_or_else(|| site.pods.iter().filter(|(_, endpoint)| *endpoint).map(|(pod, _)| *pod).collect());
        let mut table = ServiceTable::default();
        for (transport, port, node_port) in [(Transport::Tcp, WEB, NODE_PORT), (Transport::Udp, DNS, NODE_PORT_UDP)] {
            let ends: Vec<SocketAddrV4> = endpoints.iter().map(|pod| SocketAddrV4::new(*pod, port)).collect();
            table.cluster.insert((service(), port, transport), ends.clone());
            table.node_ports.insert((node_port, transport), ends);
        }
        self.model.program_services(&site.vpc, table.clone()).await;
        self.kernel.program_services(&site.vpc, table).await;
    }
}

/// Makes a VPC.
fn site(
    state: &mut crate::aws::State,
    context: &crate::aws::Context,
    index: usize,
    number: usize,
    plan: &VpcPlan,
    region: &'static str,
    blocks: &[Ipv4Net],
) -> (Site, Vec<HostSpec>) {
    let whole = block(&format!("10.{number}.0.0/16"));
    let crate::aws::State { ids, ec2, .. } = state;
    let vpc = ec2.create_vpc(ids, context, whole, Tags::new()).unwrap();
    let main = ec2.route_tables.iter().find(|(_, table)| table.vpc == vpc).map(|(id, _)| id.clone()).unwrap();
    let own = ec2.create_route_table(ids, context, &vpc, Tags::new()).unwrap();
    let mut subnets = Vec::new();
    for third in 0..2 {
        let zone = format!("{region}{}", ["a", "b"][third]);
        let part = block(&format!("10.{number}.{third}.0/24"));
        subnets.push(ec2.create_subnet(ids, context, &vpc, part, &zone, Tags::new()).unwrap());
    }
    ec2.associate_route_table(ids, context, &own, &subnets[0]).unwrap();
    let acl = ec2.network_acls.iter().find(|(_, acl)| acl.vpc == vpc).map(|(id, _)| id.clone()).unwrap();
    let other_acl = ec2.create_network_acl(ids, context, &vpc, Tags::new()).unwrap();
    let mut groups = Vec::new();
    for name in ["nodes", "others"] {
        groups.push(ec2.create_security_group(ids, context, &vpc, name, name, Tags::new()).unwrap());
    }
    let mut rules = vec![SecurityGroupRule::all(acrossk8s_vpc::RulePeer::Group(groups[0].clone()))];
    rules.extend(blocks.iter().map(|peer| SecurityGroupRule::cidr(false, "-1", (-1, -1), *peer)));
    ec2.authorize(ids, context, &groups[0], rules).unwrap();

    let mut specs = Vec::new();
    let (mut interfaces, mut instances, mut pods, mut assigned) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for (at, node) in plan.nodes.iter().enumerate() {
        let subnet = &subnets[node.subnet];
        let on = &groups[..1];
        let instance = ec2.run_instance(ids, context, subnet, on, "m5.large", Tags::new()).unwrap();
        let address = ec2.instance_address(context, &instance).unwrap();
        let mut interface = ec2.instances[&instance].interface.clone();
        interfaces.push(interface.clone());
        if node.second_interface {
            let new = NewInterface { instance: Some(instance.clone()), ..NewInterface::new(subnet, on, "") };
            interface = ec2.create_interface(ids, context, new).unwrap().0;
            interfaces.push(interface.clone());
        }
        let (name, kind) = (format!("vpc{index}-node{at}"), HostKind::Node);
        specs.push(HostSpec { name, vpc: vpc.clone(), address, kind });
        for (nth, pod) in node.pods.iter().enumerate() {
            let own = ec2.assign_private_address(context, &interface).unwrap();
            let excluded = pod.excluded.iter().filter_map(|it| blocks.get(*it)).copied().collect();
            let kind = HostKind::Pod { node: address, source_nat: pod.source_nat, excluded };
            let name = format!("vpc{index}-node{at}-pod{nth}");
            specs.push(HostSpec { name, vpc: vpc.clone(), address: own, kind });
            pods.push((own, pod.endpoint));
            assigned.push((own, interface.clone()));
        }
        instances.push(instance);
    }
    let balancer = plan.balancer.as_ref().map(|plan| {
        let made = balance(state, context, &subnets, &groups, &instances, &vpc, plan);
        for (at, address) in made.addresses.iter().enumerate() {
            let (name, kind) = (format!("vpc{index}-lb{at}"), HostKind::LoadBalancer);
            specs.push(HostSpec { name, vpc: vpc.clone(), address: *address, kind });
        }
        made
    });
    let (tables, acls) = (vec![main, own], vec![acl, other_acl]);
    let site = Site {
        vpc,
        region,
        block: whole,
        subnets,
        tables,
        groups,
        acls,
        interfaces,
        instances,
        balancer,
        pods,
        assigned,
    };
    (site, specs)
}

fn balance(
    state: &mut crate::aws::State,
    context: &crate::aws::Context,
    subnets: &[String],
    groups: &[String],
    instances: &[String],
    vpc: &str,
    plan: &BalancerPlan,
) -> Balancer {
    let new = NewLoadBalancer {
        name: "lb".to_owned() + &vpc[vpc.len() - 6..],
        scheme: "internal".to_owned(),
        subnets: subnets.to_vec(),
        security_groups: if plan.groups { groups[..1].to_vec() } else { Vec::new() },
        tags: Tags::new(),
    };
    let arn = load_balancers::create(state, context, new).unwrap();
    let name = "tg".to_owned() + &vpc[vpc.len() - 6..];
    let target_group =
        target_groups::create(state, context, NewTargetGroup::tcp(&name, vpc, NODE_PORT, Tags::new())).unwrap();
    let listener = listeners::create(state, context, &arn, "TCP", LISTENER, &target_group, Tags::new()).unwrap();
    let targets: Vec<_> = instances.iter().map(|instance| (instance.clone(), None)).collect();
    target_groups::register(state, context, &target_group, &targets).unwrap();
    let cross_zone = ("load_balancing.cross_zone.enabled".to_owned(), plan.cross_zone.to_string());
    load_balancers::modify_attributes(state, context, &arn, &[cross_zone]).unwrap();
    let preserve = ("preserve_client_ip.enabled".to_owned(), plan.preserve_client_ip.to_string());
    target_groups::modify_attributes(state, context, &target_group, &[preserve]).unwrap();
    let zones = &state.elbv2.load_balancers[&arn].zones;
    let addresses = zones.iter().map(|zone| state.ec2.interfaces[&zone.interface].addresses[0]).collect();
    Balancer { arn, target_group, listener, addresses }
}
