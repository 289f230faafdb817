//! Client assertions are used once.

use crate::{StoreError, Tx};
use entrepot_chain_statement::Timestamp;

/// Notes an assertion's id until it expires; false if it was used before. Forgets what has expired.
pub async fn use_assertion(tx: &mut Tx<'_>, issuer: &str, jti: &str, expires_at: Timestamp, now: Timestamp) -> Result<bool, StoreError> {
    sqlx::query("DELETE FROM assertion_ids WHERE expires_at_ms <= $1").bind(now.0).execute(&mut **tx).await?;
    let done =
        sqlx::query("INSERT INTO assertion_ids (issuer, jti, expires_at_ms) VALUES ($1, $2, $3) ON CONFLICT (issuer, jti) DO NOTHING")
            .bind(issuer)
            .bind(jti)
            .bind(expires_at.0)
            .execute(&mut **tx)
            .await?;
    Ok(done.rows_affected() == 1)
}
