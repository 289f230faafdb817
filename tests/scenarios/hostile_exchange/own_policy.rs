//! What a worker's owner decides: which files there are, and what may be done with them whoever has signed otherwise.

use super::rig::Rig;
use entrepot_api_wire::v1::{DescribeDataset, from_worker, to_worker};
use entrepot_chain_statement::{
    ids::DatasetId,
    statements::{ColumnUse, DatasetPolicy},
};
use entrepot_tests::{
    market::prepare_policy,
    member::{now, random},
    sample,
};

/// Writes the bureau's own policy with a change, and asks it to run the genuine order.
async fn refused_under(rig: &Rig, change: impl FnOnce(&mut DatasetPolicy)) -> Option<String> {
    let mut policy = prepare_policy(&rig.cast, sample::bureau_policy());
    change(&mut policy);
    rig.workers[1].write_policy(&policy);
    rig.refusal(1, &rig.trade).await
}

#[tokio::test]
async fn a_column_that_the_workers_own_policy_forbids_stays_unread() {
    let rig = Rig::start().await;
    let removed = refused_under(&rig, |policy| drop(policy.columns.remove("income"))).await;
    assert_eq!(removed.as_deref(), Some("policy_forbids"));
    let other_use = refused_under(&rig, |policy| {
        policy.columns.get_mut("income").expect("a rule").uses = [ColumnUse::Filter].into();
    });
    assert_eq!(other_use.await.as_deref(), Some("policy_forbids"));
    // Without the owner's doing nothing has changed, and the order is as good as before.
    rig.workers[1].write_policy(&prepare_policy(&rig.cast, sample::bureau_policy()));
    assert_eq!(rig.run(&rig.trade).await.len(), 3);
}

#[tokio::test]
async fn a_stricter_policy_of_the_workers_own_is_obeyed() {
    let rig = Rig::start().await;
    let larger_groups = refused_under(&rig, |policy| policy.minimum_group += 1).await;
    assert_eq!(larger_groups.as_deref(), Some("policy_stricter"));
    let fewer_rows = refused_under(&rig, |policy| policy.rows_max -= 1).await;
    assert_eq!(fewer_rows.as_deref(), Some("policy_stricter"));
    let tighter_bounds = refused_under(&rig, |policy| {
        policy.columns.get_mut("income").expect("a rule").bounds.as_mut().expect("bounds").maximum -= 1;
    });
    assert_eq!(tighter_bounds.await.as_deref(), Some("policy_stricter"));
    // A looser one loosens nothing: the plan is the product's, and runs.
    assert_eq!(refused_under(&rig, |policy| policy.minimum_group = 2).await, None);
}

#[tokio::test]
async fn a_third_party_that_the_workers_own_policy_does_not_accept_gets_no_share() {
    let rig = Rig::start().await;
    let nobody = refused_under(&rig, |policy| policy.compute_parties.clear()).await;
    assert_eq!(nobody.as_deref(), Some("compute_party_not_accepted"));
}

#[tokio::test]
async fn a_worker_without_a_policy_of_its_own_runs_nothing() {
    let rig = Rig::start().await;
    let path = rig.workers[1].folder.join("policy.json");
    std::fs::remove_file(&path).expect("the policy is there");
    assert_eq!(rig.refusal(1, &rig.trade).await.as_deref(), Some("policy_missing"));
    std::fs::write(&path, "{}").expect("writable");
    assert_eq!(rig.refusal(1, &rig.trade).await.as_deref(), Some("policy_missing"));
}

#[tokio::test]
async fn no_file_is_read_that_the_owner_did_not_name() {
    let rig = Rig::start().await;
    let ask = async |party: usize, dataset_id: String, name: &str| {
        let ask = DescribeDataset { dataset_id, name: name.to_owned() };
        rig.exchange.send(&rig.dids[party], to_worker::Message::DescribeDataset(ask)).await;
        let answer = rig.exchange.next(&rig.dids[party], |message| match message {
            from_worker::Message::DatasetDescribed(_) => Some("described".to_owned()),
            from_worker::Message::DatasetRefused(refused) => Some(refused.code.clone()),
            _ => None,
        });
        answer.await
    };
    let new_id = || DatasetId::compose(now(), random()).to_string();
    for name in ["credit", "data.csv", "../worker-bureau/data.csv", "/etc/passwd", ""] {
        assert_eq!(ask(0, new_id(), name).await, "unknown_dataset", "{name}");
    }
    assert_eq!(ask(2, new_id(), "loans").await, "unknown_dataset", "a compute party has none");
    assert_eq!(ask(0, "../../etc/passwd".to_owned(), "loans").await, "dataset_id_invalid");
    assert_eq!(ask(0, new_id(), "loans").await, "described");
}
