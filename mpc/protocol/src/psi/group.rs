//! Hashing to ristretto255 and multiplying many points by one secret, on all cores.

use curve25519_dalek::{
    RistrettoPoint, Scalar,
    ristretto::CompressedRistretto,
    traits::{Identity, IsIdentity},
};
use rand_core::{CryptoRng, RngCore};
use sha2::{Digest, Sha512, digest::Output};
use std::num::NonZeroUsize;
use zeroize::Zeroizing;

/// Bytes of an encoded point.
pub(crate) const POINT_BYTES: usize = 32;
/// Points whose encoding shares one field inversion.
const BATCH_POINTS: usize = 256;
/// Block size of SHA-512, by which RFC 9380 pads.
const SHA512_BLOCK_BYTES: usize = 128;

pub(crate) type EncodedPoint = [u8; POINT_BYTES];

/// A received point that is no valid, canonical, non-identity encoding.
#[derive(Debug)]
pub(crate) struct InvalidPoint;

/// `ristretto255_XMD:SHA-512_R255MAP_RO_` under one tag.
pub(crate) struct GroupHash {
    /// SHA-512 after the block of zeros that every message starts with.
    padded: Sha512,
    /// The tag and its length.
    tag: Vec<u8>,
}

impl GroupHash {
    /// Tag for one session.
    pub fn of_session(session: &[u8; 32]) -> Self {
        Self::with_tag(&[b"entrepot/psi/v1/ristretto255_XMD:SHA-512_R255MAP_RO_/".as_slice(), session].concat())
    }

    fn with_tag(tag: &[u8]) -> Self {
        debug_assert!(tag.len() <= 255, "RFC 9380 hashes longer tags first");
        Self { padded: Sha512::new_with_prefix([0; SHA512_BLOCK_BYTES]), tag: [tag, &[tag.len() as u8]].concat() }
    }

    pub fn hash(&self, message: &[u8]) -> RistrettoPoint {
        let mut uniform = [0; 64];
        self.expand(message, &mut uniform);
        RistrettoPoint::from_uniform_bytes(&uniform)
    }

    /// `expand_message_xmd` of RFC 9380 §5.3.1 for outputs of at most 64 bytes, a single block.
    fn expand(&self, message: &[u8], uniform: &mut [u8]) {
        debug_assert!(uniform.len() <= 64);
        let mut hasher = self.padded.clone();
        hasher.update(message);
        hasher.update((uniform.len() as u16).to_be_bytes());
        hasher.update([0]);
        hasher.update(&self.tag);
        let first: Output<Sha512> = hasher.finalize();
        let block = Sha512::new().chain_update(first).chain_update([1]).chain_update(&self.tag).finalize();
        uniform.copy_from_slice(&block[..uniform.len()]);
    }
}

/// A party's secret scalar k.
pub(crate) struct BlindingKey {
    /// k / 2: encoding a batch of points doubles each of them for speed, which this undoes.
    half: Zeroizing<Scalar>,
}

impl BlindingKey {
    pub fn generate(rng: &mut (impl CryptoRng + RngCore)) -> Self {
        loop {
            let key = Zeroizing::new(Scalar::random(rng));
            if *key != Scalar::ZERO {
                return Self::new(&key);
            }
        }
    }

    fn new(key: &Scalar) -> Self {
        Self { half: Zeroizing::new(key * Scalar::from(2_u8).invert()) }
    }

    /// k·P of each point, encoded.
    fn multiply(&self, points: impl Iterator<Item = RistrettoPoint>) -> impl Iterator<Item = EncodedPoint> {
        let halves: Vec<RistrettoPoint> = points.map(|point| point * *self.half).collect();
        RistrettoPoint::double_and_compress_batch(&halves).into_iter().map(|point| point.to_bytes())
    }

    /// k·H(message) of each message.
    pub fn blind(&self, hash: &GroupHash, messages: &[&[u8]]) -> Vec<EncodedPoint> {
        in_parallel(messages, |batch| Ok(self.multiply(batch.iter().map(|message| hash.hash(message))).collect())).unwrap_or_default()
    }

    /// k·P of each encoded point.
    pub fn blind_again(&self, points: &[EncodedPoint]) -> Result<Vec<EncodedPoint>, InvalidPoint> {
        in_parallel(points, |batch| {
            let points: Vec<RistrettoPoint> = batch.iter().map(decode).collect::<Result<_, _>>()?;
            Ok(self.multiply(points.into_iter()).collect())
        })
    }
}

fn decode(encoded: &EncodedPoint) -> Result<RistrettoPoint, InvalidPoint> {
    let point = CompressedRistretto(*encoded).decompress().ok_or(InvalidPoint)?;
    if point.is_identity() { Err(InvalidPoint) } else { Ok(point) }
}

/// Whether these bytes are the identity, which no honest product ever is.
pub(crate) fn is_identity(encoded: &EncodedPoint) -> bool {
    *encoded == CompressedRistretto::identity().to_bytes()
}

