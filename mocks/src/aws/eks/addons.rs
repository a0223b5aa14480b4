//! Add-ons. They are records only: what runs in a cluster is its provisioner's, and so is carrying an update out.

use crate::aws::eks::clusters::{find, find_mut};
use crate::aws::eks::errors::{in_use, invalid_parameter, not_found};
use crate::aws::eks::nodegroups::uuid;
use crate::aws::eks::state::*;
use crate::aws::eks::versions;
use crate::aws::tags::Tags;
use crate::aws::{AwsError, Context, State};
use crate::clock::{Latencies, SimTime};

/// What a new add-on is to be.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NewAddon {
    /// Name.
    pub name: String,
    /// Version; the default one for the cluster when none is given.
    pub version: Option<String>,
    /// What its owner configures.
    pub configuration: Option<String>,
    /// Tags.
    pub tags: Tags,
}

impl Addon {
    /// Status at a time: it is there as soon as the cluster is. (CoreDNS without nodes would be `DEGRADED` on AWS.)
    pub fn status(&self, cluster: &Cluster, now: SimTime, latencies: &Latencies) -> &'static str {
        match self.deleting {
            Some(_) => "DELETING",
            None if cluster.status(now, latencies) == "CREATING" => "CREATING",
            None => "ACTIVE",
        }
    }
}

/// An add-on of a cluster.
///
/// # Errors
/// `ResourceNotFoundException`.
pub(super) fn find_addon<'a>(cluster: &'a Cluster, name: &str, addon: &str) -> Result<&'a Addon, AwsError> {
    cluster.addons.get(addon).ok_or_else(|| missing(name, addon))
}

fn missing(cluster: &str, addon: &str) -> AwsError {
    not_found(format!("No addon: {addon} found in cluster: {cluster}"))
}

/// Checks the version that is asked for, or gives the default one.
fn version(cluster: &Cluster, addon: &str, asked: Option<String>) -> Result<String, AwsError> {
    let known = versions::addon(addon, &cluster.version);
    let default = known.ok_or_else(|| {
        invalid_parameter(format!("Addon {addon} specified is not supported in {} kubernetes version", cluster.version))
    })?;
    match asked {
        None => Ok(default),
        // Any build is as good as another here, as long as it looks like one.
        Some(asked) if asked.starts_with('v') && asked.contains("-eksbuild.") => Ok(asked),
        Some(asked) => Err(invalid_parameter(format!("Addon version {asked} specified is not supported"))),
    }
}

/// Installs an add-on.
///
/// # Errors
/// `ResourceNotFoundException`; `ResourceInUseException` when it is there; `InvalidParameterException` for an add-on or a
/// version that is not known.
pub fn create_addon(state: &mut State, context: &Context, cluster: &str, new: NewAddon) -> Result<(), AwsError> {
    let record = find(state, context, cluster)?;
    if record.addons.contains_key(&new.name) {
        return Err(in_use("Addon already exists."));
    }
    let version = version(record, &new.name, new.version)?;
    let addon = Addon {
        id: uuid(&state.ids.hex(32)),
        version,
        configuration: new.configuration,
        created: context.now,
        modified: context.now,
        deleting: None,
        tags: new.tags,
    };
    find_mut(state, context, cluster)?.addons.insert(new.name, addon);
    Ok(())
}

/// Changes version or configuration of an add-on, where given, and gives the id of the update.
///
/// # Errors
/// `ResourceNotFoundException`; `InvalidParameterException` for a version that is not known.
pub(super) fn update_addon(
    state: &mut State,
    context: &Context,
    cluster: &str,
    new: NewAddon,
    conflicts: Option<String>,
) -> Result<String, AwsError> {
    let record = find(state, context, cluster)?;
    let old = find_addon(record, cluster, &new.name)?.version.clone();
    let version = version(record, &new.name, Some(new.version.unwrap_or(old)))?;
    let mut params = vec![("AddonVersion", version.clone())];
    params.extend(new.configuration.clone().map(|text| ("ConfigurationValues", text)));
    params.extend(conflicts.map(|how| ("ResolveConflicts", how)));
    let id = uuid(&state.ids.hex(32));
    let status = if state.eks.addon_manager { UpdateStatus::InProgress } else { UpdateStatus::Successful };
    let record = find_mut(state, context, cluster)?;
    let addon = record.addons.get_mut(&new.name).ok_or_else(|| missing(cluster, &new.name))?;
    addon.version = version;
    addon.configuration = new.configuration.or(addon.configuration.take());
    addon.modified = context.now;
    let update = Update { kind: "AddonUpdate", addon: new.name, params, created: context.now, status };
    record.updates.insert(id.clone(), update);
    Ok(id)
}

/// Begins to delete an add-on: it is gone with the next request.
///
/// # Errors
/// `ResourceNotFoundException`.
pub(super) fn begin_addon_deletion(
    state: &mut State,
    context: &Context,
    cluster: &str,
    addon: &str,
) -> Result<(), AwsError> {
    let record = find_mut(state, context, cluster)?;
    let found = record.addons.get_mut(addon).ok_or_else(|| missing(cluster, addon))?;
    found.deleting.get_or_insert(context.now);
    Ok(())
}
