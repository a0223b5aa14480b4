//! "Step 3. Verify the network interconnectivity": nginx in each cluster, asked from each other one, and removed.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use futures::{AsyncBufReadExt as _, StreamExt as _};
use k8s_openapi::api::core::v1::{Pod, Service};
use kube::Api;
use kube::api::{DeleteParams, LogParams};

use super::clusters::cluster_of;
use super::exec::{Output, exec};
use super::omission::Omission;
use super::routes::direction_of;
use super::steps::{Each, Phase, Scope, Step};
use super::{World, coredns, dns, kube_failure, manifest};
use crate::diagnosis::{Diagnosed, Own};
use crate::engine::{Condition, Done, Failure, TaskContext};
use crate::observation::{Probe, ProbeRequest, ProbeResult};
use crate::topology::{Cluster, ClusterIndex, Topology};

/// Heading of the document.
pub(super) const HEADING: &str = "Step 3. Verify the network interconnectivity";
const MANIFEST: &str = "sample-nginx.yaml";

/// Name of the pod.
pub const POD: &str = "sample-nginx";
/// Name of the headless Service.
pub const SERVICE: &str = "sample-nginx-peer";

/// `sample-nginx.yaml`.
pub static WRITE_MANIFEST: Step = Step {
    id: "write-nginx-manifest",
    title: "Save the manifest of the nginx service",
    heading: HEADING,
    clauses: &["C3.1"],
    phase: Phase::Apply,
    each: Each::All,
    needs: |_, _| Vec::new(),
    commands: |_, _| vec!["# save the Pod and Service as sample-nginx.yaml".to_owned()],
    calls: &[],
    gap: None,
    omission: Omission::diagnosed(no_nginx)
        .caught_by(&["nginx-pod", "nginx-service"])
        .stops(|topology, _| topology.indices().map(|index| ("deploy-nginx", Scope::Cluster(index))).collect()),
    run: |context, _| {
        Box::pin(async move {
            manifest::write(context.world(), MANIFEST, manifest::SAMPLE_NGINX).await?;
            Ok(Done::changed())
        })
    },
};

/// `kubectl apply -f sample-nginx.yaml`.
pub static DEPLOY: Step = Step {
    id: "deploy-nginx",
    title: "Deploy the nginx service and wait until it is ready",
    heading: HEADING,
    clauses: &["C3.2"],
    phase: Phase::Apply,
    each: Each::Cluster,
    needs: |_, _| vec![("write-nginx-manifest", Scope::All)],
    commands: |topology, scope| command(&topology.clusters, scope, "apply", MANIFEST),
    calls: &["kubernetes:apply pods", "kubernetes:apply services"],
    gap: None,
    omission: Omission::diagnosed(no_nginx)
        .caught_by(&["nginx-pod", "nginx-service"])
        .stops(|_, scope| vec![("await-nginx-name", scope)]),
    run: |context, scope| Box::pin(deploy(context, scope)),
};

/// The name of the pod.
pub static AWAIT_NAME: Step = Step {
    id: "await-nginx-name",
    title: "Wait until every CoreDNS pod of the cluster knows the name of its nginx",
    heading: HEADING,
    clauses: &["C3.4"],
    phase: Phase::Apply,
    each: Each::Cluster,
    needs: |_, scope| vec![("deploy-nginx", scope)],
    commands: |_, _| Vec::new(),
    calls: &["kubernetes:list pods", "kubernetes:portforward pods"],
    gap: Some("the document checks at once; who asks too early gets a denial that CoreDNS then keeps"),
    omission: Omission::no_probe_fails().luck(
        "CoreDNS may know the name before anybody asks for it",
        &["own-name-resolves", "dns-answers-peer", "http-to-peer", "http-from-every-node"],
    ),
    run: |context, scope| Box::pin(await_name(context, scope)),
};

/// `kubectl exec sample-nginx -- curl`.
pub static CHECK: Step = Step {
    id: "check-nginx",
    title: "Access the nginx service of the peer",
    heading: HEADING,
    clauses: &["C3.3"],
    phase: Phase::Check,
    each: Each::Direction,
    needs: |_, _| Vec::new(),
    commands: |topology, scope| match scope {
        Scope::Direction(from, to) => vec![format!(
            "kubectl --context ${{context_{from}}} -n {} exec sample-nginx -- curl {}",
            topology.cluster(from).namespace,
            url_of(topology.cluster(to)),
        )],
        _ => Vec::new(),
    },
    calls: &["kubernetes:exec pods", "kubernetes:get pods/log"],
    gap: None,
    omission: Omission::no_probe_fails().caught_by(&["http-to-peer"]),
    run: |context, scope| Box::pin(check(context, scope)),
};

