INSERT INTO users (user_id, username, email, password_hash, role) VALUES
    ('00000000-0000-0000-0000-000000000001', 'admin', 'admin@sovd.example.com',
     '$2b$12$AIlGZNeoV5.qep5tdUbWZ.RqjrhsK2VthZqWCnwWPwT7LEJT1Uk9G', 'admin'),
    ('00000000-0000-0000-0000-000000000002', 'engineer', 'engineer@sovd.example.com',
     '$2b$12$QoM4N.MURWzKjefDOCLahu.sa1anq1/4nTfNVdBO19FNR/2y3XpK6', 'engineer')
ON CONFLICT DO NOTHING;

INSERT INTO vehicles (vehicle_id, vin, make, model, year, connection_status, last_seen_at) VALUES
    ('00000000-0000-0000-0000-000000000101', 'TESTVIN0000000001', 'Tesla', 'Model 3', 2023,
     'connected', now()),
    ('00000000-0000-0000-0000-000000000102', 'TESTVIN0000000002', 'BMW', 'X5', 2022,
     'disconnected', now() - INTERVAL '1 day')
ON CONFLICT DO NOTHING;
