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
-- The suspensions of one agent, newest first.
CREATE INDEX idx_agent_suspensions_agent_name_suspended_at
    ON agent_suspensions (agent_name, suspended_at DESC, suspension_id DESC);
-- The suspensions that one admin lifted, when the admin is deleted.
CREATE INDEX idx_agent_suspensions_lifted_by ON agent_suspensions (lifted_by);

CREATE TABLE blocked_attempts (
    attempt_id UUID PRIMARY KEY,
    agent_name TEXT NOT NULL,
    action_type TEXT NOT NULL,
    blocked_at TIMESTAMP WITH TIME ZONE NOT NULL
);
COMMENT ON TABLE blocked_attempts IS 'Attempts that count towards a suspension, which takes them away.';
COMMENT ON COLUMN blocked_attempts.attempt_id IS 'The line in ueba_logs, which may be deleted before.';

-- How often an agent was blocked lately, and what a suspension takes away.
CREATE INDEX idx_blocked_attempts_agent_name_action_type_blocked_at
    ON blocked_attempts (agent_name, action_type, blocked_at);
-- What is too old to count.
CREATE INDEX idx_blocked_attempts_blocked_at ON blocked_attempts (blocked_at);

-- What one agent did, newest first.
CREATE INDEX idx_ueba_logs_agent_name_timestamp ON ueba_logs (agent_name, timestamp DESC);
-- What was done of one kind, newest first.
CREATE INDEX idx_ueba_logs_action_type_timestamp ON ueba_logs (action_type, timestamp DESC);
-- What was blocked, newest first: of all agents, and of one.
CREATE INDEX idx_ueba_logs_blocked_timestamp
    ON ueba_logs (timestamp DESC) WHERE status = 'BLOCKED';
CREATE INDEX idx_ueba_logs_blocked_agent_name_timestamp
    ON ueba_logs (agent_name, timestamp DESC) WHERE status = 'BLOCKED';
