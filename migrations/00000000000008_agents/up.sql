CREATE TABLE agent_suspensions (
    suspension_id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
    agent_name TEXT NOT NULL,
    action_type TEXT NOT NULL,
    blocked_attempts BIGINT NOT NULL,
    suspended_at TIMESTAMP WITH TIME ZONE NOT NULL,
    lifted_at TIMESTAMP WITH TIME ZONE,
    lifted_by UUID REFERENCES users (user_id) ON DELETE SET NULL
);
COMMENT ON TABLE agent_suspensions IS 'Agents that may not perform a type of action until an admin lifts the suspension.';
COMMENT ON COLUMN agent_suspensions.agent_name IS 'The username of the agent''s service account.';
COMMENT ON COLUMN agent_suspensions.blocked_attempts IS 'Number of blocked attempts that caused the suspension.';
COMMENT ON COLUMN agent_suspensions.lifted_at IS 'When an admin lifted it; null while it is in force.';

-- Whether an agent is suspended; at most one suspension per agent and type of action is in force.
CREATE UNIQUE INDEX unq_agent_suspensions_agent_name_action_type
    ON agent_suspensions (agent_name, action_type) WHERE lifted_at IS NULL;
-- The list of suspensions, newest first.
CREATE INDEX idx_agent_suspensions_suspended_at
    ON agent_suspensions (suspended_at DESC, suspension_id DESC);
-- The suspensions of one agent, newest first.
CREATE INDEX idx_agent_suspensions_agent_name_suspended_at
    ON agent_suspensions (agent_name, suspended_at DESC, suspension_id DESC);
-- The suspensions lifted by an admin who is deleted.
CREATE INDEX idx_agent_suspensions_lifted_by ON agent_suspensions (lifted_by);

CREATE TABLE blocked_attempts (
    attempt_id UUID PRIMARY KEY,
    agent_name TEXT NOT NULL,
    action_type TEXT NOT NULL,
    blocked_at TIMESTAMP WITH TIME ZONE NOT NULL
);
COMMENT ON TABLE blocked_attempts IS 'Blocked attempts that count towards a suspension, which deletes them.';
COMMENT ON COLUMN blocked_attempts.attempt_id IS 'ueba_logs.id of the attempt, which may be deleted earlier.';

-- The number of recent attempts of an agent, and those that a suspension deletes.
CREATE INDEX idx_blocked_attempts_agent_name_action_type_blocked_at
    ON blocked_attempts (agent_name, action_type, blocked_at);
-- The attempts that are too old to count.
CREATE INDEX idx_blocked_attempts_blocked_at ON blocked_attempts (blocked_at);

-- The actions of one agent, newest first.
CREATE INDEX idx_ueba_logs_agent_name_timestamp ON ueba_logs (agent_name, timestamp DESC);
-- The actions of one type, newest first.
CREATE INDEX idx_ueba_logs_action_type_timestamp ON ueba_logs (action_type, timestamp DESC);
-- The blocked actions of all agents, newest first.
CREATE INDEX idx_ueba_logs_blocked_timestamp
    ON ueba_logs (timestamp DESC) WHERE status = 'BLOCKED';
-- The blocked actions of one agent, newest first.
CREATE INDEX idx_ueba_logs_blocked_agent_name_timestamp
    ON ueba_logs (agent_name, timestamp DESC) WHERE status = 'BLOCKED';
