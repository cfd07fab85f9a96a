CREATE TABLE derived_insights (
    insight_id UUID PRIMARY KEY REFERENCES manufacturing_insights (id) ON DELETE CASCADE,
    component_name TEXT NOT NULL,
    make VARCHAR(100) NOT NULL,
    model VARCHAR(100) NOT NULL,
    year INTEGER NOT NULL,
    failures BIGINT NOT NULL CONSTRAINT chk_derived_insights_failures CHECK (failures > 0),
    -- However often and by however many at once insights are derived, each finding is written once.
    CONSTRAINT unq_derived_insights_component_name_make_model_year_failures
        UNIQUE (component_name, make, model, year, failures)
);
COMMENT ON TABLE derived_insights IS 'The insights that were derived from confirmed failures, and from how many.';
COMMENT ON COLUMN derived_insights.failures IS 'How many failures of the component workshops had confirmed in this model and model year.';

-- The newest insights.
CREATE INDEX idx_manufacturing_insights_created_at
    ON manufacturing_insights (created_at DESC, id DESC);
-- The insights about one component, and how many there are of each.
CREATE INDEX idx_manufacturing_insights_component_name ON manufacturing_insights (component_name);
