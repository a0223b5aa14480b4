//! From requests to services: scopes, shapes of errors, faults and the log.

use bytes::Bytes;
use http::Request;
use proptest::prelude::*;
use rstest::rstest;

use crate::aws::wire::testing::{Client, authorization, query};
use crate::aws::{Aws, AwsError, Fault, Service};
use crate::clock::{Clock, Latencies};

fn aws() -> std::sync::Arc<Aws> {
    Aws::new(Clock::manual(), Latencies::INSTANT)
}

fn body(response: &http::Response<Bytes>) -> &str {
    std::str::from_utf8(response.body()).unwrap()
}

#[rstest]
#[case::none(None, 403, "MissingAuthenticationToken")]
#[case::other_scheme(Some("Basic eDp5"), 400, "IncompleteSignature")]
#[case::no_signature(
    Some("AWS4-HMAC-SHA256 Credential=A/20260101/us-west-2/ec2/aws4_request, SignedHeaders=host"),
    400,
    "IncompleteSignature"
)]
#[case::four_parts(
    Some("AWS4-HMAC-SHA256 Credential=A/20260101/us-west-2/ec2, SignedHeaders=host, Signature=0"),
    400,
    "IncompleteSignature"
)]
#[case::no_date(
    Some("AWS4-HMAC-SHA256 Credential=A/today/us-west-2/ec2/aws4_request, SignedHeaders=host, Signature=0"),
    400,
    "IncompleteSignature"
)]
#[case::no_region(
    Some("AWS4-HMAC-SHA256 Credential=A/20260101/nowhere/ec2/aws4_request, SignedHeaders=host, Signature=0"),
    403,
    "SignatureDoesNotMatch"
)]
#[case::not_emulated(
    Some("AWS4-HMAC-SHA256 Credential=A/20260101/us-east-1/iam/aws4_request, SignedHeaders=host, Signature=0"),
    501,
    "InvalidAction"
)]
fn requests_without_a_usable_scope_are_refused(#[case] header: Option<&str>, #[case] status: u16, #[case] code: &str) {
    let mut request = Request::post("/");
    if let Some(header) = header {
        request = request.header("authorization", header);
    }
    let request = request.body(Bytes::from_static(b"Action=DescribeVpcs&Version=2016-11-15")).unwrap();
    let response = aws().dispatch(&request);
    assert_eq!(response.status().as_u16(), status);
    assert!(body(&response).contains(&format!("<Response><Errors><Error><Code>{code}</Code>")), "{}", body(&response));
    assert!(response.headers().contains_key("x-amzn-requestid"));
}

