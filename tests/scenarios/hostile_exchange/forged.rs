//! What the exchange puts in place of what participants signed.

use super::rig::{Rig, new_job, signed_by_all};
use entrepot_chain_statement::{
    SealingSecret,
    key::KeyFile,
    statements::{Agreement, DataProduct, Order, Role, WorkerGrant},
};
use entrepot_tests::{
    hostile::{Trade, altered, unsigned},
    member::Member,
    worker::grant_of,
};
use rand_core::OsRng;

#[tokio::test]
async fn the_consumers_sealing_key_cannot_be_swapped() {
    let rig = Rig::start().await;
    let spy = SealingSecret::generate(&mut OsRng).public();
    let swap = |agreement: &mut Agreement| agreement.sealing_key = spy;

    // Passed off under the consumer's signature, which was made over the genuine key.
    let agreement = altered(&rig.trade.agreement, swap);
    rig.all_refuse(&rig.held(Trade { agreement, ..rig.trade.clone() }), "agreement_not_signed", "altered").await;
    // Signed by the exchange in the consumer's name, with an order that fits.
    let exchange = &rig.exchange.identity;
    rig.all_refuse(&rig.agree(&rig.trade, exchange, swap), "agreement_not_signed", "signed by the exchange").await;
    // The exchange's signature beside the consumer's now meaningless one.
    let mut agreement = altered(&rig.trade.agreement, swap);
    agreement.countersign(&exchange.key.signing).expect("countersigning");
    rig.all_refuse(&rig.held(Trade { agreement, ..rig.trade.clone() }), "agreement_not_signed", "countersigned").await;

    assert_eq!(rig.run(&rig.trade).await.len(), 3, "the genuine order still runs");
}

#[tokio::test]
async fn a_query_or_its_plan_cannot_be_swapped() {
    let rig = Rig::start().await;
    let exchange = &rig.exchange.identity;
    let other_sql = rig.trade.order.open::<Order>().expect("our own order").sql.replace("long-term", "short-term");
    let other_plan = entrepot_mpc_plan::plan(&other_sql, &rig.product()).expect("allowed too").hash();
    let with_order = |order| rig.held(Trade { order, ..rig.trade.clone() });

    let sql_only = altered::<Order>(&rig.trade.order, |order| order.sql = other_sql.clone());
    rig.all_refuse(&with_order(sql_only), "order_not_signed", "the query").await;
    let plan_only = altered::<Order>(&rig.trade.order, |order| order.plan = other_plan);
    rig.all_refuse(&with_order(plan_only), "order_not_signed", "the plan").await;
    let both = rig.order(&rig.trade, exchange, |order| {
        order.sql = other_sql.clone();
        order.plan = other_plan;
    });
    rig.all_refuse(&both, "order_not_signed", "both, signed by the exchange").await;
    // A consumer that was talked into signing a plan which is not its query's.
    let misled = rig.order(&rig.trade, &rig.cast.consumer, |order| order.sql = other_sql.clone());
    rig.all_refuse(&misled, "plan_differs", "a plan that is not the query's").await;
    let nonsense = rig.order(&rig.trade, &rig.cast.consumer, |order| order.sql = order.sql.replace("l.region", "l.customer"));
    rig.all_refuse(&nonsense, "plan_forbidden", "a query that the product forbids").await;

    assert_eq!(rig.run(&rig.trade).await.len(), 3, "the genuine order still runs");
}

#[tokio::test]
async fn an_order_cannot_be_invented() {
    let rig = Rig::start().await;
    let exchange = &rig.exchange.identity;
    let invented = rig.order(&rig.trade, exchange, |order| order.sequence = 1_000);
    rig.all_refuse(&invented, "order_not_signed", "under the consumer's agreement").await;
    let unsigned_order = rig.held(Trade { order: unsigned(&invented.order), ..invented });
    rig.all_refuse(&unsigned_order, "order_not_signed", "signed by nobody").await;

    // A consumer out of thin air, and the exchange as its own consumer: everything is signed, by keys that no worker's owner trusts.
    let stranger = Member::new("Stranger", Role::Consumer);
    for consumer in [&stranger, exchange] {
        let trade = rig.agree(&rig.trade, consumer, |agreement| {
            agreement.consumer = consumer.did();
            agreement.sealing_key = consumer.key.sealing.public();
        });
        rig.all_refuse(&trade, "consumer_not_trusted", &consumer.name).await;
    }
    // An order of the consumer's for another agreement of its own.
    let other = rig.deal(|_| (), |_| ());
    let moved = rig.held(Trade { order: other.order, job_id: new_job(), ..rig.trade.clone() });
    rig.all_refuse(&moved, "order_for_other_agreement", "moved to another agreement").await;
}

