-- SPDX-License-Identifier: LGPL-2.1-or-later
--
-- The stable interface: columns are only ever appended. Run after the last migration, in its transaction.
--
-- How they are written, and why. In process_events path, content and command are LEFT JOINed although each has its row
-- 0: SQLite itself turns such a join into an inner one where the query filters by it, and only then may the planner
-- begin there; joined INNER, ANALYZE made "the last 20" of a million rows take 2.3 s instead of 2 ms. What only
-- decorates sits behind ifnull() or in a scalar subquery, so that no filter moves it to the front (uid = 1000, last 20:
-- 1.8 s against 1 ms). No indexed column is computed.
-- The comments stand inside CREATE VIEW, so that .schema shows them.

DROP VIEW IF EXISTS process_events;
CREATE VIEW process_events AS
SELECT
  e.id AS eid,            -- number of this execution, never used twice
  e.time AS time,         -- UTC seconds of the exec; indexed
  e.time_ns AS time_ns,   -- nanoseconds within that second
  strftime('%Y-%m-%dT%H:%M:%S', e.time, 'unixepoch') || printf('.%03dZ', e.time_ns / 1000000) AS at, -- the same for eyes, UTC
  e.pid AS pid,           -- process id in the initial pid namespace; indexed
  e.ppid AS ppid,         -- pid of its parent then
  e.parent_id AS parent_eid, -- execution of the parent; indexed
  (SELECT pp.text FROM _execution pe JOIN _image pi ON pi.id = pe.image_id JOIN _path pp ON pp.id = pi.path_id
     WHERE pe.id = e.parent_id) AS parent_path, -- path of the parent's image
  e.prev_id AS prev_eid,  -- the execution that this one replaced in the same process
  p.text AS path,         -- absolute path of the image that runs (for a script its interpreter), odd bytes escaped; indexed
  nullif(p.bytes, x'') AS path_bytes, -- its exact bytes where path had to be escaped, else NULL
  CASE WHEN e.filename_id IS NULL THEN p.text
       ELSE (SELECT f.text FROM _path f WHERE f.id = e.filename_id) END AS filename, -- what execve was given
  CASE WHEN e.name IS NULL THEN substr(p.text, length(rtrim(p.text, replace(p.text, '/', ''))) + 1, 15)
       ELSE nullif(e.name, '') END AS name, -- comm: the short name that ps shows
  k.cmdline AS cmdline,   -- arguments joined by spaces, odd bytes escaped
  CASE WHEN k.argv IS NOT NULL THEN k.argv
       WHEN k.cmdline IS NOT NULL THEN '["' || replace(k.cmdline, ' ', '","') || '"]' END AS argv, -- arguments, a JSON array
  (SELECT w.text FROM _path w WHERE w.id = e.cwd_id AND w.id <> 0) AS cwd, -- working directory
  ifnull(c.uid, NULL) AS uid,           -- real user id
  ifnull(c.euid, NULL) AS euid,         -- effective user id
  ifnull(c.gid, NULL) AS gid,           -- real group id
  ifnull(c.egid, NULL) AS egid,         -- effective group id
  ifnull(c.suid, NULL) AS suid,         -- saved user id
  ifnull(c.auid, NULL) AS auid,         -- login user id; NULL: not set
  ifnull(x.session, NULL) AS session,   -- audit session; NULL: none
  ifnull(x.tty, NULL) AS tty,           -- controlling terminal; NULL: none
  nullif(i.mode, 0) AS mode, -- st_mode of the executed file
  d.sha256 AS sha256,     -- of the bytes that run, lower-case hex; NULL: see hash_state; indexed
  CASE i.hash_state WHEN 0 THEN 'pending' WHEN 1 THEN 'ok' WHEN 2 THEN 'unreadable' WHEN 3 THEN 'vanished'
       WHEN 4 THEN 'too-big' WHEN 5 THEN 'unstable' END AS hash_state, -- pending, ok, unreadable, vanished, too-big, unstable; NULL: hashing is off
  CASE i.assurance WHEN 1 THEN 'stat' WHEN 2 THEN 'probed' ELSE 'none' END AS assurance, -- probed: nobody could write meanwhile; stat: equal before and after; none
  (SELECT s.text FROM _path s WHERE s.id = i.script_path_id AND s.id <> 0) AS script_path, -- the script that the interpreter runs
  (SELECT sd.sha256 FROM _content sd WHERE sd.id = i.script_content_id) AS script_sha256, -- of the script
  trim(CASE WHEN i.flags & 1 THEN ',memfd' ELSE '' END || CASE WHEN i.flags & 2 THEN ',deleted' ELSE '' END ||
       CASE WHEN i.flags & 4 THEN ',overlay-upper' ELSE '' END || CASE WHEN i.flags & 8 THEN ',setuid' ELSE '' END ||
       CASE WHEN i.flags & 16 THEN ',setgid' ELSE '' END || CASE WHEN i.flags & 32 THEN ',filecaps' ELSE '' END ||
       CASE WHEN i.flags & 64 THEN ',argv-cut' ELSE '' END, ',') AS flags, -- list: memfd, deleted, overlay-upper, setuid, setgid, filecaps, argv-cut
  e.exit_code AS exit_code,     -- status of exit(2); NULL: not known, runs, or killed
  e.exit_signal AS exit_signal, -- the signal that ended it
  e.duration_ns AS duration_ns, -- how long this image ran
  CASE WHEN e.end_reason IS NULL THEN NULL
       ELSE coalesce(e.end_time, e.time + (e.time_ns + e.duration_ns) / 1000000000) END AS end_time, -- UTC seconds of its end
  e.end_reason AS end_reason,   -- exit, exec (another image), reboot, lost; NULL: runs
  CASE x.source WHEN 1 THEN 'bpf' WHEN 2 THEN 'netlink' WHEN 3 THEN 'scan' WHEN 4 THEN 'snapshot' END AS source, -- who saw it: bpf, netlink, scan, snapshot
  (SELECT b.boot_id FROM _boot b WHERE b.id = x.boot_id) AS boot_id, -- boot in which it ran
  ifnull(x.mnt_ns, NULL) AS mnt_ns,           -- inode number of its mount namespace
  ifnull(x.cgroup, NULL) AS cgroup,           -- path of its control group
  ifnull(x.container, NULL) AS container,     -- container id; NULL: none
  e.start_ticks AS start_ticks, -- start of the process since boot in clock ticks: (pid, start_ticks) names it
  e.command_id AS command_id    -- row of commands; indexed: command_id IN (SELECT command_id FROM commands WHERE ...) searches each text once
