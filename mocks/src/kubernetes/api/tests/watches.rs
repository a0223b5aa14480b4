//! Watches.

use futures::{StreamExt as _, TryStreamExt as _};
use kube::api::{DeleteParams, Patch, PatchParams, WatchEvent, WatchParams};
use kube::runtime::watcher;

use super::*;

fn describe(event: &WatchEvent<Pod>) -> String {
    match event {
        WatchEvent::Added(pod) => format!("+{}", pod.metadata.name.as_deref().unwrap()),
        WatchEvent::Modified(pod) => format!("~{}", pod.metadata.name.as_deref().unwrap()),
        WatchEvent::Deleted(pod) => format!("-{}", pod.metadata.name.as_deref().unwrap()),
        WatchEvent::Bookmark(_) => "bookmark".to_owned(),
        WatchEvent::Error(status) => status.code.to_string(),
    }
}

#[tokio::test]
async fn events_of_a_selection() {
    let server = server().await;
    let api: Api<Pod> = Api::default_namespaced(server.client());
    create(&api, &pod("a")).await;
    let params = WatchParams::default().labels("app=a");
    let events = api.watch(&params, "0").await.unwrap();
    let label = |value: &str| Patch::Merge(json!({ "metadata": { "labels": { "app": value } } }));
    let params = PatchParams::default();
    create(&api, &pod("other")).await;
    api.patch("other", &params, &label("a")).await.unwrap();
    api.patch("a", &params, &Patch::Merge(json!({ "metadata": { "annotations": { "x": "y" } } }))).await.unwrap();
    api.patch("a", &params, &label("b")).await.unwrap();
    api.delete("other", &DeleteParams::default().grace_period(0)).await.unwrap();
    let events: Vec<_> = soon(events.take(5).try_collect()).await.unwrap();
    assert_eq!(events.iter().map(describe).collect::<Vec<_>>().join(" "), "+a +other ~a -a -other");
}

#[tokio::test]
async fn a_watch_goes_on_from_a_revision() {
    let server = server().await;
    let api: Api<Pod> = Api::default_namespaced(server.client());
    let first = create(&api, &pod("a")).await.metadata.resource_version.unwrap();
    create(&api, &pod("b")).await;
    let events = api.watch(&WatchParams::default(), &first).await.unwrap();
    let events: Vec<_> = soon(events.take(1).try_collect()).await.unwrap();
    assert_eq!(describe(&events[0]), "+b");
}

#[tokio::test]
async fn a_revision_that_is_too_old_is_gone() {
    let server = server().await;
    let api: Api<Pod> = Api::default_namespaced(server.client());
    let first = create(&api, &pod("a")).await.metadata.resource_version.unwrap();
    let change = |index: usize| json!({ "metadata": { "annotations": { "n": index.to_string() } } });
    for index in 0..2100 {
        api.patch("a", &PatchParams::default(), &Patch::Merge(change(index))).await.unwrap();
    }
    let events = api.watch(&WatchParams::default(), &first).await.unwrap();
    let events: Vec<_> = soon(events.try_collect()).await.unwrap();
    assert_eq!(events.iter().map(describe).collect::<Vec<_>>(), ["410"]);
}

#[tokio::test]
async fn a_watch_ends_in_time_and_with_the_server() {
    let server = server().await;
    let api: Api<Pod> = Api::default_namespaced(server.client());
    let events = api.watch(&WatchParams::default().timeout(1), "0").await.unwrap();
    let events: Vec<_> = soon(events.try_collect()).await.unwrap();
    assert_eq!(events.iter().map(describe).collect::<Vec<_>>(), ["bookmark"]);
    let events = api.watch(&WatchParams::default(), "0").await.unwrap();
    soon(server.shutdown()).await;
    assert!(soon(events.collect::<Vec<_>>()).await.iter().all(Result::is_err));
}

#[rstest::rstest]
#[case(watcher::Config::default())]
#[case(watcher::Config::default().streaming_lists())]
#[case(watcher::Config::default().page_size(1))]
#[tokio::test]
async fn watchers_of_kube_see_everything(#[case] config: watcher::Config) {
    let server = server().await;
    let api: Api<Pod> = Api::default_namespaced(server.client());
    create(&api, &pod("a")).await;
    create(&api, &pod("b")).await;
    let mut events = Box::pin(watcher(api.clone(), config));
    let mut seen = Vec::new();
    while !seen.contains(&"done".to_owned()) {
        match soon(events.try_next()).await.unwrap().unwrap() {
            watcher::Event::Init => seen.push("init".to_owned()),
            watcher::Event::InitApply(pod) => seen.push(format!("={}", pod.metadata.name.unwrap())),
            watcher::Event::InitDone => {
                seen.push("ready".to_owned());
                create(&api, &pod("c")).await;
                api.delete("a", &DeleteParams::default().grace_period(0)).await.unwrap();
            }
            watcher::Event::Apply(pod) => seen.push(format!("+{}", pod.metadata.name.unwrap())),
            watcher::Event::Delete(pod) => {
                seen.push(format!("-{}", pod.metadata.name.unwrap()));
                seen.push("done".to_owned());
            }
        }
    }
    assert_eq!(seen.join(" "), "init =a =b ready +c -a done");
}
