-- SPDX-License-Identifier: LGPL-2.1-or-later
--
-- The base tables. Private: programs and people read the views (views.sql); these may change with any version.
--
-- Rules. Times are integers of UTC seconds; only what needs more has nanoseconds beside them. Ids that other rows
-- refer to are AUTOINCREMENT, so none is ever used twice. Row 0 of _path, _command, _content and _image means "not
-- known", which lets the views join them without an outer join. Everything that repeats is interned: an execution
-- is a row of small integers. No STRICT: the analysts' tools are older than that keyword.

-- What this file is: keys and values of the view `about`.
CREATE TABLE _meta(
  key TEXT PRIMARY KEY, -- name of the fact
  value TEXT            -- the fact, as text
);

-- Boots of machines that wrote here.
CREATE TABLE _boot(
  id INTEGER PRIMARY KEY AUTOINCREMENT, -- referred to by _context, _version and _run
  boot_id TEXT NOT NULL UNIQUE          -- /proc/sys/kernel/random/boot_id
);

-- Paths, and whatever else is a file name.
CREATE TABLE _path(
  id INTEGER PRIMARY KEY AUTOINCREMENT, -- 0: not known
  text TEXT,                            -- valid UTF-8, control and bidi characters and invalid bytes escaped; NULL in row 0
  bytes BLOB NOT NULL DEFAULT x'',      -- the exact bytes where they differ from text, else empty
  UNIQUE(text, bytes)
);

-- Command lines.
CREATE TABLE _command(
  id INTEGER PRIMARY KEY AUTOINCREMENT, -- 0: not known
  hash INTEGER NOT NULL,                -- first 8 bytes of sha256 over the exact argument bytes, big-endian
  cmdline TEXT,                         -- arguments joined by a space, escaped as paths are; NULL in row 0
  argv TEXT,                            -- JSON array, kept only where splitting cmdline at its spaces would not give it
  bytes BLOB,                           -- the exact arguments, a NUL after each, kept only where they are no valid UTF-8
  execs INTEGER NOT NULL DEFAULT 0,     -- executions ever recorded with it
  first_time INTEGER,                   -- UTC seconds of the first of them
  last_time INTEGER                     -- UTC seconds of the last of them
);
CREATE INDEX _command_hash ON _command(hash);

-- Sets of user and group ids; NULL: not known.
CREATE TABLE _cred(
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  uid INTEGER,  -- real user id
  euid INTEGER, -- effective user id
  suid INTEGER, -- saved user id
  gid INTEGER,  -- real group id
  egid INTEGER, -- effective group id
  auid INTEGER  -- login user id of the audit system; NULL: not set
);
CREATE INDEX _cred_all ON _cred(uid, euid, suid, gid, egid, auid);

-- Where a process runs, and who saw it.
CREATE TABLE _context(
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  boot_id INTEGER,  -- row of _boot
  session INTEGER,  -- audit session; NULL: none
  tty TEXT,         -- controlling terminal, escaped; NULL: none
  mnt_ns INTEGER,   -- inode number of the mount namespace; NULL: not known
  cgroup TEXT,      -- path of the control group, escaped
  container TEXT,   -- container id found in it; NULL: none
  source INTEGER    -- 1 bpf, 2 netlink, 3 scan, 4 snapshot
);
CREATE INDEX _context_all ON _context(boot_id, session, mnt_ns, tty, cgroup);

-- Contents: what bytes. Named by their sha256.
CREATE TABLE _content(
  id INTEGER PRIMARY KEY AUTOINCREMENT, -- 0: not known
  sha256 TEXT UNIQUE,                   -- lower-case hex; NULL in row 0
  size INTEGER,                         -- bytes
  md5 TEXT,                             -- lower-case hex; NULL: never computed
  sha1 TEXT,                            -- lower-case hex; NULL: never computed
  sha512 TEXT                           -- lower-case hex; NULL: never computed
);

-- Images: what an execution loaded, in all that repeats from one execution of it to the next.
CREATE TABLE _image(
  id INTEGER PRIMARY KEY AUTOINCREMENT,     -- 0: not known
  path_id INTEGER NOT NULL DEFAULT 0,       -- of the file that runs; for a script its interpreter
  content_id INTEGER NOT NULL DEFAULT 0,    -- its bytes
  hash_state INTEGER NOT NULL DEFAULT 6,    -- 0 pending, 1 ok, 2 unreadable, 3 vanished, 4 too-big, 5 unstable, 6 none
  assurance INTEGER NOT NULL DEFAULT 0,     -- 0 none, 1 stat, 2 probed
  mode INTEGER NOT NULL DEFAULT 0,          -- st_mode; 0: not known
  flags INTEGER NOT NULL DEFAULT 0,         -- bits: 1 memfd, 2 deleted, 4 overlay-upper, 8 setuid, 16 setgid, 32 filecaps, 64 argv-cut
  script_path_id INTEGER NOT NULL DEFAULT 0,    -- of the script that the interpreter was started for
  script_content_id INTEGER NOT NULL DEFAULT 0, -- the script's bytes
  UNIQUE(path_id, content_id, hash_state, assurance, mode, flags, script_path_id, script_content_id)
);
CREATE INDEX _image_content ON _image(content_id);
CREATE INDEX _image_script ON _image(script_content_id);
CREATE INDEX _image_script_path ON _image(script_path_id);
CREATE INDEX _image_pending ON _image(id) WHERE hash_state = 0;

