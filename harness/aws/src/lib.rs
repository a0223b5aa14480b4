//! The AWS SDK clients, in one small crate because compiling them is expensive.
//!
//! Everything else of the project that speaks to AWS takes a [`Clients`], so it cannot tell whether AWS or an emulation
//! answers. The `test-util` feature of the SDK crates is always on, so that running and testing share one build of them.
#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::time::Duration;

use aws_credential_types::Credentials;
use aws_smithy_http_client::tls::{self, rustls_provider::CryptoMode};
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use aws_smithy_types::retry::RetryConfig;
use aws_smithy_types::timeout::TimeoutConfig;

pub use aws_sdk_ec2 as ec2;
pub use aws_sdk_eks as eks;
pub use aws_sdk_elasticloadbalancingv2 as elbv2;
pub use aws_sdk_sts as sts;
pub use aws_smithy_types::error::display::DisplayErrorContext;
pub use aws_smithy_types::error::metadata::ProvideErrorMetadata;

/// Where and as whom the clients call.
#[derive(Debug, Clone)]
pub struct Access {
    /// URL that every service is called at, instead of AWS's own.
    pub endpoint: Option<String>,
    /// Access key id and secret access key.
    pub credentials: (String, String),
}

impl Access {
    /// Access to an emulation, which does not check signatures.
    pub fn emulated(endpoint: impl Into<String>) -> Self {
        Self { endpoint: Some(endpoint.into()), credentials: ("test".to_owned(), "test".to_owned()) }
    }
}

/// The clients of one region.
#[derive(Debug, Clone)]
pub struct Clients {
    /// Region.
    pub region: String,
    /// EC2.
    pub ec2: ec2::Client,
    /// EKS.
    pub eks: eks::Client,
    /// Elastic Load Balancing v2.
    pub elbv2: elbv2::Client,
    /// STS.
    pub sts: sts::Client,
}

/// The clients of every region of a topology, sharing one pool of connections.
#[derive(Debug, Clone)]
pub struct Regions(BTreeMap<String, Clients>);

impl Regions {
    /// Makes the clients of each region.
    pub fn new<'a>(access: &Access, regions: impl IntoIterator<Item = &'a str>) -> Self {
        let http =
            aws_smithy_http_client::Builder::new().tls_provider(tls::Provider::Rustls(CryptoMode::Ring)).build_https();
        Self(regions.into_iter().map(|region| (region.to_owned(), Clients::new(access, region, &http))).collect())
    }

    /// The clients of a region, if it was named when the clients were made.
    pub fn get(&self, region: &str) -> Option<&Clients> {
        self.0.get(region)
    }

    /// The clients of every region.
    pub fn iter(&self) -> impl Iterator<Item = &Clients> {
        self.0.values()
    }
}

impl Clients {
    fn new(access: &Access, region: &str, http: &SharedHttpClient) -> Self {
        macro_rules! client {
            ($service:ident) => {{
                let mut config = $service::Config::builder()
                    .behavior_version($service::config::BehaviorVersion::latest())
                    .region($service::config::Region::new(region.to_owned()))
                    .credentials_provider(Credentials::new(
                        access.credentials.0.clone(),
                        access.credentials.1.clone(),
                        None,
                        None,
                        "acrossk8s",
                    ))
                    .http_client(http.clone())
                    .retry_config(RetryConfig::standard().with_max_attempts(5))
                    .timeout_config(
                        TimeoutConfig::builder()
                            .connect_timeout(Duration::from_secs(10))
                            .operation_attempt_timeout(Duration::from_secs(30))
                            .build(),
                    );
                config.set_endpoint_url(access.endpoint.clone());
                $service::Client::from_conf(config.build())
            }};
        }
        Self {
            region: region.to_owned(),
            ec2: client!(ec2),
            eks: client!(eks),
            elbv2: client!(elbv2),
            sts: client!(sts),
        }
    }
}
