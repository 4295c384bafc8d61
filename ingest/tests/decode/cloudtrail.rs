//! CloudTrail's mapping, case by case.

use detector::{Call, Text, Timestamp};
use ingest::decode::{Tally, cloudtrail};
use serde_json::{Value, json};

use crate::support::line;

/// A record of that identity, with further fields.
fn record(identity: &Value, more: Value) -> String {
    let mut record = json!({
        "eventVersion": "1.11", "eventID": "id", "eventTime": "2024-07-30T21:31:10Z",
        "eventSource": "s3.amazonaws.com", "eventName": "GetObject", "eventType": "AwsApiCall",
        "recipientAccountId": "999999999999", "userIdentity": identity,
    });
    if let (Value::Object(record), Value::Object(more)) = (&mut record, more) {
        record.extend(more);
    }
    record.to_string()
}

fn decode(record: &str) -> Call<'_> {
    cloudtrail::decode(record.as_bytes(), &mut Tally::new()).unwrap()
}

fn role_session() -> Value {
    json!({
        "type": "AssumedRole", "principalId": "AROAEXAMPLE:job-7",
        "arn": "arn:aws:sts::123456789012:assumed-role/Crawler/job-7",
        "accountId": "123456789012", "accessKeyId": "ASIAEXAMPLE",
        "sessionContext": {
            "sessionIssuer": { "type": "Role", "arn": "arn:aws:iam::123456789012:role/path/Crawler" },
            "attributes": { "creationDate": "2024-07-30T21:00:00Z", "mfaAuthenticated": "false" },
        },
    })
}

/// Whom a record's agent is said to be, and who vouches.
fn who(identity: &Value) -> String {
    let record = record(identity, json!({}));
    let call = decode(&record);
    let or_none = |text: &Option<Text<'_>>| text.as_deref().unwrap_or("-").to_owned();
    format!(
        "agent {}\ninstance {}\nsession {}\ndelegator {}\ntoken {} {}\nattested {}\n",
        call.identity.agent_id,
        or_none(&call.identity.instance_id),
        or_none(&call.identity.session_id),
        or_none(&call.identity.delegator),
        or_none(&call.identity.token_id),
        call.credential.kind.as_str(),
        call.claimed.as_str(),
    )
}

#[test]
fn every_kind_of_identity_is_one_agent() {
    let cases = [
        ("a role's session", role_session()),
        (
            "a user",
            json!({ "type": "IAMUser", "principalId": "AIDAEXAMPLE", "arn": "arn:aws:iam::123456789012:user/ops/ann",
                "accountId": "123456789012", "accessKeyId": "AKIAEXAMPLE", "userName": "ann" }),
        ),
        (
            "root",
            json!({ "type": "Root", "principalId": "123456789012", "arn": "arn:aws:iam::123456789012:root" }),
        ),
        (
            "a federated user of a user",
            json!({ "type": "FederatedUser", "arn": "arn:aws:sts::123456789012:federated-user/any", "accessKeyId": "ASIAF",
                "sessionContext": { "sessionIssuer": { "arn": "arn:aws:iam::123456789012:user/maker" } } }),
        ),
        (
            "a federated user of a role",
            json!({ "type": "FederatedUser", "arn": "arn:aws-cn:sts::123456789012:federated-user/any",
                "sessionContext": { "sessionIssuer": { "arn": "arn:aws-cn:iam::123456789012:role/deep/path/Maker" } } }),
        ),
        (
            "a federated user of nobody known",
            json!({ "type": "FederatedUser", "arn": "arn:aws:sts::123456789012:federated-user/any" }),
        ),
        ("a service", json!({ "type": "AWSService", "invokedBy": "lambda.amazonaws.com" })),
        ("a service inside", json!({ "accountId": "123456789012", "invokedBy": "AWS Internal" })),
        (
            "a role's session, by its ids",
            json!({ "type": "AWSAccount", "principalId": "AROAEXAMPLE:job-7", "accountId": "111111111111" }),
        ),
        (
            "a web identity",
            json!({ "type": "WebIdentityUser", "principalId": "accounts.google.com:app:user", "userName": "user",
                "identityProvider": "accounts.google.com" }),
        ),
        (
            "a failed sign-in",
            json!({ "type": "IAMUser", "accountId": "123456789012", "accessKeyId": "", "userName": "HIDDEN" }),
        ),
        ("somebody", json!({ "type": "Unknown" })),
        (
            "an identity centre user",
            json!({ "type": "IdentityCenterUser", "accountId": "123456789012",
                "onBehalfOf": { "userId": "544894e8", "identityStoreArn": "arn:aws:identitystore::123456789012:identitystore/d-9" } }),
        ),
    ];
    let table = cases.map(|(name, identity)| format!("== {name}\n{}", who(&identity))).concat();
    insta::assert_snapshot!("identities", table);
}

