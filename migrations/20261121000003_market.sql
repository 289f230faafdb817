-- Quotes, agreements, orders, jobs, and the books.
-- Moments are milliseconds since 1970-01-01T00:00:00Z. Ids, DIDs, hashes and JSON are text. Amounts are minor units. What was signed is in
-- `statements`; the columns here repeat of it only what is looked for.

CREATE TABLE quotes (
    quote_id TEXT PRIMARY KEY,                  -- chosen by the exchange
    statement_hash TEXT NOT NULL UNIQUE REFERENCES statements (statement_hash), -- the Quote
    product_id TEXT NOT NULL REFERENCES products (product_id), -- what was asked about
    consumer TEXT NOT NULL REFERENCES participants (did), -- who asked; nobody else sees it
    created_at_ms INTEGER NOT NULL              -- when
);
CREATE INDEX quotes_by_consumer ON quotes (consumer, quote_id);

CREATE TABLE agreements (
    agreement_id TEXT PRIMARY KEY,              -- chosen by the consumer
    statement_hash TEXT NOT NULL UNIQUE REFERENCES statements (statement_hash), -- the Agreement; what orders name
    product_id TEXT NOT NULL REFERENCES products (product_id), -- what was agreed on
    consumer TEXT NOT NULL REFERENCES participants (did), -- who buys
    expires_at_ms INTEGER NOT NULL,             -- no order is valid from then on
    created_at_ms INTEGER NOT NULL              -- when the exchange got it
);
CREATE INDEX agreements_by_consumer ON agreements (consumer, agreement_id);

CREATE TABLE agreement_parties (
    agreement_id TEXT NOT NULL REFERENCES agreements (agreement_id), -- the agreement
    party INTEGER NOT NULL CHECK (party BETWEEN 0 AND 2), -- index of the party
    participant TEXT NOT NULL REFERENCES participants (did), -- on whose behalf; may read what happens under the agreement
    worker TEXT NOT NULL,                       -- did:key of the pinned worker
    grant_hash TEXT NOT NULL REFERENCES statements (statement_hash), -- the pinned WorkerGrant
    PRIMARY KEY (agreement_id, party)
);
CREATE INDEX agreement_parties_by_participant ON agreement_parties (participant, agreement_id);
CREATE INDEX agreement_parties_by_worker ON agreement_parties (worker, agreement_id);

CREATE TABLE orders (
    order_id TEXT PRIMARY KEY,                  -- chosen by the consumer
    statement_hash TEXT NOT NULL UNIQUE REFERENCES statements (statement_hash), -- the Order
    agreement_id TEXT NOT NULL REFERENCES agreements (agreement_id), -- what it uses
    consumer TEXT NOT NULL REFERENCES participants (did), -- as in the agreement
    sequence INTEGER NOT NULL CHECK (sequence >= 1), -- 1, 2, 3 … within the agreement
    job_id TEXT NOT NULL UNIQUE,                -- the job it became
    created_at_ms INTEGER NOT NULL,             -- when the exchange got it
    UNIQUE (agreement_id, sequence)
);
CREATE INDEX orders_by_consumer ON orders (consumer, order_id);

CREATE TABLE jobs (
    job_id TEXT PRIMARY KEY,                    -- chosen by the exchange
    order_id TEXT NOT NULL UNIQUE REFERENCES orders (order_id), -- the order it runs
    agreement_id TEXT NOT NULL REFERENCES agreements (agreement_id), -- of the order; one job of an agreement runs at a time
    consumer TEXT NOT NULL REFERENCES participants (did), -- who gets the result
    sequence INTEGER NOT NULL,                  -- of the order; jobs of an agreement run in this order
    state TEXT NOT NULL CHECK (state IN ('queued', 'dispatched', 'running', 'released', 'delivered', 'undelivered', 'refunded')), -- name of the state
    status TEXT NOT NULL,                       -- JSON of the whole state; see domain/job
    attempt INTEGER NOT NULL,                   -- tries begun, 0 to 3
    terms TEXT NOT NULL,                        -- JSON of what never changes; see domain/job
    version INTEGER NOT NULL,                   -- counts changes: who writes must have read the last one
    deadline_ms INTEGER,                        -- when time alone changes the state; null if it never does
    created_at_ms INTEGER NOT NULL,             -- when
    changed_at_ms INTEGER NOT NULL              -- when the state changed last
);
CREATE INDEX jobs_by_agreement ON jobs (agreement_id, sequence);
CREATE INDEX jobs_by_state ON jobs (state, created_at_ms);
CREATE INDEX jobs_by_deadline ON jobs (deadline_ms);
CREATE INDEX jobs_by_consumer ON jobs (consumer, job_id);

