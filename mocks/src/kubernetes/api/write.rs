//! Create, update, patch: from what a client sent to a stored revision.

use std::sync::Arc;

use rand::Rng as _;
use serde_json::{Value, json};

use super::Shared;
use super::crd;
use super::defaults::{self, AllocationError};
use super::object::{self, Object, metadata_mut, object_mut, text};
use super::patch::{Patch, Schema, apply, track_update};
use super::request::{FieldValidation, Target, WriteOptions};
use super::resources::ResourceType;
use super::status::{ApiError, FieldError};
use super::store::{Key, State};
use super::validation;

/// An object that was written, and the warnings for the client.
pub(super) struct Written {
    pub(super) object: Arc<Object>,
    pub(super) warnings: Vec<String>,
    pub(super) created: bool,
}

/// How often a patch is tried again on a newer revision.
const PATCH_ATTEMPTS: usize = 16;

/// Metadata that only the server sets.
const SERVER_METADATA: [&str; 7] = [
    "uid",
    "resourceVersion",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "generation",
    "selfLink",
];

impl Shared {
    pub(super) fn create(&self, target: &Target, body: Value, options: &WriteOptions) -> Result<Written, ApiError> {
        self.create_managed(target, body, None, options)
    }

    fn create_managed(
        &self,
        target: &Target,
        body: Value,
        managed: Option<Value>,
        options: &WriteOptions,
    ) -> Result<Written, ApiError> {
        let ty = &*target.ty;
        let mut warnings = Vec::new();
        let mut value = decode(target, body, options.validation, &mut warnings)?;
        if !object::meta(&value, "resourceVersion").is_empty() {
            return Err(ApiError::internal("resourceVersion should not be set on objects to be created"));
        }
        let namespace = target.namespace.clone().unwrap_or_default();
        let metadata = metadata_mut(&mut value);
        for field in SERVER_METADATA {
            metadata.shift_remove(field);
        }
        metadata.shift_remove("managedFields");
        if let Some(managed) = managed {
            metadata.insert("managedFields".to_owned(), managed);
        }
        match metadata.get("namespace").and_then(Value::as_str) {
            Some(given) if !given.is_empty() && given != namespace => {
                let why = "the namespace of the provided object does not match the namespace sent on the request";
                return Err(ApiError::bad_request(why));
            }
            _ => {}
        }
        if ty.namespaced {
            metadata.insert("namespace".to_owned(), json!(namespace));
        }
        let generate = metadata.get("generateName").and_then(Value::as_str).unwrap_or_default().to_owned();
        let named = metadata.get("name").and_then(Value::as_str).is_some_and(|name| !name.is_empty());
        if !named && !generate.is_empty() {
            metadata.insert("name".to_owned(), json!(generated_name(&generate)));
        }
        metadata.insert("uid".to_owned(), json!(uuid::Uuid::new_v4().to_string()));
        metadata.insert("creationTimestamp".to_owned(), json!(object::now()));
        if ty.generation {
            metadata.insert("generation".to_owned(), json!(1));
        }
        let has_status = ty.version(&target.version).is_some_and(|version| version.status);
        // A kubelet registers its Node with its status in one request (upstream's node strategy keeps it).
        if has_status
            && !ty.is("", "Node")
            && let Some(map) = value.as_object_mut()
        {
            map.shift_remove("status");
        }
        if ty.namespaced {
            let name = object::name(&value);
            self.store.with(|state| namespace_accepts(state, ty, &namespace, name))?;
        }
        if ty.is_builtin() {
            defaults::apply(ty, &mut value);
            defaults::on_create(ty, &mut value);
        }
        if ty.kind == "CustomResourceDefinition" {
            crd::add_finalizer(&mut value);
        }
        check(target, &value, None)?;
        let name = object::name(&value).to_owned();
        let key = target.key(&name);
        let object = self.store.with(|state| {
            if ty.namespaced {
                namespace_accepts(state, ty, &namespace, &name)?;
            }
            if state.get(&key).is_some() {
                return Err(ApiError::already_exists(ty, &name));
            }
            self.allocate(state, ty, &key, &mut value)?;
            Ok(if options.dry_run { Object::new(value, state.revision()) } else { commit(state, ty, &key, value) })
        })?;
        Ok(Written { object, warnings, created: true })
    }