#[test]
fn a_session_on_behalf_of_somebody_names_them() {
    let mut identity = role_session();
    identity["sessionContext"]["sourceIdentity"] = json!("ann@example.com");
    identity["onBehalfOf"] = json!({ "userId": "544894e8" });
    let record = record(&identity, json!({}));
    let call = decode(&record);
    assert_eq!(call.identity.delegator.as_deref(), Some("ann@example.com"));
    assert_eq!(call.credential.issued_at, "2024-07-30T21:00:00Z".parse::<Timestamp>().ok());
}

#[test]
fn what_came_of_it() {
    for (more, status) in [
        (json!({}), 200),
        (json!({ "errorCode": null, "errorMessage": null }), 200),
        (json!({ "errorCode": "AccessDenied", "errorMessage": "no" }), 403),
        (json!({ "errorCode": "AccessDeniedException" }), 403),
        (json!({ "errorCode": "Client.UnauthorizedOperation" }), 403),
        (json!({ "errorCode": "ThrottlingException" }), 429),
        (json!({ "errorCode": "Client.RequestLimitExceeded" }), 429),
        (json!({ "errorCode": "SlowDown" }), 429),
        (json!({ "errorCode": "NoSuchBucket" }), 400),
        (json!({ "errorMessage": "Failed authentication" }), 400),
    ] {
        assert_eq!(decode(&record(&role_session(), more.clone())).status, Some(status), "{more}");
    }
}

#[test]
fn credentials_that_did_not_verify_attest_nothing() {
    for (more, attested) in [
        (json!({}), "token"),
        (json!({ "errorCode": "AccessDenied" }), "token"),
        (json!({ "errorCode": "SignatureDoesNotMatch" }), "none"),
        (json!({ "errorCode": "InvalidClientTokenId" }), "none"),
    ] {
        assert_eq!(decode(&record(&role_session(), more.clone())).claimed.as_str(), attested, "{more}");
    }
}

#[test]
fn the_rest_of_a_record() {
    let identity = json!({ "type": "Root", "arn": "arn:aws:iam::123456789012:root" });
    let table: String = [
        json!({ "readOnly": true, "sourceIPAddress": "203.0.113.7", "userAgent": "aws-cli/2.15" }),
        json!({ "readOnly": false, "sourceIPAddress": "cloudformation.amazonaws.com" }),
        json!({ "sourceIPAddress": "AWS Internal", "eventSource": "custom.example" }),
        json!({ "resources": [], "sourceIPAddress": "2001:db8::1" }),
        json!({ "resources": [{ "ARN": "arn:aws:s3:::b/k", "type": "AWS::S3::Object" }, { "ARN": "arn:aws:s3:::b" }] }),
        json!({ "resources": [{ "ARNPrefix": "arn:aws:s3:::b/" }] }),
        json!({ "resources": [{ "accountId": "1" }, { "ARN": "arn:aws:s3:::b" }], "requestParameters": { "a": [{ "b": {} }] } }),
        json!({ "eventTime": "20240730T213110Z" }),
    ]
    .into_iter()
    .map(|more| line(&decode(&record(&identity, more))))
    .collect();
    insta::assert_snapshot!("rest", table);
}

#[test]
fn fields_that_aws_does_not_document_are_counted() {
    let mut tally = Tally::new();
    let record = record(
        &role_session(),
        json!({ "newField": { "a": 1 }, "requestParameters": null, "tlsDetails": {} }),
    );
    cloudtrail::decode(record.as_bytes(), &mut tally).unwrap();
    assert_eq!(tally.by_name().collect::<Vec<_>>(), [("newField", 1)]);
}
