//! Tests of ELBv2.
#![expect(clippy::unwrap_used, reason = "tests")]

mod balancers;
mod health;
mod service;
mod target_groups;

use std::sync::Arc;

use crate::aws::tags::Tags;
use crate::aws::wire::testing::{Client, Node};
use crate::aws::{Aws, AwsError};
use crate::clock::{Clock, Latencies};

const REGION: &str = "us-west-2";

/// A VPC 10.1.0.0/16 with a private and a public subnet in each of two zones and an instance in each private one.
struct Site {
    aws: Arc<Aws>,
    vpc: String,
    private: Vec<String>,
    public: Vec<String>,
    instances: Vec<String>,
    group: String,
}

impl Site {
    fn new() -> Self {
        Self::with(Latencies::INSTANT)
    }

    fn with(latencies: Latencies) -> Self {
        Self::in_vpc(Aws::new(Clock::manual(), latencies))
    }

    fn in_vpc(aws: Arc<Aws>) -> Self {
        let made = aws.with(REGION, |state, context| {
            let (ec2, ids) = (&mut state.ec2, &mut state.ids);
            let vpc = ec2.create_vpc(ids, context, "10.1.0.0/16".parse().unwrap(), Tags::new()).unwrap();
            let gateway = ec2.create_internet_gateway(ids, context, Tags::new()).unwrap();
            ec2.attach_internet_gateway(context, &gateway, &vpc).unwrap();
            let table = ec2.create_route_table(ids, context, &vpc, Tags::new()).unwrap();
            ec2.create_route(context, &table, "0.0.0.0/0".parse().unwrap(), &gateway).unwrap();
            let tags = Tags::from([("kubernetes.io/cluster/one".to_owned(), "owned".to_owned())]);
            let group = ec2.create_security_group(ids, context, &vpc, "nodes", "nodes", tags).unwrap();
            let (mut private, mut public, mut instances) = (Vec::new(), Vec::new(), Vec::new());
            for (index, zone) in ["us-west-2a", "us-west-2b"].iter().enumerate() {
                let block = |third: usize| format!("10.1.{}.0/24", third + index).parse().unwrap();
                let role = |role: &str| Tags::from([(format!("kubernetes.io/role/{role}"), "1".to_owned())]);
                let open = ec2.create_subnet(ids, context, &vpc, block(0), zone, role("elb")).unwrap();
                ec2.associate_route_table(ids, context, &table, &open).unwrap();
                public.push(open);
                let inner = ec2.create_subnet(ids, context, &vpc, block(10), zone, role("internal-elb")).unwrap();
                let groups = [group.clone()];
                let tags = Tags::new();
                instances.push(ec2.run_instance(ids, context, &inner, &groups, "m5.large", tags).unwrap());
                private.push(inner);
            }
            (vpc, private, public, instances, group)
        });
        let (vpc, private, public, instances, group) = made;
        Self { aws, vpc, private, public, instances, group }
    }

    fn call(&self, action: &str, parameters: &[(&str, &str)]) -> Result<Node, AwsError> {
        let answer = Client::new(&self.aws, REGION).call("elasticloadbalancing", action, parameters)?;
        Ok(answer.at(&format!("{action}Result")).clone())
    }

    fn code(&self, action: &str, parameters: &[(&str, &str)]) -> String {
        self.call(action, parameters).map_or_else(|error| error.code, |_| "ok".to_owned())
    }

    /// An internal load balancer in both private subnets; gives its ARN.
    fn balancer(&self, name: &str) -> String {
        let parameters = [
            ("Name", name),
            ("Type", "network"),
            ("Scheme", "internal"),
            ("Subnets.member.1", &self.private[0]),
            ("Subnets.member.2", &self.private[1]),
        ];
        self.call("CreateLoadBalancer", &parameters).unwrap().text("LoadBalancers/member/LoadBalancerArn")
    }

    /// A target group for node port 30053; gives its ARN.
    fn target_group(&self, name: &str) -> String {
        let parameters = [("Name", name), ("Protocol", "TCP"), ("Port", "30053"), ("VpcId", self.vpc.as_str())];
        self.call("CreateTargetGroup", &parameters).unwrap().text("TargetGroups/member/TargetGroupArn")
    }

    /// A listener at port 53; gives its ARN.
    fn listener(&self, load_balancer: &str, target_group: &str) -> String {
        let answer = self.call("CreateListener", &listener(load_balancer, "53", target_group)).unwrap();
        answer.text("Listeners/member/ListenerArn")
    }

    /// Descriptions of all interfaces that load balancers have.
    fn interfaces(&self) -> Vec<String> {
        self.aws.read(REGION, |state, _| {
            let all = state.ec2.interfaces.values().filter(|it| it.interface_type == "network_load_balancer");
            all.map(|it| it.description.clone()).collect()
        })
    }
}

fn listener<'a>(load_balancer: &'a str, port: &'a str, target_group: &'a str) -> [(&'a str, &'a str); 5] {
    [
        ("LoadBalancerArn", load_balancer),
        ("Protocol", "TCP"),
        ("Port", port),
        ("DefaultActions.member.1.Type", "forward"),
        ("DefaultActions.member.1.TargetGroupArn", target_group),
    ]
}
