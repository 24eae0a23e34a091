//! The digest: equal for equal specs, different for any change.

use portolan_core::{EnvFrom, ImagePull, ImagePullSecret, Owner, RunAs, Secret, Source, StdioCarrier};
use portolan_k8s::{BridgeSource, NetworkMode, name};
use proptest::prelude::*;

use super::fixture::Fixture;

fn full() -> Fixture {
    let mut fixture = Fixture::command()
        .plain("A", "1")
        .plain("B", "2")
        .secret("KEY", "s3cr3t")
        .file("f", "x");
    let password = fixture.key("registry", "p4ss");
    fixture.spec.kubernetes.image_pull_secrets = vec![ImagePullSecret::Credentials {
        registry: "ghcr.io".into(),
        username: "robot".into(),
        password,
    }];
    fixture
}

#[test]
fn digest_is_annotated() {
    let rendered = full().render();
    let annotations = rendered.deployment.metadata.annotations.expect("annotations");
    assert_eq!(annotations[name::DIGEST], rendered.digest);
    assert_eq!(rendered.digest.len(), 64);
}

#[test]
fn every_change_changes_digest() {
    type Change = fn(&mut Fixture);
    let changes: &[(&str, Change)] = &[
        ("env", |w| *w = w.clone().plain("A", "3")),
        ("one more variable", |w| *w = w.clone().plain("C", "")),
        ("a secret", |w| *w = w.clone().secret("KEY", "other")),
        ("a file", |w| *w = w.clone().file("f", "y")),
        ("the registry's password", |w| drop(w.key("registry", "other"))),
        ("the token", |w| w.token = Secret::new("another")),
        ("program", |w| set_program(w, "npx", "mcp-server-time")),
        ("argument", |w| set_program(w, "uvx", "mcp-server-git")),
        ("owner", |w| w.spec.owner = Owner::Org),
        ("multitenant", |w| {
            w.spec.env.clear();
            w.spec.files.clear();
            w.spec.kubernetes.multitenant = true;
        }),
        ("requests", |w| {
            drop(w.spec.kubernetes.requests.insert("cpu".into(), "1".into()))
        }),
        ("limits", |w| {
            drop(w.spec.kubernetes.limits.insert("cpu".into(), "1".into()))
        }),
        ("node selector", |w| {
            w.spec.kubernetes.node_selector = Some([("a".into(), "b".into())].into())
        }),
        ("inherited nodes", |w| {
            drop(w.scheduling.node_selector.insert("c".into(), "d".into()))
        }),
        ("tolerations", |w| {
            w.spec.kubernetes.tolerations = Some(vec![portolan_core::Toleration::default()])
        }),
        ("stdio", |w| w.spec.kubernetes.stdio = Some(StdioCarrier::Attach)),
        ("run as", |w| w.spec.kubernetes.run_as = Some(RunAs::Image)),
        ("root", |w| w.spec.kubernetes.read_only_root = Some(false)),
        ("writable", |w| w.spec.kubernetes.writable.push("/data".into())),
        ("account", |w| {
            w.config.service_accounts.insert("x".into());
            w.spec.kubernetes.service_account = Some("x".into());
        }),
        ("account token", |w| w.spec.kubernetes.service_account_token = true),
        ("start", |w| w.spec.kubernetes.start_seconds = Some(9)),
        ("grace", |w| w.spec.kubernetes.grace_seconds = Some(9)),
        ("pull policy", |w| {
            w.spec.kubernetes.image_pull = Some(ImagePull::Always)
        }),
        ("pull secret", |w| {
            let name = "x".into();
            w.spec
                .kubernetes
                .image_pull_secrets
                .push(ImagePullSecret::Existing { name });
        }),
        ("env from", |w| {
            let (name, prefix) = ("x".into(), None);
            w.spec.kubernetes.env_from.push(EnvFrom::ConfigMap { name, prefix });
        }),
        ("base image", |w| w.config.base_image = "x/y:2".into()),
        ("bridge", |w| w.config.bridge = BridgeSource::Image("x/y:2".into())),
        ("network", |w| w.environment.network = NetworkMode::Off),
        ("namespace", |w| w.environment.namespace = "other".into()),
        ("gateways", |w| w.config.gateways.clear()),
        ("dns", |w| w.config.dns.clear()),
        ("user", |w| w.config.run_as_user = Some(1000)),
        ("manager", |w| w.config.field_manager = "other".into()),
    ];
    let before = full().render().digest;
    let mut seen = std::collections::BTreeSet::from([before]);
    for (what, change) in changes {
        let mut fixture = full();
        change(&mut fixture);
        assert!(seen.insert(fixture.render().digest), "{what} does not show");
    }
}

