CREATE TABLE users (
    user_id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
    username VARCHAR(50) NOT NULL,
    email VARCHAR(255) NOT NULL,
    password_hash VARCHAR(255) NOT NULL,
    role VARCHAR(20) NOT NULL CONSTRAINT chk_users_role CHECK (role IN ('engineer', 'admin')),
    created_at TIMESTAMP WITH TIME ZONE NOT NULL DEFAULT now(),
    updated_at TIMESTAMP WITH TIME ZONE NOT NULL DEFAULT now(),
    CONSTRAINT unq_users_username UNIQUE (username),
    CONSTRAINT unq_users_email UNIQUE (email)
);
COMMENT ON TABLE users IS 'People who can log in.';
COMMENT ON COLUMN users.password_hash IS 'bcrypt, in the modular crypt format.';

-- The list of users of one role.
CREATE INDEX idx_users_role ON users (role);

CREATE TABLE vehicles (
    vehicle_id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
    vin VARCHAR(17) NOT NULL,
    make VARCHAR(100) NOT NULL,
    model VARCHAR(100) NOT NULL,
    year INTEGER NOT NULL,
    connection_status VARCHAR(20) NOT NULL
        CONSTRAINT chk_vehicles_connection_status
        CHECK (connection_status IN ('connected', 'disconnected', 'error')),
    last_seen_at TIMESTAMP WITH TIME ZONE,
    metadata JSONB DEFAULT '{}',
    created_at TIMESTAMP WITH TIME ZONE NOT NULL DEFAULT now(),
    CONSTRAINT unq_vehicles_vin UNIQUE (vin)
);
COMMENT ON TABLE vehicles IS 'The fleet.';
COMMENT ON COLUMN vehicles.vin IS 'Vehicle identification number, in upper case.';
COMMENT ON COLUMN vehicles.connection_status IS 'Whether commands reach the vehicle now.';
COMMENT ON COLUMN vehicles.last_seen_at IS 'When the vehicle was last heard of.';
COMMENT ON COLUMN vehicles.metadata IS 'Whatever the owner of the fleet keeps with the vehicle.';

-- The list of vehicles that can be reached.
CREATE INDEX idx_vehicles_connection_status ON vehicles (connection_status);
-- The vehicles not heard of for a while.
CREATE INDEX idx_vehicles_last_seen_at ON vehicles (last_seen_at);

CREATE TABLE commands (
    command_id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
    user_id UUID NOT NULL REFERENCES users (user_id) ON DELETE CASCADE,
    vehicle_id UUID NOT NULL REFERENCES vehicles (vehicle_id) ON DELETE CASCADE,
    command_name VARCHAR(100) NOT NULL,
    command_params JSONB NOT NULL,
    status VARCHAR(20) NOT NULL DEFAULT 'pending'
        CONSTRAINT chk_commands_status
        CHECK (status IN ('pending', 'in_progress', 'completed', 'failed')),
    error_message TEXT,
    submitted_at TIMESTAMP WITH TIME ZONE NOT NULL DEFAULT now(),
    completed_at TIMESTAMP WITH TIME ZONE
);
COMMENT ON TABLE commands IS 'SOVD commands (ISO 17978) sent to vehicles.';
COMMENT ON COLUMN commands.command_name IS 'The name in the command catalogue, such as ReadDTC.';
COMMENT ON COLUMN commands.command_params IS 'The parameters, as they met the schema of the catalogue.';
COMMENT ON COLUMN commands.error_message IS 'Why the command failed, for people.';
COMMENT ON COLUMN commands.completed_at IS 'When the command ended, however it ended.';

-- The history of one user.
CREATE INDEX idx_commands_user_id ON commands (user_id);
-- The history of one vehicle.
CREATE INDEX idx_commands_vehicle_id ON commands (vehicle_id);
-- The commands in one state.
CREATE INDEX idx_commands_status ON commands (status);
-- The history of the fleet, newest first, and its date range.
CREATE INDEX idx_commands_submitted_at ON commands (submitted_at);
-- The commands of one vehicle that have not ended.
CREATE INDEX idx_commands_vehicle_id_status ON commands (vehicle_id, status);

