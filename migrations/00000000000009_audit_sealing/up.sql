-- Entries are sealed at positions between the newest pruning and the head of the chain, which sealing
-- advances first. A position outside would stop all further sealing or pruning, or let a pruning delete an
-- entry unseen. One check for each statement, because a check for each row makes sealing four times slower.
CREATE FUNCTION guard_audit_sealing() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    is_outside BOOLEAN;
BEGIN
    EXECUTE format(
        'SELECT count(position) > 0 AND (
             min(position) > greatest((SELECT max(position) FROM %1$I.audit_prunings), 0)
             AND max(position) <= (SELECT position FROM %1$I.audit_chain_head)) IS NOT TRUE
         FROM (SELECT position FROM updated EXCEPT SELECT position FROM original) sealed',
        TG_TABLE_SCHEMA
    ) INTO is_outside;
    IF is_outside THEN
        RAISE EXCEPTION 'UPDATE of audit_logs is refused: a position is outside the chain'
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NULL;
END
$$;

CREATE TRIGGER guard_audit_sealing AFTER UPDATE ON audit_logs
    REFERENCING OLD TABLE AS original NEW TABLE AS updated
    FOR EACH STATEMENT EXECUTE FUNCTION guard_audit_sealing();

-- A reference may become NULL, as it does when its row is deleted, and an entry may be sealed once.
CREATE OR REPLACE FUNCTION guard_audit_update() RETURNS trigger LANGUAGE plpgsql AS $$
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
        RAISE EXCEPTION 'UPDATE of audit_logs is refused: the audit trail is append-only'
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END
$$;
