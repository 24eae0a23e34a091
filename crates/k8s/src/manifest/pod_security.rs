//! Settings that break the isolation of a pod: everything that the baseline Pod Security Standard forbids, in containers,
//! init containers and ephemeral containers.

use portolan_core::Result;
use serde_json::Value;

use super::{ManifestRules, invalid};

/// The volume types that the restricted standard allows, and image volumes, whose images are checked like those of
/// containers. Other types reach the node or refer to secrets in fields of their own.
const VOLUMES: [&str; 9] = [
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "image",
    "persistentVolumeClaim",
    "projected",
    "secret",
];

/// The sysctls that are namespaced to the pod.
const SYSCTLS: [&str; 10] = [
    "kernel.shm_rmid_forced",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.ping_group_range",
    "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes",
    "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_syncookies",
];

/// Checks a pod template, and reports the first setting that is refused.
pub(super) fn check(template: &Value, rules: &ManifestRules<'_>) -> Result<()> {
    check_annotations(&template["metadata"]["annotations"])?;
    let pod = &template["spec"];
    for key in ["hostNetwork", "hostPID", "hostIPC"] {
        refuse_if(pod[key] == true, key, "shares a namespace of the node; remove it")?;
    }
    check_security_context("securityContext", &pod["securityContext"])?;
    for sysctl in list(&pod["securityContext"]["sysctls"]) {
        let name = sysctl["name"].as_str().unwrap_or_default();
        refuse_if(
            !SYSCTLS.contains(&name),
            "securityContext.sysctls",
            "holds a sysctl that changes the node; remove it",
        )?;
    }
    for volume in list(&pod["volumes"]) {
        check_volume(volume, rules)?;
    }
    containers(pod).try_for_each(|(path, container)| check_container(&path, container))?;
    check_root(pod)
}

/// Iterates over all containers of a pod, with their paths.
pub(super) fn containers(pod: &Value) -> impl Iterator<Item = (String, &Value)> {
    ["containers", "initContainers", "ephemeralContainers"]
        .into_iter()
        .flat_map(|kind| {
            let containers = list(&pod[kind]).enumerate();
            containers.map(move |(index, container)| (format!("{kind}[{index}]"), container))
        })
}

fn check_container(path: &str, container: &Value) -> Result<()> {
    let context = &container["securityContext"];
    let path = |key: &str| format!("{path}.{key}");
    refuse_if(
        context["privileged"] == true,
        &path("securityContext.privileged"),
        "gives it root access to the node; remove it",
    )?;
    refuse_if(
        context["allowPrivilegeEscalation"] == true,
        &path("securityContext.allowPrivilegeEscalation"),
        "lets it gain privileges; remove it",
    )?;
    refuse_if(
        list(&context["capabilities"]["add"]).next().is_some(),
        &path("securityContext.capabilities.add"),
        "adds a root privilege; remove it",
    )?;
    refuse_if(
        !matches!(context["procMount"].as_str(), None | Some("Default")),
        &path("securityContext.procMount"),
        "exposes /proc of the node; remove it",
    )?;
    check_security_context(&path("securityContext"), context)?;
    for port in list(&container["ports"]) {
        refuse_if(
            !matches!(port["hostPort"].as_i64(), None | Some(0)),
            &path("ports.hostPort"),
            "opens a port of the node; remove it: gateways use the Service",
        )?;
    }
    check_probes(&path, container)
}

/// Checks the security settings that pods and containers share.
fn check_security_context(path: &str, context: &Value) -> Result<()> {
    for profile in ["seccompProfile", "appArmorProfile"] {
        refuse_if(
            context[profile]["type"] == "Unconfined",
            &format!("{path}.{profile}"),
            "disables a protection; remove it",
        )?;
    }
    refuse_if(
        context["windowsOptions"]["hostProcess"] == true,
        &format!("{path}.windowsOptions.hostProcess"),
        "runs it as a process of the node; remove it",
    )?;
    let linux = &context["seLinuxOptions"];
    let types = [
        "",
        "container_t",
        "container_init_t",
        "container_kvm_t",
        "container_engine_t",
    ];
    let is_plain = linux["user"].as_str().unwrap_or_default().is_empty()
        && linux["role"].as_str().unwrap_or_default().is_empty()
        && types.contains(&linux["type"].as_str().unwrap_or_default());
    refuse_if(
        !is_plain,
        &format!("{path}.seLinuxOptions"),
        "disables a protection; remove it",
    )
}

/// Checks probes and hooks: with a `host`, the kubelet would send requests to it on the server's behalf.
fn check_probes(path: &impl Fn(&str) -> String, container: &Value) -> Result<()> {
    let probes = ["livenessProbe", "readinessProbe", "startupProbe"].map(|key| (key, &container[key]));
    let hooks = ["postStart", "preStop"].map(|key| (key, &container["lifecycle"][key]));
    for (key, handler) in probes.into_iter().chain(hooks) {
        let names_host = ["httpGet", "tcpSocket"]
            .iter()
            .any(|kind| !handler[kind]["host"].is_null());
        refuse_if(
            names_host,
            &path(key),
            "names a host, which the node would call; remove the host",
        )?;
    }
    Ok(())
}

fn check_volume(volume: &Value, rules: &ManifestRules<'_>) -> Result<()> {
    let kinds = volume.as_object().into_iter().flat_map(serde_json::Map::keys);
    for kind in kinds.filter(|key| *key != "name") {
        refuse_if(
            !VOLUMES.contains(&kind.as_str()),
            &format!("volumes.{kind}"),
            &format!("reaches outside of the pod; use one of {}", VOLUMES.join(", ")),
        )?;
    }
    for source in list(&volume["projected"]["sources"]) {
        refuse_if(
            !source["serviceAccountToken"].is_null() && !rules.service_account_token,
            "volumes.projected.serviceAccountToken",
            "gives the server a token for the cluster; set the server option service_account_token",
        )?;
    }
    Ok(())
}

fn check_annotations(annotations: &Value) -> Result<()> {
    let pairs = annotations.as_object().into_iter().flatten();
    for (key, value) in pairs {
        refuse_if(
            key.starts_with("container.apparmor.security.beta.kubernetes.io/") && value == "unconfined",
            key,
            "disables a protection; remove it",
        )?;
    }
    Ok(())
}

/// Checks that a container which runs as root says so: with the `runAsNonRoot` that is filled in, it would fail at start.
fn check_root(pod: &Value) -> Result<()> {
    let context = &pod["securityContext"];
    let all = containers(pod).map(|(path, container)| (path, &container["securityContext"]));
    for (path, own) in all.chain([("pod".to_owned(), context)]) {
        let is_explicit =
            own["runAsNonRoot"] == false || (own["runAsNonRoot"].is_null() && context["runAsNonRoot"] == false);
        refuse_if(
            own["runAsUser"] == 0 && !is_explicit,
            &format!("{path}.securityContext.runAsUser"),
            "is root; add runAsNonRoot: false if that is intended",
        )?;
    }
    Ok(())
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn refuse_if(is_refused: bool, path: &str, why: &str) -> Result<()> {
    if is_refused {
        Err(invalid(format!("{path}: {why}")))
    } else {
        Ok(())
    }
}