CREATE TABLE job_events (
    job_id TEXT NOT NULL REFERENCES jobs (job_id), -- the job
    number INTEGER NOT NULL,                    -- 1, 2, 3 … within the job; the id of the event for subscribers
    at_ms INTEGER NOT NULL,                     -- when
    note TEXT NOT NULL,                         -- JSON of what happened; see domain/job
    PRIMARY KEY (job_id, number)
);

CREATE TABLE receipts (
    job_id TEXT NOT NULL REFERENCES jobs (job_id), -- the job
    attempt INTEGER NOT NULL CHECK (attempt BETWEEN 1 AND 3), -- which try
    party INTEGER NOT NULL CHECK (party BETWEEN 0 AND 2), -- whose
    statement_hash TEXT NOT NULL UNIQUE REFERENCES statements (statement_hash), -- the UsageReceipt
    created_at_ms INTEGER NOT NULL,             -- when the exchange got it
    PRIMARY KEY (job_id, attempt, party)
);

CREATE TABLE sealed_shares (
    job_id TEXT NOT NULL REFERENCES jobs (job_id), -- the job
    share INTEGER NOT NULL CHECK (share BETWEEN 0 AND 2), -- which of the three additive shares
    ciphertext BLOB NOT NULL,                   -- sealed to the consumer; its SHA-256 is in the receipts
    kept_until_ms INTEGER NOT NULL,             -- may be forgotten from then on
    created_at_ms INTEGER NOT NULL,             -- when a worker handed it over
    PRIMARY KEY (job_id, share)
);

-- The books. Postings are written first, then the entry, which closes them.

CREATE TABLE accounts (
    account_id TEXT PRIMARY KEY,                -- chosen by the exchange
    kind TEXT NOT NULL CHECK (kind IN ('available', 'escrow', 'issuance')), -- see domain/journal.rs
    owner TEXT NOT NULL,                        -- DID; the exchange's for escrow and issuance
    currency TEXT NOT NULL,                     -- the account's only currency
    balance_minor INTEGER NOT NULL DEFAULT 0,   -- sum of the account's closed postings; moved by the trigger on journal_entries alone
    created_at_ms INTEGER NOT NULL,             -- when
    UNIQUE (kind, owner, currency),
    CONSTRAINT no_overdraft CHECK (kind = 'issuance' OR balance_minor >= 0)
);
CREATE INDEX accounts_by_owner ON accounts (owner);

CREATE TABLE journal_entries (
    position INTEGER PRIMARY KEY,               -- 1, 2, 3 … without gaps, in the order of booking
    entry_id TEXT NOT NULL UNIQUE,              -- chosen by the exchange
    kind TEXT NOT NULL CHECK (kind IN ('credit', 'hold', 'release', 'refund')), -- why money moved
    currency TEXT NOT NULL,                     -- of every posting
    job_id TEXT REFERENCES jobs (job_id),       -- the job it is about; null for credit
    created_at_ms INTEGER NOT NULL,             -- when
    CHECK ((kind = 'credit') = (job_id IS NULL))
);
-- A job's money is set aside once, and goes one way once.
CREATE UNIQUE INDEX journal_entries_hold ON journal_entries (job_id) WHERE kind = 'hold';
CREATE UNIQUE INDEX journal_entries_closing ON journal_entries (job_id) WHERE kind IN ('release', 'refund');

CREATE TABLE postings (
    entry_id TEXT NOT NULL REFERENCES journal_entries (entry_id) DEFERRABLE INITIALLY DEFERRED, -- the entry that closes it
    line INTEGER NOT NULL CHECK (line BETWEEN 0 AND 63), -- its place in the entry
    account_id TEXT NOT NULL REFERENCES accounts (account_id), -- the account
    amount_minor INTEGER NOT NULL CHECK (amount_minor <> 0 AND amount_minor BETWEEN -1000000000000000 AND 1000000000000000), -- positive adds to the owner's claim
    PRIMARY KEY (entry_id, line)
);
CREATE INDEX postings_by_account ON postings (account_id, entry_id);