/// Applies `f` to batches, spread over the cores, and concatenates in order.
fn in_parallel<T: Sync>(
    items: &[T],
    f: impl Fn(&[T]) -> Result<Vec<EncodedPoint>, InvalidPoint> + Sync,
) -> Result<Vec<EncodedPoint>, InvalidPoint> {
    let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let run = |part: &[T]| -> Result<Vec<EncodedPoint>, InvalidPoint> {
        let batches: Vec<_> = part.chunks(BATCH_POINTS).map(&f).collect::<Result<_, _>>()?;
        Ok(batches.concat())
    };
    if items.len() <= BATCH_POINTS || cores == 1 {
        return run(items);
    }
    let results: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = items.chunks(items.len().div_ceil(cores)).map(|part| scope.spawn(|| run(part))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))).collect()
    });
    Ok(results.into_iter().collect::<Result<Vec<_>, _>>()?.concat())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng;

    fn bytes(text: &str) -> Vec<u8> {
        hex::decode(text).unwrap()
    }

    /// RFC 9380, appendix K.3, expand_message_xmd(SHA-512), the vectors of 0x20 bytes.
    #[test]
    fn expansion_agrees_with_rfc_9380() {
        let hash = GroupHash::with_tag(b"QUUX-V01-CS02-with-expander-SHA512-256");
        for (message, expected) in [
            ("", "6b9a7312411d92f921c6f68ca0b6380730a1a4d982c507211a90964c394179ba"),
            ("abc", "0da749f12fbe5483eb066a5f595055679b976e93abe9be6f0f6318bce7aca8dc"),
        ] {
            let mut uniform = [0; 32];
            hash.expand(message.as_bytes(), &mut uniform);
            assert_eq!(uniform.as_slice(), bytes(expected), "{message:?}");
        }
    }

    /// RFC 9497, appendix A.1.1 (OPRF mode): BlindedElement = Blind · HashToGroup(Input).
    #[test]
    fn hashing_and_blinding_agree_with_rfc_9497() {
        let hash = GroupHash::with_tag(b"HashToGroup-OPRFV1-\x00-ristretto255-SHA512");
        let blind: [u8; 32] = bytes("64d37aed22a27f5191de1c1d69fadb899d8862b58eb4220029e036ec4c1f6706").try_into().unwrap();
        let key = BlindingKey::new(&Scalar::from_canonical_bytes(blind).unwrap());
        let inputs: [&[u8]; 2] = [&[0], &[0x5a; 17]];
        let blinded = key.blind(&hash, &inputs);
        assert_eq!(blinded[0].as_slice(), bytes("609a0ae68c15a3cf6903766461307e5c8bb2f95e7e6550e1ffa2dc99e412803c"));
        assert_eq!(blinded[1].as_slice(), bytes("da27ef466870f5f15296299850aa088629945a17d1f5b7f5ff043f76b3c06418"));

        // EvaluationElement = skSm · BlindedElement.
        let server: [u8; 32] = bytes("5ebcea5ee37023ccb9fc2d2019f9d7737be85591ae8652ffa9ef0f4d37063b0e").try_into().unwrap();
        let server = BlindingKey::new(&Scalar::from_canonical_bytes(server).unwrap());
        let evaluated = server.blind_again(&blinded).unwrap();
        assert_eq!(evaluated[0].as_slice(), bytes("7ec6578ae5120958eb2db1745758ff379e77cb64fe77b0b2d8cc917ea0869c7e"));
        assert_eq!(evaluated[1].as_slice(), bytes("b4cbf5a4f1eeda5a63ce7b77c7d23f461db3fcab0dd28e4e17cecb5c90d02c25"));
    }

    /// Pinned: both parties must hash alike, and differently in another session.
    #[test]
    fn every_session_hashes_in_its_own_way() {
        let encode = |session| hex::encode(GroupHash::of_session(&[session; 32]).hash(b"customer").compress().to_bytes());
        assert_eq!(encode(1), "7805d03481d6b95dd68509f6edeb4ad5ee4a36eeb01492c20572e00174003f0f");
        assert_ne!(encode(1), encode(2));
    }

    #[test]
    fn blinding_commutes_over_many_batches() {
        let (rng, hash) = (&mut ChaCha20Rng::seed_from_u64(3), GroupHash::of_session(&[1; 32]));
        let (a, b) = (BlindingKey::generate(rng), BlindingKey::generate(rng));
        let messages: Vec<[u8; 4]> = (0..1000_u32).map(u32::to_be_bytes).collect();
        let messages: Vec<&[u8]> = messages.iter().map(|message| message.as_slice()).collect();
        let ab = b.blind_again(&a.blind(&hash, &messages)).unwrap();
        let ba = a.blind_again(&b.blind(&hash, &messages)).unwrap();
        assert_eq!(ab, ba);
        assert_eq!(ab.iter().collect::<std::collections::HashSet<_>>().len(), 1000);
    }

    /// RFC 9496, appendix A.2: invalid encodings, and the identity, which is valid but refused.
    #[test]
    fn invalid_points_are_refused() {
        let key = BlindingKey::generate(&mut ChaCha20Rng::seed_from_u64(3));
        let valid = key.blind(&GroupHash::of_session(&[1; 32]), &[b"x"]);
        assert!(key.blind_again(&valid).is_ok());
        for text in [
            "0000000000000000000000000000000000000000000000000000000000000000",
            "00ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
            "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
            "f3ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
            "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
            "0100000000000000000000000000000000000000000000000000000000000000",
            "26948d35ca62e643e26a83177332e6b6afeb9d08e4268b650f1f5bbd8d81d371",
        ] {
            let point: EncodedPoint = bytes(text).try_into().unwrap();
            assert!(key.blind_again(&[valid[0], point]).is_err(), "{text}");
        }
        assert!(is_identity(&[0; 32]) && !is_identity(&valid[0]));
    }
}
