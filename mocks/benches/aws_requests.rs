//! How many calls the emulated AWS endpoint answers, one after the other over one client; and, when MOTO_URL names a
//! `moto_server`, how many that one does with the same client and the same calls.

use std::time::Duration;

use acrossk8s_mocks::lab::{Lab, LabConfig};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

/// What the procedure reads most, with nothing else in the way: no signing, no SDK.
const CALLS: [&str; 3] = ["DescribeVpcs", "DescribeRouteTables", "DescribeSecurityGroups"];
const AUTHORIZATION: &str =
    "AWS4-HMAC-SHA256 Credential=test/20261124/us-west-2/ec2/aws4_request, SignedHeaders=host, Signature=0";

async fn call(client: &reqwest::Client, url: &str, query: &str) -> String {
    let answer = client
        .post(url)
        .header("authorization", AUTHORIZATION)
        .header("content-type", "application/x-www-form-urlencoded")
        .body(format!("{query}&Version=2016-11-15"))
        .send()
        .await
        .expect("an answer");
    assert!(answer.status().is_success(), "{url}: {query}: {}", answer.status());
    answer.text().await.expect("a body")
}

fn benchmark(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let lab = runtime.block_on(Lab::start(LabConfig::default())).expect("a lab");
    let mut servers = vec![("acrossk8s", lab.aws_url())];
    servers.extend(std::env::var("MOTO_URL").ok().map(|url| ("moto_server", url)));
    let client = reqwest::Client::new();
    let mut group = criterion.benchmark_group("aws requests");
    group.sample_size(20).measurement_time(Duration::from_secs(4)).throughput(Throughput::Elements(CALLS.len() as u64));
    for (name, url) in servers {
        runtime.block_on(async {
            let made = call(&client, &url, "Action=CreateVpc&CidrBlock=10.77.0.0%2F16").await;
            assert!(made.contains("10.77.0.0/16"), "{name}: {made}");
        });
        group.bench_with_input(BenchmarkId::new("describe", name), &url, |bencher, url| {
            bencher.to_async(&runtime).iter(|| async {
                for action in CALLS {
                    call(&client, url, &format!("Action={action}")).await;
                }
            });
        });
    }
    group.finish();
}

criterion_group!(benches, benchmark);
criterion_main!(benches);
