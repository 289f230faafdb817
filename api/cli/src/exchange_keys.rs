//! The exchange's keys and certificate, made at the first start in its data folder.

use crate::{channels::SeatKeys, exit::Failure, files};
use entrepot_chain_log::consortium::{Genesis, GenesisError, Member, MemberDescription, MemberKeyring, MemberRole, Members, VotingRule};
use entrepot_chain_statement::{SigningKey, key::KeyFile};
use rand_core::OsRng;
use rcgen::{CertificateParams, KeyPair, PKCS_ED25519};
use rustls::{
    client::verify_server_name,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
    server::ParsedCertificate,
};
use std::path::{Path, PathBuf};

/// The exchange's name among the members of its channel.
const MEMBER_NAME: &str = "exchange";

/// What the exchange signs with. Ed25519 keys of different power: statements, checkpoints as a validator, and blocks. The logs' own keys,
/// whose signatures confer no trust, are each channel's.
pub struct ExchangeKeys {
    /// `signing` signs quotes, holds and releases; `witness` cosigns checkpoints as the chain's validator.
    pub exchange: KeyFile,
    /// `signing` decides on the channel's blocks.
    pub consensus: KeyFile,
    /// `signing` authenticates the node towards other members, should there be any.
    pub transport: KeyFile,
    /// Certificate of the control plane, PEM; workers pin it.
    pub grpc_certificate: PathBuf,
    /// Its key, PEM.
    pub grpc_key: PathBuf,
}

impl ExchangeKeys {
    /// Reads the keys of `data_dir`, or makes them. `names` are the host names and addresses of the control plane's certificate.
    pub fn open(data_dir: &Path, names: &[String]) -> Result<Self, Failure> {
        let folder = data_dir.join("keys");
        let keys = Self {
            exchange: read_or_make(&folder.join("exchange.key.json"))?,
            consensus: read_or_make(&folder.join("consensus.key.json"))?,
            transport: read_or_make(&folder.join("transport.key.json"))?,
            grpc_certificate: folder.join("control-plane.crt"),
            grpc_key: folder.join("control-plane.key"),
        };
        if !keys.grpc_certificate.exists() {
            make_certificate(&keys, names)?;
        }
        Ok(keys)
    }

    /// The keys with which it takes part in channels.
    pub fn seat(&self) -> SeatKeys {
        let copy = |key: &SigningKey| SigningKey::from_seed(&key.seed());
        SeatKeys {
            cosigning: copy(&self.exchange.witness),
            consensus: copy(&self.consensus.signing),
            transport: copy(&self.transport.signing),
        }
    }

    /// How the exchange's own channel began, with the exchange as its only member. The file is made once and lies beside the keys, where a
    /// backup takes it along: keys change, a channel's identity does not.
    pub fn genesis(&self, data_dir: &Path, channel: &str) -> Result<Genesis, Failure> {
        let path = data_dir.join("keys").join(format!("{channel}.genesis.json"));
        if !path.exists() {
            let genesis = self.found(&format!("entrepot/{channel}")).map_err(anyhow::Error::from)?;
            files::write_public(&path, &serde_json::to_vec_pretty(&genesis).map_err(anyhow::Error::from)?)?;
        }
        let wrong = |error: &dyn std::fmt::Display| Failure::bad_input(format!("{} is no genesis: {error}", path.display()));
        Genesis::from_json(&files::read(&path)?).map_err(|error| wrong(&error))
    }

    /// The exchange as a member of a channel.
    pub fn member(&self, name: &str) -> Member {
        let keys = self.seat();
        let keys = MemberKeyring { consensus: &keys.consensus, cosigning: &keys.cosigning, transport: &keys.transport }.keys();
        Member { did: self.exchange.signing.did(), name: name.to_owned(), role: MemberRole::Member, keys }
    }

    /// What the exchange gives to those who are to make it a member.
    pub fn description(&self, name: &str) -> MemberDescription {
        let keys = self.seat();
        let keyring = MemberKeyring { consensus: &keys.consensus, cosigning: &keys.cosigning, transport: &keys.transport };
        MemberDescription::of(self.member(name), keyring.possession(&self.exchange.signing.did()))
    }

    fn found(&self, origin: &str) -> Result<Genesis, GenesisError> {
        Genesis::new(origin, VotingRule::Majority, &Members::new(vec![self.member(MEMBER_NAME)])?)
    }

    /// Refuses a certificate that does not hold for every one of `names`: it was made once, perhaps under other settings, and no worker that
    /// dials one of these names would believe it.
    pub fn check_names(&self, names: &[String]) -> Result<(), Failure> {
        let path = self.grpc_certificate.display();
        let wrong = |error: &dyn std::fmt::Display| Failure::bad_input(format!("{path} is not a certificate: {error}"));
        let der = CertificateDer::from_pem_file(&self.grpc_certificate).map_err(|error| wrong(&error))?;
        let certificate = ParsedCertificate::try_from(&der).map_err(|error| wrong(&error))?;
        for name in names {
            let server_name = ServerName::try_from(name.as_str())
                .map_err(|_| Failure::bad_input(format!("`grpc_names`: `{name}` is no host name and no address")))?;
            verify_server_name(&certificate, &server_name).map_err(|_| {
                Failure::bad_input(format!(
                    "`grpc_names` has `{name}`, and the control plane's certificate {path} was made without it; remove {path} and {} to \
                     have a new one made, and give every worker the new certificate; or take the name out of `grpc_names`",
                    self.grpc_key.display()
                ))
            })?;
        }
        Ok(())
    }
}

/// A key file that is there, or a new one.
pub fn read_or_make(path: &Path) -> Result<KeyFile, Failure> {
    if !path.exists() {
        files::write_secret(path, KeyFile::generate(&mut OsRng).to_json().as_bytes())?;
    }
    files::read_key(path)
}

fn make_certificate(keys: &ExchangeKeys, names: &[String]) -> Result<(), Failure> {
    let pair = KeyPair::generate_for(&PKCS_ED25519).map_err(anyhow::Error::from)?;
    let params = CertificateParams::new(names.to_vec()).map_err(anyhow::Error::from)?;
    let certificate = params.self_signed(&pair).map_err(anyhow::Error::from)?;
    // A crash between the two leaves a key without certificate: made anew at the next start.
    if keys.grpc_key.exists() {
        std::fs::remove_file(&keys.grpc_key).map_err(anyhow::Error::from)?;
    }
    files::write_secret(&keys.grpc_key, zeroize::Zeroizing::new(pair.serialize_pem()).as_bytes())?;
    files::write_public(&keys.grpc_certificate, certificate.pem().as_bytes())
}
