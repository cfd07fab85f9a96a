CREATE TABLE derived_failures (
    anomaly_event_id UUID PRIMARY KEY
        REFERENCES anomaly_episodes (anomaly_event_id) ON DELETE CASCADE,
    insight_id UUID NOT NULL REFERENCES manufacturing_insights (id) ON DELETE CASCADE
);
COMMENT ON TABLE derived_failures IS 'The confirmed failures that are in an insight, so that each counts as new once.';
COMMENT ON COLUMN derived_failures.insight_id IS 'The insight for which it counted as new.';

-- The failures that an insight was derived from, when the insight is deleted.
CREATE INDEX idx_derived_failures_insight_id ON derived_failures (insight_id);
-- How many failures of each component workshops have confirmed.
CREATE INDEX idx_anomaly_episodes_component_name
    ON anomaly_episodes (component_name) WHERE outcome = 'confirmed';
-- The newest insights.
CREATE INDEX idx_manufacturing_insights_created_at
    ON manufacturing_insights (created_at DESC, id DESC);
-- The insights about one component, and how many there are of each.
CREATE INDEX idx_manufacturing_insights_component_name ON manufacturing_insights (component_name);
