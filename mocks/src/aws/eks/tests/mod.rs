//! Tests of EKS.
#![expect(clippy::unwrap_used, reason = "tests")]

mod addons;
mod clusters;
mod nodegroups;

use std::sync::Arc;

use bytes::Bytes;
use http::Request;
use serde_json::{Value, json};

use crate::aws::tags::Tags;
use crate::aws::wire::testing::authorization;
use crate::aws::{Aws, eks};
use crate::clock::{Clock, Latencies};

const REGION: &str = "us-west-2";

/// A VPC 10.1.0.0/16 with a subnet in each of three zones, and a security group.
struct Site {
    aws: Arc<Aws>,
    vpc: String,
    subnets: Vec<String>,
    group: String,
}

impl Site {
    fn new() -> Self {
        Self::with(Latencies::INSTANT)
    }

    fn with(latencies: Latencies) -> Self {
        let aws = Aws::new(Clock::manual(), latencies);
        let (vpc, subnets, group) = aws.with(REGION, |state, context| {
            let (ec2, ids) = (&mut state.ec2, &mut state.ids);
            let vpc = ec2.create_vpc(ids, context, "10.1.0.0/16".parse().unwrap(), Tags::new()).unwrap();
            let group = ec2.create_security_group(ids, context, &vpc, "plane", "plane", Tags::new()).unwrap();
            let subnets = ["a", "b", "c"].iter().enumerate().map(|(index, zone)| {
                let block = format!("10.1.{index}.0/24").parse().unwrap();
                ec2.create_subnet(ids, context, &vpc, block, &format!("{REGION}{zone}"), Tags::new()).unwrap()
            });
            (vpc.clone(), subnets.collect(), group)
        });
        Self { aws, vpc, subnets, group }
    }

    /// The status, code of the exception (or nothing) and body of an answer.
    fn send(&self, method: &str, path: &str, body: &Value) -> (u16, String, Value) {
        let bytes = if body.is_null() { Bytes::new() } else { Bytes::from(body.to_string()) };
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("authorization", authorization(REGION, "eks"))
            .body(bytes)
            .unwrap();
        let response = self.aws.dispatch(&request);
        let code = response.headers().get("x-amzn-errortype").map(|it| it.to_str().unwrap().to_owned());
        let body = serde_json::from_slice(response.body()).unwrap();
        (response.status().as_u16(), code.unwrap_or_default(), body)
    }

    #[track_caller]
    fn ok(&self, method: &str, path: &str, body: &Value) -> Value {
        let (status, code, body) = self.send(method, path, body);
        assert_eq!(status, 200, "{code} {body}");
        body
    }

    #[track_caller]
    fn get(&self, path: &str) -> Value {
        self.ok("GET", path, &Value::Null)
    }

    /// Status and code of an error.
    fn refused(&self, method: &str, path: &str, body: &Value) -> (u16, String) {
        let (status, code, _) = self.send(method, path, body);
        (status, code)
    }

    /// What creates a cluster, with members replaced.
    fn cluster(&self, changed: &Value) -> Value {
        let mut body = json!({
            "name": "one",
            "version": "1.34",
            "roleArn": "arn:aws:iam::123456789012:role/plane",
            "resourcesVpcConfig": { "subnetIds": self.subnets, "securityGroupIds": [self.group] },
            "tags": { "run": "r1" },
        });
        merge(&mut body, changed);
        body
    }

    fn create(&self) -> Value {
        let made = self.ok("POST", "/clusters", &self.cluster(&json!({})));
        self.aws.with(REGION, |state, context| eks::set_endpoint(state, context, "one", "http://127.0.0.1:1").unwrap());
        made
    }
}

fn merge(body: &mut Value, changed: &Value) {
    match (body, changed) {
        (Value::Object(body), Value::Object(changed)) => {
            for (name, value) in changed {
                merge(body.entry(name.clone()).or_insert(Value::Null), value);
            }
        }
        (body, changed) => *body = changed.clone(),
    }
}
