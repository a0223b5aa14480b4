//! Volumes of config maps and secrets: what containers see as files.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use k8s_openapi::api::core::v1::{Container, KeyToPath, Pod, Volume};
use kube::ResourceExt as _;
use sha1::Digest as _;

use super::Site;

/// Files of one volume by path within it.
pub(super) type Files = BTreeMap<String, Bytes>;

/// Longest delay until a change reaches a mounted volume: the kubelet syncs each pod once in this time.
const SYNC_PERIOD: Duration = Duration::from_secs(60);

/// The contents of a pod's volumes at this moment, or what cannot be mounted, in the kubelet's words. Other kinds of
/// volumes are empty.
pub(super) fn contents(site: &Site, pod: &Pod) -> Result<BTreeMap<String, Files>, String> {
    let namespace = pod.namespace().unwrap_or_default();
    let volumes = pod.spec.as_ref().and_then(|spec| spec.volumes.as_deref()).unwrap_or_default();
    let mut contents = BTreeMap::new();
    for volume in volumes {
        let files = volume_files(site, &namespace, volume)
            .map_err(|reason| format!("MountVolume.SetUp failed for volume \"{}\" : {reason}", volume.name))?;
        contents.insert(volume.name.clone(), files);
    }
    Ok(contents)
}

fn volume_files(site: &Site, namespace: &str, volume: &Volume) -> Result<Files, String> {
    let mut files = Files::new();
    if let Some(source) = &volume.config_map {
        files.extend(config_map(site, namespace, &source.name, source.items.as_deref(), source.optional)?);
    }
    if let Some(source) = &volume.secret {
        let name = source.secret_name.as_deref().unwrap_or_default();
        files.extend(secret(site, namespace, name, source.items.as_deref(), source.optional)?);
    }
    for source in volume.projected.iter().flat_map(|projected| projected.sources.iter().flatten()) {
        if let Some(source) = &source.config_map {
            files.extend(config_map(site, namespace, &source.name, source.items.as_deref(), source.optional)?);
        }
        if let Some(source) = &source.secret {
            files.extend(secret(site, namespace, &source.name, source.items.as_deref(), source.optional)?);
        }
    }
    Ok(files)
}

fn config_map(
    site: &Site,
    namespace: &str,
    name: &str,
    items: Option<&[KeyToPath]>,
    optional: Option<bool>,
) -> Result<Files, String> {
    let object = site.informers.config_maps.get(namespace, name);
    let data = object.map(|object| {
        let text = object.data.iter().flatten().map(|(key, value)| (key.clone(), Bytes::from(value.clone())));
        let binary =
            object.binary_data.iter().flatten().map(|(key, value)| (key.clone(), Bytes::from(value.0.clone())));
        text.chain(binary).collect()
    });
    select(data, items, optional, "configmap", name)
}

fn secret(
    site: &Site,
    namespace: &str,
    name: &str,
    items: Option<&[KeyToPath]>,
    optional: Option<bool>,
) -> Result<Files, String> {
    let object = site.informers.secrets.get(namespace, name);
    let data = object.map(|object| {
        object.data.iter().flatten().map(|(key, value)| (key.clone(), Bytes::from(value.0.clone()))).collect()
    });
    select(data, items, optional, "secret", name)
}

fn select(
    data: Option<Files>,
    items: Option<&[KeyToPath]>,
    optional: Option<bool>,
    kind: &str,
    name: &str,
) -> Result<Files, String> {
    let optional = optional == Some(true);
    let Some(data) = data else {
        return if optional { Ok(Files::new()) } else { Err(format!("{kind} \"{name}\" not found")) };
    };
    let Some(items) = items.filter(|items| !items.is_empty()) else { return Ok(data) };
    let mut files = Files::new();
    for item in items {
        match data.get(&item.key) {
            Some(content) => drop(files.insert(item.path.clone(), content.clone())),
            None if optional => {}
            None => return Err(format!("references non-existent {kind} key: {}", item.key)),
        }
    }
    Ok(files)
}

/// The files that a container sees, by absolute path. A mount of a single file (`subPath`) stays as it was when the pod
/// started, which is what `initial` is for.
pub(super) fn mounted(
    container: &Container,
    current: &BTreeMap<String, Files>,
    initial: &BTreeMap<String, Files>,
) -> BTreeMap<String, Bytes> {
    let mut all = BTreeMap::new();
    for mount in container.volume_mounts.iter().flatten() {
        let sub_path = mount.sub_path.as_deref().filter(|path| !path.is_empty());
        let Some(files) = (if sub_path.is_some() { initial } else { current }).get(&mount.name) else { continue };
        let base = Path::new(&mount.mount_path);
        for (path, content) in files {
            let at = match sub_path {
                None => base.join(path),
                Some(sub) if path == sub => base.to_owned(),
                Some(sub) => match path.strip_prefix(sub).and_then(|rest| rest.strip_prefix('/')) {
                    Some(rest) => base.join(rest),
                    None => continue,
                },
            };
            all.insert(text(at), content.clone());
        }
    }
    all
}

