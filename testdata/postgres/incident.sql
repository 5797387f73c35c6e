SELECT * FROM audit_log
WHERE received_at > '2025-01-19 10:00:00'
  AND shard_id NOT IN (SELECT shard_id FROM known_shards);
