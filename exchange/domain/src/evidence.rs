//! What a signed statement is about: its kind, the one thing it speaks of, the statements it refers to, the participants it binds.
//! The trace of an auditor is made of these alone, so it shows what was signed and not what some table says.

use entrepot_chain_statement::{
    Did, Envelope, EnvelopeError, Hash, Statement,
    statements::{
        Agreement, DataProduct, Hold, Order, ParticipantEnrolment, Quote, Refund, Release, RightsRegistration, UsageReceipt, WorkerGrant,
    },
};
use std::{fmt, str::FromStr};

macro_rules! words {
    ($(#[$doc:meta])* $name:ident: $($(#[$variant_doc:meta])* $variant:ident = $word:expr,)*) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name { $($(#[$variant_doc])* $variant,)* }

        impl $name {
            /// The word for it, the same in the database and in answers.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }
        }

        impl FromStr for $name {
            type Err = UnknownWord;
            fn from_str(text: &str) -> Result<Self, UnknownWord> {
                match text { $($word => Ok(Self::$variant),)* _ => Err(UnknownWord) }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { f.write_str(self.as_str()) }
        }
    };
}

/// A text is none of the words of a kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a known kind")]
pub struct UnknownWord;

words! {
    /// The type of a statement.
    StatementKind:
    /// A participant's enrolment.
    ParticipantEnrolment = "participant-enrolment",
    /// A delegation to a worker's key.
    WorkerGrant = "worker-grant",
    /// A right to a dataset.
    RightsRegistration = "rights-registration",
    /// An offer.
    DataProduct = "data-product",
    /// A price, signed by the exchange.
    Quote = "quote",
    /// A consumer's acceptance.
    Agreement = "agreement",
    /// One use.
    Order = "order",
    /// Money put into escrow.
    Hold = "hold",
    /// A worker's account of a job.
    UsageReceipt = "usage-receipt",
    /// Escrow paid out.
    Release = "release",
    /// Escrow given back.
    Refund = "refund",
}

impl StatementKind {
    /// The kind of an envelope's payload type.
    pub fn of(payload_type: &str) -> Option<Self> {
        payload_type.strip_prefix("application/vnd.entrepot.")?.strip_suffix(".v1+json")?.parse().ok()
    }

    /// Whether statements of this kind go to the log. Enrolments and quotes bind nobody to anything that is settled later.
    pub fn is_logged(self) -> bool {
        !matches!(self, Self::ParticipantEnrolment | Self::Quote)
    }
}

words! {
    /// The kind of thing that a statement is about.
    SubjectKind:
    /// A participant, by its DID.
    Participant = "participant",
    /// A delegation.
    Grant = "grant",
    /// A dataset.
    Dataset = "dataset",
    /// A product.
    Product = "product",
    /// A quote.
    Quote = "quote",
    /// An agreement.
    Agreement = "agreement",
    /// An order.
    Order = "order",
    /// A job.
    Job = "job",
}

/// The one thing that a statement is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Subject {
    /// Its kind.
    pub kind: SubjectKind,
    /// Its id; a participant's is its DID.
    pub id: String,
}

impl Subject {
    fn new(kind: SubjectKind, id: impl fmt::Display) -> Self {
        Self { kind, id: id.to_string() }
    }
}

/// That a statement refers to another.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Reference {
    /// What the statement's subject is to the other's subject: a product `offers` a dataset.
    pub relation: &'static str,
    /// Statement hash of the other.
    pub statement: Hash,
}

/// That a statement binds a participant.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bond {
    /// What the statement's subject is to the participant: a dataset is `held_by` its provider.
    pub relation: &'static str,
    /// The participant.
    pub participant: Did,
}

/// What a statement is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evidence {
    /// Its kind.
    pub kind: StatementKind,
    /// The one thing it speaks of.
    pub subject: Subject,
    /// What it refers to; sorted, each once.
    pub references: Vec<Reference>,
    /// Whom it binds, where no statement that it refers to says so already; sorted, each once.
    pub bonds: Vec<Bond>,
}

