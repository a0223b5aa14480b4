//! What CoreDNS does not start with.

use rstest::rstest;

use super::EKS;
use crate::*;

#[rstest]
#[case::twice(".:53 {\n}\n. {\n}", "Corefile:3:1: cannot serve dns://.:53 - it is already defined in line 1")]
#[case::unknown(". {\n errrors\n}", "Corefile:2:1: Unknown directive 'errrors'")]
#[case::no_upstream(
    ". {\n forward .\n}",
    "Corefile:2:1: plugin/forward: Wrong argument count or unexpected line ending after '.'"
)]
#[case::name(
    ". {\n forward . dns.google\n}",
    "Corefile:2:1: plugin/forward: not an IP address or file: \"dns.google\""
)]
#[case::scheme(
    ". {\n forward . grpc://1.1.1.1\n}",
    "Corefile:2:1: plugin/forward: 'grpc' is not supported as a destination protocol in forward: grpc://1.1.1.1"
)]
#[case::option(". {\n forward . 1.1.1.1 {\n tcp\n }\n}", "Corefile:3:1: plugin/forward: unknown property 'tcp'")]
#[case::argument(
    ". {\n forward . 1.1.1.1 {\n force_tcp yes\n }\n}",
    "Corefile:3:1: plugin/forward: Wrong argument count or unexpected line ending after 'yes'"
)]
#[case::brace_as_argument(
    ". {\n forward . 1.1.1.1 { force_tcp }\n}",
    "Corefile:2:1: plugin/forward: Wrong argument count or unexpected line ending after 'force_tcp'"
)]
#[case::policy(
    ". {\n forward . 1.1.1.1 {\n policy first\n }\n}",
    "Corefile:3:1: plugin/forward: policy: unknown value 'first', must be one of: random, round_robin, sequential"
)]
#[case::expire(
    ". {\n forward . 1.1.1.1 {\n expire 10\n }\n}",
    "Corefile:3:1: plugin/forward: time: invalid duration \"10\""
)]
#[case::late_brace(
    ". {\n forward . 1.1.1.1\n {\n force_tcp\n }\n}",
    "Corefile:2:1: plugin/forward: the opening brace has to stand on the line of its directive"
)]
#[case::cache(". {\n cache 0\n}", "Corefile:2:1: plugin/cache: cache TTL can not be zero or negative: 0")]
#[case::cache_twice(
    ". {\n cache\n cache\n}",
    "Corefile:3:1: plugin/cache: this plugin can only be used once per Server Block"
)]
#[case::servfail(
    ". {\n cache {\n servfail 10m\n }\n}",
    "Corefile:3:1: plugin/cache: caching SERVFAIL responses over 5 minutes is not permitted"
)]
#[case::reload(". {\n reload soon\n}", "Corefile:2:1: plugin/reload: time: invalid duration \"soon\"")]
#[case::reload_often(
    ". {\n reload 1s\n}",
    "Corefile:2:1: plugin/reload: interval value must be greater or equal to 2s"
)]
#[case::reload_jitter(
    ". {\n reload 10s 100ms\n}",
    "Corefile:2:1: plugin/reload: jitter value must be 0 or greater or equal to 1s"
)]
#[case::reverse_only(
    ". {\n kubernetes in-addr.arpa\n}",
    "Corefile:2:1: plugin/kubernetes: non-reverse zone name must be used"
)]
#[case::pods(
    ". {\n kubernetes cluster.local {\n pods all\n }\n}",
    "Corefile:3:1: plugin/kubernetes: pods: unknown value 'all', must be one of: disabled, insecure, verified"
)]
#[case::ttl(
    ". {\n kubernetes cluster.local {\n ttl 4000\n }\n}",
    "Corefile:3:1: plugin/kubernetes: ttl must be in range [0, 3600]"
)]
#[case::loop_argument(
    ". {\n loop x\n}",
    "Corefile:2:1: plugin/loop: Wrong argument count or unexpected line ending after 'x'"
)]
#[case::health(". {\n health 8080\n}", "Corefile:2:1: plugin/health: address 8080: missing port in address")]
#[case::errors(". {\n errors file\n}", "Corefile:2:1: plugin/errors: invalid log file: file")]
fn what_coredns_does_not_start_with_is_refused(#[case] text: &str, #[case] expected: &str) {
    assert_eq!(check(&Corefile::parse(text).unwrap()).unwrap_err().to_string(), expected);
}

#[rstest]
#[case(EKS)]
#[case(". {\n forward . 1.1.1.1 {\n max_fails 3 }\n}")]
#[case(". {\n forward . [2001:db8::1]:53 tls://9.9.9.9%dns.quad9.net {\n except a.org 10.0.0.0/8\n }\n}")]
#[case(". {\n forward a.org 1.1.1.1\n forward . 1.0.0.1:5353 {\n max_concurrent 1000\n health_check 5s no_rec\n }\n}")]
#[case(". {\n reload 10s 0s\n cache 30 {\n disable success cluster.local\n disable denial cluster.local\n }\n}")]
#[case("a {\n bind 10.0.0.1\n}\na {\n bind 10.0.0.2\n}")]
#[case("a {\n}\na:54 {\n}\ntls://a {\n}")]
fn what_coredns_starts_with_is_accepted(#[case] text: &str) {
    assert_eq!(check(&Corefile::parse(text).unwrap()), Ok(()));
}

#[test]
fn more_than_fifteen_upstreams_are_refused() {
    let of = |count: u8| {
        let list: String = (1..=count).map(|n| format!(" 10.0.0.{n}")).collect();
        check(&Corefile::parse(&format!(". {{\n forward .{list}\n}}")).unwrap())
    };
    assert_eq!(of(15), Ok(()));
    assert_eq!(of(16).unwrap_err().message, "plugin/forward: more than 15 TOs configured: 16");
}

#[test]
fn a_nested_zone_is_found_at_any_depth() {
    let inside = "    ns-2.svc.cluster.local:53 {\n        errors\n    }\n";
    let in_block = EKS.replace("    loadbalance\n", &format!("    loadbalance\n{inside}"));
    let in_option = EKS.replace("      pods insecure\n", &format!("      pods insecure\n{inside}"));
    for (text, line) in [(in_block, 17), (in_option, 9)] {
        let corefile = Corefile::parse(&text).unwrap();
        assert_eq!(nested_zones(&corefile), [(ZoneKey::new("ns-2.svc.cluster.local"), line)]);
        assert_eq!(check(&corefile).unwrap_err().line, line);
    }
}
