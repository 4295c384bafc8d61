use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::Timestamp;
use crate::random::Random;

fn call<'a>(method: &'a str, endpoint: &'a str) -> Call<'a> {
    let mut call = Call::new("e", Timestamp::default(), "a", endpoint);
    call.method = (!method.is_empty()).then_some(method.into());
    call
}

fn teach(routes: &mut Routes, method: &str, endpoint: &str) -> u64 {
    let key = routes.resolve(&call(method, endpoint), true);
    routes.take_news();
    key
}

fn shown(routes: &Routes, method: &str, endpoint: &str) -> String {
    routes.shown(&call(method, endpoint)).unwrap_or_default()
}

/// Ten templates after the public interfaces of known services, written for this test; what varies in them is a slug, a name
/// or an id of one of the types. The names in the place of `{res}` are few and often called: they are no variable.
const TEMPLATES: [(&str, &str); 10] = [
    ("GET", "/users/{int}"),
    ("PATCH", "/v1/customers/{token}/sources/{token}"),
    ("GET", "/repos/{var}/{var}/issues/{int}"),
    ("GET", "/repos/{var}/{var}/pulls/{int}/files"),
    ("POST", "/orders/ORD-{int}/refund"),
    ("GET", "/v2/reports/{date}/daily"),
    ("DELETE", "/accounts/{uuid}/sessions/{hex}"),
    ("GET", "/contacts/{email}"),
    ("PUT", "/wiki/{var}/pages/{var}"),
    ("GET", "/{res}/status"),
];

fn filled(template: &str, random: &mut Random) -> String {
    let mut number = |n: f64| (random.unit() * n) as u64;
    let segments = template.split('/').map(|segment| match segment {
        "{int}" => number(1e6).to_string(),
        "ORD-{int}" => format!("ORD-{}", number(1e6)),
        "{token}" => format!("cus_{:08}x", number(1e8)),
        "{date}" => format!("2026-{:02}-{:02}", 1 + number(12.0), 1 + number(28.0)),
        "{uuid}" => format!("{:08x}-0000-4000-8000-{:012x}", number(1e9), number(1e12)),
        "{hex}" => format!("f{:015x}", number(1e15)),
        "{email}" => format!("{}@example.com", slug(number(400.0))),
        "{var}" => slug(number(400.0)),
        "{res}" => ["billing", "search", "mail"][number(3.0) as usize].to_owned(),
        name => name.to_owned(),
    });
    segments.collect::<Vec<_>>().join("/")
}

/// A name without digits.
fn slug(n: u64) -> String {
    let letter = |shift: u64| char::from(b'a' + (n / shift % 26) as u8);
    ["team-", "my-", "the-"][n as usize % 3].chars().chain([letter(676), letter(26), letter(1)]).collect()
}

#[test]
fn ten_templates_are_exact_after_3000_paths() {
    let (mut routes, mut random) = (Routes::default(), Random::new(20_260_101));
    for i in 0..3_000 {
        let (method, template) = TEMPLATES[i % TEMPLATES.len()];
        teach(&mut routes, method, &filled(template, &mut random));
    }
    for (method, template) in TEMPLATES {
        for _ in 0..100 {
            let path = filled(template, &mut random);
            let expected = if template.contains("{res}") { &path } else { template };
            assert_eq!(shown(&routes, method, &path), format!("{method} {expected}"), "{path}");
        }
    }
    let nodes = routes.hosts[0].1.nodes();
    assert!(nodes < 100, "{nodes}");
}

#[test]
fn busy_names_stay_names_and_thin_ones_become_one() {
    let mut routes = Routes::default();
    let busy = ["orders", "users", "invoices", "tickets"];
    for _ in 0..6 {
        for name in busy {
            teach(&mut routes, "GET", &format!("/v1/{name}/list"));
        }
    }
    let old: Vec<u64> =
        (0..24).map(|n| teach(&mut routes, "GET", &format!("/v1/{}/list", slug(n)))).collect();
    let new = teach(&mut routes, "GET", &format!("/v1/{}/list", slug(100)));
    assert_eq!(shown(&routes, "GET", "/v1/orders/list"), "GET /v1/orders/list");
    assert_eq!(shown(&routes, "GET", "/v1/never-seen/list"), "GET /v1/{var}/list");
    assert!(routes.version() > 0);
    assert!(old.iter().all(|&old| routes.now(old) == new));
    let users = teach(&mut routes, "GET", "/v1/users/list");
    assert_eq!(routes.now(users), key("GET", "/v1/users/list", None));
}

