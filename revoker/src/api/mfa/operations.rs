//! Required, exists, begin, send.

use std::sync::PoisonError;
use std::time::Duration;

use axum::http::StatusCode;
use detector::Timestamp;
use serde_json::{Value, json};

use super::Mfa;
use super::input::{self, Exists, Init, Required, Send, bad};
use crate::api::caller::Caller;
use crate::api::gate::Scorer;
use crate::api::problem::Problem;
use crate::approval;
use crate::approval::{Action, Asked, Factor, Unequivocal};
use crate::revoker::{AskError, PushError};
use crate::store::StoreError;
use crate::store::transactions::{self, Prompt, TransactionRow};

/// How long a transaction may be picked up.
const TTL: Duration = Duration::from_hours(1);

/// Transactions of one caller that are not over.
const OPEN_MAX: u32 = 10_000;

/// How often a minute one caller may look which users there are without anybody's being asked.
const LOOKS_PER_MINUTE: u32 = 60;

/// The longest name or address.
const NAME_BYTES_MAX: usize = 256;

/// Methods, the weaker first. `push` is the identity provider's, and there if one is configured.
const METHODS: [Factor; 3] = [Factor::Push, Factor::Totp, Factor::Passkey];

impl<S: Scorer> Mfa<S> {
    pub(super) async fn required(&self, caller: &Caller, asked: Required) -> Result<Value, Problem> {
        let field = |name: &str| asked.context.get(name).and_then(Value::as_str).map(str::to_owned);
        let record = input::record(caller, Some(&asked.action), &field, self.now());
        match self.gate.recall(caller, record.clone().into()).await {
            Ok(_) => Ok(json!({ "required": false, "reason": "nothing asks for it" })),
            Err(problem) if matches!(problem.kind(), "challenged" | "score_required") => {
                let reason =
                    if problem.kind() == "challenged" { "the agent is challenged" } else { "policy" };
                let fact = |name: &str| problem.facts().get(name).cloned().unwrap_or_default();
                let agent = Action::of_call(&self.gate.decode(&record, caller)?);
                let standing = self.gate.api().revoker.standing(agent.issuer.as_deref(), &agent.agent_id);
                Ok(json!({
                    "required": true, "reason": reason, "case": standing.case(), "approval_id": fact("approval_id"),
                    "acr_values": fact("acr_values"),
                }))
            }
            Err(problem) => Err(problem),
        }
    }

    /// The work is the same whether or not somebody is found, and few may be looked for.
    pub(super) async fn exists(&self, caller: &Caller, asked: Exists) -> Result<Value, Problem> {
        self.may_look(caller)?;
        Ok(json!({ "exists": self.is_user(&asked.email).await? }))
    }

    /// Counts a look of this minute, or refuses it.
    fn may_look(&self, caller: &Caller) -> Result<(), Problem> {
        let minute = self.now().as_millis() / 60_000;
        let mut looked = self.looked.lock().unwrap_or_else(PoisonError::into_inner);
        // Callers are credentials of the configuration and subjects of issuers; those of other minutes are forgotten.
        looked.retain(|_, (when, _)| *when == minute);
        let (_, looks) = looked.entry(caller.name.clone()).or_insert((minute, 0));
        *looks += 1;
        if *looks > LOOKS_PER_MINUTE {
            tracing::warn!(caller = caller.name, "refused: looks for too many users");
            let problem =
                Problem::new(StatusCode::TOO_MANY_REQUESTS, "too_many_looks", "Too many users looked for");
            return Err(problem.retry_after(60));
        }
        Ok(())
    }

