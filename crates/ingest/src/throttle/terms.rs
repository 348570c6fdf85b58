//! What a definition says of a credential's limits.

use super::millis;
use millrace_model::definition::Connection;
use millrace_model::definition::connection::RateLimit;
use millrace_model::definition::pipeline::Resource;
use millrace_model::keys;

/// What a definition says of a credential's limits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Terms {
    pub(super) rates: Vec<RateLimit>,
    pub(super) concurrency: Option<u32>,
    /// The longest that a request may take.
    pub(super) longest_ms: i64,
}

impl Terms {
    /// The terms for a resource, and for each of the connection's credentials the key of the document that all who are
    /// held to them share.
    pub(crate) fn of(connection: &Connection, resource: &Resource) -> (Vec<String>, Self) {
        let politeness = &connection.politeness;
        let scope = resource.rate_scope.as_deref();
        let scoped = scope.and_then(|name| politeness.scopes.get(name));
        let secrets = connection.auth.credentials().iter();
        let mut credentials: Vec<String> = secrets
            .filter_map(|auth| {
                let secret = auth.secret()?;
                Some(match &secret.field {
                    Some(field) => format!("{}.{field}", secret.name),
                    None => secret.name.clone(),
                })
            })
            .collect();
        if credentials.is_empty() {
            // Who shows no credential is known by the address that is called.
            credentials.push(match url::Url::parse(&connection.base_url) {
                Ok(url) => url.origin().ascii_serialization(),
                Err(_) => connection.name.clone(),
            });
        }
        let terms = Self {
            rates: scoped.unwrap_or(&politeness.rates).clone(),
            concurrency: politeness.concurrency,
            longest_ms: millis(connection.timeouts.whole),
        };
        let keys = credentials
            .iter()
            .map(|credential| keys::limits(credential, scope));
        (keys.collect(), terms)
    }

    /// Whether requests must be leased.
    pub(super) fn lease(&self) -> bool {
        !self.rates.is_empty() || self.concurrency.is_some()
    }
}
