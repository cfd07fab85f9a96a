-- Executes the command of submit.sql: one transaction before it is sent, one after the response.
\startpipeline
BEGIN;
UPDATE command_queue
SET lease_id = gen_random_uuid(), lease_expires_at = now() + INTERVAL '30 s', send_count = 1
WHERE command_id = (lpad(to_hex(:high::bigint), 16, '0') || lpad(to_hex(:low::bigint), 16, '0'))::uuid;
UPDATE commands SET status = 'in_progress', started_at = now()
WHERE command_id = (lpad(to_hex(:high::bigint), 16, '0') || lpad(to_hex(:low::bigint), 16, '0'))::uuid;
COMMIT;
\endpipeline
\startpipeline
BEGIN;
INSERT INTO responses (command_id, response_payload, sequence_number, is_final)
VALUES (
    (lpad(to_hex(:high::bigint), 16, '0') || lpad(to_hex(:low::bigint), 16, '0'))::uuid,
    '{"ecuAddress": "0x10", "dtcs": [{"code": "P0420", "status": "confirmed"}]}', 1, true);
UPDATE commands SET status = 'completed', completed_at = now()
WHERE command_id = (lpad(to_hex(:high::bigint), 16, '0') || lpad(to_hex(:low::bigint), 16, '0'))::uuid;
DELETE FROM command_queue
WHERE command_id = (lpad(to_hex(:high::bigint), 16, '0') || lpad(to_hex(:low::bigint), 16, '0'))::uuid;
INSERT INTO audit_logs
    (user_id, vehicle_id, command_id, action, entity_type, entity_id, details)
VALUES (
    ('00000000-0000-4000-9000-' || lpad(to_hex(:user::bigint), 12, '0'))::uuid,
    ('00000000-0000-4000-8000-' || lpad(to_hex(:vehicle::bigint), 12, '0'))::uuid,
    (lpad(to_hex(:high::bigint), 16, '0') || lpad(to_hex(:low::bigint), 16, '0'))::uuid,
    'command.complete', 'command',
    (lpad(to_hex(:high::bigint), 16, '0') || lpad(to_hex(:low::bigint), 16, '0'))::uuid,
    '{"command_name": "ReadDTC"}');
COMMIT;
\endpipeline
