//! A participant introduces itself. It needs nobody's leave to ask, so what waits for an operator is bounded.

use entrepot_chain_statement::{Envelope, EnvelopeError, Timestamp, statements::ParticipantEnrolment};
use entrepot_exchange_domain::{
    Refusal, RefusalKind,
    participant::{EnrolmentError, ParticipantState, check_enrolment},
};
use entrepot_exchange_store::{
    StoreError, Tx,
    participant::{self, ParticipantRow},
    statements,
};

/// Enrolments that may wait at once.
pub const PENDING_MAX: i64 = 1000;

/// Why an enrolment did not happen.
#[derive(Debug, thiserror::Error)]
pub enum EnrolError {
    /// The envelope does not hold an enrolment signed by its participant.
    #[error("the envelope is no enrolment signed by its own participant: {0}")]
    Envelope(#[source] EnvelopeError),
    /// The enrolment breaks a rule.
    #[error(transparent)]
    Rule(#[from] EnrolmentError),
    /// There is another enrolment under this key.
    #[error("this participant has enrolled before, with another enrolment")]
    Exists,
    /// Too many wait.
    #[error("{PENDING_MAX} enrolments wait for an operator already")]
    Full,
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Refusal for EnrolError {
    fn code(&self) -> &'static str {
        match self {
            Self::Envelope(_) => "invalid_envelope",
            Self::Rule(rule) => rule.code(),
            Self::Exists => "participant_exists",
            Self::Full => "too_many_pending",
            Self::Store(error) => error.code(),
        }
    }
    fn kind(&self) -> RefusalKind {
        match self {
            Self::Envelope(_) => RefusalKind::Unprocessable,
            Self::Rule(rule) => rule.kind(),
            Self::Exists => RefusalKind::Conflict,
            Self::Full => RefusalKind::TooMany,
            Self::Store(error) => error.kind(),
        }
    }
    fn hint(&self) -> Option<String> {
        match self {
            Self::Rule(rule) => rule.hint(),
            Self::Exists => Some("use the enrolment that is there, or enrol with a new key".to_owned()),
            Self::Full => Some("ask an operator of the exchange to look at the pending enrolments".to_owned()),
            _ => None,
        }
    }
}

/// Adds a pending participant. Enrolling again with the same statement gives what is there.
pub async fn enrol(tx: &mut Tx<'_>, now: Timestamp, envelope: &Envelope) -> Result<ParticipantRow, EnrolError> {
    let claimed: ParticipantEnrolment = envelope.open().map_err(EnrolError::Envelope)?;
    let enrolment: ParticipantEnrolment = envelope.open_signed_by([&claimed.participant]).map_err(EnrolError::Envelope)?;
    if let Some(present) = participant::find(tx, &enrolment.participant).await? {
        return if present.enrolment_hash == envelope.statement_hash() { Ok(present) } else { Err(EnrolError::Exists) };
    }
    check_enrolment(&enrolment, now)?;
    if participant::count_pending(tx).await? >= PENDING_MAX {
        return Err(EnrolError::Full);
    }
    let row = ParticipantRow {
        did: enrolment.participant,
        name: enrolment.name,
        roles: enrolment.roles.into_iter().collect(),
        sealing_key: enrolment.sealing_key,
        state: ParticipantState::Pending,
        enrolment: envelope.clone(),
        enrolment_hash: envelope.statement_hash(),
        enrolled_at: now,
        approved_at: None,
    };
    participant::insert(tx, &row).await?;
    statements::insert(tx, envelope, now).await?;
    Ok(row)
}
