//! The binary as people and scripts use it: settings, exit codes, keys, signatures, a stop.

use entrepot_chain_statement::{
    Envelope,
    statements::{ParticipantEnrolment, Role},
};
use entrepot_tests::{
    exchange::free_address,
    install_crypto,
    market::{Market, wait_for},
    member::{Member, write_key},
    process::{self, Process},
    repository, sample,
};
use serde_json::{Value, json};
use std::{
    fs,
    io::{BufRead, BufReader, Write},
    net::TcpListener,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Command, Output, Stdio},
    sync::{Arc, Mutex},
};
use tempfile::TempDir;

/// Runs the binary with these variables in its environment.
fn run_in(environment: &[(&str, &str)], arguments: &[&str]) -> Output {
    let mut command = Command::new(process::binary());
    command.args(arguments).envs(environment.iter().copied()).stdin(Stdio::null()).output().expect("the binary starts")
}

/// Asserts an exit code and what was said on standard error.
#[track_caller]
fn assert_ends(output: &Output, code: i32, said: &str) {
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(code) && errors.contains(said), "{:?}, {code} and {said:?} expected: {errors}", output.status);
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

fn folder() -> TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

#[test]
fn flags_win_over_environment_over_file_over_defaults() {
    let home = folder();
    let config = home.path().join("exchange.toml");
    let file = "data_dir = 'from-file'\nrest_listen = '127.0.0.1:1'\ngrpc_listen = '127.0.0.1:1'\n[job_limits]\nrunning_ms = 1\n";
    fs::write(&config, file).expect("written");
    let environment =
        [("ENTREPOT__REST_LISTEN", "127.0.0.1:2"), ("ENTREPOT__GRPC_LISTEN", "127.0.0.1:2"), ("ENTREPOT__JOB_LIMITS__DISPATCHED_MS", "2")];
    let flags = ["--json", "serve", "--check-config", "--config", &text(&config), "--rest-listen", "127.0.0.1:3"];
    let output = run_in(&environment, &flags);
    assert_ends(&output, 0, "");
    let found: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(found["valid"], true);
    let settings = &found["settings"];
    assert_eq!(settings["rest_listen"], "127.0.0.1:3", "a flag wins");
    assert_eq!(settings["grpc_listen"], "127.0.0.1:2", "the environment wins over the file");
    assert_eq!(settings["data_dir"], "from-file");
    assert_eq!(settings["channel"], "main", "a default");
    assert_eq!(settings["job_limits"], json!({"queued_ms": 600_000, "dispatched_ms": 2, "running_ms": 1}), "tables are merged");
    assert!(!home.path().join("from-file").exists(), "nothing is made");
}

#[test]
fn settings_that_are_unknown_or_wrong_are_refused() {
    let home = folder();
    let config = home.path().join("exchange.toml");
    let check = |file: &str, environment: &[(&str, &str)]| {
        fs::write(&config, file).expect("written");
        run_in(environment, &["serve", "--check-config", "--config", &text(&config)])
    };
    assert_ends(&check("data_dir = 'x'", &[]), 0, "");
    let wrong = [
        ("", "data_dir"),
        ("data_dir = 'x'\nlissten = 'y'", "lissten"),
        ("data_dir = 'x'\n[job_limits]\nwaiting_ms = 1", "waiting_ms"),
        ("data_dir = 'x'\n[job_limits]\nqueued_ms = 0", "job_limits"),
        ("data_dir = 'x'\nchannel = 'Main Street'", "channel"),
        ("data_dir = 'x'\nrest_listen = 'somewhere'", "rest_listen"),
        ("data_dir = 'x'\nrest_url = 'ftp://localhost'", "rest_url"),
        ("data_dir = 'x'\ngrpc_url = 'http://localhost'", "grpc_url"),
        ("data_dir = 'x'\ngrpc_names = []", "grpc_names"),
        ("data_dir = 'x'\ngrpc_names = ['two words']", "two words"),
        ("data_dir = 'x'\nrest_tls = { certificate = '/absent', key = '/absent' }", "certificate"),
        ("data_dir = ", "TOML"),
    ];
    for (file, said) in wrong {
        assert_ends(&check(file, &[]), 3, said);
    }
    assert_ends(&check("data_dir = 'x'", &[("ENTREPOT__LISSTEN", "y")]), 3, "lissten");
    assert_ends(&check("data_dir = 'x'", &[("ENTREPOT__CHANNEL__NAME", "y")]), 3, "channel");
    assert_ends(&run_in(&[], &["serve", "--config", "/absent.toml"]), 3, "/absent.toml");
    assert_ends(&run_in(&[], &["serve", "--nonsense"]), 2, "--nonsense");
}