FROM _execution e
JOIN _image i ON i.id = e.image_id
LEFT JOIN _path p ON p.id = i.path_id
LEFT JOIN _content d ON d.id = i.content_id
LEFT JOIN _command k ON k.id = e.command_id
LEFT JOIN _cred c ON c.id = e.cred_id
LEFT JOIN _context x ON x.id = e.context_id;

DROP VIEW IF EXISTS process_forks;
CREATE VIEW process_forks AS
SELECT
  f.pid AS pid,             -- of a process that never executed anything itself
  f.ppid AS ppid,           -- of its parent
  f.image_eid AS image_eid, -- the execution whose image it runs
  f.time AS time,           -- UTC seconds of the fork; indexed
  f.end_time AS end_time,   -- UTC seconds of its end; NULL: runs
  f.id AS fork_id           -- number of this fork
FROM _fork f;

DROP VIEW IF EXISTS processes;
CREATE VIEW processes AS
SELECT
  v.eid AS eid, -- number of this execution, never used twice
  v.time AS time, -- UTC seconds of the exec
  v.time_ns AS time_ns, -- nanoseconds within that second
  v.at AS at, -- the same for eyes, UTC
  v.pid AS pid, -- process id in the initial pid namespace
  v.ppid AS ppid, -- pid of its parent then
  v.parent_eid AS parent_eid, -- execution of the parent
  v.parent_path AS parent_path, -- path of the parent's image
  v.prev_eid AS prev_eid, -- the execution that this one replaced in the same process
  v.path AS path, -- absolute path of the image that runs (for a script its interpreter), odd bytes escaped
  v.path_bytes AS path_bytes, -- its exact bytes where path had to be escaped, else NULL
  v.filename AS filename, -- what execve was given
  v.name AS name, -- comm: the short name that ps shows
  v.cmdline AS cmdline, -- arguments joined by spaces, odd bytes escaped
  v.argv AS argv, -- arguments, a JSON array
  v.cwd AS cwd, -- working directory
  v.uid AS uid, -- real user id
  v.euid AS euid, -- effective user id
  v.gid AS gid, -- real group id
  v.egid AS egid, -- effective group id
  v.suid AS suid, -- saved user id
  v.auid AS auid, -- login user id; NULL: not set
  v.session AS session, -- audit session; NULL: none
  v.tty AS tty, -- controlling terminal; NULL: none
  v.mode AS mode, -- st_mode of the executed file
  v.sha256 AS sha256, -- of the bytes that run, lower-case hex; NULL: see hash_state
  v.hash_state AS hash_state, -- pending, ok, unreadable, vanished, too-big, unstable; NULL: hashing is off
  v.assurance AS assurance, -- probed: nobody could write meanwhile; stat: equal before and after; none
  v.script_path AS script_path, -- the script that the interpreter runs
  v.script_sha256 AS script_sha256, -- of the script
  v.flags AS flags, -- list: memfd, deleted, overlay-upper, setuid, setgid, filecaps, argv-cut
  v.exit_code AS exit_code, -- status of exit(2); NULL: not known, runs, or killed
  v.exit_signal AS exit_signal, -- the signal that ended it
  v.duration_ns AS duration_ns, -- how long this image ran
  v.end_time AS end_time, -- UTC seconds of its end
  v.end_reason AS end_reason, -- exit, exec (another image), reboot, lost; NULL: runs
  v.source AS source, -- who saw it: bpf, netlink, scan, snapshot
  v.boot_id AS boot_id, -- boot in which it ran
  v.mnt_ns AS mnt_ns, -- inode number of its mount namespace
  v.cgroup AS cgroup, -- path of its control group
  v.container AS container, -- container id; NULL: none
  v.start_ticks AS start_ticks, -- start of the process since boot in clock ticks: (pid, start_ticks) names it
  v.command_id AS command_id -- row of commands
