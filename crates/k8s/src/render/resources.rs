//! Resource requests and limits.

use std::collections::BTreeMap;

use k8s_openapi::{api::core::v1::ResourceRequirements, apimachinery::pkg::api::resource::Quantity};
use portolan_core::{Error, Result};

use super::{quantity, render_plan::RenderPlan};

type ResourceMap = BTreeMap<String, String>;

/// Returns the defaults of the configuration with the overrides of the server. An empty value removes a default.
///
/// A request above a default limit raises that limit, and a limit below a default request lowers that request.
///
/// # Errors
///
/// [`Error::Invalid`] if a value is not a quantity, or if the server's own request is above its own limit.
pub(super) fn requirements(plan: &RenderPlan<'_>) -> Result<ResourceRequirements> {
    let (config, options) = (plan.input.config, &plan.input.spec.kubernetes);
    let mut requests = overridden(&config.requests, &options.requests);
    let mut limits = overridden(&config.limits, &options.limits);
    for (name, request) in &mut requests {
        let Some(limit) = limits.get_mut(name) else { continue };
        if parse_quantity("requests", name, request)? <= parse_quantity("limits", name, limit)? {
            continue;
        }
        match (options.requests.contains_key(name), options.limits.contains_key(name)) {
            (true, false) => limit.clone_from(request),
            (false, true) => request.clone_from(limit),
            _ => {
                return Err(Error::invalid(
                    "requests",
                    format!("{name} of {request} is above the limit of {limit}; lower it or raise the limit"),
                ));
            }
        }
    }
    Ok(ResourceRequirements {
        requests: quantities("requests", requests)?,
        limits: quantities("limits", limits)?,
        ..ResourceRequirements::default()
    })
}

fn overridden(defaults: &ResourceMap, own: &ResourceMap) -> ResourceMap {
    let mut resources = defaults.clone();
    resources.extend(own.clone());
    resources.retain(|_, parse_quantity| !parse_quantity.is_empty());
    resources
}

fn quantities(field: &str, resources: ResourceMap) -> Result<Option<BTreeMap<String, Quantity>>> {
    for (name, text) in &resources {
        parse_quantity(field, name, text)?;
    }
    let quantities: BTreeMap<_, _> = resources
        .into_iter()
        .map(|(name, text)| (name, Quantity(text)))
        .collect();
    Ok(Some(quantities).filter(|quantities| !quantities.is_empty()))
}

fn parse_quantity(field: &str, name: &str, text: &str) -> Result<f64> {
    let problem = || {
        Error::invalid(
            field,
            format!("{text:?} of {name} is not a quantity; write it as 500m, 128Mi or 2"),
        )
    };
    quantity::parse(text).ok_or_else(problem)
}