-- Executions: one row for each image that a process ran.
CREATE TABLE _execution(
  id INTEGER PRIMARY KEY AUTOINCREMENT, -- eid
  time INTEGER NOT NULL,                -- UTC seconds
  time_ns INTEGER NOT NULL,             -- nanoseconds within that second
  pid INTEGER NOT NULL,                 -- thread group id in the initial pid namespace
  ppid INTEGER,                         -- pid of its parent then
  start_ticks INTEGER,                  -- start of the process since boot: (pid, start_ticks) names it within a boot
  parent_id INTEGER,                    -- the parent's execution
  prev_id INTEGER,                      -- the image that this one replaced in the same process
  image_id INTEGER NOT NULL,            -- row of _image
  filename_id INTEGER,                  -- what execve was given, row of _path; NULL: the path of the image
  command_id INTEGER NOT NULL,          -- row of _command
  cwd_id INTEGER,                       -- working directory, row of _path
  cred_id INTEGER,                      -- row of _cred
  context_id INTEGER,                   -- row of _context
  name TEXT,                            -- comm, escaped; NULL: the path's last component, cut at 15; '': not known
  exit_code INTEGER,                    -- of exit(2)
  exit_signal INTEGER,                  -- the signal that ended it
  duration_ns INTEGER,                  -- how long this image ran
  end_time INTEGER,                     -- UTC seconds; NULL: runs, or time plus duration_ns
  end_reason TEXT                       -- exit, exec, reboot, lost; NULL: runs
);
CREATE INDEX _execution_time ON _execution(time);
CREATE INDEX _execution_pid ON _execution(pid);
CREATE INDEX _execution_parent ON _execution(parent_id) WHERE parent_id IS NOT NULL;
CREATE INDEX _execution_image ON _execution(image_id);
CREATE INDEX _execution_command ON _execution(command_id);
CREATE INDEX _execution_alive ON _execution(pid) WHERE end_reason IS NULL;

-- Processes that never executed anything.
CREATE TABLE _fork(
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  time INTEGER NOT NULL, -- UTC seconds of the fork
  pid INTEGER NOT NULL,  -- of the child
  ppid INTEGER,          -- of its parent
  image_eid INTEGER,     -- the execution whose image it runs
  end_time INTEGER       -- UTC seconds; NULL: runs
);
CREATE INDEX _fork_time ON _fork(time);
CREATE INDEX _fork_pid ON _fork(pid);
CREATE INDEX _fork_image ON _fork(image_eid);

-- Versions: which path held which bytes from when to when. Open while end_time is NULL; one open version a path and
-- mount namespace.
CREATE TABLE _version(
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  path_id INTEGER NOT NULL,          -- row of _path
  mnt_ns INTEGER NOT NULL DEFAULT 0, -- inode number of the mount namespace; 0: not known
  container TEXT,                    -- container id; NULL: none
  content_id INTEGER NOT NULL DEFAULT 0, -- row of _content; 0: see hash_state
  hash_state INTEGER NOT NULL,       -- as in _image
  assurance INTEGER NOT NULL,        -- as in _image
  cacheable INTEGER NOT NULL,        -- 1: an equal identity may be served with this content
  size INTEGER,                      -- bytes, as statx saw it
  mode INTEGER,                      -- st_mode
  uid INTEGER,                       -- owner
  gid INTEGER,                       -- group
  nlink INTEGER,                     -- hard links
  dev_major INTEGER,                 -- of st_dev: compared within one boot only
  dev_minor INTEGER,                 -- of st_dev
  inode INTEGER,                     -- inode number
  generation INTEGER,                -- of the inode; 0: not known
  btime_ns INTEGER,                  -- birth, nanoseconds since the epoch; 0: not known
  mtime_ns INTEGER,                  -- modification of the bytes
  ctime_ns INTEGER,                  -- change of bytes or attributes
  fs_magic INTEGER,                  -- f_type of the file system
  fsid INTEGER,                      -- f_fsid
  uuid BLOB,                         -- of the file system, 16 bytes; NULL: not known
  tier INTEGER,                      -- 0 never cached, 1 cached, 2 cached after fdatasync
  fs_flags INTEGER,                  -- bits: 1 read-only, 2 fine-grained times
  boot_id INTEGER,                   -- row of _boot in which it was hashed
  hashed_ns INTEGER,                 -- wall clock when its bytes were about to be read, nanoseconds
  wall_minus_boot_ns INTEGER,        -- CLOCK_REALTIME less CLOCK_BOOTTIME then
  first_time INTEGER NOT NULL,       -- UTC seconds when first seen
  last_time INTEGER NOT NULL,        -- UTC seconds when last seen
  end_time INTEGER,                  -- UTC seconds when seen to be gone; NULL: current
  end_reason TEXT,                   -- modified, replaced, vanished, expired
  detected_by INTEGER                -- how its end was found, while open its beginning: 1 exec, 2 inotify, 3 sweep, 4 startup, 5 request
);
CREATE UNIQUE INDEX _version_open ON _version(path_id, mnt_ns) WHERE end_time IS NULL;
CREATE INDEX _version_identity ON _version(inode, ctime_ns) WHERE end_time IS NULL;
CREATE INDEX _version_seen ON _version(last_time) WHERE end_time IS NULL;
CREATE INDEX _version_path ON _version(path_id);
CREATE INDEX _version_content ON _version(content_id);

