-- SPDX-License-Identifier: LGPL-2.1-or-later
-- What several subcommands ask.

-- name: gaps_overlap
-- Events of inotify are about files between executions: the executions are whole.
SELECT count(*) FROM gaps WHERE time <= :until AND end_time >= :since AND source <> 'inotify'

-- name: target_digest
SELECT sha256 FROM _content WHERE sha256 >= :prefix AND sha256 < :prefix || 'g' ORDER BY sha256 LIMIT 2
