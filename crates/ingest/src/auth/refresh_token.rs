//! OAuth 2, refresh token: RFC 6749, section 6, where each refresh token may be good for one use.
//!
//! Many servers answer a refresh token with the next one, and take the reuse of an old one for theft. So of all processes
//! that use a secret one renews at a time, under a lease in the lake; the others wait, and find access token and refresh
//! token in the secret. What the server grants is written back, by compare-and-swap on the secret's version, before
//! anything of it is used: as long as neither new token has been presented, a server that minds lost answers takes the
//! old one again, and so a renewal may be killed at any moment and begun anew.

use super::credential::Credential;
use super::lease::Lease;
use super::token_endpoint::{Form, Grant, Ungranted};
use super::{Ground, Kept, bearer, early};
use jiff::Timestamp;
use millrace_model::definition::auth::TokenRequest;
use millrace_model::{Failure, FailureName, keys};
use millrace_store::secrets::{Secret, SecretErrorKind, SecretVersion};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use std::time::{Duration, Instant};
use tracing::{info, warn};

/// How long is waited before another look at a lease that somebody else holds; up to twice as long, at random.
const LOOK_AGAIN: Duration = Duration::from_millis(60);

/// How long a store of secrets may go on answering with a version that was replaced.
const STALE: Duration = Duration::from_secs(5);

/// How often it is tried to write a new refresh token back.
const ATTEMPTS: u32 = 8;

/// How often a renewal is begun anew because the secret was changed meanwhile.
const ROUNDS: u32 = 4;

/// The secret's fields that are written beside the refresh token.
const ACCESS_TOKEN: &str = "access_token";
const RENEW_AFTER: &str = "renew_after";

pub(super) async fn obtain(
    ground: &Ground,
    request: &TokenRequest,
    refused: Option<&Credential>,
) -> Result<Kept, Failure> {
    let name = &request.secret.name;
    let mut lease = Lease::new(&*ground.objects, keys::lease(name), ground.lease);
    let began = Instant::now();
    loop {
        let (secret, _) = ground.secrets.read(name).await?;
        if let Some(kept) = shared(&secret, refused)? {
            return Ok(kept);
        }
        if let Some(held) = lease.take().await? {
            let renewed = renew(ground, request, refused, held.spent.as_deref()).await;
            let spent = renewed.as_ref().ok().and_then(|(_, spent)| spent.clone());
            lease.give_back(held, spent).await;
            return renewed.map(|(kept, _)| kept);
        }
        if began.elapsed() > ground.lease * 4 {
            let message = format!(
                "others have been renewing the token in the secret `{name}` for {} seconds without success",
                began.elapsed().as_secs()
            );
            return Err(Failure::new(FailureName::Transient, message));
        }
        tokio::time::sleep(LOOK_AGAIN.mul_f64(1.0 + rand::random::<f64>())).await;
    }
}

/// The access token that somebody has put into the secret, if it is good.
fn shared(secret: &Secret, refused: Option<&Credential>) -> Result<Option<Kept>, Failure> {
    let fields = fields(secret)?;
    let text = |name| fields.get(name).and_then(Value::as_str);
    let Some(token) = text(ACCESS_TOKEN).filter(|token| !token.is_empty()) else {
        return Ok(None);
    };
    let left = match text(RENEW_AFTER).map(str::parse::<Timestamp>) {
        None => None,
        Some(Ok(until)) if until > Timestamp::now() => {
            Some(Duration::try_from(until.duration_since(Timestamp::now())).unwrap_or_default())
        }
        Some(_) => return Ok(None),
    };
    if refused.is_some_and(|refused| refused.hides(token)) {
        return Ok(None);
    }
    Ok(Some(Kept {
        credential: bearer::with_token(&Secret::new(secret.name(), token))?,
        until: left.map(|left| Instant::now() + left),
    }))
}

/// Renews the token; the lease is held. Gives the digest of the refresh token that was used up, too.
async fn renew(
    ground: &Ground,
    request: &TokenRequest,
    refused: Option<&Credential>,
    spent: Option<&str>,
) -> Result<(Kept, Option<String>), Failure> {
    let name = &request.secret.name;
    for _ in 0..ROUNDS {
        let (secret, version) = unspent(ground, name, spent).await?;
        if let Some(kept) = shared(&secret, refused)? {
            return Ok((kept, None));
        }
        let Some((secret, version)) = writable(ground, secret, version).await? else {
            continue;
        };
        let old = secret.field(Some("refresh_token"))?;
        let form = Form::new("refresh_token")
            .with_hidden("refresh_token", old.text())
            .of(request, &secret)?;
        // Whoever takes the lease over must not find this request still under way.
        let answer = form.send(&ground.caller, &request.token_url);
        let Ok(granted) = tokio::time::timeout(ground.lease / 2, answer).await else {
            let message = format!("POST {} did not answer in time", request.token_url);
            return Err(Failure::new(FailureName::Transient, message));
        };
        match granted {
            Ok(grant) => {
                if write_back(ground, &secret, version, &grant).await? {
                    info!(secret = %name, "the token was renewed and written back");
                    let token = Secret::new(name, &grant.access_token);
                    let kept = Kept::ending(bearer::with_token(&token)?, grant.lifetime);
                    let is_used_up = grant.refresh_token.is_some_and(|new| new != old.text());
                    return Ok((kept, is_used_up.then(|| digest(&old))));
                }
            }
            Err(ungranted @ Ungranted::Refused(_)) => {
                let (now, _) = ground.secrets.read(name).await?;
                if now.field(Some("refresh_token"))? == old {
                    return Err(ungranted.into_failure(name));
                }
            }
            Err(Ungranted::Failed(failure)) => return Err(failure),
        }
    }
    let message =
        format!("the secret `{name}` was changed by others each time its token was renewed");
    Err(Failure::new(FailureName::Conflict, message))
}

