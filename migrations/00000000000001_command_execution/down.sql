DROP TABLE audit_logs;
DROP TABLE sessions;
DROP TABLE responses;
DROP TABLE commands;
DROP TABLE vehicles;
DROP TABLE users;
