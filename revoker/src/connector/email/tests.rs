//! What a letter is and who gets one; how it is brought is tried against a mail server in `tests/it/email.rs`.

use super::*;
use crate::approval::ApproverName;

fn config(more: &str) -> EmailConfig {
    let base = json(
        r#"{"server": "mail.example.com", "from": "Tocsin <tocsin@example.com>", "to": ["soc@example.com"]}"#,
    );
    let mut base = base;
    base.as_object_mut().unwrap().extend(json(more).as_object().unwrap().clone());
    serde_json::from_value(base).unwrap()
}

fn json(text: &str) -> serde_json::Value {
    serde_json::from_str(text).unwrap()
}

fn built(more: &str) -> Result<Mail, EmailError> {
    config(more).build(|name| (name == "MAIL").then(|| "hunter2".to_owned()))
}

#[test]
fn a_section_that_cannot_be_used_says_why() {
    assert!(built("{}").is_ok());
    assert!(built(r#"{"tls": "implicit", "user": "t", "password_env": "MAIL"}"#).is_ok());
    assert!(built(r#"{"tls": "none", "allow_insecure_target": true}"#).is_ok());
    for (wrong, says) in [
        (r#"{"server": ""}"#, "`server` must not be empty"),
        (r#"{"to": []}"#, "`to` must not be empty"),
        (r#"{"tls": "none"}"#, "`allow_insecure_target` allows it"),
        (r#"{"password": "hunter2"}"#, "without `user`"),
        (r#"{"user": "t"}"#, "exactly one of `password`"),
        (r#"{"user": "t", "password_env": "NONE"}"#, "NONE is not set"),
        (r#"{"ca_file": "none.pem"}"#, "`ca_file`: none.pem"),
        (r#"{"ca_file": "Cargo.toml"}"#, "no certificate is in it"),
    ] {
        let said = built(wrong).err().map(|e| e.to_string()).unwrap_or_default();
        assert!(said.contains(says) && !said.contains("hunter2"), "{wrong}: {said}");
    }
}

fn notice(people: &[&str], also: &[&str]) -> Notice {
    let names = |names: &[&str]| names.iter().map(ToString::to_string).collect();
    Notice {
        title: String::new(),
        text: String::new(),
        why: String::new(),
        expires_at: Some(Timestamp::default()),
        people: names(people),
        also: names(also),
    }
}

#[test]
fn no_word_from_outside_adds_a_header_or_ends_the_letter() {
    let mail = built("{}").unwrap();
    let nasty = "x\r\nBcc: thief@example.net\r\n\r\n.\r\nMAIL FROM:<a@b>";
    let notice = Notice {
        title: format!("May {nasty} call?"),
        text: nasty.to_owned(),
        why: nasty.to_owned(),
        ..notice(&[], &[])
    };
    let letter = mail.letter("evt_1", &notice, &mail.to[0]).unwrap();
    let bytes = String::from_utf8(letter.formatted()).unwrap();
    let (head, _) = bytes.split_once("\r\n\r\n").unwrap();
    let names: Vec<&str> = head
        .lines()
        .filter(|line| !line.starts_with([' ', '\t']))
        .filter_map(|line| line.split(':').next())
        .collect();
    assert!(!names.contains(&"Bcc"), "{head}");
    assert_eq!(letter.envelope().to().len(), 1);
    assert!(head.contains("Message-ID: <evt_1@example.com>") && head.contains("Auto-Submitted"), "{head}");
}

#[test]
fn those_with_an_address_are_written_to_and_the_others_through_the_section() {
    let row = |name: &str, also: &[&str]| {
        let also = also.iter().map(ToString::to_string).collect();
        ApproverRow::new(ApproverName::new(name).unwrap(), also, Timestamp::default(), "cli".into())
    };
    let approvers = [
        row("Ann", &["9f1c-subject", "ann@example.com"]),
        row("bob@example.com", &[]),
        row("Cleo", &[]),
        ApproverRow { disabled_at: Some(Timestamp::default()), ..row("Dan", &["dan@example.com"]) },
    ];
    let others = config("{}").to;
    let written = |notice: &Notice| {
        let to = recipients(notice, &approvers, &others);
        to.iter().map(|to| to.email.to_string()).collect::<Vec<_>>().join(" ")
    };
    let to = |people: &[&str]| written(&notice(people, &[]));
    assert_eq!(to(&["Ann", "bob@example.com", "ann@example.com"]), "ann@example.com bob@example.com");
    assert_eq!(to(&["Ann", "Cleo"]), "ann@example.com soc@example.com");
    for people in [&[][..], &["Dan"], &["nobody"]] {
        assert_eq!(to(people), "soc@example.com");
    }
    // Owner and sponsor hear of it, too: by the record, or named by their address.
    let also = |people: &[&str]| written(&notice(people, &["Ann", "eve@example.org", "Platform team"]));
    assert_eq!(also(&[]), "ann@example.com eve@example.org soc@example.com");
    assert_eq!(also(&["bob@example.com"]), "bob@example.com ann@example.com eve@example.org");
    let alert = |also: &[&str]| written(&Notice { expires_at: None, ..notice(&[], also) });
    assert_eq!(alert(&["Ann", "Platform team"]), "ann@example.com");
    assert_eq!(alert(&["Platform team"]), "soc@example.com");
}
