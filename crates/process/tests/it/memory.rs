//! Memory is bounded.

use serde_json::json;

use crate::support::serve;

const MIB: usize = 1 << 20;

/// Returns the resident memory of this process, in bytes.
fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: usize = statm.split(' ').nth(1).unwrap().parse().unwrap();
    pages * 4096
}

/// Runs in a process of its own, since other tests use memory too.
#[test]
fn memory_is_bounded() {
    let test = std::env::current_exe().unwrap();
    let output = std::process::Command::new(test)
        .args(["--ignored", "--exact", "memory::measure_memory", "--nocapture"])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
    println!("{}", said.lines().find(|line| line.contains("MiB")).unwrap_or_default());
}

#[tokio::test]
#[ignore = "run by memory_is_bounded"]
async fn measure_memory() {
    let served = serve([]);
    for _ in 0..10 {
        served
            .begin("big", json!({"bytes": 16 * MIB}))
            .await
            .answer()
            .await
            .unwrap();
    }
    let before = resident();
    for _ in 0..200 {
        served
            .begin("big", json!({"bytes": 16 * MIB}))
            .await
            .answer()
            .await
            .unwrap();
    }
    // A response that is skipped, too.
    served
        .begin("big", json!({"bytes": 100 * MIB}))
        .await
        .answer()
        .await
        .unwrap_err();
    let after = resident();
    println!("{} MiB before, {} MiB after", before / MIB, after / MIB);
    assert!(after < before + 16 * MIB, "{before} {after}");
}
