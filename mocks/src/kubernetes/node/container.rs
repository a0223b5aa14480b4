//! One container of a pod: its image, its runs, its restarts.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use k8s_openapi::api::core::v1 as core;
use kube::ResourceExt as _;
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::environment::{self, Facts};
use super::pod::PodWorker;
use super::{dns, volumes};
use crate::clock::SimTime;
use crate::kubernetes::controllers::events::Severity;
use crate::network::Host;
use crate::workloads::{Container, Log, Program};

/// First and longest wait before a container is started again or its image pulled again (kubelet: 10 s doubling to
/// 5 min), and how long it has to run for the wait to begin at the first again.
const BACKOFF: (Duration, Duration) = (Duration::from_secs(10), Duration::from_secs(300));
const RESET_AFTER: Duration = Duration::from_secs(600);

/// Exit code of a program that broke down, as of a process ended by SIGABRT.
const ABORTED: i32 = 134;

/// A container of a pod, through all its runs.
pub(super) struct Slot {
    pub(super) spec: core::Container,
    pub(super) init: bool,
    pub(super) state: Mutex<SlotState>,
    /// The files it sees.
    pub(super) files: watch::Sender<Arc<BTreeMap<String, Bytes>>>,
}

/// What is known of a container.
pub(super) struct SlotState {
    pub(super) phase: Phase,
    /// How it ended the last time, once it was started again or waits for that.
    pub(super) last: Option<Termination>,
    pub(super) ready: bool,
    pub(super) restarts: i32,
    pub(super) running: Option<Instance>,
    pub(super) log: Option<Log>,
    pub(super) previous_log: Option<Log>,
}

/// A run of the program.
#[derive(Clone)]
pub(super) struct Instance {
    pub(super) program: Arc<dyn Program>,
    pub(super) container: Container,
}