/// `kubectl delete -f sample-nginx.yaml`.
pub static DELETE: Step = Step {
    id: "delete-nginx",
    title: "Delete the nginx service",
    heading: HEADING,
    clauses: &["C3.6"],
    phase: Phase::CleanUp,
    each: Each::Cluster,
    needs: |_, _| Vec::new(),
    commands: |topology, scope| command(&topology.clusters, scope, "delete", MANIFEST),
    calls: &["kubernetes:delete pods", "kubernetes:delete services"],
    gap: None,
    omission: Omission::no_probe_fails().caught_by(&["nginx-removed"]).undoes("deploy-nginx"),
    run: |context, scope| Box::pin(delete(context, scope)),
};

/// Names resolve to nothing without the Service, and nothing can be sent without the pod.
fn no_nginx(topology: &Topology, scope: Scope) -> Diagnosed {
    let all = scope.clusters(topology);
    Diagnosed::each(Own::NameWithoutService, "service", all.clone()).and(Diagnosed::each(
        Own::NameWithoutPod,
        "pod",
        all,
    ))
}

/// The command that applies or deletes a manifest in the namespace of a cluster.
pub(super) fn command(clusters: &[Cluster], scope: Scope, verb: &str, manifest: &str) -> Vec<String> {
    match scope {
        Scope::Cluster(index) => vec![format!(
            "kubectl --context ${{context_{index}}} -n {} {verb} -f {manifest}",
            clusters.get(index.0).map_or("", |cluster| cluster.namespace.as_str()),
        )],
        _ => Vec::new(),
    }
}

/// The name of a cluster's nginx pod, as the others ask for it.
pub fn name_of(cluster: &Cluster) -> String {
    format!("{POD}.{SERVICE}.{}.svc.cluster.local", cluster.namespace)
}

/// The documented URL of a cluster's nginx.
pub fn url_of(cluster: &Cluster) -> String {
    format!("http://{}:80", name_of(cluster))
}

async fn pods(world: &World, index: ClusterIndex) -> Result<Api<Pod>, Failure> {
    Ok(Api::namespaced(world.kubernetes(index).await?, &world.cluster(index).namespace))
}

async fn deploy(context: TaskContext<World>, scope: Scope) -> Result<Done, Failure> {
    let world = context.world();
    let index = cluster_of(scope)?;
    let cluster = world.cluster(index);
    let mut made = false;
    for object in manifest::read(world, MANIFEST).await? {
        made |= manifest::apply(&context, index, Some(&cluster.namespace), &object).await?;
    }
    let pods = pods(world, index).await?;
    let patience = world.patience();
    context
        .wait_for(&format!("{POD} of {} to be ready", cluster.name), patience.pod, patience.poll, || async {
            let pod = pods
                .get_opt(POD)
                .await
                .map_err(|error| kube_failure(format!("{POD} of {} cannot be read", cluster.name), &error))?;
            Ok(match pod {
                Some(pod) if is_ready(&pod) => Condition::Ready(()),
                Some(pod) => Condition::NotYet(why_not_ready(&pod)),
                None => return Err(Failure::new(format!("{POD} of {} is gone", cluster.name))),
            })
        })
        .await?;
    Ok(if made { Done::changed() } else { Done::unchanged() })
}

async fn await_name(context: TaskContext<World>, scope: Scope) -> Result<Done, Failure> {
    let world = context.world();
    let index = cluster_of(scope)?;
    let cluster = world.cluster(index);
    let name = name_of(cluster);
    let patience = world.patience();
    let what = format!("every CoreDNS pod of {} to know {name}", cluster.name);
    context
        .wait_for(&what, patience.name, patience.poll, || async {
            for pod in coredns::coredns_pods(world, index).await? {
                let pod = pod.metadata.name.unwrap_or_default();
                match dns::ask(world, index, &pod, &name).await {
                    Ok(ProbeResult::Dns { addresses, .. }) if !addresses.is_empty() => {}
                    Ok(ProbeResult::Dns { code, .. }) => return Ok(Condition::NotYet(format!("{pod} answers {code}"))),
                    Ok(_) => return Ok(Condition::NotYet(format!("{pod} does not answer"))),
                    Err(why) => return Ok(Condition::NotYet(format!("{pod} cannot be asked: {why}"))),
                }
            }
            Ok(Condition::Ready(()))
        })
        .await?;
    Ok(Done::unchanged())
}

