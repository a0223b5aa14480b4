//! Tokens of the Caddyfile syntax.
//!
//! Source: the Caddyfile documentation that CoreDNS's manual refers to: white space separates tokens, a line feed ends a
//! directive, double quotes hold white space together, and `#` at the start of a token comments out the rest of a line.

use std::ops::Range;

use crate::ParseError;

/// A token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Token {
    /// Its text, quotes and escapes resolved.
    pub text: String,
    /// Whether it was quoted: a quoted brace is no brace.
    pub quoted: bool,
    /// Line, from 1.
    pub line: usize,
    /// Where in the file.
    pub span: Range<usize>,
}

impl Token {
    pub(crate) fn is(&self, text: &str) -> bool {
        !self.quoted && self.text == text
    }
}

pub(crate) fn tokens(input: &str) -> Result<Vec<Token>, ParseError> {
    let mut tokens = Vec::new();
    let mut line = 1;
    let mut chars = input.char_indices().peekable();
    while let Some((start, c)) = chars.next() {
        match c {
            '\n' => line += 1,
            c if c.is_whitespace() => {}
            '#' => while chars.next_if(|(_, c)| *c != '\n').is_some() {},
            '"' => {
                let (first, mut text, mut end) = (line, String::new(), None);
                while let Some((at, c)) = chars.next() {
                    match c {
                        '"' => {
                            end = Some(at + 1);
                            break;
                        }
                        '\\' if chars.peek().is_some_and(|(_, next)| *next == '"') => {
                            chars.next();
                            text.push('"');
                        }
                        c => {
                            line += usize::from(c == '\n');
                            text.push(c);
                        }
                    }
                }
                let Some(end) = end else {
                    return Err(ParseError::at(input, start, "a quote is opened and never closed"));
                };
                tokens.push(Token { text, quoted: true, line: first, span: start..end });
            }
            _ => {
                let mut end = start + c.len_utf8();
                while let Some((at, c)) = chars.next_if(|(_, c)| !c.is_whitespace()) {
                    end = at + c.len_utf8();
                }
                tokens.push(Token { text: input[start..end].to_owned(), quoted: false, line, span: start..end });
            }
        }
    }
    Ok(tokens)
}
