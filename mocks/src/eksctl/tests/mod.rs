//! Tests of the provisioner.
#![expect(clippy::unwrap_used, reason = "tests")]

mod config;
mod create;
mod delete;
mod shown;

use std::sync::Arc;

use super::{ClusterConfig, Created, create_cluster, delete_cluster};
use crate::aws::{Aws, AwsError};
use crate::clock::{Clock, Latencies};

const REGION: &str = "us-west-2";

/// Node groups of the documented kind, and one that EKS manages.
const CONFIG: &str = "
apiVersion: eksctl.io/v1alpha5
kind: ClusterConfig
metadata:
  name: tidb-1
  region: us-west-2
  tags:
    acrossk8s/run: r1
vpc:
  cidr: 10.1.0.0/16
nodeGroups:
  - name: admin
    desiredCapacity: 2
    privateNetworking: true
    iam:
      withAddonPolicies:
        ebs: true
  - name: tidb-1b
    desiredCapacity: 1
    privateNetworking: true
    availabilityZones: [us-west-2b]
    instanceType: c5.2xlarge
    labels:
      dedicated: tidb
    taints:
      dedicated: tidb:NoSchedule
managedNodeGroups:
  - name: managed
    desiredCapacity: 1
";

/// An empty account and what was made in it.
struct Site {
    aws: Arc<Aws>,
    created: Created,
}

impl Site {
    fn new(yaml: &str) -> Self {
        let aws = account();
        let created = make(&aws, yaml).unwrap();
        Self { aws, created }
    }

    fn delete(&self) -> Result<(), AwsError> {
        self.aws.with(REGION, |state, context| delete_cluster(state, context, "tidb-1"))
    }
}

fn account() -> Arc<Aws> {
    Aws::new(Clock::manual(), Latencies::INSTANT)
}

fn make(aws: &Aws, yaml: &str) -> Result<Created, AwsError> {
    let config = ClusterConfig::parse(yaml).unwrap();
    aws.with(&config.metadata.region, |state, context| create_cluster(state, context, &config))
}
