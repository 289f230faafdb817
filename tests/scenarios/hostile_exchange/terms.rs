//! Terms, money set aside, and time.

use super::rig::{Rig, new_job};
use entrepot_api_wire::v1::to_worker;
use entrepot_chain_statement::{
    Timestamp,
    ids::DatasetId,
    statements::{Hold, Role, WorkerRole},
};
use entrepot_tests::{
    hostile::{Trade, altered, unsigned},
    member::{Member, now, random},
    offer,
    worker::grant_of,
};

#[tokio::test]
async fn an_agreement_on_other_terms_than_the_product_is_refused() {
    let rig = Rig::start().await;
    let consumer = &rig.cast.consumer;
    let price = rig.agree(&rig.trade, consumer, |agreement| agreement.price_per_query = offer::money(1));
    rig.all_refuse(&price, "agreement_terms_differ", "the price").await;
    let split = rig.agree(&rig.trade, consumer, |agreement| agreement.split.reverse());
    rig.all_refuse(&split, "agreement_terms_differ", "the split").await;
    let quota = rig.agree(&rig.trade, consumer, |agreement| agreement.quota_queries += 1);
    rig.all_refuse(&quota, "agreement_terms_differ", "the quota").await;
    let product = rig.product();
    let longer = rig.agree(&rig.trade, consumer, |agreement| agreement.expires_at = product.expires_at.plus_ms(1));
    rig.all_refuse(&longer, "agreement_terms_differ", "the expiry").await;
    let cheaper = rig.order(&rig.trade, consumer, |order| order.price = offer::money(1));
    rig.all_refuse(&cheaper, "order_price_differs", "the order's price").await;
    let moved = rig.agree(&rig.trade, consumer, |agreement| agreement.product = rig.trade.agreement.statement_hash());
    rig.all_refuse(&moved, "agreement_for_other_product", "another product").await;

    let elsewhere = Member::new("Another exchange", Role::Operator).did();
    let agreed = rig.agree(&rig.trade, consumer, |agreement| agreement.exchange = elsewhere.clone());
    rig.all_refuse(&agreed, "agreement_for_other_exchange", "an agreement made for another exchange").await;
    let offered = rig.deal(|product| product.exchange = elsewhere.clone(), |_| ());
    rig.all_refuse(&offered, "product_for_other_exchange", "a product offered at another exchange").await;
    let invited = rig.deal(|product| product.consumers = [elsewhere.clone()].into(), |_| ());
    rig.all_refuse(&invited, "consumer_not_invited", "a product for others").await;
}

#[tokio::test]
async fn a_product_that_does_not_add_up_is_refused_whoever_signed_it() {
    let rig = Rig::start().await;
    let negative = rig.deal(|product| product.price_per_query = offer::money(-1), |_| ());
    rig.all_refuse(&negative, "product_invalid", "a negative price").await;
    let lost = rig.deal(|product| drop(product.split.pop()), |_| ());
    rig.all_refuse(&lost, "product_invalid", "a part of the price for nobody").await;
}

#[tokio::test]
async fn nothing_runs_unless_the_price_is_held() {
    let rig = Rig::start().await;
    let exchange = &rig.exchange.identity;
    let trade = &rig.trade;
    let with = |hold| Trade { hold, ..trade.clone() };
    let genuine = rig.exchange.hold(&trade.job_id, &trade.agreement, &trade.order);

    rig.all_refuse(&with(unsigned(&trade.hold)), "hold_not_signed", "signed by nobody").await;
    rig.all_refuse(&with(rig.cast.consumer.sign(&genuine)), "hold_not_signed", "signed by the consumer").await;
    let rewritten = altered::<Hold>(&trade.hold, |hold| hold.held_at = Timestamp(0));
    rig.all_refuse(&with(rewritten), "hold_not_signed", "altered").await;
    let others = rig.next_trade();
    rig.all_refuse(&with(others.hold), "hold_for_other_order", "of another order").await;
    let other_job = exchange.sign(&Hold { job_id: new_job(), ..genuine.clone() });
    rig.all_refuse(&with(other_job), "hold_for_other_order", "of another job").await;
    let trifle = exchange.sign(&Hold { amount: offer::money(offer::PRICE_MINOR - 1), ..genuine.clone() });
    rig.all_refuse(&with(trifle), "hold_amount_differs", "a cent less").await;
    let mut money = genuine.amount.clone();
    money.currency = "EUR".parse().expect("three letters");
    let worthless = exchange.sign(&Hold { amount: money, ..genuine });
    rig.all_refuse(&with(worthless), "hold_amount_differs", "another currency").await;

    assert_eq!(rig.run(trade).await.len(), 3, "the genuine order still runs");
}