-- Counters for each path and content that ran; they outlive the executions that they count.
CREATE TABLE _binary(
  path_id INTEGER NOT NULL,           -- row of _path
  container TEXT NOT NULL DEFAULT '', -- container id; '': none
  content_id INTEGER NOT NULL,        -- row of _content; 0: never hashed
  first_time INTEGER NOT NULL,        -- UTC seconds of the first execution
  last_time INTEGER NOT NULL,         -- UTC seconds of the last
  execs INTEGER NOT NULL,             -- how many
  PRIMARY KEY(path_id, container, content_id)
) WITHOUT ROWID;
CREATE INDEX _binary_content ON _binary(content_id);
CREATE INDEX _binary_execs ON _binary(execs);
CREATE INDEX _binary_last ON _binary(last_time);

-- What changed and what it means.
CREATE TABLE _change(
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  time INTEGER NOT NULL,      -- UTC seconds when it was found
  path_id INTEGER NOT NULL,   -- row of _path
  mnt_ns INTEGER,             -- mount namespace
  container TEXT,             -- container id; NULL: none
  class TEXT,                 -- what kind of change
  attention TEXT,             -- none, notice, alert
  reasons TEXT,               -- why, a list for people
  old_content_id INTEGER,     -- row of _content
  new_content_id INTEGER,     -- row of _content
  last_old_time INTEGER,      -- UTC seconds when the old bytes were last seen
  first_new_time INTEGER,     -- UTC seconds when the new ones were first seen
  old_mode INTEGER,           -- st_mode before
  new_mode INTEGER,           -- st_mode after
  old_uid INTEGER,            -- owner before
  new_uid INTEGER,            -- owner after
  detected_by INTEGER,        -- as in _version
  package TEXT,               -- that owns the path
  package_old_version TEXT,   -- before
  package_new_version TEXT,   -- after
  runs_before INTEGER,        -- executions of the old bytes
  runs_after INTEGER,         -- executions of the new bytes
  acknowledged INTEGER        -- UTC seconds when somebody acknowledged it
);
CREATE INDEX _change_time ON _change(time);
CREATE INDEX _change_path ON _change(path_id);

-- What is known to be missing.
CREATE TABLE _gap(
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  time INTEGER NOT NULL,     -- UTC seconds of its start
  end_time INTEGER NOT NULL, -- UTC seconds of its end
  lost INTEGER,              -- how many records; NULL: not known
  source TEXT NOT NULL,      -- who lost them
  reason TEXT NOT NULL       -- why
);
CREATE INDEX _gap_time ON _gap(time);

-- Runs of the recorder.
CREATE TABLE _run(
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  time INTEGER NOT NULL,      -- UTC seconds of its start
  last_time INTEGER NOT NULL, -- UTC seconds of its last commit
  end_time INTEGER,           -- UTC seconds of its end; NULL: runs, or was killed and nobody started since
  clean INTEGER,              -- 1: it ended as asked; 0: it was killed; NULL: runs
  version TEXT,               -- of the program
  source TEXT,                -- of its events
  boot_id INTEGER,            -- row of _boot
  hostname TEXT,              -- of the machine
  machine_id TEXT,            -- /etc/machine-id
  kernel TEXT,                -- release
  executions INTEGER NOT NULL DEFAULT 0,   -- recorded
  lost INTEGER NOT NULL DEFAULT 0,         -- events known to be lost
  files_hashed INTEGER NOT NULL DEFAULT 0, -- files read
  bytes_hashed INTEGER NOT NULL DEFAULT 0, -- bytes read
  hits_hot INTEGER NOT NULL DEFAULT 0,     -- answers from memory
  hits_ledger INTEGER NOT NULL DEFAULT 0,  -- answers from this file
  watches INTEGER NOT NULL DEFAULT 0       -- inotify watches held
);
CREATE INDEX _run_boot ON _run(boot_id);

INSERT INTO _path(id, text, bytes) VALUES(0, NULL, x'');
INSERT INTO _command(id, hash, cmdline) VALUES(0, 0, NULL);
INSERT INTO _content(id, sha256) VALUES(0, NULL);
INSERT INTO _image(id) VALUES(0);
INSERT INTO _meta(key, value) VALUES
  ('what', 'procledger: which processes ran on this machine, and exactly which bytes ran'),
  ('documentation', 'man procledger-schema; each column is explained in .schema of its view'),
  ('tables', 'read the views; tables whose names start with _ are private and may change');
