//! A standing witness, beside exchanges that it does not trust.

use entrepot_chain_log::{SignedCheckpoint, TrustFile, cosignature_vkey};
use entrepot_chain_statement::{
    Did,
    key::KeyFile,
    statements::{Role, WorkerGrant},
};
use entrepot_tests::{
    exchange::{Exchange, free_address},
    market::wait_for,
    member::{Member, now, write_key},
    process::{self, PATIENCE, Process},
    session::Session,
    worker::grant_of,
};
use rand_core::OsRng;
use serde_json::{Value, json};
use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// An exchange whose log grows by a statement when asked to.
struct Place {
    exchange: Exchange,
    provider: Member,
    regulator: Member,
}

impl Place {
    /// In `home`, with a log of one entry.
    async fn open(home: &Path, channel: &str) -> Self {
        let exchange = start(home, channel).await;
        let (provider, regulator) = (Member::new("Provider", Role::Provider), Member::new("Regulator", Role::Regulator));
        exchange.enrol(&provider).await;
        exchange.enrol(&regulator).await;
        let place = Self { exchange, provider, regulator };
        place.grow().await;
        place
    }

    /// One entry more; the log's size.
    async fn grow(&self) -> u64 {
        let before = self.size().await;
        let grant: WorkerGrant = grant_of(&self.provider, &KeyFile::generate(&mut OsRng));
        let session = self.exchange.session(&self.provider).await;
        session.post("/v1/worker-grants", &json!({"envelope": self.provider.sign(&grant)})).await.ok();
        wait_for(async || Some(self.size().await).filter(|size| *size > before)).await
    }

    async fn size(&self) -> u64 {
        self.checkpoint().await.map_or(0, |checkpoint| checkpoint.checkpoint().size)
    }

    async fn checkpoint(&self) -> Option<SignedCheckpoint> {
        let answer = reqwest::get(format!("{}/v1/log/checkpoint", self.exchange.info.rest)).await.ok()?;
        answer.text().await.ok()?.parse().ok()
    }

    /// Waits until the checkpoint of this size has the witness's cosignature.
    async fn cosigned(&self, witness: &Did, size: u64) {
        let key = cosignature_vkey(witness);
        wait_for(async || {
            let checkpoint = self.checkpoint().await?;
            (checkpoint.checkpoint().size == size && checkpoint.cosigned_at(&key).ok()?.is_some()).then_some(())
        })
        .await;
    }

    /// `entrepot witness enrol`, by the regulator.
    fn enrol(&self, home: &Path, witness: &Did) {
        let key = home.join(format!("regulator-{}.key.json", self.exchange.info.origin.replace('/', "-")));
        write_key(&key, &self.regulator.key);
        let info = &self.exchange.info;
        let sign_in = ["--url", &info.rest, "--exchange", info.did.as_str(), "--key", &text(&key)];
        process::succeed(&[&["witness", "enrol", "--witness", witness.as_str()], &sign_in[..]].concat());
    }

    /// Replaces what the exchange knows by a copy made before.
    async fn replace_by(&mut self, copy: &Path) {
        self.exchange.process.kill();
        fs::remove_dir_all(&self.exchange.data_dir).expect("removed");
        copy_folder(copy, &self.exchange.data_dir);
        assert!(self.exchange.restart(None).await);
    }

    /// A copy of all that the exchange knows, as its operator's backup of the machine would be.
    async fn copy(&mut self, to: &Path) {
        assert_eq!(self.exchange.process.terminate().code(), Some(0));
        copy_folder(&self.exchange.data_dir, to);
        assert!(self.exchange.restart(None).await);
    }
}

