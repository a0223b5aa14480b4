//! Fresh ids in AWS's forms.

/// Makes ids. Deterministic: the same sequence of calls gives the same ids.
#[derive(Debug, Default)]
pub struct Ids {
    next: u64,
}

impl Ids {
    /// A resource id: the prefix, a dash and 17 hexadecimal digits (`vpc-0…`).
    pub fn resource(&mut self, prefix: &str) -> String {
        format!("{prefix}-{}", &self.hex(18)[1..])
    }

    /// `digits` hexadecimal digits.
    pub fn hex(&mut self, digits: usize) -> String {
        use sha1::Digest as _;
        self.next += 1;
        let hash = sha1::Sha1::digest(self.next.to_be_bytes());
        let mut hex: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
        // A leading zero, as AWS's long ids have.
        hex.replace_range(1..2, "0");
        hex.truncate(digits);
        hex
    }
}
