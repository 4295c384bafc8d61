//! Finding the transmitter, and what receivers may do with their streams.

use super::*;

#[tokio::test]
async fn anybody_finds_it_and_nobody_else_gets_in() {
    let world = World::new().await;
    assert_eq!(world.get("", "/.well-known/ssf-configuration").await.status, 404, "the issuer has a path");
    let found = world.get("", "/.well-known/ssf-configuration/t1").await;
    assert_eq!(found.headers["content-type"], "application/json");
    let text = found.expect(200).to_string().replace(&world.address.to_string(), "HOST");
    insta::assert_snapshot!(text, @r#"{"add_subject_endpoint":"http://HOST/ssf/subjects/add","authorization_schemes":[{"spec_urn":"urn:ietf:rfc:6749"}],"configuration_endpoint":"http://HOST/ssf/streams","default_subjects":"ALL","delivery_methods_supported":["urn:ietf:rfc:8935","urn:ietf:rfc:8936"],"issuer":"https://tocsin.example/t1","jwks_uri":"http://HOST/ssf/jwks.json","remove_subject_endpoint":"http://HOST/ssf/subjects/remove","spec_version":"1_0","status_endpoint":"http://HOST/ssf/status","verification_endpoint":"http://HOST/ssf/verify"}"#);

    let routes = [
        (Method::GET, "/ssf/streams", None),
        (Method::POST, "/ssf/streams", Some(json!({}))),
        (Method::PATCH, "/ssf/streams", Some(json!({}))),
        (Method::PUT, "/ssf/streams", Some(json!({}))),
        (Method::DELETE, "/ssf/streams?stream_id=1", None),
        (Method::GET, "/ssf/status?stream_id=1", None),
        (Method::POST, "/ssf/status", Some(json!({}))),
        (Method::POST, "/ssf/subjects/add", Some(json!({}))),
        (Method::POST, "/ssf/subjects/remove", Some(json!({}))),
        (Method::POST, "/ssf/verify", Some(json!({}))),
        (Method::POST, "/ssf/poll/1", Some(json!({}))),
    ];
    for (method, path, body) in routes {
        let none = world.ask("", method.clone(), path, body.clone()).await;
        assert_eq!(
            (none.status, &none.headers["www-authenticate"]),
            (401, &"Bearer".parse().unwrap()),
            "{path}"
        );
        let wrong = world.ask("somebody-0123456789", method.clone(), path, body.clone()).await;
        assert_eq!(
            (wrong.status, &wrong.headers["www-authenticate"]),
            (401, &r#"Bearer error="invalid_token""#.parse().unwrap())
        );
        assert_eq!(world.ask(OPERATOR, method.clone(), path, body.clone()).await.status, 403, "{path}");
        let query = format!("{path}{}access_token={IDP}", if path.contains('?') { '&' } else { '?' });
        assert_eq!(world.ask("", method, &query, body).await.status, 401, "a token in a query: {path}");
    }
    for path in ["/v1/ssf/streams", "/v1/ssf/streams/status"] {
        let method = if path.ends_with("status") { Method::POST } else { Method::GET };
        assert_eq!(world.ask(IDP, method, path, Some(json!({}))).await.status, 401, "{path}");
    }
}

#[tokio::test]
async fn a_stream_is_made_read_changed_replaced_and_deleted() {
    let world = World::new().await;
    assert_eq!(world.get(IDP, "/ssf/streams").await.expect(200), json!([]));
    let revoked = format!("{CAEP}session-revoked");
    let asked = json!({
        "events_requested": [revoked, "https://example.com/none"], "description": "ours",
        "delivery": { "method": PUSH, "endpoint_url": "https://idp.example/ssf", "authorization_header": "Bearer x" },
    });
    let made = world.post(IDP, "/ssf/streams", asked.clone()).await.expect(201);
    let id = made["stream_id"].as_str().unwrap();
    let told = made.to_string().replace(id, "ID");
    insta::assert_snapshot!(told, @r#"{"aud":"https://idp.example","delivery":{"authorization_header":"Bearer x","endpoint_url":"https://idp.example/ssf","method":"urn:ietf:rfc:8935"},"description":"ours","events_delivered":["https://schemas.openid.net/secevent/caep/event-type/session-revoked"],"events_requested":["https://schemas.openid.net/secevent/caep/event-type/session-revoked","https://example.com/none"],"events_supported":["https://schemas.openid.net/secevent/caep/event-type/session-revoked","https://schemas.openid.net/secevent/caep/event-type/credential-change","https://schemas.openid.net/secevent/caep/event-type/assurance-level-change","https://schemas.openid.net/secevent/caep/event-type/risk-level-change","https://schemas.openid.net/secevent/caep/event-type/session-established","https://schemas.openid.net/secevent/risc/event-type/account-disabled","https://schemas.openid.net/secevent/risc/event-type/account-enabled"],"iss":"https://tocsin.example/t1","min_verification_interval":60,"stream_id":"ID"}"#);
    assert_eq!(world.get(IDP, &format!("/ssf/streams?stream_id={id}")).await.expect(200), made);
    assert_eq!(world.get(IDP, "/ssf/streams").await.expect(200), json!([made]));

    // PATCH: what is not said stays; what is ours must be right.
    let patch = |change: Value| {
        let mut body = json!({ "stream_id": id });
        body.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        world.ask(IDP, Method::PATCH, "/ssf/streams", Some(body))
    };
    let mut wanted = made.clone();
    wanted["description"] = "yours".into();
    assert_eq!(
        patch(json!({ "description": "yours", "aud": "https://idp.example" })).await.expect(200),
        wanted
    );
    wanted["delivery"]["endpoint_url"] = "https://idp.example/new".into();
    let moved = json!({ "delivery": { "method": PUSH, "endpoint_url": "https://idp.example/new" } });
    assert_eq!(patch(moved).await.expect(200), wanted);
    for wrong in [
        json!({ "aud": "https://other.example" }),
        json!({ "iss": "https://other.example" }),
        json!({ "events_delivered": [] }),
        json!({ "min_verification_interval": 1 }),
        json!({ "inactivity_timeout": 60 }),
        json!({ "delivery": { "method": "urn:ietf:rfc:0" } }),
        json!({ "delivery": { "endpoint_url": "ftp://idp.example" } }),
        json!({ "delivery": { "authorization_header": "a\nb" } }),
        json!({ "events_requested": vec!["x"; 65] }),
        json!({ "description": "x".repeat(3_000) }),
    ] {
        patch(wrong).await.expect(400);
    }
    assert_eq!(world.get(IDP, "/ssf/streams").await.expect(200), json!([wanted]), "nothing was changed");

    // PUT: what is not said goes, and without a delivery it is a poll stream.
    let body = json!({ "stream_id": id, "events_requested": [revoked] });
    let replaced = world.ask(IDP, Method::PUT, "/ssf/streams", Some(body)).await.expect(200);
    assert_eq!((replaced.get("description"), &replaced["events_requested"]), (None, &json!([revoked])));
    let poll = json!({ "method": "urn:ietf:rfc:8936", "endpoint_url": format!("http://{}/ssf/poll/{id}", world.address) });
    assert_eq!(replaced["delivery"], poll);
    patch(json!({ "delivery": { "endpoint_url": "https://idp.example/poll" } })).await.expect(400);
    world.ask(IDP, Method::PUT, "/ssf/streams", Some(json!({}))).await.expect(400);

    let one = format!("/ssf/streams?stream_id={id}");
    world.ask(IDP, Method::DELETE, &one, None).await.expect(204);
    world.ask(IDP, Method::DELETE, &one, None).await.expect(404);
    world.get(IDP, &one).await.expect(404);

    // A receiver has a bounded number of them.
    for _ in 0..8 {
        world.post(IDP, "/ssf/streams", asked.clone()).await.expect(201);
    }
    world.post(IDP, "/ssf/streams", asked).await.expect(409);
}

#[tokio::test]
async fn nobody_sees_or_touches_anothers_stream() {
    let world = World::new().await;
    let id = world.stream(&["session-revoked"], None).await;
    let subject = json!({ "format": "opaque", "id": "1" });
    let tried = [
        world.get(SOC, &format!("/ssf/streams?stream_id={id}")).await,
        world.ask(SOC, Method::PATCH, "/ssf/streams", Some(json!({ "stream_id": id }))).await,
        world.ask(SOC, Method::PUT, "/ssf/streams", Some(json!({ "stream_id": id }))).await,
        world.ask(SOC, Method::DELETE, &format!("/ssf/streams?stream_id={id}"), None).await,
        world.get(SOC, &format!("/ssf/status?stream_id={id}")).await,
        world.post(SOC, "/ssf/status", json!({ "stream_id": id, "status": "disabled" })).await,
        world.post(SOC, "/ssf/subjects/add", json!({ "stream_id": id, "subject": subject })).await,
        world.post(SOC, "/ssf/subjects/remove", json!({ "stream_id": id, "subject": subject })).await,
        world.post(SOC, "/ssf/verify", json!({ "stream_id": id })).await,
        world.post(SOC, &format!("/ssf/poll/{id}"), json!({ "returnImmediately": true })).await,
    ];
    let unknown = world.get(SOC, "/ssf/streams?stream_id=none").await.expect(404);
    for answer in tried {
        assert_eq!(answer.expect(404), unknown, "not even that it is there");
    }
    assert_eq!(world.get(SOC, "/ssf/streams").await.expect(200), json!([]));
    assert_eq!(world.get(IDP, &format!("/ssf/status?stream_id={id}")).await.expect(200)["status"], "enabled");
}

#[tokio::test]
async fn where_tokens_are_pushed_is_checked_and_the_header_is_sealed_at_rest() {
    let world = World::on(crate::testing::with_a_file(), &[]).await;
    let to = |url: &str| json!({ "delivery": { "method": PUSH, "endpoint_url": url, "authorization_header": "Bearer very-secret-header" } });
    for inside in [
        "https://127.0.0.1/",
        "https://169.254.169.254/",
        "http://soc.example/",
        "https://0x7f.1/",
        "https://[::1]/",
    ] {
        world.post(SOC, "/ssf/streams", to(inside)).await.expect(400);
    }
    world.post(SOC, "/ssf/streams", json!({ "delivery": { "method": PUSH } })).await.expect(400);
    let made = world.post(SOC, "/ssf/streams", to("https://soc.example/")).await.expect(201);
    assert_eq!(made["aud"], json!(["a", "b"]));
    assert_eq!(made["delivery"]["authorization_header"], "Bearer very-secret-header");
    for name in ["revoker.db", "revoker.db-wal"] {
        let bytes = std::fs::read(world.path().join(name)).unwrap();
        assert!(!bytes.windows(18).any(|w| w == b"very-secret-header"), "{name}");
    }
    let listed = world.get(OPERATOR, "/v1/ssf/streams").await.expect(200);
    assert!(!listed.to_string().contains("secret") && listed[0]["receiver"] == "soc", "{listed}");
}

#[tokio::test]
async fn a_credential_that_reads_sees_streams_and_changes_none() {
    let world = World::new().await;
    let id = world.stream(&["session-revoked"], None).await;
    for path in [
        "/ssf/streams".to_owned(),
        format!("/ssf/streams?stream_id={id}"),
        format!("/ssf/status?stream_id={id}"),
    ] {
        world.get(READER, &path).await.expect(200);
    }
    world.post(READER, &format!("/ssf/poll/{id}"), json!({ "returnImmediately": true })).await.expect(200);
    let body = json!({ "stream_id": id, "status": "disabled", "subject": { "format": "opaque", "id": "a" } });
    let changes = [
        (Method::POST, "/ssf/streams"),
        (Method::PATCH, "/ssf/streams"),
        (Method::PUT, "/ssf/streams"),
        (Method::POST, "/ssf/status"),
        (Method::POST, "/ssf/subjects/add"),
        (Method::POST, "/ssf/subjects/remove"),
        (Method::POST, "/ssf/verify"),
    ];
    for (method, path) in changes {
        let refused = world.ask(READER, method, path, Some(body.clone())).await;
        let challenge = refused.headers["www-authenticate"].to_str().unwrap().to_owned();
        assert_eq!(
            (refused.status, &*challenge),
            (403, r#"Bearer error="insufficient_scope", scope="ssf.manage""#)
        );
    }
    let delete = format!("/ssf/streams?stream_id={id}");
    assert_eq!(world.ask(READER, Method::DELETE, &delete, None).await.status, 403);
    assert_eq!(world.get(IDP, &format!("/ssf/status?stream_id={id}")).await.expect(200)["status"], "enabled");
}
