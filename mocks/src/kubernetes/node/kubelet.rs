//! What the API server asks of the node: exec, logs, port forwarding.

use std::net::SocketAddrV4;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::{mpsc, watch};

use super::container::{Instance, Slot};
use super::pod::PodWorker;
use super::{NodeAgent, Running};
use crate::kubernetes::api::{Kubelet, KubeletError, LogOptions};
use crate::network::BoxStream;
use crate::workloads::{ExecIo, Log};

type Lines = Vec<(jiff::Timestamp, String)>;

impl NodeAgent {
    fn pod(&self, namespace: &str, pod: &str) -> Result<Running, KubeletError> {
        let running = self.pods.lock().get(&(namespace.to_owned(), pod.to_owned())).cloned();
        running.ok_or_else(|| KubeletError::PodNotFound(pod.to_owned()))
    }
}

fn slot<'a>(worker: &'a PodWorker, pod: &str, container: Option<&str>) -> Result<&'a Slot, KubeletError> {
    let found = match container {
        Some(name) => worker.slots().iter().find(|slot| slot.spec.name == name),
        None => worker.slots().iter().find(|slot| !slot.init),
    };
    found.ok_or_else(|| KubeletError::ContainerNotFound {
        pod: pod.to_owned(),
        container: container.unwrap_or_default().to_owned(),
    })
}

fn not_running(slot: &Slot, pod: &str) -> KubeletError {
    KubeletError::NotRunning {
        pod: pod.to_owned(),
        container: slot.spec.name.clone(),
        reason: PodWorker::waiting_reason(slot),
    }
}

#[async_trait]
impl Kubelet for NodeAgent {
    async fn exec(
        &self,
        namespace: &str,
        pod: &str,
        container: Option<&str>,
        command: Vec<String>,
        _tty: bool,
        io: ExecIo,
    ) -> Result<i32, KubeletError> {
        let running = self.pod(namespace, pod)?;
        let slot = slot(&running.worker, pod, container)?;
        let instance = slot.state.lock().running.clone();
        let Instance { program, container } = instance.ok_or_else(|| not_running(slot, pod))?;
        // The command dies with the container, as if killed.
        let stop = container.stop.clone();
        Ok(stop.run_until_cancelled(program.exec(container, command, io)).await.unwrap_or(137))
    }

    async fn logs(
        &self,
        namespace: &str,
        pod: &str,
        container: &str,
        options: LogOptions,
    ) -> Result<mpsc::Receiver<Bytes>, KubeletError> {
        let running = self.pod(namespace, pod)?;
        let slot = slot(&running.worker, pod, Some(container))?;
        let (log, instance) = {
            let state = slot.state.lock();
            let log = if options.previous { state.previous_log.clone() } else { state.log.clone() };
            (log, state.running.clone())
        };
        let log: Log = match log {
            Some(log) => log,
            None if options.previous => {
                return Err(KubeletError::Internal(format!(
                    "previous terminated container \"{container}\" in pod \"{pod}\" not found"
                )));
            }
            None => return Err(not_running(slot, pod)),
        };
        let (sender, receiver) = mpsc::channel(16);
        let stop = instance.filter(|_| options.follow && !options.previous).map(|instance| instance.container.stop);
        self.site.tasks.spawn(async move {
            let mut lines = log.subscribe();
            let mut limit = options.limit_bytes.unwrap_or(u64::MAX);
            let (mut at, chunk) = beginning(&lines.borrow_and_update(), &options);
            let mut next = send(&sender, chunk, &mut limit).await;
            while let (Some(stop), true) = (&stop, next) {
                let alive = tokio::select! {
                    changed = lines.changed() => changed.is_ok(),
                    () = stop.cancelled() => false,
                    () = sender.closed() => return,
                };
                let chunk = since(&lines, &mut at, &options);
                next = send(&sender, chunk, &mut limit).await && alive;
            }
        });
        Ok(receiver)
    }

    async fn port_forward(&self, namespace: &str, pod: &str, port: u16) -> Result<BoxStream, KubeletError> {
        let running = self.pod(namespace, pod)?;
        let host = running.worker.host().ok_or_else(|| KubeletError::PodNotFound(pod.to_owned()))?;
        let stream = host.connect(SocketAddrV4::new(host.address(), port)).await;
        stream.map_err(|error| KubeletError::PortRefused { port, reason: error.to_string() })
    }
}

/// The lines there are, as far as the options ask for them, and where those to come begin.
fn beginning(lines: &Lines, options: &LogOptions) -> (usize, String) {
    let now = jiff::Timestamp::now();
    let after = options.since.and_then(|since| now.checked_sub(jiff::SignedDuration::try_from(since).ok()?).ok());
    let oldest = after.max(options.since_time);
    let young = |line: &&(jiff::Timestamp, String)| oldest.is_none_or(|oldest| line.0 >= oldest);
    let chosen: Vec<_> = lines.iter().filter(young).collect();
    let tail = options.tail_lines.and_then(|count| usize::try_from(count).ok()).unwrap_or(usize::MAX);
    let chosen = &chosen[chosen.len().saturating_sub(tail)..];
    (lines.len(), chosen.iter().map(|line| format_line(line, options)).collect())
}

fn since(lines: &watch::Receiver<Lines>, at: &mut usize, options: &LogOptions) -> String {
    let lines = lines.borrow();
    let text = lines.iter().skip(*at).map(|line| format_line(line, options)).collect();
    *at = lines.len();
    text
}

fn format_line((time, line): &(jiff::Timestamp, String), options: &LogOptions) -> String {
    if options.timestamps { format!("{time} {line}\n") } else { format!("{line}\n") }
}

/// Sends text within the limit. Returns whether more may follow.
async fn send(sender: &mpsc::Sender<Bytes>, text: String, limit: &mut u64) -> bool {
    let length = usize::try_from(*limit).unwrap_or(usize::MAX).min(text.len());
    *limit = limit.saturating_sub(u64::try_from(length).unwrap_or(u64::MAX));
    let mut chunk = Bytes::from(text);
    chunk.truncate(length);
    (chunk.is_empty() || sender.send(chunk).await.is_ok()) && *limit > 0
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::all(LogOptions::default(), "old\nmiddle\nnew\n")]
    #[case::tail(LogOptions { tail_lines: Some(2), ..LogOptions::default() }, "middle\nnew\n")]
    #[case::none(LogOptions { tail_lines: Some(0), ..LogOptions::default() }, "")]
    #[case::since(LogOptions { since: Some(Duration::from_secs(60)), ..LogOptions::default() }, "middle\nnew\n")]
    fn a_log_begins_where_it_is_asked_to(#[case] options: LogOptions, #[case] expected: &str) {
        let now = jiff::Timestamp::now();
        let line = |age: i64, text: &str| (now - jiff::SignedDuration::from_secs(age), text.to_owned());
        let lines = vec![line(3600, "old"), line(30, "middle"), line(1, "new")];
        assert_eq!(beginning(&lines, &options), (3, expected.to_owned()));
    }

    #[tokio::test]
    async fn a_log_ends_at_its_limit() {
        let (sender, mut receiver) = mpsc::channel(4);
        let mut limit = 5;
        assert!(send(&sender, "abc".to_owned(), &mut limit).await);
        assert!(!send(&sender, "def".to_owned(), &mut limit).await);
        drop(sender);
        let mut all = Vec::new();
        while let Some(chunk) = receiver.recv().await {
            all.extend_from_slice(&chunk);
        }
        assert_eq!(all, b"abcde");
    }
}
