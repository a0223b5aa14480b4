//! What is read, and how.

use std::time::Duration;

use rstest::rstest;

use super::EKS;
use crate::*;

fn names(text: &str) -> Vec<String> {
    let corefile = Corefile::parse(text).unwrap();
    corefile.blocks.iter().flat_map(|block| block.directives.iter().map(|it| it.name.clone())).collect()
}

#[test]
fn the_default_corefile_is_read() {
    let corefile = Corefile::parse(EKS).unwrap();
    let [block] = corefile.blocks.as_slice() else { panic!("one block") };
    assert_eq!(block.keys, [ZoneKey::new(".")]);
    assert_eq!(block.text(EKS), EKS.trim_end());
    assert_eq!(block.directives.len(), 10);
    let kubernetes = block.directive("kubernetes").unwrap();
    assert_eq!(kubernetes.args, ["cluster.local", "in-addr.arpa", "ip6.arpa"]);
    assert_eq!(kubernetes.block[1].args, ["in-addr.arpa", "ip6.arpa"]);
    assert_eq!(
        &EKS[kubernetes.span.clone()],
        "kubernetes cluster.local in-addr.arpa ip6.arpa {\n      pods insecure\n      fallthrough in-addr.arpa ip6.arpa\n    }"
    );
    assert_eq!(forward_of(block).unwrap().to, [Upstream::File("/etc/resolv.conf".to_owned())]);
    assert_eq!(cache_ttl(block), Some(30));
    check(&corefile).unwrap();
}

#[rstest]
#[case::comment_anywhere(". {\n errors#no\n # cache\n log\n}", &["errors", "log"])]
#[case::quotes(". {\n \"errors\" \"stdout\"\n}", &["errors"])]
#[case::brace_below(".:53\n{\n errors\n}", &["errors"])]
#[case::no_braces(".:53\nerrors\nlog", &["errors", "log"])]
#[case::crlf(". {\r\n errors\r\n log\r\n}\r\n", &["errors", "log"])]
#[case::byte_order_mark("\u{feff}. {\n errors\n}", &["errors"])]
#[case::keys_over_lines("a.org,\nb.org {\n errors\n}", &["errors"])]
#[case::only_a_key("example.org\n", &[])]
#[case::nothing("# nothing\n", &[])]
fn the_syntax_is_the_caddyfiles(#[case] text: &str, #[case] expected: &[&str]) {
    assert_eq!(names(text), expected);
}

#[test]
fn quotes_hold_white_space_together_and_escape_quotes_only() {
    let corefile = Corefile::parse(". {\n log \"a b\" \"c\\\"d\\e\n f\" g\n errors\n}").unwrap();
    let log = &corefile.blocks[0].directives[0];
    assert_eq!(log.args, ["a b", "c\"d\\e\n f", "g"]);
    assert_eq!(corefile.blocks[0].directives[1].line, 4);
}

#[rstest]
#[case(".", &[".:53"])]
#[case("Example.ORG.", &["example.org:53"])]
#[case("dns://a.b:1053", &["a.b:1053"])]
#[case("tls://a.b", &["tls://a.b:853"])]
#[case("https3://a.b", &["https3://a.b:443"])]
#[case("10.0.0.0/8", &["10.in-addr.arpa:53"])]
#[case("10.1.2.0/24:54", &["2.1.10.in-addr.arpa:54"])]
#[case("10.1.2.0/23", &["2.1.10.in-addr.arpa:53", "3.1.10.in-addr.arpa:53"])]
#[case("0.0.0.0/0", &["in-addr.arpa:53"])]
#[case("2001:db8::/32", &["8.b.d.0.1.0.0.2.ip6.arpa:53"])]
fn keys_are_zones_with_ports(#[case] key: &str, #[case] expected: &[&str]) {
    let keys: Vec<String> = ZoneKey::parse_all(key).unwrap().iter().map(ZoneKey::to_string).collect();
    assert_eq!(keys, expected);
}

#[rstest]
#[case("a.b:", "expecting data after last colon: \"a.b:\"")]
#[case(".:dns", "zone is not a valid domain name: .:dns")]
#[case("a..b", "zone is not a valid domain name: a..b")]
#[case("a:70000", "address 70000: invalid port")]
#[case("a:-1", "address -1: invalid port")]
fn what_is_no_zone_is_refused(#[case] key: &str, #[case] expected: &str) {
    assert_eq!(ZoneKey::parse_all(key), Err(expected.to_owned()));
    ZoneKey::parse_all(&"a".repeat(64)).unwrap_err();
    ZoneKey::parse_all(&"a.".repeat(128)).unwrap_err();
}