/// Where a container is in its life.
#[derive(Debug, Clone)]
pub(super) enum Phase {
    Waiting { reason: &'static str, message: Option<String> },
    Running { since: jiff::Timestamp },
    Terminated(Termination),
}

/// How a run ended.
#[derive(Debug, Clone)]
pub(super) struct Termination {
    pub(super) exit_code: i32,
    pub(super) started: jiff::Timestamp,
    pub(super) finished: jiff::Timestamp,
}

/// Aborts a task when dropped, so that killing a pod kills its programs.
struct Running(tokio::task::JoinHandle<Option<i32>>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Slot {
    pub(super) fn new(spec: core::Container, init: bool) -> Self {
        Self {
            spec,
            init,
            state: Mutex::new(SlotState {
                phase: Phase::Waiting {
                    reason: if init { "PodInitializing" } else { "ContainerCreating" },
                    message: None,
                },
                last: None,
                ready: false,
                restarts: 0,
                running: None,
                log: None,
                previous_log: None,
            }),
            files: watch::Sender::new(Arc::default()),
        }
    }

    /// Mounts these volumes.
    pub(super) fn mount(&self, current: &BTreeMap<String, volumes::Files>, initial: &BTreeMap<String, volumes::Files>) {
        let files = Arc::new(volumes::mounted(&self.spec, current, initial));
        self.files.send_if_modified(|known| {
            let changed = *known != files;
            *known = Arc::clone(&files);
            changed
        });
    }

    /// Runs the container until it has ended for good by its restart policy or `stop` is cancelled. An init container has
    /// ended for good when it succeeded. Returns whether it succeeded in the end.
    pub(super) async fn run(&self, pod: &PodWorker, host: &Arc<dyn Host>, stop: &CancellationToken) -> bool {
        let clock = &pod.site().clock;
        let mut backoff = Backoff::default();
        loop {
            let Some((instance, mut ready)) = stop.run_until_cancelled(self.prepare(pod, host, stop)).await else {
                return false;
            };
            let began = clock.now();
            let started = jiff::Timestamp::now();
            let exit_code = self.execute(pod, instance, &mut ready, started).await;
            let end = Termination { exit_code, started, finished: jiff::Timestamp::now() };
            self.change(pod, |state| {
                state.phase = Phase::Terminated(end.clone());
                state.ready = false;
                state.running = None;
            });
            let again = match pod.restart_policy() {
                _ if stop.is_cancelled() || (self.init && exit_code == 0) => false,
                "Never" => false,
                "OnFailure" => exit_code != 0,
                _ => true,
            };
            if !again {
                return exit_code == 0;
            }
            let wait = backoff.next(clock.now().saturating_sub(began));
            if !wait.is_zero() {
                let message = format!(
                    "back-off {}s restarting failed container={} pod={}",
                    wait.as_secs(),
                    self.spec.name,
                    pod.object().name_any()
                );
                pod.event(
                    Severity::Warning,
                    "BackOff",
                    format!("Back-off restarting failed container {}", self.spec.name),
                );
                self.change(pod, |state| {
                    state.phase = Phase::Waiting { reason: "CrashLoopBackOff", message: Some(message) };
                    state.last = Some(end.clone());
                });
                if stop.run_until_cancelled(clock.sleep(wait)).await.is_none() {
                    return false;
                }
            }
            self.change(pod, |state| {
                state.last = Some(end);
                state.restarts += 1;
            });
        }
    }

    /// Pulls the image and makes the container, again and again until both succeed.
    async fn prepare(
        &self,
        pod: &PodWorker,
        host: &Arc<dyn Host>,
        stop: &CancellationToken,
    ) -> (Instance, watch::Receiver<bool>) {
        let site = pod.site();
        let image = self.spec.image.clone().unwrap_or_default();
        let mut backoff = Backoff::default();
        backoff.next(SimTime::ZERO);
        let program = loop {
            if let Some(program) = site.images.resolve(&image) {
                break program;
            }
            let error = format!("failed to pull and unpack image \"{image}\": not found");
            pod.event(Severity::Warning, "Failed", format!("Failed to pull image \"{image}\": {error}"));
            self.wait(pod, "ErrImagePull", error);
            let wait = backoff.next(SimTime::ZERO);
            // The kubelet says so when it next looks at the pod.
            site.clock.sleep(Duration::from_secs(1)).await;
            pod.event(Severity::Normal, "BackOff", format!("Back-off pulling image \"{image}\""));
            self.wait(pod, "ImagePullBackOff", format!("Back-off pulling image \"{image}\""));
            site.clock.sleep(wait).await;
        };
        let facts = Facts { pod: pod.object(), pod_ip: host.address().to_string(), node: pod.node() };
        let mut objects = [site.informers.config_maps.subscribe(), site.informers.secrets.subscribe()];
        let env = loop {
            for object in &mut objects {
                object.borrow_and_update();
            }
            match environment::environment(site, &facts, &self.spec) {
                Ok(env) => break env,
                Err(missing) => {
                    pod.event(Severity::Warning, "Failed", format!("Error: {missing}"));
                    self.wait(pod, "CreateContainerConfigError", missing);
                }
            }
            let [config_maps, secrets] = &mut objects;
            tokio::select! {
                _ = config_maps.changed() => {}
                _ = secrets.changed() => {}
            }
        };
        let spec = pod.object().spec.as_ref();
        let namespace = pod.object().namespace().unwrap_or_default();
        let name = pod.object().name_any();
        let (ready, ready_changes) = watch::channel(false);
        let log = Log::default();
        {
            let mut state = self.state.lock();
            state.previous_log = state.log.replace(log.clone());
        }
        let container = Container {
            cluster: site.cluster.clone(),
            hostname: pod.hostname(),
            image,
            args: environment::arguments(&self.spec, &env),
            env,
            host: Arc::clone(host),
            resolv_conf: spec.map(|spec| dns::resolv_conf(site, &namespace, spec)).unwrap_or_default(),
            files: self.files.subscribe(),
            api: (spec.and_then(|spec| spec.automount_service_account_token) != Some(false))
                .then(|| site.client.clone()),
            namespace,
            pod: name,
            log,
            ready,
            clock: site.clock.clone(),
            stop: stop.child_token(),
        };
        (Instance { program, container }, ready_changes)
    }

    /// Runs the program to its end.
    async fn execute(
        &self,
        pod: &PodWorker,
        instance: Instance,
        ready: &mut watch::Receiver<bool>,
        since: jiff::Timestamp,
    ) -> i32 {
        let Instance { program, container } = instance.clone();
        // Whatever the program leaves behind is told to end with it.
        let _stop = container.stop.clone().drop_guard();
        let mut run = Running(pod.site().tasks.spawn(async move { program.run(container).await }));
        self.change(pod, |state| {
            state.phase = Phase::Running { since };
            state.running = Some(instance);
            state.ready = *ready.borrow_and_update();
        });
        loop {
            tokio::select! {
                ended = &mut run.0 => return match ended {
                    Ok(Some(code)) => code,
                    // The cluster is stopping.
                    Ok(None) => std::future::pending().await,
                    Err(_) => ABORTED,
                },
                changed = ready.changed() => {
                    if changed.is_err() {
                        // No end of the container is held any more: readiness stays.
                        return match (&mut run.0).await {
                            Ok(Some(code)) => code,
                            Ok(None) => std::future::pending().await,
                            Err(_) => ABORTED,
                        };
                    }
                    let now = *ready.borrow_and_update();
                    self.change(pod, |state| state.ready = now);
                }
            }
        }
    }

    fn wait(&self, pod: &PodWorker, reason: &'static str, message: String) {
        self.change(pod, |state| state.phase = Phase::Waiting { reason, message: Some(message) });
    }

    fn change(&self, pod: &PodWorker, change: impl FnOnce(&mut SlotState)) {
        change(&mut self.state.lock());
        pod.changed();
    }
}

/// Waits between restarts: none before the first.
#[derive(Debug, Default)]
struct Backoff(Option<Duration>);

impl Backoff {
    fn next(&mut self, ran_for: SimTime) -> Duration {
        if ran_for >= RESET_AFTER {
            self.0 = None;
        }
        let wait = self.0.unwrap_or(Duration::ZERO);
        self.0 = Some(if wait.is_zero() { BACKOFF.0 } else { BACKOFF.1.min(wait * 2) });
        wait
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn restarts_come_ever_later_until_one_run_was_long() {
        let mut backoff = Backoff::default();
        let waits: Vec<u64> = (0..8).map(|_| backoff.next(Duration::from_secs(1)).as_secs()).collect();
        assert_eq!(waits, [0, 10, 20, 40, 80, 160, 300, 300]);
        assert_eq!(backoff.next(RESET_AFTER), Duration::ZERO);
        assert_eq!(backoff.next(Duration::ZERO), BACKOFF.0);
    }
}
