//! The listener with TLS: who is let in by which certificate, and certificates that change while it runs.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, SanType, date_time_ymd};
use reqwest::tls::{Certificate, Identity};

use crate::support::stage::Stage;
use crate::support::tocsin::{OPERATOR, Tocsin};
use crate::support::{http, wait};

const LIMIT: Duration = Duration::from_mins(1);
/// Of whom the configuration says that it may look.
const SOC: &str = "spiffe://corp/soc";

/// Who signs certificates.
struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new(name: &str) -> Self {
        let (key, mut params) = (KeyPair::generate().expect("a key"), CertificateParams::default());
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let pem = params.self_signed(&key).expect("a certificate").pem();
        Self { pem, issuer: Issuer::new(params, key) }
    }

    /// A certificate and its key, of a URI or a DNS name.
    fn signs(&self, name: &str, expired: bool) -> (String, String) {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::default();
        let text = name.try_into().expect("ASCII");
        let is_uri = name.contains(':');
        params.subject_alt_names.push(if is_uri { SanType::URI(text) } else { SanType::DnsName(text) });
        if expired {
            (params.not_before, params.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(2021, 1, 1));
        }
        (params.signed_by(&key, &self.issuer).expect("a certificate").pem(), key.serialize_pem())
    }

    /// A client that trusts this authority, and shows a certificate if it has one.
    fn client(&self, shows: Option<&(String, String)>) -> reqwest::Client {
        rustls::crypto::ring::default_provider().install_default().ok();
        let root = Certificate::from_pem(self.pem.as_bytes()).expect("a certificate");
        let builder = reqwest::Client::builder().tls_certs_only([root]).timeout(LIMIT);
        let identity = shows.map(|(certificate, key)| format!("{certificate}{key}"));
        let identity = identity.map(|pem| Identity::from_pem(pem.as_bytes()).expect("an identity"));
        identity.into_iter().fold(builder, reqwest::ClientBuilder::identity).build().expect("a client")
    }
}

/// The status of `GET /v1/agents`; none where there was no connection.
fn status(tocsin: &Tocsin, client: &reqwest::Client, token: Option<&str>) -> Option<u16> {
    let request = client.get(tocsin.url("/v1/agents").replace("http:", "https:"));
    let request = token.iter().fold(request, reqwest::RequestBuilder::bearer_auth);
    http::send(request).ok().map(|answer| answer.status)
}

fn write(folder: &Path, (certificate, key): &(String, String)) {
    for (name, text) in [("server.pem", certificate), ("server.key", key)] {
        std::fs::write(folder.join(format!("{name}.new")), text).expect("to write");
        std::fs::rename(folder.join(format!("{name}.new")), folder.join(name)).expect("to put in its place");
    }
}

fn settings(stage: &Stage, client_cert: &str) -> String {
    let file = |name: &str| format!("\"{}\"", stage.path().join(name).display());
    stage.settings(&format!(
        "[http.tls]\ncert_file = {}\nkey_file = {}\nclient_ca_file = {}\nclient_cert = \"{client_cert}\"\n\
         [[http.credentials]]\nname = \"operator\"\ntoken = \"{OPERATOR}\"\nroles = [\"operator\"]\n\
         [[http.credentials]]\nname = \"soc\"\ncertificate = \"{SOC}\"\nroles = [\"analyst\"]\n",
        file("server.pem"),
        file("server.key"),
        file("clients.pem")
    ))
}

