//! Adding zones and taking them away.

use std::net::Ipv4Addr;

use rstest::rstest;

use super::{EKS, zone};
use crate::*;

const REPLACE: EditOptions = EditOptions { replace: true };

#[test]
fn zones_are_added_behind_in_the_documented_form() {
    let zones = [zone("ns-2", &[[10, 2, 0, 5], [10, 2, 0, 6]]), zone("ns-3", &[[10, 3, 0, 5]])];
    let edited = plan_edit(EKS, &zones).unwrap();
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
    let forwarded: Vec<_> =
        forwarded_zones(&corefile).into_iter().map(|(key, _, it)| (key.zone.clone(), it.force_tcp)).collect();
    assert_eq!(forwarded, [("ns-2.svc.cluster.local".to_owned(), true), ("ns-3.svc.cluster.local".to_owned(), true)]);
    assert_eq!(cache_ttl(&corefile.blocks[1]), Some(30));
}

#[test]
fn a_zone_that_is_there_in_another_layout_is_left_alone() {
    let text =
        format!("NS-2.svc.cluster.local. {{\n forward . 10.2.0.6:53 dns://10.2.0.5 {{\n  force_tcp\n }}\n}}\n{EKS}");
    let edited = plan_edit(&text, &[zone("ns-2", &[[10, 2, 0, 5], [10, 2, 0, 6]])]).unwrap();
    assert!(!edited.changed());
    assert_eq!(edited.text, text);
}

#[rstest]
#[case::wrong_address("forward . 10.2.0.9 {\n force_tcp\n}", "it forwards . to 10.2.0.9 instead of . to 10.2.0.5")]
#[case::one_more(
    "forward . 10.2.0.5 10.2.0.9 {\n force_tcp\n}",
    "it forwards . to 10.2.0.5 10.2.0.9 instead of . to 10.2.0.5"
)]
#[case::another_port("forward . 10.2.0.5:54 {\n force_tcp\n}", "it forwards . to 10.2.0.5:54 instead of . to 10.2.0.5")]
#[case::part("forward a.org 10.2.0.5 {\n force_tcp\n}", "it forwards a.org to 10.2.0.5 instead of . to 10.2.0.5")]
#[case::over_udp("forward . 10.2.0.5", "without force_tcp")]
#[case::except("forward . 10.2.0.5 {\n force_tcp\n except a.org\n}", "it does not forward a.org")]
#[case::nothing("errors", "it forwards nothing")]
fn a_zone_that_is_there_in_a_wrong_form_is_refused_or_replaced(#[case] body: &str, #[case] expected: &str) {
    let (before, behind) = (format!("{EKS}# mine\n"), "\n# not mine\nb.org {\n}\n");
    let text = format!("{before}ns-2.svc.cluster.local:53 {{\n{body}\n}}{behind}");
    let wanted = [zone("ns-2", &[[10, 2, 0, 5]])];
    match plan_edit(&text, &wanted) {
        Err(EditError::Different { line: 19, difference, .. }) => assert_eq!(difference, expected),
        other => panic!("{other:?}"),
    }
    let edited = plan_edit_with(&text, &wanted, REPLACE).unwrap();
    assert_eq!(edited.replaced, ["ns-2.svc.cluster.local"]);
    assert_eq!(edited.text, format!("{before}{}{behind}", wanted[0].block().trim_end()));
}

#[test]
fn a_zone_on_another_port_is_refused() {
    let text = "ns-2.svc.cluster.local:54 {\n forward . 10.2.0.5 {\n  force_tcp\n }\n}\n";
    let error = plan_edit(text, &[zone("ns-2", &[[10, 2, 0, 5]])]).unwrap_err();
    insta::assert_snapshot!(error, @"line 1: the zone ns-2.svc.cluster.local is served already, in another way (its block serves ns-2.svc.cluster.local:54 instead of ns-2.svc.cluster.local:53): remove that server block, or mend it");
}

