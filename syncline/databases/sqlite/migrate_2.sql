-- From layout 1 to 2: what is pruned, and the registry of replicas. New tables are made from metadata.sql.
ALTER TABLE _sync_hub ADD COLUMN floor INTEGER NOT NULL DEFAULT 0;
ALTER TABLE _sync_hub ADD COLUMN floor_hlc INTEGER NOT NULL DEFAULT 0;
ALTER TABLE _sync_hub ADD COLUMN compacted INTEGER NOT NULL DEFAULT 0;
ALTER TABLE _sync_hub ADD COLUMN pruned INTEGER NOT NULL DEFAULT 0;
ALTER TABLE _sync_hub_client ADD COLUMN name TEXT NOT NULL DEFAULT '';
ALTER TABLE _sync_hub_client ADD COLUMN fingerprint TEXT NOT NULL DEFAULT '';
ALTER TABLE _sync_hub_client ADD COLUMN registered TEXT;
ALTER TABLE _sync_hub_client ADD COLUMN last_seen TEXT;
ALTER TABLE _sync_hub_client ADD COLUMN watermark TEXT NOT NULL DEFAULT '';
ALTER TABLE _sync_hub_client ADD COLUMN revoked INTEGER NOT NULL DEFAULT 0;
ALTER TABLE _sync_hub_client ADD COLUMN forgotten INTEGER NOT NULL DEFAULT 0;
ALTER TABLE _sync_hub_log ADD COLUMN nonce INTEGER;
UPDATE _sync_hub_client SET last_seen = coalesce(max(last_push, last_pull), last_push, last_pull);
UPDATE _sync_hub SET layout = 2;
