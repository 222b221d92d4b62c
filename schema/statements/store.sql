-- SPDX-License-Identifier: LGPL-2.1-or-later
-- Statements of ledger/store itself. Parameters are numbered in the order of the text.

-- name: st_meta_set
INSERT INTO _meta(key, value) VALUES(?1, ?2) ON CONFLICT(key) DO UPDATE SET value = excluded.value

-- name: st_sequence
SELECT seq FROM sqlite_sequence WHERE name = ?1

-- name: st_path_find
SELECT id FROM _path WHERE text = ?1 AND bytes = ?2

-- name: st_path_insert
INSERT INTO _path(text, bytes) VALUES(?1, ?2)

-- name: st_boot_find
SELECT id FROM _boot WHERE boot_id = ?1

-- name: st_boot_insert
INSERT INTO _boot(boot_id) VALUES(?1)

-- name: st_command_find
SELECT id FROM _command WHERE hash = ?1 AND cmdline = ?2 AND argv IS ?3 AND bytes IS ?4

-- name: st_command_insert
INSERT INTO _command(hash, cmdline, argv, bytes) VALUES(?1, ?2, ?3, ?4)

-- name: st_command_count
UPDATE _command SET execs = execs + ?2, first_time = min(coalesce(first_time, ?3), ?3),
  last_time = max(coalesce(last_time, ?4), ?4) WHERE id = ?1

-- name: st_cred_find
SELECT id FROM _cred WHERE uid IS ?1 AND euid IS ?2 AND suid IS ?3 AND gid IS ?4 AND egid IS ?5 AND auid IS ?6

-- name: st_cred_insert
INSERT INTO _cred(uid, euid, suid, gid, egid, auid) VALUES(?1, ?2, ?3, ?4, ?5, ?6)

-- name: st_context_find
SELECT id FROM _context WHERE boot_id IS ?1 AND session IS ?2 AND tty IS ?3 AND mnt_ns IS ?4 AND cgroup IS ?5
  AND container IS ?6 AND source IS ?7

-- name: st_context_insert
INSERT INTO _context(boot_id, session, tty, mnt_ns, cgroup, container, source) VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7)

-- name: st_content_find
SELECT id, md5 IS NOT NULL, sha1 IS NOT NULL, sha512 IS NOT NULL FROM _content WHERE sha256 = ?1

-- name: st_content_insert
INSERT INTO _content(sha256, size, md5, sha1, sha512) VALUES(?1, ?2, ?3, ?4, ?5)

-- name: st_content_fill
UPDATE _content SET md5 = coalesce(md5, ?2), sha1 = coalesce(sha1, ?3), sha512 = coalesce(sha512, ?4) WHERE id = ?1

-- name: st_image_find
SELECT id FROM _image WHERE path_id = ?1 AND content_id = ?2 AND hash_state = ?3 AND assurance = ?4 AND mode = ?5
  AND flags = ?6 AND script_path_id = ?7 AND script_content_id = ?8

-- name: st_image_insert
INSERT INTO _image(path_id, content_id, hash_state, assurance, mode, flags, script_path_id, script_content_id)
  VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)

-- All executions of a batch, out of the writer's memory (ledger/store/rows.c). What breaks a rule of the table is left
-- out and counted.
-- name: st_executions_insert
INSERT OR IGNORE INTO _execution(id, time, time_ns, pid, ppid, start_ticks, parent_id, prev_id, image_id, filename_id,
  command_id, cwd_id, cred_id, context_id, exit_code, exit_signal, duration_ns, end_time, name, end_reason)
  SELECT id, time, time_ns, pid, ppid, start_ticks, parent_id, prev_id, image_id, filename_id, command_id, cwd_id,
  cred_id, context_id, exit_code, exit_signal, duration_ns, end_time, name, end_reason FROM batch_executions

-- name: st_execution_image
SELECT i.path_id, i.content_id, i.hash_state, i.assurance, i.mode, i.flags, i.script_path_id, i.script_content_id,
  e.time, x.container
  FROM _execution e JOIN _image i ON i.id = e.image_id LEFT JOIN _context x ON x.id = e.context_id WHERE e.id = ?1

-- name: st_execution_set_image
UPDATE _execution SET image_id = ?2 WHERE id = ?1

-- name: st_execution_end
UPDATE _execution SET exit_code = ?2, exit_signal = ?3, duration_ns = ?4, end_reason = ?6,
  end_time = CASE WHEN ?4 IS NOT NULL AND ?5 = time + (time_ns + ?4) / 1000000000 THEN NULL ELSE ?5 END
  WHERE id = ?1 AND end_reason IS NULL

