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

CREATE TABLE audit_head (
    is_only BOOLEAN PRIMARY KEY DEFAULT true CONSTRAINT chk_audit_head_is_only CHECK (is_only),
    position BIGINT NOT NULL,
    hash BYTEA NOT NULL CONSTRAINT chk_audit_head_hash CHECK (octet_length(hash) = 32)
);
COMMENT ON TABLE audit_head IS 'The end of the hash chain, in a single row. Sealing and pruning lock it.';
COMMENT ON COLUMN audit_head.position IS 'The position of the last sealed entry; 0 if there is none.';
COMMENT ON COLUMN audit_head.hash IS 'The hash of that entry; 32 zero bytes if there is none.';
INSERT INTO audit_head (position, hash) VALUES (0, decode(repeat('00', 32), 'hex'));

CREATE TABLE audit_cuts (
    position BIGINT PRIMARY KEY,
    hash BYTEA NOT NULL CONSTRAINT chk_audit_cuts_hash CHECK (octet_length(hash) = 32),
    cut_at TIMESTAMP WITH TIME ZONE NOT NULL DEFAULT now()
);
COMMENT ON TABLE audit_cuts IS 'Deletions of the beginning of the chain after its retention.';
COMMENT ON COLUMN audit_cuts.position IS 'The position of the last entry that was deleted.';
COMMENT ON COLUMN audit_cuts.hash IS 'The hash of that entry, from which the hash of the first remaining entry is computed.';

-- A temporary table could stand in for one that is named without its schema, hence TG_TABLE_SCHEMA.

CREATE FUNCTION refuse_audit_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% of % is refused: the audit trail is not to be changed', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'restrict_violation';
END
$$;

-- Fills the copies of the references, also for a program that does not know them.
CREATE FUNCTION complete_audit_line() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.position IS NOT NULL OR NEW.hash IS NOT NULL THEN
        RAISE EXCEPTION 'INSERT into audit_logs is refused: a line begins without a place in the chain'
            USING ERRCODE = 'restrict_violation';
    END IF;
    NEW.actor_id := coalesce(NEW.user_id, NEW.actor_id);
    NEW.subject_vehicle_id := coalesce(NEW.vehicle_id, NEW.subject_vehicle_id);
    NEW.subject_command_id := coalesce(NEW.command_id, NEW.subject_command_id);
    RETURN NEW;
END
$$;

-- A reference may go, as it does when what it points at is deleted, and a line may be sealed once.
CREATE FUNCTION guard_audit_line() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    expected RECORD;
BEGIN
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
        RAISE EXCEPTION 'UPDATE of audit_logs is refused: the audit trail is not to be changed'
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END
$$;

-- Whoever seals moves the head first. A place beyond it would be in the way of all who seal later.
CREATE FUNCTION guard_audit_sealing() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    head BIGINT;
BEGIN
    EXECUTE format(
        'SELECT position FROM %I.audit_head WHERE xmin = pg_current_xact_id()::xid',
        TG_TABLE_SCHEMA
    ) INTO head;
    IF EXISTS (
        SELECT FROM unsealed JOIN sealed USING (log_id)
        WHERE unsealed.position IS NULL AND sealed.position IS NOT NULL
          AND (sealed.position <= head) IS NOT TRUE
    ) THEN
        RAISE EXCEPTION 'UPDATE of audit_logs is refused: the end of the chain has not been moved for it'
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NULL;
END
$$;

CREATE FUNCTION guard_audit_deletion() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    cut BIGINT;
BEGIN
    EXECUTE format('SELECT coalesce(max(position), 0) FROM %I.audit_cuts', TG_TABLE_SCHEMA) INTO cut;
    IF EXISTS (SELECT FROM gone WHERE position IS NULL OR position > cut) THEN
        RAISE EXCEPTION 'DELETE of audit_logs is refused: the chain is cut off after position % only', cut
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NULL;
END
$$;

CREATE FUNCTION guard_audit_head() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.position <= OLD.position THEN
        RAISE EXCEPTION 'UPDATE of audit_head is refused: the chain only grows'
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END
$$;

-- At the end of the transaction, because the lines get their places after the head has moved.
CREATE FUNCTION confirm_audit_head() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    is_reached BOOLEAN;
BEGIN
    EXECUTE format(
        'SELECT count(*) = $2 - $1 AND coalesce(bool_or(position = $2 AND hash = $3), false)
         FROM %I.audit_logs WHERE position > $1 AND position <= $2',
        TG_TABLE_SCHEMA
    ) INTO is_reached USING OLD.position, NEW.position, NEW.hash;
    IF NOT is_reached THEN
        RAISE EXCEPTION 'UPDATE of audit_head is refused: the lines of the chain do not reach position %',
            NEW.position USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NULL;
END
$$;

CREATE FUNCTION guard_audit_cut() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    is_link BOOLEAN;
BEGIN
    EXECUTE format(
        'SELECT EXISTS (SELECT FROM %I.audit_logs WHERE position = $1 AND hash = $2)',
        TG_TABLE_SCHEMA
    ) INTO is_link USING NEW.position, NEW.hash;
    IF NOT is_link THEN
        RAISE EXCEPTION 'INSERT into audit_cuts is refused: no line has this position and this hash'
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END
$$;

CREATE TRIGGER complete_audit_line BEFORE INSERT ON audit_logs
    FOR EACH ROW EXECUTE FUNCTION complete_audit_line();
CREATE TRIGGER guard_audit_line BEFORE UPDATE ON audit_logs
    FOR EACH ROW EXECUTE FUNCTION guard_audit_line();
CREATE TRIGGER guard_audit_sealing AFTER UPDATE ON audit_logs
    REFERENCING OLD TABLE AS unsealed NEW TABLE AS sealed
    FOR EACH STATEMENT EXECUTE FUNCTION guard_audit_sealing();
CREATE TRIGGER guard_audit_deletion AFTER DELETE ON audit_logs
    REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION guard_audit_deletion();
CREATE TRIGGER refuse_audit_truncation BEFORE TRUNCATE ON audit_logs
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_audit_change();

CREATE TRIGGER guard_audit_head BEFORE UPDATE ON audit_head
    FOR EACH ROW EXECUTE FUNCTION guard_audit_head();
CREATE CONSTRAINT TRIGGER confirm_audit_head AFTER UPDATE ON audit_head
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION confirm_audit_head();
CREATE TRIGGER refuse_audit_head_change BEFORE DELETE OR TRUNCATE ON audit_head
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_audit_change();

CREATE TRIGGER guard_audit_cut BEFORE INSERT ON audit_cuts
    FOR EACH ROW EXECUTE FUNCTION guard_audit_cut();
CREATE TRIGGER refuse_audit_cut_change BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_cuts
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_audit_change();
