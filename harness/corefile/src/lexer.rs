//! Tokens of the Caddyfile syntax, as the lexer of CoreDNS's fork of Caddy makes them: white space separates tokens, `#`
//! outside quotes comments out the rest of its line wherever it stands, and a token that begins with a double quote goes
//! on to the next one that no backslash escapes. A quoted brace is a brace: quotes are gone when braces are looked for.

use std::ops::Range;

/// A token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Token {
    /// Its text, quotes and escapes resolved.
    pub text: String,
    /// Its line, from 1.
    pub line: usize,
    /// Where it stands in the file, quotes included.
    pub span: Range<usize>,
    /// Whether it was put here by an import.
    pub imported: bool,
}

impl Token {
    /// The line on which it ends.
    pub fn last_line(&self) -> usize {
        self.line + self.text.matches('\n').count()
    }
}

/// All tokens. Nothing is an error here: an open quote goes on to the end of the file.
pub(crate) fn tokens(input: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut token: Option<Token> = None;
    let (mut line, mut quoted, mut escaped, mut comment) = (1, false, false, false);
    for (at, c) in input.char_indices() {
        let end = at + c.len_utf8();
        if quoted && let Some(open) = &mut token {
            open.span.end = end;
            match c {
                '\\' if !escaped => {
                    escaped = true;
                    continue;
                }
                '"' if !escaped => {
                    quoted = false;
                    tokens.extend(token.take());
                    continue;
                }
                '\n' => line += 1,
                _ => {}
            }
            if escaped && c != '"' {
                open.text.push('\\');
            }
            open.text.push(c);
            escaped = false;
            continue;
        }
        if c.is_whitespace() {
            // A carriage return neither ends a token nor belongs to it.
            if c == '\r' {
                continue;
            }
            if c == '\n' {
                line += 1;
                comment = false;
            }
            tokens.extend(token.take());
            continue;
        }
        comment |= c == '#';
        if comment || (at == 0 && c == '\u{feff}') {
            continue;
        }
        match &mut token {
            Some(open) => {
                open.text.push(c);
                open.span.end = end;
            }
            None => {
                quoted = c == '"';
                let text = if quoted { String::new() } else { c.to_string() };
                token = Some(Token { text, line, span: at..end, imported: false });
            }
        }
    }
    tokens.extend(token.filter(|token| !token.text.is_empty()));
    tokens
}
