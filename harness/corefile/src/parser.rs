//! From tokens to server blocks.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::lexer::{Token, tokens};
use crate::{ParseError, ZoneKey};

/// How deep blocks may be nested. CoreDNS's plugins nest one level; much more is an attack on the stack.
const DEPTH: usize = 32;
/// How many imports of snippets are followed in a file, before they are taken to import each other. (Caddy: 10000.)
const IMPORTS: usize = 1000;

/// Values of environment variables.
type Env<'a> = &'a dyn Fn(&str) -> Option<String>;

/// A Corefile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Corefile {
    /// Server blocks in the order of the file, snippets imported.
    pub blocks: Vec<ServerBlock>,
}

/// A server block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerBlock {
    /// Zones it serves; a CIDR block is one key for each reverse zone that it covers.
    pub keys: Vec<ZoneKey>,
    /// Its directives.
    pub directives: Vec<Directive>,
    /// Where it stands in the file, from its first key to its closing brace.
    pub span: Range<usize>,
    /// Its first line, from 1.
    pub line: usize,
    /// Whether it has braces: the only block of a file can do without.
    pub braced: bool,
    /// Whether it was imported from a snippet, so that its place is that of the snippet.
    pub imported: bool,
    /// Keys as written, and the tokens of each directive, from which `reload` makes its hash.
    pub(crate) raw: Raw,
}

/// A server block as Caddy's parser hands it on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Raw {
    pub keys: Vec<String>,
    pub tokens: BTreeMap<String, Vec<(usize, String)>>,
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
    /// Where it stands in the file, or in the snippet that it was imported from.
    pub span: Range<usize>,
    /// Its line, from 1.
    pub line: usize,
    /// Whether its opening brace stands on a later line, where plugins do not look for it.
    pub(crate) late_brace: bool,
    /// Whether the brace that closes its parent stands on its line, where plugins may take it for an argument.
    pub(crate) closes_parent: bool,
}

impl Corefile {
    /// Reads a Corefile. References to environment variables (`{$NAME}`) stay as they are.
    ///
    /// # Errors
    /// With the place of the first thing that CoreDNS's parser would refuse, and of a closing brace without an opening
    /// one, which it would take for a zone. Whether the plugins exist and take their options is [`crate::check`]'s.
    pub fn parse(input: &str) -> Result<Self, ParseError> {
        Parser::new(input, None).file()
    }

    /// Reads a Corefile, replacing references to environment variables (`{$NAME}`, `{%NAME%}`) by their values; by
    /// nothing, where they have none.
    ///
    /// # Errors
    /// As [`Corefile::parse`].
    pub fn parse_with_env(input: &str, env: Env<'_>) -> Result<Self, ParseError> {
        Parser::new(input, Some(env)).file()
    }

    /// The server block that serves a name on port 53: the one with the longest matching zone. No other is asked, even
    /// when this one knows no such name.
    pub fn block_for(&self, name: &str) -> Option<&ServerBlock> {
        let longest = |block: &ServerBlock| {
            block.keys.iter().filter(|key| key.port == 53).filter_map(|key| key.matches(name)).max()
        };
        let matching = self.blocks.iter().filter_map(|block| Some((longest(block)?, block)));
        matching.max_by_key(|(labels, _)| *labels).map(|(_, block)| block)
    }

    /// The first server block with exactly this zone, whatever its port.
    pub fn block_of(&self, zone: &str) -> Option<&ServerBlock> {
        let zone = crate::zone::normal(zone);
        self.blocks.iter().find(|block| block.keys.iter().any(|key| key.zone == zone))
    }

    /// All zones that are served, each with its server block.
    pub fn zones(&self) -> impl Iterator<Item = (&ZoneKey, &ServerBlock)> {
        self.blocks.iter().flat_map(|block| block.keys.iter().map(move |key| (key, block)))
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

impl Directive {
    /// The first option with a name.
    pub fn option(&self, name: &str) -> Option<&Directive> {
        self.block.iter().find(|option| option.name == name)
    }
}

struct Parser<'a> {
    input: &'a str,
    env: Option<Env<'a>>,
    tokens: Vec<Token>,
    at: usize,
    snippets: BTreeMap<String, Vec<Token>>,
    imports: usize,
}

impl<'a> Parser<'a> {
    fn new(input: &'a str, env: Option<Env<'a>>) -> Self {
        Self { input, env, tokens: tokens(input), at: 0, snippets: BTreeMap::new(), imports: 0 }
    }

    fn file(mut self) -> Result<Corefile, ParseError> {
        let mut blocks = Vec::new();
        while self.at < self.tokens.len() {
            blocks.extend(self.top_level()?);
        }
        Ok(Corefile { blocks })
    }

    fn text(&self, at: usize) -> Option<&str> {
        self.tokens.get(at).map(|token| token.text.as_str())
    }

    fn error<T>(&self, token: Option<&Token>, message: impl Into<String>) -> Result<T, ParseError> {
        let offset = token.map_or(self.input.len(), |token| token.span.start);
        Err(ParseError::at(self.input, offset, message))
    }