#[rstest]
#[case::open(". {\n errors\n", "Corefile:1:3: a block is opened and never closed")]
#[case::open_option(". {\n forward . 1.1.1.1 {\n  force_tcp\n", "Corefile:2:20: a block is opened and never closed")]
#[case::closed("}", "Corefile:1:1: a closing brace without an opening one")]
#[case::closed_twice(". {\n errors\n}\n}\n", "Corefile:4:1: a closing brace without an opening one")]
#[case::one_line(". { errors }", "Corefile:1:12: Unexpected '}' because no matching opening brace")]
#[case::no_zone("{\n}", "Corefile:1:1: a server block without a zone")]
#[case::comma("a.org, {\n}", "Corefile:1:8: Expected another address but had '{' - check for extra comma")]
#[case::quote(". {\n log \"a\n}", "Corefile:1:3: a block is opened and never closed")]
#[case::port(".:dns {\n}", "Corefile:1:1: zone is not a valid domain name: .:dns")]
#[case::behind(". {\n log {\n class all\n } x\n}", "Corefile:4:4: Unexpected token 'x' behind a block")]
#[case::snippet(
    ". {\n import x\n}",
    "Corefile:2:2: import of \"x\": there is no such snippet before this line, and files are not imported here"
)]
#[case::import_of_nothing(
    ". {\n import\n}",
    "Corefile:2:2: Wrong argument count or unexpected line ending after 'import'"
)]
#[case::itself("(a) {\n import a\n}\n. {\n import a\n}", "Corefile:2:2: snippets import each other")]
#[case::twice("(a) {\n}\n(a) {\n}\n", "Corefile:3:5: redeclaration of previously declared snippet a")]
fn what_coredns_does_not_read_is_refused_with_its_place(#[case] text: &str, #[case] expected: &str) {
    assert_eq!(Corefile::parse(text).unwrap_err().to_string(), expected);
}

#[test]
fn blocks_nested_without_end_are_refused() {
    let deep = format!(". {{\n a{}", " {\n a".repeat(100_000));
    let closed = format!("{deep}{}\n}}", "\n}".repeat(100_000));
    Corefile::parse(&deep).unwrap_err();
    assert!(Corefile::parse(&closed).unwrap_err().message.contains("too deeply"));
}

#[test]
fn snippets_are_imported() {
    assert_eq!(names("(common) {\n errors\n cache 30\n}\n. {\n import common\n log\n}\n"), ["errors", "cache", "log"]);
    let options = "(tcp) {\n force_tcp\n}\n. {\n forward . 10.0.0.1 {\n  import tcp\n  max_fails 1\n }\n}";
    let corefile = Corefile::parse(options).unwrap();
    assert!(forward_of(&corefile.blocks[0]).unwrap().force_tcp);
    check(&corefile).unwrap();
    let whole = Corefile::parse("(all) {\n a.org {\n  log\n }\n}\nimport all\n").unwrap();
    assert!(whole.blocks[0].imported && whole.blocks[0].directive("log").is_some());
}

#[test]
fn variables_are_replaced_where_an_environment_is_given() {
    let text = "{$ZONE}:53 {\n forward . {$UP} {%DOWN%}x {$}\n}";
    let env = |name: &str| match name {
        "ZONE" => Some("a.org".to_owned()),
        "UP" => Some("10.0.0.1".to_owned()),
        _ => None,
    };
    let corefile = Corefile::parse_with_env(text, &env).unwrap();
    assert_eq!(corefile.blocks[0].keys, [ZoneKey::new("a.org")]);
    assert_eq!(corefile.blocks[0].directives[0].args, [".", "10.0.0.1", "x", "{$}"]);
    assert_eq!(Corefile::parse(text).unwrap().blocks[0].directives[0].args[1], "{$UP}");
}

#[test]
fn the_longest_zone_serves_a_name() {
    let corefile =
        Corefile::parse(". {\n}\ncluster.local {\n}\nns.svc.cluster.local {\n}\nsvc.cluster.local:54 {\n}").unwrap();
    let served = |name: &str| corefile.block_for(name).unwrap().keys[0].zone.clone();
    assert_eq!(served("a.b.NS.svc.cluster.local."), "ns.svc.cluster.local");
    assert_eq!(served("a.xns.svc.cluster.local"), "cluster.local");
    assert_eq!(served("example.org"), ".");
}

#[rstest]
#[case("30s", Some(30_000))]
#[case("1m30s", Some(90_000))]
#[case("1.5h", Some(5_400_000))]
#[case("250ms", Some(250))]
#[case("0", Some(0))]
#[case("30", None)]
#[case("", None)]
#[case("s", None)]
#[case("-5s", None)]
#[case("1e3s", None)]
#[case("99999999999999999999h", None)]
fn durations_are_gos(#[case] text: &str, #[case] millis: Option<u64>) {
    assert_eq!(duration(text), millis.map(Duration::from_millis));
}

#[test]
fn the_hashed_text_is_what_go_encodes() {
    let corefile = Corefile::parse("a.org:53 b {\n log \"<&>\" # c\n cache 30 {\n  keepttl\n }\n log x\n}").unwrap();
    insta::assert_snapshot!(corefile.token_json(), @r#"[{"Keys":["a.org:53","b"],"Tokens":{"cache":[{"File":"","Line":3,"Text":"cache"},{"File":"","Line":3,"Text":"30"},{"File":"","Line":3,"Text":"{"},{"File":"","Line":4,"Text":"keepttl"},{"File":"","Line":5,"Text":"}"}],"log":[{"File":"","Line":2,"Text":"log"},{"File":"","Line":2,"Text":"\u003c\u0026\u003e"},{"File":"","Line":6,"Text":"log"},{"File":"","Line":6,"Text":"x"}]}}]"#);
}
