//! Certificates: a company's own authority is honored, an unknown one is not.

use std::{
    io::Write,
    net::{SocketAddr, TcpListener, TcpStream},
    sync::Arc,
    thread,
    time::Duration,
};

use license_tests::{Project, RawServer, Request, authority::TOKEN};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, IsCa, KeyPair};
use rustls::{
    ServerConfig, ServerConnection, Stream,
    crypto::ring,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
};

use crate::{KEY, asking, good, project, saying};

/// A server behind TLS, whose certificate an authority of its own has signed.
pub(crate) struct TlsServer {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    /// The certificate of the authority.
    pub(crate) ca_pem: String,
}

impl TlsServer {
    /// Starts an API whose certificate is for these names.
    fn start(names: &[&str]) -> Self {
        Self::saying(names, &good().to_string())
    }

    /// Starts a server that answers so.
    pub(crate) fn saying(names: &[&str], body: &str) -> Self {
        let mut ca = named("the company's authority", &[]);
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca = CertifiedIssuer::self_signed(ca, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let certificate = named("the API", names).signed_by(&key, &ca).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![certificate.der().clone()],
                PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der())),
            )
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (config, body) = (Arc::new(config), body.to_owned());
        thread::spawn(move || {
            for stream in listener.incoming() {
                answer(Arc::clone(&config), stream.unwrap(), &body);
            }
        });
        Self { address, ca_pem: ca.pem() }
    }

    fn asking(&self, host: &str) -> Project {
        project().authority_at(&format!("https://{host}:{}/api/v1", self.address.port())).key(KEY)
    }
}

/// What a certificate says. Two certificates with one name would look as if each had signed itself.
fn named(common_name: &str, hosts: &[&str]) -> CertificateParams {
    let hosts = hosts.iter().map(|&host| host.to_owned()).collect::<Vec<_>>();
    let mut parameters = CertificateParams::new(hosts).unwrap();
    parameters.distinguished_name = DistinguishedName::new();
    parameters.distinguished_name.push(DnType::CommonName, common_name);
    parameters
}

/// A client that does not trust the certificate hangs up, and that is not this thread's problem.
fn answer(config: Arc<ServerConfig>, mut socket: TcpStream, body: &str) {
    socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let mut connection = ServerConnection::new(config).unwrap();
    let mut stream = Stream::new(&mut connection, &mut socket);
    if Request::read(&mut stream).is_some() {
        let _ = write!(stream, "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        stream.conn.send_close_notify();
        let _ = stream.flush();
    }
}

#[test]
fn a_certificate_authority_of_the_company_is_honored() {
    let server = TlsServer::start(&["localhost"]);
    let project = server.asking("localhost").write("corp-ca.pem", server.ca_pem.as_bytes());
    project.authority_line("ca_file", r#""corp-ca.pem""#).deploy().exits(0).deploy_ran();
}

#[test]
fn an_unknown_certificate_authority_is_not_trusted() {
    let server = TlsServer::start(&["localhost"]);
    let ran = server.asking("localhost").deploy_json();
    ran.exits(11).error("unreachable").deploy_did_not_run().never_shows(KEY).never_shows(TOKEN);
    server.asking("localhost").deploy().exits(11).says("certificate").says("ca_file").deploy_did_not_run();
}

#[test]
fn another_company_s_authority_is_not_trusted_either() {
    let (server, other) = (TlsServer::start(&["localhost"]), TlsServer::start(&["localhost"]));
    let project = server.asking("localhost").write("corp-ca.pem", other.ca_pem.as_bytes());
    project.authority_line("ca_file", r#""corp-ca.pem""#).deploy().exits(11).says("certificate").deploy_did_not_run();
}

#[test]
fn a_certificate_for_another_name_is_not_accepted() {
    let server = TlsServer::start(&["api.example.com"]);
    let project = server.asking("localhost").write("corp-ca.pem", server.ca_pem.as_bytes());
    project.authority_line("ca_file", r#""corp-ca.pem""#).deploy().exits(11).says("certificate").deploy_did_not_run();
}

#[test]
fn a_ca_file_that_is_missing_or_no_certificate_is_a_problem_of_the_file() {
    let server = TlsServer::start(&["localhost"]);
    let missing = server.asking("localhost").authority_line("ca_file", r#""corp-ca.pem""#);
    missing.deploy().exits(3).says("corp-ca.pem").deploy_did_not_run();
    let nonsense = missing.write("corp-ca.pem", b"not a certificate");
    nonsense.deploy().exits(3).says("corp-ca.pem").deploy_did_not_run();
}

/// A project whose application is asked at this address.
fn probing(server: &RawServer, url: &str) -> Project {
    asking(server).line("health", &format!(r#"{{ url = "{url}", within = "2s" }}"#))
}

#[test]
fn an_application_behind_the_company_s_authority_is_asked_too() {
    let (app, server) = (TlsServer::start(&["localhost"]), saying(&good()));
    let url = format!("https://localhost:{}/api/license/status", app.address.port());
    let project = probing(&server, &url).write("company.pem", app.ca_pem.as_bytes());
    let trusted = project.path("company.pem").display().to_string();
    project.deploy().exits(14).says("certificate");
    project.var("SSL_CERT_FILE", &trusted).deploy().exits(0).says("healthy");
}

#[test]
fn a_proxy_that_cannot_be_used_is_said_and_breaks_nothing() {
    let server = saying(&good());
    let project = probing(&server, "https://app.invalid/status").var("ALL_PROXY", "socks5://127.0.0.1:9");
    project.deploy().exits(14).says("`ALL_PROXY` does not name an http or https proxy");
}
