-- From layout 2 to 3: whose a replica is. Those that are there were registered while the hub was open.
ALTER TABLE _sync_hub_client ADD COLUMN actor TEXT NOT NULL DEFAULT 'anyone';
UPDATE _sync_hub SET layout = 3;