#[tokio::test]
async fn what_has_expired_is_refused_by_the_workers_own_clock() {
    let rig = Rig::start().await;
    let consumer = &rig.cast.consumer;
    let passed = now();
    let order = rig.order(&rig.trade, consumer, |order| order.expires_at = passed);
    rig.all_refuse(&order, "order_expired", "the order").await;
    let agreement = rig.agree(&rig.trade, consumer, |agreement| agreement.expires_at = passed);
    rig.all_refuse(&agreement, "agreement_expired", "the agreement").await;
    let product = rig.deal(|product| product.expires_at = passed, |agreement| agreement.expires_at = passed);
    rig.all_refuse(&product, "product_expired", "the product").await;
    rig.all_refuse(&Trade { time_ms: 0, ..rig.trade.clone() }, "deadline_passed", "the deadline").await;

    let mut grants = [(); 3].map(|()| grant_of(&rig.cast.bureau, &rig.workers[1].key));
    grants[0].expires_at = passed;
    grants[1].not_before = passed.plus_ms(60_000);
    grants[2].role = WorkerRole::Compute;
    for (grant, code) in grants.iter().zip(["grant_not_in_time", "grant_not_in_time", "grant_role_wrong"]) {
        let mut trade = rig.trade.clone();
        trade.grants[1] = rig.cast.bureau.sign(grant);
        let pin = trade.grants[1].statement_hash();
        let trade = rig.agree(&trade, consumer, |agreement| agreement.parties[1].grant = pin);
        rig.all_refuse(&trade, code, "a grant").await;
    }
}

#[tokio::test]
async fn a_dataset_other_than_the_worker_described_is_refused() {
    let rig = Rig::start().await;
    // The exchange showed the bureau another description than its worker gave, and the bureau signed that.
    let commitment = rig.deal(|product| product.tables[1].commitment = product.tables[0].commitment, |_| ());
    assert_eq!(rig.refusal(1, &commitment).await.as_deref(), Some("dataset_differs"));
    let renamed = rig.deal(|product| product.tables[1].columns[2].0 = "defaults".to_owned(), |_| ());
    assert_eq!(rig.refusal(1, &renamed).await.as_deref(), Some("dataset_differs"));
    let other = DatasetId::compose(now(), random());
    let unknown = rig.deal(|product| product.tables[1].dataset_id = other, |_| ());
    assert_eq!(rig.refusal(1, &unknown).await.as_deref(), Some("dataset_unknown"));
}

#[tokio::test]
async fn what_cannot_be_read_is_refused_and_the_worker_lives_on() {
    let rig = Rig::start().await;
    let genuine = rig.trade.work_order(0);
    let junk = || vec![0xff; 1024];
    let spoilt = [
        ("work_order_malformed", spoil(|o| o.product = junk(), &genuine)),
        ("work_order_malformed", spoil(|o| o.agreement = b"{}".to_vec(), &genuine)),
        ("work_order_malformed", spoil(|o| o.order = o.agreement.clone(), &genuine)),
        ("work_order_malformed", spoil(|o| drop(o.grants.pop()), &genuine)),
        ("work_order_malformed", spoil(|o| o.peer_addresses[1] = "a".repeat(10_000), &genuine)),
        ("party_out_of_range", spoil(|o| o.party = 3, &genuine)),
        ("attempt_out_of_range", spoil(|o| o.attempt = 0, &genuine)),
        ("attempt_out_of_range", spoil(|o| o.attempt = 4, &genuine)),
    ];
    for (code, order) in spoilt {
        rig.exchange.send(&rig.dids[0], to_worker::Message::WorkOrder(order)).await;
        assert_eq!(rig.outcome(0, &rig.trade).await, super::rig::Outcome::Refused(code.to_owned()));
    }
    assert_eq!(rig.run(&rig.trade).await.len(), 3, "the genuine order still runs");
}

type WorkOrder = entrepot_api_wire::v1::WorkOrder;

fn spoil(change: impl FnOnce(&mut WorkOrder), genuine: &WorkOrder) -> WorkOrder {
    let mut order = genuine.clone();
    change(&mut order);
    order
}
