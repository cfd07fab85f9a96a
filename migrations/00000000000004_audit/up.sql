ALTER TABLE audit_logs
    ADD COLUMN result VARCHAR(20) NOT NULL DEFAULT 'done'
        CONSTRAINT chk_audit_logs_result CHECK (result IN ('done', 'refused', 'failed')),
    ADD COLUMN request_id VARCHAR(128),
    ADD COLUMN actor_id UUID,
    ADD COLUMN subject_vehicle_id UUID,
    ADD COLUMN subject_command_id UUID,
    ADD COLUMN position BIGINT,
    ADD COLUMN hash BYTEA,
    ADD CONSTRAINT chk_audit_logs_hash
        CHECK ((position IS NULL) = (hash IS NULL) AND octet_length(hash) = 32),
    -- The content of an entry has its time in microseconds since 1970, which infinity has not.
    ADD CONSTRAINT chk_audit_logs_timestamp
        CHECK (timestamp >= '0001-01-01 00:00:00+00' AND timestamp < '10000-01-01 00:00:00+00');
UPDATE audit_logs
SET actor_id = user_id, subject_vehicle_id = vehicle_id, subject_command_id = command_id;
COMMENT ON COLUMN audit_logs.result IS 'The outcome of the action.';
COMMENT ON COLUMN audit_logs.request_id IS 'The X-Request-ID of the request, also in the response and the logs; null if no request caused the entry.';
COMMENT ON COLUMN audit_logs.actor_id IS 'Copy of user_id that outlives the user.';
COMMENT ON COLUMN audit_logs.subject_vehicle_id IS 'Copy of vehicle_id that outlives the vehicle.';
COMMENT ON COLUMN audit_logs.subject_command_id IS 'Copy of command_id that outlives the command.';
COMMENT ON COLUMN audit_logs.position IS 'The position in the hash chain: 1, 2, 3 and so on without a gap; null until the entry is sealed.';
COMMENT ON COLUMN audit_logs.hash IS 'SHA-256 of the hash at the previous position and the content of the entry; null until it is sealed.';

-- The audit trail, newest first, from any entry on, also among entries with the same time. A scan in
-- either direction serves every query by time alone, so this index replaces idx_audit_logs_timestamp.
CREATE INDEX idx_audit_logs_timestamp_desc_log_id_desc ON audit_logs (timestamp DESC, log_id DESC);
DROP INDEX idx_audit_logs_timestamp;
-- The chain in order, from any position on.
CREATE UNIQUE INDEX unq_audit_logs_position ON audit_logs (position);
-- The unsealed entries in the order in which they are sealed.
CREATE INDEX idx_audit_logs_timestamp_log_id ON audit_logs (timestamp, log_id)
    WHERE position IS NULL;
-- The actions of a deleted user. Entries of other users are in the index on user_id, so a new entry adds
-- nothing to this index or the next two.
CREATE INDEX idx_audit_logs_actor_id ON audit_logs (actor_id)
    WHERE user_id IS NULL AND actor_id IS NOT NULL;
-- The actions on a deleted vehicle.
CREATE INDEX idx_audit_logs_subject_vehicle_id ON audit_logs (subject_vehicle_id)
    WHERE vehicle_id IS NULL AND subject_vehicle_id IS NOT NULL;
-- The actions on a deleted command.
CREATE INDEX idx_audit_logs_subject_command_id ON audit_logs (subject_command_id)
    WHERE command_id IS NULL AND subject_command_id IS NOT NULL;

-- Sealing updates every entry once and leaves dead rows in the index of unsealed entries, which slow down
-- the search for the next ones until a vacuum removes them.
ALTER TABLE audit_logs SET (autovacuum_vacuum_scale_factor = 0.02);

CREATE TABLE audit_chain_head (
    is_only BOOLEAN PRIMARY KEY DEFAULT true CONSTRAINT chk_audit_chain_head_is_only CHECK (is_only),
    position BIGINT NOT NULL,
    hash BYTEA NOT NULL CONSTRAINT chk_audit_chain_head_hash CHECK (octet_length(hash) = 32)
);
COMMENT ON TABLE audit_chain_head IS 'The end of the hash chain, in a single row. Sealing and pruning lock it.';
COMMENT ON COLUMN audit_chain_head.position IS 'The position of the last sealed entry; 0 if there is none.';
COMMENT ON COLUMN audit_chain_head.hash IS 'The hash of that entry; 32 zero bytes if there is none.';
INSERT INTO audit_chain_head (position, hash) VALUES (0, decode(repeat('00', 32), 'hex'));

