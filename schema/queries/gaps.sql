-- SPDX-License-Identifier: LGPL-2.1-or-later
-- procledger gaps: what is known to be missing, oldest first.

-- name: gaps
SELECT * FROM (
    SELECT * FROM gaps WHERE time <= :until AND end_time >= :since ORDER BY time DESC, gap_id DESC LIMIT :limit)
ORDER BY CASE WHEN :reverse THEN -time ELSE time END, CASE WHEN :reverse THEN -gap_id ELSE gap_id END
