//! Arrivals in any order, with restarts in between.

use std::collections::BTreeSet;

use proptest::prelude::*;
use proptest_state_machine::{ReferenceStateMachine, StateMachineTest, prop_state_machine};
use rstest::rstest;

use super::decision::{Arrival, Decision, DecisionError, Member, Waiting, cluster_of, verify};
use crate::cluster::{ClusterRef, PdMember, TidbCluster, sample};

fn arrival(ordinal: i32) -> Arrival {
    let url = format!("tc1-pd-{ordinal}.tc1-pd-peer.ns1.svc.cluster.local:2380");
    Arrival::parse(&url, "ns1").expect("a peer URL")
}

#[derive(Debug, Clone)]
enum Event {
    Arrive(i32),
    RestartDiscovery,
    ChangeCluster,
    LoseData(i32),
}

/// What happens: the number of PDs, and whether any lost its data.
#[derive(Debug, Clone)]
struct Events {
    replicas: i32,
    lossy: bool,
    lost: bool,
}

fn events(lossy: bool) -> BoxedStrategy<Events> {
    (1..5i32).prop_map(move |replicas| Events { replicas, lossy, lost: false }).boxed()
}

fn event(state: &Events) -> BoxedStrategy<Event> {
    let pods = 0..state.replicas;
    let arrive = pods.clone().prop_map(Event::Arrive);
    let steady = prop_oneof![8 => arrive, 1 => Just(Event::RestartDiscovery), 1 => Just(Event::ChangeCluster)];
    if state.lossy { prop_oneof![6 => steady, 1 => pods.prop_map(Event::LoseData)].boxed() } else { steady.boxed() }
}

struct Steady;
struct Lossy;

macro_rules! reference {
    ($name:ident, $lossy:expr) => {
        impl ReferenceStateMachine for $name {
            type State = Events;
            type Transition = Event;

            fn init_state() -> BoxedStrategy<Events> {
                events($lossy)
            }

            fn transitions(state: &Events) -> BoxedStrategy<Event> {
                event(state)
            }

            fn apply(mut state: Events, event: &Event) -> Events {
                state.lost |= matches!(event, Event::LoseData(_));
                state
            }
        }
    };
}
reference!(Steady, false);
reference!(Lossy, true);

/// Discovery, and PDs with or without data.
#[derive(Debug)]
struct World {
    waiting: Waiting,
    tc: TidbCluster,
    with_data: BTreeSet<i32>,
    version: u64,
    initialised: usize,
}

impl World {
    fn new(replicas: i32) -> Self {
        let tc = sample("tc1", "ns1", replicas);
        World { waiting: Waiting::default(), tc, with_data: BTreeSet::new(), version: 1, initialised: 0 }
    }

    fn happen(&mut self, event: &Event) {
        match event {
            Event::RestartDiscovery => self.waiting = Waiting::default(),
            Event::ChangeCluster => {
                self.version += 1;
                self.tc.metadata.resource_version = Some(self.version.to_string());
            }
            Event::LoseData(ordinal) => {
                self.with_data.remove(ordinal);
            }
            // A PD with data starts without asking.
            Event::Arrive(ordinal) if self.with_data.contains(ordinal) => {}
            Event::Arrive(ordinal) => self.arrive(*ordinal),
        }
    }

    fn arrive(&mut self, ordinal: i32) {
        let arrival = arrival(ordinal);
        match self.waiting.arrive(&arrival, &self.tc).expect("a decision") {
            Decision::Initialise(_) => {
                self.initialised += 1;
                self.with_data.insert(ordinal);
            }
            Decision::Join(args) => panic!("no addresses are set: {args}"),
            Decision::Ask(_) if self.with_data.is_empty() => {}
            Decision::Ask(_) => {
                let host = |ordinal| self.tc.pod_domain("pd", ordinal);
                let member =
                    |&ordinal: &i32| Member { name: host(ordinal), peer_url: format!("http://{}:2380", host(ordinal)) };
                let members: Vec<Member> = self.with_data.iter().map(member).collect();
                let args = self.waiting.join(&arrival, &members);
                assert_eq!(args.matches("http://").count(), members.len(), "{args}");
                self.with_data.insert(ordinal);
            }
        }
    }
}

