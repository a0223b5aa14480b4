//! Limits that bite as clusters become many.

use super::{Check, Machine, State};
use crate::topology::CLUSTERS;

/// Network namespaces that a cluster of the documented size takes on the kernel's network: its router, nodes, pods and
/// interfaces of load balancers (25 measured in kept labs of two, three and five clusters, and some to spare).
const NAMESPACES_PER_CLUSTER: u64 = 30;
/// Files that a run on the kernel's network holds open, as measured with two, three and five clusters: 294, 457 and 895
/// at most. So many however few its clusters are,
const FILES: u64 = 80;
/// so many for each cluster: three for each namespace, and sockets,
const FILES_PER_CLUSTER: u64 = 90;
/// and so many for each pair, whose probes are under way at once.
const FILES_PER_PAIR: u64 = 40;

pub(super) fn checks(machine: &Machine) -> Vec<Check> {
    vec![open_files(machine), namespaces(machine)]
}

fn files(clusters: u64) -> u64 {
    FILES + FILES_PER_CLUSTER * clusters + FILES_PER_PAIR * clusters * clusters.saturating_sub(1) / 2
}

/// For how many clusters a limit is enough, in words, and whether that is every number of them.
fn enough(limit: u64, needed: impl Fn(u64) -> u64) -> (State, String) {
    let (least, most) = (*CLUSTERS.start() as u64, *CLUSTERS.end() as u64);
    match (least..=most).rev().find(|clusters| needed(*clusters) <= limit) {
        Some(clusters) if clusters == most => (State::Fine, format!("{limit}, enough for {most} clusters")),
        Some(clusters) => {
            (State::Lacking, format!("{limit}, enough for {clusters} clusters; {most} need {}", needed(most)))
        }
        None => (State::Lacking, format!("{limit}, and {least} clusters need {}", needed(least))),
    }
}

fn open_files(machine: &Machine) -> Check {
    let (id, title) = ("open-files", "files that a process may hold open (ulimit -Hn)");
    match &machine.open_files {
        Err(why) => Check::new(id, title, State::Lacking, format!("not known: {why}")),
        Ok(limit) => {
            let (state, found) = enough(*limit, files);
            let check = Check::new(id, title, state, found);
            if state == State::Fine {
                check
            } else {
                check.mended_by("raise it, for example in /etc/security/limits.conf")
            }
        }
    }
}

fn namespaces(machine: &Machine) -> Check {
    let (id, title) = ("network-namespaces-limit", "network namespaces that a user may have (user.max_net_namespaces)");
    match machine.access.settings.max_net_namespaces {
        None => Check::new(id, title, State::Unneeded, "there is no such limit"),
        Some(limit) => {
            let (state, found) = enough(limit, |clusters| NAMESPACES_PER_CLUSTER * clusters);
            let check = Check::new(id, title, state, found);
            if state == State::Fine {
                check
            } else {
                check.mended_by("as root: sysctl -w user.max_net_namespaces=10000")
            }
        }
    }
}
