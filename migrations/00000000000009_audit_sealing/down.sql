DROP TRIGGER guard_audit_sealing ON audit_logs;
DROP FUNCTION guard_audit_sealing();

-- A reference may become NULL, as it does when its row is deleted, and an entry may be sealed once, at a
-- position between the newest pruning and the head of the chain, which sealing advances first. A position
-- outside would stop all further sealing or pruning, or let a pruning delete an entry unseen.
CREATE OR REPLACE FUNCTION guard_audit_update() RETURNS trigger LANGUAGE plpgsql AS $$
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
