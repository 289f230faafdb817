//! A real exchange process and its first operator.

use crate::{
    member::{Member, random},
    process::{self, Process},
    session::Session,
};
use entrepot_chain_statement::{Did, statements::Role};
use serde::Deserialize;
use std::path::{Path, PathBuf};

/// What an exchange says of itself in its data folder.
#[derive(Clone, Deserialize)]
pub struct ExchangeInfo {
    /// Its identity.
    pub did: Did,
    /// Base of its REST interface.
    pub rest: String,
    /// Address of its control plane.
    pub grpc: String,
    /// PEM file of the control plane's certificate.
    pub grpc_ca: PathBuf,
    /// Origin of its log.
    pub origin: String,
    /// Verifier key of its log.
    pub log_key: String,
    /// Verifier key of its validator.
    pub validator: String,
}

/// A running exchange.
pub struct Exchange {
    /// The process.
    pub process: Process,
    /// What it says of itself.
    pub info: ExchangeInfo,
    /// Its data folder.
    pub data_dir: PathBuf,
    /// Its operator.
    pub operator: Member,
}

impl Exchange {
    /// Bootstraps and starts an exchange in `home/exchange`.
    pub async fn start(home: &Path) -> Self {
        let data_dir = home.join("exchange");
        let operator = Member::new("Operator", Role::Operator);
        let enrolment = home.join("operator-enrolment.json");
        std::fs::write(&enrolment, operator.sign(&operator.enrolment()).to_json()).expect("enrolment");
        let data_dir_text = data_dir.display().to_string();
        process::succeed(&["admin", "bootstrap", "--data-dir", &data_dir_text, "--enrolment", &enrolment.display().to_string()]);
        let (rest, grpc) = (free_address(), free_address());
        let arguments = ["serve", "--data-dir", &data_dir_text, "--rest-listen", &rest, "--grpc-listen", &grpc];
        let mut process = Process::start("exchange", &arguments, &home.join("exchange.log"), None);
        let path = data_dir.join("exchange.json");
        process.wait_for_file(&path).await;
        let info = serde_json::from_slice(&std::fs::read(&path).expect("exchange.json")).expect("exchange.json");
        Self { process, info, data_dir, operator }
    }

    /// Starts it again, at the same addresses, and waits until it answers. Whether it does, or was killed at a fail point while it started.
    pub async fn restart(&mut self, failpoint: Option<&str>) -> bool {
        self.process.restart(failpoint);
        let client = reqwest::Client::new();
        let deadline = std::time::Instant::now() + process::PATIENCE;
        loop {
            let answer = client.get(format!("{}/readyz", self.info.rest)).send().await;
            if answer.is_ok_and(|response| response.status().is_success()) {
                return true;
            }
            if let Some(end) = self.process.ended() {
                assert!(self.process.was_killed(), "the exchange ended ({end}):\n{}", self.process.log());
                return false;
            }
            assert!(std::time::Instant::now() < deadline, "the exchange does not get ready:\n{}", self.process.log());
            tokio::time::sleep(std::time::Duration::from_millis(30)).await;
        }
    }

    /// Signs `member` in.
    pub async fn session(&self, member: &Member) -> Session {
        Session::sign_in(&self.info.rest, self.info.did.as_str(), member).await
    }

    /// Enrols and approves `member`; its session.
    pub async fn enrol(&self, member: &Member) -> Session {
        let body = serde_json::json!({"envelope": member.sign(&member.enrolment())});
        Session::anonymous(&self.info.rest).post("/v1/participants", &body).await.ok();
        let operator = self.session(&self.operator).await;
        operator.post(&format!("/v1/participants/{}/approval", member.did()), &serde_json::json!({})).await.ok();
        self.session(member).await
    }
}

/// An address that was free a moment ago: fixed, so that a restarted exchange is found again.
pub fn free_address() -> String {
    loop {
        // Below the ports that Linux gives to outgoing connections: one of those would be taken while a process is restarted.
        let port = 10_000 + u16::from_be_bytes(random()) % 20_000;
        if let Ok(listener) = std::net::TcpListener::bind(("127.0.0.1", port)) {
            return listener.local_addr().expect("bound").to_string();
        }
    }
}
