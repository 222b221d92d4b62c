-- SPDX-License-Identifier: LGPL-2.1-or-later
-- procledger history: the versions of a path, or the paths that held a content, oldest first.

-- name: history
SELECT * FROM (
    SELECT * FROM file_history
    WHERE version_id IN (
        SELECT id FROM _version
        WHERE path_id IN (SELECT id FROM _path WHERE text = :path AND bytes = :path_bytes
                          UNION SELECT id FROM _path WHERE text = :real AND bytes = :real_bytes)
        UNION SELECT id FROM _version WHERE content_id IN (SELECT id FROM _content WHERE sha256 = :sha256))
      AND first_time <= :until AND coalesce(end_time, last_time) >= :since
    ORDER BY version_id DESC LIMIT :limit)
ORDER BY CASE WHEN :reverse THEN -version_id ELSE version_id END