#[test]
fn what_varies_above_and_below_is_found_by_its_first_key() {
    let mut routes = Routes::default();
    let path = |owner: u64, repo: u64| format!("/repos/{}/{}", slug(owner), slug(repo));
    let mut first = BTreeMap::new();
    for i in 0..120 {
        let (owner, repo) = (i % 30, 7 * i % 120);
        first.entry((owner, repo)).or_insert(teach(&mut routes, "GET", &path(owner, repo)));
    }
    let now = key("GET", "/repos/{}/{}", None);
    for (&(owner, repo), &old) in &first {
        assert_eq!(teach(&mut routes, "GET", &path(owner, repo)), now);
        assert_eq!(routes.now(old), now, "{owner} {repo}");
    }
}

#[test]
fn a_newcomers_flood_changes_nothing_where_others_have_been() {
    let mut routes = Routes::default();
    for name in ["keys", "audit", "users"] {
        teach(&mut routes, "GET", &format!("/admin/{name}"));
    }
    for n in 0..20_000 {
        routes.resolve(&call("GET", &format!("/admin/{}/{}", slug(n % 17_000), slug(n % 7))), false);
        routes.resolve(&call("GET", &format!("/made-up/{}", slug(n))), false);
        routes.resolve(&call("GET", &format!("https://{}.example/x", slug(n))), false);
        assert!(routes.take_news().iter().all(|renamed| renamed.new != key("GET", "/admin/{}", None)));
    }
    assert_eq!(shown(&routes, "GET", "/admin/never"), "GET /admin/never");
    assert!(routes.hosts.len() <= YOUNG_HOSTS_MAX + 1);
    // And there is room left for whoever is known.
    for n in 0..30 {
        teach(&mut routes, "GET", &format!("/teams/{}", slug(n)));
    }
    assert_eq!(shown(&routes, "GET", "/teams/never"), "GET /teams/{var}");
}

#[test]
fn the_operators_templates_win() {
    let mut routes = Routes::default();
    let templates = [
        "GET /users/{id}",
        "GET /users/me",
        "/files/{name}.{ext}",
        "POST /v1/{name}:cancel",
        "GET /static/{path+}",
        "https://API.example.com/v1/pets/{petId}",
        "send_email",
        "GET /2015-03-31/functions/{name}",
    ];
    routes.set_templates(templates.into_iter());
    for (method, endpoint, expected) in [
        ("GET", "/users/ada", "GET /users/{id}"),
        ("GET", "/users/me/", "GET /users/me"),
        ("POST", "/users/ada", "POST /users/ada"),
        ("PUT", "/files/a.pdf", "PUT /files/{name}.{ext}"),
        ("POST", "/v1/x:cancel", "POST /v1/{name}:cancel"),
        ("GET", "/static/a/b/c", "GET /static/{path+}"),
        ("GET", "https://api.example.com/v1/pets/7?x", "GET api.example.com/v1/pets/{petId}"),
        ("GET", "https://evil.example/v1/pets/7", "GET evil.example/v1/pets/{int}"),
        ("GET", "https://evil.example/users/ada", "GET evil.example/users/ada"),
        ("GET", "/2015-03-31/functions/f", "GET /2015-03-31/functions/{name}"),
    ] {
        assert_eq!(shown(&routes, method, endpoint), expected);
    }
    for (entry, method, endpoint) in [
        ("GET /users/{user}", "GET", "/users/7"),
        ("/files/{n}.{e}", "DELETE", "/files/a.b"),
        ("send_email", "CALL", "send_email"),
        ("https://api.example.com/v1/pets/{p}", "GET", "https://api.example.com/v1/pets/a"),
    ] {
        let key = routes.resolve(&call(method, endpoint), true);
        assert!(declared(entry).any(|declared| declared == key), "{entry}");
    }
}