/// Why an envelope is no evidence.
#[derive(Debug, thiserror::Error)]
pub enum EvidenceError {
    /// Its payload type is none of ours.
    #[error("{0} is not the type of a known statement")]
    UnknownType(String),
    /// Its payload is not a statement of its type.
    #[error("the statement cannot be read")]
    Unreadable(#[source] EnvelopeError),
}

/// Reads what an envelope is about. Signatures were checked by whoever accepted it.
pub fn evidence(envelope: &Envelope) -> Result<Evidence, EvidenceError> {
    let kind = StatementKind::of(envelope.payload_type()).ok_or_else(|| EvidenceError::UnknownType(envelope.payload_type().to_owned()))?;
    let mut found = match kind {
        StatementKind::ParticipantEnrolment => enrolment(&open(envelope)?),
        StatementKind::WorkerGrant => grant(&open(envelope)?),
        StatementKind::RightsRegistration => rights(&open(envelope)?),
        StatementKind::DataProduct => product(&open(envelope)?),
        StatementKind::Quote => quote(&open(envelope)?),
        StatementKind::Agreement => agreement(&open(envelope)?),
        StatementKind::Order => order(&open(envelope)?),
        StatementKind::Hold => open(envelope).map(|hold: Hold| of_job(kind, &hold.job_id, hold.order))?,
        StatementKind::UsageReceipt => open(envelope).map(|receipt: UsageReceipt| of_job(kind, &receipt.job_id, receipt.order))?,
        StatementKind::Release => open(envelope).map(|release: Release| of_job(kind, &release.job_id, release.order))?,
        StatementKind::Refund => open(envelope).map(|refund: Refund| of_job(kind, &refund.job_id, refund.order))?,
    };
    found.references.sort();
    found.references.dedup_by(|a, b| a.statement == b.statement);
    found.bonds.sort();
    found.bonds.dedup();
    Ok(found)
}

fn open<S: Statement>(envelope: &Envelope) -> Result<S, EvidenceError> {
    envelope.open().map_err(EvidenceError::Unreadable)
}

fn enrolment(said: &ParticipantEnrolment) -> Evidence {
    let subject = Subject::new(SubjectKind::Participant, &said.participant);
    Evidence { kind: StatementKind::ParticipantEnrolment, subject, references: vec![], bonds: vec![] }
}

fn grant(said: &WorkerGrant) -> Evidence {
    Evidence {
        kind: StatementKind::WorkerGrant,
        subject: Subject::new(SubjectKind::Grant, &said.grant_id),
        references: vec![],
        bonds: vec![Bond { relation: "granted_by", participant: said.participant.clone() }],
    }
}

fn rights(said: &RightsRegistration) -> Evidence {
    Evidence {
        kind: StatementKind::RightsRegistration,
        subject: Subject::new(SubjectKind::Dataset, &said.dataset_id),
        references: vec![],
        bonds: vec![Bond { relation: "held_by", participant: said.holder.clone() }],
    }
}

fn product(said: &DataProduct) -> Evidence {
    let offered = said.tables.iter().map(|table| Reference { relation: "offers", statement: table.rights });
    let providers = said.tables.iter().map(|table| Bond { relation: "offered_by", participant: table.provider.clone() });
    let compute = Bond { relation: "computed_by", participant: said.compute_party.clone() };
    Evidence {
        kind: StatementKind::DataProduct,
        subject: Subject::new(SubjectKind::Product, &said.product_id),
        references: offered.collect(),
        bonds: providers.chain([compute]).collect(),
    }
}

fn quote(said: &Quote) -> Evidence {
    Evidence {
        kind: StatementKind::Quote,
        subject: Subject::new(SubjectKind::Quote, &said.quote_id),
        references: vec![Reference { relation: "prices", statement: said.product }],
        bonds: vec![Bond { relation: "asked_by", participant: said.consumer.clone() }],
    }
}

fn agreement(said: &Agreement) -> Evidence {
    let accepted = Reference { relation: "accepts", statement: said.product };
    let pinned = said.parties.iter().map(|party| Reference { relation: "pins", statement: party.grant });
    Evidence {
        kind: StatementKind::Agreement,
        subject: Subject::new(SubjectKind::Agreement, &said.agreement_id),
        references: pinned.chain([accepted]).collect(),
        bonds: vec![Bond { relation: "made_by", participant: said.consumer.clone() }],
    }
}

fn order(said: &Order) -> Evidence {
    Evidence {
        kind: StatementKind::Order,
        subject: Subject::new(SubjectKind::Order, &said.order_id),
        references: vec![Reference { relation: "uses", statement: said.agreement }],
        bonds: vec![],
    }
}

fn of_job(kind: StatementKind, job: &entrepot_chain_statement::ids::JobId, order: Hash) -> Evidence {
    let subject = Subject::new(SubjectKind::Job, job);
    Evidence { kind, subject, references: vec![Reference { relation: "runs", statement: order }], bonds: vec![] }
}

#[cfg(test)]
mod tests {
    use super::*;
    use entrepot_chain_statement::{Money, SigningKey, Timestamp, ids::JobId};

    #[test]
    fn every_payload_type_has_its_kind() {
        let types = [
            ParticipantEnrolment::PAYLOAD_TYPE,
            WorkerGrant::PAYLOAD_TYPE,
            RightsRegistration::PAYLOAD_TYPE,
            DataProduct::PAYLOAD_TYPE,
            Quote::PAYLOAD_TYPE,
            Agreement::PAYLOAD_TYPE,
            Order::PAYLOAD_TYPE,
            Hold::PAYLOAD_TYPE,
            UsageReceipt::PAYLOAD_TYPE,
            Release::PAYLOAD_TYPE,
            Refund::PAYLOAD_TYPE,
        ];
        let kinds: std::collections::BTreeSet<_> = types.iter().map(|name| StatementKind::of(name)).collect();
        assert_eq!(kinds.len(), types.len());
        assert!(!kinds.contains(&None));
        assert_eq!(StatementKind::of("application/vnd.entrepot.agreement.v2+json"), None);
    }

    #[test]
    fn a_hold_is_about_its_job_and_refers_to_its_order() {
        let key = SigningKey::from_seed(&[1; 32]);
        let hold = Hold {
            job_id: JobId::compose(Timestamp(1), [2; 10]),
            order: Hash([3; 32]),
            agreement: Hash([4; 32]),
            consumer: key.did(),
            amount: Money { amount_minor: 5, currency: "EUR".parse().expect("a currency") },
            held_at: Timestamp(6),
        };
        let found = evidence(&Envelope::sign(&hold, &key, [7; 32]).expect("signs")).expect("is evidence");
        assert_eq!(found.subject, Subject::new(SubjectKind::Job, &hold.job_id));
        assert_eq!(found.references, vec![Reference { relation: "runs", statement: hold.order }]);
    }
}
