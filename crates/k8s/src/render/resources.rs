//! What a server asks for, and what it may use at most.

use std::collections::BTreeMap;

use k8s_openapi::{api::core::v1::ResourceRequirements, apimachinery::pkg::api::resource::Quantity};
use portolan_core::{Error, Result};

use super::{quantity, render_plan::Plan};

type Figures = BTreeMap<String, String>;

/// The defaults, with what the server says instead. An empty figure takes a default away.
///
/// A request above a default limit, or a limit below a default request, moves the default: who names one figure shall not
/// have to know the other.
pub(super) fn requirements(plan: &Plan<'_>) -> Result<ResourceRequirements> {
    let (config, options) = (plan.input.config, &plan.input.spec.kubernetes);
    let mut requests = with(&config.requests, &options.requests);
    let mut limits = with(&config.limits, &options.limits);
    for (name, request) in &mut requests {
        let Some(limit) = limits.get_mut(name) else { continue };
        if figure("requests", name, request)? <= figure("limits", name, limit)? {
            continue;
        }
        match (options.requests.contains_key(name), options.limits.contains_key(name)) {
            (true, false) => limit.clone_from(request),
            (false, true) => request.clone_from(limit),
            _ => {
                return Err(Error::invalid(
                    "requests",
                    format!("{name} of {request} is above the limit of {limit}"),
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

fn with(defaults: &Figures, own: &Figures) -> Figures {
    let mut figures = defaults.clone();
    figures.extend(own.clone());
    figures.retain(|_, figure| !figure.is_empty());
    figures
}

fn quantities(field: &str, figures: Figures) -> Result<Option<BTreeMap<String, Quantity>>> {
    for (name, text) in &figures {
        figure(field, name, text)?;
    }
    let quantities: BTreeMap<_, _> = figures.into_iter().map(|(name, text)| (name, Quantity(text))).collect();
    Ok(Some(quantities).filter(|quantities| !quantities.is_empty()))
}

fn figure(field: &str, name: &str, text: &str) -> Result<f64> {
    let problem = || {
        Error::invalid(
            field,
            format!("{text:?} of {name} is no quantity; write it as 500m, 128Mi or 2"),
        )
    };
    quantity::parse(text).ok_or_else(problem)
}