    /// PUT of an object or its status.
    pub(super) fn replace(&self, target: &Target, body: Value, options: &WriteOptions) -> Result<Written, ApiError> {
        let ty = &*target.ty;
        let name = target.name.as_deref().unwrap_or_default();
        let mut warnings = Vec::new();
        let mut value = decode(target, body, options.validation, &mut warnings)?;
        if object::name(&value) != name {
            let why = format!(
                "the name of the object ({}) does not match the name on the URL ({name})",
                object::name(&value)
            );
            return Err(ApiError::bad_request(why));
        }
        let given = object::namespace(&value);
        if ty.namespaced && !given.is_empty() && Some(given) != target.namespace.as_deref() {
            let why = "the namespace of the provided object does not match the namespace sent on the request";
            return Err(ApiError::bad_request(why));
        }
        let revision = object::meta(&value, "resourceVersion").to_owned();
        if revision.is_empty() && !ty.is_builtin() {
            let error = FieldError::invalid("metadata.resourceVersion", &json!(0), "must be specified for an update");
            return Err(ApiError::invalid(ty, name, &[error]));
        }
        if ty.is("", "Service") && target.subresource.is_none() {
            let key = target.key(name);
            if let Some(old) = self.store.get(&key) {
                defaults::merge_previous(old.value(), &mut value);
            }
        }
        let mut written = self.update(target, options, |_| Ok(value.clone()))?;
        written.warnings.append(&mut warnings);
        Ok(written)
    }

    /// PATCH of an object or its status.
    pub(super) fn patch(&self, target: &Target, patch: &Patch, options: &WriteOptions) -> Result<Written, ApiError> {
        let name = target.name.as_deref().unwrap_or_default();
        if let Patch::Apply(config) = patch {
            return self.apply(target, config.clone(), options);
        }
        let mut warnings = Vec::new();
        let mut written = self.update(target, options, |current| {
            let mut current = current.clone();
            set_api_version(&mut current, &target.api_version());
            let patched = patch.patched(&current, &schema_of(target))?;
            warnings.clear();
            let patched = decode(target, patched, options.validation, &mut warnings)?;
            if object::name(&patched) != name {
                let error = FieldError::invalid("metadata.name", &json!(object::name(&patched)), "field is immutable");
                return Err(ApiError::invalid(&target.ty, name, &[error]));
            }
            Ok(patched)
        })?;
        written.warnings.append(&mut warnings);
        Ok(written)
    }

