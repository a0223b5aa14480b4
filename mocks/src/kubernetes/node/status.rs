//! The status of a pod.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;
use serde_json::{Map, Value, json};

use super::container::{Phase, Slot, SlotState, Termination};

/// Since when each condition is as it is.
pub(super) type Transitions = BTreeMap<&'static str, (bool, String)>;

/// What a status is made of.
pub(super) struct Input<'a> {
    pub(super) known: &'a Pod,
    pub(super) slots: &'a [Slot],
    pub(super) restart_policy: &'a str,
    pub(super) address: Option<Ipv4Addr>,
    pub(super) node: Ipv4Addr,
    pub(super) started: jiff::Timestamp,
    pub(super) transitions: &'a mut Transitions,
}

/// Conditions that the kubelet owns.
const OWN: [&str; 5] = ["PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled"];

/// The whole status.
pub(super) fn status(input: Input<'_>) -> Value {
    let phase = phase(input.slots, input.restart_policy);
    let finished = matches!(phase, "Succeeded" | "Failed");
    let initialized = input.slots.iter().filter(|slot| slot.init).all(succeeded);
    let unready: Vec<_> = input.slots.iter().filter(|slot| !slot.init && !slot.state.lock().ready).collect();
    let ready = unready.is_empty() && !finished;
    let is = [input.address.is_some() && !finished, initialized, ready, ready, true];
    let reason = match phase {
        "Succeeded" => "PodCompleted",
        "Failed" => "PodFailed",
        _ => "ContainersNotReady",
    };
    let names: Vec<_> = unready.iter().map(|slot| slot.spec.name.as_str()).collect();
    let message = format!("containers with unready status: [{}]", names.join(" "));
    let now = jiff::Timestamp::now().to_string();
    let mut conditions: Vec<Value> = Vec::new();
    for (name, is) in OWN.into_iter().zip(is) {
        let known = input.transitions.entry(name).or_insert_with(|| (is, now.clone()));
        if known.0 != is {
            *known = (is, now.clone());
        }
        let mut condition =
            json!({ "type": name, "status": if is { "True" } else { "False" }, "lastTransitionTime": known.1 });
        if !is && matches!(name, "Ready" | "ContainersReady") {
            condition["reason"] = reason.into();
            if !finished {
                condition["message"] = message.clone().into();
            }
        }
        conditions.push(condition);
    }
    // Those of others, readiness gates for example, stay.
    let others = input.known.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    let others = others.iter().filter(|condition| !OWN.contains(&condition.type_.as_str()));
    conditions.extend(others.filter_map(|condition| serde_json::to_value(condition).ok()));
    let uid = input.known.uid().unwrap_or_default();
    let of = |init: bool| -> Vec<Value> {
        input.slots.iter().filter(|slot| slot.init == init).map(|slot| container(slot, &uid)).collect()
    };
    let mut status = json!({
        "phase": phase,
        "conditions": conditions,
        "hostIP": input.node.to_string(),
        "hostIPs": [{ "ip": input.node.to_string() }],
        "startTime": input.started.to_string(),
        "containerStatuses": of(false),
    });
    let init = of(true);
    if !init.is_empty() {
        status["initContainerStatuses"] = init.into();
    }
    if let Some(address) = input.address {
        status["podIP"] = address.to_string().into();
        status["podIPs"] = json!([{ "ip": address.to_string() }]);
    }
    status
}

fn succeeded(slot: &Slot) -> bool {
    matches!(&slot.state.lock().phase, Phase::Terminated(end) if end.exit_code == 0)
}

