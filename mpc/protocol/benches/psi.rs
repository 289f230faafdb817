//! Items a second through set intersection, beside what the curve alone allows: every item is multiplied once by each party.

use curve25519_dalek::{RistrettoPoint, Scalar};
use entrepot_benches::{Figure, cores, fastest, on_every_core};
use entrepot_mpc_protocol::{
    Party, memory,
    psi::{self, PsiLimits},
};
use std::hint::black_box;

const SET: u32 = 1 << 14;
const LIMITS: PsiLimits = PsiLimits { set_max: SET, common_max: SET };
const REFERENCE_POINTS: u32 = 1 << 12;

fn main() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let seconds = fastest(3, || {
        let sizes = runtime.block_on(memory::run(1, |mut ctx| async move {
            let first = if ctx.party() == Party::ZERO { 0 } else { SET / 2 };
            if ctx.party() == Party::TWO {
                return psi::learn_size(&mut ctx, LIMITS).await.expect("a size") as usize;
            }
            let keys = (first..first + SET).map(|key| format!("customer-{key:012}")).collect();
            psi::intersect(&mut ctx, keys, LIMITS, &|_, _| ()).await.expect("an intersection").len()
        }));
        assert_eq!(sizes, [SET as usize / 2; 3]);
    });
    let rng = &mut memory::rng(2, Party::ZERO);
    let (start, scalar) = (RistrettoPoint::random(rng), Scalar::random(rng));
    let reference_seconds = fastest(3, || {
        on_every_core(|| {
            black_box((0..REFERENCE_POINTS).fold(start, |point, _| point * black_box(scalar)));
        });
    });
    let multiplications = f64::from(REFERENCE_POINTS) * cores() as f64 / reference_seconds;
    let conditions = format!(
        "two sets of {SET}, half in common, all parties on {} cores in one process; reference: ristretto255 multiplications a second on all cores / 2",
        cores()
    );
    Figure {
        name: "psi.ecdh",
        value: f64::from(2 * SET) / seconds,
        unit: "items/s",
        reference: multiplications / 2.0,
        conditions: &conditions,
    }
    .print();
}
