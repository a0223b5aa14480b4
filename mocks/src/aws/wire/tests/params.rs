//! Parameters, filters and pages.

use proptest::prelude::*;
use rstest::rstest;

use crate::aws::tags::Tags;
use crate::aws::wire::filters::{Filters, matches_pattern};
use crate::aws::wire::pagination::PageRequest;
use crate::aws::wire::params::{MAX_LIST, Params};

fn params(form: &str) -> Params {
    Params::decode(form.as_bytes())
}

#[rstest]
#[case::plus("Value=a+b%2Bc")]
#[case::percent("Value=a%20b%2Bc")]
fn both_encodings_of_a_space_are_read(#[case] form: &str) {
    assert_eq!(params(form).get("Value"), Some("a b+c"));
}

#[test]
fn lists_are_in_order_of_their_numbers() {
    let params = params("VpcId.10=c&VpcId.2=b&VpcId.1=a&VpcIdOther.1=x&VpcId.x=y&Names.member.2=n&Names.member.1=m");
    assert_eq!(params.list("VpcId"), ["a", "b", "c"]);
    assert_eq!(params.members("Names"), ["m", "n"]);
    assert!(params.list("Vpc").is_empty());
}

#[test]
fn structures_keep_their_fields_together() {
    let params =
        params("Filter.2.Name=state&Filter.2.Value.1=x&Filter.1.Name=vpc-id&Filter.1.Value.2=b&Filter.1.Value.1=a");
    let filters: Vec<_> =
        params.structs("Filter").iter().map(|f| (f.require("Name").unwrap().to_owned(), f.list("Value"))).collect();
    assert_eq!(
        filters,
        [("vpc-id".to_owned(), vec!["a".to_owned(), "b".to_owned()]), ("state".to_owned(), vec!["x".to_owned()])]
    );
    assert_eq!(params.nested("Filter").nested("2").get("Name"), Some("state"));
}

#[test]
fn lists_are_bounded() {
    let form: Vec<String> = (0..MAX_LIST + 500).map(|n| format!("Id.{n}=x")).collect();
    assert_eq!(params(&form.join("&")).list("Id").len(), MAX_LIST);
}

#[rstest]
#[case(params("A=").require("A").map(drop), "MissingParameter", "The request must contain the parameter A")]
#[case(params("A.3.B=").structs("A")[0].require("B").map(drop), "MissingParameter", "The request must contain the parameter A.3.B")]
#[case(params("A=yes").bool("A").map(drop), "InvalidParameterValue", "Invalid value 'yes' for boolean parameter A")]
#[case(params("A=1x").int("A").map(drop), "InvalidParameterValue", "Invalid value '1x' for parameter A")]
#[case(
    params("CidrBlock=10.0.0.0/33").cidr("CidrBlock").map(drop),
    "InvalidParameterValue",
    "Value (10.0.0.0/33) for parameter cidrBlock is invalid. This is not a valid CIDR block."
)]
fn wrong_values_are_named(#[case] result: Result<(), crate::aws::AwsError>, #[case] code: &str, #[case] message: &str) {
    let error = result.unwrap_err();
    assert_eq!((error.code.as_str(), error.message.as_str()), (code, message));
}

proptest! {
    #[test]
    fn what_is_encoded_comes_back(pairs in proptest::collection::btree_map(".{0,12}", ".{0,12}", 0..12)) {
        let params: Params = pairs.clone().into_iter().collect();
        prop_assert_eq!(&Params::decode(params.encode().as_bytes()), &params);
        // The other encoding of a space, in which `%20` is not `+`.
        prop_assert_eq!(&Params::decode(params.encode().replace('+', "%20").as_bytes()), &params);
    }

    #[test]
    fn the_order_of_parameters_means_nothing(
        pairs in proptest::collection::btree_map("[A-C]\\.[0-9]\\.[a-c]", "[a-z]{0,4}", 0..12).prop_map(|map| map.into_iter().collect::<Vec<_>>()),
        seed in any::<u64>(),
    ) {
        let mut shuffled = pairs.clone();
        let len = shuffled.len().max(1);
        for index in 0..shuffled.len() {
            shuffled.swap(index, (seed as usize).wrapping_mul(index + 7) % len);
        }
        let encode = |pairs: &[(String, String)]| {
            form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish()
        };
        let (a, b) = (params(&encode(&pairs)), params(&encode(&shuffled)));
        prop_assert_eq!(a.structs("A"), b.structs("A"));
        prop_assert_eq!(a, b);
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), name in ".{0,5}") {
        let params = Params::decode(&bytes);
        let _ = (params.list(&name), params.members(&name), params.structs(&name), params.nested(&name));
        let _ = (params.bool(&name), params.int(&name), params.cidr(&name), params.address(&name));
    }
}

#[rstest]
#[case("abc", "abc", true)]
#[case("abc", "Abc", false)]
#[case("abc", "abcd", false)]
#[case("ELB net/a1/*", "ELB net/a1/0123", true)]
#[case("*nginx*", "my-nginx-2", true)]
#[case("us-west-?", "us-west-2", true)]
#[case("us-west-?", "us-west-2a", false)]
#[case("*", "", true)]
#[case("?", "", false)]
#[case("a**b*", "axxbb", true)]
#[case(r"a\*b", "a*b", true)]
#[case(r"a\*b", "axb", false)]
#[case(r"a\?", "ab", false)]
#[case(r"\", r"\", true)]
#[case("", "", true)]
#[case("", "a", false)]
fn patterns(#[case] pattern: &str, #[case] value: &str, #[case] matches: bool) {
    assert_eq!(matches_pattern(pattern, value), matches);
}

