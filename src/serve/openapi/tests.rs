use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use ingest::baseline::Baselines;
use ingest::finding::Findings;
use ingest::source::Intake;
use ingest::source::credentials::Credentials;
use metrics_exporter_prometheus::PrometheusBuilder;
use revoker::api::{Api, Gate, Mfa};
use revoker::connector::ssf::Transmitter;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::config::Config;
use crate::serve::http::{self, Parts, Who};
use crate::serve::issuers::Issuers;
use crate::serve::{Logs, findings, gate, open_revoker};

/// `METHOD /path` of every operation of the document.
fn documented() -> BTreeSet<String> {
    let document = document().unwrap_or_else(|e| panic!("openapi/: {e}"));
    let paths = document["paths"].as_object().unwrap().iter();
    let operations = paths.flat_map(|(path, item)| {
        METHODS
            .iter()
            .filter(|method| item.get(**method).is_some())
            .map(move |method| format!("{} {path}", method.to_uppercase()))
    });
    operations.collect()
}

/// The same of the router. axum lists its routes nowhere but in what it prints of itself:
/// `… RouteId(3): MethodRouter(MethodRouter { get: BoxedHandler, post: None, … }) … paths: {RouteId(3): "/v1/agents", …}`.
fn routed(printed: &str) -> BTreeSet<String> {
    let (routes, paths) = printed.split_once("paths: {").expect("axum prints its paths");
    let paths = paths.split_once('}').map_or(paths, |_| paths);
    let mut found = BTreeSet::new();
    for route in routes.split("RouteId(").skip(1) {
        let (id, methods) = route.split_once("): ").expect("a route");
        let named = format!("RouteId({id}): \"");
        let path = paths.split_once(&named).expect("its path").1.split('"').next().expect("a text");
        for method in METHODS {
            let (_, handler) = methods.split_once(&format!("{method}: ")).expect("its methods");
            if !handler.starts_with("None") {
                found.insert(format!("{} {path}", method.to_uppercase()));
            }
        }
    }
    found
}

/// The router of a server with everything in it, which nobody has started.
fn router(folder: &Path) -> Router {
    let key = folder.join("ssf.pem");
    let made = Command::new("openssl")
        .args(["genpkey", "-quiet", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out"])
        .arg(&key)
        .status();
    assert!(made.unwrap().success());
    let mut config = Config::default();
    config.data_dir = folder.to_owned();
    let ssf = serde_json::from_value(json!({ "key_file": key })).unwrap();
    let revoker = open_revoker(&config).unwrap();
    let transmitter = Transmitter::new(&ssf, &config.http.public_url(), revoker.clone(), |_| None).unwrap();
    let logs = Logs::open(&config).unwrap();
    let findings = Findings::new(Arc::new(findings::ToAlerts::new(logs.alerts.clone(), Handle::current())));
    let intake = Intake::new(logs.calls.clone(), findings);
    let credentials = Arc::new(Credentials::resolve(&[], |_| None).unwrap());
    let who = Arc::new(Who { credentials, issuers: Issuers::new(&[]).unwrap() });
    let api = Api::new(revoker.clone(), &config.http.public_url(), Arc::new(crate::clock::now));
    let gate = Gate::new(api, gate::ToLog::new(intake.clone(), gate::Waiting::default(), &who, true));
    let parts = Parts {
        mfa: Mfa::new(gate.clone(), config.mfa.clone()),
        gate,
        realm: None,
        who,
        intake,
        revoker,
        transmitter: Some(Arc::new(transmitter)),
        metrics: PrometheusBuilder::new().build_recorder().handle(),
        health: watch::channel(ingest::pipeline::score::FleetStatus::default()).1,
        enquirer: ingest::pipeline::score::line().0,
        stored: crate::serve::stored::Stored::default(),
        baselines: Baselines::open(&folder.join("baselines.db")).unwrap(),
        takes_calls: true,
        stop: CancellationToken::new(),
    };
    http::router(&config, parts)
}

#[tokio::test]
async fn every_route_is_in_the_document_and_nothing_else_is() {
    let folder = tempfile::tempdir().unwrap();
    let router = router(folder.path());
    let (there, documented) = (routed(&format!("{router:?}")), documented());
    let missing: Vec<_> = there.difference(&documented).collect();
    assert!(
        missing.is_empty(),
        "openapi/*.yaml lacks these routes; describe each there, with its x-role: {missing:#?}"
    );
    let gone: Vec<_> = documented.difference(&there).collect();
    assert!(gone.is_empty(), "openapi/*.yaml describes what is no route: {gone:#?}");
    assert!(there.len() > 40, "{there:#?}");
}

#[test]
fn an_operation_says_whom_it_is_for() {
    let mut operation = json!({ "responses": {} });
    assert!(spell_out(&mut operation).is_err());
    operation["x-role"] = "operator".into();
    spell_out(&mut operation).unwrap();
    assert_eq!(operation["security"][0], json!({ "bearer": ["operator"] }));
    assert!(operation["responses"]["403"].is_object());
}
