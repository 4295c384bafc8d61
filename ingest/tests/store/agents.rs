use std::time::Duration;

use detector::{Attestation, CredentialKind, EffectiveAttestation, Kind, Timestamp};
use ingest::store::CallsOf;

use crate::support::{call, insert, shared};

#[tokio::test]
async fn agents_are_told_as_their_calls_show_them() {
    let store = shared().await.store("agents").await;
    let mut calls: Vec<_> = (0..60).map(call).collect();
    for (n, call) in calls.iter_mut().enumerate() {
        call.identity.issuer = Some("https://idp.example".into());
        if n % 3 == 0 {
            call.identity.token_id = Some(format!("token-{}", n % 4).into());
            call.identity.parent_agent_id = Some("orchestrator".into());
            call.credential.kind = CredentialKind::ApiKey;
            call.credential.issued_at = Some(call.ts);
            call.credential.expires_at = Some(call.ts + Duration::from_secs(60 * n as u64));
            call.scope = Some("read write".into());
            call.source_ip = Some(if n % 2 == 0 { [192, 0, 2, 1].into() } else { [10, 0, 0, 1].into() });
            call.attestation = EffectiveAttestation::new(Attestation::Token, Attestation::Token);
        }
    }
    let mut outcome = call(60);
    outcome.kind = Kind::Outcome;
    calls.push(outcome);
    insert(&store, &calls).await.unwrap();
    // Written twice, counted once.
    insert(&store, &calls[..30]).await.unwrap();

    let start = call(0).ts;
    let everybody = |from: Timestamp| CallsOf { from, agent: None };
    let seen = store.agents_seen(everybody(start), 10).await.unwrap();
    let told: Vec<_> = seen.iter().map(|s| (s.agent_id.as_str(), s.calls, s.tokens)).collect();
    assert_eq!(told, [("agent-2", 20, 0), ("agent-1", 20, 0), ("agent-0", 20, 4)]);
    let zero = &seen[2];
    assert_eq!((zero.first_seen, zero.last_seen), (start, call(57).ts));
    assert_eq!(
        (zero.issuer.as_deref(), zero.token_lifetime_max_s),
        (Some("https://idp.example"), Some(60 * 57))
    );
    assert_eq!(
        (&zero.credential_kinds[..], &zero.scopes[..]),
        (&["api_key".to_owned()][..], &["read write".to_owned()][..])
    );
    assert_eq!(
        (&zero.parents[..], &zero.attestations[..]),
        (&["orchestrator".to_owned()][..], &["token".to_owned()][..])
    );
    assert_eq!(seen[0].token_lifetime_max_s, None);
    assert_eq!(store.agents_seen(everybody(call(58).ts), 10).await.unwrap().len(), 2);
    assert_eq!(store.agents_seen(everybody(start), 1).await.unwrap().len(), 1);

    let uses = store.endpoint_uses(everybody(start), 100).await.unwrap();
    assert_eq!(uses.len(), 6);
    assert_eq!(uses.iter().map(|u| u.calls).sum::<u64>(), 60);

    let issuer = Some("https://idp.example");
    let usage = store.usage(issuer, "agent-0", start).await.unwrap().unwrap();
    assert_eq!(&usage.seen, zero);
    let endpoints: Vec<_> = usage.endpoints.iter().map(|e| (e.endpoint.as_str(), e.calls)).collect();
    assert_eq!(endpoints, [("endpoint-0", 10), ("endpoint-1", 10)]);
    assert_eq!(usage.addresses, [([10, 0, 0, 1].into(), 10), ([192, 0, 2, 1].into(), 10)]);
    assert_eq!(usage.minutes, [(start.as_millis() / 60_000, 20)]);
    // Without its issuer it is another agent, of which nothing is known.
    assert_eq!(store.usage(None, "agent-0", start).await.unwrap(), None);
}
