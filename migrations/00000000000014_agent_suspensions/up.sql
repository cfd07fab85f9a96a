CREATE TABLE agent_suspensions (
    suspension_id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
    agent_name TEXT NOT NULL,
    action_type TEXT NOT NULL,
    blocked_attempts BIGINT NOT NULL,
    suspended_at TIMESTAMP WITH TIME ZONE NOT NULL,
    lifted_at TIMESTAMP WITH TIME ZONE,
    lifted_by UUID REFERENCES users (user_id) ON DELETE SET NULL
);
COMMENT ON TABLE agent_suspensions IS 'Agents that may not do a kind of action until an admin lets them again.';
COMMENT ON COLUMN agent_suspensions.agent_name IS 'The agent, by the name of its service account.';
COMMENT ON COLUMN agent_suspensions.blocked_attempts IS 'How many attempts were too many.';
COMMENT ON COLUMN agent_suspensions.lifted_at IS 'When an admin ended it; null while it lasts.';

-- Whether an agent is suspended; it is so once at a time.
CREATE UNIQUE INDEX unq_agent_suspensions_agent_name_action_type
    ON agent_suspensions (agent_name, action_type) WHERE lifted_at IS NULL;
-- The list of suspensions, newest first.
CREATE INDEX idx_agent_suspensions_suspended_at
    ON agent_suspensions (suspended_at DESC, suspension_id DESC);
-- When an agent was last let go on, and the suspensions of one agent.
CREATE INDEX idx_agent_suspensions_agent_name_action_type_lifted_at
    ON agent_suspensions (agent_name, action_type, lifted_at);
-- The suspensions that one admin lifted, when the admin is deleted.
CREATE INDEX idx_agent_suspensions_lifted_by ON agent_suspensions (lifted_by);

-- How often an agent was blocked lately, and the list of what was blocked, agent by agent.
CREATE INDEX idx_ueba_logs_agent_name_action_type_timestamp
    ON ueba_logs (agent_name, action_type, timestamp DESC) WHERE status = 'BLOCKED';
-- What one agent did, newest first.
CREATE INDEX idx_ueba_logs_agent_name_timestamp ON ueba_logs (agent_name, timestamp DESC);
-- What was blocked, newest first.
CREATE INDEX idx_ueba_logs_status_timestamp ON ueba_logs (status, timestamp DESC);