fn text(path: PathBuf) -> String {
    path.to_string_lossy().into_owned()
}

/// Keeps the volumes of a running pod up to date, for ever: a change arrives with the next sync of the pod, which is not
/// in step with anything. `publish` gets the new contents.
pub(super) async fn sync(
    site: &Site,
    pod: &Pod,
    mut mounted: Arc<BTreeMap<String, Files>>,
    mut publish: impl FnMut(Arc<BTreeMap<String, Files>>),
) {
    let mut changes = [site.informers.config_maps.subscribe(), site.informers.secrets.subscribe()];
    let mut round: u64 = 0;
    loop {
        for change in &mut changes {
            change.borrow_and_update();
        }
        if contents(site, pod).is_ok_and(|now| now != *mounted) {
            round += 1;
            site.clock.sleep(delay(&site.cluster, pod, round)).await;
            // What is missing now stays as it was.
            if let Ok(now) = contents(site, pod) {
                mounted = Arc::new(now);
                publish(Arc::clone(&mounted));
            }
            continue;
        }
        let [config_maps, secrets] = &mut changes;
        let alive = tokio::select! {
            changed = config_maps.changed() => changed.is_ok(),
            changed = secrets.changed() => changed.is_ok(),
        };
        if !alive {
            std::future::pending::<()>().await;
        }
    }
}

/// The time until the kubelet's next sync of a pod: anything up to the period, the same in every run.
fn delay(cluster: &str, pod: &Pod, round: u64) -> Duration {
    let seed = format!("{cluster}/{}/{}/{round}", pod.namespace().unwrap_or_default(), pod.name_any());
    let hash = sha1::Sha1::digest(seed.as_bytes());
    let fraction = f64::from(u16::from_be_bytes([hash[0], hash[1]])) / f64::from(u16::MAX);
    SYNC_PERIOD.mul_f64(fraction)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn files(content: &str) -> BTreeMap<String, Files> {
        let file = |name: &str| (name.to_owned(), Bytes::from(content.to_owned()));
        BTreeMap::from([("config".to_owned(), Files::from([file("Corefile"), file("zones/db")]))])
    }

    #[test]
    fn directories_follow_the_volume_and_single_files_do_not() {
        let container: Container = serde_json::from_value(json!({
            "name": "c",
            "volumeMounts": [
                { "name": "config", "mountPath": "/etc/coredns" },
                { "name": "config", "mountPath": "/fixed", "subPath": "Corefile" },
                { "name": "config", "mountPath": "/zones", "subPath": "zones" },
                { "name": "data", "mountPath": "/var/lib" },
            ],
        }))
        .expect("a container");
        let seen = mounted(&container, &files("new"), &files("old"));
        let seen: Vec<_> = seen.iter().map(|(path, content)| (path.as_str(), content.as_ref())).collect();
        let expected: [(&str, &[u8]); 4] = [
            ("/etc/coredns/Corefile", b"new"),
            ("/etc/coredns/zones/db", b"new"),
            ("/fixed", b"old"),
            ("/zones/db", b"old"),
        ];
        assert_eq!(seen, expected);
    }

    #[test]
    fn a_selected_key_that_is_missing_cannot_be_mounted() {
        let items = [KeyToPath { key: "a".into(), path: "x/a".into(), mode: None }];
        let data = Files::from([("a".to_owned(), Bytes::new()), ("b".to_owned(), Bytes::new())]);
        let chosen = select(Some(data), Some(&items), None, "configmap", "c").expect("the key exists");
        assert_eq!(chosen.keys().collect::<Vec<_>>(), ["x/a"]);
        let missing = select(Some(Files::new()), Some(&items), None, "configmap", "c");
        assert_eq!(missing, Err("references non-existent configmap key: a".to_owned()));
        assert_eq!(select(None, None, Some(true), "configmap", "c"), Ok(Files::new()));
        assert_eq!(select(None, None, None, "configmap", "c"), Err("configmap \"c\" not found".to_owned()));
    }

    #[test]
    fn pods_sync_at_times_of_their_own_within_the_period() {
        let pod =
            |name: &str| -> Pod { serde_json::from_value(json!({ "metadata": { "name": name } })).expect("a pod") };
        let (a, b) = (delay("c", &pod("a"), 1), delay("c", &pod("b"), 1));
        assert_ne!(a, b);
        assert_ne!(a, delay("c", &pod("a"), 2));
        assert!(a <= SYNC_PERIOD && b <= SYNC_PERIOD);
        assert_eq!(a, delay("c", &pod("a"), 1));
    }
}
