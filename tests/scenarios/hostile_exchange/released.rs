//! Receipts first, then the signed release, then the shares: in this order, whatever the exchange leaves out or puts in its place.

use super::rig::{Rig, digests, new_job};
use entrepot_api_wire::v1::{HandOverShares, SealedShare, from_worker, to_worker};
use entrepot_chain_statement::{
    Envelope, Hash,
    sealing::{RESULT_INFO, ResultShare},
    statements::Release,
};
use entrepot_tests::{
    hostile::{altered, unsigned},
    member::random,
    offer::{self, PRICE_MINOR},
};

#[tokio::test]
async fn no_share_leaves_without_the_exchanges_own_signature() {
    let rig = Rig::start().await;
    let receipts = rig.run(&rig.trade).await;
    let genuine = rig.release(&rig.trade, &receipts);
    let by_consumer = rig.cast.consumer.sign(&rig.trade.release(&receipts));
    let rewritten = altered::<Release>(&genuine, |release| release.split.reverse());
    let not_a_release = receipts[0].clone();
    for party in 0..3 {
        let refused = async |release: &Envelope| rig.shares(party, &rig.trade, release).await.expect_err("it was not signed");
        assert_eq!(refused(&unsigned(&genuine)).await, "release_not_signed");
        assert_eq!(refused(&by_consumer).await, "release_not_signed");
        assert_eq!(refused(&rewritten).await, "release_not_signed");
        assert_eq!(refused(&not_a_release).await, "release_malformed");
        let junk = HandOverShares { job_id: rig.trade.job_id.to_string(), release: vec![0xff; 100] };
        rig.exchange.send(&rig.dids[party], to_worker::Message::HandOverShares(junk)).await;
        let code = rig.exchange.next(&rig.dids[party], |message| match message {
            from_worker::Message::WorkRefused(refused) => Some(refused.code.clone()),
            _ => None,
        });
        assert_eq!(code.await, "release_malformed");
        assert_eq!(rig.shares(party, &rig.trade, &genuine).await.expect("the genuine one").len(), 2);
    }
}

type Change<'a> = &'a dyn Fn(&mut Release);

