-- SPDX-License-Identifier: LGPL-2.1-or-later
-- procledger runs: runs of the recorder, oldest first.

-- name: runs
SELECT * FROM (
    SELECT * FROM runs WHERE time <= :until AND coalesce(end_time, 9223372036854775807) >= :since
    ORDER BY run_id DESC LIMIT :limit)
ORDER BY CASE WHEN :reverse THEN -run_id ELSE run_id END