/// The phase, from the containers (Kubernetes, "Pod phase").
fn phase(slots: &[Slot], restart_policy: &str) -> &'static str {
    let (mut waiting, mut running, mut failed, mut count) = (0, 0, 0, 0);
    for slot in slots {
        let state = slot.state.lock();
        if slot.init {
            match &state.phase {
                Phase::Terminated(end) if end.exit_code == 0 => continue,
                Phase::Terminated(_) if restart_policy == "Never" => return "Failed",
                _ => return "Pending",
            }
        }
        count += 1;
        match &state.phase {
            Phase::Waiting { .. } if state.last.is_none() => waiting += 1,
            Phase::Waiting { .. } | Phase::Running { .. } => running += 1,
            Phase::Terminated(end) => match restart_policy {
                "Never" => failed += i32::from(end.exit_code != 0),
                "OnFailure" if end.exit_code == 0 => {}
                _ => running += 1,
            },
        }
    }
    match (waiting, running, failed) {
        (1.., _, _) => "Pending",
        (_, 1.., _) => "Running",
        _ if count == 0 => "Pending",
        (_, _, 0) => "Succeeded",
        _ => "Failed",
    }
}

fn container(slot: &Slot, uid: &str) -> Value {
    let state = slot.state.lock();
    let id = format!("acrossk8s://{uid}-{}-{}", slot.spec.name, state.restarts);
    let image = slot.spec.image.clone().unwrap_or_default();
    let is_running = matches!(state.phase, Phase::Running { .. });
    let mut status = json!({
        "name": slot.spec.name,
        "image": image,
        "imageID": if state.log.is_some() { image.as_str() } else { "" },
        "containerID": if state.log.is_some() { id.as_str() } else { "" },
        "ready": if slot.init { succeeded_state(&state) } else { state.ready },
        "started": is_running,
        "restartCount": state.restarts,
        "state": state_of(&state.phase, &id),
        "lastState": Map::new(),
    });
    if let Some(last) = &state.last {
        status["lastState"] = json!({ "terminated": terminated(last, &id) });
    }
    status
}

fn succeeded_state(state: &SlotState) -> bool {
    matches!(&state.phase, Phase::Terminated(end) if end.exit_code == 0)
}

fn state_of(phase: &Phase, id: &str) -> Value {
    match phase {
        Phase::Waiting { reason, message: None } => json!({ "waiting": { "reason": reason } }),
        Phase::Waiting { reason, message } => json!({ "waiting": { "reason": reason, "message": message } }),
        Phase::Running { since } => json!({ "running": { "startedAt": since.to_string() } }),
        Phase::Terminated(end) => json!({ "terminated": terminated(end, id) }),
    }
}

fn terminated(end: &Termination, id: &str) -> Value {
    json!({
        "exitCode": end.exit_code,
        "reason": if end.exit_code == 0 { "Completed" } else { "Error" },
        "startedAt": end.started.to_string(),
        "finishedAt": end.finished.to_string(),
        "containerID": id,
    })
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn end(exit_code: i32) -> Phase {
        let now = jiff::Timestamp::UNIX_EPOCH;
        Phase::Terminated(Termination { exit_code, started: now, finished: now })
    }

    fn running() -> Phase {
        Phase::Running { since: jiff::Timestamp::UNIX_EPOCH }
    }

    fn creating() -> Phase {
        Phase::Waiting { reason: "ContainerCreating", message: None }
    }

    fn slot(init: bool, phase: Phase) -> Slot {
        let slot = Slot::new(k8s_openapi::api::core::v1::Container::default(), init);
        slot.state.lock().phase = phase;
        slot
    }

    #[rstest]
    #[case::creating("Always", vec![slot(false, creating())], "Pending")]
    #[case::one_of_two("Always", vec![slot(false, running()), slot(false, creating())], "Pending")]
    #[case::running("Always", vec![slot(false, running())], "Running")]
    #[case::to_be_restarted("Always", vec![slot(false, end(1))], "Running")]
    #[case::done("Never", vec![slot(false, end(0)), slot(false, end(0))], "Succeeded")]
    #[case::failed("Never", vec![slot(false, end(0)), slot(false, end(2))], "Failed")]
    #[case::init("Always", vec![slot(true, running()), slot(false, creating())], "Pending")]
    #[case::init_failed("Never", vec![slot(true, end(1)), slot(false, creating())], "Failed")]
    #[case::initialized("Always", vec![slot(true, end(0)), slot(false, running())], "Running")]
    fn the_containers_decide_on_the_phase(#[case] policy: &str, #[case] slots: Vec<Slot>, #[case] expected: &str) {
        assert_eq!(phase(&slots, policy), expected);
    }
}