/// Whether a pod's Ready condition is true.
pub fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_ref());
    conditions.into_iter().flatten().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

fn why_not_ready(pod: &Pod) -> String {
    let status = pod.status.as_ref();
    let phase = status.and_then(|status| status.phase.as_deref()).unwrap_or("without a phase");
    let waiting = status
        .and_then(|status| status.container_statuses.as_ref())
        .into_iter()
        .flatten()
        .find_map(|container| container.state.as_ref()?.waiting.as_ref()?.reason.clone());
    match waiting {
        Some(reason) => format!("it is {phase}: {reason}"),
        None => format!("it is {phase}"),
    }
}

async fn check(context: TaskContext<World>, scope: Scope) -> Result<Done, Failure> {
    let world = context.world();
    let (from, to) = direction_of(scope)?;
    let probe = http_probe(world, from, to).await;
    let note = match &probe.result {
        ProbeResult::Http { status, welcome, .. } => {
            format!("HTTP {status}, {}", if *welcome { "the welcome page" } else { "not the welcome page" })
        }
        other => serde_json::to_string(other).unwrap_or_default(),
    };
    context.probed(
        &world.cluster(from).name,
        &world.cluster(to).name,
        matches!(probe.result, ProbeResult::Http { status: 200, welcome: true, .. }),
        &note,
    );
    world.probes.lock().push(probe);
    // What came of it is for the invariants to judge, with everything else that was seen.
    Ok(Done::unchanged().note(note))
}

/// The documented check in one direction: `curl` in the pod sample-nginx of one cluster for the nginx of another.
async fn http_probe(world: &World, from: ClusterIndex, to: ClusterIndex) -> Probe {
    let url = url_of(world.cluster(to));
    let began = Instant::now();
    let result = match curl(world, from, POD, to, &url).await {
        Ok(result) => result,
        Err(failure) => ProbeResult::Error { message: failure.to_string() },
    };
    let millis = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    Probe { from: from.0, to: to.0, request: ProbeRequest::Http { pod: POD.to_owned(), url }, result, millis }
}

/// `curl` in a pod of one cluster for the nginx of another.
///
/// # Errors
/// When curl cannot be run, or the peer's access log cannot be read.
pub(crate) async fn curl(
    world: &World,
    from: ClusterIndex,
    pod: &str,
    to: ClusterIndex,
    url: &str,
) -> Result<ProbeResult, Failure> {
    // The peer's access log shows the agent, and so which line belongs to this request.
    let agent = format!("acrossk8s/{}/{}", world.run_id, uuid::Uuid::new_v4());
    let command = [
        "curl",
        "-sS",
        "--connect-timeout",
        "5",
        "--max-time",
        "10",
        "-A",
        &agent,
        "-w",
        "\\n%{http_code} %{remote_ip}",
        url,
    ]
    .map(str::to_owned);
    let output = exec(&pods(world, from).await?, pod, &command).await.map_err(|error| {
        Failure::new(format!("curl cannot be run in {pod} of {}", world.cluster(from).name)).because(error)
    })?;
    let (Some((body, trailer)), 0) = (output.stdout.rsplit_once('\n'), output.code) else {
        return Ok(curl_failure(&output));
    };
    let mut trailer = trailer.split(' ');
    let status = trailer.next().and_then(|status| status.parse().ok()).unwrap_or(0);
    let remote = trailer.next().and_then(|remote| remote.parse().ok());
    Ok(ProbeResult::Http {
        status,
        welcome: body.contains("Welcome to nginx!"),
        remote,
        seen_source: seen_source(world, to, &agent).await?,
    })
}

/// What curl's exit code says (curl(1), "EXIT CODES").
pub(crate) fn curl_failure(output: &Output) -> ProbeResult {
    let message = output.stderr.trim();
    match output.code {
        6 => ProbeResult::Unresolved,
        7 if message.contains("refused") => ProbeResult::Refused,
        // Since 7.87 it does not say more. A packet that vanishes is no reason: then --connect-timeout ends it, with 28.
        7 if message.ends_with("connect to server") => ProbeResult::Refused,
        7 | 28 => ProbeResult::TimedOut,
        code => ProbeResult::Error { message: format!("curl ended with code {code}: {message}") },
    }
}

