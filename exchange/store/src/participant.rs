//! Participants.

use crate::{Connection, Page, PageRequest, StoreError, Tx};
use entrepot_chain_statement::{Did, Envelope, Hash, SealingKey, Timestamp, statements::Role};
use entrepot_exchange_domain::participant::ParticipantState;
use sqlx::FromRow;
use std::collections::BTreeSet;

/// A participant.
#[derive(Clone, Debug, PartialEq)]
pub struct ParticipantRow {
    /// Its identity.
    pub did: Did,
    /// Shown to people.
    pub name: String,
    /// What it may do.
    pub roles: BTreeSet<Role>,
    /// Where results for it are sealed to.
    pub sealing_key: SealingKey,
    /// Where its enrolment stands.
    pub state: ParticipantState,
    /// The signed enrolment.
    pub enrolment: Envelope,
    /// Its statement hash.
    pub enrolment_hash: Hash,
    /// When the exchange got it.
    pub enrolled_at: Timestamp,
    /// When an operator approved.
    pub approved_at: Option<Timestamp>,
}

#[derive(FromRow)]
struct Row {
    did: String,
    name: String,
    roles: String,
    sealing_key: String,
    state: String,
    enrolment: String,
    enrolment_hash: String,
    enrolled_at_ms: i64,
    approved_at_ms: Option<i64>,
}

impl TryFrom<Row> for ParticipantRow {
    type Error = StoreError;
    fn try_from(row: Row) -> Result<Self, StoreError> {
        let corrupt = |what| StoreError::Corrupt { what };
        Ok(Self {
            did: row.did.parse().map_err(|_| corrupt("participant"))?,
            name: row.name,
            roles: serde_json::from_str(&row.roles).map_err(|_| corrupt("roles"))?,
            sealing_key: serde_json::from_value(row.sealing_key.into()).map_err(|_| corrupt("sealing key"))?,
            state: ParticipantState::from_name(&row.state).ok_or_else(|| corrupt("participant state"))?,
            enrolment: Envelope::from_json(row.enrolment.as_bytes()).map_err(|_| corrupt("enrolment"))?,
            enrolment_hash: row.enrolment_hash.parse().map_err(|_| corrupt("enrolment hash"))?,
            enrolled_at: Timestamp(row.enrolled_at_ms),
            approved_at: row.approved_at_ms.map(Timestamp),
        })
    }
}

/// Adds a participant.
pub async fn insert(tx: &mut Tx<'_>, row: &ParticipantRow) -> Result<(), StoreError> {
    let corrupt = |what| move |_| StoreError::Corrupt { what };
    let sealing_key = serde_json::to_value(row.sealing_key).map_err(corrupt("sealing key"))?;
    sqlx::query(
        "INSERT INTO participants (did, name, roles, sealing_key, state, enrolment, enrolment_hash, enrolled_at_ms, approved_at_ms) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
    )
    .bind(row.did.as_str())
    .bind(&row.name)
    .bind(serde_json::to_string(&row.roles).map_err(corrupt("roles"))?)
    .bind(sealing_key.as_str())
    .bind(row.state.name())
    .bind(crate::envelope_text(&row.enrolment)?)
    .bind(row.enrolment_hash.to_string())
    .bind(row.enrolled_at.0)
    .bind(row.approved_at.map(|moment| moment.0))
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Lets a pending participant in; one that is in already stays as it is.
pub async fn approve(tx: &mut Tx<'_>, did: &Did, operator: &Did, now: Timestamp) -> Result<(), StoreError> {
    sqlx::query("UPDATE participants SET state = 'approved', approved_at_ms = $2, approved_by = $3 WHERE did = $1 AND state = 'pending'")
        .bind(did.as_str())
        .bind(now.0)
        .bind(operator.as_str())
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// The participant with this DID.
pub async fn find(db: &mut Connection, did: &Did) -> Result<Option<ParticipantRow>, StoreError> {
    let row: Option<Row> = sqlx::query_as(
        "SELECT did, name, roles, sealing_key, state, enrolment, enrolment_hash, enrolled_at_ms, approved_at_ms \
         FROM participants WHERE did = $1",
    )
    .bind(did.as_str())
    .fetch_optional(db)
    .await?;
    row.map(ParticipantRow::try_from).transpose()
}

/// The roles of an approved participant; none for anybody else.
pub async fn approved_roles(db: &mut Connection, did: &Did) -> Result<Option<BTreeSet<Role>>, StoreError> {
    let roles: Option<String> = sqlx::query_scalar("SELECT roles FROM participants WHERE did = $1 AND state = 'approved'")
        .bind(did.as_str())
        .fetch_optional(db)
        .await?;
    roles.map(|text| serde_json::from_str(&text).map_err(|_| StoreError::Corrupt { what: "roles" })).transpose()
}

/// Participants in one state, by DID.
pub async fn list(db: &mut Connection, state: ParticipantState, page: &PageRequest) -> Result<Page<ParticipantRow>, StoreError> {
    let rows: Vec<Row> = sqlx::query_as(
        "SELECT did, name, roles, sealing_key, state, enrolment, enrolment_hash, enrolled_at_ms, approved_at_ms \
         FROM participants WHERE state = $1 AND did > $2 ORDER BY did LIMIT $3",
    )
    .bind(state.name())
    .bind(page.after())
    .bind(page.probe())
    .fetch_all(db)
    .await?;
    let rows = rows.into_iter().map(ParticipantRow::try_from).collect::<Result<_, _>>()?;
    Ok(page.page(rows, |row: &ParticipantRow| row.did.to_string()))
}

/// How many wait for an operator.
pub async fn count_pending(db: &mut Connection) -> Result<i64, StoreError> {
    Ok(sqlx::query_scalar("SELECT COUNT(*) FROM participants WHERE state = 'pending'").fetch_one(db).await?)
}

/// Whether anybody is an operator yet.
pub async fn operator_exists(db: &mut Connection) -> Result<bool, StoreError> {
    let found: Option<i64> =
        sqlx::query_scalar("SELECT 1 FROM participants WHERE state = 'approved' AND roles LIKE '%\"operator\"%' LIMIT 1")
            .fetch_optional(db)
            .await?;
    Ok(found.is_some())
}
