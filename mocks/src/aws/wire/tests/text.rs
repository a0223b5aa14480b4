//! XML and times.

use std::time::Duration;

use proptest::prelude::*;

use crate::aws::wire::testing::Node;
use crate::aws::wire::time::{epoch_seconds, iso8601};
use crate::aws::wire::xml::{Element, document};

#[test]
fn a_document_is_written_as_aws_does() {
    let children = [
        Element::text("requestId", "r"),
        Element::items("vpcSet", [vec![Element::text("vpcId", "vpc-1"), Element::text("isDefault", false)]]),
        Element::new("tagSet", Vec::new()),
        Element::texts("Names", "member", ["a<b", "c&d"]),
    ];
    let xml = String::from_utf8(document("DescribeVpcsResponse", Some("http://x/"), &children)).unwrap();
    insta::assert_snapshot!(xml, @r#"<?xml version="1.0" encoding="UTF-8"?><DescribeVpcsResponse xmlns="http://x/"><requestId>r</requestId><vpcSet><item><vpcId>vpc-1</vpcId><isDefault>false</isDefault></item></vpcSet><tagSet/><Names><member>a&lt;b</member><member>c&amp;d</member></Names></DescribeVpcsResponse>"#);
}

proptest! {
    #[test]
    fn any_text_survives(text in "[^\\x00-\\x08\\x0b\\x0c\\x0e-\\x1f\u{fffe}\u{ffff}]{0,30}") {
        let xml = document("A", None, &[Element::text("b", &text)]);
        prop_assert_eq!(Node::parse(&xml).text("b"), text);
    }

    #[test]
    fn no_text_breaks_the_document(text in any::<String>()) {
        let xml = document("A", None, &[Element::text("b", &text), Element::text("c", "end")]);
        prop_assert_eq!(Node::parse(&xml).text("c"), "end");
    }
}

#[test]
fn times_count_from_a_fixed_beginning() {
    assert_eq!(iso8601(Duration::from_millis(90_061_500)), "2026-01-02T01:01:01.500Z");
    assert_eq!(epoch_seconds(Duration::from_millis(1500)), 1_767_225_601.5);
}
