//! The prompted flow: a page for a browser, a token that it brings back, and what that is exchanged for.

use axum::Router;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use reqwest::Url;
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use super::Mfa;
use super::input::{Credentials, PromptInit, bad};
use crate::api::Api;
use crate::api::approve::reply;
use crate::api::caller::Caller;
use crate::api::gate::Scorer;
use crate::api::problem::Problem;
use crate::approval::page::waiting;
use crate::approval::{Digest, Status};
use crate::store::StoreError;
use crate::store::transactions::{self, Prompt, TransactionRow};

/// The section `[mfa]`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MfaConfig {
    /// The addresses that a prompted flow may come back to, each as a whole.
    pub callback_urls: Vec<String>,
    /// The addresses that it may go to where nothing was confirmed, each as a whole.
    pub logout_urls: Vec<String>,
}

impl MfaConfig {
    /// What is wrong with the first address that nothing may be sent to: `https` alone, or `http` on this machine.
    pub fn wrong(&self) -> Option<String> {
        let is_good = |text: &str| {
            let Ok(url) = Url::parse(text) else { return false };
            let is_own = matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"));
            let is_plain = url.username().is_empty() && url.password().is_none() && url.fragment().is_none();
            is_plain && (url.scheme() == "https" || (url.scheme() == "http" && is_own))
        };
        let all = self.callback_urls.iter().chain(&self.logout_urls);
        let wrong = all.into_iter().find(|text| !is_good(text))?;
        Some(format!(
            "mfa: `{wrong}` is no https address (http for this machine alone) without user and fragment"
        ))
    }
}

pub(super) fn router() -> Router<Api> {
    Router::new().route("/mfa/{page}", get(page))
}

impl<S: Scorer> Mfa<S> {
    pub(super) async fn prompt(&self, caller: &Caller, asked: PromptInit) -> Result<Value, Problem> {
        let listed = [
            ("callbackUrl", &asked.callback_url, &self.config.callback_urls),
            ("logoutUrl", &asked.logout_url, &self.config.logout_urls),
        ];
        if let Some((field, url, _)) = listed.into_iter().find(|(_, url, all)| !all.contains(url)) {
            tracing::warn!(
                caller = caller.name,
                field,
                url,
                "refused: an address that is not on the operator's list"
            );
            let words = format!("`{field}`: `{url}` is not among those that the operator allows.");
            return Err(bad("address_not_allowed", words).fact("field", field));
        }
        let param = |name: &str| asked.init.params.get(name).filter(|value| !value.is_empty()).cloned();
        let prompt = Prompt {
            callback_url: asked.callback_url.clone(),
            logout_url: asked.logout_url.clone(),
            state: param("state"),
            code_challenge: param("code_challenge"),
        };
        let page = format!("{:032x}", rand::random::<u128>());
        let row = self.begin(caller, asked.init, Some((page.clone(), prompt))).await?;
        let approval = self.put(&row).await?;
        let api = self.gate.api();
        Ok(json!({
            "tid": row.tid,
            "webURI": format!("{}/mfa/{page}", api.public_url),
            "binding_code": approval.binding_code,
            "expires_at": approval.expires_at,
        }))
    }

    pub(super) async fn credentials(&self, caller: &Caller, asked: Credentials) -> Result<Value, Problem> {
        let refused = |words: &str| {
            Problem::new(StatusCode::UNAUTHORIZED, "token_refused", "The access token gives nothing")
                .detail(words)
        };
        let (digest, name) = (Digest::of(asked.access_token.as_bytes()), caller.name.clone());
        let verifier = asked.code_verifier.map(|verifier| challenge_of(&verifier));
        // Looked up and spent in one transaction: of two who bring it, one gets something.
        let spent = self.gate.api().revoker.write(move |w| {
            let found = transactions::by_token(w.tx(), &digest, &name)?;
            let Some(row) = found.filter(|row| is_bound(row, verifier.as_deref())) else { return Ok(None) };
            transactions::set_token(w.tx(), &row.tid, None)?;
            Ok::<_, StoreError>(Some(row))
        });
        let row = spent.await?.ok_or_else(|| {
            tracing::warn!(caller = caller.name, "refused: an access token that is unknown, spent or another's");
            refused("It is unknown, was exchanged before, is another credential's, or `codeVerifier` is not its own.")
        })?;
        let approval = match row.approval.clone() {
            Some(id) => self.gate.api().revoker.approval(id).await?,
            None => None,
        };
        let approval = approval.filter(|approval| approval.status(self.now()) == Status::Approved);
        let approval = approval.ok_or_else(|| refused("Nothing was confirmed."))?;
        let mut told = self.told(&row.tid, &approval);
        if told["token"].is_null() {
            return Err(refused("What was confirmed is no longer good."));
        }
        let action = approval.action();
        for (name, value) in [
            ("username", row.username.clone()),
            ("email", row.email.clone()),
            ("agent", action.agent_id.clone()),
            ("action", action.endpoint.clone()),
        ] {
            told[name] = value.into();
        }
        told["args_digest"] = json!(action.args_digest);
        Ok(told)
    }
}

