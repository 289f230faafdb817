//! The protocol itself; see the [module page](super).

use super::{
    ITEMS_MAX, Keys,
    group::{BlindingKey, EncodedPoint, GroupHash, POINT_BYTES, is_identity},
};
use crate::{
    Channel, ChannelError, Context, Party, ProtocolError,
    context::Step,
    link::{Inbound, Outbound},
};
use futures::future::try_join;
use rand_chacha::ChaCha20Rng;
use rand_core::RngCore;
use sha2::{Digest, Sha256};
use std::{ops::Range, sync::Arc};

/// Points in one message: computing one message overlaps with sending another, and a run that is dropped stops after one.
const CHUNK_POINTS: usize = 1 << 13;

/// What a run accepts. All parties use the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PsiLimits {
    /// Most keys in either set; at most [`ITEMS_MAX`] anyway.
    pub set_max: u32,
    /// Most keys in the intersection.
    pub common_max: u32,
}

impl PsiLimits {
    fn set_max(self) -> u32 {
        self.set_max.min(ITEMS_MAX)
    }
}

/// What parties 0 and 1 run: the rows of the common keys, in an order that is the same for both.
///
/// `progress(done, total)` counts multiplied points. Nothing is sent if the own keys are refused.
pub async fn intersect(
    ctx: &mut Context,
    keys: Keys,
    limits: PsiLimits,
    progress: &(dyn Fn(u64, u64) + Sync),
) -> Result<Vec<u32>, PsiError> {
    let peer = match ctx.party() {
        Party::ZERO => Party::ONE,
        Party::ONE => Party::ZERO,
        party => return Err(PsiError::WrongRole { party }),
    };
    let keys = offload(move || keys.check(limits.set_max()).map(|()| Arc::new(keys))).await??;
    let count = keys.len();

    let sizes = ctx.step("psi.sizes");
    let theirs = swap(ctx, peer, sizes, &(count as u64).to_be_bytes()).await?;
    let peer_count = checked_set_size(u64::from_be_bytes(theirs), peer, limits)?;

    let blind = ctx.step("psi.blind");
    let mut rng = ctx.private_rng(blind);
    let secret = Arc::new(Secret { key: BlindingKey::generate(&mut rng), hash: GroupHash::of_session(ctx.session()), keys });
    let order = Arc::new(shuffled(count as u32, &mut rng));
    let (channel, blind_again) = (ctx.channel(), ctx.step("psi.blind-again"));
    let (outbound, inbound) = ctx.link(peer).ok_or(PsiError::WrongRole { party: peer })?;
    let mut link = Link { channel: &*channel, outbound, inbound, progress, done: 0, total: (count + peer_count) as u64 };
    let peer_points = link.send_own(blind, &secret, &order, peer_count).await?;
    let (own_twice, peer_twice) = link.send_back(blind_again, &secret, peer_points, count).await?;

    let (positions, digest) = offload(move || common(own_twice, peer_twice)).await??;
    let agree = ctx.step("psi.agree");
    if swap(ctx, peer, agree, &digest).await? != digest {
        return Err(PsiError::IntersectionsDiffer);
    }
    let size = checked_common_size(positions.len() as u64, limits)?;
    let tell = ctx.step("psi.tell");
    send_to_third(ctx, tell, size.into()).await?;
    Ok(positions.into_iter().map(|position| order[position as usize]).collect())
}

/// What party 2 runs: the size of the intersection, as both others say.
pub async fn learn_size(ctx: &mut Context, limits: PsiLimits) -> Result<u32, PsiError> {
    if ctx.party() != Party::TWO {
        return Err(PsiError::WrongRole { party: ctx.party() });
    }
    // The same steps as at the others, of which this party takes part in the last one only.
    let _ = [ctx.step("psi.sizes"), ctx.step("psi.blind"), ctx.step("psi.blind-again"), ctx.step("psi.agree")];
    let (tell, channel) = (ctx.step("psi.tell"), ctx.channel());
    let mut sizes = [0; 2];
    for (party, size) in [Party::ZERO, Party::ONE].into_iter().zip(&mut sizes) {
        let (_, inbound) = ctx.link(party).ok_or(PsiError::WrongRole { party })?;
        let message = inbound.receive_words(&*channel, tell, 1).await?;
        *size = message[0];
    }
    if sizes[0] != sizes[1] {
        return Err(PsiError::SizesDiffer { first: sizes[0], second: sizes[1] });
    }
    checked_common_size(sizes[0], limits)
}

/// What a party keeps to itself.
struct Secret {
    key: BlindingKey,
    hash: GroupHash,
    keys: Arc<Keys>,
}

/// The connection of parties 0 and 1 while they multiply points.
struct Link<'a> {
    channel: &'a dyn Channel,
    outbound: &'a mut Outbound,
    inbound: &'a mut Inbound,
    progress: &'a (dyn Fn(u64, u64) + Sync),
    done: u64,
    total: u64,
}

