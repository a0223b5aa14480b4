//! The nginx check of cluster 1 as people get it wrong ("Verify the network interconnectivity").

use super::{Fault, ONE};
use crate::diagnosis::{Diagnosed, Own};
use crate::engine::Done;
use crate::procedure::manifest;

const DEPLOY: &str = "deploy-nginx/1";
const NAME: &str = "await-nginx-name/1";

pub(super) fn faults() -> Vec<Fault> {
    vec![
        changed(
            "nginx-subdomain",
            "the subdomain of nginx is not its Service's name",
            Diagnosed::at(Own::NameWithoutPod, "pod", ONE),
            [("subdomain: sample-nginx-peer", "subdomain: sample-nginx")],
        )
        .caught_by(&["nginx-pod"])
        .stops(&[NAME]),
        changed(
            "nginx-without-hostname",
            "nginx has no host name of its own",
            Diagnosed::at(Own::NameWithoutPod, "pod", ONE),
            [("  hostname: sample-nginx\n", "")],
        )
        .caught_by(&["nginx-pod"])
        .stops(&[NAME]),
        changed(
            "nginx-service-selector",
            "the Service of nginx selects another app",
            Diagnosed::at(Own::NameWithoutService, "service", ONE),
            [("    app: sample-nginx\n  ports", "    app: nginx\n  ports")],
        )
        .caught_by(&["nginx-service"])
        .stops(&[NAME]),
        changed(
            "nginx-service-not-headless",
            "the Service of nginx has an address of its own",
            Diagnosed::NoProbeFails,
            [("  clusterIP: None\n", "")],
        )
        .caught_by(&["nginx-service"]),
        changed(
            "nginx-service-port",
            "the Service of nginx has port 8080",
            Diagnosed::NoProbeFails,
            [("port: 80\n", "port: 8080\n")],
        )
        .caught_by(&["nginx-service"]),
        changed(
            "nginx-other-image",
            "nginx is of another version",
            Diagnosed::NoProbeFails,
            [("nginx:1.21.5", "nginx:1.21")],
        )
        .caught_by(&["nginx-pod"]),
        changed(
            "nginx-nowhere",
            "nginx asks for a node that there is not",
            Diagnosed::at(Own::PodNotReady, "pod", ONE),
            [("restartPolicy: Always", "restartPolicy: Always\n  nodeSelector:\n    dedicated: tidb")],
        )
        .caught_by(&["nginx-ready"])
        .stops(&[NAME]),
        changed(
            "nginx-with-the-nodes-dns",
            "nginx uses the DNS of its node",
            Diagnosed::at(Own::PodAsksAnotherResolver, "pod", ONE),
            [("restartPolicy: Always", "restartPolicy: Always\n  dnsPolicy: Default")],
        )
        .caught_by(&["cluster-domain"]),
        Fault::new(
            "nginx-in-another-namespace",
            "nginx is deployed into the default namespace",
            Diagnosed::at(Own::NameWithoutService, "service", ONE).and(Diagnosed::at(Own::NameWithoutPod, "pod", ONE)),
        )
        .instead(DEPLOY, |context, _| async move {
            manifest::apply_all(&context, ONE, Some("default"), manifest::SAMPLE_NGINX).await?;
            Ok(Done::changed())
        })
        .caught_by(&["nginx-pod", "nginx-service"])
        .stops(&[NAME]),
    ]
}

/// The manifest with another text. Nobody waits for the pod then: it may never be ready.
fn changed<const N: usize>(
    id: &str,
    title: &str,
    diagnosed: Diagnosed,
    texts: [(&'static str, &'static str); N],
) -> Fault {
    Fault::new(id, format!("{title} [cluster 1]"), diagnosed).instead(DEPLOY, move |context, _| async move {
        let text = texts.iter().fold(manifest::SAMPLE_NGINX.to_owned(), |it, (from, to)| it.replace(from, to));
        let namespace = context.world().cluster(ONE).namespace.clone();
        manifest::apply_all(&context, ONE, Some(&namespace), &text).await?;
        Ok(Done::changed())
    })
}