    fn apply(&self, target: &Target, config: Value, options: &WriteOptions) -> Result<Written, ApiError> {
        let ty = &*target.ty;
        let name = target.name.as_deref().unwrap_or_default();
        let mut warnings = Vec::new();
        let expected = (target.api_version(), ty.kind.to_string());
        let given = (text(&config, "/apiVersion").to_owned(), text(&config, "/kind").to_owned());
        if given != expected {
            return Err(ApiError::bad_request(format!(
                "the applied object is {} {}, the request is for {} {}",
                given.0, given.1, expected.0, expected.1
            )));
        }
        // Decoding drops what the type does not have; defaults are not the applier's.
        let mut config = decode(target, config, options.validation, &mut warnings)?;
        set_api_version(&mut config, &target.api_version());
        let given_name = object::name(&config);
        if !given_name.is_empty() && given_name != name {
            let why = format!("metadata.name ({given_name}) does not match the name on the URL ({name})");
            return Err(ApiError::bad_request(why));
        }
        let revision = object::meta(&config, "resourceVersion").to_owned();
        let metadata = metadata_mut(&mut config);
        for field in SERVER_METADATA {
            metadata.shift_remove(field);
        }
        metadata.insert("name".to_owned(), json!(name));
        if let Some(namespace) = &target.namespace {
            metadata.insert("namespace".to_owned(), json!(namespace));
        }
        let subresource = target.subresource.as_deref().unwrap_or_default();
        let has_status = ty.version(&target.version).is_some_and(|version| version.status);
        if let Some(map) = config.as_object_mut() {
            if subresource == "status" {
                map.retain(|key, _| ["apiVersion", "kind", "metadata", "status"].contains(&key.as_str()));
            } else if has_status {
                map.shift_remove("status");
            }
        }
        let applier = apply::Applier { manager: &options.manager, subresource, force: options.force };
        let schema = schema_of(target);
        for _ in 0..PATCH_ATTEMPTS {
            if self.store.get(&target.key(name)).is_none() {
                if !subresource.is_empty() || !revision.is_empty() {
                    return Err(ApiError::not_found(ty, name));
                }
                let made = apply::apply(None, &config, applier, &schema)?;
                let managed = made.pointer("/metadata/managedFields").cloned();
                match self.create_managed(target, made, managed, options) {
                    Err(error) if error.reason == "AlreadyExists" => continue,
                    Ok(mut written) => {
                        written.warnings.append(&mut warnings);
                        return Ok(written);
                    }
                    Err(error) => return Err(error),
                }
            }
            let result = self.update_managed(target, options, |current| {
                if !revision.is_empty() && object::meta(current, "resourceVersion") != revision {
                    return Err(ApiError::modified(ty, name));
                }
                let mut current = current.clone();
                set_api_version(&mut current, &target.api_version());
                let applied = apply::apply(Some(&current), &config, applier, &schema)?;
                decode(target, applied, FieldValidation::Ignore, &mut Vec::new())
            });
            match result {
                // Deleted since: applying makes it again.
                Err(error) if error.reason == "NotFound" && subresource.is_empty() => {}
                Ok(mut written) => {
                    written.warnings.append(&mut warnings);
                    return Ok(written);
                }
                Err(error) => return Err(error),
            }
        }
        Err(ApiError::modified(ty, name))
    }

    /// Changes an object, recording the change for the objects that carry managed fields.
    pub(super) fn update(
        &self,
        target: &Target,
        options: &WriteOptions,
        mut change: impl FnMut(&Value) -> Result<Value, ApiError>,
    ) -> Result<Written, ApiError> {
        let subresource = target.subresource.clone().unwrap_or_default();
        self.update_managed(target, options, |current| {
            let mut changed = change(current)?;
            track_update(current, &mut changed, &options.manager, &subresource, &schema_of(target));
            Ok(changed)
        })
    }

    fn update_managed(
        &self,
        target: &Target,
        options: &WriteOptions,
        mut change: impl FnMut(&Value) -> Result<Value, ApiError>,
    ) -> Result<Written, ApiError> {
        let ty = &*target.ty;
        let name = target.name.as_deref().unwrap_or_default();
        let key = target.key(name);
        for _ in 0..PATCH_ATTEMPTS {
            let current = self.store.get(&key).ok_or_else(|| ApiError::not_found(ty, name))?;
            let new = change(current.value())?;
            let revision = object::meta(&new, "resourceVersion");
            if !revision.is_empty() && revision != object::meta(current.value(), "resourceVersion") {
                return Err(ApiError::modified(ty, name));
            }
            let mut new = prepare_update(target, current.value(), new)?;
            let unchanged = |new: &Value| {
                new == current.value()
                    || (new.pointer("/metadata/managedFields").is_some() && same_but_times(new, current.value()))
            };
            if unchanged(&new) {
                return Ok(Written { object: current, warnings: Vec::new(), created: false });
            }
            check(target, &new, Some(current.value()))?;
            let stored = self.store.with(|state| {
                match state.get(&key) {
                    Some(now) if now.revision() == current.revision() => {}
                    Some(_) => return Ok(None),
                    None => return Err(ApiError::not_found(ty, name)),
                }
                self.allocate(state, ty, &key, &mut new)?;
                if options.dry_run {
                    return Ok(Some(Object::new(new, state.revision())));
                }
                if is_finished(&new) {
                    return Ok(retire(state, ty, &key, new));
                }
                Ok(Some(commit(state, ty, &key, new)))
            })?;
            if let Some(object) = stored {
                return Ok(Written { object, warnings: Vec::new(), created: false });
            }
        }
        Err(ApiError::modified(ty, name))
    }

