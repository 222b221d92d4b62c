-- SPDX-License-Identifier: LGPL-2.1-or-later
-- procledger show: executions by number, newest first. A number that is both, an eid and a pid, shows the eid first.

-- name: show_any
SELECT * FROM (
    SELECT * FROM process_events
    WHERE eid IN (
        SELECT id FROM _execution WHERE id = :eid
        UNION
        SELECT id FROM _execution
        WHERE pid = :pid AND time BETWEEN :since AND :until
          AND (time > :since OR time_ns >= :since_ns) AND (time < :until OR time_ns <= :until_ns))
    ORDER BY eid = :eid DESC, eid DESC LIMIT :limit)
ORDER BY CASE WHEN :reverse THEN NULL ELSE eid = :eid END DESC, CASE WHEN :reverse THEN eid ELSE -eid END
