//! The objects that `kubectl create namespace`, `configmap`, `secret` and `serviceaccount` send, which no flag makes it
//! send as JSON. Other kinds are refused as protocol buffers.
//!
//! Field numbers are those of `k8s.io/api/core/v1/generated.proto` and `k8s.io/apimachinery`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use super::status::ApiError;

/// Content type of the format.
pub(super) const MEDIA: &str = "application/vnd.kubernetes.protobuf";

const MAGIC: &[u8] = b"k8s\0";

/// Decodes a `runtime.Unknown` and the object in it.
pub(super) fn decode(body: &[u8]) -> Result<Value, ApiError> {
    object(body).ok_or_else(|| {
        ApiError::unsupported_media_type(format!(
            "the body of the request was in an unknown format - accepted media types include: application/json, \
             application/yaml ({MEDIA} for ConfigMap, Namespace, Secret and ServiceAccount only)"
        ))
    })
}

fn object(body: &[u8]) -> Option<Value> {
    let envelope = Message::parse(body.strip_prefix(MAGIC)?)?;
    let kind = Message::parse(envelope.bytes(1)?)?;
    let (api_version, kind) = (kind.text(1)?, kind.text(2)?);
    let raw = Message::parse(envelope.bytes(2)?)?;
    let mut object = json!({ "apiVersion": api_version, "kind": kind, "metadata": metadata(&raw)? });
    match (api_version.as_str(), kind.as_str()) {
        ("v1", "Namespace" | "ServiceAccount") => {}
        ("v1", "ConfigMap") => {
            object["data"] = raw.map(2, |value| Some(json!(std::str::from_utf8(value).ok()?)))?;
            object["binaryData"] = raw.map(3, |value| Some(json!(STANDARD.encode(value))))?;
        }
        ("v1", "Secret") => {
            object["data"] = raw.map(2, |value| Some(json!(STANDARD.encode(value))))?;
            if let Some(kind) = raw.text(3) {
                object["type"] = json!(kind);
            }
            object["stringData"] = raw.map(4, |value| Some(json!(std::str::from_utf8(value).ok()?)))?;
        }
        _ => return None,
    }
    if let Some(map) = object.as_object_mut() {
        map.retain(|_, value| value.as_object().is_none_or(|map| !map.is_empty()));
    }
    Some(object)
}

fn metadata(object: &Message<'_>) -> Option<Value> {
    let Some(bytes) = object.bytes(1) else { return Some(json!({})) };
    let message = Message::parse(bytes)?;
    let mut metadata = Map::new();
    for (number, field) in [(1, "name"), (2, "generateName"), (3, "namespace")] {
        if let Some(text) = message.text(number).filter(|text| !text.is_empty()) {
            metadata.insert(field.to_owned(), json!(text));
        }
    }
    for (number, field) in [(11, "labels"), (12, "annotations")] {
        metadata.insert(field.to_owned(), message.map(number, |value| Some(json!(std::str::from_utf8(value).ok()?)))?);
    }
    Some(Value::Object(metadata))
}

/// The length-delimited fields of a message, in order. Numbers are not needed and left out.
struct Message<'a>(Vec<(u64, &'a [u8])>);

impl<'a> Message<'a> {
    fn parse(mut rest: &'a [u8]) -> Option<Self> {
        let mut fields = Vec::new();
        while !rest.is_empty() {
            let key = varint(&mut rest)?;
            match key & 7 {
                0 => drop(varint(&mut rest)?),
                1 => rest = rest.get(8..)?,
                5 => rest = rest.get(4..)?,
                2 => {
                    let length = usize::try_from(varint(&mut rest)?).ok()?;
                    let (field, after) = rest.split_at_checked(length)?;
                    fields.push((key >> 3, field));
                    rest = after;
                }
                _ => return None,
            }
        }
        Some(Message(fields))
    }

    fn bytes(&self, number: u64) -> Option<&'a [u8]> {
        self.0.iter().rev().find(|(found, _)| *found == number).map(|(_, bytes)| *bytes)
    }

    fn text(&self, number: u64) -> Option<String> {
        String::from_utf8(self.bytes(number)?.to_vec()).ok()
    }

    /// A map: repeated messages of a key (1) and a value (2).
    fn map(&self, number: u64, value: impl Fn(&[u8]) -> Option<Value>) -> Option<Value> {
        let entries = self.0.iter().filter(|(found, _)| *found == number);
        let entries = entries.map(|(_, entry)| {
            let entry = Message::parse(entry)?;
            Some((entry.text(1).unwrap_or_default(), value(entry.bytes(2).unwrap_or_default())?))
        });
        entries.collect::<Option<Map<_, _>>>().map(Value::Object)
    }
}

fn varint(rest: &mut &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let (byte, after) = rest.split_first()?;
        *rest = after;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
        let mut field = vec![(number << 3) | 2, u8::try_from(bytes.len()).unwrap()];
        field.extend_from_slice(bytes);
        field
    }

    fn envelope(kind: &str, raw: &[u8]) -> Vec<u8> {
        let kind = [field(1, b"v1"), field(2, kind.as_bytes())].concat();
        [MAGIC.to_vec(), field(1, &kind), field(2, raw)].concat()
    }

    #[test]
    fn a_config_map() {
        let entry = [field(1, b"k"), field(2, b"v")].concat();
        let metadata = [field(1, b"name"), field(11, &entry)].concat();
        let raw = [field(1, &metadata), field(2, &entry), field(3, &entry)].concat();
        let expected = json!({
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": { "name": "name", "labels": { "k": "v" }, "annotations": {} },
            "data": { "k": "v" }, "binaryData": { "k": "dg==" },
        });
        assert_eq!(decode(&envelope("ConfigMap", &raw)).unwrap(), expected);
    }

    #[test]
    fn other_kinds_are_refused() {
        assert_eq!(decode(&envelope("Pod", b"")).unwrap_err().code, 415);
    }

    proptest! {
        #[test]
        fn any_bytes_are_decoded_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let _ = decode(&[MAGIC, &bytes].concat());
            let _ = decode(&envelope("Secret", &bytes));
        }
    }
}
