//! OAuth 2 with an assertion that is signed with a private key: RFC 7523.

use super::call::Caller;
use super::token_endpoint::Form;
use super::{Kept, bearer, jwt};
use millrace_model::Failure;
use millrace_model::definition::auth::JwtBearer;
use millrace_store::secrets::Secret;
use serde_json::{Map, Value};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How far the server's clock may be behind ours.
const SKEW: Duration = Duration::from_secs(30);

pub(super) async fn obtain(
    caller: &Caller,
    grant: &JwtBearer,
    secret: &Secret,
) -> Result<Kept, Failure> {
    let key = secret.resolve(&grant.secret, "private_key")?;
    let claims = claims(grant, SystemTime::now());
    let assertion = jwt::sign(grant.algorithm, grant.key_id.as_deref(), &claims, &key)?;
    let form = Form::new("urn:ietf:params:oauth:grant-type:jwt-bearer")
        .with_hidden("assertion", &assertion)
        .with_some("scope", grant.scope.as_deref());
    let granted = form.send(caller, &grant.token_url).await;
    let granted = granted.map_err(|ungranted| ungranted.into_failure(secret.name()))?;
    let token = Secret::new(secret.name(), &granted.access_token);
    Ok(Kept::ending(bearer::with_token(&token)?, granted.lifetime))
}

fn claims(grant: &JwtBearer, now: SystemTime) -> Value {
    let now = now.duration_since(UNIX_EPOCH).unwrap_or_default();
    let issued_at = now.saturating_sub(SKEW);
    let mut claims: Map<String, Value> = grant.claims.clone().into_iter().collect();
    let mut set = |name: &str, value: Value| drop(claims.insert(name.to_owned(), value));
    set("iss", grant.issuer.as_str().into());
    set("aud", grant.audience.as_str().into());
    set("iat", issued_at.as_secs().into());
    set("exp", (issued_at + grant.lifetime).as_secs().into());
    // An assertion is used once; servers that check it want its name.
    set("jti", format!("{:032x}", rand::random::<u128>()).into());
    if let Some(subject) = &grant.subject {
        set("sub", subject.as_str().into());
    }
    if let Some(scope) = &grant.scope {
        set("scope", scope.as_str().into());
    }
    Value::Object(claims)
}
