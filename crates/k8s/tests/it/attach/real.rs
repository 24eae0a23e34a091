use std::{process::Command, sync::Arc, time::{Duration, Instant}};
use portolan_core::*;
use portolan_k8s::attach::*;
use serde_json::{Value, json};

fn kubectl(args: &[&str]) -> String {
    let out = Command::new("kubectl").args(["--kubeconfig", "/var/lib/portolan-cluster/admin.kubeconfig", "-n", "attach-try"]).args(args).output().unwrap();
    String::from_utf8_lossy(&out.stdout).into_owned() + &String::from_utf8_lossy(&out.stderr)
}
fn run() -> Option<PodRun> {
    let pod: Value = serde_json::from_str(&kubectl(&["get", "pod", "p", "-o", "json"])).ok()?;
    PodRun::of(&serde_json::from_value(pod).ok()?, "mcp-server")
}
async fn wait(other: Option<&PodRun>) -> PodRun {
    for _ in 0..300 {
        if let Some(run) = run() { if Some(&run) != other { return run; } }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    panic!("never runs: {}", kubectl(&["describe", "pod", "p"]));
}
async fn echo(channel: &Arc<AttachChannel>, text: &str) -> Result<usize> {
    let params = json!({"name": "echo", "arguments": {"message": text}}).to_string();
    let request = ChannelRequest::new("tools/call", Some(params.into()), Duration::from_secs(30));
    match channel.call(request).await?.answer().await? {
        Answer::Result(raw) => { let value: Value = serde_json::from_slice(&raw).unwrap(); let got = value["content"][0]["text"].as_str().unwrap().to_owned(); assert!(got.ends_with(text), "{got} {text}"); Ok(got.len()) }
        Answer::Error(raw) => panic!("{raw:?}"),
    }
}
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn real() {
    let kubeconfig = kube::config::Kubeconfig::read_from("/var/lib/portolan-cluster/admin.kubeconfig").unwrap();
    let config = kube::Config::from_custom_kubeconfig(kubeconfig, &Default::default()).await.unwrap();
    let client = kube::Client::try_from(config).unwrap();
    kubectl(&["create", "namespace", "attach-try"]);
    let spec = json!({"apiVersion":"v1","kind":"Pod","metadata":{"name":"p"},"spec":{"restartPolicy":"Always","terminationGracePeriodSeconds":1,"automountServiceAccountToken":false,"containers":[{"name":"mcp-server","image":"docker.io/local/portolan-node:1","imagePullPolicy":"IfNotPresent","stdin":true,"stdinOnce":false,"command":["node","node_modules/@modelcontextprotocol/server-everything/dist/index.js","stdio"],"resources":{"requests":{"cpu":"50m"}}}]}});
    std::fs::write("/tmp/attach-pod.json", spec.to_string()).unwrap();
    println!("{}", kubectl(&["apply", "-f", "/tmp/attach-pod.json"]));
    let first = wait(None).await;
    let channel = |holder: &str| {
        let mut config = AttachConfig::default();
        config.container = Some("mcp-server".into());
        config.ownership = Some(Ownership::new("p", holder));
        let channel = AttachChannel::new("everything", client.clone(), "attach-try", config);
        channel.aim(Some(first.clone()));
        channel
    };
    let begun = Instant::now();
    let one = channel("one");
    let hello = one.hello().await.unwrap();
    println!("hello {hello:?} after {:?}", begun.elapsed());
    let begun = Instant::now();
    let calls = (0..64).map(|n| { let one = one.clone(); tokio::spawn(async move { for m in 0..20 { echo(&one, &format!("{n}/{m}")).await.unwrap(); } }) });
    for call in futures_util::future::join_all(calls).await { call.unwrap(); }
    println!("1280 calls of 64 callers: {:?}", begun.elapsed());
    let begun = Instant::now();
    println!("4 MiB: {} after {:?}", echo(&one, &"x".repeat(4 << 20)).await.unwrap(), begun.elapsed());
    let two = channel("two");
    tokio::time::sleep(Duration::from_secs(1)).await;
    println!("two: {}", echo(&two, "x").await.unwrap_err());
    // idle over several pings
    tokio::time::sleep(Duration::from_secs(35)).await;
    echo(&one, "after idling").await.unwrap();
    let begun = Instant::now();
    drop(one);
    loop { if echo(&two, "mine").await.is_ok() { break; } tokio::time::sleep(Duration::from_millis(50)).await; }
    println!("two took over after {:?}, {:?}", begun.elapsed(), two.hello().await.unwrap().generation);
    // the server ends
    let sleeper = { let two = two.clone(); tokio::spawn(async move { let params = json!({"name": "longRunningOperation", "arguments": {"duration": 20, "steps": 2}}).to_string(); let params = params.replace("longRunningOperation", "trigger-long-running-operation"); two.call(ChannelRequest::new("tools/call", Some(params.into()), Duration::from_secs(60))).await.unwrap().answer().await }) };
    tokio::time::sleep(Duration::from_secs(1)).await;
    let begun = Instant::now();
    println!("kill: {}", kubectl(&["exec", "p", "--", "sh", "-c", "kill -INT 1"]));
    println!("sleeper: {:?} after {:?}", sleeper.await.unwrap().map(|_| ()).map_err(|e| e.to_string()), begun.elapsed());
    let second = wait(Some(&first)).await;
    println!("second {second:?} after {:?}", begun.elapsed());
    two.aim(Some(second));
    loop { match echo(&two, "again").await { Ok(_) => break, Err(e) => println!("{e}") } tokio::time::sleep(Duration::from_millis(200)).await; }
    println!("again after {:?}, generation {}", begun.elapsed(), two.hello().await.unwrap().generation);
    drop(two);
    tokio::time::sleep(Duration::from_secs(1)).await;
    println!("leases: {}", kubectl(&["get", "leases"]));
    kubectl(&["delete", "namespace", "attach-try", "--wait=false"]);
}
