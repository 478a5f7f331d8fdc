-- Access requests and grants, as JSON of `kubestile_core`; the columns beside it are what they are
-- looked up and forgotten by. Times are microseconds since 1970-01-01T00:00:00Z.

CREATE TABLE access_requests (
    id TEXT PRIMARY KEY NOT NULL,
    person TEXT NOT NULL,
    created INTEGER NOT NULL,
    -- When its last effect ends: then it is history.
    over INTEGER NOT NULL,
    request TEXT NOT NULL
) STRICT;
CREATE INDEX access_requests_by_over ON access_requests (over);

CREATE TABLE grants (
    id TEXT PRIMARY KEY NOT NULL,
    holder TEXT NOT NULL,
    starts INTEGER NOT NULL,
    over INTEGER NOT NULL,
    grant_json TEXT NOT NULL
) STRICT;
CREATE INDEX grants_by_over ON grants (over);
