-- SPDX-License-Identifier: LGPL-2.1-or-later
-- A device number names a file system only while that is mounted.
ALTER TABLE _version ADD COLUMN mount_id INTEGER NOT NULL DEFAULT 0; -- of the mount it was seen through, never used again in a boot; 0: not known
