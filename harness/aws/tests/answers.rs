//! Answers that neither an emulation nor a test account gives at will: how the clients see them.
#![allow(missing_docs)]

use acrossk8s_aws::ProvideErrorMetadata as _;
use acrossk8s_aws::ec2::operation::describe_vpcs::DescribeVpcsOutput;
use acrossk8s_aws::{ec2, elbv2};
use aws_smithy_mocks::{RuleMode, mock, mock_client};
use aws_smithy_runtime_api::http::{Response, StatusCode};
use aws_smithy_types::body::SdkBody;

fn ec2_error(code: &str) -> String {
    format!(
        "<Response><Errors><Error><Code>{code}</Code><Message>as AWS says</Message></Error></Errors>\
         <RequestID>00000000-0000-0000-0000-000000000000</RequestID></Response>"
    )
}

#[tokio::test]
async fn throttling_is_retried_until_the_answer_comes() {
    let rule = mock!(ec2::Client::describe_vpcs)
        .sequence()
        .http_status(503, Some(ec2_error("RequestLimitExceeded")))
        .times(2)
        .output(|| DescribeVpcsOutput::builder().build())
        .build();
    let client = mock_client!(ec2, RuleMode::Sequential, [&rule]);

    client.describe_vpcs().send().await.expect("the third answer is good");

    assert_eq!(rule.num_calls(), 3);
}

#[tokio::test]
async fn an_ec2_error_has_its_code_although_ec2_models_no_errors() {
    let rule = mock!(ec2::Client::create_route).then_http_response(|| {
        Response::new(StatusCode::try_from(400).expect("a status"), SdkBody::from(ec2_error("RouteAlreadyExists")))
    });
    let client = mock_client!(ec2, RuleMode::MatchAny, [&rule]);

    let error = client.create_route().route_table_id("rtb-1").send().await.expect_err("the call is refused");

    assert_eq!(error.code(), Some("RouteAlreadyExists"));
    assert_eq!(rule.num_calls(), 1, "a refusal is not retried");
}

#[tokio::test]
async fn a_missing_load_balancer_is_recognised() {
    let body = "<ErrorResponse xmlns=\"http://elasticloadbalancing.amazonaws.com/doc/2015-12-01/\"><Error>\
                <Type>Sender</Type><Code>LoadBalancerNotFound</Code><Message>not found</Message></Error>\
                <RequestId>0</RequestId></ErrorResponse>";
    let rule = mock!(acrossk8s_aws::elbv2::Client::describe_load_balancers)
        .then_http_response(move || Response::new(StatusCode::try_from(400).expect("a status"), SdkBody::from(body)));
    let client = mock_client!(elbv2, RuleMode::MatchAny, [&rule]);

    let error = client.describe_load_balancers().names("a0").send().await.expect_err("there is none");

    assert!(error.as_service_error().is_some_and(|error| error.is_load_balancer_not_found_exception()));
}
