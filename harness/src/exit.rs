//! Exit codes: a public, documented contract.

use std::fmt;

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum ExitCode {
    /// Everything passed.
    Passed = 0,
    /// Something that should not happen.
    Unexpected = 1,
    /// The command line, the scenario or the machine's set-up is wrong; nothing was made.
    Usage = 2,
    /// A step of the procedure failed or an invariant does not hold.
    Failed = 10,
    /// The environment could not be provisioned.
    NotProvisioned = 20,
    /// Teardown left something.
    LeftOver = 30,
    /// Interrupted, and everything taken down.
    Interrupted = 40,
    /// Interrupted, and something left.
    InterruptedNotClean = 41,
    /// The document is not the one that the procedure was written for.
    Drifted = 50,
}

impl ExitCode {
    /// The number.
    pub fn code(self) -> u8 {
        self as u8
    }
}

impl fmt::Display for ExitCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ExitCode::Passed => "passed",
            ExitCode::Unexpected => "unexpected",
            ExitCode::Usage => "usage or configuration",
            ExitCode::Failed => "an invariant failed",
            ExitCode::NotProvisioned => "the environment could not be provisioned",
            ExitCode::LeftOver => "teardown left something",
            ExitCode::Interrupted => "interrupted, everything taken down",
            ExitCode::InterruptedNotClean => "interrupted, something left",
            ExitCode::Drifted => "the document drifted",
        })
    }
}

impl From<ExitCode> for std::process::ExitCode {
    fn from(code: ExitCode) -> Self {
        code.code().into()
    }
}
