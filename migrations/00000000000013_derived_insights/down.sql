DROP INDEX idx_manufacturing_insights_component_name;
DROP INDEX idx_manufacturing_insights_created_at;
DROP INDEX idx_anomaly_episodes_component_name;
-- On the way up again nobody would know what they were derived from, and they would be derived twice.
DELETE FROM manufacturing_insights WHERE id IN (SELECT insight_id FROM derived_failures);
DROP TABLE derived_failures;