/// The secret with a refresh token that has not been used up, as far as is known.
async fn unspent(
    ground: &Ground,
    name: &str,
    spent: Option<&str>,
) -> Result<(Secret, SecretVersion), Failure> {
    let began = Instant::now();
    loop {
        let (secret, version) = ground.secrets.read(name).await?;
        let token = secret.field(Some("refresh_token"))?;
        if spent != Some(digest(&token).as_str()) {
            return Ok((secret, version));
        }
        if began.elapsed() > STALE {
            let problem = "holds a refresh token that has been used already, and each can be used once; authorise anew, \
                           and put the new one into it";
            return Err(secret.malformed(problem).into());
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

/// Makes sure that the secret can be written before a refresh token is used up for the first time; none where somebody
/// else wrote it in between.
async fn writable(
    ground: &Ground,
    secret: Secret,
    version: SecretVersion,
) -> Result<Option<(Secret, SecretVersion)>, Failure> {
    let mut fields = fields(&secret)?;
    if fields.contains_key(RENEW_AFTER) || fields.contains_key(ACCESS_TOKEN) {
        return Ok(Some((secret, version)));
    }
    fields.insert(RENEW_AFTER.to_owned(), Timestamp::now().to_string().into());
    let text = Value::Object(fields).to_string();
    match ground.secrets.replace(secret.name(), &text, &version).await {
        Ok(version) => Ok(Some((Secret::new(secret.name(), &text), version))),
        Err(error) if error.kind == SecretErrorKind::Changed => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Writes back what was granted; false where somebody has put another refresh token there, which counts then.
async fn write_back(
    ground: &Ground,
    secret: &Secret,
    version: SecretVersion,
    grant: &Grant,
) -> Result<bool, Failure> {
    let refresh_token = |secret: &Secret| secret.field(Some("refresh_token"));
    let old = refresh_token(secret)?;
    let (mut secret, mut version) = (secret.clone(), version);
    let mut problem = String::new();
    for attempt in 0..ATTEMPTS {
        let text = with_grant(&secret, grant)?;
        match ground.secrets.replace(secret.name(), &text, &version).await {
            Ok(_) => return Ok(true),
            Err(error) if error.kind == SecretErrorKind::Changed => {
                let (now, newer) = ground.secrets.read(secret.name()).await?;
                if now.text() == text {
                    // It was this write; only the answer to it was lost.
                    return Ok(true);
                }
                if refresh_token(&now)? != old {
                    return Ok(false);
                }
                (secret, version) = (now, newer);
                problem = error.to_string();
            }
            Err(error) => {
                warn!(%error, "a new refresh token could not be written back yet");
                problem = error.to_string();
            }
        }
        let wait = Duration::from_millis(50) * 2_u32.pow(attempt);
        tokio::time::sleep(wait.mul_f64(rand::random())).await;
    }
    let message = format!(
        "{problem}; the source has given a new refresh token, which is lost with this. If it does not take the old one \
         again, authorise anew and put the new refresh token into the secret `{}`",
        secret.name()
    );
    Err(Failure::new(FailureName::Unauthorized, message))
}

/// The secret's text with what was granted in it.
fn with_grant(secret: &Secret, grant: &Grant) -> Result<String, Failure> {
    let mut fields = fields(secret)?;
    fields.insert(ACCESS_TOKEN.to_owned(), grant.access_token.as_str().into());
    if let Some(token) = &grant.refresh_token {
        fields.insert("refresh_token".to_owned(), token.as_str().into());
    }
    let renew_after = grant.lifetime.and_then(|lifetime| {
        let left = lifetime.saturating_sub(early(lifetime));
        Timestamp::now().checked_add(left).ok()
    });
    match renew_after {
        Some(time) => drop(fields.insert(RENEW_AFTER.to_owned(), time.to_string().into())),
        None => drop(fields.remove(RENEW_AFTER)),
    }
    Ok(Value::Object(fields).to_string())
}

fn fields(secret: &Secret) -> Result<Map<String, Value>, Failure> {
    match serde_json::from_str(secret.text()) {
        Ok(Value::Object(fields)) => Ok(fields),
        _ => Err(secret
            .malformed("is not a JSON object with `client_id` and `refresh_token`")
            .into()),
    }
}

/// What may be told of a token so that it is known again.
fn digest(token: &Secret) -> String {
    let mut digest = hex::encode(Sha256::digest(token.text()));
    digest.truncate(16);
    digest
}
