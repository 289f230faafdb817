-- What was signed, where it stands with the log, and what it is about.
-- Moments are milliseconds since 1970-01-01T00:00:00Z. Ids, DIDs, hashes and JSON are text. Envelopes are DSSE JSON.

CREATE TABLE statements (
    statement_hash TEXT PRIMARY KEY,            -- SHA-256 of the statement's DSSE encoding; how others refer to it
    kind TEXT NOT NULL,                         -- as in 'agreement'; see domain/evidence.rs
    subject_kind TEXT NOT NULL,                 -- kind of the one thing that it is about, as in 'job'
    subject_id TEXT NOT NULL,                   -- id of that thing
    envelope TEXT NOT NULL,                     -- the envelope with every signature it needs
    leaf TEXT NOT NULL UNIQUE,                  -- the salted hash that goes to the log
    state TEXT NOT NULL CHECK (state IN ('kept', 'pending', 'logged', 'rejected')), -- kept: of a kind that is not logged
    leaf_index INTEGER UNIQUE,                  -- place in the log; null unless logged
    rejection TEXT,                             -- why the ledger refused it or it was given up; null unless rejected
    created_at_ms INTEGER NOT NULL,             -- when; written in the transaction of what it says
    settled_at_ms INTEGER,                      -- when it was logged or rejected; null until then
    CHECK ((state = 'logged') = (leaf_index IS NOT NULL)),
    CHECK ((state = 'rejected') = (rejection IS NOT NULL))
);
CREATE INDEX statements_by_subject ON statements (subject_id, subject_kind);
CREATE INDEX statements_by_state ON statements (state, created_at_ms);

CREATE TABLE statement_links (
    statement_hash TEXT NOT NULL REFERENCES statements (statement_hash), -- the statement that refers
    refers_to TEXT NOT NULL,                    -- statement hash of what it refers to
    relation TEXT NOT NULL,                     -- what its subject is to the other's subject, as in 'uses'
    PRIMARY KEY (statement_hash, refers_to)
);
CREATE INDEX statement_links_by_target ON statement_links (refers_to, statement_hash);

CREATE TABLE statement_participants (
    statement_hash TEXT NOT NULL REFERENCES statements (statement_hash), -- the statement
    participant TEXT NOT NULL,                  -- DID of a participant that it binds
    relation TEXT NOT NULL,                     -- what its subject is to the participant, as in 'held_by'
    PRIMARY KEY (statement_hash, participant, relation)
);
CREATE INDEX statement_participants_by_participant ON statement_participants (participant, statement_hash);

CREATE TABLE witnesses (
    witness TEXT PRIMARY KEY,                   -- did:key that cosigns checkpoints
    participant TEXT NOT NULL,                  -- DID on whose behalf
    worker TEXT NOT NULL,                       -- DID of the worker that holds the key
    size INTEGER NOT NULL,                      -- size of the largest checkpoint that it cosigned
    cosigned_at_ms INTEGER NOT NULL             -- when the exchange got that cosignature
);
