//! What was done before is not done again, whatever the exchange says and however often the worker is killed.

use super::rig::{Goods, Outcome, Rig, new_job};
use entrepot_tests::hostile::Trade;

#[tokio::test]
async fn a_finished_order_does_not_run_again() {
    let mut rig = Rig::start().await;
    let receipts = rig.run(&rig.trade).await;
    // The same message again gives the same receipt: its transcript is that of the one run.
    assert_eq!(rig.run(&rig.trade).await, receipts);
    // As another job, under another genuine hold.
    let as_other_job = rig.held(Trade { job_id: new_job(), ..rig.trade.clone() });
    rig.all_refuse(&as_other_job, "order_replayed", "as another job").await;

    let release = rig.release(&rig.trade, &receipts);
    for party in 0..3 {
        rig.shares(party, &rig.trade, &release).await.expect("it was paid for");
        rig.restart(party).await;
    }
    rig.all_refuse(&as_other_job, "order_replayed", "as another job, after a crash").await;
    rig.all_refuse(&Trade { attempt: 2, ..rig.trade.clone() }, "already_released", "another attempt after the pay-out").await;
}

#[tokio::test]
async fn an_order_whose_number_has_passed_is_refused() {
    let mut rig = Rig::start().await;
    let never_sent = rig.next_trade();
    let third = rig.next_trade();
    assert_eq!(rig.run(&third).await.len(), 3);
    rig.all_refuse(&never_sent, "sequence_passed", "an older order that was held back").await;
    let same_number = rig.order(&rig.trade, &rig.cast.consumer, |order| order.sequence = 3);
    rig.all_refuse(&same_number, "sequence_passed", "two orders of one number").await;
    for party in 0..3 {
        rig.restart(party).await;
    }
    rig.all_refuse(&never_sent, "sequence_passed", "after a crash").await;
    // The rig's trade knows where the workers listen now.
    assert_eq!(rig.run(&rig.next_trade()).await.len(), 3);
}

#[tokio::test]
async fn a_number_is_spent_by_an_attempt_that_failed() {
    let rig = Rig::start().await;
    let first = rig.next_trade();
    // Accepted by the compute party alone, and stopped.
    assert_eq!(rig.refusal(2, &first).await, None);
    assert!(matches!(rig.outcome(2, &first).await, Outcome::Failed(_)));
    let same_number = rig.order(&rig.trade, &rig.cast.consumer, |order| order.sequence = 2);
    assert_eq!(rig.refusal(2, &same_number).await.as_deref(), Some("sequence_passed"));
    assert_eq!(rig.run(&Trade { attempt: 2, ..first }).await.len(), 3, "the order itself may be tried again");
}

#[tokio::test]
async fn more_queries_than_the_quota_are_refused() {
    let mut rig = Rig::start_with(Goods { quota: 2, ..Goods::sample() }).await;
    assert_eq!(rig.run(&rig.trade).await.len(), 3);
    assert_eq!(rig.run(&rig.next_trade()).await.len(), 3);
    rig.all_refuse(&rig.next_trade(), "quota_spent", "a third query").await;
    for party in 0..3 {
        rig.restart(party).await;
    }
    rig.all_refuse(&rig.next_trade(), "quota_spent", "a third query after a crash").await;
    // Whoever spent it needs nobody for a second agreement: it gives no further queries.
    let renewed = rig.agree(&rig.trade, &rig.cast.consumer, |_| ());
    rig.all_refuse(&renewed, "quota_spent", "a second agreement on the product").await;
    // Another product is for its providers to sign.
    let other = rig.deal(|product| product.expires_at = product.expires_at.plus_ms(1), |_| ());
    assert_eq!(rig.run(&other).await.len(), 3);
}
