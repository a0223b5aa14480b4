//! From a request to the service it is for, and back into that service's protocol.

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode};

use crate::aws::wire::calls::Call;
use crate::aws::wire::params::Params;
use crate::aws::wire::scope::{Scope, Service};
use crate::aws::wire::xml::{self, Element};
use crate::aws::{Aws, AwsError, ec2, eks, elbv2, sts};

const EC2_NAMESPACE: &str = "http://ec2.amazonaws.com/doc/2016-11-15/";
const ELBV2_NAMESPACE: &str = "http://elasticloadbalancing.amazonaws.com/doc/2015-12-01/";
const STS_NAMESPACE: &str = "https://sts.amazonaws.com/doc/2011-06-15/";

/// The largest request body that is read.
pub const MAX_BODY: usize = 1 << 20;

/// How a service writes its answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    Ec2,
    Query { namespace: &'static str },
    Json,
}

impl Shape {
    fn of(service: Service) -> Self {
        match service {
            Service::Ec2 => Shape::Ec2,
            Service::Elbv2 => Shape::Query { namespace: ELBV2_NAMESPACE },
            Service::Sts => Shape::Query { namespace: STS_NAMESPACE },
            Service::Eks => Shape::Json,
        }
    }

    /// The shape that the client of a request without a usable signature most likely understands.
    fn guess(path: &str, params: &Params) -> Self {
        match params.get("Version") {
            Some("2016-11-15") => Shape::Ec2,
            Some("2015-12-01") => Shape::Query { namespace: ELBV2_NAMESPACE },
            None if path.len() > 1 => Shape::Json,
            _ => Shape::Query { namespace: STS_NAMESPACE },
        }
    }
}

impl Aws {
    /// Answers one request, without HTTP around it.
    ///
    /// Region and service come from the credential scope of the signature; the signature itself is not checked. Every
    /// answer carries `x-amzn-requestid`.
    pub fn dispatch(&self, request: &Request<Bytes>) -> Response<Bytes> {
        let request_id = self.request_id();
        let query = Params::decode(request.uri().query().unwrap_or_default().as_bytes());
        let mut answer = match Scope::of_request(request.headers(), &query) {
            Ok(scope) if scope.service == Service::Eks => self.dispatch_rest(&scope, request),
            Ok(scope) => self.dispatch_query(&scope, request, &query, &request_id),
            Err(error) => {
                let shape = Shape::guess(request.uri().path(), &form(request, &query));
                error_response(shape, &error, &request_id)
            }
        };
        if let Ok(value) = HeaderValue::from_str(&request_id) {
            answer.headers_mut().insert("x-amzn-requestid", value);
        }
        answer
    }

    fn dispatch_query(
        &self,
        scope: &Scope,
        request: &Request<Bytes>,
        query: &Params,
        request_id: &str,
    ) -> Response<Bytes> {
        let shape = Shape::of(scope.service);
        let params = form(request, query);
        let action = params.get("Action").unwrap_or_default().to_owned();
        let result = if action.is_empty() {
            Err(AwsError::client("MissingAction", "The request must contain the parameter Action"))
        } else if scope.service == Service::Elbv2 && params.get("Version") == Some("2012-06-01") {
            Err(AwsError::not_emulated("Elastic Load Balancing 2012-06-01 (Classic Load Balancers)", &action))
        } else {
            self.perform(scope, &action, changes(&action) || scope.service == Service::Elbv2, |state, context| {
                match scope.service {
                    Service::Ec2 => ec2::wire::handle(state, context, &action, &params),
                    Service::Elbv2 => elbv2::wire::handle(state, context, &action, &params),
                    Service::Sts => sts::handle(&action),
                    Service::Eks => Err(AwsError::not_emulated("EKS by query", &action)),
                }
            })
        };
        match (result, shape) {
            (Ok(mut children), Shape::Ec2) => {
                children.insert(0, Element::text("requestId", request_id));
                xml_response(200, &format!("{action}Response"), Some(EC2_NAMESPACE), &children)
            }
            (Ok(children), Shape::Query { namespace }) => {
                let metadata = Element::new("ResponseMetadata", vec![Element::text("RequestId", request_id)]);
                let children = [Element::new(format!("{action}Result"), children), metadata];
                xml_response(200, &format!("{action}Response"), Some(namespace), &children)
            }
            (Ok(_), Shape::Json) => json_response(200, &serde_json::Value::Null),
            (Err(error), shape) => error_response(shape, &error, request_id),
        }
    }

    fn dispatch_rest(&self, scope: &Scope, request: &Request<Bytes>) -> Response<Bytes> {
        let method = request.method();
        let query = Params::decode_repeated(request.uri().query().unwrap_or_default().as_bytes());
        let segments: Vec<String> =
            request.uri().path().split('/').filter(|segment| !segment.is_empty()).map(percent_decoded).collect();
        let action = operation(method, &segments);
        let body = if request.body().is_empty() {
            Ok(serde_json::Value::Null)
        } else {
            serde_json::from_slice(request.body())
                .map_err(|error| AwsError::client("SerializationException", format!("The body is not JSON: {error}")))
        };
        let name = action.map_or_else(|| format!("{method} {}", request.uri().path()), str::to_owned);
        let result = body.and_then(|body| {
            self.perform(scope, &name, method != Method::GET, |state, context| {
                eks::wire::handle(state, context, method.as_str(), &segments, &query, body)
            })
        });
        match result {
            Ok(value) => json_response(200, &value),
            Err(error) => error_response(Shape::Json, &error, ""),
        }
    }