CREATE TABLE audit_prunings (
    position BIGINT PRIMARY KEY,
    hash BYTEA NOT NULL CONSTRAINT chk_audit_prunings_hash CHECK (octet_length(hash) = 32),
    pruned_at TIMESTAMP WITH TIME ZONE NOT NULL DEFAULT now()
);
COMMENT ON TABLE audit_prunings IS 'Prunings: deletions of the beginning of the chain after its retention.';
COMMENT ON COLUMN audit_prunings.position IS 'The position of the last entry that was deleted.';
COMMENT ON COLUMN audit_prunings.hash IS 'The hash of that entry, from which the hash of the first remaining entry is computed.';

-- The guards keep audit_logs and audit_prunings append-only for ordinary SQL. They do not check positions,
-- hashes or the end of the chain: verification detects what is wrong with these.

CREATE FUNCTION refuse_audit_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% of % is refused: the audit trail is append-only', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'restrict_violation';
END
$$;

-- Only sealing gives an entry its position.
CREATE FUNCTION copy_audit_references() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF num_nonnulls(NEW.position, NEW.hash) > 0 THEN
        RAISE EXCEPTION 'INSERT of a sealed entry is refused'
            USING ERRCODE = 'restrict_violation';
    END IF;
    NEW.actor_id := coalesce(NEW.user_id, NEW.actor_id);
    NEW.subject_vehicle_id := coalesce(NEW.vehicle_id, NEW.subject_vehicle_id);
    NEW.subject_command_id := coalesce(NEW.command_id, NEW.subject_command_id);
    RETURN NEW;
END
$$;

-- A reference may become NULL, as it does when its row is deleted, and an entry may be sealed once, at a
-- position between the newest pruning and the head of the chain, which sealing advances first. A position
-- outside would stop all further sealing or pruning, or let a pruning delete an entry unseen.
CREATE FUNCTION guard_audit_update() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    expected RECORD;
    is_in_chain BOOLEAN;
BEGIN
    IF NEW.position IS DISTINCT FROM OLD.position THEN
        EXECUTE format(
            'SELECT $1 <= (SELECT position FROM %1$I.audit_chain_head)
                AND $1 > coalesce((SELECT max(position) FROM %1$I.audit_prunings), 0)',
            TG_TABLE_SCHEMA
        ) INTO is_in_chain USING NEW.position;
        IF is_in_chain IS NOT TRUE THEN
            RAISE EXCEPTION 'UPDATE of audit_logs is refused: position % is outside the chain', NEW.position
                USING ERRCODE = 'restrict_violation';
        END IF;
    END IF;
    expected := OLD;
    IF NEW.user_id IS NULL THEN expected.user_id := NULL; END IF;
    IF NEW.vehicle_id IS NULL THEN expected.vehicle_id := NULL; END IF;
    IF NEW.command_id IS NULL THEN expected.command_id := NULL; END IF;
    IF OLD.position IS NULL AND OLD.hash IS NULL THEN
        expected.position := NEW.position;
        expected.hash := NEW.hash;
    END IF;
    -- Byte for byte: 1 and 1.0 are equal, and have different hashes.
    IF NEW *<> expected THEN
        RAISE EXCEPTION 'UPDATE of audit_logs is refused: the audit trail is append-only'
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END
$$;

-- Only the transaction that records a pruning deletes entries, and only those between it and the previous
-- one. A position outside, even one that was forged for an unsealed entry, does not permit a deletion.
-- TG_TABLE_SCHEMA keeps a temporary table from standing in for audit_prunings.
CREATE FUNCTION guard_audit_deletion() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    pruned INT8RANGE;
BEGIN
    EXECUTE format(
        'SELECT int8range(
             greatest((SELECT max(position) FROM %1$I.audit_prunings
                       WHERE position < newest.position), 0),
             position, ''(]'')
         FROM (SELECT position, xmin FROM %1$I.audit_prunings
               ORDER BY position DESC LIMIT 1) newest
         WHERE xmin = pg_current_xact_id()::xid',
        TG_TABLE_SCHEMA
    ) INTO pruned;
    IF EXISTS (SELECT FROM deleted WHERE (position <@ pruned) IS NOT TRUE) THEN
        RAISE EXCEPTION 'DELETE of audit_logs is refused: only pruning deletes entries'
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NULL;
END
$$;

CREATE TRIGGER copy_audit_references BEFORE INSERT ON audit_logs
    FOR EACH ROW EXECUTE FUNCTION copy_audit_references();
CREATE TRIGGER guard_audit_update BEFORE UPDATE ON audit_logs
    FOR EACH ROW EXECUTE FUNCTION guard_audit_update();
CREATE TRIGGER guard_audit_deletion AFTER DELETE ON audit_logs
    REFERENCING OLD TABLE AS deleted FOR EACH STATEMENT EXECUTE FUNCTION guard_audit_deletion();
CREATE TRIGGER refuse_audit_truncation BEFORE TRUNCATE ON audit_logs
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_audit_change();
CREATE TRIGGER refuse_audit_pruning_change BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_prunings
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_audit_change();