    /// Whether a token is the first on its line.
    fn new_line(&self, at: usize) -> bool {
        match (at.checked_sub(1).and_then(|before| self.tokens.get(before)), self.tokens.get(at)) {
            (Some(before), Some(token)) => before.last_line() < token.line,
            (None, Some(_)) => true,
            (_, None) => false,
        }
    }

    /// Whether a token stands on the line of the one before it.
    fn same_line(&self, at: usize) -> bool {
        let before = at.checked_sub(1).and_then(|before| self.tokens.get(before));
        before.zip(self.tokens.get(at)).is_some_and(|(before, token)| before.last_line() == token.line)
    }

    fn top_level(&mut self) -> Result<Option<ServerBlock>, ParseError> {
        let mut keys: Vec<(String, Token)> = Vec::new();
        let mut another = false;
        while let Some(token) = self.tokens.get(self.at).cloned() {
            let text = self.substitute(&token.text);
            match text.as_str() {
                "import" if self.new_line(self.at) => {
                    self.import()?;
                    continue;
                }
                "{" if another => {
                    let message = "Expected another address but had '{' - check for extra comma";
                    return self.error(Some(&token), message);
                }
                "{" if keys.is_empty() => return self.error(Some(&token), "a server block without a zone"),
                "{" => break,
                "}" => return self.error(Some(&token), "a closing brace without an opening one"),
                "" => {}
                _ => {
                    another = text.ends_with(',');
                    let key = text.strip_suffix(',').unwrap_or(&text).to_owned();
                    keys.push((key, token));
                }
            }
            self.at += 1;
            if !another && self.new_line(self.at) {
                break;
            }
        }
        if another && self.at >= self.tokens.len() {
            return self.error(None, "Unexpected EOF");
        }
        let Some((first, last)) = keys.first().zip(keys.last()) else { return Ok(None) };
        if let [(only, _)] = keys.as_slice()
            && let Some(name) = only.strip_prefix('(').and_then(|name| name.strip_suffix(')'))
        {
            let name = name.to_owned();
            self.snippet(name)?;
            return Ok(None);
        }
        let mut block = ServerBlock {
            keys: Vec::new(),
            directives: Vec::new(),
            span: first.1.span.start..last.1.span.end,
            line: first.1.line,
            braced: false,
            imported: first.1.imported,
            raw: Raw { keys: keys.iter().map(|(key, _)| key.clone()).collect(), tokens: BTreeMap::new() },
        };
        for (key, token) in &keys {
            match ZoneKey::parse_all(key) {
                Ok(zones) => block.keys.extend(zones),
                Err(message) => return self.error(Some(token), message),
            }
        }
        self.contents(&mut block)?;
        Ok(Some(block))
    }

    /// Directives up to the closing brace; up to the end of the file, where there is no opening one.
    fn contents(&mut self, block: &mut ServerBlock) -> Result<(), ParseError> {
        let opened = self.tokens.get(self.at).filter(|token| token.text == "{").cloned();
        block.braced = opened.is_some();
        self.at += usize::from(block.braced);
        while let Some(token) = self.tokens.get(self.at).cloned() {
            match token.text.as_str() {
                "}" => {
                    self.at += 1;
                    block.span.end = block.span.end.max(token.span.end);
                    return Ok(());
                }
                "import" => {
                    if !token.imported {
                        block.span.end = block.span.end.max(token.span.end);
                    }
                    self.import()?;
                }
                _ => {
                    let (name, tokens) = self.directive()?;
                    let end = tokens.iter().filter(|token| !token.imported).map(|token| token.span.end).max();
                    block.span.end = block.span.end.max(end.unwrap_or(0));
                    let directive = self.tree(&tokens)?;
                    let raw = tokens.iter().map(|token| (token.line, token.text.clone()));
                    block.raw.tokens.entry(name).or_default().extend(raw);
                    block.directives.push(directive);
                }
            }
        }
        match opened {
            Some(opened) => self.error(Some(&opened), "a block is opened and never closed"),
            None => Ok(()),
        }
    }

    /// The tokens of one directive, to the end of its line or of its block.
    fn directive(&mut self) -> Result<(String, Vec<Token>), ParseError> {
        let Some(first) = self.tokens.get(self.at).cloned() else { return self.error(None, "Unexpected EOF") };
        let name = self.substitute(&first.text);
        let mut collected = vec![first];
        let mut open: Vec<Token> = Vec::new();
        self.at += 1;
        while let Some(mut token) = self.tokens.get(self.at).cloned() {
            match token.text.as_str() {
                "{" => open.push(token.clone()),
                _ if open.is_empty() && self.new_line(self.at) => break,
                "}" if open.pop().is_none() => {
                    return self.error(Some(&token), "Unexpected '}' because no matching opening brace");
                }
                "import" if self.new_line(self.at) => {
                    self.import()?;
                    continue;
                }
                _ => {}
            }
            token.text = self.substitute(&token.text);
            collected.push(token);
            self.at += 1;
        }
        match open.last() {
            Some(opened) => self.error(Some(opened), "a block is opened and never closed"),
            None => Ok((name, collected)),
        }
    }