-- name: st_executions_alive
SELECT e.id, e.pid, e.start_ticks, e.parent_id, x.boot_id, CASE WHEN p.bytes = x'' THEN p.text ELSE p.bytes END
  FROM _execution e LEFT JOIN _image i ON i.id = e.image_id LEFT JOIN _path p ON p.id = i.path_id
  LEFT JOIN _context x ON x.id = e.context_id WHERE e.end_reason IS NULL AND (e.pid, e.id) > (?1, ?2)
  ORDER BY e.pid, e.id LIMIT 1

-- name: st_executions_pending
SELECT e.id FROM _image i CROSS JOIN _execution e ON e.image_id = i.id
  WHERE i.hash_state = 0 AND e.end_reason IS NOT NULL LIMIT 1

-- name: st_forks_lost
UPDATE _fork SET end_time = max(time, ?1) WHERE end_time IS NULL

-- name: st_execution_lost
UPDATE _execution SET end_reason = ?2, end_time = max(time, ?3) WHERE id = ?1

-- name: st_fork_put
INSERT INTO _fork(id, time, pid, ppid, image_eid, end_time) VALUES(?1, ?2, ?3, ?4, ?5, ?6)
  ON CONFLICT(id) DO UPDATE SET end_time = excluded.end_time, image_eid = coalesce(excluded.image_eid, image_eid)

-- name: st_binary_count
INSERT INTO _binary(path_id, container, content_id, first_time, last_time, execs) VALUES(?1, ?2, ?3, ?4, ?5, ?6)
  ON CONFLICT(path_id, container, content_id) DO UPDATE SET first_time = min(first_time, excluded.first_time),
  last_time = max(last_time, excluded.last_time), execs = execs + excluded.execs

-- name: st_version_open
SELECT content_id, hash_state, cacheable, boot_id, inode, dev_major, dev_minor, size, mtime_ns, ctime_ns, btime_ns, mode,
  uid, gid, hashed_ns - wall_minus_boot_ns FROM _version WHERE path_id = ?1 AND mnt_ns = ?2 AND end_time IS NULL

-- name: st_version_insert
INSERT INTO _version(path_id, mnt_ns, container, content_id, hash_state, assurance, cacheable, size, mode, uid, gid,
  nlink, dev_major, dev_minor, inode, generation, btime_ns, mtime_ns, ctime_ns, fs_magic, fsid, uuid, tier, fs_flags,
  boot_id, hashed_ns, wall_minus_boot_ns, first_time, last_time, detected_by, mount_id)
  VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22, ?23,
  ?24, ?25, ?26, ?27, ?28, ?28, ?29, ?30)

-- name: st_version_refresh
UPDATE _version SET content_id = ?4, hash_state = ?5, assurance = ?6, cacheable = ?7, size = ?8, mode = ?9, uid = ?10,
  gid = ?11, nlink = ?12, dev_major = ?13, dev_minor = ?14, inode = ?15, generation = ?16, btime_ns = ?17,
  mtime_ns = ?18, ctime_ns = ?19, fs_magic = ?20, fsid = ?21, uuid = ?22, tier = ?23, fs_flags = ?24, boot_id = ?25,
  hashed_ns = ?26, wall_minus_boot_ns = ?27, container = ?3, last_time = max(last_time, ?28), mount_id = ?30
  WHERE path_id = ?1 AND mnt_ns = ?2 AND end_time IS NULL

-- name: st_version_seen
UPDATE _version SET last_time = max(last_time, ?3) WHERE path_id = ?1 AND mnt_ns = ?2 AND end_time IS NULL

-- name: st_version_close
UPDATE _version SET end_time = max(first_time, ?3), end_reason = ?4, detected_by = ?5
  WHERE path_id = ?1 AND mnt_ns = ?2 AND end_time IS NULL AND coalesce(hashed_ns, 0) <= ?6

-- name: st_version_find
SELECT v.id, v.size, v.mode, v.uid, v.gid, v.nlink, v.dev_major, v.dev_minor, v.inode, v.generation, v.btime_ns,
  v.mtime_ns, v.ctime_ns, v.fs_magic, v.fsid, v.uuid, v.tier, v.fs_flags, v.assurance, v.hashed_ns,
  v.wall_minus_boot_ns, b.boot_id, d.sha256, d.md5, d.sha1, d.sha512, v.mount_id
  FROM _version v JOIN _content d ON d.id = v.content_id LEFT JOIN _boot b ON b.id = v.boot_id
  WHERE v.inode = ?1 AND v.ctime_ns = ?2 AND v.end_time IS NULL AND v.cacheable = 1 AND v.hash_state = 1
  AND v.size = ?3 AND v.mtime_ns = ?4 AND v.btime_ns = ?5 AND v.last_time >= ?6 AND v.content_id <> 0
  AND (b.boot_id IS NOT ?7 OR (v.dev_major = ?8 AND v.dev_minor = ?9))
  ORDER BY b.boot_id IS ?7 DESC, v.hashed_ns DESC LIMIT 1