    /// Gives a Service its addresses. Part of the commit, so that none is given twice.
    fn allocate(&self, state: &State, ty: &ResourceType, key: &Key, value: &mut Value) -> Result<(), ApiError> {
        if !ty.is("", "Service") {
            return Ok(());
        }
        let others: Vec<Arc<Object>> = state.scan(key.table, None, None).cloned().collect();
        let others = others.iter().map(|service| service.value()).filter(|service| {
            (object::namespace(service), object::name(service)) != (key.namespace.as_str(), key.name.as_str())
        });
        defaults::allocate(value, others, self.config.service_cidr).map_err(|error| match error {
            AllocationError::Invalid(field, found, why) => {
                ApiError::invalid(ty, &key.name, &[FieldError::invalid(field, &found, &why)])
            }
            AllocationError::Full(why) => ApiError::internal(why),
        })
    }
}

/// Stores an object, and serves the type that a CustomResourceDefinition describes.
pub(super) fn commit(state: &mut State, ty: &ResourceType, key: &Key, value: Value) -> Arc<Object> {
    if ty.kind == "CustomResourceDefinition"
        && let Some(custom) = crd::resource_type(&value)
    {
        state.serve(custom);
    }
    state.put(key, value)
}

/// Removes an object, and stops to serve the type that a CustomResourceDefinition describes. With the object's last
/// change, if it differs from what is stored.
pub(super) fn retire(state: &mut State, ty: &ResourceType, key: &Key, last: Value) -> Option<Arc<Object>> {
    if state.get(key).is_some_and(|object| *object.value() != last) {
        state.put(key, last);
    }
    let removed = state.remove(key);
    if ty.kind == "CustomResourceDefinition"
        && let Some(object) = &removed
    {
        state.unserve(text(object.value(), "/spec/group"), text(object.value(), "/spec/names/plural"));
    }
    removed
}

/// Whether a deleted object has nothing to wait for.
pub(super) fn is_finished(value: &Value) -> bool {
    object::is_deleting(value)
        && object::finalizers(value).next().is_none()
        && value.pointer("/metadata/deletionGracePeriodSeconds").and_then(Value::as_i64).unwrap_or_default() == 0
        && !(text(value, "/kind") == "Namespace"
            && value.pointer("/spec/finalizers").and_then(Value::as_array).is_some_and(|list| !list.is_empty()))
}

fn same_but_times(a: &Value, b: &Value) -> bool {
    let timeless = |value: &Value| {
        let mut value = value.clone();
        for entry in value.pointer_mut("/metadata/managedFields").and_then(Value::as_array_mut).into_iter().flatten() {
            if let Some(entry) = entry.as_object_mut() {
                entry.shift_remove("time");
            }
        }
        value
    };
    timeless(a) == timeless(b)
}

/// How the lists of the target's type merge.
fn schema_of(target: &Target) -> Schema<'_> {
    if target.ty.is_builtin() {
        Schema::Builtin(&target.ty.kind)
    } else {
        Schema::Custom(target.ty.version(&target.version).and_then(|version| version.schema.as_deref()))
    }
}

fn namespace_accepts(state: &State, ty: &ResourceType, namespace: &str, name: &str) -> Result<(), ApiError> {
    match state.get_builtin("", "namespaces", "", namespace) {
        None => Err(ApiError::namespace_not_found(namespace)),
        Some(found) if object::is_deleting(found.value()) => Err(ApiError::namespace_terminating(ty, name, namespace)),
        Some(_) => Ok(()),
    }
}

/// Five characters of the alphabet that Kubernetes uses, after at most 58 of the prefix.
fn generated_name(prefix: &str) -> String {
    const ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
    let mut name: String = prefix.chars().take(58).collect();
    let mut random = rand::rng();
    name.extend((0..5).filter_map(|_| ALPHABET.get(random.random_range(0..ALPHABET.len())).map(|c| char::from(*c))));
    name
}

fn set_api_version(value: &mut Value, api_version: &str) {
    if text(value, "/apiVersion") != api_version
        && let Some(map) = value.as_object_mut()
    {
        map.insert("apiVersion".to_owned(), json!(api_version));
    }
}

