//! TLS of the main port, with certificates made here: protocols, reloading, and the limits of HTTP/2.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use test_support::TestDatabase;
use test_support::process::{ServerProcess, run, run_json};
use test_support::wait::eventually;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};
use tokio_rustls::{TlsConnector, client::TlsStream};

/// An authority, and the files of a certificate for `localhost` that it signs.
struct Certificates {
    folder: tempfile::TempDir,
    authority: CertifiedIssuer<'static, KeyPair>,
}

impl Certificates {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "Test authority");
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let it = Self { folder: tempfile::tempdir().unwrap(), authority };
        std::fs::write(it.path("authority.pem"), it.authority.pem()).unwrap();
        it.issue();
        it
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a new certificate and its key over the former ones; returns it.
    fn issue(&self) -> CertificateDer<'static> {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        let cert = params.signed_by(&key, &self.authority).unwrap();
        std::fs::write(self.path("cert.pem"), cert.pem()).unwrap();
        std::fs::write(self.path("key.pem"), key.serialize_pem()).unwrap();
        cert.der().clone()
    }

    fn settings(&self) -> [(String, String); 2] {
        let path = |name: &str| self.path(name).display().to_string();
        [("KEYHOUSE_TLS_CERT".to_owned(), path("cert.pem")), ("KEYHOUSE_TLS_KEY".to_owned(), path("key.pem"))]
    }

    fn serve(&self, place: &TestDatabase) -> ServerProcess {
        let settings = self.settings();
        let settings: Vec<_> = settings.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        ServerProcess::start_with(place, "serve", "info", &settings)
    }

    async fn connect(&self, serving: &ServerProcess, protocol: &[u8]) -> TlsStream<TcpStream> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(self.path("authority.pem")).unwrap()).unwrap();
        let mut config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = vec![protocol.to_vec()];
        let stream = TcpStream::connect(serving.address).await.unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap()
    }
}

fn certificate_of(stream: &TlsStream<TcpStream>) -> CertificateDer<'static> {
    stream.get_ref().1.peer_certificates().expect("a certificate")[0].clone().into_owned()
}

/// One request on an open connection; the status.
async fn get(stream: &mut TlsStream<TcpStream>, path: &str) -> String {
    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let mut buffer = [0; 4096];
    while !answer.windows(4).any(|window| window == b"\r\n\r\n") {
        let read = stream.read(&mut buffer).await.unwrap();
        assert!(read > 0, "the connection was closed");
        answer.extend_from_slice(&buffer[..read]);
    }
    String::from_utf8_lossy(&answer).split(' ').nth(1).unwrap_or_default().to_owned()
}

