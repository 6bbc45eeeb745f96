//! The certificates, keys and tokens of a control plane, made for one test.

use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

use crate::HarnessError;

/// The token of the one user, who may do everything.
const TOKEN: &str = "nopal-test";

/// The Service of the API server, where pods find it: the first address of the Services' network.
const SERVICE: &str = "10.255.0.1";

/// Files that programs are pointed to.
#[derive(Debug)]
pub(crate) struct Files {
    pub(crate) server_certificate: PathBuf,
    pub(crate) server_key: PathBuf,
    pub(crate) account_key: PathBuf,
    pub(crate) account_public_key: PathBuf,
    pub(crate) tokens: PathBuf,
    pub(crate) kubeconfig: PathBuf,
    pub(crate) authority: PathBuf,
    server: String,
}

impl Files {
    /// The kubeconfig of a user with this token.
    pub(crate) fn kubeconfig_of(&self, user: &str, token: &str) -> String {
        kubeconfig(&self.authority, &self.server, user, token)
    }
}

/// Writes everything for an API server at `address` and `port` into `folder`.
pub(crate) fn write(folder: &Path, address: IpAddr, port: u16) -> Result<Files, HarnessError> {
    let (authority_key, server_key) = (KeyPair::generate()?, KeyPair::generate()?);
    let account_key = KeyPair::generate()?;
    let mut authority = CertificateParams::new(Vec::new())?;
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    authority
        .distinguished_name
        .push(DnType::CommonName, "nopal test authority");
    let authority_certificate = authority.self_signed(&authority_key)?;
    let issuer = Issuer::new(authority, authority_key);
    let names = [&address.to_string(), "127.0.0.1", SERVICE].map(str::to_owned);
    let server_certificate = CertificateParams::new(names)?.signed_by(&server_key, &issuer)?;

    let put = |name: &str, text: &str| {
        let path = folder.join(name);
        let written = fs::write(&path, text);
        written.map_err(HarnessError::io(format!("write {}", path.display())))?;
        Ok::<_, HarnessError>(path)
    };
    let authority = put("ca.crt", &authority_certificate.pem())?;
    let server_name = match address {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => format!("[{address}]"),
    };
    let server = format!("https://{server_name}:{port}");
    let kubeconfig = kubeconfig(&authority, &server, "admin", TOKEN);
    Ok(Files {
        server_certificate: put("server.crt", &server_certificate.pem())?,
        server_key: put("server.key", &server_key.serialize_pem())?,
        account_key: put("account.key", &account_key.serialize_pem())?,
        account_public_key: put("account.pub", &account_key.public_key_pem())?,
        tokens: put(
            "tokens.csv",
            &format!("{TOKEN},admin,admin,system:masters\n"),
        )?,
        kubeconfig: put("kubeconfig", &kubeconfig)?,
        authority,
        server,
    })
}

fn kubeconfig(authority: &Path, server: &str, user: &str, token: &str) -> String {
    format!(
        "apiVersion: v1\n\
         kind: Config\n\
         current-context: test\n\
         contexts: [{{name: test, context: {{cluster: test, user: {user}}}}}]\n\
         clusters: [{{name: test, cluster: {{server: \"{server}\", certificate-authority: \"{}\"}}}}]\n\
         users: [{{name: {user}, user: {{token: {token}}}}}]\n",
        authority.display()
    )
}
