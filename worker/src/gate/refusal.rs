//! Why a worker will not run an order: one stable code each.

use entrepot_chain_statement::Did;

macro_rules! refusals {
    ($($(#[$doc:meta])* $variant:ident $({ $($field:ident: $type:ty),* })? = $code:literal, $text:literal;)*) => {
        /// Why a worker will not run an order. The texts are for people and say what to do; none holds data.
        #[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
        #[expect(missing_docs, reason = "each text says what its variant means")]
        pub enum Refusal {
            $($(#[$doc])* #[error($text)] $variant $({ $($field: $type),* })?,)*
        }

        impl Refusal {
            /// Every code there is.
            pub const CODES: &'static [&'static str] = &[$($code),*];

            /// Stable code.
            pub fn code(&self) -> &'static str {
                match self { $(Self::$variant { .. } => $code,)* }
            }
        }
    };
}

refusals! {
    Malformed { part: &'static str } = "work_order_malformed", "the work order's {part} cannot be read";
    PartyOutOfRange = "party_out_of_range", "a computation has parties 0, 1 and 2";
    AttemptOutOfRange = "attempt_out_of_range", "attempts go from 1 to 3";
    DeadlinePassed = "deadline_passed", "the work order's deadline has passed by this worker's clock";

    ProductNotSigned { participant: Did } = "product_not_signed", "{participant} has not signed the product";
    ProductForOtherExchange = "product_for_other_exchange", "the product is not for the exchange in this worker's configuration";
    ProductInvalid { problem: &'static str } = "product_invalid", "the product is not one this worker can run: {problem}";
    ProductExpired = "product_expired", "the product has expired: ask its providers for a new one";
    ParticipantNotTrusted { participant: Did } = "participant_not_trusted",
        "{participant} is not among the participants this worker trusts: its owner adds the did to `trust` in the worker's configuration";

    AgreementNotSigned = "agreement_not_signed", "the agreement is not signed by the consumer it names";
    AgreementForOtherProduct = "agreement_for_other_product", "the agreement accepts another product";
    AgreementForOtherExchange = "agreement_for_other_exchange", "the agreement names another exchange";
    AgreementTermsDiffer { term: &'static str } = "agreement_terms_differ", "the agreement's {term} is not the product's: agree on the product as it is";
    AgreementExpired = "agreement_expired", "the agreement has expired: make a new one";
    ConsumerNotTrusted { consumer: Did } = "consumer_not_trusted",
        "{consumer} is not among the participants this worker trusts: its owner adds the did to `trust` in the worker's configuration";
    ConsumerNotInvited = "consumer_not_invited", "the product is not offered to this consumer";

    PartiesDiffer = "parties_differ", "the agreement's parties are not the product's providers and compute party, in order";
    PartiesNotDistinct = "parties_not_distinct", "three parties need three participants and three workers";
    NotThisWorker = "not_this_worker", "the agreement gives this place in the computation to another worker";
    ComputePartyNotAccepted = "compute_party_not_accepted", "a provider's policy does not accept the product's compute party";
    GrantNotSigned { party: u8 } = "grant_not_signed", "the grant of party {party}'s worker is not signed by its participant";
    GrantDiffers { party: u8 } = "grant_differs", "the grant of party {party}'s worker is not the one the agreement pins";
    GrantRoleWrong { party: u8 } = "grant_role_wrong", "the grant of party {party}'s worker does not allow this role";
    GrantNotInTime { party: u8 } = "grant_not_in_time", "the grant of party {party}'s worker is not valid now: sign a new grant and a new agreement";

    OrderNotSigned = "order_not_signed", "the order is not signed by the consumer";
    OrderForOtherAgreement = "order_for_other_agreement", "the order uses another agreement";
    OrderPriceDiffers = "order_price_differs", "the order's price is not the agreed one";
    OrderExpired = "order_expired", "the order has expired: sign a new one";

    HoldNotSigned = "hold_not_signed", "the hold is not signed by the exchange in this worker's configuration";
    HoldForOtherOrder = "hold_for_other_order", "the hold is for another order, agreement or job";
    HoldAmountDiffers = "hold_amount_differs", "what is held is not the agreed price";

    PlanForbidden { code: &'static str, rule: &'static str, detail: String } = "plan_forbidden", "the query has no plan under the product's terms ({code}, rule {rule}): {detail}";
    PlanDiffers = "plan_differs", "the order's plan is not the plan of its query: derive it from the query and the product";

    DatasetUnknown = "dataset_unknown", "this worker has described no such dataset";
    DatasetDiffers = "dataset_differs", "the product's dataset is not as this worker described it: register the dataset again and make a new product";
    PolicyMissing = "policy_missing", "this worker has no policy of its own for the dataset: its owner sets `policy` in the worker's configuration";
    PolicyForbids { code: &'static str, rule: &'static str, detail: String } = "policy_forbids", "the worker's own policy does not allow the query ({code}, rule {rule}): {detail}";
    PolicyStricter = "policy_stricter", "the worker's own policy is stricter than the product's: a new product is needed";

    OrderReplayed = "order_replayed", "this order already ran as another job";
    SequencePassed = "sequence_passed", "an order with this or a higher number of the agreement was accepted before: sign the next number";
    AttemptRepeated = "attempt_repeated", "this attempt, or a later one, was accepted before";
    AlreadyReleased = "already_released", "this order was computed and paid for";
    QuotaSpent = "quota_spent", "the consumer's queries of this product are used up, under whatever agreement: a new product is needed";
    TooManyOrders = "too_many_orders", "too many orders of this agreement failed: make a new agreement";
}
