#![expect(clippy::unwrap_used, reason = "tests")]

use std::net::Ipv4Addr;

use proptest::prelude::*;
use rstest::rstest;

use super::*;

const EKS: &str = ".:53 {
    errors
    health {
        lameduck 5s
      }
    ready
    kubernetes cluster.local in-addr.arpa ip6.arpa {
      pods insecure
      fallthrough in-addr.arpa ip6.arpa
    }
    prometheus :9153
    forward . /etc/resolv.conf
    cache 30
    loop
    reload
    loadbalance
}
";

fn zone(name: &str, upstreams: &[[u8; 4]]) -> ForwardZone {
    ForwardZone {
        zone: format!("{name}.svc.cluster.local"),
        port: 53,
        upstreams: upstreams.iter().map(|it| Ipv4Addr::from(*it)).collect(),
    }
}

#[test]
fn the_default_corefile_is_read() {
    let corefile = Corefile::parse(EKS).unwrap();
    let [block] = corefile.blocks.as_slice() else { panic!("one block") };
    assert_eq!(block.keys, [ZoneKey { zone: ".".to_owned(), port: 53 }]);
    assert_eq!(block.text(EKS), EKS.trim_end());
    assert_eq!(block.directives.len(), 10);
    let kubernetes = block.directive("kubernetes").unwrap();
    assert_eq!(kubernetes.args, ["cluster.local", "in-addr.arpa", "ip6.arpa"]);
    assert_eq!(kubernetes.block[1].args, ["in-addr.arpa", "ip6.arpa"]);
    assert_eq!(forward_of(block).unwrap().to, [Upstream::File("/etc/resolv.conf".to_owned())]);
    check(&corefile).unwrap();
}

#[test]
fn zones_are_added_behind_and_served_by_the_longest_match() {
    let edited =
        plan_edit(EKS, &[zone("ns-2", &[[10, 2, 0, 5], [10, 2, 0, 6]]), zone("ns-3", &[[10, 3, 0, 5]])]).unwrap();
    insta::assert_snapshot!(edited.text.strip_prefix(EKS).unwrap(), @r"
    ns-2.svc.cluster.local:53 {
        errors
        cache 30
        forward . 10.2.0.5 10.2.0.6 {
            force_tcp
        }
    }
    ns-3.svc.cluster.local:53 {
        errors
        cache 30
        forward . 10.3.0.5 {
            force_tcp
        }
    }
    ");
    let corefile = Corefile::parse(&edited.text).unwrap();
    check(&corefile).unwrap();
    let block = corefile.block_for("a.b.NS-2.svc.cluster.local.").unwrap();
    assert_eq!(block.keys[0].zone, "ns-2.svc.cluster.local");
    assert_eq!(corefile.block_for("a.xns-2.svc.cluster.local").unwrap().keys[0].zone, ".");
}

#[rstest]
#[case::wrong_address("forward . 10.2.0.9 {\n force_tcp\n}", "it forwards . to 10.2.0.9 instead of . to 10.2.0.5")]
#[case::over_udp("forward . 10.2.0.5", "without force_tcp")]
#[case::nothing("errors", "it forwards nothing")]
fn a_zone_that_is_there_in_a_wrong_form_is_refused(#[case] body: &str, #[case] expected: &str) {
    let corefile = format!("{EKS}ns-2.svc.cluster.local:53 {{\n{body}\n}}\n");
    match plan_edit(&corefile, &[zone("ns-2", &[[10, 2, 0, 5]])]) {
        Err(EditError::Different { line: 18, difference, .. }) => assert_eq!(difference, expected),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_zone_among_others_is_refused() {
    let corefile = "a.org ns-2.svc.cluster.local {\n forward . 10.2.0.5 {\n force_tcp\n }\n}\n";
    let error = plan_edit(corefile, &[zone("ns-2", &[[10, 2, 0, 5]])]).unwrap_err();
    insta::assert_snapshot!(error, @"line 1: the zone ns-2.svc.cluster.local is served already, in another way (its block serves a.org:53 ns-2.svc.cluster.local:53): remove that server block, or mend it");
}

#[test]
fn a_nested_zone_is_found_and_refused() {
    let nested =
        EKS.replace("    loadbalance\n}", "    loadbalance\n    ns-2.svc.cluster.local:53 {\n        errors\n    }\n}");
    let parsed = Corefile::parse(&nested).unwrap();
    assert_eq!(nested_zones(&parsed).len(), 1);
    insta::assert_snapshot!(check(&parsed).unwrap_err(), @"Corefile:17:1: Unknown directive 'ns-2.svc.cluster.local:53'");
    assert!(matches!(plan_edit(&nested, &[zone("ns-2", &[[10, 2, 0, 5]])]), Err(EditError::Nested { line: 17, .. })));
}

#[rstest]
#[case::open(". {\n errors\n", "Corefile:1:3: a block is opened and never closed")]
#[case::closed("}", "Corefile:1:1: a closing brace without an opening one")]
#[case::no_zone("{\n}", "Corefile:1:1: a server block without a zone")]
#[case::no_block("example.org\n", "Corefile:1:1: a zone without a block in braces")]
#[case::quote(". {\n log \"a\n}", "Corefile:2:6: a quote is opened and never closed")]
#[case::port(".:dns {\n}", "Corefile:1:1: \".:dns\" is no zone")]
#[case::snippet(
    ". {\n import x\n}",
    "Corefile:2:2: import of \"x\": there is no such snippet, and files are not imported here"
)]
#[case::itself("(a) {\n import a\n}\n. {\n import a\n}", "Corefile:2:2: snippets import each other")]
fn what_coredns_does_not_read_is_refused_with_its_place(#[case] text: &str, #[case] expected: &str) {
    assert_eq!(Corefile::parse(text).unwrap_err().to_string(), expected);
}

#[rstest]
#[case::twice(".:53 {\n}\n. {\n}", "Corefile:3:1: cannot serve .:53 - it is already defined in line 1")]
#[case::no_upstream(
    ". {\n forward .\n}",
    "Corefile:2:1: plugin/forward: Wrong argument count or unexpected line ending"
)]
#[case::name(
    ". {\n forward . dns.google\n}",
    "Corefile:2:1: plugin/forward: not an IP address or file: \"dns.google\""
)]
#[case::option(". {\n forward . 1.1.1.1 {\n tcp\n }\n}", "Corefile:3:1: plugin/forward: unknown property 'tcp'")]
#[case::cache(". {\n cache 0\n}", "Corefile:2:1: plugin/cache: cache TTL can not be zero or negative: 0")]
#[case::reload(". {\n reload soon\n}", "Corefile:2:1: plugin/reload: time: invalid duration \"soon\"")]
fn what_coredns_does_not_start_with_is_refused(#[case] text: &str, #[case] expected: &str) {
    assert_eq!(check(&Corefile::parse(text).unwrap()).unwrap_err().to_string(), expected);
}