FROM process_events v
WHERE v.eid IN (SELECT a.id FROM _execution a WHERE a.end_reason IS NULL)
  AND v.boot_id IS (SELECT b.boot_id FROM _boot b WHERE b.id = (SELECT r.boot_id FROM _run r ORDER BY r.id DESC LIMIT 1));

DROP VIEW IF EXISTS hash;
CREATE VIEW hash AS
SELECT
  p.text AS path,           -- the path, odd bytes escaped; indexed
  v.mnt_ns AS mnt_ns,       -- mount namespace in which it means this file; 0: not known
  v.container AS container, -- container id; NULL: none
  v.size AS size,           -- bytes
  d.md5 AS md5,             -- NULL: not computed
  d.sha1 AS sha1,           -- NULL: not computed
  d.sha256 AS sha256,       -- lower-case hex; NULL: see hash_state; indexed
  d.sha512 AS sha512,       -- NULL: not computed
  CASE v.hash_state WHEN 0 THEN 'pending' WHEN 1 THEN 'ok' WHEN 2 THEN 'unreadable' WHEN 3 THEN 'vanished'
       WHEN 4 THEN 'too-big' WHEN 5 THEN 'unstable' END AS hash_state, -- pending, ok, unreadable, vanished, too-big, unstable
  CASE v.assurance WHEN 1 THEN 'stat' WHEN 2 THEN 'probed' ELSE 'none' END AS assurance, -- probed, stat, none
  nullif(p.bytes, x'') AS path_bytes, -- exact bytes of the path where it had to be escaped, else NULL
  v.last_time AS last_time  -- UTC seconds when it was last seen