/// A folder with an operator's key and enrolment, and what the commands take of them.
struct Home {
    folder: TempDir,
    operator: Member,
}

impl Home {
    fn new() -> Self {
        let (folder, operator) = (folder(), Member::new("Operator", Role::Operator));
        write_key(&folder.path().join("operator.key.json"), &operator.key);
        fs::write(folder.path().join("enrolment.json"), operator.sign(&operator.enrolment()).to_json()).expect("written");
        Self { folder, operator }
    }

    fn path(&self, name: &str) -> String {
        text(&self.folder.path().join(name))
    }

    fn write(&self, name: &str, contents: &str) -> String {
        fs::write(self.folder.path().join(name), contents).expect("written");
        self.path(name)
    }

    fn bootstrap(&self, more: &[&str]) {
        process::succeed(&[&["admin", "bootstrap", "--enrolment", &self.path("enrolment.json")], more].concat());
    }

    fn serve(&self, more: &[&str]) -> Process {
        Process::start("exchange", &[&["serve"], more].concat(), &self.folder.path().join("exchange.log"), None)
    }
}

#[tokio::test]
async fn an_exchange_takes_its_settings_from_the_beginning_speaks_tls_and_stops_on_sigterm() {
    install_crypto();
    let home = Home::new();
    let issued = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).expect("a certificate");
    let certificate = home.write("rest.crt", &issued.cert.pem());
    let key = home.write("rest.key", &issued.signing_key.serialize_pem());
    let (rest, grpc, data_dir) = (free_address(), free_address(), home.path("exchange"));
    let url = format!("https://localhost:{}", rest.rsplit(':').next().expect("a port"));
    let settings = format!(
        "data_dir = '{data_dir}'\nrest_listen = '{rest}'\nrest_url = '{url}'\ngrpc_listen = '{grpc}'\ngrpc_url = 'https://exchange.example:1'\n\
         grpc_names = ['exchange.example', 'localhost']\nchannel = 'second'\nrest_tls = {{ certificate = '{certificate}', key = '{key}' }}\n"
    );
    let config = home.write("exchange.toml", &settings);
    home.bootstrap(&["--config", &config]);
    let mut exchange = home.serve(&["--config", &config]);
    let published = home.folder.path().join("exchange/exchange.json");
    exchange.wait_for_file(&published).await;
    let info: Value = serde_json::from_slice(&fs::read(&published).expect("exchange.json")).expect("JSON");
    assert_eq!(
        (&info["rest"], &info["grpc"], &info["origin"]),
        (&json!(url), &json!("https://exchange.example:1"), &json!("entrepot/second"))
    );
    assert_eq!(fs::metadata(&data_dir).expect("a folder").permissions().mode() & 0o777, 0o700, "keys and statements are nobody else's");

    let root = reqwest::Certificate::from_pem(issued.cert.pem().as_bytes()).expect("a certificate");
    let client = reqwest::Client::builder().add_root_certificate(root).build().expect("a client");
    let answer = client.get(format!("{url}/readyz")).send().await.expect("an answer over TLS");
    assert_eq!(answer.status(), 200);

    let did = info["did"].as_str().expect("a did");
    let sign_in = ["--url", &url, "--exchange", did, "--key", &home.path("operator.key.json")];
    assert_ends(&process::run(&[&["token"], &sign_in[..]].concat()), 6, "certificate");
    let trusting = [&sign_in[..], &["--ca", &certificate]].concat();
    let token = process::succeed(&[&["token"], &trusting[..]].concat());
    let answer = client.get(format!("{url}/v1/participants/{}", home.operator.did())).bearer_auth(token.trim()).send().await;
    assert_eq!(answer.expect("an answer").status(), 200);
    assert_eq!(process::succeed(&[&["admin", "stuck-jobs"], &trusting[..]].concat()), "no job is stuck\n");
    let stranger = home.path("stranger.key.json");
    process::succeed(&["keygen", "--out", &stranger]);
    let sign_in = ["token", "--url", &url, "--exchange", did, "--key", &stranger, "--ca", &certificate];
    assert_ends(&process::run(&sign_in), 5, "");

    assert_eq!(exchange.terminate().code(), Some(0), "{}", exchange.log());
    // What the next start would publish is not what is there: it removes that before anything else.
    let _taken = TcpListener::bind(&rest).expect("the address is free again");
    let mut refused = home.serve(&["--config", &config]);
    let status = wait_for(async || refused.ended()).await;
    assert_eq!(status.code(), Some(3), "{}", refused.log());
    assert!(!published.exists());
}