#[test]
fn secret_metadata_keeps_digest() {
    let mut fixture = full();
    let before = fixture.render();
    for key in fixture.secrets.keys() {
        fixture
            .spec
            .secret_versions
            .insert(key.clone(), portolan_core::Version(std::num::NonZeroU64::MAX));
    }
    assert_eq!(fixture.render().digest, before.digest, "what it holds is the same");
}

#[test]
fn changed_secret_changes_pod() {
    let template = |fixture: &Fixture| fixture.deployment()["spec"]["template"].clone();
    let (one, other) = (full(), full().secret("KEY", "other"));
    assert_ne!(template(&one), template(&other));
    let mut password = full();
    let _ = password.key("registry", "other");
    assert_eq!(
        template(&one),
        template(&password),
        "with another password nothing restarts"
    );
}

#[test]
fn digests_of_secrets_are_keyed() {
    let template = |token: &str| {
        let mut fixture = full();
        fixture.token = Secret::new(token);
        fixture.deployment()["spec"]["template"]["metadata"]["annotations"].clone()
    };
    assert_ne!(
        template("one"),
        template("another"),
        "it is keyed by what stands in the Secret alone"
    );
}

fn set_program(fixture: &mut Fixture, to: &str, arg: &str) {
    if let Source::Command { program, args, .. } = &mut fixture.spec.source {
        *program = to.into();
        *args = vec![arg.into()];
    }
}

proptest! {
    #[test]
    fn equal_specs_have_equal_digests(
        env in proptest::collection::btree_map("[A-Z]{1,4}", ".{0,12}", 0..6),
        secrets in proptest::collection::btree_map("[A-Z]{5,6}", "[a-z]{0,12}", 0..4),
        args in proptest::collection::vec("[ -~]{0,12}", 0..4),
    ) {
        let build = |reverse: bool| {
            let mut fixture = Fixture::command();
            set_program(&mut fixture, "uvx", "x");
            if let Source::Command { args: own, .. } = &mut fixture.spec.source {
                own.clone_from(&args);
            }
            let mut pairs: Vec<_> = env.iter().map(|pair| (false, pair)).chain(secrets.iter().map(|pair| (true, pair))).collect();
            if reverse {
                pairs.reverse();
            }
            for (is_secret, (name, text)) in pairs {
                fixture = if is_secret { fixture.secret(name, text) } else { fixture.plain(name, text) };
            }
            fixture
        };
        let (one, other) = (build(false).render(), build(true).render());
        prop_assert_eq!(&one.digest, &other.digest);
        prop_assert_eq!(one.deployment, other.deployment);
        let changed = build(false).plain("NEW", "1").render();
        prop_assert_ne!(one.digest, changed.digest);
    }

    #[test]
    fn split_arguments_change_digest(a in "[a-z]{1,6}", b in "[a-z]{1,6}") {
        let digest = |one: &str, two: &str| Fixture::command().secret("ONE", one).secret("TWO", two).render().digest;
        prop_assert_ne!(digest(&a, &b), digest(&format!("{a}{b}"), ""));
    }
}
