-- Imports of API servers' audit logs, for times without a gate: the marker as JSON of `kubestile_core`, whose
-- count is that of the records written so far, and beside it what is needed until it ends.

CREATE TABLE imports (
    id TEXT PRIMARY KEY NOT NULL,
    cluster TEXT NOT NULL,
    -- Records that were announced.
    announced INTEGER NOT NULL,
    -- When something last came, in microseconds since 1970-01-01T00:00:00Z.
    touched INTEGER NOT NULL,
    gap TEXT NOT NULL
) STRICT;
CREATE INDEX imports_by_cluster ON imports (cluster, touched);
