//! Who may enrol, and what a worker may be trusted with.

use crate::{
    Refusal, RefusalKind,
    name::{PARTICIPANT_NAME_CHARS_MAX, is_display_text},
};
use entrepot_chain_statement::{
    Timestamp,
    statements::{ParticipantEnrolment, Role, WorkerGrant, WorkerRole},
};
use std::collections::BTreeSet;

/// How far a signer's clock may be ahead of ours.
pub const CLOCK_SKEW_MS: i64 = 5 * 60 * 1000;
/// Longest life of a worker grant: a year and a month of grace.
pub const GRANT_MS_MAX: i64 = 400 * 24 * 60 * 60 * 1000;

/// Where an enrolment stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParticipantState {
    /// Waits for an operator.
    Pending,
    /// May get tokens.
    Approved,
}

impl ParticipantState {
    /// The name in the database and in answers.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Approved => "approved",
        }
    }

    /// The state of a name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Pending, Self::Approved].into_iter().find(|state| state.name() == name)
    }
}

/// Why an enrolment is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EnrolmentError {
    /// The name cannot be shown.
    #[error("the name must have 1 to {PARTICIPANT_NAME_CHARS_MAX} characters, no control characters and no space at its ends")]
    Name,
    /// No roles, or not sorted, or repeated.
    #[error("the roles must be at least one, sorted and unique")]
    Roles,
    /// Signed in the future.
    #[error("the enrolment is signed in the future")]
    Future,
}

impl Refusal for EnrolmentError {
    fn code(&self) -> &'static str {
        match self {
            Self::Name => "participant_name",
            Self::Roles => "participant_roles",
            Self::Future => "issued_in_the_future",
        }
    }
    fn kind(&self) -> RefusalKind {
        RefusalKind::Unprocessable
    }
    fn hint(&self) -> Option<String> {
        matches!(self, Self::Future).then(|| "set the signer's clock and sign again".to_owned())
    }
}

/// Holds an enrolment against the rules. Whether its participant signed it is for the caller to check.
pub fn check_enrolment(enrolment: &ParticipantEnrolment, now: Timestamp) -> Result<(), EnrolmentError> {
    if !is_display_text(&enrolment.name, PARTICIPANT_NAME_CHARS_MAX) {
        return Err(EnrolmentError::Name);
    }
    if enrolment.roles.is_empty() || !enrolment.roles.is_sorted_by(|a, b| a < b) {
        return Err(EnrolmentError::Roles);
    }
    if enrolment.issued_at > now.plus_ms(CLOCK_SKEW_MS) {
        return Err(EnrolmentError::Future);
    }
    Ok(())
}

/// Why a worker grant is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GrantError {
    /// It ends before it begins.
    #[error("the grant expires before it becomes valid")]
    Backwards,
    /// It is over.
    #[error("the grant has expired")]
    Expired,
    /// It lasts too long.
    #[error("the grant lasts longer than 400 days")]
    TooLong,
    /// One key for two purposes.
    #[error("the participant's, the worker's and the witness's keys must be three different ones")]
    SharedKey,
    /// The participant lacks the role.
    #[error("a participant grants a {0} worker only if it has the role {1}")]
    Role(&'static str, &'static str),
}

impl Refusal for GrantError {
    fn code(&self) -> &'static str {
        match self {
            Self::Backwards | Self::TooLong => "grant_period",
            Self::Expired => "grant_expired",
            Self::SharedKey => "grant_shared_key",
            Self::Role(..) => "grant_role",
        }
    }
    fn kind(&self) -> RefusalKind {
        RefusalKind::Unprocessable
    }
}

