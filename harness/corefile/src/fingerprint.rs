//! What `reload` hashes.

use std::fmt::Write as _;

use sha2::{Digest as _, Sha512};

use crate::Corefile;

impl Corefile {
    /// The fingerprint that the `reload` plugin logs: the SHA-512 of [`Self::token_json`], in hexadecimal digits.
    pub fn sha512(&self) -> String {
        Sha512::digest(self.token_json()).iter().fold(String::new(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
    }

    /// The JSON text whose SHA-512 the `reload` plugin logs and exports: the tokens of each directive with their lines,
    /// as Go's encoder writes them. Comments and white space within lines do not count.
    pub fn token_json(&self) -> String {
        if self.blocks.is_empty() {
            return "null".to_owned();
        }
        let blocks: Vec<String> = self
            .blocks
            .iter()
            .map(|block| {
                let keys: Vec<String> = block.raw.keys.iter().map(|key| string(key)).collect();
                let tokens = block.raw.tokens.iter().map(|(name, tokens)| {
                    let tokens: Vec<String> = tokens
                        .iter()
                        .map(|(line, text)| format!("{{\"File\":\"\",\"Line\":{line},\"Text\":{}}}", string(text)))
                        .collect();
                    format!("{}:[{}]", string(name), tokens.join(","))
                });
                let tokens: Vec<String> = tokens.collect();
                format!("{{\"Keys\":[{}],\"Tokens\":{{{}}}}}", keys.join(","), tokens.join(","))
            })
            .collect();
        format!("[{}]", blocks.join(","))
    }
}

/// A JSON string with Go's escapes, which protect HTML.
fn string(text: &str) -> String {
    let mut json = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => json.push_str("\\\""),
            '\\' => json.push_str("\\\\"),
            '\n' => json.push_str("\\n"),
            '\r' => json.push_str("\\r"),
            '\t' => json.push_str("\\t"),
            '\u{8}' => json.push_str("\\b"),
            '\u{c}' => json.push_str("\\f"),
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' | '\0'..'\u{20}' => {
                // Writing to a string does not fail.
                let _ = write!(json, "\\u{:04x}", u32::from(c));
            }
            c => json.push(c),
        }
    }
    json.push('"');
    json
}
