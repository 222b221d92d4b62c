-- SPDX-License-Identifier: LGPL-2.1-or-later
-- procledger tree: one execution, its ancestors (depth below 0) and its descendants (above 0), in the order in which
-- a tree is drawn. Depth is bounded on both sides, so that a damaged link cannot make it endless.

-- The execution that a number means: the newest of that pid, else that eid.
-- name: tree_root
SELECT eid FROM (
    SELECT id AS eid, 0 AS kind FROM (SELECT id FROM _execution WHERE pid = :pid ORDER BY id DESC LIMIT 1)
    UNION ALL SELECT id, 1 FROM _execution WHERE id = :eid)
ORDER BY kind LIMIT 1

-- name: tree
WITH RECURSIVE
  up(eid, depth) AS (
    SELECT parent_id, -1 FROM _execution WHERE id = :eid
    UNION ALL
    SELECT e.parent_id, depth - 1 FROM up CROSS JOIN _execution e ON e.id = up.eid WHERE depth > -256),
  down(eid, depth, key) AS (
    SELECT :eid, 0, ''
    UNION ALL
    SELECT e.id, depth + 1, key || printf('%016x', e.id)
    FROM down CROSS JOIN _execution e ON e.parent_id = down.eid WHERE depth < 256
    LIMIT :limit)
SELECT n.depth AS depth, v.*
FROM (SELECT eid, depth, '' AS key FROM up WHERE eid IS NOT NULL
      UNION ALL SELECT eid, depth, key FROM down) n
CROSS JOIN process_events v ON v.eid = n.eid
ORDER BY min(n.depth, 0), n.key