/// Holds a grant against the rules and its participant's roles. Whether the participant signed it is for the caller to check.
pub fn check_grant(grant: &WorkerGrant, roles: &BTreeSet<Role>, now: Timestamp) -> Result<(), GrantError> {
    if grant.expires_at <= grant.not_before {
        return Err(GrantError::Backwards);
    }
    if grant.expires_at <= now {
        return Err(GrantError::Expired);
    }
    if grant.expires_at > grant.not_before.plus_ms(GRANT_MS_MAX) {
        return Err(GrantError::TooLong);
    }
    // A worker never holds its participant's key, and a cosignature must not be mistaken for a receipt.
    if grant.worker == grant.participant || grant.witness == grant.participant || grant.worker == grant.witness {
        return Err(GrantError::SharedKey);
    }
    let (needed, worker, role) = match grant.role {
        WorkerRole::Data => (Role::Provider, "data", "provider"),
        WorkerRole::Compute => (Role::ComputeParty, "compute", "compute-party"),
    };
    if !roles.contains(&needed) {
        return Err(GrantError::Role(worker, role));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use entrepot_chain_statement::{Did, SealingSecret, SigningKey, ids::GrantId};

    const NOW: Timestamp = Timestamp(1_000_000_000_000);

    fn did(seed: u8) -> Did {
        SigningKey::from_seed(&[seed; 32]).did()
    }

    fn enrolment() -> ParticipantEnrolment {
        ParticipantEnrolment {
            participant: did(1),
            name: "Lender".to_owned(),
            roles: vec![Role::Provider, Role::Consumer],
            sealing_key: SealingSecret::from_bytes(&[2; 32]).public(),
            issued_at: NOW,
        }
    }

    fn grant() -> WorkerGrant {
        WorkerGrant {
            grant_id: GrantId::compose(NOW, [0; 10]),
            participant: did(1),
            worker: did(2),
            witness: did(3),
            role: WorkerRole::Data,
            not_before: NOW,
            expires_at: NOW.plus_ms(1000),
        }
    }

    #[test]
    fn roles_are_sorted_and_unique() {
        assert_eq!(check_enrolment(&enrolment(), NOW), Ok(()));
        for roles in [vec![], vec![Role::Provider, Role::Provider], vec![Role::Consumer, Role::Provider]] {
            assert_eq!(check_enrolment(&ParticipantEnrolment { roles, ..enrolment() }, NOW), Err(EnrolmentError::Roles));
        }
    }

    #[test]
    fn an_enrolment_may_be_a_little_ahead_of_our_clock() {
        let ahead = |ms| check_enrolment(&ParticipantEnrolment { issued_at: NOW.plus_ms(ms), ..enrolment() }, NOW);
        assert_eq!(ahead(CLOCK_SKEW_MS), Ok(()));
        assert_eq!(ahead(CLOCK_SKEW_MS + 1), Err(EnrolmentError::Future));
    }

    #[test]
    fn a_worker_never_has_its_participants_key() {
        let roles = BTreeSet::from([Role::Provider]);
        assert_eq!(check_grant(&grant(), &roles, NOW), Ok(()));
        let shared = [
            WorkerGrant { worker: did(1), ..grant() },
            WorkerGrant { witness: did(1), ..grant() },
            WorkerGrant { witness: did(2), ..grant() },
        ];
        for grant in shared {
            assert_eq!(check_grant(&grant, &roles, NOW), Err(GrantError::SharedKey));
        }
    }

    #[test]
    fn a_grant_is_bounded_in_time_and_role() {
        let roles = BTreeSet::from([Role::Provider]);
        let at = |not_before, expires_at| check_grant(&WorkerGrant { not_before, expires_at, ..grant() }, &roles, NOW);
        assert_eq!(at(NOW, NOW), Err(GrantError::Backwards));
        assert_eq!(at(Timestamp(0), NOW), Err(GrantError::Expired));
        assert_eq!(at(NOW, NOW.plus_ms(GRANT_MS_MAX)), Ok(()));
        assert_eq!(at(NOW, NOW.plus_ms(GRANT_MS_MAX + 1)), Err(GrantError::TooLong));
        let compute = WorkerGrant { role: WorkerRole::Compute, ..grant() };
        assert!(matches!(check_grant(&compute, &roles, NOW), Err(GrantError::Role(..))));
    }
}
