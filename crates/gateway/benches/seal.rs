//! What a sealed token costs.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use portolan_gateway::{TokenKeys, fuzzing};

criterion_group!(benches, tokens);
criterion_main!(benches);

fn tokens(criterion: &mut Criterion) {
    let keys = TokenKeys::random().expect("keys");
    let mut group = criterion.benchmark_group("seal and open");
    for size in [64, 128, 1024, 16 * 1024] {
        let payload = vec![7; size];
        group.bench_function(format!("{size} bytes"), |bencher| {
            bencher.iter(|| {
                let token = fuzzing::seal_state(&keys, black_box(&payload)).expect("sealed");
                fuzzing::open_state(&keys, black_box(&token)).expect("opened")
            });
        });
    }
    group.finish();
}
