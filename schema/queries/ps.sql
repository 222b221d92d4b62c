-- SPDX-License-Identifier: LGPL-2.1-or-later
-- procledger ps: what is alive, or was at a moment.

-- name: ps_now
SELECT * FROM (
    SELECT * FROM processes
    WHERE time BETWEEN :since AND :until
      AND (time > :since OR time_ns >= :since_ns) AND (time < :until OR time_ns <= :until_ns)
    ORDER BY pid, eid LIMIT :limit)
ORDER BY CASE WHEN :reverse THEN -pid ELSE pid END, CASE WHEN :reverse THEN -eid ELSE eid END

-- Alive then: started before, and not ended, or ended after.
-- name: ps_at
SELECT * FROM (
    SELECT * FROM process_events
    WHERE eid IN (
        SELECT id FROM _execution
        WHERE time <= :at AND (time < :at OR time_ns <= :at_ns)
          AND (end_reason IS NULL OR
               CASE WHEN duration_ns IS NULL THEN end_time >= :at
                    ELSE duration_ns / 1000000000 > :at - time + 1 OR
                         duration_ns + time_ns - (:at - time) * 1000000000 > :at_ns END)
          AND time BETWEEN :since AND :until
          AND (time > :since OR time_ns >= :since_ns) AND (time < :until OR time_ns <= :until_ns))
    ORDER BY pid, eid LIMIT :limit)
ORDER BY CASE WHEN :reverse THEN -pid ELSE pid END, CASE WHEN :reverse THEN -eid ELSE eid END

-- When the newest run ended; NULL: it runs.
-- name: ps_recorded_until
SELECT end_time FROM runs ORDER BY run_id DESC LIMIT 1