FROM _version v
JOIN _path p ON p.id = v.path_id
JOIN _content d ON d.id = v.content_id
WHERE v.end_time IS NULL;

DROP VIEW IF EXISTS binaries;
CREATE VIEW binaries AS
SELECT
  p.text AS path,                          -- of an image that ran, odd bytes escaped; indexed
  nullif(b.container, '') AS container,    -- container id; NULL: none
  d.sha256 AS sha256,                      -- of the bytes that ran; NULL: never hashed; indexed
  d.size AS size,                          -- bytes
  b.first_time AS first_time,              -- UTC seconds of its first execution
  b.last_time AS last_time,                -- UTC seconds of its last
  b.execs AS execs,                        -- executions ever recorded; indexed
  NULL AS package                          -- package that owns it; NULL: not known
FROM _binary b
JOIN _path p ON p.id = b.path_id
JOIN _content d ON d.id = b.content_id;

DROP VIEW IF EXISTS file_history;
CREATE VIEW file_history AS
SELECT
  p.text AS path,             -- the path, odd bytes escaped; indexed
  v.mnt_ns AS mnt_ns,         -- mount namespace in which it means this file; 0: not known
  v.container AS container,   -- container id; NULL: none
  d.sha256 AS sha256,         -- of the bytes that it held; indexed
  v.size AS size,             -- bytes
  v.mode AS mode,             -- st_mode
  v.uid AS uid,               -- owner
  v.gid AS gid,               -- group
  v.inode AS inode,           -- inode number
  v.mtime_ns AS mtime_ns,     -- modification, nanoseconds since the epoch
  v.ctime_ns AS ctime_ns,     -- change of bytes or attributes, nanoseconds since the epoch
  v.first_time AS first_time, -- UTC seconds when first seen
  v.last_time AS last_time,   -- UTC seconds when last seen
  v.end_time AS end_time,     -- UTC seconds when seen to be gone; NULL: current
  v.end_reason AS end_reason, -- modified, replaced, vanished, expired
  CASE v.detected_by WHEN 1 THEN 'exec' WHEN 2 THEN 'inotify' WHEN 3 THEN 'sweep' WHEN 4 THEN 'startup'
       WHEN 5 THEN 'request' END AS detected_by, -- how its end was found, for a current version its beginning: exec, inotify, sweep, startup, request
  nullif(p.bytes, x'') AS path_bytes, -- exact bytes of the path where it had to be escaped, else NULL
  CASE v.hash_state WHEN 0 THEN 'pending' WHEN 1 THEN 'ok' WHEN 2 THEN 'unreadable' WHEN 3 THEN 'vanished'
       WHEN 4 THEN 'too-big' WHEN 5 THEN 'unstable' END AS hash_state, -- why sha256 may be NULL
  v.id AS version_id          -- number of this version, never used twice
FROM _version v
JOIN _path p ON p.id = v.path_id
JOIN _content d ON d.id = v.content_id;

DROP VIEW IF EXISTS changes;
CREATE VIEW changes AS
SELECT
  g.id AS change_id,                    -- number of this change, never used twice
  g.time AS time,                       -- UTC seconds when it was found; indexed
  strftime('%Y-%m-%dT%H:%M:%SZ', g.time, 'unixepoch') AS at, -- the same for eyes, UTC
  p.text AS path,                       -- the path, odd bytes escaped; indexed
  g.container AS container,             -- container id; NULL: none
  g.class AS class,                     -- what kind of change
  g.attention AS attention,             -- none, notice, alert
  g.reasons AS reasons,                 -- why
  (SELECT o.sha256 FROM _content o WHERE o.id = g.old_content_id) AS old_sha256, -- of the bytes before
  (SELECT n.sha256 FROM _content n WHERE n.id = g.new_content_id) AS new_sha256, -- of the bytes after
  g.last_old_time AS last_old_time,     -- UTC seconds when the old bytes were last seen
  g.first_new_time AS first_new_time,   -- UTC seconds when the new ones were first seen
  g.old_mode AS old_mode,               -- st_mode before
  g.new_mode AS new_mode,               -- st_mode after
  g.old_uid AS old_uid,                 -- owner before
  g.new_uid AS new_uid,                 -- owner after
  CASE g.detected_by WHEN 1 THEN 'exec' WHEN 2 THEN 'inotify' WHEN 3 THEN 'sweep' WHEN 4 THEN 'startup'
       WHEN 5 THEN 'request' END AS detected_by, -- how: exec, inotify, sweep, startup, request
  g.package AS package,                 -- package that owns the path
  g.package_old_version AS package_old_version, -- its version before
  g.package_new_version AS package_new_version, -- its version after
  g.runs_before AS runs_before,         -- executions of the old bytes
  g.runs_after AS runs_after,           -- executions of the new bytes
  g.acknowledged AS acknowledged        -- UTC seconds when somebody acknowledged it; NULL: nobody did
