\set ON_ERROR_STOP on
SET client_encoding = 'UTF8';
DISCARD TEMP;
CREATE TEMP TABLE recount_in_rows (LIKE recount_audit);
CREATE TEMP TABLE recount_in_patterns (LIKE recount_known_shard);
CREATE TEMP TABLE recount_in_batch (
  cluster_id text, after_generation bigint, after_seq bigint, generation bigint, seq bigint, rows bigint, patterns bigint);
