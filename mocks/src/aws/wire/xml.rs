//! XML answers: a small tree and its writer.

use std::borrow::Cow;

use quick_xml::Writer;
use quick_xml::escape::partial_escape;
use quick_xml::events::{BytesDecl, BytesEnd, BytesStart, BytesText, Event};

/// One element with its content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Element {
    name: Cow<'static, str>,
    content: Content,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Content {
    Text(String),
    Children(Vec<Element>),
}

impl Element {
    /// An element with children; without any it is written as an empty element.
    pub fn new(name: impl Into<Cow<'static, str>>, children: Vec<Element>) -> Self {
        Self { name: name.into(), content: Content::Children(children) }
    }

    /// An element with text. Booleans and numbers are written as Rust displays them, which is as AWS does.
    pub fn text(name: &'static str, text: impl ToString) -> Self {
        Self { name: name.into(), content: Content::Text(text.to_string()) }
    }

    /// An element with text where there is some.
    pub fn optional(name: &'static str, text: Option<impl ToString>) -> Option<Self> {
        text.map(|text| Self::text(name, text))
    }

    /// A list of structures: `name` around one `item` for each of them (`item` for EC2, `member` for ELBv2).
    pub fn list(name: &'static str, item: &'static str, items: impl IntoIterator<Item = Vec<Element>>) -> Self {
        Self::new(name, items.into_iter().map(|children| Self::new(item, children)).collect())
    }

    /// EC2's `<name><item>…</item></name>` of structures.
    pub fn items(name: &'static str, items: impl IntoIterator<Item = Vec<Element>>) -> Self {
        Self::list(name, "item", items)
    }

    /// ELBv2's `<name><member>…</member></name>` of structures.
    pub fn members(name: &'static str, items: impl IntoIterator<Item = Vec<Element>>) -> Self {
        Self::list(name, "member", items)
    }

    /// A list of texts: `<name><item>text</item></name>`.
    pub fn texts(name: &'static str, item: &'static str, texts: impl IntoIterator<Item = impl ToString>) -> Self {
        Self::new(name, texts.into_iter().map(|text| Self::text(item, text)).collect())
    }

    fn write(&self, writer: &mut Writer<Vec<u8>>) -> std::io::Result<()> {
        match &self.content {
            Content::Children(children) if children.is_empty() => {
                writer.write_event(Event::Empty(BytesStart::new(self.name.as_ref())))
            }
            Content::Children(children) => {
                writer.write_event(Event::Start(BytesStart::new(self.name.as_ref())))?;
                children.iter().try_for_each(|child| child.write(writer))?;
                writer.write_event(Event::End(BytesEnd::new(self.name.as_ref())))
            }
            Content::Text(text) => {
                writer.write_event(Event::Start(BytesStart::new(self.name.as_ref())))?;
                writer.write_event(Event::Text(BytesText::from_escaped(escaped(text))))?;
                writer.write_event(Event::End(BytesEnd::new(self.name.as_ref())))
            }
        }
    }
}

/// Text as it stands in a document. The control characters that no XML document may hold, not even escaped, are replaced;
/// a carriage return is written as a reference, since parsers make a line feed of a plain one.
fn escaped(text: &str) -> Cow<'_, str> {
    let forbidden = |c: char| (c < ' ' && !matches!(c, '\t' | '\n' | '\r')) || matches!(c, '\u{fffe}' | '\u{ffff}');
    let escaped = partial_escape(text);
    if escaped.contains(|c| forbidden(c) || c == '\r') {
        escaped.replace(forbidden, "\u{fffd}").replace('\r', "&#13;").into()
    } else {
        escaped
    }
}

/// A whole document: declaration and root element with its namespace.
pub fn document(root: &str, namespace: Option<&str>, children: &[Element]) -> Vec<u8> {
    let mut writer = Writer::new(Vec::with_capacity(1024));
    let written = (|| {
        writer.write_event(Event::Decl(BytesDecl::new("1.0", Some("UTF-8"), None)))?;
        let mut start = BytesStart::new(root);
        if let Some(namespace) = namespace {
            start.push_attribute(("xmlns", namespace));
        }
        writer.write_event(Event::Start(start))?;
        children.iter().try_for_each(|child| child.write(&mut writer))?;
        writer.write_event(Event::End(BytesEnd::new(root)))
    })();
    // Writing into memory cannot fail.
    debug_assert!(written.is_ok());
    writer.into_inner()
}
