-- Reads the first page of the vehicles and their number.
\startpipeline
SELECT vehicle_id, vin, make, model, year, connection_status, last_seen_at, metadata, created_at,
       owner_id, vehicle_type
FROM vehicles ORDER BY vin LIMIT 50;
SELECT count(*) FROM vehicles;
\endpipeline
