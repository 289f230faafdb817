-- Who takes part, what they offer, and what makes every request safe to send twice.
-- Moments are milliseconds since 1970-01-01T00:00:00Z. Ids, DIDs, hashes and JSON are text. Envelopes are DSSE JSON.

CREATE TABLE participants (
    did TEXT PRIMARY KEY,                       -- did:key of the participant; its identity, never changes
    name TEXT NOT NULL,                         -- shown to people; from the enrolment
    roles TEXT NOT NULL,                        -- JSON array of role names, sorted; from the enrolment
    sealing_key TEXT NOT NULL,                  -- X25519 public key, base64; from the enrolment
    state TEXT NOT NULL CHECK (state IN ('pending', 'approved')), -- pending until an operator approves
    enrolment TEXT NOT NULL,                    -- envelope of the ParticipantEnrolment
    enrolment_hash TEXT NOT NULL,               -- its statement hash
    enrolled_at_ms INTEGER NOT NULL,            -- when the exchange got it
    approved_at_ms INTEGER,                     -- when an operator approved; null while pending
    approved_by TEXT                            -- DID of that operator; its own for the first one
);
CREATE INDEX participants_by_state ON participants (state, did);

CREATE TABLE worker_grants (
    grant_id TEXT PRIMARY KEY,                  -- chosen by the signer
    statement_hash TEXT NOT NULL UNIQUE,        -- what agreements pin
    participant TEXT NOT NULL REFERENCES participants (did), -- who delegates
    worker TEXT NOT NULL,                       -- did:key of the worker
    witness TEXT NOT NULL,                      -- did:key that the worker cosigns checkpoints with
    role TEXT NOT NULL CHECK (role IN ('data', 'compute')), -- what the worker may do
    not_before_ms INTEGER NOT NULL,             -- not valid before
    expires_at_ms INTEGER NOT NULL,             -- not valid from then on
    envelope TEXT NOT NULL,                     -- envelope of the WorkerGrant
    created_at_ms INTEGER NOT NULL              -- when the exchange got it
);
CREATE INDEX worker_grants_by_participant ON worker_grants (participant, grant_id);
CREATE INDEX worker_grants_by_worker ON worker_grants (worker, expires_at_ms);

CREATE TABLE datasets (
    dataset_id TEXT PRIMARY KEY,                -- chosen by the exchange
    provider TEXT NOT NULL REFERENCES participants (did), -- who registers it
    name TEXT NOT NULL,                         -- name in the worker's configuration
    worker TEXT NOT NULL,                       -- did:key of the worker that holds the data
    state TEXT NOT NULL CHECK (state IN ('describing', 'described', 'registered', 'refused')), -- see domain/dataset.rs
    description TEXT,                           -- canonical JSON of the DatasetDescription; null until described
    refusal_code TEXT,                          -- stable code, if the worker refused
    refusal_detail TEXT,                        -- the worker's words, cut to 500 characters
    rights TEXT,                                -- envelope of the RightsRegistration; null until registered
    rights_hash TEXT UNIQUE,                    -- its statement hash
    created_at_ms INTEGER NOT NULL,             -- when it was asked for
    described_at_ms INTEGER,                    -- when the worker answered
    registered_at_ms INTEGER                    -- when the provider's registration was accepted
);
CREATE INDEX datasets_by_provider ON datasets (provider, dataset_id);
-- A refused dataset may be asked for again under its name.
CREATE UNIQUE INDEX datasets_by_name ON datasets (provider, name) WHERE state <> 'refused';
CREATE INDEX datasets_by_worker ON datasets (worker, state);

CREATE TABLE products (
    product_id TEXT PRIMARY KEY,                -- chosen by the first signer
    statement_hash TEXT NOT NULL UNIQUE,        -- what agreements name
    title TEXT NOT NULL,                        -- shown to people
    state TEXT NOT NULL CHECK (state IN ('proposed', 'active', 'paused', 'withdrawn')), -- expiry follows from expires_at_ms
    envelope TEXT NOT NULL,                     -- envelope of the DataProduct with every signature so far
    open_to_all INTEGER NOT NULL CHECK (open_to_all IN (0, 1)), -- 1 if the product names no consumers
    expires_at_ms INTEGER NOT NULL,             -- no order is valid from then on
    created_at_ms INTEGER NOT NULL,             -- when the first signature came
    activated_at_ms INTEGER,                    -- when the last signature came
    paused_by TEXT,                             -- DID of who paused it and alone may resume it; null unless paused
    withdrawn_by TEXT                           -- DID of who withdrew it; null unless withdrawn
);
CREATE INDEX products_by_state ON products (state, product_id);

CREATE TABLE product_parties (
    product_id TEXT NOT NULL REFERENCES products (product_id), -- the product
    party INTEGER NOT NULL CHECK (party BETWEEN 0 AND 2), -- 0 and 1 the tables' providers, 2 the compute party
    participant TEXT NOT NULL REFERENCES participants (did), -- who is bound and must sign
    dataset_id TEXT REFERENCES datasets (dataset_id), -- null for the compute party
    signed_at_ms INTEGER,                       -- when the signature came; null until then
    PRIMARY KEY (product_id, party)
);
CREATE INDEX product_parties_by_participant ON product_parties (participant, product_id);
CREATE INDEX product_parties_by_dataset ON product_parties (dataset_id, product_id);

CREATE TABLE product_consumers (
    product_id TEXT NOT NULL REFERENCES products (product_id), -- the product
    consumer TEXT NOT NULL,                     -- DID that may buy it
    PRIMARY KEY (product_id, consumer)
);
CREATE INDEX product_consumers_by_consumer ON product_consumers (consumer, product_id);

CREATE TABLE idempotency_keys (
    owner TEXT NOT NULL,                        -- DID of who sent it
    key TEXT NOT NULL,                          -- the Idempotency-Key header
    request_hash TEXT NOT NULL,                 -- SHA-256 of method, path and body
    status INTEGER NOT NULL,                    -- HTTP status of the answer
    body TEXT NOT NULL,                         -- JSON of the answer
    created_at_ms INTEGER NOT NULL,             -- when; written in the transaction of the effect
    PRIMARY KEY (owner, key)
);
CREATE INDEX idempotency_keys_by_age ON idempotency_keys (created_at_ms); -- to forget the old ones

CREATE TABLE assertion_ids (
    issuer TEXT NOT NULL,                       -- DID that signed the client assertion
    jti TEXT NOT NULL,                          -- its id, used once
    expires_at_ms INTEGER NOT NULL,             -- from then on the assertion is invalid anyway and the row may go
    PRIMARY KEY (issuer, jti)
);
CREATE INDEX assertion_ids_by_expiry ON assertion_ids (expires_at_ms);

CREATE TABLE outbox (
    sequence INTEGER PRIMARY KEY,               -- order of announcement
    topic TEXT NOT NULL,                        -- what is to be done, as in 'anchor'
    payload TEXT NOT NULL,                      -- for 'anchor' a statement hash
    subjects TEXT NOT NULL,                     -- JSON array of the ids it is about
    created_at_ms INTEGER NOT NULL,             -- when; written in the transaction of what it announces
    attempts INTEGER NOT NULL DEFAULT 0,        -- tries so far
    due_at_ms INTEGER NOT NULL,                 -- not to be tried before
    done_at_ms INTEGER,                         -- when it was done; null until then
    failure TEXT                                -- code of the last failure; null if there was none
);
CREATE INDEX outbox_due ON outbox (topic, done_at_ms, due_at_ms, sequence);
