//! The exchange's keys and certificate, made at the first start in its data folder.

use crate::{exit::Failure, files};
use entrepot_chain_statement::key::KeyFile;
use rand_core::OsRng;
use rcgen::{CertificateParams, KeyPair, PKCS_ED25519};
use rustls::{
    client::verify_server_name,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
    server::ParsedCertificate,
};
use std::path::{Path, PathBuf};

/// What the exchange signs with. Three Ed25519 keys of different power: statements, checkpoints as a validator, and the log's own, whose
/// signature confers no trust.
pub struct ExchangeKeys {
    /// `signing` signs quotes, holds and releases; `witness` cosigns checkpoints as the chain's validator.
    pub exchange: KeyFile,
    /// `signing` is the log key.
    pub log: KeyFile,
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
            log: read_or_make(&folder.join("log.key.json"))?,
            grpc_certificate: folder.join("control-plane.crt"),
            grpc_key: folder.join("control-plane.key"),
        };
        if !keys.grpc_certificate.exists() {
            make_certificate(&keys, names)?;
        }
        Ok(keys)
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

fn read_or_make(path: &Path) -> Result<KeyFile, Failure> {
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
