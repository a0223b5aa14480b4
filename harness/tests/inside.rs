//! Stepping into the pods of a kept lab, and what is left when a lab ends. These tests need the right to make network
//! namespaces (root): without it they say so and end, except where `ACROSSK8S_KERNEL_TESTS` is set, as in CI.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::Ipv4Addr;
use std::ops::{Deref, DerefMut};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use acrossk8s_mocks::network::kernel::Kernel;
use k8s_openapi::api::core::v1::Pod;
use kube::api::PostParams;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::runtime::wait::{await_condition, conditions};
use kube::{Api, Client, Config};
use pcap_file::DataLink;
use pcap_file::pcap::PcapReader;

mod common;
use common::{command, lab_has_ended, lab_process, only_run, run, text, two_clusters};

/// One lab at a time: several at once on a small machine would wait for each other longer than the probes do.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// The pod that each cluster has for these tests: it asks its cluster's DNS and answers HTTP.
const POD: &str = "web";

#[tokio::main]
async fn block_on<T>(work: impl Future<Output = T>) -> T {
    work.await
}

fn is_allowed() -> bool {
    let allowed = block_on(Kernel::try_out());
    if let Err(error) = &allowed {
        assert!(std::env::var_os("ACROSSK8S_KERNEL_TESTS").is_none(), "no kernel network: {error}");
        eprintln!("not tested: no kernel network: {error}");
    }
    allowed.is_ok()
}

/// A kept run with a pod in each of its two clusters. Its lab is killed at the end, whatever came of the test.
struct Kept {
    runs: tempfile::TempDir,
    directory: PathBuf,
    id: String,
    lab: u32,
    /// The namespaces that the lab's process holds.
    namespaces: BTreeSet<u64>,
    pods: [Ipv4Addr; 2],
}

impl Kept {
    fn new() -> Self {
        let runs = tempfile::tempdir().unwrap();
        let output = run(runs.path(), &["run", "--network", "kernel", "--keep", "-s", &two_clusters()]);
        assert_eq!(output.status.code(), Some(0), "{}", text(&output));
        let directory = only_run(runs.path());
        let id = directory.file_name().unwrap().to_str().unwrap().to_owned();
        let lab = lab_process(&directory).unwrap();
        let pods = [Ipv4Addr::UNSPECIFIED; 2];
        let mut kept = Self { runs, directory, id, lab, namespaces: open_namespaces(lab), pods };
        kept.pods = ["east", "west"].map(|cluster| block_on(kept.pod(cluster)));
        kept.namespaces = open_namespaces(lab);
        assert!(kept.namespaces.len() > 10, "{:?}", kept.namespaces);
        kept
    }

    /// Makes the pod of a cluster and waits until it is ready.
    async fn pod(&self, cluster: &str) -> Ipv4Addr {
        let kubeconfig = Kubeconfig::read_from(self.directory.join("kubeconfig")).unwrap();
        let context = Some(format!("acrossk8s@{cluster}.eu-central-1.eksctl.io"));
        let options = KubeConfigOptions { context, ..KubeConfigOptions::default() };
        let config = Config::from_custom_kubeconfig(kubeconfig, &options).await.unwrap();
        let pods: Api<Pod> = Api::default_namespaced(Client::try_from(config).unwrap());
        let pod = serde_json::json!({
            "metadata": { "name": POD },
            "spec": { "containers": [{ "name": "nginx", "image": "nginx:1.21.5" }] },
        });
        pods.create(&PostParams::default(), &serde_json::from_value(pod).unwrap()).await.unwrap();
        let ready = await_condition(pods, POD, conditions::is_pod_running());
        let pod = tokio::time::timeout(Duration::from_secs(30), ready).await.unwrap().unwrap();
        pod.unwrap().status.unwrap().pod_ip.unwrap().parse().unwrap()
    }

    fn run(&self, args: &[&str]) -> Output {
        run(self.runs.path(), args)
    }

    fn exec(&self, cluster: &str, program: &[&str]) -> Output {
        self.run(&[&["exec", POD, "--cluster", cluster, "--"], program].concat())
    }

    fn start(&self, args: &[&str]) -> Started {
        let mut command = command(self.runs.path(), args);
        Started(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap())
    }

    fn start_exec(&self, program: &[&str]) -> Started {
        self.start(&[&["exec", POD, "--cluster", "east", "--"], program].concat())
    }

