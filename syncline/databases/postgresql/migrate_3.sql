-- From layout 2 to 3: whose a replica is. Those that are there were registered while the hub was open.

-- name: clients
ALTER TABLE syncline.clients ADD COLUMN actor text NOT NULL DEFAULT 'anyone';

-- name: layout
UPDATE syncline.state SET layout = 3;