#[tokio::test]
async fn a_policy_that_its_provider_did_not_sign_is_refused() {
    let rig = Rig::start().await;
    let weaker = |product: &mut DataProduct| product.tables[1].policy.minimum_group = 2;
    let swapped = |product| rig.agree(&Trade { product, ..rig.trade.clone() }, &rig.cast.consumer, |_| ());

    rig.all_refuse(&swapped(unsigned(&rig.trade.product)), "product_not_signed", "signed by nobody").await;
    let product = altered(&rig.trade.product, weaker);
    rig.all_refuse(&swapped(product), "product_not_signed", "altered under genuine signatures").await;
    let mut statement = rig.product();
    weaker(&mut statement);
    let mut product = rig.exchange.identity.sign(&statement);
    rig.all_refuse(&swapped(product.clone()), "product_not_signed", "signed by the exchange").await;
    // All but the one whose policy it is.
    for member in [&rig.cast.lender, &rig.cast.compute] {
        product.countersign(&member.key.signing).expect("countersigning");
    }
    rig.all_refuse(&swapped(product), "product_not_signed", "not signed by the bureau").await;

    assert_eq!(rig.run(&rig.trade).await.len(), 3, "the genuine order still runs");
}

#[tokio::test]
async fn a_product_of_strangers_is_refused() {
    let rig = Rig::start().await;
    let strangers = [Role::Provider, Role::Provider, Role::ComputeParty].map(|role| Member::new("Stranger", role));
    let mut product = rig.product();
    for (table, stranger) in product.tables.iter_mut().zip(&strangers) {
        table.provider = stranger.did();
        table.policy.compute_parties.insert(strangers[2].did());
    }
    product.compute_party = strangers[2].did();
    let mut signed = strangers[0].sign(&product);
    for stranger in &strangers[1..] {
        signed.countersign(&stranger.key.signing).expect("countersigning");
    }
    let trade = rig.agree(&Trade { product: signed, ..rig.trade.clone() }, &rig.cast.consumer, |_| ());
    rig.all_refuse(&trade, "participant_not_trusted", "three strangers").await;

    // The exchange as the third party, beside the genuine two, who were talked into it.
    let exchange = &rig.exchange.identity;
    let mut product = rig.product();
    product.compute_party = exchange.did();
    for table in &mut product.tables {
        table.policy.compute_parties.insert(exchange.did());
    }
    let mut signed = signed_by_all(&rig.cast, &product);
    signed.countersign(&exchange.key.signing).expect("countersigning");
    let trade = rig.agree(&Trade { product: signed, ..rig.trade.clone() }, &rig.cast.consumer, |agreement| {
        agreement.parties[2].participant = exchange.did();
    });
    rig.all_refuse(&trade, "participant_not_trusted", "the exchange as compute party").await;
}

#[tokio::test]
async fn a_partys_key_cannot_be_swapped() {
    let rig = Rig::start().await;
    let (bureau, exchange) = (&rig.cast.bureau, &rig.exchange.identity);
    let spy = KeyFile::generate(&mut OsRng);
    let grant = grant_of(bureau, &spy);
    let replaced = |grant| {
        let mut trade = rig.trade.clone();
        trade.grants[1] = grant;
        trade
    };

    rig.all_refuse(&replaced(exchange.sign(&grant)), "grant_not_signed", "a grant in the bureau's name, signed by the exchange").await;
    let rewritten = altered::<WorkerGrant>(&rig.trade.grants[1], |grant| grant.worker = spy.signing.did());
    rig.all_refuse(&replaced(rewritten), "grant_not_signed", "another key under the bureau's signature").await;
    // Genuine, for another worker of the bureau's: but not what was agreed.
    let genuine = bureau.sign(&grant);
    rig.all_refuse(&replaced(genuine.clone()), "grant_differs", "another worker of the bureau's").await;
    // Pinned as well, in an agreement that the consumer did not sign.
    let pinned = rig.agree(&replaced(genuine.clone()), exchange, |agreement| {
        agreement.parties[1].worker = spy.signing.did();
        agreement.parties[1].grant = genuine.statement_hash();
    });
    rig.all_refuse(&pinned, "agreement_not_signed", "pinned by the exchange").await;
    // A grant that the exchange gave to its own worker: the agreement has no place for it.
    let own = exchange.sign(&grant_of(exchange, &spy));
    let trade = rig.agree(&replaced(own.clone()), &rig.cast.consumer, |agreement| {
        agreement.parties[1].participant = exchange.did();
        agreement.parties[1].worker = spy.signing.did();
        agreement.parties[1].grant = own.statement_hash();
    });
    rig.all_refuse(&trade, "parties_differ", "a worker of the exchange's").await;
    // Two places for one worker, so that it holds all three shares.
    let trade = rig.agree(&replaced(rig.trade.grants[0].clone()), &rig.cast.consumer, |agreement| {
        agreement.parties[1].worker = agreement.parties[0].worker.clone();
        agreement.parties[1].grant = agreement.parties[0].grant;
    });
    rig.all_refuse(&trade, "parties_not_distinct", "one worker twice").await;

    // Each worker takes the place that the agreement gives it, and no other.
    let mut order = rig.trade.work_order(0);
    order.party = 2;
    rig.exchange.send(&rig.dids[0], entrepot_api_wire::v1::to_worker::Message::WorkOrder(order)).await;
    assert_eq!(rig.outcome(0, &rig.trade).await, super::rig::Outcome::Refused("not_this_worker".to_owned()));
    assert_eq!(rig.run(&rig.trade).await.len(), 3, "the genuine order still runs");
}