    /// A look that is no longer counted: who was found is asked, and so is no secret.
    fn give_back_look(&self, caller: &Caller) {
        let mut looked = self.looked.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, looks)) = looked.get_mut(&caller.name) {
            *looks = looks.saturating_sub(1);
        }
    }

    async fn is_user(&self, email: &str) -> Result<bool, StoreError> {
        let approvers = approval::list(&self.gate.api().revoker).await?;
        // No early end: how long it takes must not tell where somebody stands in the list.
        Ok(approvers.iter().fold(false, |found, who| found | (who.disabled_at.is_none() & who.is(email))))
    }

    pub(super) async fn init(&self, caller: &Caller, init: Init) -> Result<Value, Problem> {
        let row = self.begin(caller, init, None).await?;
        Ok(json!({ "tid": row.tid, "expires_at": row.expires_at }))
    }

    /// A new transaction, about which nobody is asked yet.
    pub(super) async fn begin(
        &self,
        caller: &Caller,
        init: Init,
        prompt: Option<(String, Prompt)>,
    ) -> Result<TransactionRow, Problem> {
        for (field, value) in [("username", &init.username), ("email", &init.email)] {
            if value.is_empty() || value.len() > NAME_BYTES_MAX || value.contains(char::is_control) {
                return Err(bad(
                    "bad_name",
                    format!("`{field}` must be 1 to {NAME_BYTES_MAX} bytes on one line."),
                ));
            }
        }
        let now = self.now();
        let row = TransactionRow {
            tid: format!("mfa_{:032x}", rand::random::<u128>()),
            caller: caller.name.clone(),
            asked: self.asked(caller, &init, now)?,
            username: init.username,
            email: init.email,
            expires_at: now + TTL,
            approval: None,
            prompt,
        };
        let kept = row.clone();
        let room = self.gate.api().revoker.write(move |w| {
            let room = transactions::open(w.tx(), &kept.caller, now)? < OPEN_MAX;
            if room {
                transactions::insert(w.tx(), &kept, now)?;
            }
            Ok::<_, StoreError>(room)
        });
        if room.await? {
            return Ok(row);
        }
        let title = "Too many transactions are under way";
        Err(Problem::new(StatusCode::TOO_MANY_REQUESTS, "too_many_transactions", title).retry_after(60))
    }

    /// The question, in the words of the agent's side.
    fn asked(&self, caller: &Caller, init: &Init, now: Timestamp) -> Result<Asked, Problem> {
        let params = &init.params;
        let field = |name: &str| params.get(name).filter(|value| !value.is_empty()).cloned();
        let of_act = |name: &str| field(name).filter(|_| name != input::FROM);
        let record = input::record(caller, params.get("action").map(String::as_str), &of_act, now);
        let action = Action::of_call(&self.gate.decode(&record, caller)?);
        let others = params.iter().filter(|(name, _)| !input::is_of_act(name));
        let mut context: std::collections::BTreeMap<_, _> =
            others.map(|(name, value)| (name.clone(), self.gate.masked(value.clone()))).collect();
        context.insert("username".to_owned(), init.username.clone());
        let asked = Asked {
            action,
            arguments: None,
            description: field("description").map(|words| self.gate.masked(words)),
            requester: field("requester"),
            approver: Some(init.email.clone()),
            context,
            by: caller.name.clone(),
        };
        let invalid = |e: approval::AskedError| bad("bad_params", format!("{e}."));
        let asked = match field("arguments") {
            Some(text) => {
                let Unequivocal(arguments) = serde_json::from_str(&text)
                    .map_err(|e| bad("bad_params", format!("`arguments` cannot be taken: {e}.")))?;
                let mut asked = asked.with_arguments(&arguments).map_err(invalid)?;
                asked.arguments = asked.arguments.map(|text| self.gate.masked(text));
                asked
            }
            None => asked,
        };
        asked.check().map_err(invalid)?;
        Ok(asked)
    }

    pub(super) async fn transaction(&self, caller: &Caller, tid: &str) -> Result<TransactionRow, Problem> {
        let (tid, name, now) = (tid.to_owned(), caller.name.clone(), self.now());
        let found = self.gate.api().revoker.read(move |db| transactions::by_tid(db, &tid, &name)).await?;
        found.filter(|row| now < row.expires_at).ok_or_else(|| {
            Problem::new(StatusCode::NOT_FOUND, "transaction_unknown", "There is no such transaction")
                .detail("It is over, or it never was, or another credential began it.")
        })
    }

    pub(super) async fn send(&self, caller: &Caller, asked: Send) -> Result<Value, Problem> {
        let row = self.transaction(caller, &asked.tid).await?;
        let needs = self.gate.api().revoker.policy().needs(&row.asked.action);
        let there = METHODS.into_iter().filter(|method| match method {
            Factor::Push => self.pushes,
            Factor::Passkey => self.gate.api().revoker.relying_party().is_some(),
            _ => true,
        });
        let method = method(asked.method.as_deref(), needs.factor, &there.collect::<Vec<_>>())?;
        self.may_look(caller)?;
        if !self.is_user(&row.email).await? {
            return Err(Problem::new(StatusCode::CONFLICT, "user_unknown", "Nobody can be asked")
                .detail("Nobody is enrolled under this address; nobody was asked."));
        }
        let approval = self.put(&row).await?;
        self.give_back_look(caller);
        let api = self.gate.api();
        if method == Factor::Push {
            api.revoker.push(&approval, &row.email, self.now()).await.map_err(not_pushed)?;
        }
        Ok(json!({
            "sent": true,
            "tid": row.tid,
            "method": method.as_str(),
            "approval_id": approval.id,
            "status_url": format!("{}/v1/approvals/{}", api.public_url, approval.id),
            "binding_code": approval.binding_code,
            "expires_at": approval.expires_at,
        }))
    }

    /// The approval of this transaction, asked for where it is not yet.
    pub(super) async fn put(&self, row: &TransactionRow) -> Result<approval::Approval, Problem> {
        let revoker = &self.gate.api().revoker;
        if let Some(id) = &row.approval
            && let Some(approval) = revoker.approval(id.clone()).await?
        {
            return Ok(approval);
        }
        let approval = revoker.ask(row.asked.clone(), self.now()).await.map_err(nobody_is_asked)?.approval;
        let (tid, id) = (row.tid.clone(), approval.id.clone());
        revoker.write(move |w| transactions::set_approval(w.tx(), &tid, &id)).await?;
        Ok(approval)
    }

    pub(super) fn now(&self) -> Timestamp {
        self.gate.api().now()
    }
}