-- name: st_versions_live
SELECT v.id, CASE WHEN p.bytes = x'' THEN p.text ELSE p.bytes END, v.mnt_ns, v.container, v.hash_state, v.cacheable,
  v.tier, v.size, v.mode, v.uid, v.gid, v.dev_major, v.dev_minor, v.inode, v.btime_ns, v.mtime_ns, v.ctime_ns,
  b.boot_id, v.last_time, v.mount_id
  FROM _version v JOIN _path p ON p.id = v.path_id LEFT JOIN _boot b ON b.id = v.boot_id
  WHERE v.id > ?1 AND v.end_time IS NULL AND v.last_time >= ?2 ORDER BY v.id LIMIT ?3

-- name: st_gap_insert
INSERT INTO _gap(time, end_time, lost, source, reason) VALUES(?1, ?2, ?3, ?4, ?5)

-- name: st_gap_grow
UPDATE _gap SET end_time = max(end_time, ?2), lost = coalesce(lost, 0) + ?3 WHERE id = ?1

-- name: st_change_insert
INSERT INTO _change(time, path_id, mnt_ns, container, class, attention, reasons, old_content_id, new_content_id,
  last_old_time, first_new_time, new_mode, new_uid, detected_by)
  VALUES(?1, ?2, ?3, ?4, 'unexplained', 'alert', ?5, ?6, ?7,
  (SELECT v.last_time FROM _version v WHERE v.path_id = ?2 AND v.content_id = ?6 ORDER BY v.id DESC LIMIT 1),
  ?1, ?8, ?9, ?10)

-- name: st_run_last
SELECT coalesce(r.end_time, r.last_time), r.end_time IS NOT NULL, r.boot_id FROM _run r ORDER BY r.id DESC LIMIT 1

-- name: st_run_insert
INSERT INTO _run(time, last_time, version, source, boot_id, hostname, machine_id, kernel)
  VALUES(?1, ?1, ?2, ?3, ?4, ?5, ?6, ?7)

-- name: st_run_lost
UPDATE _run SET end_time = last_time, clean = 0 WHERE end_time IS NULL

-- name: st_run_commit
UPDATE _run SET last_time = max(last_time, ?2) WHERE id = ?1

-- name: st_run_counters
UPDATE _run SET executions = ?2, lost = ?3, files_hashed = ?4, bytes_hashed = ?5, hits_hot = ?6, hits_ledger = ?7,
  watches = ?8, tracked = ?9, watches_refused = ?10, overflows = ?11, start_total = ?12, start_done = ?13,
  last_time = max(last_time, ?14) WHERE id = ?1

-- name: st_run_end
UPDATE _run SET end_time = ?2, last_time = max(last_time, ?2), clean = 1 WHERE id = ?1

-- name: st_version_expire
UPDATE _version SET end_time = ?2, end_reason = 'expired', detected_by = 3 WHERE id IN (
  SELECT v.id FROM _version v WHERE v.end_time IS NULL AND v.last_time < ?1 ORDER BY v.last_time LIMIT ?3)

-- One chunk of executions and what only they refer to: temp.gone holds ids of executions (kind 0), command lines (1) and
-- images (2).
-- name: st_gone_clear
DELETE FROM temp.gone

-- name: st_gone_executions
INSERT INTO temp.gone(kind, id)
  SELECT 0, e.id FROM _execution e WHERE e.time < ?1 AND e.end_reason IS NOT NULL ORDER BY e.time LIMIT ?2

-- name: st_gone_references
INSERT INTO temp.gone(kind, id)
  SELECT 1, e.command_id FROM temp.gone g CROSS JOIN _execution e ON e.id = g.id WHERE g.kind = 0
  UNION SELECT 2, e.image_id FROM temp.gone g CROSS JOIN _execution e ON e.id = g.id WHERE g.kind = 0

-- name: st_gone_delete_executions
DELETE FROM _execution WHERE id IN (SELECT g.id FROM temp.gone g WHERE g.kind = 0)

-- name: st_gone_delete_commands
DELETE FROM _command WHERE id IN (SELECT g.id FROM temp.gone g WHERE g.kind = 1 AND g.id <> 0)
  AND NOT EXISTS (SELECT 1 FROM _execution e WHERE e.command_id = _command.id)

-- name: st_gone_delete_images
DELETE FROM _image WHERE id IN (SELECT g.id FROM temp.gone g WHERE g.kind = 2 AND g.id <> 0)
  AND NOT EXISTS (SELECT 1 FROM _execution e WHERE e.image_id = _image.id)

-- name: st_execution_oldest
SELECT e.time FROM _execution e WHERE e.end_reason IS NOT NULL ORDER BY e.time LIMIT 1

-- name: st_fork_delete
DELETE FROM _fork WHERE id IN (
  SELECT f.id FROM _fork f WHERE f.time < ?1 AND f.end_time IS NOT NULL ORDER BY f.time LIMIT ?2)