/// Whether OpenSSL is let in with this version of TLS alone.
fn speaks(tocsin: &Tocsin, version: &str) -> bool {
    let address = tocsin.url("").replace("http://", "");
    let output = Command::new("openssl")
        .args(["s_client", "-connect", &address, version, "-cipher", "DEFAULT:@SECLEVEL=0"])
        .stdin(Stdio::null())
        .output()
        .expect("openssl runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    !text.contains("Cipher is (NONE)") && text.contains("Cipher is ")
}

#[test]
fn who_is_let_in_by_certificates_old_and_new() {
    let stage = Stage::new();
    let (ours, clients, strangers) =
        (Authority::new("ours"), Authority::new("clients"), Authority::new("strangers"));
    write(stage.path(), &ours.signs("localhost", false));
    std::fs::write(stage.path().join("clients.pem"), &clients.pem).expect("to write");
    let mut tocsin = Tocsin::prepare(stage.path(), &settings(&stage, "optional"));
    let start = |tocsin: &mut Tocsin, client: &reqwest::Client| {
        tocsin.launch();
        let url = tocsin.url("/readyz").replace("http:", "https:");
        let ready = || http::send(client.get(&url)).ok().filter(|answer| answer.status == 200);
        tocsin.process().ready("readiness", 2 * LIMIT, ready);
    };
    start(&mut tocsin, &ours.client(None));
    let soc = clients.signs(SOC, false);

    // A certificate or a token; of the two the token counts, also where it is wrong.
    assert_eq!(status(&tocsin, &ours.client(Some(&soc)), None), Some(200));
    assert_eq!(status(&tocsin, &ours.client(None), None), Some(401));
    assert_eq!(status(&tocsin, &ours.client(None), Some(OPERATOR)), Some(200));
    assert_eq!(status(&tocsin, &ours.client(Some(&soc)), Some("nobody-has-this-token")), Some(401));
    // Of a name that nobody has; of another authority; no longer good.
    let unknown = clients.signs("spiffe://corp/intern", false);
    assert_eq!(status(&tocsin, &ours.client(Some(&unknown)), None), Some(401));
    for wrong in [strangers.signs(SOC, false), clients.signs(SOC, true)] {
        assert_eq!(status(&tocsin, &ours.client(Some(&wrong)), None), None, "no connection");
    }
    assert_eq!(status(&tocsin, &strangers.client(None), None), None, "nobody vouches for the server");
    assert!(http::get(&tocsin.url("/healthz")).is_err(), "plain HTTP");
    assert!(!speaks(&tocsin, "-tls1_1") && speaks(&tocsin, "-tls1_2") && speaks(&tocsin, "-tls1_3"));
    let log = || std::fs::read_to_string(stage.path().join("tocsin.out")).expect("its log");
    for said in ["nobody is known by this certificate", "a TLS handshake was refused"] {
        assert!(log().contains(said), "{said}");
    }

    // A command of ours trusts whom the system trusts, and whom this file names.
    let trusted = stage.path().join("ours.pem");
    std::fs::write(&trusted, &ours.pem).expect("to write");
    let listed = Command::new(env!("CARGO_BIN_EXE_tocsin"))
        .args(["alerts", "--url", &tocsin.url("").replace("http:", "https:")])
        .envs([("TOCSIN_TOKEN", OPERATOR)])
        .env("SSL_CERT_FILE", &trusted)
        .output()
        .expect("it starts");
    assert!(listed.status.success(), "{}", String::from_utf8_lossy(&listed.stderr));

    // Another certificate while it runs: told by a signal, and found by itself. One that cannot be read changes nothing.
    std::fs::write(stage.path().join("server.key"), "no key").expect("to write");
    tocsin.process().hang_up();
    wait::until(LIMIT, || log().contains("those from before stay").then_some(())).expect("it says so");
    assert_eq!(status(&tocsin, &ours.client(None), None), Some(401));
    for (authority, tells) in [(&strangers, true), (&ours, false)] {
        write(stage.path(), &authority.signs("localhost", false));
        if tells {
            tocsin.process().hang_up();
        }
        let client = authority.client(None);
        wait::until(LIMIT, || status(&tocsin, &client, None)).expect("the new certificate");
    }

    assert!(tocsin.stop().success());
    tocsin.configure(&settings(&stage, "required"));
    start(&mut tocsin, &ours.client(Some(&soc)));
    assert_eq!(status(&tocsin, &ours.client(Some(&soc)), None), Some(200));
    assert_eq!(
        status(&tocsin, &ours.client(None), Some(OPERATOR)),
        None,
        "no connection without a certificate"
    );
}
