//! The emulation over real HTTP.

use crate::aws::wire::testing::{Node, authorization};
use crate::aws::{Aws, Service};
use crate::clock::{Clock, Latencies};

async fn post(url: &str, region: &str, form: &str) -> reqwest::Response {
    let request = reqwest::Client::new()
        .post(url)
        .header("authorization", authorization(region, "ec2"))
        .header("content-type", "application/x-www-form-urlencoded; charset=utf-8")
        .body(form.to_owned());
    request.send().await.unwrap()
}

#[tokio::test]
async fn one_port_serves_every_region() {
    let aws = Aws::new(Clock::manual(), Latencies::INSTANT);
    let endpoint = aws.serve(([127, 0, 0, 1], 0).into()).await.unwrap();
    let created = post(&endpoint.url(), "us-west-1", "Action=CreateVpc&CidrBlock=10.1.0.0%2F16").await;
    let request_id = created.headers()["x-amzn-requestid"].to_str().unwrap().to_owned();
    let created = Node::parse(&created.bytes().await.unwrap());
    assert_eq!(created.text("requestId"), request_id);
    for (region, count) in [("us-west-1", 1), ("us-west-2", 0)] {
        let listed = post(&endpoint.url(), region, "Action=DescribeVpcs").await;
        let listed = Node::parse(&listed.bytes().await.unwrap());
        assert_eq!(listed.at("vpcSet").children.len(), count);
    }
    assert!(aws.calls().iter().all(|call| call.service == Service::Ec2));
}

#[tokio::test]
async fn a_body_without_end_is_refused() {
    let aws = Aws::new(Clock::manual(), Latencies::INSTANT);
    let endpoint = aws.serve(([127, 0, 0, 1], 0).into()).await.unwrap();
    let answer = post(&endpoint.url(), "us-west-1", &"x".repeat((1 << 20) + 1)).await;
    assert_eq!(answer.status(), 413);
    assert!(aws.calls().is_empty());
}

#[tokio::test]
async fn the_port_is_free_after_a_shutdown() {
    let aws = Aws::new(Clock::manual(), Latencies::INSTANT);
    let endpoint = aws.serve(([127, 0, 0, 1], 0).into()).await.unwrap();
    let address = endpoint.address();
    let taken = aws.serve(address).await.unwrap_err();
    assert_eq!(taken.kind(), std::io::ErrorKind::AddrInUse);
    post(&endpoint.url(), "us-west-1", "Action=DescribeVpcs").await;
    endpoint.shutdown().await;
    assert!(tokio::net::TcpStream::connect(address).await.is_err());
}
