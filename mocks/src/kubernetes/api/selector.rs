//! Label and field selectors of lists and watches.

use serde_json::Value;

use super::object;
use super::resources::ResourceType;
use super::status::ApiError;
use super::validation;

/// A label selector: all its requirements hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct LabelSelector(Vec<Requirement>);

/// One requirement on a label.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Requirement {
    In(String, Vec<String>),
    NotIn(String, Vec<String>),
    Exists(String),
    DoesNotExist(String),
    GreaterThan(String, i64),
    LessThan(String, i64),
}

impl Requirement {
    fn matches(&self, label: impl Fn(&str) -> Option<String>) -> bool {
        match self {
            Requirement::In(key, values) => label(key).is_some_and(|value| values.contains(&value)),
            Requirement::NotIn(key, values) => label(key).is_none_or(|value| !values.contains(&value)),
            Requirement::Exists(key) => label(key).is_some(),
            Requirement::DoesNotExist(key) => label(key).is_none(),
            Requirement::GreaterThan(key, than) => number(label(key)).is_some_and(|value| value > *than),
            Requirement::LessThan(key, than) => number(label(key)).is_some_and(|value| value < *than),
        }
    }
}

fn number(value: Option<String>) -> Option<i64> {
    value?.parse().ok()
}

impl std::fmt::Display for Requirement {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Requirement::In(key, values) if values.len() == 1 => write!(f, "{key}={}", values.concat()),
            Requirement::In(key, values) => write!(f, "{key} in ({})", values.join(",")),
            Requirement::NotIn(key, values) if values.len() == 1 => write!(f, "{key}!={}", values.concat()),
            Requirement::NotIn(key, values) => write!(f, "{key} notin ({})", values.join(",")),
            Requirement::Exists(key) => write!(f, "{key}"),
            Requirement::DoesNotExist(key) => write!(f, "!{key}"),
            Requirement::GreaterThan(key, than) => write!(f, "{key}>{than}"),
            Requirement::LessThan(key, than) => write!(f, "{key}<{than}"),
        }
    }
}

impl std::fmt::Display for LabelSelector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (index, requirement) in self.0.iter().enumerate() {
            write!(f, "{}{requirement}", if index == 0 { "" } else { "," })?;
        }
        Ok(())
    }
}

impl LabelSelector {
    /// Parses the syntax of `labels.Parse`: `a=b,c!=d,e in (f,g),h notin (i),j,!k,l>1`.
    pub(super) fn parse(text: &str) -> Result<Self, ApiError> {
        Parser { rest: text }
            .selector()
            .map_err(|why| ApiError::bad_request(format!("unable to parse requirement: {why}")))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn matches(&self, object: &Value) -> bool {
        if self.0.is_empty() {
            return true;
        }
        let labels = object.get("metadata").and_then(|metadata| metadata.get("labels"));
        let label = |key: &str| labels?.get(key)?.as_str().map(str::to_owned);
        self.0.iter().all(|requirement| requirement.matches(label))
    }

    /// The selector of a `metav1.LabelSelector`. An empty one selects everything, as in the real API.
    pub(super) fn from_value(selector: &Value) -> Self {
        let labels = selector.get("matchLabels").and_then(Value::as_object).into_iter().flatten();
        let mut requirements: Vec<_> = labels
            .map(|(key, value)| Requirement::In(key.clone(), vec![value.as_str().unwrap_or_default().to_owned()]))
            .collect();
        for expression in selector.get("matchExpressions").and_then(Value::as_array).into_iter().flatten() {
            let key = object::text(expression, "/key").to_owned();
            let values = expression.get("values").and_then(Value::as_array).into_iter().flatten();
            let values = values.filter_map(Value::as_str).map(str::to_owned).collect();
            requirements.push(match object::text(expression, "/operator") {
                "In" => Requirement::In(key, values),
                "NotIn" => Requirement::NotIn(key, values),
                "DoesNotExist" => Requirement::DoesNotExist(key),
                _ => Requirement::Exists(key),
            });
        }
        LabelSelector(requirements)
    }
}

struct Parser<'a> {
    rest: &'a str,
}

impl<'a> Parser<'a> {
    fn selector(mut self) -> Result<LabelSelector, String> {
        let mut requirements = Vec::new();
        self.space();
        if self.rest.is_empty() {
            return Ok(LabelSelector(requirements));
        }
        loop {
            requirements.push(self.requirement()?);
            self.space();
            if self.rest.is_empty() {
                return Ok(LabelSelector(requirements));
            }
            self.expect(',')?;
        }
    }