#[test]
fn a_presigned_request_is_answered() {
    let uri = "/?Action=GetCallerIdentity&Version=2011-06-15&X-Amz-Algorithm=AWS4-HMAC-SHA256\
               &X-Amz-Credential=AK%2F20260101%2Fus-west-2%2Fsts%2Faws4_request&X-Amz-Signature=00";
    let response = aws().dispatch(&Request::get(uri).body(Bytes::new()).unwrap());
    insta::assert_snapshot!(body(&response), @r#"<?xml version="1.0" encoding="UTF-8"?><GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><GetCallerIdentityResult><Arn>arn:aws:iam::123456789012:user/acrossk8s</Arn><UserId>AIDAACROSSK8SEXAMPLE0</UserId><Account>123456789012</Account></GetCallerIdentityResult><ResponseMetadata><RequestId>acc05588-0000-4000-8000-000000000000</RequestId></ResponseMetadata></GetCallerIdentityResponse>"#);
}

#[test]
fn an_error_has_the_shape_of_its_service() {
    let aws = aws();
    let ec2 = aws.dispatch(&query("us-west-2", "ec2", "DescribeVpcs", &[("VpcId.1", "vpc-00000001")]));
    insta::assert_snapshot!(body(&ec2), @r#"<?xml version="1.0" encoding="UTF-8"?><Response><Errors><Error><Code>InvalidVpcID.NotFound</Code><Message>The vpc ID 'vpc-00000001' does not exist</Message></Error></Errors><RequestID>acc05588-0000-4000-8000-000000000000</RequestID></Response>"#);
    let elb = aws.dispatch(&query("us-west-2", "elasticloadbalancing", "Nonsense", &[]));
    assert!(body(&elb).contains("<ErrorResponse xmlns=\"http://elasticloadbalancing.amazonaws.com/doc/2015-12-01/\"><Error><Type>Sender</Type><Code>InvalidAction</Code>"));
    let eks = Request::get("/nonsense").header("authorization", authorization("us-west-2", "eks"));
    let eks = aws.dispatch(&eks.body(Bytes::new()).unwrap());
    let error_type = eks.headers()["x-amzn-errortype"].to_str().unwrap();
    let json: serde_json::Value = serde_json::from_slice(eks.body()).unwrap();
    assert_eq!(json["__type"], error_type);
    assert!(json["message"].is_string());
}

#[rstest]
#[case::no_action("ec2", "", "MissingAction")]
#[case::unknown("ec2", "DescribeImages", "InvalidAction")]
#[case::unknown_sts("sts", "AssumeRole", "InvalidAction")]
fn actions_that_are_not_emulated_are_named(#[case] service: &str, #[case] action: &str, #[case] code: &str) {
    let error = Client::new(&aws(), "us-west-2").call(service, action, &[]).unwrap_err();
    assert_eq!(error.code, code);
    assert!(error.message.contains(action));
}

#[test]
fn classic_load_balancers_are_refused_by_name() {
    let request = query("us-west-2", "elasticloadbalancing", "DescribeLoadBalancers", &[("Version", "2012-06-01")]);
    let response = aws().dispatch(&request);
    assert!(body(&response).contains("Classic Load Balancers"));
}

#[rstest]
#[case::ec2("ec2", "DescribeVpcs", 503, "RequestLimitExceeded")]
#[case::sts("sts", "GetCallerIdentity", 400, "Throttling")]
fn throttling_hits_the_next_requests(
    #[case] service: &str,
    #[case] action: &str,
    #[case] status: u16,
    #[case] code: &str,
) {
    let aws = aws();
    let client = Client::new(&aws, "us-west-2");
    aws.inject(Fault::throttle().action(action).next(2));
    for _ in 0..2 {
        let error = client.call(service, action, &[]).unwrap_err();
        assert_eq!((error.status, error.code.as_str()), (status, code));
    }
    assert!(client.call(service, action, &[]).is_ok());
}

#[test]
fn a_fault_can_strike_every_third_request_of_one_region_and_action() {
    let aws = aws();
    let client = Client::new(&aws, "us-west-2");
    let error = AwsError::with_status(500, "InternalError", "An internal error has occurred");
    aws.inject(Fault::error(error).service(Service::Ec2).region("us-west-2").action("DescribeVpcs").every(3));
    let codes: Vec<String> = (0..6).map(|_| client.code("DescribeVpcs", &[])).collect();
    assert_eq!(codes, ["ok", "ok", "InternalError", "ok", "ok", "InternalError"]);
    assert_eq!(client.code("DescribeSubnets", &[]), "ok");
    for _ in 0..3 {
        assert_eq!(client.region("us-east-1").code("DescribeVpcs", &[]), "ok");
    }
    aws.clear_faults();
    assert!((0..3).all(|_| client.code("DescribeVpcs", &[]) == "ok"));
}

#[test]
fn calls_are_logged_with_their_errors() {
    let clock = Clock::manual();
    let aws = Aws::new(clock.clone(), Latencies::INSTANT);
    let client = Client::new(&aws, "us-west-2");
    client.code("DescribeVpcs", &[]);
    clock.advance(std::time::Duration::from_secs(3));
    client.code("DeleteVpc", &[("VpcId", "vpc-00000001")]);
    let eks = Request::post("/clusters/a%2Fb/addons/coredns/update")
        .header("authorization", authorization("us-east-1", "eks"));
    aws.dispatch(&eks.body(Bytes::from_static(b"{}")).unwrap());
    let calls = aws.calls();
    let log: Vec<_> = calls
        .iter()
        .map(|call| {
            (call.region.as_str(), call.service, call.action.as_str(), call.at.as_secs(), call.error.as_deref())
        })
        .take(2)
        .collect();
    assert_eq!(
        log,
        [
            ("us-west-2", Service::Ec2, "DescribeVpcs", 0, None),
            ("us-west-2", Service::Ec2, "DeleteVpc", 3, Some("InvalidVpcID.NotFound")),
        ]
    );
    assert_eq!((calls[2].service, calls[2].action.as_str()), (Service::Eks, "UpdateAddon"));
}

#[test]
fn a_dry_run_changes_nothing() {
    let client = Client::new(&aws(), "us-west-2");
    let error = client.ec2("CreateVpc", &[("CidrBlock", "10.0.0.0/16"), ("DryRun", "true")]).unwrap_err();
    assert_eq!((error.status, error.code.as_str()), (412, "DryRunOperation"));
    assert!(client.ec2("DescribeVpcs", &[]).unwrap().at("vpcSet").children.is_empty());
}

proptest! {
    #[test]
    fn no_request_makes_it_panic(
        form in proptest::collection::vec(any::<u8>(), 0..120),
        action in proptest::sample::select(vec![
            "DescribeVpcs", "CreateVpc", "CreateSubnet", "CreateRoute", "AuthorizeSecurityGroupIngress", "RunInstances",
            "CreateNetworkAclEntry", "CreateVpcPeeringConnection", "AssignPrivateIpAddresses", "CreateTags", "X",
        ]),
        service in proptest::sample::select(vec!["ec2", "elasticloadbalancing", "eks", "sts"]),
        path in "/[a-z%/0-9]{0,12}",
    ) {
        let mut body = format!("Action={action}&").into_bytes();
        body.extend(form);
        let header = authorization("us-west-2", service);
        if let Ok(request) = Request::post(path).header("authorization", header).body(Bytes::from(body)) {
            let response = aws().dispatch(&request);
            prop_assert!(response.headers().contains_key("x-amzn-requestid"));
        }
    }
}