    /// Starts a capture and waits until it sees packets.
    fn start_capture(&self, cluster: &str, file: &Path, more: &[&str]) -> Capture {
        let output = file.display().to_string();
        let args = [&["capture", POD, "--cluster", cluster, "--output", &output], more].concat();
        let mut child = self.start(&args);
        let mut said = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        said.read_line(&mut line).unwrap();
        assert!(line.starts_with(&format!("capturing in {cluster}/default/{POD} to ")), "{line}");
        Capture { child, said }
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        // Its number may be another's by now.
        if !open_namespaces(self.lab).is_disjoint(&self.namespaces) {
            signal("KILL", self.lab);
        }
    }
}

/// A command that does not outlive the test, whatever comes of it.
struct Started(Child);

impl Deref for Started {
    type Target = Child;

    fn deref(&self) -> &Child {
        &self.0
    }
}

impl DerefMut for Started {
    fn deref_mut(&mut self) -> &mut Child {
        &mut self.0
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        // One that has ended is no matter.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

struct Capture {
    child: Started,
    said: BufReader<std::process::ChildStderr>,
}

impl Capture {
    /// Its exit code and last line.
    fn end(mut self) -> (Option<i32>, String) {
        let code = await_end(&mut self.child);
        let last = self.said.lines().last().unwrap().unwrap();
        (code, last)
    }
}

/// Sends a signal; a process that is gone is no matter.
fn signal(name: &str, process: u32) {
    let _ = Command::new("kill").args(["-s", name, &process.to_string()]).stderr(Stdio::null()).status().unwrap();
}

#[track_caller]
fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !condition() {
        assert!(Instant::now() < deadline, "{what}: never");
        std::thread::yield_now();
    }
}

#[track_caller]
fn await_end(child: &mut Child) -> Option<i32> {
    let mut status = None;
    until("the command ends", || {
        status = child.try_wait().unwrap();
        status.is_some()
    });
    status.unwrap().code()
}

fn inode(link: &Path) -> Option<u64> {
    let link = fs::read_link(link).ok()?;
    link.to_str()?.strip_prefix("net:[")?.strip_suffix(']')?.parse().ok()
}

/// Network namespaces that a process has open.
fn open_namespaces(process: u32) -> BTreeSet<u64> {
    let Ok(files) = fs::read_dir(format!("/proc/{process}/fd")) else { return BTreeSet::new() };
    files.filter_map(|file| inode(&file.ok()?.path())).collect()
}

fn processes() -> impl Iterator<Item = u32> {
    fs::read_dir("/proc").unwrap().filter_map(|it| it.ok()?.file_name().to_str()?.parse().ok())
}

/// Which of these namespaces are still there: a process (or one of its threads) is in it or has it open, or it is mounted.
fn remaining(namespaces: &BTreeSet<u64>) -> BTreeSet<u64> {
    let mut held: BTreeSet<u64> = BTreeSet::new();
    for process in processes() {
        held.extend(open_namespaces(process));
        let threads = fs::read_dir(format!("/proc/{process}/task")).into_iter().flatten();
        held.extend(threads.filter_map(|thread| inode(&thread.ok()?.path().join("ns/net"))));
        let mounts = fs::read_to_string(format!("/proc/{process}/mountinfo")).unwrap_or_default();
        held.extend(namespaces.iter().filter(|inode| mounts.contains(&format!("net:[{inode}]"))));
    }
    held.intersection(namespaces).copied().collect()
}

/// Whether a process has this among its arguments.
fn runs_with(argument: &str) -> bool {
    processes().any(|process| {
        let line = fs::read(format!("/proc/{process}/cmdline")).unwrap_or_default();
        line.split(|byte| *byte == 0).any(|it| it == argument.as_bytes())
    })
}

/// Interfaces and nftables tables of the machine's own network.
fn machines_own() -> (BTreeSet<String>, bool) {
    let devices = fs::read_to_string("/proc/net/dev").unwrap();
    let devices = devices.lines().filter_map(|line| Some(line.split_once(':')?.0.trim().to_owned())).collect();
    let tables = block_on(async {
        let nftables = nlink::netlink::Connection::<nlink::netlink::Nftables>::new().unwrap();
        nftables.list_tables().await.unwrap()
    });
    (devices, tables.iter().any(|table| table.name == "acrossk8s"))
}

fn mounts() -> String {
    fs::read_to_string("/proc/self/mountinfo").unwrap()
}

/// The packets of a capture, each with the header of a capture on all interfaces.
fn packets_in(file: &Path) -> Vec<Vec<u8>> {
    let mut pcap = PcapReader::new(File::open(file).unwrap()).unwrap();
    assert_eq!(pcap.header().datalink, DataLink::LINUX_SLL2);
    let mut packets = Vec::new();
    while let Some(packet) = pcap.next_packet() {
        let packet = packet.unwrap();
        assert_eq!(packet.orig_len as usize, packet.data.len());
        let age = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().abs_diff(packet.timestamp);
        assert!(age < Duration::from_secs(3600), "{age:?}");
        packets.push(packet.data.into_owned());
    }
    packets
}

/// Source, destination and flags of the TCP segments of a capture.
fn segments(file: &Path) -> Vec<(Ipv4Addr, Ipv4Addr, u8)> {
    let mut segments = Vec::new();
    for packet in packets_in(file) {
        let (head, ip) = packet.split_at(20);
        if head[..2] == [0x08, 0x00] && ip[9] == 6 {
            let address = |at: usize| Ipv4Addr::new(ip[at], ip[at + 1], ip[at + 2], ip[at + 3]);
            let tcp = &ip[usize::from(ip[0] & 0x0f) * 4..];
            segments.push((address(12), address(16), tcp[13] & 0x3f));
        }
    }
    segments
}

#[test]
fn a_person_steps_into_the_pods_of_a_kept_lab() {
    if !is_allowed() {
        return;
    }
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let (machine, mounted) = (machines_own(), mounts());
    let kept = Kept::new();
    let [east, west] = kept.pods;
    let namespaces = kept.namespaces.clone();
    let out = |output: &Output| {
        assert_eq!(output.status.code(), Some(0), "{}", text(output));
        String::from_utf8(output.stdout.clone()).unwrap()
    };

    // It is the pod, and the machine is as it was.
    let resolv_conf = "search default.svc.cluster.local svc.cluster.local cluster.local eu-central-1.compute.internal\n\
                       nameserver 10.100.0.10\noptions ndots:5\n";
    let seen = out(&kept.exec("east", &["cat", "/etc/resolv.conf"]));
    let nameserver = seen.lines().find_map(|line| line.strip_prefix("nameserver ")).unwrap().to_owned();
    assert_eq!(seen, resolv_conf.replace("10.100.0.10", &nameserver));
    let hosts = format!("127.0.0.1\tlocalhost\n{east}\t{POD}\n");
    assert_eq!(out(&kept.exec("east", &["cat", "/etc/hosts"])), hosts);
    assert_ne!(fs::read_to_string("/etc/hosts").unwrap(), hosts);
    assert_eq!(out(&kept.exec("east", &["cat", "/proc/sys/kernel/hostname"])).trim(), POD);
    let devices = out(&kept.exec("east", &["cat", "/proc/net/dev"]));
    assert_eq!(devices.lines().filter(|line| line.contains(':')).count(), 2, "lo and the way out: {devices}");
    assert!(out(&kept.exec("east", &["ls", "/sys/class/net"])).lines().all(|it| devices.contains(it)));
    assert!(out(&kept.exec("east", &["cat", "/proc/net/fib_trie"])).contains(&east.to_string()));
    assert_eq!(out(&kept.exec("east", &["sh", "-c", "set -- /proc/[0-9]*; echo $#"])).trim(), "2", "init and sh");

    // A program of this machine resolves names with the cluster's CoreDNS and reaches another cluster.
    let kubernetes = out(&kept.exec("east", &["getent", "hosts", "kubernetes.default"]));
    assert!(kubernetes.contains("kubernetes.default.svc.cluster.local"), "{kubernetes}");
    let request = format!(
        "exec 3<>/dev/tcp/{west}/80; printf 'GET / HTTP/1.1\\r\\nHost: web\\r\\nConnection: close\\r\\n\\r\\n' >&3; cat <&3"
    );
    let files = tempfile::tempdir().unwrap();
    let file = files.path().join("west.pcap");
    let capture = kept.start_capture("west", &file, &[]);
    assert!(out(&kept.exec("east", &["bash", "-c", &request])).contains("Welcome to nginx!"));
    const SYN: u8 = 0x02;
    const ACK: u8 = 0x10;
    until("the connection is in the file, which is still written", || {
        let segments = segments(&file);
        let opened = segments.iter().position(|(_, to, flags)| *to == west && *flags == SYN);
        opened.is_some_and(|at| {
            let source = segments[at].0;
            let answered = segments[at..].contains(&(west, source, SYN | ACK));
            answered && segments[at..].contains(&(source, west, ACK))
        })
    });
    signal("INT", capture.child.id());
    let (code, said) = capture.end();
    assert_eq!(code, Some(0), "{said}");
    let packets: usize = said.split(' ').next().unwrap().parse().unwrap();
    assert!(said.ends_with(&format!("packets written to {}", file.display())), "{said}");
    assert_eq!(packets_in(&file).len(), packets);

    // A capture ends at its count and its time, and one that is killed leaves whole packets.
    let three = files.path().join("three.pcap");
    let capture = kept.start_capture("west", &three, &["--count", "3"]);
    out(&kept.exec("east", &["bash", "-c", &request]));
    assert_eq!(capture.end(), (Some(0), format!("3 packets written to {}", three.display())));
    let capture = kept.start_capture("west", &three, &["--duration", "1"]);
    assert_eq!(capture.end().0, Some(0));
    let mut capture = kept.start_capture("west", &three, &[]);
    out(&kept.exec("east", &["bash", "-c", &request]));
    until("packets are written", || !segments(&three).is_empty());
    signal("KILL", capture.child.id());
    capture.child.wait().unwrap();
    assert!(!segments(&three).is_empty());

    // What a pod says to itself passes its loopback interface twice, and is written once.
    let loopback = files.path().join("loopback.pcap");
    let capture = kept.start_capture("east", &loopback, &[]);
    out(&kept.exec("east", &["bash", "-c", &request.replace(&west.to_string(), "127.0.0.1")]));
    let begun = || segments(&loopback).iter().filter(|it| (it.0.is_loopback(), it.2) == (true, SYN)).count();
    until("it is written", || begun() > 0);
    signal("TERM", capture.child.id());
    assert_eq!(capture.end().0, Some(0));
    assert_eq!(begun(), 1);

    // Exit codes are the program's.
    assert_eq!(kept.exec("east", &["sh", "-c", "exit 7"]).status.code(), Some(7));
    assert_eq!(kept.exec("east", &["sh", "-c", "kill -TERM $$"]).status.code(), Some(128 + 15));
    assert_eq!(kept.exec("east", &["no-such-program"]).status.code(), Some(127));
    assert_eq!(kept.exec("east", &["/etc/hosts"]).status.code(), Some(126));

    // A shell.
    let args = ["shell", POD, "--cluster", "west", "--run", &kept.id];
    let mut shell = command(kept.runs.path(), &args);
    shell.env("SHELL", "/bin/sh").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut shell = shell.spawn().unwrap();
    shell.stdin.take().unwrap().write_all(b"cat /etc/hosts\nexit 3\n").unwrap();
    let output = shell.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(3), "{}", text(&output));
    assert!(text(&output).contains(&format!("in west/default/{POD} ({west}, vpc-")), "{}", text(&output));
    assert!(text(&output).contains(&format!("{west}\t{POD}")), "{}", text(&output));

