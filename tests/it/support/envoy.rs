//! Envoy itself, before a small API: it verifies tokens, and asks about each request by `ext_authz`.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use super::parts::part;
use super::port;
use super::process::Process;
use super::tocsin::GATEWAY;

const START_LIMIT: Duration = Duration::from_mins(1);

/// A running proxy.
pub(crate) struct Envoy {
    _process: Process,
    port: u16,
}

impl Envoy {
    /// Starts it before the API at `api`, asking on `checks`; both are ports. Tokens are verified with `jwks`.
    pub(crate) fn start(folder: &Path, api: u16, checks: u16, jwks: &Value) -> Self {
        let port = port::free();
        let config = folder.join("envoy.json");
        fs::write(&config, configuration(port, api, checks, jwks).to_string()).expect("to write");
        let program = part("pypi/envoy/_bin/envoy");
        // A wheel's installer does not keep who may run it.
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("a file of ours");
        let mut command = Command::new(program);
        command.arg("-c").arg(&config).args(["--concurrency", "1", "--disable-hot-restart", "-l", "warning"]);
        let mut process = Process::start("Envoy", &mut command, &folder.join("envoy.out"));
        process.ready("listener", START_LIMIT, || std::net::TcpStream::connect(("127.0.0.1", port)).ok());
        Self { _process: process, port }
    }

    /// An address of the API as its clients see it.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }
}

fn cluster(name: &str, port: u16) -> Value {
    let address = json!({ "socket_address": { "address": "127.0.0.1", "port_value": port } });
    json!({
        "name": name, "type": "STATIC", "connect_timeout": "1s",
        "load_assignment": { "cluster_name": name, "endpoints": [{ "lb_endpoints": [{ "endpoint": { "address": address } }] }] },
    })
}

fn configuration(port: u16, api: u16, checks: u16, jwks: &Value) -> Value {
    let of = |what: &str| format!("type.googleapis.com/envoy.extensions.{what}");
    let mut tocsin = cluster("tocsin", checks);
    tocsin["typed_extension_protocol_options"] = json!({ "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
        "@type": of("upstreams.http.v3.HttpProtocolOptions"), "explicit_http_config": { "http2_protocol_options": {} } } });
    let verify = json!({ "name": "envoy.filters.http.jwt_authn", "typed_config": {
        "@type": of("filters.http.jwt_authn.v3.JwtAuthentication"),
        "providers": { "idp": { "issuer": "https://idp.example", "local_jwks": { "inline_string": jwks.to_string() },
            "payload_in_metadata": "jwt_payload" } },
        "rules": [{ "match": { "prefix": "/" }, "requires": { "requires_any": { "requirements": [
            { "provider_name": "idp" }, { "allow_missing": {} }] } } }],
    } });
    let ask = json!({ "name": "envoy.filters.http.ext_authz", "typed_config": {
        "@type": of("filters.http.ext_authz.v3.ExtAuthz"),
        "transport_api_version": "V3", "failure_mode_allow": false,
        "metadata_context_namespaces": ["envoy.filters.http.jwt_authn"],
        "with_request_body": { "max_request_bytes": 8_192 },
        "grpc_service": { "envoy_grpc": { "cluster_name": "tocsin" }, "timeout": "10s",
            "initial_metadata": [{ "key": "authorization", "value": format!("Bearer {GATEWAY}") }] },
    } });
    let route = json!({ "name": "envoy.filters.http.router", "typed_config": { "@type": of("filters.http.router.v3.Router") } });
    let manager = json!({
        "@type": of("filters.network.http_connection_manager.v3.HttpConnectionManager"),
        "stat_prefix": "api",
        "http_filters": [verify, ask, route],
        "route_config": { "virtual_hosts": [{ "name": "api", "domains": ["*"],
            "routes": [{ "match": { "prefix": "/" }, "route": { "cluster": "api" } }] }] },
    });
    json!({ "static_resources": {
        "listeners": [{ "address": { "socket_address": { "address": "127.0.0.1", "port_value": port } },
            "filter_chains": [{ "filters": [{ "name": "envoy.filters.network.http_connection_manager", "typed_config": manager }] }] }],
        "clusters": [cluster("api", api), tocsin],
    } })
}
