//! Each real part on its own, before any scenario leans on it.

use std::process::Command;
use std::time::Duration;

use reqwest::Method;
use serde_json::json;

use crate::support::disk::SmallDisk;
use crate::support::kafka::Kafka;
use crate::support::process::Process;
use crate::support::receiver::Receiver;
use crate::support::{http, totp};

fn scratch() -> tempfile::TempDir {
    tempfile::tempdir().expect("a scratch folder")
}

#[test]
fn a_broker_keeps_what_it_acknowledged_through_a_kill_and_forgets_what_retention_takes() {
    let folder = scratch();
    let mut kafka = Kafka::start(folder.path());
    kafka.create_topic("calls", 2, &[]);
    let lines: Vec<String> = (0..100).map(|i| format!("line {i}")).collect();
    kafka.produce("calls", lines.iter().map(|line| (&line[..6], line.as_bytes())));

    kafka.kill();
    kafka.restart();

    assert_eq!(kafka.read_all("calls").len(), 100);
    let (partition, (low, high)) = kafka.watermarks("calls")[0];
    assert_eq!(low, 0);
    assert_eq!(kafka.committed("nobody", "calls"), [None, None]);
    kafka.expire_before("calls", partition, high - 1);
    assert_eq!(kafka.watermarks("calls")[0], (partition, (high - 1, high)));
}

#[test]
fn the_receiver_takes_only_what_verifies_and_its_record_outlives_it() {
    use base64::Engine as _;

    let folder = scratch();
    let key = base64::engine::general_purpose::STANDARD.encode([7; 32]);
    let mut receiver = Receiver::start(folder.path(), &format!("whsec_{key}"));
    // Signed by Python, so that neither side's code signs for the other.
    let body = json!({ "type": "agent.revoked", "timestamp": "2026-01-01T00:00:00Z", "data": { "n": 1 } })
        .to_string();
    let now =
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_secs();
    let signature = hmac(&key, &format!("msg_1.{now}.{body}"));
    let deliver = |receiver: &Receiver, signature: &str| {
        http::send(
            http::request(Method::POST, &receiver.url())
                .header("webhook-id", "msg_1")
                .header("webhook-timestamp", now.to_string())
                .header("webhook-signature", format!("v1,{signature}"))
                .body(body.clone()),
        )
    };

    deliver(&receiver, &signature).expect("an answer").expect(204);
    receiver.behave(&json!({ "status": 429, "retry_after": 3, "times": 1 }));
    assert_eq!(deliver(&receiver, &signature).expect("an answer").expect(429).header("retry-after"), "3");
    receiver.behave(&json!({ "close": true }));
    deliver(&receiver, &signature).expect_err("a cut connection");
    receiver.kill();
    deliver(&receiver, &signature).expect_err("a refused connection");
    receiver.restart();
    deliver(&receiver, &signature).expect("an answer").expect(204);

    assert_eq!(receiver.effects().len(), 1);
    let answers: Vec<_> = receiver.recorded().iter().map(|entry| entry["answered"].clone()).collect();
    assert_eq!(answers, [json!(204), json!(429), json!("close"), json!(204)]);
    deliver(&receiver, "AAAA").expect("an answer").expect(401);
    assert!(receiver.recorded()[4]["refused"].is_string());
}

/// HMAC-SHA256 in base64, by Python's own library.
fn hmac(key: &str, text: &str) -> String {
    let script = "import base64, hmac, sys\n\
                  key, text = base64.b64decode(sys.argv[1]), sys.argv[2].encode()\n\
                  print(base64.b64encode(hmac.new(key, text, 'sha256').digest()).decode())";
    let output = Command::new("python3").args(["-c", script, key, text]).output().expect("python3 runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

#[test]
fn the_authenticator_shows_the_codes_of_rfc_6238() {
    // RFC 6238 appendix B, SHA1, "12345678901234567890" in base32.
    let address =
        "otpauth://totp/T:a?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&digits=8&algorithm=SHA1&period=30";
    assert_eq!(totp::code(address, 59), "94287082");
    assert_eq!(totp::code(address, 1_111_111_109), "07081804");
}

#[test]
fn a_small_disk_fills_up_and_is_given_space_again() {
    let folder = scratch();
    let mount = folder.path().join("disk");
    let disk = SmallDisk::new(&mount, 4 << 20);
    let script = r#"while sleep 0.01; do dd if=/dev/zero bs=1k count=1 2>/dev/null >>"$1/file" && echo room || echo full; done"#;
    let output = folder.path().join("writer.out");
    let mut command = disk.command("sh");
    command.args(["-c", script, "sh"]).arg(&mount);
    let mut writer = Process::start("a writer", &mut command, &output);
    let last = || std::fs::read_to_string(&output).ok()?.lines().last().map(ToOwned::to_owned);
    let limit = Duration::from_secs(30);

    writer.ready("room at first", limit, || (last()? == "room").then_some(()));
    disk.fill(&writer, 0);
    writer.ready("a full disk", limit, || (last()? == "full").then_some(()));
    disk.relieve(Some(&writer));
    writer.ready("room again", limit, || (last()? == "room").then_some(()));
}