#[test]
fn a_zone_among_others_is_refused_and_not_replaced() {
    let corefile = "a.org ns-2.svc.cluster.local {\n forward . 10.2.0.5 {\n force_tcp\n }\n}\n";
    let error = plan_edit_with(corefile, &[zone("ns-2", &[[10, 2, 0, 5]])], REPLACE).unwrap_err();
    insta::assert_snapshot!(error, @"line 1: the zone ns-2.svc.cluster.local is one of several keys of a server block (a.org:53 ns-2.svc.cluster.local:53): give it a server block of its own");
}

#[test]
fn a_nested_zone_is_refused() {
    let nested =
        EKS.replace("    loadbalance\n", "    loadbalance\n    ns-2.svc.cluster.local:53 {\n        errors\n    }\n");
    let error = plan_edit_with(&nested, &[zone("ns-2", &[[10, 2, 0, 5]])], REPLACE).unwrap_err();
    insta::assert_snapshot!(error, @"line 17: the zone ns-2.svc.cluster.local stands inside another server block, where CoreDNS takes it for a plugin and refuses the file: move it to the top level");
}

#[rstest]
#[case::unreadable(
    ". {\n errors\n",
    "it cannot be read (Corefile:1:3: a block is opened and never closed): mend it, or restore it from a back-up, before adding zones"
)]
#[case::braceless(
    ".:53\nerrors\n",
    "line 1: the server block has no braces, and takes in all that follows: put its directives in braces"
)]
#[case::open_quote(". {\n}\n\"", "a quote is open at the end of the file, and takes in all that follows: close it")]
fn a_file_that_nothing_can_be_added_to_is_refused(#[case] text: &str, #[case] expected: &str) {
    assert_eq!(plan_edit(text, &[zone("ns-2", &[[10, 2, 0, 5]])]).unwrap_err().to_string(), expected);
}

#[test]
fn what_cannot_be_forwarded_is_refused() {
    let of = |zone: &str, upstreams: usize| ForwardZone {
        zone: zone.to_owned(),
        port: 53,
        upstreams: vec![Ipv4Addr::LOCALHOST; upstreams],
    };
    assert_eq!(plan_edit(EKS, &[of("a", 16)]), Err(EditError::Upstreams { zone: "a".to_owned(), count: 16 }));
    assert_eq!(plan_edit(EKS, &[of("a", 0)]), Err(EditError::Upstreams { zone: "a".to_owned(), count: 0 }));
    for zone in [".", "", "a b", "a {", "a..b", "import"] {
        let result = plan_edit(EKS, &[of(zone, 1)]);
        if zone == "import" {
            // A legal zone; with its port it is no directive.
            result.unwrap();
        } else {
            assert_eq!(result, Err(EditError::NotAZone { zone: zone.to_owned() }));
        }
    }
}

#[test]
fn restoring_gives_the_back_up_unless_others_changed_the_file() {
    let zones = [zone("ns-2", &[[10, 2, 0, 5]]), zone("ns-3", &[[10, 3, 0, 5]])];
    let bare = EKS.trim_end();
    for backup in [EKS, bare] {
        let edited = plan_edit(backup, &zones).unwrap().text;
        assert_eq!(restore(&edited, backup, &zones).unwrap(), Restored { text: backup.to_owned(), exact: true });
        let theirs = edited.replace("cache 30\n    loop", "cache 60\n    loop");
        let kept = restore(&theirs, backup, &zones).unwrap();
        assert!(!kept.exact && kept.text.contains("cache 60") && !kept.text.contains("ns-2"));
    }
}

#[test]
fn undoing_removes_what_was_added_and_nothing_that_differs() {
    let zones = [zone("ns-2", &[[10, 2, 0, 5]]), zone("ns-3", &[[10, 3, 0, 5]])];
    let edited = plan_edit(EKS, &zones).unwrap().text;
    assert_eq!(
        undo(&edited, &zones).unwrap(),
        Undone {
            text: EKS.to_owned(),
            removed: vec!["ns-2.svc.cluster.local".to_owned(), "ns-3.svc.cluster.local".to_owned()]
        }
    );
    let theirs = edited.replace("10.3.0.5", "10.3.0.6");
    let undone = undo(&theirs, &zones).unwrap();
    assert_eq!(undone.removed, ["ns-2.svc.cluster.local"]);
    assert!(undone.text.contains("10.3.0.6"));
}
