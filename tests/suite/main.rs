//! Black-box tests of the whole program over HTTP and WebSocket, on real PostgreSQL and Redis.

mod agents;
mod architecture;
mod audit;
mod commands;
mod documentation;
mod fleet;
mod frozen_database;
mod health;
mod http;
mod identity;
mod idle;
mod maintenance;
mod openapi;
mod shutdown;
