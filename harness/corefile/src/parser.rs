//! From tokens to server blocks.

use std::fmt;
use std::ops::Range;

use crate::ZoneKey;
use crate::lexer::{Token, tokens};

/// How deep blocks may be nested: more is no Corefile but an attack on the stack.
const DEPTH: usize = 32;

/// A Corefile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Corefile {
    /// Server blocks in the order of the file, snippets imported.
    pub blocks: Vec<ServerBlock>,
}

/// A server block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerBlock {
    /// Zones it serves.
    pub keys: Vec<ZoneKey>,
    /// Its directives.
    pub directives: Vec<Directive>,
    /// Where it stands in the file, from its first key to its closing brace.
    pub span: Range<usize>,
    /// Its first line, from 1.
    pub line: usize,
}

/// A directive, which names a plugin or an option of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Directive {
    /// Name.
    pub name: String,
    /// Arguments on its line.
    pub args: Vec<String>,
    /// What stands in its braces, if it has any.
    pub block: Vec<Directive>,
    /// Where it stands in the file.
    pub span: Range<usize>,
    /// Its line, from 1.
    pub line: usize,
}

/// Something that CoreDNS would not read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct ParseError {
    /// Line, from 1.
    pub line: usize,
    /// Column, from 1.
    pub column: usize,
    /// What is wrong.
    pub message: String,
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Corefile:{}:{}: {}", self.line, self.column, self.message)
    }
}

impl ParseError {
    pub(crate) fn at(input: &str, offset: usize, message: impl Into<String>) -> Self {
        let before = input.get(..offset).unwrap_or(input);
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().map_or(0, |tail| tail.chars().count()) + 1;
        Self { line, column, message: message.into() }
    }
}

impl Corefile {
    /// Reads a Corefile.
    ///
    /// # Errors
    /// With the place of the first thing that CoreDNS's parser would refuse. Whether the plugins exist and take their
    /// options is [`crate::check`]'s.
    pub fn parse(input: &str) -> Result<Self, ParseError> {
        let mut parser = Parser { input, tokens: tokens(input)?, next: 0 };
        let mut blocks = Vec::new();
        let mut snippets: Vec<(String, Vec<Directive>)> = Vec::new();
        while parser.peek().is_some() {
            match parser.top_level()? {
                Top::Block(block) => blocks.push(block),
                Top::Snippet(name, directives) => snippets.push((name, directives)),
            }
        }
        for block in &mut blocks {
            block.directives = expand(input, std::mem::take(&mut block.directives), &snippets, 0)?;
        }
        Ok(Self { blocks })
    }

    /// The server block that serves a name: the longest matching zone, with no falling through to another.
    pub fn block_for(&self, name: &str) -> Option<&ServerBlock> {
        self.blocks
            .iter()
            .filter_map(|block| Some((block.keys.iter().filter_map(|key| key.matches(name)).max()?, block)))
            .max_by_key(|(labels, _)| *labels)
            .map(|(_, block)| block)
    }

    /// The server block with exactly this zone.
    pub fn block_of(&self, zone: &str) -> Option<&ServerBlock> {
        let zone = crate::zone::normal(zone);
        self.blocks.iter().find(|block| block.keys.iter().any(|key| key.zone == zone))
    }
}

impl ServerBlock {
    /// The block's own text.
    pub fn text<'a>(&self, input: &'a str) -> &'a str {
        input.get(self.span.clone()).unwrap_or_default()
    }

    /// The first directive with a name.
    pub fn directive(&self, name: &str) -> Option<&Directive> {
        self.directives.iter().find(|directive| directive.name == name)
    }
}

enum Top {
    Block(ServerBlock),
    Snippet(String, Vec<Directive>),
}

struct Parser<'a> {
    input: &'a str,
    tokens: Vec<Token>,
    next: usize,
}

