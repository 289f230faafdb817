//! Multiplications of shared numbers a second, beside a plain multiply-add over as much memory.

use entrepot_benches::{Figure, cores, fastest, on_every_core};
use entrepot_mpc_protocol::{
    Party, memory,
    replicated::{self, Arithmetic, Shares},
};
use std::hint::black_box;

const BATCH: usize = 1 << 18;
const BATCHES: usize = 16;

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(3).enable_all().build().expect("a runtime");
    let seconds = fastest(5, || {
        runtime.block_on(memory::run(1, |mut ctx| async move {
            let ones = vec![1; BATCH];
            let factor = Shares::<Arithmetic>::public(ctx.party(), &ones);
            let mut product = replicated::input(&mut ctx, Party::ZERO, Some(&ones), BATCH).await.expect("an input");
            for _ in 0..BATCHES {
                product = replicated::multiply(&mut ctx, &product, &factor).await.expect("a product");
            }
            black_box(product.own()[0]);
        }));
    });
    let reference_seconds = fastest(5, || {
        on_every_core(|| {
            let (mut sum, factor) = (vec![1_u64; BATCH], vec![3_u64; BATCH]);
            for _ in 0..BATCHES {
                sum.iter_mut().zip(black_box(&factor)).for_each(|(sum, factor)| *sum = sum.wrapping_mul(*factor).wrapping_add(1));
                black_box(&mut sum);
            }
        });
    });
    let count = (BATCH * BATCHES) as f64;
    let conditions = format!(
        "batches of {BATCH}, semi-honest, three parties in one process on {} cores; reference: plain 64-bit multiply-adds a second on all cores",
        cores()
    );
    Figure {
        name: "mpc.mul",
        value: count / seconds,
        unit: "multiplications/s",
        reference: count * cores() as f64 / reference_seconds,
        conditions: &conditions,
    }
    .print();
}