CREATE TABLE responses (
    response_id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
    command_id UUID NOT NULL REFERENCES commands (command_id) ON DELETE CASCADE,
    response_payload JSONB NOT NULL,
    sequence_number INTEGER NOT NULL,
    is_final BOOLEAN NOT NULL DEFAULT false,
    received_at TIMESTAMP WITH TIME ZONE NOT NULL DEFAULT now()
);
COMMENT ON TABLE responses IS 'The chunks of the vehicles'' answers.';
COMMENT ON COLUMN responses.sequence_number IS 'The place in the answer: 1, 2, 3 and so on without a gap.';
COMMENT ON COLUMN responses.is_final IS 'Whether the answer ends with this chunk.';

-- The answer to one command.
CREATE INDEX idx_responses_command_id ON responses (command_id);
-- A chunk is stored once; the answer in order, from any place on.
CREATE UNIQUE INDEX unq_responses_command_id_sequence_number
    ON responses (command_id, sequence_number);

CREATE TABLE sessions (
    session_id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
    user_id UUID NOT NULL REFERENCES users (user_id) ON DELETE CASCADE,
    refresh_token VARCHAR(500) NOT NULL,
    expires_at TIMESTAMP WITH TIME ZONE NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL DEFAULT now(),
    CONSTRAINT unq_sessions_refresh_token UNIQUE (refresh_token)
);
COMMENT ON TABLE sessions IS 'Logins that have not ended.';
COMMENT ON COLUMN sessions.refresh_token IS 'SHA-256 of the refresh token in hexadecimal, never the token.';
COMMENT ON COLUMN sessions.expires_at IS 'The moment after which the refresh token is worth nothing.';

-- The sessions of one user, to list or to end them.
CREATE INDEX idx_sessions_user_id ON sessions (user_id);
-- The sessions to sweep.
CREATE INDEX idx_sessions_expires_at ON sessions (expires_at);

CREATE TABLE audit_logs (
    log_id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
    user_id UUID REFERENCES users (user_id) ON DELETE SET NULL,
    vehicle_id UUID REFERENCES vehicles (vehicle_id) ON DELETE SET NULL,
    command_id UUID REFERENCES commands (command_id) ON DELETE SET NULL,
    action VARCHAR(100) NOT NULL,
    entity_type VARCHAR(50) NOT NULL,
    entity_id UUID,
    details JSONB DEFAULT '{}',
    ip_address VARCHAR(45),
    user_agent TEXT,
    timestamp TIMESTAMP WITH TIME ZONE NOT NULL DEFAULT now()
);
COMMENT ON TABLE audit_logs IS 'Who did what to what, when and from where.';
COMMENT ON COLUMN audit_logs.user_id IS 'The user who acted; null for the program itself, an unauthenticated caller or a deleted user.';
COMMENT ON COLUMN audit_logs.action IS 'What was done, such as command.submit.';
COMMENT ON COLUMN audit_logs.entity_type IS 'The kind of thing it was done to, such as command.';
COMMENT ON COLUMN audit_logs.entity_id IS 'The thing it was done to; kept when the thing is deleted.';
COMMENT ON COLUMN audit_logs.ip_address IS 'Where the request came from, IPv4 or IPv6 as text.';

-- What one user did.
CREATE INDEX idx_audit_logs_user_id ON audit_logs (user_id);
-- What was done to one vehicle.
CREATE INDEX idx_audit_logs_vehicle_id ON audit_logs (vehicle_id);
-- What was done to one command.
CREATE INDEX idx_audit_logs_command_id ON audit_logs (command_id);
-- Every time one thing was done.
CREATE INDEX idx_audit_logs_action ON audit_logs (action);
-- The trail, newest first, and its date range.
CREATE INDEX idx_audit_logs_timestamp ON audit_logs (timestamp);