impl Parser<'_> {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.next)
    }

    fn take(&mut self) -> Option<Token> {
        let token = self.tokens.get(self.next).cloned();
        self.next += usize::from(token.is_some());
        token
    }

    fn error<T>(&self, offset: usize, message: impl Into<String>) -> Result<T, ParseError> {
        Err(ParseError::at(self.input, offset, message))
    }

    fn top_level(&mut self) -> Result<Top, ParseError> {
        let mut keys: Vec<Token> = Vec::new();
        while let Some(token) = self.take() {
            if token.is("}") {
                return self.error(token.span.start, "a closing brace without an opening one");
            }
            if !token.is("{") {
                keys.push(token);
                continue;
            }
            let Some(first) = keys.first() else {
                return self.error(token.span.start, "a server block without a zone");
            };
            let (start, line) = (first.span.start, first.line);
            let snippet = match keys.as_slice() {
                [only] => only.text.strip_prefix('(').and_then(|name| name.strip_suffix(')')).map(str::to_owned),
                _ => None,
            };
            let (directives, end) = self.block(token.span.start, 0)?;
            if let Some(name) = snippet {
                return Ok(Top::Snippet(name, directives));
            }
            let mut zones = Vec::new();
            for key in &keys {
                for part in key.text.split(',').filter(|part| !part.is_empty()) {
                    let Some(zone) = ZoneKey::parse(part) else {
                        return self.error(key.span.start, format!("\"{part}\" is no zone"));
                    };
                    zones.push(zone);
                }
            }
            return Ok(Top::Block(ServerBlock { keys: zones, directives, span: start..end, line }));
        }
        let at = keys.first().map_or(self.input.len(), |key| key.span.start);
        self.error(at, "a zone without a block in braces")
    }

    /// The directives up to the closing brace, and where it ends.
    fn block(&mut self, opened: usize, depth: usize) -> Result<(Vec<Directive>, usize), ParseError> {
        if depth > DEPTH {
            return self.error(opened, "blocks are nested too deeply");
        }
        let mut directives = Vec::new();
        while let Some(token) = self.take() {
            if token.is("}") {
                return Ok((directives, token.span.end));
            }
            if token.is("{") {
                return self.error(token.span.start, "an opening brace without a directive before it");
            }
            directives.push(self.directive(token, depth)?);
        }
        self.error(opened, "a block is opened and never closed")
    }

    fn directive(&mut self, name: Token, depth: usize) -> Result<Directive, ParseError> {
        let mut directive =
            Directive { name: name.text, args: Vec::new(), block: Vec::new(), span: name.span, line: name.line };
        while let Some(token) = self.peek().filter(|token| token.line == directive.line).cloned() {
            if token.is("}") {
                break;
            }
            self.next += 1;
            directive.span.end = token.span.end;
            if token.is("{") {
                let (block, end) = self.block(token.span.start, depth + 1)?;
                directive.block = block;
                directive.span.end = end;
                break;
            }
            directive.args.push(token.text);
        }
        Ok(directive)
    }
}

/// Puts snippets in the place of their imports.
fn expand(
    input: &str,
    directives: Vec<Directive>,
    snippets: &[(String, Vec<Directive>)],
    depth: usize,
) -> Result<Vec<Directive>, ParseError> {
    let mut expanded = Vec::new();
    for directive in directives {
        if directive.name != "import" {
            expanded.push(directive);
            continue;
        }
        let at = directive.span.start;
        let name = directive.args.first().map(String::as_str).unwrap_or_default();
        let Some((_, snippet)) = snippets.iter().find(|(snippet, _)| snippet == name) else {
            let message = format!("import of \"{name}\": there is no such snippet, and files are not imported here");
            return Err(ParseError::at(input, at, message));
        };
        if depth > DEPTH {
            return Err(ParseError::at(input, at, "snippets import each other"));
        }
        expanded.extend(expand(input, snippet.clone(), snippets, depth + 1)?);
    }
    Ok(expanded)
}
