//! Regions and availability zones on the wire.

use super::Answer;
use super::listing::one;
use crate::aws::ec2::regions::{regions, zone_id, zones};
use crate::aws::tags::Tags;
use crate::aws::wire::filters::Filters;
use crate::aws::wire::params::Params;
use crate::aws::wire::xml::Element;
use crate::aws::{AwsError, Context, State};

pub(super) fn describe_regions(_state: &mut State, _context: &Context, params: &Params) -> Answer {
    let filters = Filters::parse(params, &["endpoint", "opt-in-status", "region-name"])?;
    let wanted = params.list("RegionName");
    if let Some(unknown) = wanted.iter().find(|name| !regions().any(|region| region == name.as_str())) {
        return Err(AwsError::invalid_value(format!("Invalid value '{unknown}' for region name.")));
    }
    let endpoint = |region: &str| format!("ec2.{region}.amazonaws.com");
    let chosen = regions().filter(|region| wanted.is_empty() || wanted.iter().any(|name| name == region));
    let chosen = chosen.filter(|region| {
        filters.matches(&Tags::new(), |name| match name {
            "endpoint" => one(endpoint(region)),
            "opt-in-status" => one("opt-in-not-required"),
            _ => one(region),
        })
    });
    let items = chosen.map(|region| {
        vec![
            Element::text("regionName", region),
            Element::text("regionEndpoint", endpoint(region)),
            Element::text("optInStatus", "opt-in-not-required"),
        ]
    });
    Ok(vec![Element::items("regionInfo", items)])
}

pub(super) fn describe_availability_zones(_state: &mut State, context: &Context, params: &Params) -> Answer {
    let supported =
        ["group-name", "message", "opt-in-status", "region-name", "state", "zone-id", "zone-name", "zone-type"];
    let filters = Filters::parse(params, &supported)?;
    let all = zones(&context.region);
    let (names, ids) = (params.list("ZoneName"), params.list("ZoneId"));
    if let Some(unknown) = names.iter().find(|name| !all.contains(name)) {
        return Err(AwsError::invalid_value(format!("Invalid availability zone: [{unknown}]")));
    }
    if let Some(unknown) = ids.iter().find(|id| !all.iter().any(|zone| zone_id(zone) == **id)) {
        return Err(AwsError::invalid_value(format!("Invalid availability zone-id: [{unknown}]")));
    }
    let chosen = all.iter().filter(|zone| {
        (names.is_empty() || names.contains(zone))
            && (ids.is_empty() || ids.contains(&zone_id(zone)))
            && filters.matches(&Tags::new(), |name| match name {
                "group-name" => one(format!("{}-zg-1", context.region)),
                "message" => Vec::new(),
                "opt-in-status" => one("opt-in-not-required"),
                "region-name" => one(&context.region),
                "state" => one("available"),
                "zone-id" => one(zone_id(zone)),
                "zone-type" => one("availability-zone"),
                _ => one(zone),
            })
    });
    let items = chosen.map(|zone| {
        vec![
            Element::text("zoneName", zone),
            Element::text("zoneId", zone_id(zone)),
            Element::text("zoneState", "available"),
            Element::text("zoneType", "availability-zone"),
            Element::text("regionName", &context.region),
            Element::text("groupName", format!("{}-zg-1", context.region)),
            Element::text("networkBorderGroup", &context.region),
            Element::text("optInStatus", "opt-in-not-required"),
            Element::new("messageSet", Vec::new()),
        ]
    });
    Ok(vec![Element::items("availabilityZoneInfo", items)])
}
