//! Quotes, agreements and orders: what is taken and what is refused.

use crate::world::{BEGIN, DAY_MS, PRICE, QUOTA, SQL, World, euro, in_tx};
use entrepot_chain_statement::{
    Hash,
    statements::{Agreement, Order},
};
use entrepot_exchange_domain::Refusal;
use entrepot_exchange_market::{agree, product, product::StateChange, quote};
use entrepot_exchange_store::{order, statements};

async fn code_of_quote(world: &World, sql: &str) -> (String, String) {
    let (market, caller, id) = (&*world.market, &world.consumer.did(), &world.product.product_id);
    let refused = in_tx!(market, |tx| quote::quote(tx, market, caller, id, sql)).expect_err("refused");
    (refused.code().to_owned(), refused.to_string())
}

async fn code_of_agreement(world: &World, change: impl FnOnce(&mut Agreement)) -> &'static str {
    let mut agreement = world.agreement();
    change(&mut agreement);
    let (market, caller, envelope) = (&*world.market, &world.consumer.did(), &world.consumer.sign(&agreement));
    in_tx!(market, |tx| agree::agree(tx, market, caller, envelope)).expect_err("refused").code()
}

async fn change_state(world: &World, change: StateChange) {
    let (market, lender, id) = (&*world.market, &world.bound[0].did(), &world.product.product_id);
    in_tx!(market, |tx| product::change_state(tx, market, lender, id, change)).expect("changed");
}

#[tokio::test]
async fn a_quote_pins_the_workers_that_hold_the_data_and_says_what_each_party_learns() {
    let world = World::ready().await;
    let quote = world.quote().await;
    assert_eq!(quote.parties, world.agreement().parties);
    assert_eq!(quote.price, euro(PRICE));
    assert_eq!(quote.plan, entrepot_mpc_plan::plan(SQL, &world.product).expect("a plan").hash());
    assert!(!quote.leakage.is_empty());
    assert!(quote.expires_at > world.market.now());
}

#[tokio::test]
async fn a_query_that_the_policy_forbids_is_refused_by_the_name_of_its_rule() {
    let world = World::new().await;
    let by_key = "SELECT l.customer, COUNT(*) FROM lender.loans l JOIN bureau.credit b ON l.customer = b.customer GROUP BY l.customer";
    let (code, text) = code_of_quote(&world, by_key).await;
    assert_eq!(code, "policy_forbids");
    assert!(text.contains("column_use_group"), "{text}");
    assert_eq!(code_of_quote(&world, "DROP TABLE lender.loans").await.0, "sql_unsupported");
}

#[tokio::test]
async fn only_an_active_product_is_quoted_agreed_on_and_ordered() {
    let world = World::ready().await;
    let agreement = world.agree(&world.agreement()).await;
    change_state(&world, StateChange::Pause).await;
    assert_eq!(code_of_quote(&world, SQL).await.0, "product_not_active");
    assert_eq!(code_of_agreement(&world, |_| ()).await, "product_not_active");
    assert_eq!(world.try_place(&world.order(&agreement, 1)).await.expect_err("refused").code(), "product_not_active");
    change_state(&world, StateChange::Resume).await;
    world.try_place(&world.order(&agreement, 1)).await.expect("placed");
}

#[tokio::test]
async fn an_agreement_says_what_the_product_says_and_pins_valid_grants() {
    let world = World::new().await;
    let other = world.bound[1].did();
    assert_eq!(code_of_agreement(&world, |a| a.price_per_query = euro(1)).await, "agreement_terms_differ");
    assert_eq!(code_of_agreement(&world, |a| a.quota_queries = 1_000).await, "agreement_terms_differ");
    assert_eq!(code_of_agreement(&world, |a| a.product = Hash([1; 32])).await, "product_unknown");
    assert_eq!(code_of_agreement(&world, |a| a.consumer = other).await, "agreement_consumer_mismatch");
    assert_eq!(code_of_agreement(&world, |a| a.parties[2].grant = Hash([1; 32])).await, "agreement_pin_invalid");
    assert_eq!(code_of_agreement(&world, |a| a.parties.swap(0, 1)).await, "agreement_pin_invalid");
    assert_eq!(code_of_agreement(&world, |a| a.expires_at = BEGIN.plus_ms(21 * DAY_MS)).await, "agreement_time_invalid");
}