    fn requirement(&mut self) -> Result<Requirement, String> {
        self.space();
        if self.eat("!") {
            return Ok(Requirement::DoesNotExist(self.key()?));
        }
        let key = self.key()?;
        self.space();
        if self.rest.is_empty() || self.rest.starts_with(',') {
            return Ok(Requirement::Exists(key));
        }
        if self.eat("!=") {
            return Ok(Requirement::NotIn(key, vec![self.value()?]));
        }
        if self.eat("==") || self.eat("=") {
            return Ok(Requirement::In(key, vec![self.value()?]));
        }
        if self.eat(">") {
            return Ok(Requirement::GreaterThan(key, self.number()?));
        }
        if self.eat("<") {
            return Ok(Requirement::LessThan(key, self.number()?));
        }
        match self.word() {
            "in" => Ok(Requirement::In(key, self.values()?)),
            "notin" => Ok(Requirement::NotIn(key, self.values()?)),
            found => Err(format!("found '{found}', expected: in, notin, =, ==, !=, gt, lt")),
        }
    }

    fn key(&mut self) -> Result<String, String> {
        self.space();
        let key = self.word();
        match validation::label_key(key) {
            None => Ok(key.to_owned()),
            Some(_) if key.is_empty() => Err(format!("found '{}', expected: identifier", self.rest)),
            Some(why) => Err(format!("<nil>: Invalid value: {key:?}: {why}")),
        }
    }

    fn value(&mut self) -> Result<String, String> {
        self.space();
        let value = self.word();
        match validation::label_value(value) {
            None => Ok(value.to_owned()),
            Some(why) => Err(format!("values[0][]: Invalid value: {value:?}: {why}")),
        }
    }

    fn number(&mut self) -> Result<i64, String> {
        self.space();
        let sign = if self.eat("-") { "-" } else { "" };
        let word = self.word();
        format!("{sign}{word}")
            .parse()
            .map_err(|_| format!("for 'Gt', 'Lt' operators, the value must be an integer: {word:?}"))
    }

    fn values(&mut self) -> Result<Vec<String>, String> {
        self.expect('(')?;
        let mut values = Vec::new();
        loop {
            values.push(self.value()?);
            self.space();
            if self.eat(")") {
                return Ok(values);
            }
            self.expect(',')?;
        }
    }

    fn word(&mut self) -> &'a str {
        let end = self.rest.find(|c: char| c.is_whitespace() || "=!<>(),".contains(c)).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        word
    }

    fn space(&mut self) {
        self.rest = self.rest.trim_start();
    }

    fn eat(&mut self, token: &str) -> bool {
        match self.rest.strip_prefix(token) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn expect(&mut self, token: char) -> Result<(), String> {
        self.space();
        match self.rest.strip_prefix(token) {
            Some(rest) => {
                self.rest = rest;
                Ok(())
            }
            None => Err(format!("found '{}', expected: '{token}'", self.rest)),
        }
    }
}

/// A field selector: all its terms hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct FieldSelector(Vec<(String, bool, String)>);

/// Fields that can be selected by, besides `metadata.name` and `metadata.namespace`.
fn selectable(ty: &ResourceType) -> &'static [&'static str] {
    match (&*ty.group, &*ty.kind) {
        ("", "Pod") => &[
            "spec.nodeName",
            "spec.restartPolicy",
            "spec.schedulerName",
            "spec.serviceAccountName",
            "spec.hostNetwork",
            "status.phase",
            "status.podIP",
            "status.nominatedNodeName",
        ],
        ("", "Event") => &[
            "involvedObject.kind",
            "involvedObject.namespace",
            "involvedObject.name",
            "involvedObject.uid",
            "involvedObject.apiVersion",
            "involvedObject.resourceVersion",
            "involvedObject.fieldPath",
            "reason",
            "reportingComponent",
            "source",
            "type",
        ],
        ("", "Namespace") => &["status.phase"],
        ("", "Node") => &["spec.unschedulable"],
        ("", "Secret") => &["type"],
        ("", "Service") => &["spec.clusterIP", "spec.type"],
        ("apps", "ReplicaSet") => &["status.replicas"],
        ("batch", "Job") => &["status.successful"],
        _ => &[],
    }
}

impl FieldSelector {
    /// Parses `a.b=c,d!=e`.
    pub(super) fn parse(text: &str, ty: &ResourceType) -> Result<Self, ApiError> {
        let mut terms = Vec::new();
        for term in text.split(',').map(str::trim).filter(|term| !term.is_empty()) {
            let (field, equal, value) = if let Some((field, value)) = term.split_once("!=") {
                (field, false, value)
            } else if let Some((field, value)) = term.split_once("==").or_else(|| term.split_once('=')) {
                (field, true, value)
            } else {
                return Err(ApiError::bad_request(format!("invalid selector: '{text}'; can't understand '{term}'")));
            };
            let common = field == "metadata.name" || (ty.namespaced && field == "metadata.namespace");
            if !common && !selectable(ty).contains(&field) {
                return Err(ApiError::bad_request(format!("field label not supported: {field}")));
            }
            terms.push((field.to_owned(), equal, value.to_owned()));
        }
        Ok(FieldSelector(terms))
    }

