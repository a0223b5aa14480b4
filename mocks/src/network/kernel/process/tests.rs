#![expect(clippy::unwrap_used, reason = "tests")]

use std::io::{BufRead as _, BufReader};
use std::path::Path;

use tokio::io::AsyncReadExt as _;

use super::super::tests::{kernel, until};
use super::*;
use crate::network::{HostKind, HostSpec, Network as _};

/// Set in the process that plays the lab which is killed: what its program is known by.
const TO_BE_KILLED: &str = "ACROSSK8S_TO_BE_KILLED";

fn mounts(files: &[(&str, &str)]) -> Mounts {
    let empty = ["/tmp".into(), "/run".into()].into();
    Mounts { files: by_path(files), empty }
}

fn by_path(files: &[(&str, &str)]) -> BTreeMap<PathBuf, Bytes> {
    files.iter().map(|(path, text)| ((*path).into(), Bytes::copy_from_slice(text.as_bytes()))).collect()
}

/// A network with one host, which has to be kept.
async fn place() -> Option<(Arc<super::super::Kernel>, Place)> {
    let kernel = kernel().await?;
    let (vpc, address) = ("vpc-1".to_owned(), [10, 1, 0, 9].into());
    let host = kernel.attach(HostSpec { name: "node".into(), vpc, address, kind: HostKind::Node }).await.unwrap();
    Some((kernel, host.place().unwrap()))
}

fn shell(script: &str) -> Launch {
    let env = BTreeMap::from([("PATH".to_owned(), "/usr/sbin:/usr/bin:/sbin:/bin".to_owned())]);
    Launch { program: "sh".into(), args: vec!["-c".into(), script.into()], env, stdin: false }
}

/// The exit code and all output of a script.
async fn run(sandbox: &Sandbox, script: &str) -> (i32, String) {
    let mut process = sandbox.spawn(shell(script)).await.unwrap();
    let mut output = String::new();
    process.stdout.take().unwrap().read_to_string(&mut output).await.unwrap();
    process.stderr.take().unwrap().read_to_string(&mut output).await.unwrap();
    (process.wait().await.unwrap(), output)
}

/// Whether a process has an argument.
fn runs(argument: &str) -> bool {
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    processes
        .filter_map(|process| std::fs::read(process.path().join("cmdline")).ok())
        .any(|line| line.split(|byte| *byte == 0).any(|it| it == argument.as_bytes()))
}

/// A time to sleep that no other process has.
fn long_sleep() -> String {
    format!("1000000.{}", rand::random::<u32>())
}

#[tokio::test]
async fn a_program_sees_its_pod_and_nobody_else_does() {
    let Some((_kernel, place)) = place().await else { return };
    let before = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    let resolv_conf = std::fs::read("/etc/resolv.conf").ok();
    let files = [
        ("/etc/resolv.conf", "nameserver 172.20.0.10\n"),
        ("/etc/hosts", "10.1.0.9 pod-1\n"),
        ("/etc/acrossk8s-test/deeper/file", "of a volume\n"),
        ("/var/run/secrets/token", "secret\n"),
        ("/tmp/of-the-pod", "temporary\n"),
    ];
    let sandbox = place.sandbox(mounts(&files), "pod-1").await.unwrap();
    for (path, content) in files {
        assert_eq!(run(&sandbox, &format!("cat {path}")).await, (0, content.to_owned()));
    }
    assert_eq!(run(&sandbox, "hostname").await, (0, "pod-1\n".to_owned()));
    // Its address alone, and the machine's other files.
    let (_, addresses) = run(&sandbox, "cat /proc/net/fib_trie").await;
    assert!(!addresses.is_empty() && std::fs::read_to_string("/proc/self/net/fib_trie").unwrap() != addresses);
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap();
    assert_eq!(run(&sandbox, "cat /etc/passwd").await, (0, passwd));
    assert_eq!(run(&sandbox, "echo $$; ls /tmp; exit 3").await, (3, "1\nof-the-pod\n".to_owned()));
    let (code, _) = run(&sandbox, "kill -9 $$; sh -c 'kill -9 1'; echo first of its namespace").await;
    assert_eq!(code, 0, "it is the first process of its namespace, which nothing inside can kill");

    assert_eq!(std::fs::read_to_string("/proc/self/mountinfo").unwrap(), before);
    assert_eq!(std::fs::read("/etc/resolv.conf").ok(), resolv_conf);
    assert!(!Path::new("/etc/acrossk8s-test").exists() && !Path::new("/tmp/of-the-pod").exists());
}