/// How long a line of the access log is waited for after the answer that it is about.
const LOG_PATIENCE: Duration = Duration::from_secs(2);

/// The source address in the peer's access log for the request with this agent.
async fn seen_source(world: &World, at: ClusterIndex, agent: &str) -> Result<Option<Ipv4Addr>, Failure> {
    let failed = |error| kube_failure(format!("the access log of {} cannot be read", world.cluster(at).name), &error);
    let of_agent = |line: &str| line.contains(agent);
    let pods = pods(world, at).await?;
    let log = pods.logs(POD, &LogParams::default()).await.map_err(failed)?;
    let mut found = log.lines().find(|line| of_agent(line)).map(str::to_owned);
    if found.is_none() {
        // nginx writes the line after its answer.
        let follow = LogParams { follow: true, ..LogParams::default() };
        let mut lines = pods.log_stream(POD, &follow).await.map_err(failed)?.lines();
        let written = async {
            while let Some(Ok(line)) = lines.next().await {
                if of_agent(&line) {
                    return Some(line);
                }
            }
            None
        };
        found = tokio::time::timeout(LOG_PATIENCE, written).await.ok().flatten();
    }
    Ok(found.and_then(|line| line.split(' ').next()?.parse().ok()))
}

async fn delete(context: TaskContext<World>, scope: Scope) -> Result<Done, Failure> {
    let world = context.world();
    let index = cluster_of(scope)?;
    let namespace = &world.cluster(index).namespace;
    let pods = pods(world, index).await?;
    let services: Api<Service> = Api::namespaced(world.kubernetes(index).await?, namespace);
    let name = &world.cluster(index).name;
    let deleted = |what: &str, result: Result<(), kube::Error>| match result {
        Ok(()) => Ok(true),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(false),
        Err(error) => Err(kube_failure(format!("{what} of {name} cannot be deleted"), &error)),
    };
    let mut changed = deleted(POD, pods.delete(POD, &DeleteParams::default()).await.map(drop))?;
    changed |= deleted(SERVICE, services.delete(SERVICE, &DeleteParams::default()).await.map(drop))?;
    let patience = world.patience();
    context
        .wait_for(&format!("the nginx service of {name} to be gone"), patience.deletion, patience.poll, || async {
            let read = |error: &kube::Error| kube_failure(format!("the nginx service of {name} cannot be read"), error);
            let pod = pods.get_opt(POD).await.map_err(|error| read(&error))?.map(|_| format!("Pod {POD}"));
            let service =
                services.get_opt(SERVICE).await.map_err(|error| read(&error))?.map(|_| format!("Service {SERVICE}"));
            let left: Vec<_> = [pod, service].into_iter().flatten().collect();
            Ok(if left.is_empty() {
                Condition::Ready(())
            } else {
                Condition::NotYet(format!("{} is there", left.join(" and ")))
            })
        })
        .await?;
    Ok(if changed { Done::changed() } else { Done::unchanged() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[rstest::rstest]
    #[case::debian_11(7, "curl: (7) Failed to connect to 10.2.0.9 port 2379: Connection refused", ProbeResult::Refused)]
    #[case::debian_12(
        7,
        "curl: (7) Failed to connect to 10.2.0.9 port 2379 after 0 ms: Couldn't connect to server",
        ProbeResult::Refused
    )]
    #[case::curl_8(
        7,
        "curl: (7) Failed to connect to 10.2.0.9 port 2379 after 0 ms: Could not connect to server",
        ProbeResult::Refused
    )]
    #[case::unreachable(
        7,
        "curl: (7) Failed to connect to 10.2.0.9 port 2379: No route to host",
        ProbeResult::TimedOut
    )]
    #[case::dropped(28, "curl: (28) Connection timed out after 5001 milliseconds", ProbeResult::TimedOut)]
    #[case::no_name(6, "curl: (6) Could not resolve host: web", ProbeResult::Unresolved)]
    fn curls_failures_are_told_apart_in_each_version(
        #[case] code: i32,
        #[case] stderr: &str,
        #[case] expected: ProbeResult,
    ) {
        let output = Output { code, stdout: String::new(), stderr: format!("{stderr}\n") };
        assert_eq!(curl_failure(&output), expected);
    }
}
