-- What a user is granted, and the same of its group where the user's own is NULL. Zero is
-- as the gateway's policy has it.
CREATE TABLE user_groups (
    name              TEXT PRIMARY KEY,
    pool              TEXT,     -- name of an address pool
    routes            TEXT,     -- networks behind the client, with spaces between
    rate_from_peer    BIGINT,   -- bits per second
    rate_to_peer      BIGINT,
    quota             BIGINT,   -- octets of a session, both ways together
    session_timeout   BIGINT,   -- seconds
    idle_timeout      BIGINT,
    max_sessions      BIGINT,   -- at a time
    sources           TEXT,     -- networks that clients may come from, with spaces between
    hours             TEXT,     -- times of the week, with semicolons between
    note              TEXT,
    created_at        BIGINT NOT NULL,
    updated_at        BIGINT NOT NULL
);

CREATE TABLE users (
    name                TEXT PRIMARY KEY,
    nt_hash             TEXT,   -- 32 hexadecimal digits; NULL: nobody gets in
    password            TEXT,   -- in clear, for CHAP-MD5 only
    disabled            BOOLEAN NOT NULL DEFAULT FALSE,
    expires_at          BIGINT, -- the user
    password_expires_at BIGINT, -- its password, which MS-CHAP can change then
    group_name          TEXT REFERENCES user_groups (name) ON UPDATE CASCADE,
    address             TEXT,   -- the fixed IPv4 address in the tunnel
    pool                TEXT,
    routes              TEXT,
    rate_from_peer      BIGINT,
    rate_to_peer        BIGINT,
    quota               BIGINT,
    session_timeout     BIGINT,
    idle_timeout        BIGINT,
    max_sessions        BIGINT,
    sources             TEXT,
    hours               TEXT,
    note                TEXT,
    created_at          BIGINT NOT NULL,
    updated_at          BIGINT NOT NULL
);

CREATE UNIQUE INDEX users_address ON users (address);
CREATE INDEX users_group_name ON users (group_name);
