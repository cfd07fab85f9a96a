-- Submits a command: one transaction with the command, its queue entry and its audit entry.
\set user random(0, 255)
\set vehicle random(0, 999)
\set high random(0, 9223372036854775806)
\set low random(0, 9223372036854775806)
\startpipeline
BEGIN;
INSERT INTO commands (command_id, user_id, vehicle_id, command_name, command_params)
VALUES (
    (lpad(to_hex(:high::bigint), 16, '0') || lpad(to_hex(:low::bigint), 16, '0'))::uuid,
    ('00000000-0000-4000-9000-' || lpad(to_hex(:user::bigint), 12, '0'))::uuid,
    ('00000000-0000-4000-8000-' || lpad(to_hex(:vehicle::bigint), 12, '0'))::uuid,
    'ReadDTC', '{"ecuAddress": "0x10"}');
INSERT INTO command_queue (command_id, vehicle_id, user_id, due_at)
VALUES (
    (lpad(to_hex(:high::bigint), 16, '0') || lpad(to_hex(:low::bigint), 16, '0'))::uuid,
    ('00000000-0000-4000-8000-' || lpad(to_hex(:vehicle::bigint), 12, '0'))::uuid,
    ('00000000-0000-4000-9000-' || lpad(to_hex(:user::bigint), 12, '0'))::uuid,
    now());
INSERT INTO audit_logs
    (user_id, vehicle_id, command_id, action, entity_type, entity_id, details, ip_address, user_agent,
     request_id)
VALUES (
    ('00000000-0000-4000-9000-' || lpad(to_hex(:user::bigint), 12, '0'))::uuid,
    ('00000000-0000-4000-8000-' || lpad(to_hex(:vehicle::bigint), 12, '0'))::uuid,
    (lpad(to_hex(:high::bigint), 16, '0') || lpad(to_hex(:low::bigint), 16, '0'))::uuid,
    'command.submit', 'command',
    (lpad(to_hex(:high::bigint), 16, '0') || lpad(to_hex(:low::bigint), 16, '0'))::uuid,
    '{"risk": "read", "command_name": "ReadDTC", "command_params": {"ecuAddress": "0x10"}}',
    '127.0.0.1', 'load', '1e0f9a52-6d0c-4a36-9d0e-5f3f6c1b2a47');
COMMIT;
\endpipeline