    /// Logs the call, lets faults strike, else runs the operation.
    fn perform<R>(
        &self,
        scope: &Scope,
        action: &str,
        changes: bool,
        operation: impl FnOnce(&mut crate::aws::State, &crate::aws::Context) -> Result<R, AwsError>,
    ) -> Result<R, AwsError> {
        let fault = self.faults.lock().strike(scope.service, &scope.region, action);
        let at = self.clock.now();
        let result = match fault {
            Some(error) => Err(error),
            None => self.run(&scope.region, changes, operation),
        };
        tracing::debug!(service = %scope.service, region = %scope.region, action, error = ?result.as_ref().err(), "aws call");
        self.calls.lock().push(Call {
            region: scope.region.clone(),
            service: scope.service,
            action: action.to_owned(),
            at,
            error: result.as_ref().err().map(|error| error.code.clone()),
        });
        result
    }
}

/// Whether an action may change anything.
fn changes(action: &str) -> bool {
    !["Describe", "Get", "List"].iter().any(|prefix| action.starts_with(prefix))
}

/// The parameters of a query-protocol request: the body of a POST with what its query string adds.
fn form(request: &Request<Bytes>, query: &Params) -> Params {
    let body = Params::decode(request.body());
    if body.is_empty() { query.clone() } else { query.iter().chain(body.iter()).collect() }
}

fn percent_decoded(segment: &str) -> String {
    // `+` is itself in a path, unlike in a form.
    let form = format!("{}=", segment.replace('+', "%2B").replace('&', "%26").replace('=', "%3D"));
    form_urlencoded::parse(form.as_bytes()).next().map(|(name, _)| name.into_owned()).unwrap_or_default()
}

/// The operation of EKS at a method and path.
fn operation(method: &Method, segments: &[String]) -> Option<&'static str> {
    let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
    Some(match (method.as_str(), segments.as_slice()) {
        ("GET", ["clusters"]) => "ListClusters",
        ("POST", ["clusters"]) => "CreateCluster",
        ("GET", ["clusters", _]) => "DescribeCluster",
        ("DELETE", ["clusters", _]) => "DeleteCluster",
        ("POST", ["clusters", _, "update-config"]) => "UpdateClusterConfig",
        ("GET", ["clusters", _, "node-groups"]) => "ListNodegroups",
        ("POST", ["clusters", _, "node-groups"]) => "CreateNodegroup",
        ("GET", ["clusters", _, "node-groups", _]) => "DescribeNodegroup",
        ("DELETE", ["clusters", _, "node-groups", _]) => "DeleteNodegroup",
        ("GET", ["clusters", _, "addons"]) => "ListAddons",
        ("POST", ["clusters", _, "addons"]) => "CreateAddon",
        ("GET", ["clusters", _, "addons", _]) => "DescribeAddon",
        ("DELETE", ["clusters", _, "addons", _]) => "DeleteAddon",
        ("POST", ["clusters", _, "addons", _, "update"]) => "UpdateAddon",
        ("GET", ["clusters", _, "updates"]) => "ListUpdates",
        ("GET", ["clusters", _, "updates", _]) => "DescribeUpdate",
        ("GET", ["clusters", _, "fargate-profiles"]) => "ListFargateProfiles",
        ("GET", ["clusters", _, "access-entries"]) => "ListAccessEntries",
        ("GET", ["clusters", _, "pod-identity-associations"]) => "ListPodIdentityAssociations",
        ("GET", ["clusters", _, "capabilities"]) => "ListCapabilities",
        ("GET", ["addons", "supported-versions"]) => "DescribeAddonVersions",
        ("GET", ["addons", "configuration-schemas"]) => "DescribeAddonConfiguration",
        ("GET", ["cluster-versions"]) => "DescribeClusterVersions",
        ("GET", ["tags", _]) => "ListTagsForResource",
        ("POST", ["tags", _]) => "TagResource",
        ("DELETE", ["tags", _]) => "UntagResource",
        _ => return None,
    })
}

fn error_response(shape: Shape, error: &AwsError, request_id: &str) -> Response<Bytes> {
    let code = Element::text("Code", &error.code);
    let message = Element::text("Message", &error.message);
    match shape {
        Shape::Ec2 => {
            let errors = Element::new("Errors", vec![Element::new("Error", vec![code, message])]);
            xml_response(error.status, "Response", None, &[errors, Element::text("RequestID", request_id)])
        }
        Shape::Query { namespace } => {
            let sender = if error.status < 500 { "Sender" } else { "Receiver" };
            let error_element = Element::new("Error", vec![Element::text("Type", sender), code, message]);
            let children = [error_element, Element::text("RequestId", request_id)];
            xml_response(error.status, "ErrorResponse", Some(namespace), &children)
        }
        Shape::Json => {
            let body = serde_json::json!({ "__type": error.code, "message": error.message });
            let mut response = json_response(error.status, &body);
            if let Ok(value) = HeaderValue::from_str(&error.code) {
                response.headers_mut().insert("x-amzn-errortype", value);
            }
            response
        }
    }
}

fn xml_response(status: u16, root: &str, namespace: Option<&str>, children: &[Element]) -> Response<Bytes> {
    response(status, "text/xml;charset=UTF-8", xml::document(root, namespace, children).into())
}

fn json_response(status: u16, body: &serde_json::Value) -> Response<Bytes> {
    response(status, "application/json", body.to_string().into())
}

fn response(status: u16, content_type: &'static str, body: Bytes) -> Response<Bytes> {
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response.headers_mut().insert(http::header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}
