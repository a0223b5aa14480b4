//! Region and service of a request, from the credential scope of its SigV4 signature.

use std::fmt;

use http::HeaderMap;

use crate::aws::AwsError;
use crate::aws::wire::params::Params;

/// A service that is emulated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Service {
    /// EC2.
    Ec2,
    /// Elastic Load Balancing, version 2.
    Elbv2,
    /// EKS.
    Eks,
    /// STS.
    Sts,
}

impl Service {
    /// The service's name in a credential scope.
    pub fn signing_name(self) -> &'static str {
        match self {
            Service::Ec2 => "ec2",
            Service::Elbv2 => "elasticloadbalancing",
            Service::Eks => "eks",
            Service::Sts => "sts",
        }
    }

    fn from_signing_name(name: &str) -> Option<Self> {
        [Service::Ec2, Service::Elbv2, Service::Eks, Service::Sts]
            .into_iter()
            .find(|service| service.signing_name() == name)
    }
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.signing_name())
    }
}

/// Where a request goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope {
    /// Region.
    pub region: String,
    /// Service.
    pub service: Service,
}

impl Scope {
    /// Reads the scope from the `Authorization` header or, for a presigned request, from `X-Amz-Credential` in the query
    /// string. The signature is not checked: any credentials are the emulated account's.
    ///
    /// # Errors
    /// `MissingAuthenticationToken` without a signature, `IncompleteSignature` with a malformed one,
    /// `SignatureDoesNotMatch` for a region that is none, and `InvalidAction` (HTTP 501) for a service that is not
    /// emulated.
    pub fn of_request(headers: &HeaderMap, query: &Params) -> Result<Self, AwsError> {
        let credential = match (headers.get(http::header::AUTHORIZATION), query.get("X-Amz-Credential")) {
            (Some(header), _) => credential_of_header(header.to_str().unwrap_or_default())?,
            (None, Some(credential)) => credential,
            (None, None) => {
                return Err(AwsError::with_status(
                    403,
                    "MissingAuthenticationToken",
                    "Request is missing Authentication Token",
                ));
            }
        };
        // An access key may hold slashes, the four parts after it do not.
        let mut parts = credential.rsplitn(5, '/');
        let (Some("aws4_request"), Some(service), Some(region), Some(date), Some(key)) =
            (parts.next(), parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(incomplete(&format!(
                "Credential must have exactly 5 slash-delimited elements, got '{credential}'."
            )));
        };
        if key.is_empty() || date.len() != 8 || !date.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(incomplete(&format!(
                "Credential '{credential}' has no access key or no date of the form YYYYMMDD."
            )));
        }
        if !is_region(region) {
            return Err(AwsError::with_status(
                403,
                "SignatureDoesNotMatch",
                format!("Credential should be scoped to a valid region, not '{region}'."),
            ));
        }
        let service = Service::from_signing_name(service).ok_or_else(|| {
            AwsError::with_status(
                501,
                "InvalidAction",
                format!("The service {service} is not emulated; ec2, elasticloadbalancing, eks and sts are."),
            )
        })?;
        Ok(Self { region: region.to_owned(), service })
    }
}

fn credential_of_header(header: &str) -> Result<&str, AwsError> {
    let Some(fields) = header.strip_prefix("AWS4-HMAC-SHA256") else {
        return Err(incomplete("Authorization header must use the algorithm AWS4-HMAC-SHA256."));
    };
    let field = |name: &str| {
        let value = fields.split(',').find_map(|field| field.trim().strip_prefix(name)?.strip_prefix('='));
        value.ok_or_else(|| incomplete(&format!("Authorization header requires '{name}' parameter.")))
    };
    field("Signature")?;
    field("SignedHeaders")?;
    field("Credential")
}

fn incomplete(message: &str) -> AwsError {
    AwsError::client("IncompleteSignature", message)
}

/// Whether a name has the form of a region's, such as `us-west-2` or `us-gov-east-1`.
fn is_region(name: &str) -> bool {
    let mut parts: Vec<&str> = name.split('-').collect();
    let number = parts.pop().unwrap_or_default();
    parts.len() >= 2
        && !number.is_empty()
        && number.bytes().all(|byte| byte.is_ascii_digit())
        && parts.iter().all(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_lowercase()))
}