macro_rules! machine {
    ($name:ident, $reference:ident) => {
        struct $name;
        impl StateMachineTest for $name {
            type SystemUnderTest = World;
            type Reference = $reference;

            fn init_test(state: &Events) -> World {
                World::new(state.replicas)
            }

            fn apply(mut world: World, _: &Events, event: Event) -> World {
                world.happen(&event);
                world
            }

            fn check_invariants(world: &World, state: &Events) {
                assert!(world.initialised <= 1 || state.lost, "initialised {} times", world.initialised);
                // Who has data got it from a PD cluster that was initialised.
                assert!(world.with_data.is_empty() || world.initialised >= 1);
            }
        }
    };
}
machine!(SteadyMachine, Steady);
machine!(LossyMachine, Lossy);

prop_state_machine! {
    #[test]
    fn no_order_of_arrivals_and_restarts_initialises_twice(sequential 1..60 => SteadyMachine);

    #[test]
    fn only_lost_data_initialises_twice(sequential 1..60 => LossyMachine);
}

#[rstest]
#[case::alone(1, 2)]
#[case::of_three(3, 1)]
fn a_pd_that_lost_its_data_initialises_again_when_it_is_alone(#[case] replicas: i32, #[case] initialised: usize) {
    let mut world = World::new(replicas);
    for _ in 0..2 {
        (0..replicas).for_each(|ordinal| world.happen(&Event::Arrive(ordinal)));
    }
    world.happen(&Event::LoseData(0));
    world.happen(&Event::Arrive(0));
    assert_eq!(world.initialised, initialised);
}

#[test]
fn a_joiner_never_initialises_and_asks_its_own_then_the_joined_then_the_peers() {
    let mut tc = sample("tc1", "ns1", 1);
    tc.spec.cluster =
        Some(ClusterRef { name: "tc0".into(), namespace: "ns0".into(), cluster_domain: "cluster.local".into() });
    let peer = PdMember { client_url: "http://peer:2379".into(), ..PdMember::default() };
    tc.status.pd.peer_members.insert("peer".into(), peer);
    let expected =
        ["tc1-pd.ns1.svc.cluster.local:2379", "tc0-pd-peer.ns0.svc.cluster.local:2379", "peer:2379"].map(str::to_owned);
    let decision = Waiting::default().arrive(&arrival(0), &tc);
    assert_eq!(decision, Ok(Decision::Ask(expected.to_vec())));
}

#[test]
fn an_initial_cluster_is_named_by_the_fully_qualified_name() {
    let decision = Waiting::default().arrive(&arrival(0), &sample("tc1", "ns1", 1));
    let host = "tc1-pd-0.tc1-pd-peer.ns1.svc.cluster.local";
    assert_eq!(decision, Ok(Decision::Initialise(format!("--initial-cluster={host}=http://{host}:2380"))));
}

#[rstest]
#[case("tc1-pd-0.tc1-pd-peer.ns1:2380", DecisionError::Format("tc1-pd-0.tc1-pd-peer.ns1:2380".into()))]
#[case("a.b.ns2.svc:2380", DecisionError::Namespace { peer: "ns2".into(), own: "ns1".into() })]
fn other_urls_are_refused(#[case] url: &str, #[case] expected: DecisionError) {
    assert_eq!(Arrival::parse(url, "ns1"), Err(expected));
}

#[rstest]
#[case("http://tc1-pd:2379", "http://tc1-pd:2379,http://up:2379")]
#[case("tc1-pd:2379", "tc1-pd:2379,up:2379")]
fn endpoints_are_joined_by_healthy_peers(#[case] endpoint: &str, #[case] expected: &str) {
    let mut tc = sample("tc1", "ns1", 1);
    for (name, health) in [("up", true), ("down", false)] {
        let member = PdMember { client_url: format!("http://{name}:2379"), health, ..PdMember::default() };
        tc.status.pd.peer_members.insert(name.into(), member);
    }
    assert_eq!(cluster_of(endpoint), "tc1");
    assert_eq!(verify(endpoint, &tc), expected);
}
