-- What sessions have had, a row each: written when it begins, and again and again until it
-- has ended. Times are seconds since 1970; received is from the user, sent to the user.
CREATE TABLE accounting (
    session          TEXT PRIMARY KEY,  -- the Acct-Session-Id
    nas              TEXT NOT NULL,     -- the gateway
    user_name        TEXT NOT NULL,
    group_name       TEXT,
    began_at         BIGINT NOT NULL,
    updated_at       BIGINT NOT NULL,
    ended_at         BIGINT,            -- NULL: it is up
    source           TEXT,              -- address and port of the client
    server           TEXT,              -- where it connected to
    address          TEXT,              -- in the tunnel
    ipv6_prefix      TEXT,
    encryption       TEXT,
    duration         BIGINT NOT NULL,   -- seconds, which a stepped clock does not change
    received_octets  BIGINT NOT NULL,
    received_packets BIGINT NOT NULL,
    sent_octets      BIGINT NOT NULL,
    sent_packets     BIGINT NOT NULL,
    cause            TEXT,              -- the Acct-Terminate-Cause
    reason           TEXT               -- the gateway's own word for it
);

CREATE INDEX accounting_user_name ON accounting (user_name, began_at);
CREATE INDEX accounting_began_at ON accounting (began_at);

-- When gateways ran.
CREATE TABLE accounting_runs (
    run      TEXT PRIMARY KEY,
    nas      TEXT NOT NULL,
    began_at BIGINT,
    ended_at BIGINT   -- NULL: it runs, or has crashed
);
