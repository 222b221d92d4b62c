-- SPDX-License-Identifier: LGPL-2.1-or-later
-- procledger tree: one execution, its ancestors (depth below 0) and its descendants (above 0), in the order in which
-- a tree is drawn. Depth is bounded on both sides, so that a damaged link cannot make it endless.

-- The execution that a number means: the newest of that pid, else that eid.
-- name: tree_root
SELECT eid FROM (
    SELECT id AS eid, 0 AS kind FROM (SELECT id FROM _execution WHERE pid = :pid ORDER BY id DESC LIMIT 1)
    UNION ALL SELECT id, 1 FROM _execution WHERE id = :eid)
ORDER BY kind LIMIT 1

-- Depth 0 is the process: all images that it ran, since its children hang on the one that it ran when they began. `past`
-- goes back to the first of them, `life` forward again, by pid, for which there is an index.
-- name: tree
WITH RECURSIVE
  past(eid, n) AS (
    SELECT :eid, 0
    UNION ALL
    SELECT e.prev_id, n + 1 FROM past CROSS JOIN _execution e ON e.id = past.eid
    WHERE e.prev_id IS NOT NULL AND n < 256),
  life(eid, n) AS (
    SELECT eid, 0 FROM (SELECT eid FROM past ORDER BY n DESC LIMIT 1)
    UNION ALL
    SELECT e.id, n + 1 FROM life CROSS JOIN _execution e
      ON e.pid = (SELECT pid FROM _execution WHERE id = :eid) AND e.prev_id = life.eid WHERE n < 512),
  up(eid, depth) AS (
    SELECT parent_id, -1 FROM _execution WHERE id = :eid
    UNION ALL
    SELECT e.parent_id, depth - 1 FROM up CROSS JOIN _execution e ON e.id = up.eid WHERE depth > -256),
  down(eid, depth, key) AS (
    SELECT eid, 0, printf('%016x', eid) FROM life
    UNION ALL
    SELECT e.id, depth + 1, key || printf('%016x', e.id)
    FROM down CROSS JOIN _execution e ON e.parent_id = down.eid WHERE depth < 256
    LIMIT :limit)
SELECT n.depth AS depth, v.*
FROM (SELECT eid, depth, '' AS key FROM up WHERE eid IS NOT NULL
      UNION ALL SELECT eid, depth, key FROM down) n
CROSS JOIN process_events v ON v.eid = n.eid
ORDER BY min(n.depth, 0), n.key
