//! Rights in the hands of people: records that go from signer to signer as files, and what the chain says after them.

use entrepot_chain_statement::Hash;
use entrepot_tests::{
    consortium::{Consortium, text},
    process,
};
use serde_json::Value;
use std::path::PathBuf;

const HOLDER: usize = 0;
const BUYER: usize = 1;
const SUBMITTER: usize = 2;
const REGULATOR: usize = 3;

/// A right, and the files of its records.
struct Papers<'a> {
    consortium: &'a mut Consortium,
    right: Hash,
    made: usize,
}

impl Papers<'_> {
    fn file(&mut self) -> String {
        self.made += 1;
        text(&self.consortium.home().join(format!("record-{}.json", self.made)))
    }

    fn url(&self, at: usize) -> String {
        format!("http://{}", self.consortium.nodes[at].seat.rest)
    }

    /// A record of this action, signed by these.
    fn record(&mut self, action: &[&str], signers: &[usize]) -> String {
        let (genesis, right, url) = (text(&self.consortium.genesis), self.right.to_string(), self.url(SUBMITTER));
        let mut record = self.file();
        let of = ["--right", &right, "--genesis", &genesis, "--url", &url, "--record", &record];
        process::succeed(&[&["chain", "right"], action, &of[..]].concat());
        for signer in signers {
            let (key, out): (PathBuf, String) = (self.consortium.seats[*signer].organisation_file(), self.file());
            let signing = ["--record", &record, "--genesis", &genesis, "--key", &text(&key), "--out", &out];
            process::succeed(&[&["chain", "right", "sign"], &signing[..]].concat());
            record = out;
        }
        record
    }

    /// Hands a record in through a member that it does not bind; the code of a rejection.
    fn submit(&mut self, record: &str) -> Result<(), String> {
        self.consortium.used_number(SUBMITTER);
        let (genesis, url) = (text(&self.consortium.genesis), self.url(SUBMITTER));
        let key = text(&self.consortium.seats[SUBMITTER].organisation_file());
        let output =
            process::run(&["--json", "chain", "right", "submit", "--record", record, "--genesis", &genesis, "--key", &key, "--url", &url]);
        let answer: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        assert_eq!(output.status.success(), answer["verdict"]["status"] == "accepted", "{answer}");
        if output.status.success() { Ok(()) } else { Err(answer["verdict"]["code"].as_str().expect("a code").to_owned()) }
    }

    fn shown(&self, at: usize, height: Option<&str>) -> Value {
        let (right, url) = (self.right.to_string(), self.url(at));
        let mut words = vec!["--json", "chain", "right", "show", &right, "--url", &url];
        words.extend(height.into_iter().flat_map(|height| ["--height", height]));
        serde_json::from_str(&process::succeed(&words)).expect("JSON")
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_right_is_transferred_and_disputed_by_files_that_go_from_signer_to_signer() {
    let mut consortium = Consortium::with(&["member", "member", "member", "regulator"], 0).await;
    let right = consortium.register(HOLDER).await;
    consortium.agree(&super::ALL, 1).await;
    let did = |at: usize| consortium.seats[at].member.did.to_string();
    let (holder, buyer, other) = (did(HOLDER), did(BUYER), did(SUBMITTER));
    let mut papers = Papers { consortium: &mut consortium, right, made: 0 };
    let first = papers.shown(HOLDER, None);
    assert_eq!((&first["entry"]["holder"], &first["entry"]["status"]), (&holder.clone().into(), &"held".into()));

    let transfer = papers.record(&["transfer", "--to", &buyer], &[HOLDER]);
    assert_eq!(papers.submit(&transfer), Err("unbound".to_owned()), "the buyer has not signed");
    let transfer = papers.record(&["transfer", "--to", &buyer], &[HOLDER, BUYER]);
    assert_eq!(papers.submit(&transfer), Ok(()));
    assert_eq!(papers.shown(SUBMITTER, None)["entry"]["holder"], buyer);
    let before = first["height"].as_str().expect("a height");
    assert_eq!(papers.shown(SUBMITTER, Some(before))["entry"]["holder"], holder, "what was true at a height stays readable");
    assert_eq!(papers.submit(&transfer), Err("record_number".to_owned()), "signatures are good once");

    let dispute = papers.record(&["dispute", "--claimant", &holder], &[REGULATOR, HOLDER]);
    assert_eq!(papers.submit(&dispute), Ok(()));
    let alone = papers.record(&["resolve", "--holder", &other], &[REGULATOR]);
    assert_eq!(papers.submit(&alone), Err("no_second_member".to_owned()));
    let resolved = papers.record(&["resolve", "--holder", &holder], &[REGULATOR, BUYER]);
    assert_eq!(papers.submit(&resolved), Ok(()));
    assert_eq!(papers.shown(SUBMITTER, None)["entry"]["holder"], holder);
}
