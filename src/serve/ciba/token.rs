//! The id token of a yes (OpenID Connect Core 1.0, section 3.1.3.7, and CIBA Core 1.0, section 10.1.1).

use detector::Timestamp;
use revoker::revoker::PushedBy;
use revoker::store::pushes::Push;
use serde::Deserialize;

use super::Ciba;
use crate::serve::issuers::{LEEWAY_S, verified};

/// What is read of it; that it is of this provider, for us, in time and signed is checked before.
#[derive(Clone, Debug, Deserialize)]
struct Claims {
    iss: String,
    sub: String,
    aud: Audience,
    azp: Option<String>,
    iat: i64,
    auth_time: Option<i64>,
    acr: Option<String>,
    amr: Option<Vec<String>>,
    #[serde(rename = "urn:openid:params:jwt:claim:auth_req_id")]
    auth_req_id: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Many(Vec<String>),
}

/// What a token of this request must be.
struct Wanted<'a> {
    client_id: &'a str,
    acr_values: &'a [String],
    auth_req_id: &'a str,
    asked_at: Timestamp,
}

impl Ciba {
    /// Who said yes, or why it is none.
    pub(super) async fn verified(
        &self,
        token: &str,
        push: &Push,
        auth_req_id: &str,
    ) -> Result<PushedBy, String> {
        let claims: Claims = verified(&self.config.issuer, &self.keys, token, &self.validation)
            .await
            .map_err(|refused| refused.to_string())?;
        let wanted = Wanted {
            client_id: &self.config.client_id,
            acr_values: &self.config.acr_values,
            auth_req_id,
            asked_at: push.asked_at,
        };
        claims.answer(&wanted).map_err(str::to_owned)
    }
}

impl Claims {
    fn answer(self, wanted: &Wanted<'_>) -> Result<PushedBy, &'static str> {
        let is_shared = matches!(&self.aud, Audience::Many(many) if many.len() > 1);
        let is_ours = match (&self.aud, &self.azp) {
            (Audience::One(one), None) => one == wanted.client_id,
            (_, Some(azp)) => azp == wanted.client_id,
            (Audience::Many(_), None) => !is_shared,
        };
        if !is_ours {
            return Err("it was given to another client");
        }
        // Only pushed tokens must name it; one that names another is another's all the same.
        if self.auth_req_id.as_deref().is_some_and(|id| id != wanted.auth_req_id) {
            return Err("it is of another request");
        }
        // A person who proved who they are before they were asked has not answered.
        let earliest = wanted.asked_at.as_millis().div_euclid(1_000) - LEEWAY_S.cast_signed();
        if self.iat < earliest || self.auth_time.is_some_and(|at| at < earliest) {
            return Err("it is from before the question");
        }
        let acr = self.acr.as_deref();
        if !wanted.acr_values.is_empty() && !wanted.acr_values.iter().any(|wanted| acr == Some(wanted)) {
            return Err("its `acr` is none of those that were asked for");
        }
        let Self { iss, sub, acr, amr, auth_time, .. } = self;
        Ok(PushedBy { iss, sub, acr, amr, auth_time })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn a_yes_is_for_us_for_this_request_after_it_was_put_and_as_strong_as_asked() {
        let acr_values = ["phr".to_owned()];
        let asked_at = Timestamp::from_millis(1_000_000_000);
        let wanted = Wanted { client_id: "tocsin", acr_values: &acr_values, auth_req_id: "r1", asked_at };
        let said = |changed: Value| {
            let mut claims =
                json!({ "iss": "i", "sub": "s", "aud": "tocsin", "iat": 1_000_001, "acr": "phr" });
            claims.as_object_mut().unwrap().extend(changed.as_object().unwrap().clone());
            serde_json::from_value::<Claims>(claims).unwrap().answer(&wanted).map(|by| by.sub)
        };
        let id = "urn:openid:params:jwt:claim:auth_req_id";
        for good in [
            json!({}),
            json!({ "aud": ["tocsin"] }),
            json!({ "aud": ["tocsin", "b"], "azp": "tocsin" }),
            json!({ id: "r1", "auth_time": 1_000_000 }),
        ] {
            assert_eq!(said(good.clone()), Ok("s".to_owned()), "{good}");
        }
        for bad in [
            json!({ "aud": ["tocsin", "b"] }),
            json!({ "azp": "b" }),
            json!({ id: "r2" }),
            json!({ "iat": 999_000 }),
            json!({ "auth_time": 999_000 }),
            json!({ "acr": "1" }),
            json!({ "acr": null }),
        ] {
            assert!(said(bad.clone()).is_err(), "{bad}");
        }
    }
}
