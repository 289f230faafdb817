//! Checking the signatures of many transactions at once.
//!
//! Members of one chain must agree on every signature, one by one or in a batch. RFC 8032 leaves two equations open, and under the one
//! without cofactor a batch can accept what a single check refuses; so the ledger's rule is that of ZIP 215: `s` canonical, and
//! `[8][s]B = [8]R + [8][k]A`. It accepts everything that [`Did::verify`] accepts; what it accepts besides, only the key's owner can make.
//! A batch is checked by a random linear combination (Bernstein et al., "High-speed high-security signatures", 2011, section 5). Its
//! coefficients are drawn from a digest of the whole batch, so that the ledger needs no randomness: a wrong batch passes with a
//! probability of 2^-128 for each digest that somebody tries.

use crate::transaction::Transaction;
use ed25519_zebra::{Signature, VerificationKeyBytes, batch};
use entrepot_chain_statement::{Did, Hash, envelope::leaf_message};
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};
use std::{collections::BTreeMap, num::NonZeroUsize, thread};

const BATCH_CONTEXT: &[u8] = b"entrepot/signature-batch/v1\n";
/// Signatures of one batch: twice as many save two hundredths more.
const BATCH_MAX: usize = 1024;
/// Fewer signatures than this are not worth another thread.
const THREAD_MIN: usize = 64;

/// Which signatures of a transaction are right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Checked {
    /// The submitter's.
    pub submitter: bool,
    /// Those of the keys that the transaction binds, in the order of the keys; or of the keys that it brings.
    pub bound: Vec<bool>,
}

/// A signature to check.
struct Signed {
    /// Of key, signature and message.
    digest: Hash,
    item: batch::Item,
}

/// A transaction whose signatures were checked, which needs no state: it can be done before its turn comes, and once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Submission {
    /// Of the channel for which the signatures were checked.
    pub(crate) genesis: Hash,
    pub(crate) transaction: Transaction,
    pub(crate) checked: Checked,
}

impl Submission {
    /// Checks transactions to the channel with this genesis digest, all together. What is wrong with one is found when it is its turn.
    pub fn check(genesis: &Hash, transactions: Vec<Transaction>) -> Vec<Self> {
        let checked = check(&transactions, genesis);
        let submission = |(transaction, checked)| Self { genesis: *genesis, transaction, checked };
        transactions.into_iter().zip(checked).map(submission).collect()
    }

    /// What was checked.
    pub fn transaction(&self) -> &Transaction {
        &self.transaction
    }

    /// Whether the submitter signed it for this channel: what nobody signed is not worth keeping or passing on.
    pub fn is_signed(&self) -> bool {
        self.checked.submitter
    }
}

/// Checks every signature of these transactions to the channel with this genesis digest.
pub(crate) fn check(transactions: &[Transaction], genesis: &Hash) -> Vec<Checked> {
    let items: Vec<Signed> = transactions.iter().flat_map(|transaction| items(transaction, genesis)).collect();
    let mut right = check_items(&items).into_iter();
    let mut next = || right.next().unwrap_or(false);
    let checked = |transaction: &Transaction| {
        let submitter = next();
        let others = bound(transaction).map_or(0, BTreeMap::len) + if has_possession(transaction) { 3 } else { 0 };
        Checked { submitter, bound: (0..others).map(|_| next()).collect() }
    };
    transactions.iter().map(checked).collect()
}

/// The signatures of the keys that a transaction binds.
fn bound(transaction: &Transaction) -> Option<&BTreeMap<Did, [u8; 64]>> {
    match transaction {
        Transaction::Leaf(transaction) => Some(&transaction.leaf.signatures),
        // The organisation is the submitter.
        Transaction::Members(_) => None,
        Transaction::Right(transaction) => Some(&transaction.signatures),
    }
}

/// Whether keys show whose they are.
fn has_possession(transaction: &Transaction) -> bool {
    matches!(transaction, Transaction::Members(transaction) if matches!(transaction.brought(), Some((.., Some(_)))))
}

/// The submitter's signature, then those of the keys that the transaction binds.
fn items(transaction: &Transaction, genesis: &Hash) -> Vec<Signed> {
    let mut items = vec![item(transaction.submitter(), transaction.submitter_signature(), &transaction.message(genesis))];
    let message = match transaction {
        Transaction::Leaf(transaction) => leaf_message(&transaction.leaf.leaf()),
        Transaction::Members(transaction) => {
            if let Some((organisation, keys, Some(possession))) = transaction.brought() {
                let signed = possession.signed(organisation, keys);
                items.extend(signed.iter().map(|(key, signature, message)| item(key, signature, message)));
            }
            Vec::new()
        }
        Transaction::Right(transaction) => transaction.record.message(genesis),
    };
    items.extend(bound(transaction).into_iter().flatten().map(|(key, signature)| item(key, signature, &message)));
    items
}

fn item(key: &Did, signature: &[u8; 64], message: &[u8]) -> Signed {
    let key = key.public_bytes();
    let digest = Hash::of(&[&key, signature, message]);
    Signed { digest, item: (VerificationKeyBytes::from(key), Signature::from_bytes(signature), message).into() }
}