impl Link<'_> {
    /// Message 2: sends the own blinded points while receiving the peer's.
    async fn send_own(
        &mut self,
        step: Step,
        secret: &Arc<Secret>,
        order: &Arc<Vec<u32>>,
        peer_count: usize,
    ) -> Result<Vec<EncodedPoint>, PsiError> {
        let receive = receive_points(self.channel, step, self.inbound, peer_count);
        let send = async {
            for range in chunks(order.len()) {
                let (secret, order) = (Arc::clone(secret), Arc::clone(order));
                let points = offload(move || {
                    let keys: Vec<&[u8]> = order[range].iter().map(|row| secret.keys.get(*row as usize)).collect();
                    secret.key.blind(&secret.hash, &keys)
                })
                .await?;
                self.outbound.send_bytes(self.channel, step, points.as_flattened()).await?;
                self.done += points.len() as u64;
                (self.progress)(self.done, self.total);
            }
            Ok(())
        };
        Ok(try_join(send, receive).await?.1)
    }

    /// Message 3: returns the peer's points, blinded again, while receiving the own ones back.
    async fn send_back(
        &mut self,
        step: Step,
        secret: &Arc<Secret>,
        peer_points: Vec<EncodedPoint>,
        count: usize,
    ) -> Result<(Vec<EncodedPoint>, Vec<EncodedPoint>), PsiError> {
        let from = self.outbound.peer;
        let receive = receive_points(self.channel, step, self.inbound, count);
        let send = async {
            let (peer_points, mut twice) = (Arc::new(peer_points), Vec::new());
            for range in chunks(peer_points.len()) {
                let (secret, peer_points) = (Arc::clone(secret), Arc::clone(&peer_points));
                let points = offload(move || secret.key.blind_again(&peer_points[range])).await?;
                let points = points.map_err(|_| PsiError::InvalidPoint { from })?;
                self.outbound.send_bytes(self.channel, step, points.as_flattened()).await?;
                self.done += points.len() as u64;
                (self.progress)(self.done, self.total);
                twice.extend(points);
            }
            Ok(twice)
        };
        let (peer_twice, own_twice) = try_join(send, receive).await?;
        if own_twice.iter().any(is_identity) {
            return Err(PsiError::InvalidPoint { from });
        }
        Ok((own_twice, peer_twice))
    }
}

async fn receive_points(channel: &dyn Channel, step: Step, inbound: &mut Inbound, count: usize) -> Result<Vec<EncodedPoint>, PsiError> {
    let mut points = Vec::new();
    for range in chunks(count) {
        let message = inbound.receive_bytes(channel, step, range.len() * POINT_BYTES).await?;
        points.extend_from_slice(message.as_chunks::<POINT_BYTES>().0);
    }
    Ok(points)
}

/// Positions in the own (shuffled) set of the points that both sets have, in the order of the points, and the digest of those points.
fn common(own: Vec<EncodedPoint>, peer: Vec<EncodedPoint>) -> Result<(Vec<u32>, [u8; 32]), PsiError> {
    let mut own: Vec<(EncodedPoint, u32)> = own.into_iter().zip(0..).collect();
    let mut peer = peer;
    own.sort_unstable();
    peer.sort_unstable();
    // Both parties' keys are unique and blinding is injective.
    if peer.windows(2).any(|pair| pair[0] == pair[1]) || own.windows(2).any(|pair| pair[0].0 == pair[1].0) {
        return Err(PsiError::RepeatedPoint);
    }
    let (mut positions, mut hasher, mut theirs) = (Vec::new(), Sha256::new(), peer.iter().peekable());
    for (point, position) in &own {
        while theirs.next_if(|other| *other < point).is_some() {}
        if theirs.next_if_eq(&point).is_some() {
            hasher.update(point);
            positions.push(*position);
        }
    }
    Ok((positions, hasher.finalize().into()))
}

/// Both send a message of one length at the same time.
async fn swap<const N: usize>(ctx: &mut Context, peer: Party, step: Step, message: &[u8; N]) -> Result<[u8; N], PsiError> {
    let channel = ctx.channel();
    let (outbound, inbound) = ctx.link(peer).ok_or(PsiError::WrongRole { party: peer })?;
    let send = outbound.send_bytes(&*channel, step, message);
    let (_, received) = try_join(send, inbound.receive_bytes(&*channel, step, N)).await?;
    let mut theirs = [0; N];
    theirs.copy_from_slice(&received);
    Ok(theirs)
}

async fn send_to_third(ctx: &mut Context, step: Step, size: u64) -> Result<(), PsiError> {
    let channel = ctx.channel();
    let (outbound, _) = ctx.link(Party::TWO).ok_or(PsiError::WrongRole { party: Party::TWO })?;
    Ok(outbound.send_words(&*channel, step, &[size]).await?)
}

fn checked_set_size(size: u64, from: Party, limits: PsiLimits) -> Result<usize, PsiError> {
    let maximum = limits.set_max();
    if size > u64::from(maximum) { Err(PsiError::PeerSetTooLarge { from, size, maximum }) } else { Ok(size as usize) }
}

fn checked_common_size(size: u64, limits: PsiLimits) -> Result<u32, PsiError> {
    let maximum = limits.common_max;
    u32::try_from(size).ok().filter(|size| *size <= maximum).ok_or(PsiError::TooManyCommon { size, maximum })
}

