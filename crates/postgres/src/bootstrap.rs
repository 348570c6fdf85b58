//! What must be there before anything is published: two roles, and the table that says what is published.

use crate::connection::connect;
use crate::credentials::Credentials;
use crate::errors::failure;
use crate::sql::{identifier, literal};
use millrace_model::Failure;
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

/// Sets the store up, or finds it set up: a role that owns what is published, a role that reads it, and the schema
/// `millrace`. Passwords become those given. What the owner makes later, the reader may read.
///
/// `admin` needs `CREATEROLE` and the right to grant on the database; it need not be a superuser, as none is on RDS.
/// All three name the same database.
pub async fn bootstrap(
    admin: &Credentials,
    owner: &Credentials,
    reader: &Credentials,
) -> Result<(), Failure> {
    let client = connect(admin, "millrace bootstrap").await?;
    setup_lock(&client)
        .await
        .map_err(|error| failure(&error, admin, "wait for another set-up"))?;
    for role in [owner, reader] {
        create_role(&client, role)
            .await
            .map_err(|error| failure(&error, admin, "create the roles"))?;
    }
    let database = identifier(&admin.dbname);
    let (owner_role, reader_role) = (identifier(&owner.username), identifier(&reader.username));
    client
        .batch_execute(&format!(
            "GRANT CONNECT, CREATE, TEMPORARY ON DATABASE {database} TO {owner_role};
             GRANT CONNECT ON DATABASE {database} TO {reader_role};"
        ))
        .await
        .map_err(|error| failure(&error, admin, "grant the roles what they need"))?;
    setup_unlock(&client)
        .await
        .map_err(|error| failure(&error, admin, "end the set-up"))?;
    // The owner makes its own schema: on RDS the admin could not give it one without becoming a member of its role.
    let client = connect(owner, "millrace bootstrap").await?;
    setup_lock(&client)
        .await
        .map_err(|error| failure(&error, owner, "wait for another set-up"))?;
    client
        .batch_execute(&format!(
            "ALTER DEFAULT PRIVILEGES GRANT USAGE ON SCHEMAS TO {reader_role};
             ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO {reader_role};
             {PUBLISHED} {RECENT};"
        ))
        .await
        .map_err(|error| failure(&error, owner, "create the schema `millrace`"))
}

/// The advisory lock of whoever sets a database up.
const SETUP_LOCK: i64 = 0x6d69_6c6c_7261_6365;

/// Lets one session after the other set the database up, for as long as it lives. The session of a process that was
/// killed lives on until the server has done what it was told last.
pub(crate) async fn setup_lock(client: &Client) -> Result<(), tokio_postgres::Error> {
    let lock = format!("SELECT pg_advisory_lock({SETUP_LOCK})");
    client.batch_execute(&lock).await
}

async fn setup_unlock(client: &Client) -> Result<(), tokio_postgres::Error> {
    let unlock = format!("SELECT pg_advisory_unlock({SETUP_LOCK})");
    client.batch_execute(&unlock).await
}

/// Which version of which Delta table each relation holds.
const PUBLISHED: &str = "
    CREATE SCHEMA IF NOT EXISTS millrace;
    CREATE TABLE IF NOT EXISTS millrace.published (
        schema text NOT NULL,
        relation text NOT NULL,
        source text NOT NULL,
        version bigint NOT NULL,
        files text NOT NULL,
        layout text NOT NULL,
        run text NOT NULL,
        published_at timestamptz NOT NULL DEFAULT now(),
        recent jsonb,
        PRIMARY KEY (schema, relation)
    );
    COMMENT ON TABLE millrace.published IS
        'What Millrace published: the Delta table and its version behind each relation.';
    COMMENT ON COLUMN millrace.published.files IS
        'A digest of the names of the files behind that version.';
    COMMENT ON COLUMN millrace.published.layout IS
        'A digest of columns, types and key: where it differs, the relation is made anew.';";

/// What a store that was set up by an older Millrace lacks: of a relation that has the recent rows alone, which these are.
pub const RECENT: &str = "ALTER TABLE millrace.published ADD COLUMN IF NOT EXISTS recent jsonb";

/// Two set-ups at once may both find no role: the one that comes second finds it then.
async fn create_role(client: &Client, role: &Credentials) -> Result<(), tokio_postgres::Error> {
    let exists = client
        .query_opt(
            "SELECT 1 FROM pg_roles WHERE rolname = $1",
            &[&role.username],
        )
        .await?
        .is_some();
    let name = identifier(&role.username);
    // PostgreSQL takes no parameters in statements of this kind.
    let attributes = format!("LOGIN PASSWORD {}", literal(&role.password));
    if !exists {
        match client
            .batch_execute(&format!("CREATE ROLE {name} {attributes}"))
            .await
        {
            Err(error)
                if matches!(
                    error.code(),
                    Some(&(SqlState::DUPLICATE_OBJECT | SqlState::UNIQUE_VIOLATION))
                ) => {}
            other => return other,
        }
    }
    client
        .batch_execute(&format!("ALTER ROLE {name} {attributes}"))
        .await
}
