-- SPDX-License-Identifier: LGPL-2.1-or-later
-- procledger log: executions in the order of their time, in pages behind the key (:after_time, :after_eid).

-- name: log_forward
SELECT * FROM process_events
WHERE time BETWEEN max(:since, :after_time) AND :until
  AND (time > :after_time OR eid > :after_eid)
  AND (time > :since OR time_ns >= :since_ns) AND (time < :until OR time_ns <= :until_ns)
  AND eid <= :max_eid
ORDER BY time, eid LIMIT :limit

-- name: log_backward
SELECT * FROM process_events
WHERE time BETWEEN :since AND min(:until, :after_time)
  AND (time < :after_time OR eid < :after_eid)
  AND (time > :since OR time_ns >= :since_ns) AND (time < :until OR time_ns <= :until_ns)
  AND eid <= :max_eid
ORDER BY time DESC, eid DESC LIMIT :limit

-- The key before the last :limit rows.
-- name: log_start
SELECT time, eid FROM process_events
WHERE time BETWEEN :since AND :until
  AND (time > :since OR time_ns >= :since_ns) AND (time < :until OR time_ns <= :until_ns)
  AND eid <= :max_eid
ORDER BY time DESC, eid DESC LIMIT 1 OFFSET :limit

-- name: log_last_eid
SELECT id FROM _execution ORDER BY id DESC LIMIT 1

-- What came in since, in the order in which it was recorded.
-- name: log_follow
SELECT * FROM process_events WHERE eid > :after_eid ORDER BY eid LIMIT :limit
