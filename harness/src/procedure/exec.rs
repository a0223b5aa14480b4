//! Commands in pods: `kubectl exec`.

use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::AttachParams;
use tokio::io::AsyncReadExt as _;

/// What a command came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// Exit code.
    pub code: i32,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

/// A command that could not be run at all.
#[derive(Debug, thiserror::Error)]
pub enum ExecError {
    /// The API refused.
    #[error("{0}")]
    Kube(#[from] kube::Error),
    /// The streams broke off.
    #[error("the command's output broke off: {0}")]
    Io(#[from] std::io::Error),
    /// The API told no exit code.
    #[error("the API did not say how the command ended: {0}")]
    NoStatus(String),
}

/// Runs a command in a pod's first container and waits for its end.
///
/// # Errors
/// When the command could not be run. A command that ran and failed is an [`Output`] with its code.
pub async fn exec(pods: &Api<Pod>, pod: &str, command: &[String]) -> Result<Output, ExecError> {
    let mut process = pods.exec(pod, command, &AttachParams::default().stdin(false).stderr(true)).await?;
    let status = process.take_status();
    let (mut stdout, mut stderr) = (String::new(), String::new());
    let (out, err) = (process.stdout(), process.stderr());
    tokio::try_join!(
        async {
            match out {
                Some(mut out) => out.read_to_string(&mut stdout).await.map(drop),
                None => Ok(()),
            }
        },
        async {
            match err {
                Some(mut err) => err.read_to_string(&mut stderr).await.map(drop),
                None => Ok(()),
            }
        },
    )?;
    let status = match status {
        Some(status) => status.await,
        None => None,
    };
    let status = status.ok_or_else(|| ExecError::NoStatus("no status was sent".to_owned()))?;
    let code = if status.status.as_deref() == Some("Success") {
        0
    } else {
        status
            .details
            .iter()
            .flat_map(|details| details.causes.iter().flatten())
            .find(|cause| cause.reason.as_deref() == Some("ExitCode"))
            .and_then(|cause| cause.message.as_deref()?.parse().ok())
            .ok_or_else(|| ExecError::NoStatus(status.message.clone().unwrap_or_default()))?
    };
    Ok(Output { code, stdout, stderr })
}
