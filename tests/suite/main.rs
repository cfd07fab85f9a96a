//! Black-box tests of the whole program over HTTP and WebSocket, on real PostgreSQL and Redis.

mod architecture;
mod auth;
mod bad_input;
mod cancel;
mod clearing;
mod commands;
mod cors;
mod fleet_events;
mod health;
mod idempotency;
mod load;
mod main_job;
mod offline;
mod openapi;
mod order;
mod outages;
mod outcomes;
mod refresh;
mod sessions;
mod shutdown;
mod sse;
mod storms;
mod stream_limit;
mod streams;
mod tokens;
mod vehicles;