fn chunks(count: usize) -> impl Iterator<Item = Range<usize>> {
    (0..count).step_by(CHUNK_POINTS).map(move |start| start..(start + CHUNK_POINTS).min(count))
}

/// A uniformly random order of 0 … count − 1 (Fisher–Yates).
fn shuffled(count: u32, rng: &mut ChaCha20Rng) -> Vec<u32> {
    let mut order: Vec<u32> = (0..count).collect();
    for last in (1..count).rev() {
        order.swap(last as usize, below(last + 1, rng) as usize);
    }
    order
}

/// Uniform below `bound`, by rejection: the draws that would favour small numbers are thrown away.
fn below(bound: u32, rng: &mut ChaCha20Rng) -> u32 {
    let usable = u64::MAX - u64::MAX % u64::from(bound);
    loop {
        let draw = rng.next_u64();
        if draw < usable {
            return (draw % u64::from(bound)) as u32;
        }
    }
}

/// Runs a computation where it does not hold up the runtime's other tasks.
async fn offload<T: Send + 'static>(f: impl FnOnce() -> T + Send + 'static) -> Result<T, PsiError> {
    tokio::task::spawn_blocking(f).await.map_err(|error| match error.try_into_panic() {
        Ok(panic) => std::panic::resume_unwind(panic),
        Err(_) => PsiError::Stopped,
    })
}

/// Why there is no intersection.
#[derive(Debug, thiserror::Error)]
pub enum PsiError {
    /// A key occurs twice at this party; which one is not said.
    #[error("a join key occurs in more than one row of this party's data")]
    DuplicateKey,
    /// A key is longer than [`super::KEY_BYTES_MAX`].
    #[error("a join key is longer than {} bytes", super::KEY_BYTES_MAX)]
    KeyTooLong,
    /// This party's set exceeds the limit.
    #[error("{found} keys exceed the limit of {maximum}")]
    TooManyKeys {
        /// Keys there are.
        found: usize,
        /// Keys allowed.
        maximum: u32,
    },
    /// A peer announces more than the limit.
    #[error("party {from} announces {size} keys, the limit is {maximum}")]
    PeerSetTooLarge {
        /// Who.
        from: Party,
        /// Its announcement.
        size: u64,
        /// Keys allowed.
        maximum: u32,
    },
    /// The intersection exceeds the limit.
    #[error("{size} keys are common, the limit is {maximum}")]
    TooManyCommon {
        /// Keys in common.
        size: u64,
        /// Keys allowed.
        maximum: u32,
    },
    /// A peer sent an encoding that is not canonical, or the identity.
    #[error("party {from} sent an invalid point")]
    InvalidPoint {
        /// Who.
        from: Party,
    },
    /// A point occurs twice where every one must be unique.
    #[error("the peer sent or returned a point twice")]
    RepeatedPoint,
    /// Parties 0 and 1 found different intersections.
    #[error("the two parties found different intersections")]
    IntersectionsDiffer,
    /// Parties 0 and 1 tell party 2 different sizes.
    #[error("the two parties report intersections of {first} and {second} keys")]
    SizesDiffer {
        /// Party 0 says.
        first: u64,
        /// Party 1 says.
        second: u64,
    },
    /// Called for the wrong party.
    #[error("party {party} has no such part in the intersection")]
    WrongRole {
        /// Who called.
        party: Party,
    },
    /// The runtime is shutting down.
    #[error("the computation was stopped")]
    Stopped,
    /// A message was wrong or lost.
    #[error("the intersection was interrupted")]
    Protocol(#[from] ProtocolError),
}

impl From<ChannelError> for PsiError {
    fn from(error: ChannelError) -> Self {
        Self::Protocol(error.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_core::SeedableRng;

    /// 6,000 draws of the 6 orders of 3: each is expected 1,000 times, standard deviation 29.
    #[test]
    fn all_orders_are_equally_likely() {
        let rng = &mut ChaCha20Rng::seed_from_u64(1);
        let mut seen = std::collections::BTreeMap::<Vec<u32>, u32>::new();
        (0..6000).for_each(|_| *seen.entry(shuffled(3, rng)).or_default() += 1);
        assert_eq!(seen.len(), 6);
        assert!(seen.values().all(|count| (825..1175).contains(count)), "{seen:?}");
        assert_eq!(shuffled(0, rng), []);
        assert_eq!(shuffled(1, rng), [0]);
    }

    #[test]
    fn common_points_come_sorted_with_the_own_positions() {
        let point = |first: u8| [first; POINT_BYTES];
        let (positions, digest) = common(vec![point(9), point(1), point(5)], vec![point(5), point(7), point(9)]).unwrap();
        assert_eq!(positions, [2, 0]);
        assert_eq!(digest, <[u8; 32]>::from(Sha256::digest([point(5), point(9)].concat())));
        assert!(matches!(common(vec![point(1), point(1)], vec![]), Err(PsiError::RepeatedPoint)));
        assert!(matches!(common(vec![], vec![point(1), point(1)]), Err(PsiError::RepeatedPoint)));
    }
}
