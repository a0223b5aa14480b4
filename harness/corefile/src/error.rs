//! Errors with a place.

use std::fmt;

/// Something that CoreDNS would refuse.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct ParseError {
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
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
    /// An error at a byte of the input.
    pub(crate) fn at(input: &str, offset: usize, message: impl Into<String>) -> Self {
        let before = input.get(..offset).unwrap_or(input);
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().map_or(0, |tail| tail.chars().count()) + 1;
        Self { line, column, message: message.into() }
    }
}
