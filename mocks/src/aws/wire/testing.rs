//! A client for tests: requests as the SDKs make them, answered without HTTP, and the answer's XML as a tree.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response};
use quick_xml::Reader;
use quick_xml::events::Event;

use crate::aws::wire::params::Params;
use crate::aws::{Aws, AwsError};

/// Sends requests to one region.
#[derive(Clone)]
pub(crate) struct Client {
    pub(crate) aws: Arc<Aws>,
    pub(crate) region: String,
}

/// The `Authorization` header of a request, with a signature that fits nothing.
pub(crate) fn authorization(region: &str, service: &str) -> String {
    format!(
        "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20260101/{region}/{service}/aws4_request, \
         SignedHeaders=host;x-amz-date, Signature=00"
    )
}

/// A query-protocol request.
pub(crate) fn query(region: &str, service: &str, action: &str, parameters: &[(&str, &str)]) -> Request<Bytes> {
    let version = match service {
        "ec2" => "2016-11-15",
        "sts" => "2011-06-15",
        _ => "2015-12-01",
    };
    let all = [("Action", action), ("Version", version)].into_iter().chain(parameters.iter().copied());
    let body = all.collect::<Params>().encode();
    Request::post("/").header("authorization", authorization(region, service)).body(Bytes::from(body)).unwrap()
}

impl Client {
    pub(crate) fn new(aws: &Arc<Aws>, region: &str) -> Self {
        Self { aws: Arc::clone(aws), region: region.to_owned() }
    }

    /// The same account, another region.
    pub(crate) fn region(&self, region: &str) -> Self {
        Self::new(&self.aws, region)
    }

    /// Calls EC2.
    pub(crate) fn ec2(&self, action: &str, parameters: &[(&str, &str)]) -> Result<Node, AwsError> {
        self.call("ec2", action, parameters)
    }

    /// Calls EC2 and gives the code of its error, or `ok`.
    pub(crate) fn code(&self, action: &str, parameters: &[(&str, &str)]) -> String {
        self.ec2(action, parameters).map_or_else(|error| error.code, |_| "ok".to_owned())
    }

    /// Calls a service of the query protocol.
    pub(crate) fn call(&self, service: &str, action: &str, parameters: &[(&str, &str)]) -> Result<Node, AwsError> {
        result(&self.aws.dispatch(&query(&self.region, service, action, parameters)))
    }
}

/// The answer's tree, or its error in either shape.
pub(crate) fn result(response: &Response<Bytes>) -> Result<Node, AwsError> {
    let tree = Node::parse(response.body());
    if response.status().is_success() {
        return Ok(tree);
    }
    let error = if tree.name == "Response" { tree.at("Errors/Error") } else { tree.at("Error") };
    Err(AwsError::with_status(response.status().as_u16(), error.text("Code"), error.text("Message")))
}

/// An element.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Node {
    pub(crate) name: String,
    text: String,
    pub(crate) children: Vec<Node>,
}

impl Node {
    pub(crate) fn parse(xml: &[u8]) -> Self {
        let mut reader = Reader::from_reader(xml);
        let mut stack = vec![Node::default()];
        loop {
            match reader.read_event().unwrap() {
                Event::Start(start) => stack.push(Node { name: start.name().as_ref().to_owned(), ..Node::default() }),
                Event::Empty(start) => {
                    let node = Node { name: start.name().as_ref().to_owned(), ..Node::default() };
                    stack.last_mut().unwrap().children.push(node);
                }
                Event::End(_) => {
                    let node = stack.pop().unwrap();
                    stack.last_mut().unwrap().children.push(node);
                }
                Event::Text(text) => stack.last_mut().unwrap().text.push_str(&text),
                Event::GeneralRef(reference) => {
                    let entity: &str = &reference;
                    let text = match entity {
                        "lt" => "<".to_owned(),
                        "gt" => ">".to_owned(),
                        "amp" => "&".to_owned(),
                        "quot" => "\"".to_owned(),
                        "apos" => "'".to_owned(),
                        _ => reference.resolve_char_ref().unwrap().unwrap().to_string(),
                    };
                    stack.last_mut().unwrap().text.push_str(&text);
                }
                Event::Eof => return stack.remove(0).children.remove(0),
                _ => {}
            }
        }
    }

    /// The first descendant at a path such as `vpc/vpcId`. Fails the test where there is none.
    #[track_caller]
    pub(crate) fn at(&self, path: &str) -> &Node {
        path.split('/').fold(self, |node, name| {
            let found = node.children.iter().find(|child| child.name == name);
            found.unwrap_or_else(|| panic!("no {name} of {path} in {node:#?}"))
        })
    }

    /// The text at a path.
    #[track_caller]
    pub(crate) fn text(&self, path: &str) -> String {
        self.at(path).text.clone()
    }

    /// Whether there is something at a path.
    pub(crate) fn has(&self, path: &str) -> bool {
        path.split('/').try_fold(self, |node, name| node.children.iter().find(|child| child.name == name)).is_some()
    }

    /// The text at `field` of each item of the list at a path.
    #[track_caller]
    pub(crate) fn all(&self, list: &str, field: &str) -> Vec<String> {
        self.at(list).children.iter().map(|item| item.text(field)).collect()
    }
}
