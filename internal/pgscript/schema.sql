-- Tables and views for recount export postgres. May be given again: nothing that is there is lost.
\set ON_ERROR_STOP on
BEGIN;
SET LOCAL client_min_messages = warning;

DO $recount$
BEGIN
  IF current_setting('server_encoding') <> 'UTF8' THEN
    RAISE EXCEPTION 'the database has the encoding %; recount needs UTF8', current_setting('server_encoding')
      USING HINT = 'createdb --encoding UTF8 --template template0 NAME';
  END IF;
END
$recount$;

-- One row per submission, refused ones too. seq is the number of its event.
CREATE TABLE IF NOT EXISTS recount_audit (
  seq              bigint PRIMARY KEY,
  log_time         timestamptz NOT NULL,
  received_at      timestamptz NOT NULL,
  node             text NOT NULL,
  request_id       text,
  pcs_id           text,      -- as claimed, when it was refused; null when the body names none
  shard_id         text,
  epoch            bigint,
  key_id           text,      -- null when no key verified it
  status           integer NOT NULL,
  outcome          text NOT NULL,
  accepted         boolean NOT NULL,
  reason_code      text NOT NULL,
  reason           text NOT NULL,
  recomputed_d_hat numeric,   -- null when it cannot be computed
  policy           text NOT NULL,
  evidence         boolean NOT NULL,
  first_seq        bigint,    -- the event whose outcome stands, when not this one
  generation       bigint NOT NULL
);
CREATE INDEX IF NOT EXISTS recount_audit_shard ON recount_audit (shard_id, seq);
CREATE INDEX IF NOT EXISTS recount_audit_received ON recount_audit (received_at);
CREATE INDEX IF NOT EXISTS recount_audit_pcs ON recount_audit (pcs_id);

-- The shards that somebody registered as expected: a shard id, or its beginning and a star.
CREATE TABLE IF NOT EXISTS recount_known_shard (pattern text PRIMARY KEY);

-- How far the tables are filled: up to event seq, outcomes as this generation says them. One row.
CREATE TABLE IF NOT EXISTS recount_cursor (
  one        boolean PRIMARY KEY DEFAULT true CHECK (one),
  cluster_id text,
  generation bigint NOT NULL DEFAULT 0,
  seq        bigint NOT NULL DEFAULT 0,
  loaded_at  timestamptz
);
INSERT INTO recount_cursor DEFAULT VALUES ON CONFLICT DO NOTHING;

-- received_at is in UTC, without a zone.
CREATE OR REPLACE VIEW audit_log AS
  SELECT seq AS id, pcs_id, shard_id, epoch, accepted, outcome = 'escalated' AS escalated,
         received_at AT TIME ZONE 'UTC' AS received_at, reason, outcome, recomputed_d_hat
  FROM recount_audit;

CREATE OR REPLACE VIEW known_shards AS
  SELECT DISTINCT a.shard_id
  FROM recount_audit a
  JOIN recount_known_shard k
    ON CASE WHEN right(k.pattern, 1) = '*' THEN starts_with(a.shard_id, left(k.pattern, -1)) ELSE a.shard_id = k.pattern END;

COMMIT;