#[tokio::test]
async fn an_exchange_does_not_start_with_a_certificate_for_other_names() {
    let home = Home::new();
    let data_dir = home.path("exchange");
    home.bootstrap(&["--data-dir", &data_dir]);
    let config = home.write("exchange.toml", "grpc_names = ['localhost', 'exchange.example']\n");
    let arguments = ["serve", "--data-dir", &data_dir, "--config", &config, "--rest-listen", "127.0.0.1:0", "--grpc-listen", "127.0.0.1:0"];
    let output = process::run(&arguments);
    assert_ends(&output, 3, "`exchange.example`");
    assert_ends(&output, 3, "control-plane.crt");
    // It says what to do, and that helps.
    for file in ["control-plane.crt", "control-plane.key"] {
        fs::remove_file(home.folder.path().join("exchange/keys").join(file)).expect("removed");
    }
    let mut exchange = home.serve(&arguments[1..]);
    exchange.wait_for_file(&home.folder.path().join("exchange/exchange.json")).await;
    assert_eq!(exchange.terminate().code(), Some(0));
}

#[test]
fn a_control_plane_that_cannot_be_served_is_a_failure() {
    let home = Home::new();
    let data_dir = home.path("exchange");
    home.bootstrap(&["--data-dir", &data_dir]);
    fs::write(home.folder.path().join("exchange/keys/control-plane.key"), "nonsense").expect("written");
    let output = process::run(&["serve", "--data-dir", &data_dir, "--rest-listen", "127.0.0.1:0", "--grpc-listen", "127.0.0.1:0"]);
    assert_ends(&output, 1, "the control plane failed");
}

#[test]
fn keys_are_private_and_sign_what_they_are_asked_to() {
    let home = folder();
    let path = |name: &str| text(&home.path().join(name));
    let made: Value = serde_json::from_str(&process::succeed(&["--json", "keygen", "--out", &path("new/lender.key.json")])).expect("JSON");
    let mode = |name: &str| fs::metadata(path(name)).expect("a file").permissions().mode() & 0o777;
    assert_eq!((mode("new"), mode("new/lender.key.json")), (0o700, 0o600));
    assert_ends(&process::run(&["keygen", "--out", &path("new/lender.key.json")]), 3, "cannot write");

    fs::write(path("enrolment"), json!({"name": "A lender", "roles": ["provider"]}).to_string()).expect("written");
    let sign = |kind: &str, input: &str| process::run(&["sign", kind, "--key", &path("new/lender.key.json"), "--in", &path(input)]);
    let signed = sign("participant-enrolment", "enrolment");
    assert_ends(&signed, 0, "");
    let envelope = Envelope::from_json(&signed.stdout).expect("an envelope");
    let enrolment: ParticipantEnrolment = envelope.open().expect("an enrolment");
    assert_eq!((enrolment.name.as_str(), enrolment.participant.as_str()), ("A lender", made["did"].as_str().expect("a did")));
    envelope.verify_signed_by(&enrolment.participant).expect("signed");

    fs::write(path("envelope"), &signed.stdout).expect("written");
    assert_ends(&sign("worker-grant", "envelope"), 3, "");
    assert_ends(&sign("worker-grant", "enrolment"), 3, "not such a statement");
    fs::write(path("broken"), "{").expect("written");
    assert_ends(&sign("order", "broken"), 3, "not JSON");
    fs::set_permissions(path("new/lender.key.json"), fs::Permissions::from_mode(0o640)).expect("changed");
    assert_ends(&sign("participant-enrolment", "enrolment"), 3, "chmod 600");
}

#[test]
fn the_schema_is_the_committed_document() {
    let printed: Value = serde_json::from_str(&process::succeed(&["schema"])).expect("JSON");
    let committed = fs::read(repository().join("api/openapi.json")).expect("readable");
    assert_eq!(printed, serde_json::from_slice::<Value>(&committed).expect("JSON"));
}

