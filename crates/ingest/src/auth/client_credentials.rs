//! OAuth 2, client credentials: RFC 6749, section 4.4.

use super::call::Caller;
use super::token_endpoint::Form;
use super::{Kept, bearer};
use millrace_model::Failure;
use millrace_model::definition::auth::TokenRequest;
use millrace_store::secrets::Secret;

pub(super) async fn obtain(
    caller: &Caller,
    request: &TokenRequest,
    secret: &Secret,
) -> Result<Kept, Failure> {
    let form = Form::new("client_credentials").of(request, secret)?;
    let granted = form.send(caller, &request.token_url).await;
    let grant = granted.map_err(|ungranted| ungranted.into_failure(secret.name()))?;
    let token = Secret::new(secret.name(), &grant.access_token);
    Ok(Kept::ending(bearer::with_token(&token)?, grant.lifetime))
}