proptest! {
    #[test]
    fn patterns_agree_with_a_naive_matcher(pattern in "[ab*?]{0,8}", value in "[ab]{0,10}") {
        fn naive(pattern: &[u8], value: &[u8]) -> bool {
            match (pattern, value) {
                ([], []) => true,
                ([b'*', rest @ ..], value) => (0..=value.len()).any(|skip| naive(rest, &value[skip..])),
                ([b'?', rest @ ..], [_, value @ ..]) => naive(rest, value),
                ([c, rest @ ..], [d, value @ ..]) => c == d && naive(rest, value),
                _ => false,
            }
        }
        prop_assert_eq!(matches_pattern(&pattern, &value), naive(pattern.as_bytes(), value.as_bytes()));
    }
}

#[rstest]
#[case::no_filter("", true)]
#[case::values_are_alternatives("Filter.1.Name=state&Filter.1.Value.1=x&Filter.1.Value.2=on", true)]
#[case::filters_all_have_to_match(
    "Filter.1.Name=state&Filter.1.Value.1=on&Filter.2.Name=zone&Filter.2.Value.1=c",
    false
)]
#[case::any_of_several_values("Filter.1.Name=zone&Filter.1.Value.1=b", true)]
#[case::no_values_match_nothing("Filter.1.Name=state", false)]
#[case::case_counts("Filter.1.Name=state&Filter.1.Value.1=ON", false)]
#[case::tag("Filter.1.Name=tag:Name&Filter.1.Value.1=n*", true)]
#[case::other_tag("Filter.1.Name=tag:name&Filter.1.Value.1=n*", false)]
#[case::tag_key("Filter.1.Name=tag-key&Filter.1.Value.1=Name", true)]
fn filters(#[case] form: &str, #[case] matches: bool) {
    let filters = Filters::parse(&params(form), &["state", "zone"]).unwrap();
    let field = |name: &str| match name {
        "state" => vec!["on".to_owned()],
        _ => vec!["a".to_owned(), "b".to_owned()],
    };
    assert_eq!(filters.matches(&Tags::from([("Name".to_owned(), "node".to_owned())]), field), matches);
}

#[test]
fn unknown_filters_are_refused() {
    let error = Filters::parse(&params("Filter.1.Name=colour&Filter.1.Value.1=x"), &["state"]).unwrap_err();
    assert_eq!(
        (error.code.as_str(), error.message.as_str()),
        ("InvalidParameterValue", "The filter 'colour' is invalid")
    );
}

proptest! {
    #[test]
    fn pages_together_are_the_whole_list(
        items in proptest::collection::btree_set("[a-z]{1,3}", 0..40),
        size in 5_usize..12,
        removed in any::<proptest::sample::Index>(),
    ) {
        let mut items: Vec<String> = items.into_iter().collect();
        let whole = items.clone();
        let mut seen = Vec::new();
        let mut token = String::new();
        let mut gone = None;
        loop {
            let request = [("MaxResults", size.to_string()), ("NextToken", token)];
            let request = PageRequest::ec2(&request.into_iter().collect(), "DescribeThings", None).unwrap();
            let page = request.page(items.clone(), |item| item);
            prop_assert!(page.items.len() <= size);
            seen.extend(page.items);
            match page.next {
                Some(next) => token = next,
                None => break,
            }
            // Something is deleted between two pages: nothing else is left out or shown twice.
            if gone.is_none() {
                gone = Some(items.remove(removed.index(items.len())));
            }
        }
        seen.extend(gone.filter(|gone| !seen.contains(gone)));
        seen.sort();
        prop_assert_eq!(seen, whole);
    }

    #[test]
    fn no_token_makes_it_panic(token in ".{1,20}") {
        let params: Params = [("NextToken", token)].into_iter().collect();
        prop_assert!(PageRequest::ec2(&params, "DescribeThings", None).is_err());
    }
}

#[rstest]
#[case::too_few(PageRequest::ec2(&params("MaxResults=4"), "A", None), "InvalidParameterValue")]
#[case::too_many(PageRequest::ec2(&params("MaxResults=1001"), "A", None), "InvalidParameterValue")]
#[case::with_ids(PageRequest::ec2(&params("MaxResults=5"), "A", Some("VpcId")), "InvalidParameterCombination")]
#[case::elbv2_size(PageRequest::elbv2(&params("PageSize=401"), "A"), "ValidationError")]
#[case::elbv2_marker(PageRequest::elbv2(&params("Marker=x"), "A"), "ValidationError")]
#[case::eks_size(PageRequest::eks(&params("maxResults=0"), "A"), "InvalidParameterException")]
#[case::eks_token(PageRequest::eks(&params("nextToken=x"), "A"), "InvalidParameterException")]
fn wrong_pages_are_refused(#[case] request: Result<PageRequest, crate::aws::AwsError>, #[case] code: &str) {
    assert_eq!(request.unwrap_err().code, code);
}

#[test]
fn a_token_belongs_to_one_action() {
    let request = PageRequest::elbv2(&params("PageSize=1"), "DescribeA").unwrap();
    let token = request.page(vec!["a", "b"], |item| item).next.unwrap();
    let with_token: Params = [("Marker", token)].into_iter().collect();
    assert_eq!(PageRequest::elbv2(&with_token, "DescribeA").unwrap().page(vec!["a", "b"], |item| item).items, ["b"]);
    assert!(PageRequest::elbv2(&with_token, "DescribeB").is_err());
}
