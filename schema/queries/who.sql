-- SPDX-License-Identifier: LGPL-2.1-or-later
-- procledger who: executions of a path or of a content, as image or as script, in pages behind :after_eid. The
-- images are few and found first; the index on executions by image does the rest.

-- name: who_forward
SELECT * FROM process_events
WHERE eid IN (
    SELECT id FROM _execution
    WHERE image_id IN (
        SELECT id FROM _image
        WHERE path_id IN (SELECT id FROM _path WHERE text = :path AND bytes = :path_bytes
                          UNION SELECT id FROM _path WHERE text = :real AND bytes = :real_bytes)
        UNION SELECT id FROM _image
        WHERE script_path_id IN (SELECT id FROM _path WHERE text = :path AND bytes = :path_bytes
                                 UNION SELECT id FROM _path WHERE text = :real AND bytes = :real_bytes)
        UNION SELECT id FROM _image WHERE content_id IN (SELECT id FROM _content WHERE sha256 = :sha256)
        UNION SELECT id FROM _image WHERE script_content_id IN (SELECT id FROM _content WHERE sha256 = :sha256))
      AND id > :after_eid AND time BETWEEN :since AND :until
      AND (time > :since OR time_ns >= :since_ns) AND (time < :until OR time_ns <= :until_ns)
    ORDER BY id LIMIT :limit)
ORDER BY eid

-- name: who_backward
SELECT * FROM process_events
WHERE eid IN (
    SELECT id FROM _execution
    WHERE image_id IN (
        SELECT id FROM _image
        WHERE path_id IN (SELECT id FROM _path WHERE text = :path AND bytes = :path_bytes
                          UNION SELECT id FROM _path WHERE text = :real AND bytes = :real_bytes)
        UNION SELECT id FROM _image
        WHERE script_path_id IN (SELECT id FROM _path WHERE text = :path AND bytes = :path_bytes
                                 UNION SELECT id FROM _path WHERE text = :real AND bytes = :real_bytes)
        UNION SELECT id FROM _image WHERE content_id IN (SELECT id FROM _content WHERE sha256 = :sha256)
        UNION SELECT id FROM _image WHERE script_content_id IN (SELECT id FROM _content WHERE sha256 = :sha256))
      AND id < :after_eid AND time BETWEEN :since AND :until
      AND (time > :since OR time_ns >= :since_ns) AND (time < :until OR time_ns <= :until_ns)
    ORDER BY id DESC LIMIT :limit)
ORDER BY eid DESC

-- The key before the last :limit rows.
-- name: who_start
SELECT time, id FROM _execution
WHERE image_id IN (
    SELECT id FROM _image
    WHERE path_id IN (SELECT id FROM _path WHERE text = :path AND bytes = :path_bytes
                      UNION SELECT id FROM _path WHERE text = :real AND bytes = :real_bytes)
    UNION SELECT id FROM _image
    WHERE script_path_id IN (SELECT id FROM _path WHERE text = :path AND bytes = :path_bytes
                             UNION SELECT id FROM _path WHERE text = :real AND bytes = :real_bytes)
    UNION SELECT id FROM _image WHERE content_id IN (SELECT id FROM _content WHERE sha256 = :sha256)
    UNION SELECT id FROM _image WHERE script_content_id IN (SELECT id FROM _content WHERE sha256 = :sha256))
  AND time BETWEEN :since AND :until
  AND (time > :since OR time_ns >= :since_ns) AND (time < :until OR time_ns <= :until_ns)
ORDER BY id DESC LIMIT 1 OFFSET :limit
