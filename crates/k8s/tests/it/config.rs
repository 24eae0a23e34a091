//! Invalid configurations.

use std::sync::Arc;

use portolan_core::{Error, Runtime, memory::MemoryCredentials};
use portolan_k8s::{Connect, KubeConfig, KubeRuntime};

use crate::mock_api::{MockApi, name, spec};

#[tokio::test]
async fn invalid_config_writes_nothing() {
    let mock = MockApi::new([]);
    let runtime = mock.runtime_with(|config| config.field_manager = "Not a label".into());
    let refusals = [
        runtime.check().await.expect_err("it is refused"),
        runtime.ensure(&name(), &spec()).await.expect_err("it is refused"),
    ];
    for refusal in refusals {
        let named = matches!(&refusal, Error::Invalid { field, .. } if field == "field_manager");
        assert!(named, "{refusal:?}");
    }
    assert_eq!(mock.calls("PATCH"), [""; 0]);
    assert_eq!(runtime.list().await.expect("what there is is listed"), []);
}

#[tokio::test]
async fn connect_checks_config_first() {
    let mut config = KubeConfig::in_namespace("mcp-servers");
    config.requests.insert("memory".into(), "much".into());
    let nowhere = Connect::Kubeconfig {
        path: "/no/such/kubeconfig".into(),
        context: None,
    };
    let refusal = KubeRuntime::connect(nowhere, config, Arc::new(MemoryCredentials::new())).await;
    let refusal = refusal.expect_err("it is refused");
    assert!(matches!(&refusal, Error::Invalid { .. }), "{refusal:?}");
}