#[test]
fn operations_are_endpoints_of_their_own() {
    let mut routes = Routes::default();
    let mut with = |endpoint: &'static str, operation: Option<&'static str>| {
        let mut call = call("POST", endpoint);
        call.operation = operation.map(Into::into);
        (routes.resolve(&call, true), routes.shown(&call))
    };
    let (get, shown) = with("/graphql", Some("getUser"));
    assert_eq!(shown.as_deref(), Some("POST /graphql getUser"));
    assert_ne!(get, with("/graphql", Some("deleteUser")).0);
    assert_ne!(get, with("/graphql", None).0);
    assert!(declared("POST /graphql getUser").any(|key| key == get));
    assert_eq!(with("tools/call", Some("send_email")).0, with("send_email", None).0);
    assert_eq!(with("tools/call", Some("send_email")).1.as_deref(), Some("send_email"));
    assert_eq!(with("rpc", Some("eth_call")).1.as_deref(), Some("rpc eth_call"));
    assert_eq!(with("send_email", None).1, None);
}

/// Paths that look alike in places, and others that look like nothing.
fn endpoint() -> impl Strategy<Value = String> {
    let segment = prop_oneof![
        "[a-c]{1,3}",
        "[a-z]{1,80}",
        "[0-9]{1,4}",
        "[A-Z]{1,3}-[0-9]{1,3}",
        "\\{[a-z]{0,3}\\}",
        Just("..".to_owned()),
        Just("%2e%2E".to_owned()),
        Just("v1".to_owned()),
        "\\PC{0,6}",
    ];
    let path = proptest::collection::vec(segment, 0..20).prop_map(|s| format!("/{}", s.join("/")));
    let host = prop_oneof![Just(String::new()), "https?://[a-d]{1,4}(:[0-9]{1,3})?", "GET "];
    prop_oneof![9 => (host, path).prop_map(|(h, p)| h + &p), 1 => "\\PC{0,200}"]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn whatever_comes_is_bounded_restored_and_one_method_s(
        calls in proptest::collection::vec((endpoint(), any::<bool>(), 0..3_usize), 1..400),
    ) {
        let mut routes = Routes::default();
        let mut restored = Routes::default();
        for (i, (endpoint, is_established, method)) in calls.iter().enumerate() {
            let call = call(["", "GET", "DELETE"][*method], endpoint);
            let resolved = routes.resolve(&call, *is_established);
            routes.take_news();
            // What was just learned of a call gives its key, and another look at it no other.
            prop_assert_eq!(routes.clone().resolve(&call, *is_established), resolved);
            prop_assert_eq!(restored.resolve(&call, *is_established), resolved);
            restored.take_news();
            if i % 50 == 0 {
                let bytes = postcard::to_stdvec(&routes).unwrap();
                restored = postcard::from_bytes(&bytes).unwrap();
                prop_assert_eq!(postcard::to_stdvec(&restored).unwrap(), bytes);
            }
            if endpoint.starts_with('/') {
                let keys: BTreeSet<u64> = ["", "GET", "DELETE", "PROPFIND"]
                    .map(|m| routes.clone().resolve(&self::call(m, endpoint), false))
                    .into();
                prop_assert_eq!(keys.len(), 4);
            }
        }
        prop_assert!(routes.hosts.len() <= HOSTS_MAX);
        prop_assert!(routes.hosts.iter().all(|(_, trie)| trie.nodes() <= trie::NODES_MAX && trie.is_counted()));
    }

    #[test]
    fn a_template_is_its_own_template(endpoint in "(/([a-c]{1,3}|[0-9]{1,4}|[A-Z]{1,2}-[0-9]{1,3})){1,9}") {
        let mut routes = Routes::default();
        let key = teach(&mut routes, "GET", &endpoint);
        let template = shown(&routes, "", &endpoint);
        prop_assert_eq!(teach(&mut routes, "GET", &template), key, "{}", template);
    }
}

#[test]
fn a_flood_from_established_agents_is_bounded_too() {
    let mut routes = Routes::default();
    for n in 0..30_000_u64 {
        // Busy names do not become one, so there is no end to them.
        for _ in 0..6 {
            teach(&mut routes, "GET", &format!("/{}/{}/{}", slug(n % 900), slug(n / 900), slug(n % 7)));
        }
        if n == 3_000 {
            break;
        }
    }
    assert!(routes.hosts[0].1.nodes() <= trie::NODES_MAX);
    assert!(routes.renamed.len() <= RENAMED_MAX);
}