#[tokio::test]
async fn the_same_agreement_again_is_the_same_and_another_under_its_id_is_refused() {
    let world = World::new().await;
    let mut agreement = world.agreement();
    let first = world.agree(&agreement).await;
    assert_eq!(world.agree(&agreement).await.statement_hash(), first.statement_hash());
    agreement.issued_at = agreement.issued_at.plus_ms(1);
    let (market, caller, envelope) = (&*world.market, &world.consumer.did(), &world.consumer.sign(&agreement));
    let refused = in_tx!(market, |tx| agree::agree(tx, market, caller, envelope)).expect_err("refused");
    assert_eq!(refused.code(), "id_taken");
}

#[tokio::test]
async fn a_signature_of_somebody_else_beside_the_consumers_is_refused() {
    let world = World::ready().await;
    let (market, caller) = (&*world.market, &world.consumer.did());
    let mut agreement = world.consumer.sign(&world.agreement());
    agreement.countersign(&world.bound[0].key).expect("it signs");
    let sent = &agreement;
    assert_eq!(in_tx!(market, |tx| agree::agree(tx, market, caller, sent)).expect_err("refused").code(), "agreement_signers");
    let by_another = &world.bound[0].sign(&world.agreement());
    assert_eq!(in_tx!(market, |tx| agree::agree(tx, market, caller, by_another)).expect_err("refused").code(), "invalid_envelope");
}

async fn code_of_order(world: &World, order: &Order) -> &'static str {
    world.try_place(order).await.expect_err("refused").code()
}

#[tokio::test]
async fn an_order_departs_from_its_agreement_in_nothing() {
    let world = World::ready().await;
    let agreement = world.agree(&world.agreement()).await;
    type Change = fn(&mut Order);
    let with = |change: Change| {
        let mut order = world.order(&agreement, 1);
        change(&mut order);
        order
    };
    let cases: [(Change, &str); 8] = [
        (|o| o.price = euro(PRICE - 1), "order_price_wrong"),
        (|o| o.plan = Hash([1; 32]), "order_plan_wrong"),
        (|o| o.sql = o.sql.replace("COUNT(*)", "COUNT(*), COUNT(*) AS again"), "order_plan_wrong"),
        (|o| o.sql = "SELECT 1".to_owned(), "sql_unsupported"),
        (|o| o.sequence = 2, "order_sequence_wrong"),
        (|o| o.sequence = 0, "order_sequence_wrong"),
        (|o| o.agreement = Hash([1; 32]), "agreement_unknown"),
        (|o| o.expires_at = o.issued_at, "order_time_invalid"),
    ];
    for (change, code) in cases {
        let found = code_of_order(&world, &with(change)).await;
        assert!(found == code || (code.starts_with("sql") && found.starts_with("sql")), "{found} instead of {code}");
    }
    assert_eq!(world.balance(&world.consumer.did()).await, 10 * PRICE);
    world.books().await;
}

#[tokio::test]
async fn an_order_is_taken_once_and_sequences_have_no_gaps() {
    let world = World::ready().await;
    let agreement = world.agree(&world.agreement()).await;
    let first = world.order(&agreement, 1);
    world.try_place(&first).await.expect("placed");
    assert_eq!(code_of_order(&world, &first).await, "order_exists");
    assert_eq!(code_of_order(&world, &world.order(&agreement, 1)).await, "order_sequence_wrong");
    assert_eq!(code_of_order(&world, &world.order(&agreement, 3)).await, "order_sequence_wrong");
    world.try_place(&world.order(&agreement, 2)).await.expect("placed");
    assert_eq!(world.balance(&world.consumer.did()).await, 8 * PRICE);
    world.books().await;
}