/// `S256` of RFC 7636.
fn challenge_of(verifier: &str) -> String {
    URL_SAFE_NO_PAD.encode(Sha256::digest(verifier.as_bytes()))
}

/// Whether who brings the token is who began: where a challenge was given only its verifier shows that.
fn is_bound(row: &TransactionRow, challenge: Option<&str>) -> bool {
    match row.prompt.as_ref().and_then(|(_, prompt)| prompt.code_challenge.as_deref()) {
        None => true,
        Some(given) => challenge.is_some_and(|own| bool::from(own.as_bytes().ct_eq(given.as_bytes()))),
    }
}

/// `GET /mfa/{page}`: no credential, the address cannot be guessed. While the question is open it leads to the page where it is answered;
/// then it goes on to where the agent's side said.
async fn page(State(api): State<Api>, page: Result<Path<String>, PathRejection>) -> Response {
    let Ok(Path(page)) = page else { return reply::no_prompt() };
    match shown(&api, page).await {
        Ok(Some(response)) => response,
        Ok(None) => reply::no_prompt(),
        Err(e) => reply::failed(&e),
    }
}

/// None where there is no such page.
async fn shown(api: &Api, page: String) -> Result<Option<Response>, StoreError> {
    let wanted = page.clone();
    let found = api.revoker.read(move |db| transactions::by_page(db, &wanted)).await?;
    let Some(row) = found.filter(|row| api.now() < row.expires_at) else { return Ok(None) };
    let (Some((_, prompt)), Some(id)) = (row.prompt, row.approval) else { return Ok(None) };
    let Some(approval) = api.revoker.approval(id).await? else { return Ok(None) };
    let (to, told) = match approval.status(api.now()) {
        Status::Pending => {
            let here = format!("/mfa/{page}");
            return Ok(Some(reply::html(StatusCode::OK, waiting(&approval.page, &here))));
        }
        Status::Approved => {
            let token = format!("mfat_{:032x}{:032x}", rand::random::<u128>(), rand::random::<u128>());
            let (tid, digest) = (row.tid, Digest::of(token.as_bytes()));
            api.revoker.write(move |w| transactions::set_token(w.tx(), &tid, Some(&digest))).await?;
            (&prompt.callback_url, ("accessToken", token))
        }
        Status::Denied => (&prompt.logout_url, ("error", "access_denied".to_owned())),
        over @ (Status::Expired | Status::Superseded) => {
            (&prompt.logout_url, ("error", over.as_str().to_owned()))
        }
    };
    Ok(Some(goes_on(to, &prompt, told)))
}

/// To an address of the operator's list, with this told.
fn goes_on(to: &str, prompt: &Prompt, (name, value): (&str, String)) -> Response {
    let Ok(mut url) = Url::parse(to) else { return reply::no_prompt() };
    url.query_pairs_mut().append_pair(name, &value);
    if let Some(state) = &prompt.state {
        url.query_pairs_mut().append_pair("state", state);
    }
    let headers = [
        (header::LOCATION, String::from(url)),
        (header::CACHE_CONTROL, "no-store".to_owned()),
        (header::REFERRER_POLICY, "no-referrer".to_owned()),
    ];
    (StatusCode::SEE_OTHER, headers).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_https_or_on_this_machine() {
        let wrong =
            |url: &str| MfaConfig { callback_urls: vec![url.to_owned()], ..MfaConfig::default() }.wrong();
        for good in ["https://app.example/back?a=1", "http://localhost:8080/back", "http://127.0.0.1/b"] {
            assert_eq!(wrong(good), None, "{good}");
        }
        for bad in [
            "http://app.example/",
            "https://u:p@app.example/",
            "javascript:alert(1)",
            "/back",
            "https://a/#x",
            "",
        ] {
            assert!(wrong(bad).is_some(), "{bad}");
        }
    }

    /// RFC 7636, appendix B.
    #[test]
    fn a_challenge_is_as_its_rfc_has_it() {
        let verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
        assert_eq!(challenge_of(verifier), "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
    }
}