async fn start(home: &Path, channel: &str) -> Exchange {
    let data_dir = home.join(channel);
    let operator = Member::new("Operator", Role::Operator);
    let (enrolment, config) = (home.join(format!("{channel}-operator.json")), home.join(format!("{channel}.toml")));
    fs::write(&enrolment, operator.sign(&operator.enrolment()).to_json()).expect("written");
    fs::write(&config, format!("channel = '{channel}'\ndata_dir = '{}'\n", data_dir.display())).expect("written");
    process::succeed(&["admin", "bootstrap", "--config", &text(&config), "--enrolment", &text(&enrolment)]);
    let arguments = ["serve", "--config", &text(&config), "--rest-listen", &free_address(), "--grpc-listen", &free_address()];
    let mut process = Process::start(channel, &arguments, &home.join(format!("{channel}.log")), None);
    let published = data_dir.join("exchange.json");
    process.wait_for_file(&published).await;
    let info = serde_json::from_slice(&fs::read(&published).expect("exchange.json")).expect("exchange.json");
    Exchange { process, info, data_dir, operator }
}

fn copy_folder(from: &Path, to: &Path) {
    let status = std::process::Command::new("cp").args(["-r", &text(from), &text(to)]).status().expect("cp");
    assert!(status.success());
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

/// A witness's files, and its process.
struct Stand {
    did: Did,
    state: PathBuf,
    process: Process,
}

impl Stand {
    /// Looks every 100 ms.
    fn start(home: &Path, arguments: &[&str]) -> Self {
        let (key, state) = (KeyFile::generate(&mut OsRng), home.join("witness"));
        write_key(&home.join("witness.key.json"), &key);
        let (key_path, state_path) = (text(&home.join("witness.key.json")), text(&state));
        let own = ["witness", "--key", &key_path, "--state-dir", &state_path, "--interval-ms", "100"];
        let process = Process::start("witness", &[&own, arguments].concat(), &home.join("witness.log"), None);
        Self { did: key.witness.did(), state, process }
    }

    /// Waits for its end; the exit code.
    async fn ended(&mut self) -> Option<i32> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.process.ended() {
                return status.code();
            }
            assert!(Instant::now() < deadline, "the witness goes on:\n{}", self.process.log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Files of this name, one for each log.
    fn files(&self, name: &str) -> Vec<PathBuf> {
        let folders = fs::read_dir(&self.state).expect("its folder").map(|entry| entry.expect("an entry").path().join(name));
        folders.filter(|path| path.exists()).collect()
    }

    fn evidence(&self) -> (PathBuf, Value) {
        let files = self.files("evidence.json");
        let [path] = files.as_slice() else { panic!("{files:?}") };
        (path.clone(), serde_json::from_slice(&fs::read(path).expect("readable")).expect("JSON"))
    }

    /// Entries of the checkpoint that it has on disk.
    fn kept(&self) -> u64 {
        let path = self.files("checkpoint").remove(0);
        fs::read_to_string(path).expect("readable").parse::<SignedCheckpoint>().expect("a checkpoint").checkpoint().size
    }

    fn cosigned_count(&self) -> usize {
        self.process.log().matches("cosigned origin=").count()
    }
}

#[tokio::test]
async fn a_standing_witness_cosigns_what_grows_and_is_silent_otherwise() {
    let home = folder();
    let place = Place::open(home.path(), "main").await;
    let (exchange, trust) = (place.exchange.data_dir.join("exchange.json"), home.path().join("trust.json"));
    let regulator = place.regulator.did();
    let arguments = ["trust", "--exchange", &text(&exchange), "--participant", regulator.as_str(), "--out", &text(&trust)];
    process::succeed(&arguments);
    let mut stand = Stand::start(home.path(), &["--url", &place.exchange.info.rest, "--trust", &text(&trust)]);
    wait_for(async || stand.process.log().contains("unknown_witness").then_some(())).await;
    place.enrol(home.path(), &stand.did);
    place.cosigned(&stand.did, 1).await;
    let size = place.grow().await;
    place.cosigned(&stand.did, size).await;
    wait_for(async || (stand.cosigned_count() == 2).then_some(())).await;
    tokio::time::sleep(Duration::from_millis(600)).await;
    assert_eq!(stand.cosigned_count(), 2, "nothing changed:\n{}", stand.process.log());
    assert_eq!(stand.process.log().matches("unknown_witness").count(), 1, "a trouble is told once:\n{}", stand.process.log());
    assert_eq!(stand.process.terminate().code(), Some(0));
    it_counts_in_trust_files(&exchange, &regulator, &stand.did);
}

fn it_counts_in_trust_files(exchange: &Path, regulator: &Did, witness: &Did) {
    let standing = format!("{regulator}={witness}");
    let arguments = ["trust", "--exchange", &text(exchange), "--participant", regulator.as_str(), "--witness", &standing];
    let trust = TrustFile::from_json(process::succeed(&arguments).as_bytes()).expect("a trust file");
    let [found] = trust.witnesses.as_slice() else { panic!("{trust:?}") };
    assert_eq!((&found.vkey, found.participant.as_ref(), trust.quorum), (&cosignature_vkey(witness), Some(regulator), 1));
    let stranger = format!("{witness}={regulator}");
    let arguments = ["trust", "--exchange", &text(exchange), "--participant", regulator.as_str(), "--witness", &stranger];
    assert_eq!(process::run(&arguments).status.code(), Some(3), "whose witness it is must be known");
}

#[tokio::test]
async fn a_witness_killed_between_its_memory_and_the_exchange_goes_on() {
    let home = folder();
    let place = Place::open(home.path(), "main").await;
    let info = &place.exchange.info;
    let mut stand = Stand::start(home.path(), &["--url", &info.rest, "--log-key", &info.log_key]);
    place.enrol(home.path(), &stand.did);
    place.cosigned(&stand.did, 1).await;
    for (point, remembers) in [("witness.after_head", true), ("witness.before_head", false)] {
        stand.process.terminate();
        let size = place.grow().await;
        stand.process.restart(Some(point));
        stand.ended().await;
        assert!(stand.process.was_killed(), "at {point}:\n{}", stand.process.log());
        assert_eq!(stand.kept() == size, remembers, "at {point}");
        let checkpoint = place.checkpoint().await.expect("there");
        assert_eq!(checkpoint.cosigned_at(&cosignature_vkey(&stand.did)), Ok(None), "nothing left at {point}");
        stand.process.restart(None);
        place.cosigned(&stand.did, size).await;
    }
}

#[tokio::test]
async fn a_log_that_came_back_from_an_older_copy_is_refused_with_evidence() {
    let home = folder();
    let mut place = Place::open(home.path(), "main").await;
    let info = place.exchange.info.clone();
    let mut stand = Stand::start(home.path(), &["--url", &info.rest, "--log-key", &info.log_key]);
    place.enrol(home.path(), &stand.did);
    place.cosigned(&stand.did, 1).await;
    let (older, genuine) = (home.path().join("older"), home.path().join("genuine"));
    place.copy(&older).await;
    let size = place.grow().await;
    place.cosigned(&stand.did, size).await;
    place.copy(&genuine).await;

    place.replace_by(&older).await;
    assert_eq!(stand.ended().await, Some(4), "{}", stand.process.log());
    let (path, evidence) = stand.evidence();
    assert_eq!(evidence["code"], "rollback");
    let log = info.log_key.parse().expect("a key");
    for (name, size) in [("cosigned", size), ("offered", 1)] {
        let checkpoint: SignedCheckpoint = evidence[name].as_str().expect("a note").parse().expect("a checkpoint");
        checkpoint.verify_log(&info.origin, &log).expect("signed by the log");
        assert_eq!(checkpoint.checkpoint().size, size);
    }
    // It stays refused, whatever the exchange shows now, until somebody has looked at it.
    stand.process.restart(None);
    assert_eq!(stand.ended().await, Some(4));
    assert!(stand.process.log().contains(&text(&path)), "it says where the evidence is");

    fs::remove_file(&path).expect("removed");
    assert_eq!(place.grow().await, size, "another history of the same length");
    stand.process.restart(None);
    assert_eq!(stand.ended().await, Some(4));
    assert_eq!(stand.evidence().1["code"], "fork");

    fs::remove_file(&path).expect("removed");
    place.grow().await;
    stand.process.restart(None);
    assert_eq!(stand.ended().await, Some(4));
    assert_eq!(stand.evidence().1["code"], "inconsistent");

    fs::remove_file(&path).expect("removed");
    place.replace_by(&genuine).await;
    stand.process.restart(None);
    let size = place.grow().await;
    place.cosigned(&stand.did, size).await;
}

#[tokio::test]
async fn one_witness_follows_two_logs_and_the_fault_of_one_does_not_silence_it_for_the_other() {
    let home = folder();
    let (mut first, second) = (Place::open(home.path(), "first").await, Place::open(home.path(), "second").await);
    let (config, listen) = (home.path().join("witness.toml"), free_address());
    let logs = [&first, &second].map(|place| {
        let info = &place.exchange.info;
        format!("[[logs]]\nurl = '{}'\nlog_key = '{}'\n", info.rest, info.log_key)
    });
    fs::write(&config, format!("listen = '{listen}'\n{}", logs.concat())).expect("written");
    let mut stand = Stand::start(home.path(), &["--config", &text(&config)]);
    for place in [&first, &second] {
        place.enrol(home.path(), &stand.did);
        place.cosigned(&stand.did, 1).await;
    }
    let older = home.path().join("older");
    first.copy(&older).await;
    let size = first.grow().await;
    first.cosigned(&stand.did, size).await;
    first.replace_by(&older).await;
    wait_for(async || (!stand.files("evidence.json").is_empty()).then_some(())).await;
    let size = second.grow().await;
    second.cosigned(&stand.did, size).await;
    let ask = async |place: &Place, old: u64| {
        let note = place.checkpoint().await.expect("there").to_string();
        let asked = reqwest::Client::new().post(format!("http://{listen}/add-checkpoint")).body(format!("old {old}\n\n{note}"));
        asked.send().await.expect("answers")
    };
    assert_eq!(ask(&first, 0).await.status(), 404, "a log with evidence against it is known no more");
    let answer = ask(&second, 0).await;
    assert_eq!((answer.status().as_u16(), answer.text().await.expect("text")), (409, format!("{size}\n")));
    let answer = ask(&second, size).await;
    assert_eq!(answer.status(), 200);
    assert!(answer.text().await.expect("text").starts_with(&format!("— {} ", stand.did)));
    assert_eq!(stand.process.terminate().code(), Some(4), "its last word is that something is wrong");
}

#[tokio::test]
async fn a_cosignature_of_a_key_that_nobody_enrolled_is_not_kept() {
    let home = folder();
    let place = Place::open(home.path(), "main").await;
    let anonymous = Session::anonymous(&place.exchange.info.rest);
    let enrol = json!({"witness": KeyFile::generate(&mut OsRng).witness.did()});
    anonymous.post("/v1/log/witnesses", &enrol).await.refused(401, "token_missing");
    let checkpoint = place.checkpoint().await.expect("there");
    let key = KeyFile::generate(&mut OsRng).witness;
    let signer = entrepot_chain_log::NoteSigner::cosigner(key.did().as_str(), key).expect("a name");
    let line = checkpoint.cosign(&signer, u64::try_from(now().0 / 1000).expect("after 1970"));
    let body = json!({"size": "1", "cosignature": line.to_string()});
    let request = anonymous.request(reqwest::Method::PUT, "/v1/log/cosignatures").json(&body);
    Session::answer(request).await.refused(403, "unknown_witness");
}

fn folder() -> TempDir {
    tempfile::tempdir().expect("a temporary folder")
}