/// The method that is asked for, or the weakest that will do; of those that are there.
fn method(asked: Option<&str>, least: Factor, there: &[Factor]) -> Result<Factor, Problem> {
    let suffice = || there.iter().copied().filter(|method| *method >= least);
    let refused = |kind, words: String| {
        let names: Vec<_> = suffice().map(Factor::as_str).collect();
        bad(kind, words).fact("methods", names).fact("least", least.as_str())
    };
    let Some(name) = asked else {
        let least = least.as_str();
        return suffice().next().ok_or_else(|| {
            refused(
                "method_unavailable",
                format!("This act takes `{least}`, and no method that would do is configured."),
            )
        });
    };
    let method = there.iter().copied().find(|method| method.as_str() == name).ok_or_else(|| {
        refused(
            "method_unavailable",
            format!("`{name}` is not configured; `methods` lists those that would do here."),
        )
    })?;
    if method < least {
        return Err(refused("method_too_weak", format!("Policy asks for `{}` here.", least.as_str())));
    }
    Ok(method)
}

/// Why the identity provider is not asked.
fn not_pushed(e: PushError) -> Problem {
    let words = format!("{e}.");
    match e {
        PushError::TooMany => Problem::new(
            StatusCode::TOO_MANY_REQUESTS,
            "too_many_questions",
            "People are asked as often as they may be",
        )
        .detail(words),
        PushError::Nobody | PushError::Before(_) => {
            Problem::new(StatusCode::CONFLICT, "not_pushed", "The identity provider is not asked")
                .detail(words)
        }
        PushError::Store(e) => e.into(),
    }
}

/// Why nobody is asked.
fn nobody_is_asked(e: AskError) -> Problem {
    let words = format!("{e}.");
    match e {
        AskError::Invalid(_) => bad("bad_params", words),
        AskError::Ended(_) => {
            Problem::new(StatusCode::FORBIDDEN, "ended", "The agent may not act").detail(words)
        }
        AskError::CoolingDown { until } => {
            Problem::new(StatusCode::CONFLICT, "denied_lately", "A human said no")
                .detail(words)
                .fact("until", until)
        }
        AskError::TooMany { until } => {
            let title = "People are asked as often as they may be";
            Problem::new(StatusCode::TOO_MANY_REQUESTS, "too_many_questions", title)
                .detail(words)
                .fact("until", until)
        }
        AskError::Store(e) => e.into(),
    }
}