#[tokio::test]
async fn no_share_leaves_for_the_release_of_something_else() {
    let rig = Rig::start().await;
    let receipts = rig.run(&rig.trade).await;
    let other_trade = rig.next_trade();
    let other_receipts = rig.run(&other_trade).await;
    let genuine = rig.trade.release(&receipts);
    let changes: [(&str, Change<'_>); 6] = [
        ("release_for_other_order", &|release| release.order = other_trade.order.statement_hash()),
        ("release_for_other_order", &|release| release.hold = other_trade.hold.statement_hash()),
        ("release_for_other_receipt", &|release| release.receipts.rotate_left(1)),
        ("release_for_other_receipt", &|release| release.receipts = other_receipts.iter().map(Envelope::statement_hash).collect()),
        ("release_for_other_receipt", &|release| release.receipts.clear()),
        ("release_for_other_order", &|release| release.job_id = new_job()),
    ];
    for party in 0..3 {
        for (place, (code, change)) in changes.iter().enumerate() {
            let mut release = genuine.clone();
            change(&mut release);
            let refused = rig.shares(party, &rig.trade, &rig.exchange.identity.sign(&release)).await;
            assert_eq!(refused.as_ref().err().map(String::as_str), Some(*code), "change {place}, party {party}: {refused:?}");
        }
        let unknown = rig.held(entrepot_tests::hostile::Trade { job_id: new_job(), ..rig.trade.clone() });
        let refused = rig.shares(party, &unknown, &rig.exchange.identity.sign(&unknown.release(&receipts))).await;
        assert_eq!(refused, Err("unknown_job".to_owned()));
    }
}

#[tokio::test]
async fn a_split_that_cheats_anyone_gets_no_share_at_all() {
    let rig = Rig::start().await;
    let receipts = rig.run(&rig.trade).await;
    let genuine = rig.trade.release(&receipts);
    let refusal = async |party: usize, release: &Release| {
        rig.shares(party, &rig.trade, &rig.exchange.identity.sign(release)).await.err().unwrap_or_else(|| "handed over".to_owned())
    };
    for (cheated, asked) in (0..9).map(|case| (case / 3, case % 3)) {
        // A cent of one's goes to the next.
        let mut release = genuine.clone();
        release.split[cheated].amount.amount_minor -= 1;
        release.split[(cheated + 1) % 3].amount.amount_minor += 1;
        assert_eq!(refusal(asked, &release).await, "release_split_differs", "party {cheated} a cent less, party {asked} asked");
        // Its whole part goes to the exchange.
        let mut release = genuine.clone();
        release.split[cheated].participant = rig.exchange.identity.did();
        assert_eq!(refusal(asked, &release).await, "release_split_differs", "party {cheated} nothing at all, party {asked} asked");
    }
    for party in 0..3 {
        let mut less = genuine.clone();
        less.amount = offer::money(PRICE_MINOR - 1);
        assert_eq!(refusal(party, &less).await, "release_amount_differs");
        let mut lost = genuine.clone();
        lost.split.push(lost.split[(party + 1) % 3].clone());
        assert_eq!(refusal(party, &lost).await, "release_split_differs", "more is paid out than was held");
        assert_eq!(refusal(party, &genuine).await, "handed over");
    }
}

#[tokio::test]
async fn shares_that_the_exchange_does_not_ask_for_are_kept() {
    let mut rig = Rig::start().await;
    let receipts = rig.run(&rig.trade).await;
    for (party, receipt) in receipts.iter().enumerate() {
        rig.restart(party).await;
        // Unasked: an exchange that lost the receipt, or says so, gets it again.
        let reminder = rig.exchange.next(&rig.dids[party], |message| match message {
            from_worker::Message::WorkFinished(finished) => Some(finished.receipt.clone()),
            _ => None,
        });
        assert_eq!(Envelope::from_json(&reminder.await).expect("an envelope"), *receipt);
    }
    let release = rig.release(&rig.trade, &receipts);
    let mut handed = Vec::new();
    for party in 0..3 {
        handed.push(rig.shares(party, &rig.trade, &release).await.expect("it was paid for"));
        rig.restart(party).await;
        assert_eq!(rig.shares(party, &rig.trade, &release).await.as_ref(), Ok(&handed[party]), "and once more");
    }
    // One worker's may stay away, whichever.
    let opened = [[0, 1], [1, 2], [2, 0]].map(|two| rig.open(&rig.trade, &receipts, &two.map(|party| handed[party].clone()).concat()));
    assert!(!opened[0].rows.is_empty());
    assert!(opened.iter().all(|table| *table == opened[0]));
}

#[tokio::test]
async fn what_the_exchange_puts_in_place_of_a_share_is_seen() {
    let rig = Rig::start().await;
    let receipts = rig.run(&rig.trade).await;
    for (receipt, worker) in receipts.iter().zip(&rig.dids) {
        assert_eq!(receipt.verify_signed_by(worker).ok(), Some(()), "what follows rests on the workers' signatures");
    }
    let release = rig.release(&rig.trade, &receipts);
    let handed = rig.shares(0, &rig.trade, &release).await.expect("it was paid for");
    let genuine = &handed[0];
    let share = u8::try_from(genuine.share).expect("a share's number");
    let named = |ciphertext: &[u8]| digests(&receipts).contains(&(share, Hash::of(&[ciphertext])));
    let which = ResultShare { order: rig.trade.order.statement_hash(), attempt: 1, share };
    let secret = &rig.cast.consumer.key.sealing;
    let open = |SealedShare { ciphertext, .. }: &SealedShare| secret.open(RESULT_INFO, &which.aad(), ciphertext);
    assert!(named(&genuine.ciphertext) && open(genuine).is_ok());

    let mut changed = genuine.clone();
    changed.ciphertext[40] ^= 1;
    assert!(!named(&changed.ciphertext) && open(&changed).is_err(), "a flipped bit");
    let other = &handed[1];
    assert!(!named(&other.ciphertext) && open(other).is_err(), "another share in its place");
    // Sealed by the exchange to the consumer's own key, so it opens: only the receipts tell.
    let length = open(genuine).expect("it opens").len();
    let made_up = secret.public().seal_with(&random(), RESULT_INFO, &which.aad(), &vec![7; length]).expect("anyone can seal");
    let made_up = SealedShare { share: genuine.share, ciphertext: made_up };
    assert!(open(&made_up).is_ok() && !named(&made_up.ciphertext), "a share of the exchange's own making");
}