#[tokio::test]
async fn a_changed_file_is_seen_by_what_runs() {
    let Some((_kernel, place)) = place().await else { return };
    let sandbox = place.sandbox(mounts(&[("/etc/hosts", "one\n"), ("/etc/volume/a", "1\n")]), "pod-1").await.unwrap();
    let script = "cat /etc/volume/a; read go; cat /etc/volume/*; read go";
    let mut process = sandbox.spawn(Launch { stdin: true, ..shell(script) }).await.unwrap();
    let (mut stdin, mut stdout) = (process.stdin.take().unwrap(), process.stdout.take().unwrap());
    let mut seen = [0; 2];
    stdout.read_exact(&mut seen).await.unwrap();
    assert_eq!(&seen, b"1\n");
    sandbox.update(&by_path(&[("/etc/hosts", "one\n"), ("/etc/volume/b", "2\n")])).unwrap();
    tokio::io::AsyncWriteExt::write_all(&mut stdin, b"go\n").await.unwrap();
    stdout.read_exact(&mut seen).await.unwrap();
    assert_eq!(&seen, b"2\n");
    let elsewhere = sandbox.update(&by_path(&[("/opt/no/volume", "3\n")])).unwrap_err();
    assert_eq!(elsewhere.kind(), io::ErrorKind::NotFound);
}

#[tokio::test]
async fn what_cannot_be_mounted_or_started_is_told() {
    let Some((_kernel, place)) = place().await else { return };
    let refused = |path: &'static str| place.sandbox(mounts(&[(path, "")]), "pod-1");
    for path in ["/not-there-on-any-machine/file", "relative"] {
        let error = refused(path).await.err().unwrap();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{error}");
    }
    let sandbox = place.sandbox(mounts(&[]), "pod-1").await.unwrap();
    let missing = Launch { program: "not-there-on-any-machine".into(), ..shell("") };
    assert_eq!(sandbox.spawn(missing).await.unwrap_err().kind(), io::ErrorKind::NotFound);
    let no_program = Launch { program: "/etc/passwd".into(), ..shell("") };
    assert_eq!(sandbox.spawn(no_program).await.unwrap_err().kind(), io::ErrorKind::PermissionDenied);
}

#[tokio::test]
async fn a_program_ends_with_what_it_started_when_nobody_wants_it_any_more() {
    let Some((_kernel, place)) = place().await else { return };
    let sandbox = place.sandbox(mounts(&[]), "pod-1").await.unwrap();
    let (one, other) = (long_sleep(), long_sleep());
    // The second one leaves its session and its parent, as a daemon does.
    let process = sandbox.spawn(shell(&format!("(setsid sleep {other} &); sleep {one}; true"))).await.unwrap();
    until("both run", async || runs(&one) && runs(&other)).await;
    drop(process);
    until("neither runs", async || !runs(&one) && !runs(&other)).await;

    let mut process =
        sandbox.spawn(shell("trap 'exit 7' TERM; echo ready; while :; do sleep 0.01; done")).await.unwrap();
    let mut ready = [0; 6];
    process.stdout.as_mut().unwrap().read_exact(&mut ready).await.unwrap();
    process.signals().send(Signal::SIGTERM);
    assert_eq!(process.wait().await.unwrap(), 7);
}

/// Not a test by itself: the lab that others kill.
#[tokio::test]
async fn a_lab_to_be_killed() {
    let Some(time) = std::env::var_os(TO_BE_KILLED) else { return };
    let Some((_kernel, place)) = place().await else { return };
    let sandbox = place.sandbox(mounts(&[("/etc/resolv.conf", "nameserver 172.20.0.10\n")]), "pod-1").await.unwrap();
    let mut launch = shell("cat /etc/resolv.conf; sleep \"$1\" & exec sleep \"$1\"");
    launch.args.extend(["sh".into(), time]);
    let mut process = sandbox.spawn(launch).await.unwrap();
    let mut seen = [0; 23];
    process.stdout.as_mut().unwrap().read_exact(&mut seen).await.unwrap();
    println!("\nseen {}", String::from_utf8_lossy(&seen).trim());
    process.wait().await.unwrap();
}

/// Kills a lab of its own process with SIGKILL, which it cannot act upon, and sees its program end. `wrapper` starts it.
async fn kill_a_lab(wrapper: &[&str]) {
    let time = long_sleep();
    let mut words: Vec<OsString> = wrapper.iter().map(OsString::from).collect();
    words.push(std::env::current_exe().unwrap().into());
    let name = "network::kernel::process::tests::a_lab_to_be_killed";
    let mut lab = Command::new(&words[0])
        .args(&words[1..])
        .args([name, "--exact", "--nocapture"])
        .env(TO_BE_KILLED, &time)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(lab.stdout.take().unwrap()).lines().map_while(Result::ok);
    assert!(lines.any(|line| line.contains("seen nameserver 172.20.0.10")), "the lab's program did not start");
    assert!(runs(&time));
    lab.kill().unwrap();
    lab.wait().unwrap();
    until("the program ends with the lab", async || !runs(&time)).await;
}

#[tokio::test]
async fn a_program_ends_with_a_lab_that_is_killed() {
    if kernel().await.is_some() {
        kill_a_lab(&[]).await;
    }
}

/// Root of a user namespace has no right over the machine; unshare(1) becomes the lab by exec.
#[tokio::test]
async fn root_of_a_user_namespace_can_run_programs() {
    let wrapper = ["unshare", "--user", "--map-root-user", "--net", "--mount"];
    let allowed = Command::new(wrapper[0]).args(&wrapper[1..]).arg("true").status();
    if kernel().await.is_none() || !allowed.is_ok_and(|status| status.success()) {
        eprintln!("not tested: no user namespaces here");
        return;
    }
    kill_a_lab(&wrapper).await;
}
