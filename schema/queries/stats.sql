-- SPDX-License-Identifier: LGPL-2.1-or-later
-- procledger stats: the counters of the newest run, and what the file holds. One row, also without any run.

-- name: stats
SELECT r.*,
  :database_bytes AS database_bytes,
  :wal_bytes AS wal_bytes,
  (SELECT max(id) FROM _execution) AS last_eid,
  (SELECT count(*) FROM _binary) AS binaries,
  (SELECT count(*) FROM _content WHERE id <> 0) AS contents,
  (SELECT count(*) FROM _version) AS file_versions,
  (SELECT count(*) FROM hash) AS files_tracked,
  (SELECT count(*) FROM hash WHERE hash_state = 'ok') AS files_ok,
  (SELECT count(*) FROM hash WHERE hash_state = 'pending') AS files_pending,
  (SELECT count(*) FROM hash WHERE hash_state = 'unreadable') AS files_unreadable,
  (SELECT count(*) FROM hash WHERE hash_state = 'vanished') AS files_vanished,
  (SELECT count(*) FROM hash WHERE hash_state = 'too-big') AS files_too_big,
  (SELECT count(*) FROM hash WHERE hash_state = 'unstable') AS files_unstable,
  (SELECT count(*) FROM gaps) AS gaps
FROM (SELECT 1) LEFT JOIN (SELECT * FROM runs ORDER BY run_id DESC LIMIT 1) r