FROM _change g
JOIN _path p ON p.id = g.path_id;

DROP VIEW IF EXISTS commands;
CREATE VIEW commands AS
SELECT
  k.cmdline AS cmdline,       -- arguments joined by spaces, odd bytes escaped
  k.execs AS execs,           -- executions ever recorded with it
  k.first_time AS first_time, -- UTC seconds of the first
  k.last_time AS last_time,   -- UTC seconds of the last
  CASE WHEN k.argv IS NOT NULL THEN k.argv
       ELSE '["' || replace(k.cmdline, ' ', '","') || '"]' END AS argv, -- arguments, a JSON array
  k.bytes AS bytes,           -- the exact arguments, a NUL after each, where they are no valid UTF-8, else NULL
  k.id AS command_id          -- number of this command line, never used twice
FROM _command k
WHERE k.id <> 0;

DROP VIEW IF EXISTS gaps;
CREATE VIEW gaps AS
SELECT
  g.time AS time,         -- UTC seconds of its start; indexed
  g.end_time AS end_time, -- UTC seconds of its end
  g.lost AS lost,         -- how many records are missing; NULL: not known
  g.source AS source,     -- who lost them
  g.reason AS reason,     -- why
  g.id AS gap_id          -- number of this gap, never used twice
FROM _gap g;

DROP VIEW IF EXISTS runs;
CREATE VIEW runs AS
SELECT
  r.time AS time,         -- UTC seconds of the recorder's start
  r.end_time AS end_time, -- UTC seconds of its end; NULL: runs, or was killed and nobody started since
  r.clean AS clean,       -- 1: it ended as asked; 0: it was killed; NULL: runs
  r.version AS version,   -- of the program
  r.source AS source,     -- of its events: bpf, netlink, scan
  (SELECT b.boot_id FROM _boot b WHERE b.id = r.boot_id) AS boot_id, -- boot in which it ran
  r.hostname AS hostname, -- of the machine
  r.machine_id AS machine_id, -- of the machine
  r.kernel AS kernel,     -- release of the kernel
  r.executions AS executions, -- recorded, up to its last commit
  r.lost AS lost,         -- events known to be lost
  r.files_hashed AS files_hashed, -- files read
  r.bytes_hashed AS bytes_hashed, -- bytes read
  r.hits_hot AS hits_hot, -- answers from memory
  r.hits_ledger AS hits_ledger, -- answers from this file
  r.watches AS watches,   -- inotify watches held
  r.last_time AS last_time, -- UTC seconds of its last commit
  r.id AS run_id,         -- number of this run, never used twice
  r.tracked AS tracked,   -- paths whose history is kept
  r.watches_refused AS watches_refused, -- inotify watches that could not be had
  r.overflows AS overflows, -- times that inotify lost events; each is a row of gaps
  r.start_total AS start_total, -- files that its start had to look at: those of earlier runs and of watched folders
  r.start_done AS start_done -- of them, those that it has looked at
FROM _run r;

DROP VIEW IF EXISTS about;
CREATE VIEW about AS
SELECT
  m.key AS key,    -- name of a fact about this file
  m.value AS value -- the fact
FROM _meta m;
