//! When an agreement says exactly what the product offers.

use crate::{Refusal, RefusalKind};
use entrepot_chain_statement::{
    Did, Hash, Timestamp,
    statements::{Agreement, DataProduct, WorkerGrant, WorkerRole},
};
use thiserror::Error;

/// How far a signer's clock may run ahead of ours.
pub const CLOCK_SKEW_MS: i64 = 300_000;

/// A grant that the exchange knows, by party index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PinnedGrant {
    /// Its statement hash.
    pub hash: Hash,
    /// What it says.
    pub grant: WorkerGrant,
    /// The worker that holds the party's dataset; none for the compute party.
    pub data_worker: Option<Did>,
}

/// Why an agreement is refused.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum AgreementRefusal {
    /// It was not signed by the participant who sent it.
    #[error("the agreement names {named} as consumer")]
    Consumer {
        /// Whom it names.
        named: Did,
    },
    /// The product names its consumers and this is none of them.
    #[error("the product is not offered to this consumer")]
    NotOffered,
    /// A term is not the product's.
    #[error("the agreement's {0} is not the product's")]
    Term(&'static str),
    /// It names another exchange.
    #[error("the agreement names another exchange")]
    Exchange,
    /// A pin is not a grant the exchange knows for that party.
    #[error("party {party} of the agreement is not pinned to a valid grant: {why}")]
    Pin {
        /// The party's index.
        party: usize,
        /// What is wrong.
        why: &'static str,
    },
    /// It is already void, or not yet signed by our clock.
    #[error("the agreement's {0} is out of range")]
    Time(&'static str),
}

impl Refusal for AgreementRefusal {
    fn code(&self) -> &'static str {
        match self {
            Self::Consumer { .. } => "agreement_consumer_mismatch",
            Self::NotOffered => "product_not_offered",
            Self::Term(_) => "agreement_terms_differ",
            Self::Exchange => "agreement_exchange_mismatch",
            Self::Pin { .. } => "agreement_pin_invalid",
            Self::Time(_) => "agreement_time_invalid",
        }
    }

    fn kind(&self) -> RefusalKind {
        RefusalKind::Unprocessable
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Consumer { .. } => "sign the agreement with the key of the participant that sends it".to_owned(),
            Self::NotOffered => "ask the providers to name you as a consumer of the product".to_owned(),
            Self::Term(_) => "read the product again and copy its terms unchanged".to_owned(),
            Self::Exchange => "name the exchange that the product names".to_owned(),
            Self::Pin { .. } => "ask for a new quote and copy its parties".to_owned(),
            Self::Time(_) => "sign again with a correct clock, an expiry in the future and not after the product's".to_owned(),
        })
    }
}

/// Whether a role fits a party index: data workers at 0 and 1, a compute worker at 2.
pub fn role_of_party(party: usize) -> WorkerRole {
    if party < 2 { WorkerRole::Data } else { WorkerRole::Compute }
}

/// Who is bound by a product at each party index; none unless it has exactly two tables.
pub fn participants_of(product: &DataProduct) -> Option<[&Did; 3]> {
    let [first, second] = product.tables.as_slice() else { return None };
    Some([&first.provider, &second.provider, &product.compute_party])
}

/// Checks an agreement that `consumer` sent against the product whose statement hash is `product_hash`; `grants` are those that its pins
/// name, by party index, as far as the exchange knows them.
pub fn check_agreement(
    agreement: &Agreement,
    (product, product_hash): (&DataProduct, Hash),
    grants: &[Option<PinnedGrant>],
    consumer: &Did,
    now: Timestamp,
) -> Result<(), AgreementRefusal> {
    if agreement.consumer != *consumer {
        return Err(AgreementRefusal::Consumer { named: agreement.consumer.clone() });
    }
    if !product.consumers.is_empty() && !product.consumers.contains(consumer) {
        return Err(AgreementRefusal::NotOffered);
    }
    let terms = [
        ("product", agreement.product == product_hash),
        ("price", agreement.price_per_query == product.price_per_query),
        ("split", agreement.split == product.split),
        ("quota", agreement.quota_queries == product.quota_queries),
    ];
    if let Some((term, _)) = terms.into_iter().find(|(_, same)| !same) {
        return Err(AgreementRefusal::Term(term));
    }
    if agreement.exchange != product.exchange {
        return Err(AgreementRefusal::Exchange);
    }
    if agreement.issued_at > now.plus_ms(CLOCK_SKEW_MS) || agreement.issued_at >= agreement.expires_at {
        return Err(AgreementRefusal::Time("issued_at"));
    }
    if agreement.expires_at <= now || agreement.expires_at > product.expires_at {
        return Err(AgreementRefusal::Time("expires_at"));
    }
    check_pins(agreement, product, grants, now)
}

fn check_pins(
    agreement: &Agreement,
    product: &DataProduct,
    grants: &[Option<PinnedGrant>],
    now: Timestamp,
) -> Result<(), AgreementRefusal> {
    let participants = participants_of(product).ok_or(AgreementRefusal::Term("number of tables"))?;
    if agreement.parties.len() != participants.len() || grants.len() != participants.len() {
        return Err(AgreementRefusal::Term("number of parties"));
    }
    for (party, ((pin, grant), participant)) in agreement.parties.iter().zip(grants).zip(participants).enumerate() {
        let refuse = |why| Err(AgreementRefusal::Pin { party, why });
        let Some(PinnedGrant { hash, grant, data_worker }) = grant else { return refuse("the exchange knows no such grant") };
        if *hash != pin.grant {
            return refuse("the exchange knows no such grant");
        }
        if pin.participant != *participant || grant.participant != *participant {
            return refuse("it is another participant's");
        }
        if pin.worker != grant.worker {
            return refuse("it is another worker's");
        }
        if grant.role != role_of_party(party) {
            return refuse("the worker's role is another one");
        }
        if data_worker.as_ref().is_some_and(|worker| *worker != pin.worker) {
            return refuse("the dataset is at another worker");
        }
        if grant.not_before > now || grant.expires_at <= now {
            return refuse("the grant is not valid now");
        }
    }
    let [first, second, third] = agreement.parties.as_slice() else { return Ok(()) };
    if first.worker == second.worker || first.worker == third.worker || second.worker == third.worker {
        return Err(AgreementRefusal::Pin { party: 2, why: "one worker would be two parties" });
    }
    Ok(())
}

#[cfg(test)]
mod tests;
