DO $recount$
DECLARE
  b record;
  c record;
BEGIN
  SELECT * INTO STRICT b FROM pg_temp.recount_in_batch;
  SELECT * INTO c FROM recount_cursor FOR UPDATE;
  IF NOT FOUND THEN
    RAISE EXCEPTION 'recount_cursor has no row' USING HINT = 'recount export postgres --print-schema | psql';
  END IF;
  IF c.cluster_id <> b.cluster_id THEN
    RAISE EXCEPTION 'these tables hold cluster %, the script is of cluster %', c.cluster_id, b.cluster_id
      USING HINT = 'Use another database for another cluster.';
  END IF;
  IF (c.generation, c.seq) IS DISTINCT FROM (b.after_generation, b.after_seq) THEN
    RAISE EXCEPTION 'recount_cursor is at generation % seq %, the script goes on after generation % seq %',
      c.generation, c.seq, b.after_generation, b.after_seq
      USING HINT = format('Nothing was changed. Make the script again with --after "%s %s".', c.generation, c.seq);
  END IF;
  IF (SELECT count(*) FROM pg_temp.recount_in_rows) <> b.rows OR (SELECT count(*) FROM pg_temp.recount_in_patterns) <> b.patterns THEN
    RAISE EXCEPTION 'rows of the script are missing' USING HINT = 'Nothing was changed. Make the script again.';
  END IF;
  INSERT INTO recount_audit SELECT * FROM pg_temp.recount_in_rows
  ON CONFLICT (seq) DO UPDATE SET
    log_time = excluded.log_time, received_at = excluded.received_at, node = excluded.node, request_id = excluded.request_id,
    pcs_id = excluded.pcs_id, shard_id = excluded.shard_id, epoch = excluded.epoch, key_id = excluded.key_id,
    status = excluded.status, outcome = excluded.outcome, accepted = excluded.accepted, reason_code = excluded.reason_code,
    reason = excluded.reason, recomputed_d_hat = excluded.recomputed_d_hat, policy = excluded.policy,
    evidence = excluded.evidence, first_seq = excluded.first_seq, generation = excluded.generation;
  DELETE FROM recount_known_shard WHERE pattern NOT IN (SELECT pattern FROM pg_temp.recount_in_patterns);
  INSERT INTO recount_known_shard SELECT pattern FROM pg_temp.recount_in_patterns ON CONFLICT DO NOTHING;
  UPDATE recount_cursor SET cluster_id = b.cluster_id, generation = b.generation, seq = b.seq, loaded_at = now();
END
$recount$;