/// Checks kind and version, drops what the type does not have, and writes the object in its storage version.
fn decode(
    target: &Target,
    mut value: Value,
    validation: FieldValidation,
    warnings: &mut Vec<String>,
) -> Result<Value, ApiError> {
    let ty = &*target.ty;
    let api_version = target.api_version();
    for (field, expected) in [("apiVersion", api_version.as_str()), ("kind", &*ty.kind)] {
        match value.get(field).and_then(Value::as_str).filter(|given| !given.is_empty()) {
            None => {
                if let Some(map) = value.as_object_mut() {
                    map.insert(field.to_owned(), json!(expected));
                }
            }
            Some(given) if given == expected => {}
            Some(given) => {
                let what = if field == "kind" { "kind" } else { "API version" };
                return Err(ApiError::bad_request(format!(
                    "the {what} in the data ({given}) does not match the expected {what} ({expected})"
                )));
            }
        }
    }
    let undecodable = |why: String| {
        let (kind, version) = (&ty.kind, &target.version);
        ApiError::bad_request(format!("{kind} in version {version:?} cannot be handled as a {kind}: {why}"))
    };
    let mut unknown = Vec::new();
    let decoded = match ty.decode {
        Some(decode) => {
            let given = value.clone();
            let mut decoded = decode(value).map_err(|error| undecodable(error.to_string()))?;
            if validation != FieldValidation::Ignore {
                unknown_fields(&given, &decoded, "", &mut unknown);
            }
            keep_given(&given, &mut decoded);
            decoded
        }
        None => {
            if !value.get("metadata").is_none_or(Value::is_object) {
                return Err(undecodable("metadata is no object".to_owned()));
            }
            if let Some(schema) = ty.version(&target.version).and_then(|version| version.schema.as_deref()) {
                crd::default_and_prune(schema, &mut value, &mut unknown);
            }
            set_api_version(&mut value, &ty.api_version(&ty.version));
            value
        }
    };
    if !unknown.is_empty() {
        let list = unknown.iter().map(|field| format!("unknown field {field:?}"));
        match validation {
            FieldValidation::Ignore => {}
            FieldValidation::Warn => warnings.extend(list),
            FieldValidation::Strict => {
                let list = list.collect::<Vec<_>>().join(", ");
                return Err(undecodable(format!("strict decoding error: {list}")));
            }
        }
    }
    Ok(decoded)
}

/// Paths of what was given and is gone after decoding. Nulls and what decodes to something else are not unknown.
fn unknown_fields(given: &Value, decoded: &Value, path: &str, unknown: &mut Vec<String>) {
    match (given, decoded) {
        (Value::Object(given), Value::Object(decoded)) => {
            for (key, value) in given {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                match decoded.get(key) {
                    Some(decoded) => unknown_fields(value, decoded, &path, unknown),
                    None if value.is_null() => {}
                    None => unknown.push(path),
                }
            }
        }
        (Value::Array(given), Value::Array(decoded)) => {
            for (index, (given, decoded)) in given.iter().zip(decoded).enumerate() {
                unknown_fields(given, decoded, &format!("{path}[{index}]"), unknown);
            }
        }
        _ => {}
    }
}

/// Drops what decoding added: fields that the type requires and the client left out come back as empty ones, which an
/// apply would own and validation would not miss.
fn keep_given(given: &Value, decoded: &mut Value) {
    match (given, decoded) {
        (Value::Object(given), Value::Object(decoded)) => {
            decoded.retain(|key, _| given.contains_key(key));
            for (key, value) in decoded {
                if let Some(given) = given.get(key) {
                    keep_given(given, value);
                }
            }
        }
        (Value::Array(given), Value::Array(decoded)) => {
            given.iter().zip(decoded).for_each(|(given, decoded)| keep_given(given, decoded));
        }
        _ => {}
    }
}