#[test]
fn more_upstreams_than_forward_takes_are_refused() {
    let many = ForwardZone { zone: "a".to_owned(), port: 53, upstreams: vec![Ipv4Addr::LOCALHOST; 16] };
    assert_eq!(plan_edit(EKS, &[many]), Err(EditError::Upstreams { zone: "a".to_owned(), count: 16 }));
}

#[test]
fn snippets_are_imported() {
    let corefile = Corefile::parse("(common) {\n errors\n cache 30\n}\n. {\n import common\n log\n}\n").unwrap();
    let names: Vec<_> = corefile.blocks[0].directives.iter().map(|it| it.name.as_str()).collect();
    assert_eq!(names, ["errors", "cache", "log"]);
}

proptest! {
    #[test]
    fn nothing_makes_the_reader_panic(text in "[ -~\n]{0,300}") {
        let _ = Corefile::parse(&text).map(|it| (check(&it).is_ok(), nested_zones(&it)));
        let _ = plan_edit(&text, &[zone("ns", &[[10, 0, 0, 1]])]);
    }

    #[test]
    fn what_is_not_edited_comes_back_byte_for_byte(
        comment in "[ -~]{0,40}",
        spaces in "[ \t]{0,5}",
        end in prop::sample::select(vec!["", "\n", "\n\n", "\r\n", "  "]),
        upstreams in prop::collection::vec(any::<[u8; 4]>(), 1..15),
    ) {
        let before = format!("# {comment}\n{spaces}.:53 {{ # {comment}\n{spaces}errors\n\tforward . /etc/resolv.conf\n}}{end}");
        let zones = [zone("ns-2", &upstreams)];
        let edited = plan_edit(&before, &zones).unwrap();
        prop_assert!(edited.text.starts_with(&before));
        prop_assert_eq!(plan_edit(&edited.text, &zones).unwrap(), Edited { text: edited.text.clone(), added: Vec::new() });
        let (old, new) = (Corefile::parse(&before).unwrap(), Corefile::parse(&edited.text).unwrap());
        prop_assert_eq!(old.blocks[0].text(&before), new.blocks[0].text(&edited.text));
        prop_assert_eq!(new.blocks.len(), 2);
    }
}