CREATE TABLE escrows (
    job_id TEXT PRIMARY KEY REFERENCES jobs (job_id), -- whose price
    amount_minor INTEGER NOT NULL CHECK (amount_minor > 0), -- how much
    currency TEXT NOT NULL,                     -- of the amount
    state TEXT NOT NULL CHECK (state IN ('held', 'released', 'refunded')), -- where it is
    hold_entry TEXT NOT NULL UNIQUE REFERENCES journal_entries (entry_id), -- the entry that set it aside
    hold_hash TEXT NOT NULL UNIQUE REFERENCES statements (statement_hash), -- the Hold
    closing_entry TEXT UNIQUE REFERENCES journal_entries (entry_id), -- the entry that paid it out or gave it back; null while held
    closing_hash TEXT UNIQUE REFERENCES statements (statement_hash), -- the Release or Refund; null while held
    held_at_ms INTEGER NOT NULL,                -- when it was set aside
    closed_at_ms INTEGER,                       -- when it was paid out or given back; null while held
    CHECK ((state = 'held') = (closing_entry IS NULL)),
    CHECK ((state = 'held') = (closing_hash IS NULL)),
    CHECK ((state = 'held') = (closed_at_ms IS NULL))
);
CREATE INDEX escrows_by_state ON escrows (state, currency);

CREATE TRIGGER journal_entries_balance BEFORE INSERT ON journal_entries
BEGIN
    SELECT RAISE(ABORT, 'an entry needs at least two postings')
    WHERE (SELECT COUNT(*) FROM postings WHERE entry_id = NEW.entry_id) < 2;
    SELECT RAISE(ABORT, 'the postings of an entry must sum to zero')
    WHERE (SELECT SUM(amount_minor) FROM postings WHERE entry_id = NEW.entry_id) <> 0;
    SELECT RAISE(ABORT, 'the postings of an entry must have its currency')
    WHERE EXISTS (
        SELECT 1 FROM postings JOIN accounts ON accounts.account_id = postings.account_id
        WHERE postings.entry_id = NEW.entry_id AND accounts.currency <> NEW.currency
    );
END;

CREATE TRIGGER journal_entries_move AFTER INSERT ON journal_entries
BEGIN
    UPDATE accounts SET balance_minor = balance_minor + (
        SELECT SUM(amount_minor) FROM postings WHERE postings.entry_id = NEW.entry_id AND postings.account_id = accounts.account_id
    )
    WHERE account_id IN (SELECT account_id FROM postings WHERE entry_id = NEW.entry_id);
END;

CREATE TRIGGER postings_closed BEFORE INSERT ON postings
WHEN EXISTS (SELECT 1 FROM journal_entries WHERE entry_id = NEW.entry_id)
BEGIN
    SELECT RAISE(ABORT, 'the entry is closed');
END;

CREATE TRIGGER postings_stay BEFORE UPDATE ON postings BEGIN SELECT RAISE(ABORT, 'postings never change'); END;
CREATE TRIGGER postings_remain BEFORE DELETE ON postings BEGIN SELECT RAISE(ABORT, 'postings are never deleted'); END;
CREATE TRIGGER journal_entries_stay BEFORE UPDATE ON journal_entries BEGIN SELECT RAISE(ABORT, 'entries never change'); END;
CREATE TRIGGER journal_entries_remain BEFORE DELETE ON journal_entries BEGIN SELECT RAISE(ABORT, 'entries are never deleted'); END;
CREATE TRIGGER accounts_remain BEFORE DELETE ON accounts BEGIN SELECT RAISE(ABORT, 'accounts are never deleted'); END;
CREATE TRIGGER accounts_stay BEFORE UPDATE OF account_id, kind, owner, currency ON accounts
BEGIN
    SELECT RAISE(ABORT, 'an account keeps its kind, owner and currency');
END;
CREATE TRIGGER accounts_empty BEFORE INSERT ON accounts WHEN NEW.balance_minor <> 0
BEGIN
    SELECT RAISE(ABORT, 'an account begins empty');
END;

CREATE TRIGGER escrows_held BEFORE INSERT ON escrows WHEN NEW.state <> 'held'
BEGIN
    SELECT RAISE(ABORT, 'an escrow begins held');
END;
CREATE TRIGGER escrows_once BEFORE UPDATE ON escrows WHEN OLD.state <> 'held'
BEGIN
    SELECT RAISE(ABORT, 'the escrow is closed');
END;
CREATE TRIGGER escrows_stay BEFORE UPDATE OF job_id, amount_minor, currency, hold_entry, hold_hash, held_at_ms ON escrows
BEGIN
    SELECT RAISE(ABORT, 'only the end of an escrow may be written');
END;
CREATE TRIGGER escrows_remain BEFORE DELETE ON escrows BEGIN SELECT RAISE(ABORT, 'escrows are never deleted'); END;
CREATE TRIGGER job_events_stay BEFORE UPDATE ON job_events BEGIN SELECT RAISE(ABORT, 'events never change'); END;
CREATE TRIGGER receipts_stay BEFORE UPDATE ON receipts BEGIN SELECT RAISE(ABORT, 'receipts never change'); END;
