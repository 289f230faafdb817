//! What must be true before sealed shares leave this worker: the exchange signed that it paid, for exactly what this worker signed.

use crate::state::FinishedAttempt;
use entrepot_chain_statement::{Did, Envelope, statements::Release};

/// Why shares stay here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "each message says what its variant means")]
pub enum ReleaseRefusal {
    #[error("the release cannot be read")]
    Malformed,
    #[error("the release is not signed by the exchange in this worker's configuration")]
    NotSigned,
    #[error("the release is for another job, order or hold")]
    ForOtherOrder,
    #[error("the release does not name a receipt of this worker")]
    ForOtherReceipt,
    #[error("what is released is not the agreed price")]
    AmountDiffers,
    #[error("the price is not divided as the product says")]
    SplitDiffers,
    #[error("this worker has no result of this job")]
    UnknownJob,
    #[error("the shares were deleted, thirty days after the computation")]
    SharesDeleted,
    #[error("this worker's state cannot be used: see its log")]
    State,
}

impl ReleaseRefusal {
    /// Stable code.
    pub fn code(self) -> &'static str {
        match self {
            Self::Malformed => "release_malformed",
            Self::NotSigned => "release_not_signed",
            Self::ForOtherOrder => "release_for_other_order",
            Self::ForOtherReceipt => "release_for_other_receipt",
            Self::AmountDiffers => "release_amount_differs",
            Self::SplitDiffers => "release_split_differs",
            Self::UnknownJob => "unknown_job",
            Self::SharesDeleted => "shares_deleted",
            Self::State => "state_unusable",
        }
    }
}

/// Reads a release that the exchange signed.
pub(crate) fn open(envelope: &Envelope, exchange: &Did) -> Result<Release, ReleaseRefusal> {
    let release: Release = envelope.open().map_err(|_| ReleaseRefusal::Malformed)?;
    envelope.verify_signed_by(exchange).map_err(|_| ReleaseRefusal::NotSigned)?;
    Ok(release)
}

/// Whether the release pays for this attempt of ours.
pub(crate) fn check(release: &Release, finished: &FinishedAttempt) -> Result<(), ReleaseRefusal> {
    if release.job_id != finished.job_id || release.order != finished.order || release.hold != finished.hold {
        return Err(ReleaseRefusal::ForOtherOrder);
    }
    let ours = finished.receipt.statement_hash();
    if release.receipts.len() != 3 || release.receipts.get(usize::from(finished.party)) != Some(&ours) {
        return Err(ReleaseRefusal::ForOtherReceipt);
    }
    if release.amount != finished.price {
        return Err(ReleaseRefusal::AmountDiffers);
    }
    // Every part: whoever lets another be cheated delivers what that one was not paid for.
    if release.split != finished.split || release.split_rule != finished.split_rule {
        return Err(ReleaseRefusal::SplitDiffers);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use entrepot_chain_statement::{
        Hash, Money, SigningKey, Timestamp,
        ids::JobId,
        statements::{SealedShareDigest, Security, SplitAmount, UsageReceipt},
    };

    fn key(seed: u8) -> SigningKey {
        SigningKey::from_seed(&[seed; 32])
    }

    fn money(amount_minor: i64) -> Money {
        Money { amount_minor, currency: "EUR".parse().expect("three letters") }
    }

    fn job() -> JobId {
        JobId::compose(Timestamp(1), [1; 10])
    }

    fn parts(first: i64, third: i64) -> Vec<SplitAmount> {
        [(1, first), (3, third)].map(|(seed, amount)| SplitAmount { participant: key(seed).did(), amount: money(amount) }).into()
    }

    fn finished() -> FinishedAttempt {
        let digest = |share| SealedShareDigest { share, ciphertext: Hash([share; 32]) };
        let receipt = UsageReceipt {
            job_id: job(),
            attempt: 1,
            agreement: Hash([1; 32]),
            order: Hash([2; 32]),
            consumer: key(8).did(),
            plan: Hash([3; 32]),
            party: 1,
            participant: key(1).did(),
            worker: key(2).did(),
            security: Security::SemiHonest,
            input_commitment: None,
            rows_input: 0,
            shares: vec![digest(1), digest(2)],
            transcript: Hash([4; 32]),
            finished_at: Timestamp(2),
        };
        FinishedAttempt {
            job_id: job(),
            attempt: 1,
            party: 1,
            agreement: Hash([1; 32]),
            order: Hash([2; 32]),
            hold: Hash([5; 32]),
            price: money(101),
            split: parts(51, 50),
            split_rule: Hash([6; 32]),
            receipt: Envelope::sign(&receipt, &key(2), [0; 32]).expect("it can be signed"),
            shares: Vec::new(),
            finished_at: Timestamp(2),
        }
    }

    fn release() -> Release {
        Release {
            job_id: job(),
            order: Hash([2; 32]),
            hold: Hash([5; 32]),
            receipts: vec![Hash([0; 32]), finished().receipt.statement_hash(), Hash([0; 32])],
            amount: money(101),
            split: parts(51, 50),
            split_rule: Hash([6; 32]),
            released_at: Timestamp(3),
        }
    }

    #[test]
    fn a_release_that_pays_what_was_agreed_is_obeyed() {
        assert_eq!(check(&release(), &finished()), Ok(()));
    }

    #[test]
    fn a_release_signed_by_anyone_else_is_not_read() {
        let signed = |seed| Envelope::sign(&release(), &key(seed), [0; 32]).expect("it can be signed");
        assert_eq!(open(&signed(7), &key(7).did()), Ok(release()));
        assert_eq!(open(&signed(8), &key(7).did()), Err(ReleaseRefusal::NotSigned));
        assert_eq!(open(&finished().receipt, &key(2).did()), Err(ReleaseRefusal::Malformed));
    }

    #[test]
    fn every_other_release_is_refused_with_its_own_code() {
        let with = |change: &dyn Fn(&mut Release)| {
            let mut release = release();
            change(&mut release);
            check(&release, &finished()).expect_err("it was changed").code()
        };
        assert_eq!(with(&|r| r.job_id = JobId::compose(Timestamp(2), [1; 10])), "release_for_other_order");
        assert_eq!(with(&|r| r.order = Hash([9; 32])), "release_for_other_order");
        assert_eq!(with(&|r| r.hold = Hash([9; 32])), "release_for_other_order");
        assert_eq!(with(&|r| r.receipts.swap(0, 1)), "release_for_other_receipt");
        assert_eq!(with(&|r| r.receipts.truncate(2)), "release_for_other_receipt");
        assert_eq!(with(&|r| r.amount = money(100)), "release_amount_differs");
        // A cent of ours, a cent of another's, a cent too many; to someone else, to nobody; a debt.
        for split in [parts(50, 51), parts(52, 49), parts(51, 51), parts(151, -50)] {
            assert_eq!(with(&|r| r.split.clone_from(&split)), "release_split_differs", "{split:?}");
        }
        assert_eq!(with(&|r| r.split[1].participant = key(4).did()), "release_split_differs");
        assert_eq!(with(&|r| r.split.truncate(1)), "release_split_differs");
        assert_eq!(with(&|r| r.split_rule = Hash([9; 32])), "release_split_differs");
        assert_eq!(with(&|r| r.split[0].amount.currency = "USD".parse().expect("three letters")), "release_split_differs");
    }
}