/// All validation of an object, as created or as changed.
fn check(target: &Target, value: &Value, old: Option<&Value>) -> Result<(), ApiError> {
    let ty = &*target.ty;
    let mut errors = Vec::new();
    validation::metadata(ty, value, &mut errors);
    if let Some(old) = old
        && object::is_deleting(old)
    {
        let before: Vec<&str> = object::finalizers(old).collect();
        let added: Vec<&str> = object::finalizers(value).filter(|finalizer| !before.contains(finalizer)).collect();
        if !added.is_empty() {
            let list = added.iter().map(|name| format!("{name:?}")).collect::<Vec<_>>().join(", ");
            let why = format!(
                "no new finalizers can be added if the object is being deleted, found new finalizers []string{{{list}}}"
            );
            errors.push(FieldError::forbidden("metadata.finalizers", &why));
        }
    }
    if ty.is_builtin() {
        validation::spec(ty, value, &mut errors);
        if let Some(old) = old {
            validation::update(ty, old, value, &mut errors);
        }
    } else if let Some(schema) = ty.version(&target.version).and_then(|version| version.schema.as_deref()) {
        crd::validate(schema, value, "", &mut errors);
    }
    if errors.is_empty() { Ok(()) } else { Err(ApiError::invalid(ty, object::name(value), &errors)) }
}

/// What an update may change of the present object: the status through its subresource only, nothing of what the server
/// owns.
fn prepare_update(target: &Target, old: &Value, new: Value) -> Result<Value, ApiError> {
    let ty = &*target.ty;
    let name = object::name(old);
    let uid = object::uid(&new);
    if !uid.is_empty() && uid != object::uid(old) {
        let why = format!("Precondition failed: UID in precondition: {uid}, UID in object meta: {}", object::uid(old));
        return Err(ApiError::conflict(ty, name, &why));
    }
    let status_endpoint = target.subresource.as_deref() == Some("status");
    let mut result = if status_endpoint {
        let mut result = old.clone();
        copy(&new, &mut result, "status");
        let fields: &[&str] =
            if ty.is_builtin() { &["labels", "annotations", "managedFields"] } else { &["managedFields"] };
        for field in fields {
            if let Some(metadata) = new.get("metadata") {
                let mut into = result["metadata"].take();
                copy(metadata, &mut into, field);
                result["metadata"] = into;
            }
        }
        result
    } else {
        let mut result = new;
        if ty.version(&target.version).is_some_and(|version| version.status) {
            copy(old, &mut result, "status");
        }
        result
    };
    let old_metadata = &old["metadata"];
    let metadata = metadata_mut(&mut result);
    for field in SERVER_METADATA {
        match old_metadata.get(field) {
            Some(value) => drop(metadata.insert(field.to_owned(), value.clone())),
            None => drop(metadata.shift_remove(field)),
        }
    }
    for field in ["name", "namespace"] {
        if let Some(value) = old_metadata.get(field) {
            metadata.insert(field.to_owned(), value.clone());
        }
    }
    if metadata.get("finalizers").and_then(Value::as_array).is_some_and(Vec::is_empty) {
        metadata.shift_remove("finalizers");
    }
    if !status_endpoint && ty.is("", "Namespace") && target.subresource.as_deref() != Some("finalize") {
        // Only the finalize subresource changes them.
        let finalizers = old.pointer("/spec/finalizers").cloned();
        if let Some(finalizers) = finalizers {
            object_mut(&mut result, "spec").insert("finalizers".to_owned(), finalizers);
        }
    }
    if ty.is_builtin() {
        defaults::apply(ty, &mut result);
    }
    if ty.generation && !status_endpoint && differs_in_spec(old, &result) {
        let generation = old_metadata.get("generation").and_then(Value::as_i64).unwrap_or_default() + 1;
        metadata_mut(&mut result).insert("generation".to_owned(), json!(generation));
    }
    Ok(result)
}

fn differs_in_spec(old: &Value, new: &Value) -> bool {
    let counted = |value: &Value| {
        let fields = value.as_object().into_iter().flatten();
        fields.filter(|(key, _)| !["metadata", "status"].contains(&key.as_str())).count()
    };
    counted(old) != counted(new)
        || new
            .as_object()
            .into_iter()
            .flatten()
            .any(|(key, value)| key != "metadata" && key != "status" && old.get(key) != Some(value))
}

fn copy(from: &Value, to: &mut Value, field: &str) {
    let Some(map) = to.as_object_mut() else { return };
    match from.get(field) {
        Some(value) => drop(map.insert(field.to_owned(), value.clone())),
        None => drop(map.shift_remove(field)),
    }
}
