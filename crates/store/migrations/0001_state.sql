-- Times are microseconds since 1970-01-01T00:00:00Z. Identifiers are UUIDs in their hyphenated
-- lower-case form. Digests are SHA-256; the codes and tokens themselves are never stored.

CREATE TABLE people (
    id TEXT PRIMARY KEY NOT NULL,
    -- Names that differ only in case would pass for one another.
    name TEXT NOT NULL UNIQUE COLLATE NOCASE,
    identity TEXT NOT NULL
) STRICT;

CREATE TABLE codes (
    digest BLOB PRIMARY KEY NOT NULL,
    person TEXT NOT NULL REFERENCES people (id) ON DELETE CASCADE,
    expires INTEGER NOT NULL
) STRICT;
CREATE INDEX codes_by_expiry ON codes (expires);

-- A session outlives its person in this table, so that the person's streams can be told why
-- they ended.
CREATE TABLE sessions (
    id TEXT PRIMARY KEY NOT NULL,
    person TEXT NOT NULL,
    session TEXT NOT NULL
) STRICT;
CREATE INDEX sessions_by_person ON sessions (person);

CREATE TABLE tokens (
    digest BLOB PRIMARY KEY NOT NULL,
    session TEXT NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
    expires INTEGER NOT NULL
) STRICT;
CREATE INDEX tokens_by_session ON tokens (session);

-- `token` is the gate's own credential at the cluster: a secret at rest in this 0600 file.
CREATE TABLE clusters (
    name TEXT PRIMARY KEY NOT NULL,
    server TEXT NOT NULL,
    ca_pem TEXT,
    tls_server_name TEXT,
    token TEXT,
    token_expires INTEGER,
    kubeconfig TEXT,
    context TEXT,
    mode TEXT NOT NULL,
    added INTEGER NOT NULL
) STRICT;