#[test]
fn stuck_jobs_of_all_pages_are_listed_in_words() {
    let home = Home::new();
    let job = |number: u32, more: &str| {
        format!(r#"{{"job_id": "job_{number}", "state": "running", "attempt": {number}, "changed_at": "1000"{more}}}"#)
    };
    let first = format!(r#"{{"items": [{}], "next_cursor": "more"}}"#, job(1, r#", "deadline": "2000""#));
    let server = Server::start(vec![
        ("POST /v1/token ", 200, r#"{"access_token": "token"}"#.to_owned()),
        ("GET /v1/admin/stuck-jobs?limit=200 ", 200, first),
        ("GET /v1/admin/stuck-jobs?limit=200&cursor=more ", 200, format!(r#"{{"items": [{}]}}"#, job(2, ""))),
    ]);
    let did = home.operator.did().to_string();
    let sign_in = ["admin", "stuck-jobs", "--url", &server.url, "--exchange", &did, "--key", &home.path("operator.key.json")];
    let told = process::succeed(&sign_in);
    let lines: Vec<&str> = told.lines().collect();
    assert_eq!(lines.len(), 2, "{told}");
    assert!(lines[0].starts_with("job_1 is running (attempt 1): unmoved for ") && lines[0].ends_with("past its deadline"), "{told}");
    assert!(lines[1].starts_with("job_2 is running (attempt 2): unmoved for ") && !lines[1].contains("deadline"), "{told}");
    let listed: Value = serde_json::from_str(&process::succeed(&[&["--json"], &sign_in[..]].concat())).expect("JSON");
    assert_eq!(listed["items"].as_array().map(Vec::len), Some(2), "{listed}");
}

#[test]
fn a_copy_is_asked_for_under_one_key_until_it_is_made() {
    let home = Home::new();
    let copy = |status: u16, body: &str| ("POST /v1/admin/backups ", status, body.to_owned());
    let server = Server::start(vec![
        ("POST /v1/token ", 200, r#"{"access_token": "token"}"#.to_owned()),
        copy(504, r#"{"code": "timeout"}"#),
        copy(409, r#"{"code": "idempotency_in_flight"}"#),
        copy(201, r#"{"path": "/copy"}"#),
    ]);
    let did = home.operator.did().to_string();
    let sign_in = ["admin", "backup", "--url", &server.url, "--exchange", &did, "--key", &home.path("operator.key.json")];
    assert_eq!(process::succeed(&sign_in), "/copy\n");
    let heads = server.heads.lock().expect("unpoisoned");
    let keys: Vec<&String> = heads.iter().flatten().filter(|line| line.starts_with("idempotency-key: ")).collect();
    assert!(keys.len() == 3 && keys.iter().all(|key| *key == keys[0]), "{heads:?}");
}

/// A server that knows some requests, by how they begin, and nothing else.
struct Server {
    url: String,
    /// What it was asked.
    heads: Arc<Mutex<Vec<Vec<String>>>>,
}

impl Server {
    /// Of several answers to one request each is given once, and the last one for ever.
    fn start(mut answers: Vec<(&'static str, u16, String)>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("bound"));
        let heads = Arc::new(Mutex::new(Vec::new()));
        let asked = heads.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = BufReader::new(stream.expect("a connection"));
                let head = read_request(&mut stream);
                let known = head.first().map(|line| answers.iter().enumerate().filter(|(_, answer)| line.starts_with(answer.0)));
                let fitting: Vec<usize> = known.into_iter().flatten().map(|(at, _)| at).collect();
                let (_, status, body) = match fitting[..] {
                    [] => ("", 404, "{}".to_owned()),
                    [only] => answers[only].clone(),
                    [first, ..] => answers.remove(first),
                };
                asked.lock().expect("unpoisoned").push(head);
                let reply = format!("HTTP/1.1 {status} Status\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len());
                stream.get_mut().write_all(reply.as_bytes()).expect("written");
            }
        });
        Self { url, heads }
    }
}

/// Reads a request; the lines of its head.
fn read_request(stream: &mut impl BufRead) -> Vec<String> {
    let (mut head, mut length) = (Vec::new(), 0);
    while let Some(line) = next_line(stream) {
        length = line.to_lowercase().strip_prefix("content-length: ").and_then(|text| text.parse().ok()).unwrap_or(length);
        head.push(line);
    }
    stream.read_exact(&mut vec![0; length]).expect("a body");
    head
}

/// A line of a request's head; none at its end.
fn next_line(stream: &mut impl BufRead) -> Option<String> {
    let mut line = String::new();
    stream.read_line(&mut line).ok()?;
    let line = line.trim_end().to_owned();
    (!line.is_empty()).then_some(line)
}

#[tokio::test]
async fn a_job_waits_no_longer_than_the_settings_say() {
    let mut market = Market::start().await;
    let mut contract = market.agree().await;
    let plan = market.quote(sample::SQL).await.plan;
    for worker in &mut market.workers {
        worker.process.kill();
    }
    assert_eq!(market.exchange.process.terminate().code(), Some(0));
    let config = market.folder().join("exchange.toml");
    fs::write(&config, "[job_limits]\nqueued_ms = 300\n").expect("written");
    let address = |url: &str| url.split("://").last().expect("an address").to_owned();
    let (rest, grpc) = (address(&market.exchange.info.rest), address(&market.exchange.info.grpc));
    let (data_dir, config, log) = (text(&market.exchange.data_dir), text(&config), market.folder().join("exchange.log"));
    let arguments = ["serve", "--data-dir", &data_dir, "--rest-listen", &rest, "--grpc-listen", &grpc, "--config", &config];
    market.exchange.process = Process::start("exchange", &arguments, &log, None);
    wait_for(async || market.consumer.try_get("/readyz").await).await.ok();
    let order = market.next_order(&mut contract, sample::SQL, plan);
    let job_id = market.place(&order).await;
    let job = market.finished(&job_id).await;
    assert_eq!((&job["state"], &job["reason"]), (&json!("refunded"), &json!("workers_unavailable")), "{job}");
}

#[tokio::test]
async fn a_trust_file_holds_whom_it_was_told_to_believe() {
    let market = Market::start().await;
    let mut contract = market.agree().await;
    let plan = market.quote(sample::SQL).await.plan;
    let order = market.next_order(&mut contract, sample::SQL, plan);
    let job_id = market.place(&order).await;
    assert_eq!(market.finished(&job_id).await["state"], "delivered");

    let published = text(&market.exchange.data_dir.join("exchange.json"));
    let out = market.folder().join("trust.json");
    let dids: Vec<String> = market.cast.trusted().iter().map(ToString::to_string).collect();
    let grants = market.homes().map(|home| text(&home.folder.join("grant.json")));
    let participants = dids.iter().flat_map(|did| ["--participant", did]);
    let with_grants: Vec<&str> =
        ["trust", "--exchange", &published].into_iter().chain(grants.iter().flat_map(|path| ["--grant", path])).collect();

    // The compute party's grant, without the compute party.
    let few: Vec<&str> = with_grants.iter().copied().chain(participants.clone().take(4)).collect();
    assert_ends(&process::run(&few), 3, market.cast.compute.did().as_str());

    let all: Vec<&str> = with_grants.into_iter().chain(participants).chain(["--out", out.to_str().expect("text")]).collect();
    process::succeed(&all);
    let trust: Value = serde_json::from_slice(&fs::read(&out).expect("a file")).expect("JSON");
    assert_eq!(trust["quorum"], 2, "most of three");
    wait_for(async || {
        let bundle = market.consumer.get(&format!("/v1/jobs/{job_id}/receipt")).await.ok();
        let verified = market.verify(&bundle, &trust);
        assert_eq!(verified.code, 0, "{}", verified.report);
        (verified.state() == "witnessed").then_some(())
    })
    .await;
    assert_ends(&process::run(&all), 3, "cannot write");

    // With the genesis no validator is believed by name.
    let genesis = text(&market.exchange.data_dir.join("keys/main.genesis.json"));
    let founded = process::succeed(&[&all[..all.len() - 2], &["--genesis", &genesis]].concat());
    let trust: Value = serde_json::from_str(&founded).expect("JSON");
    assert_eq!(trust["validators"], json!([]));
    let bundle = market.consumer.get(&format!("/v1/jobs/{job_id}/receipt")).await.ok();
    let verified = market.verify(&bundle, &trust);
    assert_eq!((verified.code, &verified.report["decided"]), (0, &json!({"k": 1, "n": 1})), "{}", verified.report);
}
