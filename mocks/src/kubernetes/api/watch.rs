//! Watches: a stream of events, one JSON object a line.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use futures::Stream;
use http::{Response, StatusCode};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::Instant;

use super::Shared;
use super::object::{self, Object};
use super::read::{Selection, render, respond};
use super::request::{Request, Shape, Target};
use super::status::ApiError;
use super::store::Change;

/// How often an idle watch that asks for bookmarks gets one, as on the real server.
const BOOKMARK_INTERVAL: Duration = Duration::from_secs(60);
/// How long a watch lives that does not say, at least, on the real server.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30 * 60);

struct Watch {
    shared: Arc<Shared>,
    target: Target,
    selection: Selection,
    name: Option<String>,
    shape: Shape,
    bookmarks: bool,
    /// Revision up to which changes have been sent.
    seen: u64,
    notify: watch::Receiver<u64>,
    pending: VecDeque<Bytes>,
    deadline: Instant,
    next_bookmark: Instant,
    ended: bool,
}

impl Shared {
    /// Starts a watch.
    pub(super) fn watch(self: &Arc<Self>, target: &Target, request: &Request) -> Result<Response<Body>, ApiError> {
        let query = &request.query;
        let selection = Selection::parse(target, query)?;
        let shape = request.shape()?;
        let bookmarks = query.flag("allowWatchBookmarks");
        let from = query.number("resourceVersion")?.unwrap_or_default();
        let send_initial = query.get("sendInitialEvents") == Some("true");
        let timeout = query.number("timeoutSeconds")?.map_or(DEFAULT_TIMEOUT, Duration::from_secs);
        let now = Instant::now();
        let deadline = now.checked_add(timeout).unwrap_or(now + DEFAULT_TIMEOUT);
        // Without a revision, or from zero, a watch starts with what there is.
        let initial = from == 0 && query.get("sendInitialEvents") != Some("false") || send_initial;
        let (objects, revision, notify) = self.store.with(|state| {
            let objects: Vec<Arc<Object>> = if initial {
                state.scan(target.table, target.namespace.as_deref(), None).cloned().collect()
            } else {
                Vec::new()
            };
            (objects, state.revision(), state.subscribe(target.table))
        });
        let notify = notify.ok_or_else(|| ApiError::internal("the type is gone"))?;
        let mut watch = Watch {
            shared: self.clone(),
            target: target.clone(),
            selection,
            name: target.name.clone(),
            shape,
            bookmarks,
            seen: if initial || from == 0 { revision } else { from },
            notify,
            pending: VecDeque::new(),
            deadline,
            next_bookmark: now + BOOKMARK_INTERVAL,
            ended: false,
        };
        let selected = objects.iter().filter(|object| watch.selects(object));
        watch.pending = selected.map(|object| watch.event("ADDED", object)).collect();
        if send_initial && bookmarks {
            let bookmark = watch.bookmark(Some(json!({ "k8s.io/initial-events-end": "true" })));
            watch.pending.push_back(bookmark);
        }
        Ok(respond(StatusCode::OK, Body::from_stream(watch.stream())))
    }
}

impl Watch {
    fn stream(self) -> impl Stream<Item = Result<Bytes, std::convert::Infallible>> + Send {
        futures::stream::unfold(self, |mut watch| async move { Some((Ok(watch.next().await?), watch)) })
    }

    /// The next chunk: all events that are there.
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if !self.pending.is_empty() {
                if self.pending.len() == 1 {
                    return self.pending.pop_front();
                }
                let mut chunk = Vec::with_capacity(self.pending.iter().map(Bytes::len).sum());
                self.pending.drain(..).for_each(|event| chunk.extend_from_slice(&event));
                return Some(chunk.into());
            }
            if self.ended {
                return None;
            }
            // Marked before the log is read: a change after that wakes the wait below.
            self.notify.borrow_and_update();
            self.collect();
            if !self.pending.is_empty() || self.ended {
                continue;
            }
            let bookmark = self.next_bookmark.min(self.deadline);
            tokio::select! {
                () = self.shared.stop.cancelled() => return None,
                changed = self.notify.changed() => if changed.is_err() { return None },
                () = tokio::time::sleep_until(bookmark) => {
                    if self.bookmarks {
                        let bookmark = self.bookmark(None);
                        self.pending.push_back(bookmark);
                    }
                    self.next_bookmark = Instant::now() + BOOKMARK_INTERVAL;
                    self.ended = Instant::now() >= self.deadline;
                }
            }
        }
    }

    /// Turns the changes since the last ones into events.
    fn collect(&mut self) {
        let (changes, served, revision) = self.shared.store.with(|state| {
            let changes = state.changes_since(self.target.table, self.seen);
            (changes, state.is_served(self.target.table), state.revision())
        });
        match changes {
            Ok(changes) => {
                for change in changes {
                    if let Some(event) = self.translate(&change) {
                        self.pending.push_back(event);
                    }
                    self.seen = change.revision;
                }
                // The revision of a bookmark is the server's, unless the client is ahead of it.
                self.seen = self.seen.max(revision);
                self.ended = !served;
            }
            Err(too_old) => {
                let error = ApiError::expired(format!("too old resource version: {} ({})", self.seen, too_old.oldest));
                self.pending.push_back(line("ERROR", error.to_value().to_string().as_bytes()));
                self.ended = true;
            }
        }
    }

    /// The event of a change for this watch: an object that begins or ceases to match is added or deleted.
    fn translate(&self, change: &Change) -> Option<Bytes> {
        let before = change.previous.as_ref().is_some_and(|object| self.selects(object));
        let after = !change.deleted && self.selects(&change.object);
        let kind = match (before, after) {
            (false, false) => return None,
            (false, true) => "ADDED",
            (true, true) => "MODIFIED",
            (true, false) => "DELETED",
        };
        Some(self.event(kind, &change.object))
    }

    fn selects(&self, object: &Object) -> bool {
        let value = object.value();
        self.target.namespace.as_deref().is_none_or(|namespace| namespace == object::namespace(value))
            && self.name.as_deref().is_none_or(|name| name == object::name(value))
            && self.selection.matches(value)
    }

    fn event(&self, kind: &str, object: &Object) -> Bytes {
        line(kind, &render(&self.target, object, self.shape))
    }

    fn bookmark(&self, annotations: Option<Value>) -> Bytes {
        let mut metadata = json!({ "resourceVersion": self.seen.to_string(), "creationTimestamp": null });
        if let Some(annotations) = annotations {
            metadata["annotations"] = annotations;
        }
        let (kind, api_version) = match self.shape {
            Shape::Metadata => ("PartialObjectMetadata", "meta.k8s.io/v1".to_owned()),
            Shape::Table | Shape::Object => (&*self.target.ty.kind, self.target.api_version()),
        };
        let object = json!({ "kind": kind, "apiVersion": api_version, "metadata": metadata });
        line("BOOKMARK", object.to_string().as_bytes())
    }
}

fn line(kind: &str, object: &[u8]) -> Bytes {
    let mut line = Vec::with_capacity(object.len() + 40);
    line.extend_from_slice(b"{\"type\":\"");
    line.extend_from_slice(kind.as_bytes());
    line.extend_from_slice(b"\",\"object\":");
    line.extend_from_slice(object);
    line.extend_from_slice(b"}\n");
    line.into()
}