#[tokio::test]
async fn the_quota_counts_what_workers_were_asked_for() {
    let world = World::ready().await;
    world.give(i64::from(QUOTA) * PRICE).await;
    let agreement = world.agree(&world.agreement()).await;
    let quota = u64::from(QUOTA);
    for sequence in 1..=quota {
        let order = world.order(&agreement, sequence);
        world.try_place(&order).await.expect("within the quota");
    }
    assert_eq!(code_of_order(&world, &world.order(&agreement, quota + 1)).await, "quota_spent");
    // The second order was never dispatched: cancelled, it gives its place back.
    let (market, caller) = (&*world.market, &world.consumer.did());
    let page = order::page(&mut market.store.reader().await.expect("a reader"), Some(caller), &Default::default()).await.expect("rows");
    let waiting = page.items.iter().find(|row| row.sequence == 2).expect("the second").order_id.clone();
    let id = &waiting;
    in_tx!(market, |tx| entrepot_exchange_market::jobs::cancel(tx, market, caller, id)).expect("cancelled");
    world.try_place(&world.order(&agreement, quota + 1)).await.expect("within the quota again");
    world.books().await;
}

#[tokio::test]
async fn a_new_agreement_does_not_renew_the_quota() {
    let world = World::ready().await;
    world.give(i64::from(QUOTA) * PRICE).await;
    let first = world.agree(&world.agreement()).await;
    let second = world.agree(&world.agreement()).await;
    world.try_place(&world.order(&first, 1)).await.expect("within the quota");
    for sequence in 1..u64::from(QUOTA) {
        world.try_place(&world.order(&second, sequence)).await.expect("within the quota");
    }
    // Numbers go on within each agreement; the quota is one for all of them.
    for (agreement, sequence) in [(&first, 2), (&second, u64::from(QUOTA))] {
        assert_eq!(code_of_order(&world, &world.order(agreement, sequence)).await, "quota_spent");
    }
    let third = world.agree(&world.agreement()).await;
    assert_eq!(code_of_order(&world, &world.order(&third, 1)).await, "quota_spent");
    world.books().await;
}

#[tokio::test]
async fn without_the_money_nothing_is_taken() {
    let world = World::new().await;
    let agreement = world.agree(&world.agreement()).await;
    world.give(PRICE - 1).await;
    let order = world.order(&agreement, 1);
    assert_eq!(code_of_order(&world, &order).await, "insufficient_balance");
    let hash = world.consumer.sign(&order).statement_hash();
    let mut reader = world.market.store.reader().await.expect("a reader");
    assert!(statements::find(&mut reader, &hash).await.expect("rows").is_none());
    drop(reader);
    world.give(1).await;
    world.try_place(&order).await.expect("placed");
    assert_eq!(world.balance(&world.consumer.did()).await, 0);
    world.books().await;
}

#[tokio::test]
async fn a_copy_of_anothers_agreement_shows_nothing_of_it() {
    let world = World::ready().await;
    let agreement = world.agreement();
    world.agree(&agreement).await;
    let (market, stranger) = (&*world.market, &world.bound[0]);
    let (caller, copy) = (&stranger.did(), &stranger.sign(&agreement));
    let refused = in_tx!(market, |tx| entrepot_exchange_market::agree::agree(tx, market, caller, copy)).expect_err("refused");
    assert_eq!(refused.code(), "id_taken");
}

#[tokio::test]
async fn another_consumers_agreement_is_unknown() {
    let world = World::ready().await;
    let agreement = world.agree(&world.agreement()).await;
    let (market, stranger) = (&*world.market, &world.bound[0]);
    let (caller, envelope) = (&stranger.did(), &stranger.sign(&world.order(&agreement, 1)));
    let refused = in_tx!(market, |tx| entrepot_exchange_market::order::order(tx, market, caller, envelope)).expect_err("refused");
    assert_eq!(refused.code(), "agreement_unknown");
}
