//! Whether what several processes saw of one record can have happened one after the other.

use std::collections::HashMap;

/// One operation, with the times of its beginning and end.
struct Operation {
    begun: i128,
    ended: i128,
    what: What,
}

enum What {
    Read(u64),
    Swapped { expected: u64, new: u64 },
    Lost { expected: u64 },
}

impl Operation {
    /// Reads a line of the example `writer`.
    fn read(line: &str) -> Self {
        let words: Vec<&str> = line.split(' ').collect();
        let version = |at: usize| words[at].parse().expect("a version");
        Self {
            begun: words[0].parse().expect("a time"),
            ended: words[1].parse().expect("a time"),
            what: match words[2] {
                "read" => What::Read(version(3)),
                "swapped" => What::Swapped {
                    expected: version(3),
                    new: version(4),
                },
                _ => What::Lost { expected: version(3) },
            },
        }
    }
}

/// Checks that the lines of all processes are a linearizable history of compare-and-set on one record, and returns the
/// number of writes.
///
/// Each write makes a version of its own, so the order of the writes is known: each expects the version before it. What is
/// left to check is that this order, and where each read and each refusal fall in it, agree with the times.
pub(crate) fn check<'a>(lines: impl Iterator<Item = &'a str>) -> usize {
    let operations: Vec<Operation> = lines.map(Operation::read).collect();
    let mut after: HashMap<u64, (u64, &Operation)> = HashMap::new();
    for operation in &operations {
        if let What::Swapped { expected, new } = operation.what {
            let twice = after.insert(expected, (new, operation)).is_some();
            assert!(!twice, "version {expected} was replaced twice");
        }
    }
    // The writes in their order; a write may not end before an earlier one begins.
    let (mut version, mut latest, mut order) = (0, i128::MIN, 0);
    let mut made: HashMap<u64, &Operation> = HashMap::new();
    while let Some((new, write)) = after.get(&version) {
        assert!(
            write.ended >= latest,
            "version {new} was written before the one that it replaced"
        );
        latest = latest.max(write.begun);
        made.insert(*new, write);
        version = *new;
        order += 1;
    }
    assert_eq!(order, after.len(), "a write replaced a version that was never there");

    for operation in &operations {
        let replaced = |version: &u64| after.get(version).map(|(_, write)| write);
        match &operation.what {
            What::Read(version) => {
                let begun = made.get(version).map_or(i128::MIN, |write| write.begun);
                assert!(
                    *version == 0 || made.contains_key(version),
                    "{version} was never written"
                );
                assert!(operation.ended >= begun, "{version} was read before it was written");
                let gone = replaced(version).is_some_and(|write| write.ended < operation.begun);
                assert!(!gone, "{version} was read after it was replaced");
            }
            What::Lost { expected } => {
                let replaced = replaced(expected).is_some_and(|write| write.begun <= operation.ended);
                assert!(
                    replaced,
                    "a write that expected {expected} was refused while that was there"
                );
            }
            What::Swapped { .. } => {}
        }
    }
    order
}

#[test]
#[should_panic(expected = "replaced twice")]
fn lost_update_is_found() {
    check(["1 2 swapped 0 5", "1 3 swapped 0 6"].into_iter());
}

#[test]
#[should_panic(expected = "read after it was replaced")]
fn stale_read_is_found() {
    check(["1 2 swapped 0 5", "3 4 read 0"].into_iter());
}

#[test]
#[should_panic(expected = "refused while that was there")]
fn false_refusal_is_found() {
    check(["1 2 swapped 0 5", "3 4 lost 5", "5 6 swapped 5 6"].into_iter());
}

#[test]
fn overlapping_operations_are_accepted() {
    let lines = [
        "1 9 swapped 0 5",
        "2 8 read 0",
        "2 8 read 5",
        "2 8 lost 0",
        "3 9 swapped 5 6",
        "4 5 lost 5",
    ];
    assert_eq!(check(lines.into_iter()), 2);
}
