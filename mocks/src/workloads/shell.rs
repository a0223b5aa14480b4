//! Commands that exec finds in Debian-based images, as far as this procedure uses them.

use bytes::Bytes;
use tokio::sync::mpsc::Sender;

use super::{Container, ExecIo, curl, resolver};

/// Exit code of a command that does not exist.
const NOT_FOUND: i32 = 127;

/// Runs a command of the image: `curl`, `cat`, `hostname`, `getent`, `true`, and `sh -c` with one simple command.
/// Anything else does not exist here.
pub(super) async fn run(container: &Container, command: &[String], io: ExecIo) -> i32 {
    let words: Vec<&str> = command.iter().map(String::as_str).collect();
    let Some((program, args)) = words.split_first() else { return not_found(command, &io).await };
    let name = ["/bin/", "/usr/bin/"].iter().find_map(|path| program.strip_prefix(path)).unwrap_or(program);
    match (name, args) {
        ("curl", _) => curl::run(container, &command[1..], io).await,
        ("true", _) => 0,
        ("hostname", []) => {
            print(&io.stdout, format!("{}\n", container.hostname)).await;
            0
        }
        ("cat", [_, ..]) => cat(container, args, &io).await,
        ("getent", [database @ ("hosts" | "ahosts" | "ahostsv4"), names @ ..]) => {
            getent(container, database, names, &io).await
        }
        ("sh" | "bash" | "dash", ["-c", script]) => {
            let words = split(script);
            match words {
                Some(words) if words.first().is_some_and(|word| word != "sh") => {
                    Box::pin(run(container, &words, io)).await
                }
                _ => {
                    let message = "sh: 1: only one simple command, without expansions, is emulated\n".to_owned();
                    print(&io.stderr, message).await;
                    2
                }
            }
        }
        _ => not_found(command, &io).await,
    }
}

/// Writes to a standard stream. A reader that has gone away is no error of the program's.
pub(super) async fn print(stream: &Sender<Bytes>, text: String) {
    let _ = stream.send(Bytes::from(text)).await;
}

/// What the container runtime says of a command that the image does not have.
pub(super) async fn not_found(command: &[String], io: &ExecIo) -> i32 {
    let program = command.first().map_or("", String::as_str);
    let message = format!(
        "OCI runtime exec failed: exec failed: unable to start container process: exec: {program:?}: executable file \
         not found in $PATH: unknown\n"
    );
    print(&io.stderr, message).await;
    NOT_FOUND
}

async fn cat(container: &Container, paths: &[&str], io: &ExecIo) -> i32 {
    let mut code = 0;
    for path in paths {
        let mounted = container.files.borrow().get(*path).cloned();
        let content = match (mounted, *path) {
            (Some(content), _) => Some(content),
            (None, "/etc/resolv.conf") => Some(Bytes::from(container.resolv_conf.to_string())),
            (None, "/etc/hostname") => Some(Bytes::from(format!("{}\n", container.hostname))),
            (None, "/etc/hosts") => Some(Bytes::from(container.etc_hosts())),
            _ => None,
        };
        match content {
            Some(content) => drop(io.stdout.send(content).await),
            None => {
                print(&io.stderr, format!("cat: {path}: No such file or directory\n")).await;
                code = 1;
            }
        }
    }
    code
}

/// Lines of getent(1); 2 when a name is not found.
async fn getent(container: &Container, database: &str, names: &[&str], io: &ExecIo) -> i32 {
    for name in names {
        let Ok(addresses) = resolver::resolve_in(container, name).await else { return 2 };
        let mut lines = String::new();
        for (at, address) in addresses.iter().enumerate() {
            if database == "hosts" {
                lines.push_str(&format!("{:<15} {name}\n", address.to_string()));
                continue;
            }
            for kind in ["STREAM", "DGRAM", "RAW"] {
                let canonical = if at == 0 && kind == "STREAM" { *name } else { "" };
                lines.push_str(format!("{:<15} {kind:<6} {canonical}", address.to_string()).trim_end());
                lines.push('\n');
            }
        }
        print(&io.stdout, lines).await;
    }
    0
}

/// Splits a simple command into words: white space, single and double quotes, backslashes. `None` where a shell would
/// do more than run one command.
fn split(script: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut chars = script.trim().chars();
    while let Some(c) = chars.next() {
        match c {
            c if c.is_whitespace() && c != '\n' => words.extend(word.take()),
            '\'' => {
                let word = word.get_or_insert_default();
                loop {
                    match chars.next()? {
                        '\'' => break,
                        c => word.push(c),
                    }
                }
            }
            '"' => {
                let word = word.get_or_insert_default();
                loop {
                    match chars.next()? {
                        '"' => break,
                        '\\' => word.push(chars.next()?),
                        '$' | '`' => return None,
                        c => word.push(c),
                    }
                }
            }
            '\\' => word.get_or_insert_default().push(chars.next()?),
            '$' | '`' | ';' | '&' | '|' | '<' | '>' | '(' | ')' | '\n' | '*' | '?' => return None,
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    Some(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[rstest::rstest]
    #[case("curl -s 'a b' \"c\\\"d\" e\\ f", Some(vec!["curl", "-s", "a b", "c\"d", "e f"]))]
    #[case("true", Some(vec!["true"]))]
    #[case("a; b", None)]
    #[case("echo $HOME", None)]
    #[case("'open", None)]
    fn a_script_of_one_simple_command_is_split(#[case] script: &str, #[case] expected: Option<Vec<&str>>) {
        let expected = expected.map(|words| words.into_iter().map(str::to_owned).collect());
        assert_eq!(split(script), expected);
    }
}
