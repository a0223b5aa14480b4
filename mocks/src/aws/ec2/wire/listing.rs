//! What Describe actions have in common: ids, filters and pages.

use std::collections::BTreeMap;

use super::Answer;
use crate::aws::ec2::resource::{Resource, find};
use crate::aws::tags::Tags;
use crate::aws::wire::filters::Filters;
use crate::aws::wire::pagination::PageRequest;
use crate::aws::wire::params::Params;
use crate::aws::wire::xml::Element;
use crate::aws::{AwsError, Context};

/// One Describe action.
pub(super) struct Listing<'a> {
    /// Action.
    pub(super) action: &'a str,
    /// Name of the list of ids in the request.
    pub(super) ids: &'a str,
    /// Name of the list in the answer.
    pub(super) set: &'static str,
    /// Filters beside those for tags.
    pub(super) filters: &'a [&'a str],
}

/// Something that may be listed.
pub(super) struct Candidate<'a, R> {
    /// Its id.
    pub(super) id: &'a str,
    /// Its record.
    pub(super) record: &'a R,
    /// Its tags as seen in the region.
    pub(super) tags: &'a Tags,
}

impl Listing<'_> {
    /// Lists the records of a region.
    pub(super) fn of_region<R: Resource>(
        &self,
        context: &Context,
        params: &Params,
        records: &BTreeMap<String, R>,
        field: impl Fn(&str, &R, &str) -> Vec<String>,
        xml: impl Fn(&str, &R) -> Vec<Element>,
    ) -> Answer {
        let candidates = records.iter().filter(|(_, record)| record.region() == context.region);
        let candidates = candidates.map(|(id, record)| Candidate { id, record, tags: record.tags() });
        let exists = |id: &str| find(records, &context.region, id).map(drop);
        self.answer(params, candidates, exists, field, xml)
    }

    /// Lists candidates: those with the ids, where there are any, that match the filters, page by page.
    pub(super) fn answer<'a, R: 'a>(
        &self,
        params: &Params,
        candidates: impl Iterator<Item = Candidate<'a, R>>,
        exists: impl Fn(&str) -> Result<(), AwsError>,
        field: impl Fn(&str, &R, &str) -> Vec<String>,
        xml: impl Fn(&str, &R) -> Vec<Element>,
    ) -> Answer {
        let ids = params.list(self.ids);
        let request = PageRequest::ec2(params, self.action, (!ids.is_empty()).then_some(self.ids))?;
        let filters = Filters::parse(params, self.filters)?;
        ids.iter().try_for_each(|id| exists(id))?;
        let chosen: Vec<_> = candidates
            .filter(|candidate| ids.is_empty() || ids.iter().any(|id| id == candidate.id))
            .filter(|candidate| filters.matches(candidate.tags, |name| field(candidate.id, candidate.record, name)))
            .collect();
        let page = request.page(chosen, |candidate| candidate.id);
        let items = page.items.iter().map(|candidate| xml(candidate.id, candidate.record));
        let mut answer = vec![Element::items(self.set, items)];
        answer.extend(Element::optional("nextToken", page.next));
        Ok(answer)
    }
}

/// `<tagSet>`.
pub(super) fn tag_set(tags: &Tags) -> Element {
    let items = tags.iter().map(|(key, value)| vec![Element::text("key", key), Element::text("value", value)]);
    Element::items("tagSet", items)
}

/// One value, as a filter's field.
pub(super) fn one(value: impl ToString) -> Vec<String> {
    vec![value.to_string()]
}

/// Several values, as a filter's field.
pub(super) fn many(values: impl IntoIterator<Item = impl ToString>) -> Vec<String> {
    values.into_iter().map(|value| value.to_string()).collect()
}
