-- SPDX-License-Identifier: LGPL-2.1-or-later
-- What the recorder of a run keeps an eye on between two executions.
ALTER TABLE _run ADD COLUMN tracked INTEGER NOT NULL DEFAULT 0;         -- paths whose history is kept
ALTER TABLE _run ADD COLUMN watches_refused INTEGER NOT NULL DEFAULT 0; -- inotify watches that could not be had
ALTER TABLE _run ADD COLUMN overflows INTEGER NOT NULL DEFAULT 0;       -- times that inotify lost events
ALTER TABLE _run ADD COLUMN start_total INTEGER NOT NULL DEFAULT 0;     -- files that its start had to look at
ALTER TABLE _run ADD COLUMN start_done INTEGER NOT NULL DEFAULT 0;      -- of them, those that it has looked at