    // A node and a load balancer are entered by address, and what is not one is told.
    let several = kept.run(&["exec", POD, "--", "true"]);
    assert_eq!(several.status.code(), Some(2));
    assert!(text(&several).contains(&format!("\n  east/default/{POD} ({east})\n  west/default/{POD} ({west})\n")));
    let none = kept.run(&["exec", "nobody", "--", "true"]);
    assert_eq!(none.status.code(), Some(2));
    let listed = text(&none);
    let line = listed.lines().find(|line| line.trim().starts_with("east/ip-")).unwrap().trim().to_owned();
    let (name, address) = line.split_once(" (").unwrap();
    for node in [name, address.trim_end_matches(')')] {
        let hostname = out(&kept.run(&["exec", node, "--", "cat", "/proc/sys/kernel/hostname"]));
        assert_eq!(format!("east/{}", hostname.trim()), name);
    }
    let balancer = listed.lines().find(|line| line.contains("/eu-central-1")).unwrap().trim().to_owned();
    let (balancer, _) = balancer.split_once(" (").unwrap();
    out(&kept.run(&["exec", balancer, "--", "cat", "/proc/net/fib_trie"]));

    // Who kills the command ends the program, and a request to end reaches it.
    let mut killed = kept.start_exec(&["sh", "-c", "setsid sleep 8641301 & exec sleep 8641301"]);
    until("it runs", || runs_with("8641301"));
    signal("KILL", killed.id());
    assert_eq!(killed.wait().unwrap().signal(), Some(9));
    until("its programs end", || !runs_with("8641301"));
    let mut ended = kept.start_exec(&["sh", "-c", "trap 'exit 5' TERM; sleep 8641302 & wait"]);
    until("it runs", || runs_with("8641302"));
    signal("TERM", ended.id());
    assert_eq!(await_end(&mut ended), Some(5));
    until("its programs end", || !runs_with("8641302"));