    pub(super) fn matches(&self, object: &Value) -> bool {
        self.0.iter().all(|(field, equal, value)| {
            let found = match field.as_str() {
                "source" => object.pointer("/source/component"),
                _ => field.split('.').try_fold(object, |value, key| value.get(key)),
            };
            let found = match found {
                Some(Value::String(text)) => text.clone(),
                Some(Value::Null) => String::new(),
                Some(other) => other.to_string(),
                None if field == "spec.unschedulable" || field == "spec.hostNetwork" => "false".to_owned(),
                None => String::new(),
            };
            (found == *value) == *equal
        })
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;
    use serde_json::json;

    use super::*;
    use crate::kubernetes::api::resources::builtins;

    #[rstest]
    #[case("app=web", true)]
    #[case("app==web", true)]
    #[case("app = web , tier", true)]
    #[case("app!=web", false)]
    #[case("other!=web", true)]
    #[case("app in (db, web)", true)]
    #[case("app notin (db,web)", false)]
    #[case("other notin (db)", true)]
    #[case("tier", true)]
    #[case("!tier", false)]
    #[case("!other", true)]
    #[case("rank>4", true)]
    #[case("rank<5", false)]
    #[case("kubernetes.io/metadata.name=", true)]
    #[case("", true)]
    fn label_selectors(#[case] selector: &str, #[case] matches: bool) {
        let object = json!({ "metadata": { "labels": {
            "app": "web", "tier": "front", "rank": "5", "kubernetes.io/metadata.name": "",
        } } });
        assert_eq!(LabelSelector::parse(selector).unwrap().matches(&object), matches);
    }

    #[rstest]
    #[case("a=b=c")]
    #[case("a in")]
    #[case("a in (b")]
    #[case("a,,b")]
    #[case("=a")]
    #[case("a near (b)")]
    #[case("a>b")]
    #[case("-a=b")]
    #[case("a=b/c")]
    fn bad_label_selectors(#[case] selector: &str) {
        assert_eq!(LabelSelector::parse(selector).unwrap_err().code, 400);
    }

    #[rstest]
    #[case("spec.nodeName=n1", true)]
    #[case("spec.nodeName!=n1", false)]
    #[case("metadata.name=p,status.phase=Running", true)]
    #[case("metadata.name=p,status.phase!=Running", false)]
    #[case("spec.hostNetwork=false", true)]
    fn field_selectors(#[case] selector: &str, #[case] matches: bool) {
        let object = json!({
            "metadata": { "name": "p" }, "spec": { "nodeName": "n1" }, "status": { "phase": "Running" },
        });
        let pod = builtins().into_iter().find(|ty| ty.kind == "Pod").unwrap();
        assert_eq!(FieldSelector::parse(selector, &pod).unwrap().matches(&object), matches);
        assert!(FieldSelector::parse("spec.x=1", &pod).is_err());
    }

    fn requirement() -> impl Strategy<Value = Requirement> {
        let key = "[a-z]([a-z0-9.-]{0,8}[a-z0-9])?(/[A-Za-z]([A-Za-z0-9_.-]{0,8}[A-Za-z0-9])?)?"
            .prop_filter("a valid key", |key| validation::label_key(key).is_none());
        let value = "([A-Za-z0-9]([A-Za-z0-9_.-]{0,8}[A-Za-z0-9])?)?";
        let values = prop::collection::vec(value, 1..4);
        (key, values, any::<i64>(), 0..6_u8).prop_map(|(key, values, number, kind)| match kind {
            0 => Requirement::In(key, values),
            1 => Requirement::NotIn(key, values),
            2 => Requirement::Exists(key),
            3 => Requirement::DoesNotExist(key),
            4 => Requirement::GreaterThan(key, number),
            _ => Requirement::LessThan(key, number),
        })
    }

    proptest! {
        #[test]
        fn a_printed_selector_parses_to_itself(requirements in prop::collection::vec(requirement(), 0..5)) {
            let selector = LabelSelector(requirements);
            prop_assert_eq!(LabelSelector::parse(&selector.to_string()).unwrap(), selector);
        }

        #[test]
        fn any_text_is_parsed_or_refused(text in ".{0,40}") {
            let _ = LabelSelector::parse(&text);
        }
    }
}
