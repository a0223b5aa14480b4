//! Regions and their availability zones.

/// Regions, the first part of their zone ids, and the letters of the zones that an account made today can use.
const REGIONS: &[(&str, &str, &str)] = &[
    ("ap-northeast-1", "apne1", "acd"),
    ("ap-northeast-2", "apne2", "abcd"),
    ("ap-south-1", "aps1", "abc"),
    ("ap-southeast-1", "apse1", "abc"),
    ("ap-southeast-2", "apse2", "abc"),
    ("ca-central-1", "cac1", "abd"),
    ("eu-central-1", "euc1", "abc"),
    ("eu-north-1", "eun1", "abc"),
    ("eu-west-1", "euw1", "abc"),
    ("eu-west-2", "euw2", "abc"),
    ("eu-west-3", "euw3", "abc"),
    ("sa-east-1", "sae1", "abc"),
    ("us-east-1", "use1", "abcdef"),
    ("us-east-2", "use2", "abc"),
    ("us-west-1", "usw1", "ab"),
    ("us-west-2", "usw2", "abcd"),
];

/// The regions that are enabled by default, by name. Requests to other regions are answered, too: each then has three
/// availability zones.
pub fn regions() -> impl Iterator<Item = &'static str> {
    REGIONS.iter().map(|(name, ..)| *name)
}

/// Names of a region's availability zones, in order. us-west-1 has two, as on AWS for new accounts.
pub fn zones(region: &str) -> Vec<String> {
    let letters = REGIONS.iter().find(|(name, ..)| *name == region).map_or("abc", |(.., letters)| letters);
    letters.chars().map(|letter| format!("{region}{letter}")).collect()
}

/// The id of an availability zone, for example `usw2-az1`. AWS shuffles them for each account; here they are in order.
pub fn zone_id(zone: &str) -> String {
    let region = zone.trim_end_matches(|c: char| c.is_ascii_lowercase());
    let number = zones(region).iter().position(|name| name == zone).map_or(0, |index| index + 1);
    let short = REGIONS.iter().find(|(name, ..)| *name == region).map_or(region, |(_, short, _)| short);
    format!("{short}-az{number}")
}
