//! A PostgreSQL whose certificate a private authority signed.

use std::path::PathBuf;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use test_support::process::{ServerProcess, run, run_json};
use test_support::{Server, TestDatabase};

struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: tempfile::TempDir,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "Test authority");
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("authority.pem"), issuer.pem()).unwrap();
        Self { issuer, folder }
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("authority.pem")
    }

    /// A server with a certificate for these names or addresses.
    fn server(&self, names: &[&str]) -> Server {
        let key = KeyPair::generate().unwrap();
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let certificate = CertificateParams::new(names).unwrap().signed_by(&key, &self.issuer).unwrap();
        Server::start_with_tls(&certificate.pem(), &key.serialize_pem())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn verify_full_connects_to_the_named_host_with_a_certificate_of_the_authority_alone() {
    let (authority, other) = (Authority::new(), Authority::new());
    let server = authority.server(&["127.0.0.1"]);
    let url = server.new_database().await;
    let verified = |file: PathBuf, mode: &str| TestDatabase::Postgres {
        url: format!("{url}?sslmode={mode}&sslrootcert={}", file.display()),
    };
    let place = verified(authority.file(), "verify-full");
    run_json(&place, &["migrate"]);
    run_json(&place, &["team", "create", "Acme", "--owner", "ada@example.com"]);
    let create = ["key", "create", "--team", "acme", "--name", "K", "--mode", "live", "--scope", "read_only"];
    let token = run_json(&place, &create)["token"].as_str().unwrap().to_owned();
    let serving = ServerProcess::start(&place, "serve", "warn");
    assert_eq!(serving.get("/api/v1/key", &token), 200);
    let encrypted =
        "SELECT bool_and(ssl) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE application_name = 'keyhouse'";
    assert_eq!(server.sql(encrypted), "t", "every connection of the node is encrypted");

    for mode in ["verify-full", "verify-ca", "require"] {
        let refused = run(&verified(other.file(), mode), &["team", "list"]);
        let says = String::from_utf8(refused.stderr).unwrap();
        assert_eq!(refused.status.code(), Some(1), "{mode}: {says}");
        assert!(says.contains("certificate"), "{mode}: {says}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_for_another_host_is_refused_by_verify_full_and_taken_by_verify_ca() {
    let authority = Authority::new();
    let server = authority.server(&["db.example"]);
    let url = server.new_database().await;
    let place = |mode: &str| TestDatabase::Postgres {
        url: format!("{url}?sslmode={mode}&sslrootcert={}", authority.file().display()),
    };
    let refused = run(&place("verify-full"), &["migrate"]);
    let says = String::from_utf8(refused.stderr).unwrap();
    assert!(refused.status.code() == Some(1) && says.contains("certificate"), "{says}");
    run_json(&place("verify-ca"), &["migrate"]);
}
