//! Checks by `cargo tree` that crates do not have forbidden dependencies.

use anyhow::{Result, ensure};

use crate::exec;
use crate::report::Outcome;
use crate::workspace::{Workspace, cargo};

/// Crates that a selection of cargo's dependency tree must not contain. A rule about a package that the workspace
/// does not have is skipped.
struct Rule {
    what: &'static str,
    tree: &'static [&'static str],
    forbidden: &'static [&'static [&'static str]],
}

const KUBERNETES: &[&str] = &["kube", "kube-client", "kube-core", "kube-runtime", "k8s-openapi"];
const SQL: &[&str] = &["sqlx", "sqlx-core", "libsqlite3-sys"];
const HTTP: &[&str] = &["hyper", "hyper-util", "axum", "axum-core", "reqwest", "rmcp"];
const TOKIO: &[&str] = &["tokio"];
const UNWANTED: &[&str] = &["ring", "openssl", "openssl-sys", "native-tls", "serde_yaml", "rsa"];

const RULES: &[Rule] = &[
    Rule {
        what: "portolan-core sees no backend",
        tree: &["-p", "portolan-core", "--all-features", "-e", "normal,build"],
        forbidden: &[KUBERNETES, SQL, HTTP],
    },
    Rule {
        what: "portolan-wire sees no backend and no runtime",
        tree: &["-p", "portolan-wire", "--all-features", "-e", "normal,build"],
        forbidden: &[KUBERNETES, SQL, HTTP, TOKIO],
    },
    Rule {
        what: "portolan-client sees no gateway, no backend and no server",
        tree: &["-p", "portolan-client", "--all-features", "-e", "normal,build"],
        forbidden: &[KUBERNETES, SQL, &["portolan-gateway", "axum", "axum-core"]],
    },
    Rule {
        what: "portolan-gateway sees no Kubernetes and no SQL",
        tree: &["-p", "portolan-gateway", "--all-features", "-e", "normal,build"],
        forbidden: &[KUBERNETES, SQL],
    },
    Rule {
        what: "portolan-k8s sees no SQL and no gateway",
        tree: &["-p", "portolan-k8s", "-e", "normal,build"],
        forbidden: &[SQL, &["portolan-gateway", "axum"]],
    },
    Rule {
        what: "portolan-identity sees no gateway, no Kubernetes and no SQL",
        tree: &["-p", "portolan-identity", "--all-features", "-e", "normal,build"],
        forbidden: &[KUBERNETES, SQL, &["portolan-gateway", "axum"]],
    },
    Rule {
        what: "portolan-import sees no backend, no gateway and no client",
        tree: &["-p", "portolan-import", "--all-features", "-e", "normal,build"],
        forbidden: &[KUBERNETES, SQL, HTTP, &["portolan-gateway", "portolan-client"]],
    },
    Rule {
        what: "portolan's default features see no Kubernetes",
        tree: &["-p", "portolan", "-e", "normal,build"],
        forbidden: &[KUBERNETES],
    },
    Rule {
        what: "portolan's default features see no PostgreSQL",
        tree: &["-p", "portolan", "-e", "normal,build"],
        forbidden: &[&["sqlx-postgres"]],
    },
    Rule {
        what: "no crate sees what we keep out",
        tree: &["--workspace", "--all-features", "-e", "normal,build,dev"],
        forbidden: &[UNWANTED],
    },
];

pub(super) fn run(outcome: &mut Outcome) -> Result<()> {
    let packages = Workspace::read()?.packages();
    for rule in RULES.iter().filter(|rule| applies(rule, &packages)) {
        outcome.check(rule.what, || check(rule));
    }
    Ok(())
}

/// Returns whether the workspace has the rule's package.
fn applies(rule: &Rule, packages: &[String]) -> bool {
    match rule.tree {
        ["-p", package, ..] => packages.iter().any(|known| known == package),
        _ => true,
    }
}

fn check(rule: &Rule) -> Result<()> {
    let mut command = cargo(&["tree", "--prefix", "none", "--format", "{p}"]);
    let tree = exec::output(command.args(rule.tree))?;
    let found = offenders(&tree, rule.forbidden);
    ensure!(found.is_empty(), "sees {}", found.join(", "));
    Ok(())
}

/// Returns the forbidden packages. Lines look like `hyper v1.12.0` or `portolan-core v0.1.0 (/folder)`.
fn offenders<'a>(tree: &'a str, forbidden: &[&[&str]]) -> Vec<&'a str> {
    let mut found: Vec<&str> = tree
        .lines()
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| forbidden.iter().any(|names| names.contains(name)))
        .collect();
    found.sort_unstable();
    found.dedup();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_packages_have_no_rules() {
        let packages = ["portolan-core".to_owned()];
        let applying: Vec<&str> = RULES
            .iter()
            .filter(|rule| applies(rule, &packages))
            .map(|rule| rule.what)
            .collect();
        assert_eq!(
            applying,
            ["portolan-core sees no backend", "no crate sees what we keep out"]
        );
    }

    #[test]
    fn offenders_match_whole_names() {
        let tree = "portolan-core v0.1.0 (/somewhere/ring)\nopenssl-probe v0.1.0\nring v0.17.0\nring v0.17.0 (*)\n";
        assert_eq!(offenders(tree, &[UNWANTED]), ["ring"]);
    }
}
