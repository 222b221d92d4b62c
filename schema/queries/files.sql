-- SPDX-License-Identifier: LGPL-2.1-or-later
-- procledger files: the files that are tracked now, by path. The limit counts before the reversal, as elsewhere.

-- name: files
SELECT * FROM (
    SELECT * FROM hash WHERE last_time BETWEEN :since AND :until ORDER BY path, mnt_ns LIMIT :limit)
ORDER BY CASE WHEN :reverse THEN path END DESC, CASE WHEN :reverse THEN NULL ELSE path END,
         CASE WHEN :reverse THEN -mnt_ns ELSE mnt_ns END