-- name: st_version_delete
DELETE FROM _version WHERE id IN (SELECT v.id FROM _version v WHERE v.end_time IS NOT NULL ORDER BY v.id LIMIT ?1)

-- Those of the same second go together.
-- name: st_binary_delete
DELETE FROM _binary WHERE last_time <= (
  SELECT max(b.last_time) FROM (SELECT b.last_time FROM _binary b ORDER BY b.last_time LIMIT ?1) b)

-- The search for rows that nothing refers to: each table by ranges of its ids. What has no index to ask is written down
-- in temp.used first: paths (kind 1) and contexts (kind 2) of executions.
-- name: st_used_clear
DELETE FROM temp.used

-- name: st_mark_last
SELECT max(m.id) FROM (SELECT e.id FROM _execution e WHERE e.id > ?1 ORDER BY e.id LIMIT ?2) m

-- name: st_mark
INSERT OR IGNORE INTO temp.used(kind, id)
  SELECT 1, e.cwd_id FROM _execution e WHERE e.id > ?1 AND e.id <= ?2 AND e.cwd_id IS NOT NULL
  UNION SELECT 1, e.filename_id FROM _execution e WHERE e.id > ?1 AND e.id <= ?2 AND e.filename_id IS NOT NULL
  UNION SELECT 2, e.context_id FROM _execution e WHERE e.id > ?1 AND e.id <= ?2 AND e.context_id IS NOT NULL

-- name: st_command_last
SELECT max(c.id) FROM (SELECT k.id FROM _command k WHERE k.id > ?1 ORDER BY k.id LIMIT ?2) c

-- name: st_command_sweep
DELETE FROM _command WHERE id > ?1 AND id <= ?2
  AND NOT EXISTS (SELECT 1 FROM _execution e WHERE e.command_id = _command.id)

-- name: st_image_last
SELECT max(c.id) FROM (SELECT i.id FROM _image i WHERE i.id > ?1 ORDER BY i.id LIMIT ?2) c

-- name: st_image_sweep
DELETE FROM _image WHERE id > ?1 AND id <= ?2
  AND NOT EXISTS (SELECT 1 FROM _execution e WHERE e.image_id = _image.id)

-- name: st_path_last
SELECT max(c.id) FROM (SELECT p.id FROM _path p WHERE p.id > ?1 ORDER BY p.id LIMIT ?2) c

-- name: st_path_sweep
DELETE FROM _path WHERE id > ?1 AND id <= ?2
  AND NOT EXISTS (SELECT 1 FROM temp.used u WHERE u.kind = 1 AND u.id = _path.id)
  AND NOT EXISTS (SELECT 1 FROM _image i WHERE i.path_id = _path.id)
  AND NOT EXISTS (SELECT 1 FROM _image i WHERE i.script_path_id = _path.id)
  AND NOT EXISTS (SELECT 1 FROM _version v WHERE v.path_id = _path.id)
  AND NOT EXISTS (SELECT 1 FROM _binary b WHERE b.path_id = _path.id)
  AND NOT EXISTS (SELECT 1 FROM _change g WHERE g.path_id = _path.id)

-- name: st_context_last
SELECT max(c.id) FROM (SELECT x.id FROM _context x WHERE x.id > ?1 ORDER BY x.id LIMIT ?2) c

-- name: st_context_sweep
DELETE FROM _context WHERE id > ?1 AND id <= ?2
  AND NOT EXISTS (SELECT 1 FROM temp.used u WHERE u.kind = 2 AND u.id = _context.id)

-- name: st_content_last
SELECT max(c.id) FROM (SELECT d.id FROM _content d WHERE d.id > ?1 ORDER BY d.id LIMIT ?2) c

-- name: st_content_sweep
DELETE FROM _content WHERE id > ?1 AND id <= ?2
  AND NOT EXISTS (SELECT 1 FROM _image i WHERE i.content_id = _content.id)
  AND NOT EXISTS (SELECT 1 FROM _image i WHERE i.script_content_id = _content.id)
  AND NOT EXISTS (SELECT 1 FROM _version v WHERE v.content_id = _content.id)
  AND NOT EXISTS (SELECT 1 FROM _binary b WHERE b.content_id = _content.id)
  AND id NOT IN (SELECT g.old_content_id FROM _change g WHERE g.old_content_id IS NOT NULL)
  AND id NOT IN (SELECT g.new_content_id FROM _change g WHERE g.new_content_id IS NOT NULL)

-- A value as JSON.
-- name: st_json_quote
SELECT json_quote(?1)

-- An argv, which is JSON already unless somebody wrote into the file.
-- name: st_json_array
SELECT CASE WHEN json_valid(?1) THEN ?1 ELSE json_quote(?1) END