    /// A directive with its options, from its tokens. Their braces match.
    fn tree(&self, tokens: &[Token]) -> Result<Directive, ParseError> {
        let mut at = 0;
        let mut directive = self.branch(tokens, &mut at, 0)?;
        // Further tokens on the line of a closing brace, or a second block: plugins would read them as another directive.
        if let Some(token) = tokens.get(at) {
            return self.error(Some(token), format!("Unexpected token '{}' behind a block", token.text));
        }
        if let Some(first) = tokens.first() {
            directive.name = self.substitute(&first.text);
        }
        Ok(directive)
    }

    fn branch(&self, tokens: &[Token], at: &mut usize, depth: usize) -> Result<Directive, ParseError> {
        let Some(first) = tokens.get(*at) else { return self.error(None, "Unexpected EOF") };
        if depth > DEPTH {
            return self.error(Some(first), "blocks are nested too deeply");
        }
        let mut directive = Directive {
            name: first.text.clone(),
            args: Vec::new(),
            block: Vec::new(),
            span: first.span.clone(),
            line: first.line,
            late_brace: false,
            closes_parent: false,
        };
        let mut line = first.last_line();
        *at += 1;
        while let Some(token) = tokens.get(*at) {
            let here = token.line == line;
            if token.text == "{" && (here || depth == 0) {
                directive.late_brace = !here;
                *at += 1;
                directive.span.end = self.options(tokens, at, depth, &mut directive)?;
                break;
            }
            if !here {
                break;
            }
            if token.text == "}" {
                directive.closes_parent = true;
                break;
            }
            directive.args.push(token.text.clone());
            // Tokens of a snippet come from elsewhere in the file.
            directive.span.end = directive.span.end.max(token.span.end);
            line = token.last_line();
            *at += 1;
        }
        Ok(directive)
    }

    /// What stands in braces. Returns where it ends.
    fn options(
        &self,
        tokens: &[Token],
        at: &mut usize,
        depth: usize,
        directive: &mut Directive,
    ) -> Result<usize, ParseError> {
        while let Some(token) = tokens.get(*at) {
            match token.text.as_str() {
                "}" => {
                    *at += 1;
                    return Ok(directive.span.end.max(token.span.end));
                }
                "{" => return self.error(Some(token), "an opening brace without an option before it"),
                _ => directive.block.push(self.branch(tokens, at, depth + 1)?),
            }
        }
        self.error(tokens.last(), "a block is opened and never closed")
    }

    /// Keeps the tokens of a snippet.
    fn snippet(&mut self, name: String) -> Result<(), ParseError> {
        let Some(opened) = self.tokens.get(self.at).filter(|token| token.text == "{").cloned() else {
            return self.error(self.tokens.get(self.at), format!("the snippet {name} needs a block in braces"));
        };
        if self.snippets.contains_key(&name) {
            let message = format!("redeclaration of previously declared snippet {name}");
            return self.error(Some(&opened), message);
        }
        let mut depth = 1;
        let mut body = Vec::new();
        self.at += 1;
        while let Some(token) = self.tokens.get(self.at).cloned() {
            self.at += 1;
            match token.text.as_str() {
                "{" => depth += 1,
                "}" => depth -= 1,
                _ => {}
            }
            if depth == 0 {
                self.snippets.insert(name, body);
                return Ok(());
            }
            body.push(Token { imported: true, ..token });
        }
        self.error(Some(&opened), "a block is opened and never closed")
    }

    /// Puts the tokens of a snippet in the place of `import NAME`.
    fn import(&mut self) -> Result<(), ParseError> {
        let (at, import) = (self.at, self.tokens.get(self.at).cloned());
        let import = import.as_ref();
        if !self.same_line(at + 1) {
            return self.error(import, "Wrong argument count or unexpected line ending after 'import'");
        }
        if self.same_line(at + 2) {
            return self.error(import, "Import takes only one argument (glob pattern or file)");
        }
        let name = self.substitute(self.text(at + 1).unwrap_or_default());
        let Some(body) = self.snippets.get(&name).cloned() else {
            let message = format!(
                "import of \"{name}\": there is no such snippet before this line, and files are not imported here"
            );
            return self.error(import, message);
        };
        self.imports += 1;
        if self.imports > IMPORTS {
            return self.error(import, "snippets import each other");
        }
        self.tokens.splice(at..at + 2, body);
        Ok(())
    }

    /// Replaces references to environment variables, once: values are not searched again.
    fn substitute(&self, text: &str) -> String {
        let Some(env) = self.env else { return text.to_owned() };
        let mut result = text.to_owned();
        for (open, close) in [("{%", "%}"), ("{$", "}")] {
            let (mut done, mut rest) = (String::new(), result.as_str());
            while let Some(start) = rest.find(open) {
                let name_at = start + open.len();
                let Some(length) = rest[name_at..].find(close).filter(|length| *length > 0) else { break };
                done.push_str(&rest[..start]);
                done.push_str(&env(&rest[name_at..name_at + length]).unwrap_or_default());
                rest = &rest[name_at + length + close.len()..];
            }
            done.push_str(rest);
            result = done;
        }
        result
    }
}
