//! Watch: the changes of a collection from a revision on, as a stream of JSON lines.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http::{Response, header};
use serde_json::{Value, json};
use tokio::sync::watch;

use super::Shared;
use super::read::{Selection, rendered};
use super::request::{Query, Shape, Target};
use super::status::ApiError;
use super::store::Change;

/// How long a watch lasts when the client says nothing: the real server picks 30 to 60 minutes.
const LONGEST: Duration = Duration::from_secs(1800);

struct Watch {
    shared: Arc<Shared>,
    target: Target,
    selection: Selection,
    shape: Shape,
    seen: u64,
    pending: VecDeque<Bytes>,
    notify: watch::Receiver<u64>,
    ends: tokio::time::Instant,
    over: bool,
}

impl Shared {
    pub(super) fn watch(
        self: &Arc<Self>,
        target: &Target,
        query: &Query,
        shape: Shape,
    ) -> Result<Response<Body>, ApiError> {
        let selection = Selection::of(query, &target.ty)?;
        let asked = query.get("resourceVersion").unwrap_or_default();
        let from = match asked {
            "" | "0" => None,
            text => Some(
                text.parse::<u64>().map_err(|_| ApiError::bad_request(format!("invalid resource version {text:?}")))?,
            ),
        };
        let streaming = query.flag("sendInitialEvents");
        let timeout = query.number("timeoutSeconds")?.map_or(LONGEST, Duration::from_secs);
        let mut pending = VecDeque::new();
        let begun = self.store.with(|state| {
            let notify = state.subscribe(target.table)?;
            let now = state.revision();
            if from.is_none() || streaming {
                let all = state.scan(target.table, target.namespace.as_deref(), None);
                pending.extend(
                    all.filter(|it| selection.matches(it.value()))
                        .map(|it| line("ADDED", &rendered(target, it, shape))),
                );
            }
            Some((notify, if streaming { now } else { from.unwrap_or(now) }, now))
        });
        let (notify, seen, now) = begun.ok_or_else(|| ApiError::not_found(&target.ty, ""))?;
        if streaming {
            pending.push_back(initial_events_end(target, now));
        }
        let ends = tokio::time::Instant::now() + timeout;
        let watch = Watch {
            shared: self.clone(),
            target: target.clone(),
            selection,
            shape,
            seen,
            pending,
            notify,
            ends,
            over: false,
        };
        let lines = futures::stream::unfold(watch, |mut watch| async move {
            let line = watch.next().await?;
            Some((Ok::<_, Infallible>(line), watch))
        });
        let mut response = Response::new(Body::from_stream(lines));
        response.headers_mut().insert(header::CONTENT_TYPE, http::HeaderValue::from_static("application/json"));
        Ok(response)
    }
}

fn line(kind: &str, object: &[u8]) -> Bytes {
    let mut line = Vec::with_capacity(object.len() + 40);
    line.extend_from_slice(format!("{{\"type\":\"{kind}\",\"object\":").as_bytes());
    line.extend_from_slice(object);
    line.extend_from_slice(b"}\n");
    line.into()
}

/// The bookmark that ends the initial events of a streaming list (KEP-3157).
fn initial_events_end(target: &Target, revision: u64) -> Bytes {
    let bookmark = json!({
        "apiVersion": target.api_version(),
        "kind": target.ty.kind,
        "metadata": {
            "resourceVersion": revision.to_string(),
            "annotations": { "k8s.io/initial-events-end": "true" },
        },
    });
    line("BOOKMARK", bookmark.to_string().as_bytes())
}

impl Watch {
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Some(line) = self.pending.pop_front() {
                return Some(line);
            }
            if self.over {
                return None;
            }
            // Marked as seen before reading, so that no change after the reading is missed.
            self.notify.borrow_and_update();
            self.read();
            if !self.pending.is_empty() || self.over {
                continue;
            }
            let stop = self.shared.stop.clone();
            tokio::select! {
                changed = self.notify.changed() => {
                    if changed.is_err() {
                        return None;
                    }
                }
                () = tokio::time::sleep_until(self.ends) => return None,
                () = stop.cancelled() => return None,
            }
        }
    }

    fn read(&mut self) {
        let (changes, served) = self
            .shared
            .store
            .with(|state| (state.changes_since(self.target.table, self.seen), state.is_served(self.target.table)));
        match changes {
            Ok(changes) => {
                for change in changes {
                    self.seen = change.revision;
                    if let Some(line) = self.event(&change) {
                        self.pending.push_back(line);
                    }
                }
                self.over = !served;
            }
            Err(too_old) => {
                let why = format!("too old resource version: {} ({})", self.seen, too_old.oldest);
                let status = ApiError::expired(why).to_value().to_string();
                self.pending.push_back(line("ERROR", status.as_bytes()));
                self.over = true;
            }
        }
    }

    /// What a change is to this watch: an object that begins or ceases to match comes or goes.
    fn event(&self, change: &Change) -> Option<Bytes> {
        let here = |value: &Value| {
            let namespace = super::object::namespace(value);
            self.target.namespace.as_deref().is_none_or(|wanted| wanted == namespace) && self.selection.matches(value)
        };
        let before = change.previous.as_ref().is_some_and(|it| here(it.value()));
        let after = !change.deleted && here(change.object.value());
        let kind = match (before, after) {
            (false, false) => return None,
            (false, true) => "ADDED",
            (true, true) => "MODIFIED",
            (true, false) => "DELETED",
        };
        Some(line(kind, &rendered(&self.target, &change.object, self.shape)))
    }
}
