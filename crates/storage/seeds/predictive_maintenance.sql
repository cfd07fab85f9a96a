INSERT INTO users (user_id, username, email, password_hash, role) VALUES
    ('00000000-0000-0000-0000-000000000003', 'customer', 'user@demo.com',
     '$2b$12$D.yfem73g.Q1bMwp33hBNu5KsodtJbAfEWrWdqhPOd0/okh6cZJdC', 'customer'),
    ('00000000-0000-0000-0000-000000000004', 'service', 'service@ey.com',
     '$2b$12$.55DSrNEHNqPB0rBzr1Tq.IEnpr036n8.PgZRpkJ5sFapwIQLFvFK', 'service'),
    ('00000000-0000-0000-0000-000000000005', 'manufacturer', 'admin@oem.com',
     '$2b$12$1F7u5Oi2rVQljga.Jr0MH.GLxXyNq1WR3jXWpvS/Sc1zXbtiQtpYi', 'manufacturer')
ON CONFLICT DO NOTHING;

-- A row whose unique value is taken is skipped, together with the rows that refer to it.
INSERT INTO vehicles
    (vehicle_id, vin, make, model, year, vehicle_type, owner_id, connection_status, last_seen_at)
SELECT '00000000-0000-0000-0000-000000000103', 'VIN123456789', 'Tesla', 'Model 3', 2023, 'EV',
       user_id, 'connected', now()
FROM users WHERE user_id = '00000000-0000-0000-0000-000000000003'
ON CONFLICT DO NOTHING;

INSERT INTO anomaly_events
    (id, vehicle_id, detected_at, anomaly_type, severity, sensor_snapshot, rul_prediction)
SELECT past.id::uuid, vehicles.vehicle_id, now() - past.age::interval, anomaly_type, severity,
       snapshot::jsonb, life
FROM (VALUES
    ('00000000-0000-0000-0000-000000000201', '180 days', 'battery', 'High',
     '{"cell_voltage_spread_mv": 142, "state_of_charge": 0.61}', 90),
    ('00000000-0000-0000-0000-000000000202', '120 days', 'brakes', 'Medium',
     '{"pad_thickness_mm": 3.1}', 60),
    ('00000000-0000-0000-0000-000000000203', '90 days', 'thermal', 'Critical',
     '{"coolant_temperature_c": 118}', 5),
    ('00000000-0000-0000-0000-000000000204', '45 days', 'tyres', 'Low',
     '{"front_left_kpa": 205}', NULL),
    ('00000000-0000-0000-0000-000000000205', '20 days', 'battery', 'Medium',
     '{"cell_voltage_spread_mv": 96, "state_of_charge": 0.72}', 120)
) AS past (id, age, anomaly_type, severity, snapshot, life)
JOIN vehicles ON vehicle_id = '00000000-0000-0000-0000-000000000103'
ON CONFLICT DO NOTHING;

INSERT INTO diagnoses (id, anomaly_event_id, diagnosis_text, confidence_score, created_at)
SELECT made.id::uuid, anomaly_events.id, diagnosis, confidence,
       detected_at + INTERVAL '1 day'
FROM (VALUES
    ('00000000-0000-0000-0000-000000000301', '00000000-0000-0000-0000-000000000201',
     'One module of the battery ages faster than the others.', 0.86),
    ('00000000-0000-0000-0000-000000000302', '00000000-0000-0000-0000-000000000202',
     'The rear brake pads are worn.', 0.93),
    ('00000000-0000-0000-0000-000000000303', '00000000-0000-0000-0000-000000000203',
     'The coolant pump runs too slowly.', 0.78),
    ('00000000-0000-0000-0000-000000000304', '00000000-0000-0000-0000-000000000204',
     'The front left tyre loses air slowly.', 0.7),
    ('00000000-0000-0000-0000-000000000305', '00000000-0000-0000-0000-000000000205',
     'The replaced module is not yet balanced with the others.', 0.55)
) AS made (id, anomaly, diagnosis, confidence)
JOIN anomaly_events ON anomaly_events.id = made.anomaly::uuid
ON CONFLICT DO NOTHING;

INSERT INTO service_bookings
    (id, vehicle_id, service_center_id, appointment_time, status, customer_notes, created_at)
SELECT made.id::uuid, vehicle_id, 'center-berlin', now() - made.age::interval, 'COMPLETED', notes,
       now() - made.age::interval - INTERVAL '7 days'
FROM (VALUES
    ('00000000-0000-0000-0000-000000000401', '170 days', 'The range has become shorter.'),
    ('00000000-0000-0000-0000-000000000402', '110 days', NULL),
    ('00000000-0000-0000-0000-000000000403', '80 days', 'Please call before you order parts.')
) AS made (id, age, notes)
JOIN vehicles ON vehicle_id = '00000000-0000-0000-0000-000000000103'
ON CONFLICT DO NOTHING;

-- The three bookings closed the first three anomalies.
INSERT INTO booking_anomalies (booking_id, anomaly_event_id, outcome)
SELECT service_bookings.id, anomaly_events.id, 'confirmed'
FROM (VALUES
    ('00000000-0000-0000-0000-000000000401', '00000000-0000-0000-0000-000000000201'),
    ('00000000-0000-0000-0000-000000000402', '00000000-0000-0000-0000-000000000202'),
    ('00000000-0000-0000-0000-000000000403', '00000000-0000-0000-0000-000000000203')
) AS made (booking, anomaly)
JOIN service_bookings ON service_bookings.id = made.booking::uuid
JOIN anomaly_events ON anomaly_events.id = made.anomaly::uuid
ON CONFLICT DO NOTHING;

INSERT INTO anomaly_episodes (anomaly_event_id, vehicle_id, component_name, outcome, closed_at)
SELECT anomaly_event_id, vehicle_id, component, outcome, appointment_time
FROM (VALUES
    ('00000000-0000-0000-0000-000000000401', 'battery module'),
    ('00000000-0000-0000-0000-000000000402', NULL),
    ('00000000-0000-0000-0000-000000000403', 'coolant pump')
) AS made (booking, component)
JOIN booking_anomalies ON booking_id = made.booking::uuid
JOIN service_bookings ON service_bookings.id = booking_id
WHERE outcome IS NOT NULL
ON CONFLICT DO NOTHING;

INSERT INTO manufacturing_insights
    (id, component_name, failure_pattern, affected_batch, recommendation, confidence_score,
     created_at)
VALUES
    ('00000000-0000-0000-0000-000000000501', 'battery module',
     'One module ages faster than the others.', 'Tesla Model 3 2023',
     'Compare the cells of the supplier''s lots.', 0.82, now() - INTERVAL '60 days'),
    ('00000000-0000-0000-0000-000000000502', 'coolant pump',
     'The pump slows down after about 20,000 km.', 'Tesla Model 3 2023',
     'Check the bearings of the pump.', 0.64, now() - INTERVAL '30 days')
ON CONFLICT DO NOTHING;

-- The two insights were derived from what the workshop confirmed.
INSERT INTO insight_failures (anomaly_event_id, insight_id)
SELECT anomaly_event_id, manufacturing_insights.id
FROM (VALUES
    ('00000000-0000-0000-0000-000000000201', '00000000-0000-0000-0000-000000000501'),
    ('00000000-0000-0000-0000-000000000203', '00000000-0000-0000-0000-000000000502')
) AS made (anomaly, insight)
JOIN anomaly_episodes ON anomaly_event_id = made.anomaly::uuid
JOIN manufacturing_insights ON manufacturing_insights.id = made.insight::uuid
WHERE outcome = 'confirmed'
ON CONFLICT DO NOTHING;