    // Taking it down ends who is still inside.
    let mut inside = kept.start_exec(&["sleep", "8641303"]);
    until("it runs", || runs_with("8641303"));
    assert_eq!(mounts(), mounted);
    let down = kept.run(&["teardown", "--run", &kept.id]);
    assert_eq!(down.status.code(), Some(0), "{}", text(&down));
    assert!(lab_has_ended(&kept.directory));
    assert_eq!(await_end(&mut inside), Some(137));
    until("no namespace is left", || remaining(&namespaces).is_empty());
    assert!(!runs_with("8641303"));
    assert_eq!((machines_own(), mounts()), (machine, mounted));
}

#[test]
fn nothing_outlives_a_lab_that_is_killed() {
    if !is_allowed() {
        return;
    }
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let (machine, mounted) = (machines_own(), mounts());
    assert!(!machine.1, "no table of a lab is in the machine's own network");
    let kept = Kept::new();
    let namespaces = kept.namespaces.clone();
    assert_eq!(remaining(&namespaces), namespaces);

    // Whatever a person may have left there: programs that are detached, ignore signals, are stopped, and captures, one
    // of which nobody reads.
    let files = tempfile::tempdir().unwrap();
    let file = files.path().join("east.pcap");
    let capture = kept.start_capture("east", &file, &[]);
    let mut unread = kept.start(&["capture", POD, "--cluster", "east", "--output", "-"]);
    let mut detached =
        kept.start_exec(&["sh", "-c", "trap '' TERM HUP INT; setsid sleep 8641311 & exec sleep 8641312"]);
    let mut stopped = kept.start_exec(&["sh", "-c", "kill -STOP $$; exec sleep 8641313"]);
    until("they run", || {
        runs_with("8641311") && runs_with("8641312") && runs_with("kill -STOP $$; exec sleep 8641313")
    });
    signal("STOP", stopped.id());
    // More than a pipe holds: the capture that nobody reads is held up.
    let flood = format!("for i in $(seq 400); do head -c 1000 /dev/zero >/dev/udp/{}/9; done", kept.pods[0]);
    assert_eq!(kept.exec("west", &["bash", "-c", &flood]).status.code(), Some(0));

    signal("KILL", kept.lab);
    until("no namespace is left", || remaining(&namespaces).is_empty());
    assert!(lab_has_ended(&kept.directory));
    until("no program is left", || !["8641311", "8641312", "8641313"].into_iter().any(runs_with));
    signal("CONT", stopped.id());
    for child in [&mut detached, &mut stopped] {
        assert_eq!(await_end(child), Some(137));
    }
    assert_eq!(await_end(&mut unread), Some(1));
    let (code, said) = capture.end();
    assert_eq!(code, Some(1), "{said}");
    assert!(said.starts_with("the lab has ended; ") && said.contains(" packets written to "), "{said}");
    assert!(!packets_in(&file).is_empty());
    assert_eq!((machines_own(), mounts()), (machine, mounted));

    let gone = kept.exec("east", &["true"]);
    assert_eq!(gone.status.code(), Some(2));
    assert!(text(&gone).contains(&format!("(process {}) has ended", kept.lab)), "{}", text(&gone));
    let down = kept.run(&["teardown", "--run", &kept.id]);
    assert_eq!(down.status.code(), Some(0), "{}", text(&down));
    assert!(text(&down).contains("the environment is gone, and everything it held with it"), "{}", text(&down));
    let again = kept.exec("east", &["true"]);
    assert!(text(&again).contains("there is no kept run in "), "{}", text(&again));
}

#[test]
fn the_model_has_nothing_to_step_into() {
    let runs = tempfile::tempdir().unwrap();
    let none = run(runs.path(), &["shell", "web"]);
    assert_eq!(
        (none.status.code(), text(&none).contains("--network kernel --keep")),
        (Some(2), true),
        "{}",
        text(&none)
    );
    let output = run(runs.path(), &["run", "--network", "model", "--keep", "-s", &two_clusters()]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    for args in [&["shell", "web"][..], &["exec", "web", "--", "true"], &["capture", "web"]] {
        let output = run(runs.path(), args);
        assert_eq!(output.status.code(), Some(2));
        let shown = text(&output);
        assert!(shown.contains("in-process model") && shown.contains("--network kernel --keep"), "{shown}");
    }
    let id = only_run(runs.path()).file_name().unwrap().to_str().unwrap().to_owned();
    let down = run(runs.path(), &["teardown", "--run", &id]);
    assert_eq!(down.status.code(), Some(0), "{}", text(&down));
}
