//! Settings that reach out of the pod. All are refused that the baseline Pod Security Standard refuses, in containers, init
//! containers and ephemeral ones.

use portolan_core::Result;
use serde_json::Value;

use super::{YamlRules, refused};

/// The kinds of volume that the restricted standard allows, and images, which are checked like those of containers. Others
/// reach the node, or have secret references of their own kind.
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

/// Kernel settings that belong to the pod alone.
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

/// Fails for the first setting of the pod template that is refused.
pub(super) fn check(template: &Value, rules: &YamlRules<'_>) -> Result<()> {
    annotations(&template["metadata"]["annotations"])?;
    let pod = &template["spec"];
    for key in ["hostNetwork", "hostPID", "hostIPC"] {
        refuse_if(pod[key] == true, key, "shares the node's own; take it out")?;
    }
    security("securityContext", &pod["securityContext"])?;
    for sysctl in list(&pod["securityContext"]["sysctls"]) {
        let name = sysctl["name"].as_str().unwrap_or_default();
        refuse_if(
            !SYSCTLS.contains(&name),
            "securityContext.sysctls",
            "holds one that changes the node; take it out",
        )?;
    }
    for volume in list(&pod["volumes"]) {
        check_volume(volume, rules)?;
    }
    containers(pod).try_for_each(|(path, container)| check_container(&path, container))?;
    root(pod)
}

/// All containers of a pod, with their paths.
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
        "makes it the node's root; take it out",
    )?;
    refuse_if(
        context["allowPrivilegeEscalation"] == true,
        &path("securityContext.allowPrivilegeEscalation"),
        "lets it gain privileges; take it out",
    )?;
    refuse_if(
        list(&context["capabilities"]["add"]).next().is_some(),
        &path("securityContext.capabilities.add"),
        "gives it a privilege of root; take it out",
    )?;
    refuse_if(
        !matches!(context["procMount"].as_str(), None | Some("Default")),
        &path("securityContext.procMount"),
        "shows it more of the node; take it out",
    )?;
    security(&path("securityContext"), context)?;
    for port in list(&container["ports"]) {
        refuse_if(
            !matches!(port["hostPort"].as_i64(), None | Some(0)),
            &path("ports.hostPort"),
            "opens a port of the node; take it out: gateways reach the Service",
        )?;
    }
    probes(&path, container)
}

/// What a pod and a container both have.
fn security(path: &str, context: &Value) -> Result<()> {
    for profile in ["seccompProfile", "appArmorProfile"] {
        refuse_if(
            context[profile]["type"] == "Unconfined",
            &format!("{path}.{profile}"),
            "takes a protection away; take it out",
        )?;
    }
    refuse_if(
        context["windowsOptions"]["hostProcess"] == true,
        &format!("{path}.windowsOptions.hostProcess"),
        "makes it a process of the node; take it out",
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
        "takes a protection away; take it out",
    )
}

/// The kubelet would ask another host on the server's behalf.
fn probes(path: &impl Fn(&str) -> String, container: &Value) -> Result<()> {
    let probes = ["livenessProbe", "readinessProbe", "startupProbe"].map(|key| (key, &container[key]));
    let hooks = ["postStart", "preStop"].map(|key| (key, &container["lifecycle"][key]));
    for (key, handler) in probes.into_iter().chain(hooks) {
        let names_host = ["httpGet", "tcpSocket"]
            .iter()
            .any(|kind| !handler[kind]["host"].is_null());
        refuse_if(
            names_host,
            &path(key),
            "names a host: the node would ask it; take the host out",
        )?;
    }
    Ok(())
}

fn check_volume(volume: &Value, rules: &YamlRules<'_>) -> Result<()> {
    let kinds = volume.as_object().into_iter().flat_map(serde_json::Map::keys);
    for kind in kinds.filter(|key| *key != "name") {
        refuse_if(
            !VOLUMES.contains(&kind.as_str()),
            &format!("volumes.{kind}"),
            &format!("reaches out of the pod; use one of {}", VOLUMES.join(", ")),
        )?;
    }
    for source in list(&volume["projected"]["sources"]) {
        refuse_if(
            !source["serviceAccountToken"].is_null() && !rules.service_account_token,
            "volumes.projected.serviceAccountToken",
            "gives the server a token for the cluster; set the server's option service_account_token first",
        )?;
    }
    Ok(())
}

fn annotations(annotations: &Value) -> Result<()> {
    let pairs = annotations.as_object().into_iter().flatten();
    for (key, value) in pairs {
        refuse_if(
            key.starts_with("container.apparmor.security.beta.kubernetes.io/") && value == "unconfined",
            key,
            "takes a protection away; take it out",
        )?;
    }
    Ok(())
}

/// A pod of root does not start beside what is filled in, which would only show later.
fn root(pod: &Value) -> Result<()> {
    let context = &pod["securityContext"];
    let all = containers(pod).map(|(path, container)| (path, &container["securityContext"]));
    for (path, own) in all.chain([("pod".to_owned(), context)]) {
        let says_so =
            own["runAsNonRoot"] == false || (own["runAsNonRoot"].is_null() && context["runAsNonRoot"] == false);
        refuse_if(
            own["runAsUser"] == 0 && !says_so,
            &format!("{path}.securityContext.runAsUser"),
            "is root; add runAsNonRoot: false if you mean that",
        )?;
    }
    Ok(())
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn refuse_if(is_so: bool, path: &str, why: &str) -> Result<()> {
    if is_so {
        Err(refused(format!("{path}: {why}")))
    } else {
        Ok(())
    }
}