fn curl(certificates: &Certificates, serving: &ServerProcess, words: &[&str], path: &str) -> String {
    let url = format!("https://localhost:{}{path}", serving.address.port());
    let output = Command::new("curl")
        .args(["-sS", "--max-time", "20", "--cacert"])
        .arg(certificates.path("authority.pem"))
        .args(["--connect-to", &format!("localhost:{0}:127.0.0.1:{0}", serving.address.port())])
        .args(words)
        .arg(url)
        .output()
        .expect("curl runs");
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_protocols_are_served_with_tls_and_keys_work_on_both() {
    let (certificates, place) = (Certificates::new(), TestDatabase::folder());
    let serving = certificates.serve(&place);
    assert!(serving.said["url"].as_str().unwrap().starts_with("https://"), "{}", serving.said);
    run_json(&place, &["team", "create", "Acme", "--owner", "ada@example.com"]);
    let create = ["key", "create", "--team", "acme", "--name", "K", "--mode", "live", "--scope", "read_write"];
    let token = run_json(&place, &create)["token"].as_str().unwrap().to_owned();
    let authorization = format!("Authorization: Bearer {token}");
    let show = ["-o", "/dev/null", "-w", "%{http_version} %{http_code}"];
    for (flag, version) in [("--http1.1", "1.1"), ("--http2", "2")] {
        let words = [&[flag, "-H", &authorization][..], &show].concat();
        assert_eq!(curl(&certificates, &serving, &words, "/api/v1/key"), format!("{version} 200"));
        let wrong = [&[flag, "-H", "Authorization: Bearer x"][..], &show].concat();
        assert_eq!(curl(&certificates, &serving, &wrong, "/api/v1/key"), format!("{version} 401"));
        let body = r#"{"name":"x","unitPrice":1,"currency":"EUR"}"#;
        let post = ["-H", &authorization, "-H", "Content-Type: application/json", "-d", body];
        let words = [&[flag][..], &post, &show].concat();
        assert_eq!(curl(&certificates, &serving, &words, "/api/v1/products"), format!("{version} 201"));
        // The page of the form, whose CSRF check compares Origin with Host.
        let origin = format!("Origin: https://localhost:{}", serving.address.port());
        let words = [&[flag, "-H", &origin, "-d", "email=a%40b.example&password=x"][..], &show].concat();
        assert_eq!(curl(&certificates, &serving, &words, "/sign-in"), format!("{version} 422"));
    }
    // Plain HTTP to the TLS port gets nothing.
    assert!(!serving.send(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n").contains("200"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_certificate_is_used_for_new_connections_and_the_open_ones_stay() {
    let (certificates, place) = (Certificates::new(), TestDatabase::folder());
    let serving = certificates.serve(&place);
    let mut open = certificates.connect(&serving, b"http/1.1").await;
    let first = certificate_of(&open);
    assert_eq!(get(&mut open, "/healthz").await, "200");
    // A key without its certificate changes nothing.
    std::fs::write(certificates.path("key.pem"), KeyPair::generate().unwrap().serialize_pem()).unwrap();
    wait_for_log(&serving, "TLS certificate not reloaded").await;
    assert_eq!(certificate_of(&certificates.connect(&serving, b"h2").await), first);
    let second = certificates.issue();
    wait_for_log(&serving, "TLS certificate reloaded").await;
    assert_eq!(certificate_of(&certificates.connect(&serving, b"h2").await), second);
    assert_ne!(first, second);
    assert_eq!(get(&mut open, "/healthz").await, "200", "the connection from before was not dropped");
}

async fn wait_for_log(serving: &ServerProcess, text: &str) {
    eventually(text, async || String::from_utf8_lossy(&serving.logs()).contains(text).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_http2_client_that_resets_its_streams_at_once_is_disconnected() {
    let (certificates, place) = (Certificates::new(), TestDatabase::folder());
    let serving = certificates.serve(&place);
    let mut stream = certificates.connect(&serving, b"h2").await;
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
    stream.write_all(&frame(4, 0, 0, &[])).await.unwrap();
    // :method GET, :scheme https, :path /, :authority localhost as HPACK (RFC 7541) has them without a table.
    let head = [&[0x82, 0x87, 0x84, 0x41, 9][..], b"localhost"].concat();
    let mut flood = Vec::new();
    for id in (1..20_000).step_by(2) {
        flood.extend(frame(1, 0x5, id, &head));
        flood.extend(frame(3, 0, id, &8u32.to_be_bytes()));
    }
    // The server may close the connection before it has read all of it.
    let _sent = stream.write_all(&flood).await;
    let mut answer = Vec::new();
    let _read = tokio::time::timeout(std::time::Duration::from_secs(20), stream.read_to_end(&mut answer)).await;
    assert_eq!(error_of_goaway(&answer), Some(0xb), "GOAWAY with ENHANCE_YOUR_CALM");
    let mut other = certificates.connect(&serving, b"http/1.1").await;
    assert_eq!(get(&mut other, "/healthz").await, "200");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn http2_announces_its_limits_and_refuses_a_head_that_is_too_large() {
    let (certificates, place) = (Certificates::new(), TestDatabase::folder());
    let serving = certificates.serve(&place);
    let mut stream = certificates.connect(&serving, b"h2").await;
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
    stream.write_all(&frame(4, 0, 0, &[])).await.unwrap();
    let mut head = [0; 9];
    stream.read_exact(&mut head).await.unwrap();
    assert_eq!(head[3], 4, "the first frame is SETTINGS");
    let mut settings = vec![0; usize::from(head[2])];
    stream.read_exact(&mut settings).await.unwrap();
    let settings: Vec<_> = settings
        .chunks(6)
        .map(|one| (u16::from_be_bytes([one[0], one[1]]), u32::from_be_bytes([one[2], one[3], one[4], one[5]])))
        .collect();
    // SETTINGS_MAX_CONCURRENT_STREAMS and SETTINGS_MAX_HEADER_LIST_SIZE.
    assert!(settings.contains(&(3, 100)) && settings.contains(&(6, 16 * 1024)), "{settings:?}");
    let large = format!("X-Large: {}", "x".repeat(20 * 1024));
    let answer =
        curl(&certificates, &serving, &["--http2", "-H", &large, "-o", "/dev/null", "-w", "%{http_code}"], "/healthz");
    assert!(answer.starts_with("431") || answer.contains("curl: "), "{answer}");
}

/// A frame: type, flags, stream, payload.
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// The error code of the GOAWAY frame among these frames.
fn error_of_goaway(mut bytes: &[u8]) -> Option<u32> {
    while bytes.len() >= 9 {
        let length = usize::try_from(u32::from_be_bytes([0, bytes[0], bytes[1], bytes[2]])).unwrap();
        let payload = bytes.get(9..9 + length)?;
        if bytes[3] == 7 && payload[4..8] != [0; 4] {
            return Some(u32::from_be_bytes(payload[4..8].try_into().unwrap()));
        }
        bytes = &bytes[9 + length..];
    }
    None
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_with_tls_stops_in_order() {
    let (certificates, place) = (Certificates::new(), TestDatabase::folder());
    let mut serving = certificates.serve(&place);
    let mut idle = certificates.connect(&serving, b"http/1.1").await;
    assert_eq!(get(&mut idle, "/healthz").await, "200");
    let _h2 = certificates.connect(&serving, b"h2").await;
    assert!(serving.terminate().success());
}

#[test]
fn faults_of_certificates_are_named() {
    let (certificates, place) = (Certificates::new(), TestDatabase::folder());
    let start = |cert: &Path, key: &Path| {
        let words = [
            "serve",
            "--listen",
            "127.0.0.1:0",
            "--tls-cert",
            cert.to_str().unwrap(),
            "--tls-key",
            key.to_str().unwrap(),
        ];
        let output = run(&place, &words);
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let [cert, key, missing] = ["cert.pem", "key.pem", "missing.pem"].map(|name| certificates.path(name));
    let (code, says) = start(&missing, &key);
    assert!(code == Some(1) && says.contains("missing.pem"), "{says}");
    let (_, says) = start(&key, &key);
    assert!(says.contains("holds no certificate in PEM"), "{says}");
    let other = Certificates::new();
    let (_, says) = start(&cert, &other.path("key.pem"));
    assert!(says.contains("don't belong together"), "{says}");
    let half = run(&place, &["serve", "--listen", "127.0.0.1:0", "--tls-cert", cert.to_str().unwrap()]);
    assert_eq!(half.status.code(), Some(2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_plain_port_redirects_and_serves_nothing() {
    let (certificates, place) = (Certificates::new(), TestDatabase::folder());
    let [cert, key] = certificates.settings();
    let settings = [
        (&*cert.0, &*cert.1),
        (&*key.0, &*key.1),
        ("KEYHOUSE_TLS_REDIRECT_LISTEN", "127.0.0.1:0"),
        ("KEYHOUSE_PUBLIC_URL", "https://keys.example.com"),
    ];
    let serving = ServerProcess::start_with(&place, "serve", "info", &settings);
    let plain = serving.said["redirectUrl"].as_str().unwrap();
    let ask = |words: &[&str], path: &str| {
        let output =
            Command::new("curl").args(["-sS", "-i"]).args(words).arg(format!("{plain}{path}")).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let answer = ask(&[], "/t/acme?x=1");
    assert!(answer.starts_with("HTTP/1.1 308"), "{answer}");
    assert!(answer.contains("location: https://keys.example.com/t/acme?x=1"), "{answer}");
    let answer = ask(&["-d", "password=x"], "/sign-in");
    assert!(answer.starts_with("HTTP/1.1 403"), "{answer}");
}
