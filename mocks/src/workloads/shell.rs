//! Commands of Debian's images that checks of a network use. Anything else ends with code 127, as a container runtime
//! says it.

use super::curl::curl;
use super::{Container, ExecIo, resolver};

/// Runs a command.
pub async fn debian_commands(container: &Container, command: &[String], io: ExecIo) -> i32 {
    let (code, stdout, stderr) = run(container, command).await;
    // The other end may have gone: then nobody reads it.
    if !stdout.is_empty() {
        let _ = io.stdout.send(stdout.into()).await;
    }
    if !stderr.is_empty() {
        let _ = io.stderr.send(stderr.into_bytes().into()).await;
    }
    code
}

async fn run(container: &Container, command: &[String]) -> (i32, Vec<u8>, String) {
    let words: Vec<&str> = command.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["curl", ..] => {
            let output = curl(container, &command[1..]).await;
            (output.code, output.stdout, output.stderr)
        }
        ["true"] => (0, Vec::new(), String::new()),
        ["hostname"] => (0, format!("{}\n", container.hostname).into_bytes(), String::new()),
        ["cat", file] => match read(container, file) {
            Some(content) => (0, content, String::new()),
            None => (1, Vec::new(), format!("cat: {file}: No such file or directory\n")),
        },
        ["getent", "hosts" | "ahostsv4", name] => {
            match resolver::resolve(&*container.host, &container.resolv_conf, name).await {
                Ok(addresses) => {
                    let lines: String = addresses.iter().map(|address| format!("{address:<15} {name}\n")).collect();
                    (0, lines.into_bytes(), String::new())
                }
                // getent(1): the key was not found.
                Err(_) => (2, Vec::new(), String::new()),
            }
        }
        ["sh" | "bash", "-c", script] if !script.contains(['|', '&', ';', '<', '>', '$', '`', '(', '"', '\'']) => {
            let words: Vec<String> = script.split_whitespace().map(str::to_owned).collect();
            Box::pin(run(container, &words)).await
        }
        ["sh" | "bash", ..] => (2, Vec::new(), "sh: only `-c` with one simple command is emulated\n".to_owned()),
        other => {
            let name = other.first().copied().unwrap_or_default();
            let message = format!(
                "exec failed: unable to start container process: exec: \"{name}\": executable file not found in $PATH\n"
            );
            (127, Vec::new(), message)
        }
    }
}

fn read(container: &Container, file: &str) -> Option<Vec<u8>> {
    match file {
        "/etc/resolv.conf" => Some(container.resolv_conf.to_string().into_bytes()),
        "/etc/hostname" => Some(format!("{}\n", container.hostname).into_bytes()),
        _ => container.files.borrow().get(file).map(|content| content.to_vec()),
    }
}
