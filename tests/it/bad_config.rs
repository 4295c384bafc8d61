//! A configuration that cannot be used says which key is wrong and why, before anything starts.

use std::fmt::Write as _;

use crate::support::tocsin::Tocsin;
use crate::support::wait;

/// What is wrong, and what both `config check` and `serve` say of it.
const WRONG: [(&str, &[&str]); 28] = [
    ("[http]\nlisten_adress = \"x\"", &["http.listen_adress", "unknown field"]),
    (
        "[revoker]\ntoken_lifetime_max_s = 0",
        &["revoker.token_lifetime_max_s = 0", "is not a number of seconds from 1"],
    ),
    ("[policy]\ngrant_s = 0", &["policy.grant_s = 0", "is not a number of seconds"]),
    ("escalation = [\"nobody\"]", &["escalation: `nobody` is no target"]),
    (
        "[[http.credentials]]\nname = \"a\"\ntoken = \"short\"\nroles = []",
        &["http.credentials `a`", "at least 16 bytes"],
    ),
    (
        "[[http.credentials]]\nname = \"a\"\ntoken_env = \"NO_SUCH\"\nroles = []",
        &["`a`", "the environment has no NO_SUCH"],
    ),
    (
        "[[http.credentials]]\nname = \"a\"\ntoken_sha256 = \"0123456789abcdef\"\nroles = []",
        &["http.credentials `a`", "token_sha256", "64 hexadecimal digits"],
    ),
    (
        "[[http.credentials]]\nname = \"a\"\ntoken_sha256 = \"0123456789abcdef\"\ntoken_env = \"PATH\"\nroles = []",
        &["http.credentials `a`", "exactly one of token, token_env, token_file, token_sha256"],
    ),
    (
        "[[http.credentials]]\nname = \"a\"\ncertificate = \"spiffe://a\"\nroles = []",
        &["`a`", "http.tls.client_cert"],
    ),
    (
        "[[http.credentials]]\nname = \"a\"\ntoken = \"0123456789abcdef\"\nroles = [\"agent\"]",
        &["`a`", "says whose"],
    ),
    (
        "[[http.credentials]]\nname = \"a\"\ntoken = \"0123456789abcdef\"\nroles = [\"root\"]",
        &["roles[0] = \"root\"", "unknown variant"],
    ),
    (
        "[http.tls]\ncert_file = \"none.pem\"\nkey_file = \"none.key\"",
        &["http.tls.cert_file", "none.pem", "No such file"],
    ),
    (
        "[http.tls]\ncert_file = \"a\"\nkey_file = \"b\"\nclient_cert = \"required\"",
        &["client_ca_file says of nobody"],
    ),
    (
        "[[webhooks]]\nname = \"w\"\nurl = \"http://idp.example/\"\nsecret_env = \"WEBHOOK_SECRET\"",
        &["webhooks: w", "`http` is not https"],
    ),
    (
        "[[webhooks]]\nname = \"w\"\nurl = \"https://10.0.0.1/\"\nsecret_env = \"WEBHOOK_SECRET\"",
        &["webhooks: w", "not a public address"],
    ),
    (
        "[[webhooks]]\nname = \"w\"\nurl = \"https://idp.example/\"\nsecret = \"whsec_c2hvcnQ=\"",
        &["webhooks: w", "secret"],
    ),
    (
        "[[oauth]]\nname = \"o\"\nissuer = \"i\"\nrevocation_url = \"http://as.example/\"\nclient_id = \"c\"\nclient_secret = \"s\"",
        &["oauth: o", "`revocation_url`", "not https"],
    ),
    (
        "[[keycloak]]\nname = \"k\"\nurl = \"https://sso.example\"\nrealm = \"r\"\nclient_id = \"c\"\nclient_secret_file = \"none\"",
        &["keycloak: k", "`client_secret_file`", "No such file"],
    ),
    (
        "[[backchannel_logout]]\nname = \"b\"\nurl = \"https://rp.example/\"\nclient_id = \"c\"\nissuer = \"i\"",
        &["backchannel_logout: b", "ssf.key_file"],
    ),
    (
        "[[global_revocation]]\nname = \"g\"\nurl = \"https://as.example/\"\nissuer = \"i\"",
        &["global_revocation: g", "exactly one of `token`"],
    ),
    ("[email]\nserver = \"m.example\"\nfrom = \"nobody\"\nto = []", &["email.from = \"nobody\""]),
    (
        "[email]\nserver = \"m.example\"\nfrom = \"a@b.example\"\nto = [\"c@d.example\"]\ntls = \"none\"",
        &["email: `tls`", "`allow_insecure_target`"],
    ),
    (
        "[email]\nserver = \"m.example\"\nfrom = \"a@b.example\"\nto = [\"c@d.example\"]\nca_file = \"none.pem\"",
        &["email: `ca_file`", "none.pem", "No such file"],
    ),
    (
        "[ciba]\nissuer = \"http://sso.example\"\nclient_id = \"c\"\nclient_secret = \"s\"",
        &["ciba: `issuer`", "not https"],
    ),
    (
        "[ciba]\nissuer = \"https://sso.example\"\nclient_id = \"c\"\nclient_secret_env = \"NO_SUCH\"",
        &["ciba: `client_secret_env`", "NO_SUCH is not set"],
    ),
    ("[ciba_channel]\nissuer = \"http://sso.example/realms/r\"", &["ciba_channel: `issuer`", "not https"]),
    (
        "[ssf]\nissuer = \"https://tocsin.example\"\nkey_file = \"none.pem\"",
        &["ssf", "none.pem", "openssl genpkey"],
    ),
    (
        "[[issuers]]\nname = \"i\"\nissuer = \"http://sso.example\"\naudience = \"t\"\nroles = {}",
        &["issuers `i`", "`issuer`", "not https"],
    ),
];

#[test]
fn what_is_wrong_is_told_by_the_check_and_at_start_with_its_key_and_reason() {
    let folder = tempfile::tempdir().expect("a scratch folder");
    let mut tocsin = Tocsin::prepare(folder.path(), "");
    let mut failed = String::new();
    for (settings, said) in WRONG {
        tocsin.configure(settings);
        for command in [&["config", "check"][..], &["serve"]] {
            let output = tocsin.command(command);
            let text = String::from_utf8_lossy(&output.stderr).into_owned();
            if output.status.code() != Some(78) || !said.iter().all(|part| text.contains(part)) {
                writeln!(failed, "{command:?} of {settings:?} said {text:?}").expect("a string takes all");
            }
        }
    }
    assert!(failed.is_empty(), "{failed}");

    // An issuer that does not answer holds nothing up, and is told.
    let issuer = "http://127.0.0.1:9";
    tocsin.configure(&format!(
        "[[issuers]]\nname = \"away\"\nissuer = \"{issuer}\"\naudience = \"t\"\nroles = {{}}\nallow_insecure_target = true\n"
    ));
    tocsin.restart();
    let told = || {
        let log = std::fs::read_to_string(folder.path().join("tocsin.out")).unwrap_or_default();
        log.contains("its keys are not to be had").then_some(log)
    };
    let log = wait::until(std::time::Duration::from_mins(1), told).expect("it says so");
    assert!(log.contains("\"issuer\":\"away\""), "{log}");
}
