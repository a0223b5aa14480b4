//! The four kinds of PATCH.

pub(super) mod apply;
mod lists;
mod managed;
mod strategic;

use serde_json::Value;

pub(super) use lists::Schema;
pub(super) use managed::track_update;

use super::status::ApiError;

/// A parsed patch.
#[derive(Debug, Clone)]
pub(super) enum Patch {
    /// RFC 6902.
    Json(json_patch::Patch),
    /// RFC 7386.
    Merge(Value),
    /// Kubernetes' own: a merge patch that merges lists of the known types by their keys.
    Strategic(Value),
    /// Server-side apply.
    Apply(Value),
}

impl Patch {
    /// Parses the body of a request by its content type (without parameters).
    pub(super) fn parse(content_type: &str, body: &[u8]) -> Result<Self, ApiError> {
        let json = || serde_json::from_slice::<Value>(body).map_err(|error| invalid_body(&error.to_string()));
        match content_type {
            "application/json-patch+json" => {
                serde_json::from_slice(body).map(Patch::Json).map_err(|error| invalid_body(&error.to_string()))
            }
            "application/merge-patch+json" => json().map(Patch::Merge),
            "application/strategic-merge-patch+json" => json().map(Patch::Strategic),
            "application/apply-patch+yaml" => super::request::parse_body(body).map(Patch::Apply),
            other => Err(ApiError::unsupported_media_type(format!(
                "the body of the request was in an unknown format - accepted media types include: \
                 application/json-patch+json, application/merge-patch+json, application/strategic-merge-patch+json, \
                 application/apply-patch+yaml (got {other:?})"
            ))),
        }
    }

    /// Applies any kind but server-side apply, which needs to know more ([`apply::apply`]).
    pub(super) fn patched(&self, current: &Value, schema: &Schema<'_>) -> Result<Value, ApiError> {
        let mut patched = current.clone();
        match self {
            Patch::Json(patch) => json_patch::patch(&mut patched, patch).map_err(|_| {
                let mut error = ApiError::bad_request("the server rejected our request due to an error in our request");
                (error.code, error.reason) = (422, "Invalid");
                error
            })?,
            Patch::Merge(patch) => json_patch::merge(&mut patched, patch),
            Patch::Strategic(patch) => match schema {
                Schema::Builtin(_) => strategic::merge(&mut patched, patch, schema).map_err(ApiError::bad_request)?,
                Schema::Custom(_) => {
                    return Err(ApiError::unsupported_media_type(
                        "the body of the request was in an unknown format - accepted media types include: \
                         application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml",
                    ));
                }
            },
            Patch::Apply(_) => return Err(ApiError::internal("server-side apply is not a plain patch")),
        }
        if !patched.is_object() {
            return Err(invalid_body("the patched object is no JSON object"));
        }
        Ok(patched)
    }
}

fn invalid_body(why: &str) -> ApiError {
    ApiError::bad_request(format!("error decoding patch: {why}"))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Map, json};

    use super::*;

    fn value() -> impl Strategy<Value = Value> {
        let leaf =
            prop_oneof![Just(json!(true)), any::<i32>().prop_map(|n| json!(n)), "[a-z]{0,4}".prop_map(|s| json!(s))];
        leaf.prop_recursive(3, 16, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..3).prop_map(Value::Array),
                prop::collection::btree_map("[a-d]", inner, 0..4)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    fn object() -> impl Strategy<Value = Value> {
        prop::collection::btree_map("[a-d]", value(), 0..4).prop_map(|map| Value::Object(map.into_iter().collect()))
    }

    /// The merge patch from one object to another, neither with nulls.
    fn merge_diff(from: &Value, to: &Value) -> Value {
        match (from, to) {
            (Value::Object(from), Value::Object(to)) => {
                let mut patch = Map::new();
                for key in from.keys().filter(|key| !to.contains_key(*key)) {
                    patch.insert(key.clone(), Value::Null);
                }
                for (key, value) in to {
                    match from.get(key) {
                        Some(old) if old == value => {}
                        Some(old) => drop(patch.insert(key.clone(), merge_diff(old, value))),
                        None => drop(patch.insert(key.clone(), value.clone())),
                    }
                }
                Value::Object(patch)
            }
            _ => to.clone(),
        }
    }

    proptest! {
        #[test]
        fn a_merge_patch_from_a_difference_gives_the_target(from in object(), to in object()) {
            let patch = merge_diff(&from, &to).to_string();
            let patch = Patch::parse("application/merge-patch+json", patch.as_bytes()).unwrap();
            prop_assert_eq!(patch.patched(&from, &Schema::Builtin("ConfigMap")).unwrap(), to);
        }

        #[test]
        fn a_json_patch_from_a_difference_gives_the_target(from in object(), to in object()) {
            let patch = serde_json::to_vec(&json_patch::diff(&from, &to)).unwrap();
            let patch = Patch::parse("application/json-patch+json", &patch).unwrap();
            prop_assert_eq!(patch.patched(&from, &Schema::Builtin("ConfigMap")).unwrap(), to);
        }
    }

    #[test]
    fn a_json_patch_whose_test_fails_changes_nothing() {
        let patch = br#"[{"op":"test","path":"/a","value":1},{"op":"remove","path":"/a"}]"#;
        let patch = Patch::parse("application/json-patch+json", patch).unwrap();
        let error = patch.patched(&json!({ "a": 2 }), &Schema::Builtin("ConfigMap")).unwrap_err();
        assert_eq!((error.code, error.reason), (422, "Invalid"));
    }

    #[test]
    fn what_is_no_patch_is_refused() {
        assert_eq!(Patch::parse("application/json", b"{}").unwrap_err().code, 415);
        assert_eq!(Patch::parse("application/merge-patch+json", b"{").unwrap_err().code, 400);
        let patch = Patch::parse("application/merge-patch+json", b"1").unwrap();
        assert_eq!(patch.patched(&json!({}), &Schema::Builtin("ConfigMap")).unwrap_err().code, 400);
    }
}
