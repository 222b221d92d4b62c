-- SPDX-License-Identifier: LGPL-2.1-or-later
-- procledger files: the files that are tracked now, by path.

-- name: files
SELECT * FROM (
    SELECT * FROM hash WHERE last_time BETWEEN :since AND :until
    ORDER BY CASE WHEN :reverse THEN path END DESC, CASE WHEN :reverse THEN NULL ELSE path END, mnt_ns LIMIT :limit)