/// On as many cores as are worth it.
fn check_items(items: &[Signed]) -> Vec<bool> {
    let cores = thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let threads = cores.min(items.len() / THREAD_MIN).max(1);
    let share = items.len().div_ceil(threads).max(1);
    if threads == 1 {
        return check_in_turn(items);
    }
    thread::scope(|scope| {
        let running: Vec<_> = items.chunks(share).map(|part| scope.spawn(move || check_in_turn(part))).collect();
        // A thread that panicked is a defect; it must not become a verdict.
        running.into_iter().flat_map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))).collect()
    })
}

fn check_in_turn(items: &[Signed]) -> Vec<bool> {
    items.chunks(BATCH_MAX).flat_map(check_batch).collect()
}

/// One by one only if something in the batch is wrong.
fn check_batch(items: &[Signed]) -> Vec<bool> {
    let mut verifier = batch::Verifier::new();
    items.iter().for_each(|signed| verifier.queue(signed.item.clone()));
    if items.len() > 1 && verifier.verify(coefficients(items)).is_ok() {
        return vec![true; items.len()];
    }
    items.iter().map(|signed| signed.item.clone().verify_single().is_ok()).collect()
}

fn coefficients(items: &[Signed]) -> ChaCha20Rng {
    let digests: Vec<u8> = items.iter().flat_map(|signed| signed.digest.0).collect();
    ChaCha20Rng::from_seed(Hash::of(&[BATCH_CONTEXT, &digests]).0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use curve25519_dalek::{constants::EIGHT_TORSION, edwards::EdwardsPoint, scalar::Scalar};
    use entrepot_chain_statement::SigningKey;
    use sha2::{Digest, Sha512};

    const MESSAGE: &[u8] = b"a leaf";

    fn honest(seed: u8) -> Signed {
        let key = SigningKey::from_seed(&[seed; 32]);
        item(&key.did(), &key.sign(MESSAGE), MESSAGE)
    }

    /// What an owner of a key can make: the secret scalar and the torsion that is put on `R`.
    fn with_torsion(torsion: EdwardsPoint) -> (Did, [u8; 64]) {
        let (secret, nonce) = (Scalar::from(12_345_u64), Scalar::from(678_u64));
        let key = EdwardsPoint::mul_base(&secret).compress().0;
        let r = (EdwardsPoint::mul_base(&nonce) + torsion).compress().0;
        let k = Scalar::from_hash(Sha512::new().chain_update(r).chain_update(key).chain_update(MESSAGE));
        let mut signature = [0; 64];
        signature[..32].copy_from_slice(&r);
        signature[32..].copy_from_slice((nonce + k * secret).as_bytes());
        (Did::from_public_bytes(&key).expect("a key"), signature)
    }

    #[test]
    fn any_wrong_signature_is_found_wherever_it_is() {
        for (count, wrong) in [(1, vec![0]), (2, vec![1]), (40, vec![0, 17, 39]), (300, vec![5, 150, 299]), (300, vec![])] {
            let key = SigningKey::from_seed(&[7; 32]);
            let items: Vec<Signed> = (0..count)
                .map(|at| if wrong.contains(&at) { item(&key.did(), &key.sign(b"another leaf"), MESSAGE) } else { honest(at as u8) })
                .collect();
            let expected: Vec<bool> = (0..count).map(|at| !wrong.contains(&at)).collect();
            assert_eq!(check_items(&items), expected, "{count}, {wrong:?}");
        }
        assert!(check_items(&[]).is_empty());
    }

    #[test]
    fn a_batch_and_a_single_check_agree_where_the_equations_differ() {
        for torsion in EIGHT_TORSION {
            let (key, signature) = with_torsion(torsion);
            let odd = || item(&key, &signature, MESSAGE);
            assert_eq!(check_items(&[odd()]), [true], "ZIP 215 multiplies by the cofactor");
            let mixed: Vec<Signed> = (0..9).map(|at| if at % 2 == 0 { odd() } else { honest(at) }).collect();
            assert_eq!(check_items(&mixed), [true; 9]);
            // The strict rule takes a subset.
            assert_eq!(key.verify(MESSAGE, &signature), torsion == EIGHT_TORSION[0]);
        }
    }

    #[test]
    fn s_has_one_encoding() {
        let key = SigningKey::from_seed(&[7; 32]);
        let mut signature = key.sign(MESSAGE);
        // s + l: the same number modulo the group's order.
        let order = [
            0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
            0, 0, 0, 0, 0, 0x10,
        ];
        let mut carry = 0;
        for (digit, add) in signature[32..].iter_mut().zip(order) {
            carry += u16::from(*digit) + add;
            *digit = carry as u8;
            carry >>= 8;
        }
        assert_eq!(check_items(&[item(&key.did(), &signature, MESSAGE)]), [false]);
        assert_eq!(check_items(&[honest(1), item(&key.did(), &signature, MESSAGE)]), [true, false]);
    }
}
