# Lists the recipes.
default:
    @just --list --unsorted

# Runs the main use case on private servers; the same as demo.
dev *args: (demo args)

# Runs the main use case on private servers.
demo *args:
    cargo demo {{ args }}

# Runs all tests, or those that the arguments select.
test *args:
    cargo test {{ args }}

# Tests the server against its OpenAPI document with generated requests; takes minutes.
schemathesis *args:
    tests/schemathesis/run {{ args }}

# Checks format, lints and documentation without changing files.
lint: format-check clippy doc

# Fails if a file is not formatted.
format-check:
    cargo fmt --all --check

# Runs clippy; a warning is an error.
clippy:
    cargo clippy --workspace --all-targets -- --deny warnings

# Builds the documentation; a warning is an error.
doc:
    RUSTDOCFLAGS="--deny warnings" cargo doc --workspace --no-deps

# Formats all code.
fmt:
    cargo fmt --all

# Runs the database tool: up, down, redo, status, seed, verify, verify-audit or audit-checkpoint.
migrate *args:
    cargo migrate {{ args }}

# Runs the server with the settings of this directory.
serve *args:
    cargo serve {{ args }}

# Runs a private PostgreSQL and Redis and prints their addresses, or executes another devstack command.
devstack *args="up":
    cargo devstack {{ args }}

# Runs the benchmarks, which write their results to target/bench.
bench: load
    cargo bench --package sovd-api-server

# Measures the server under load next to hand-written SQL; --help lists the options.
load *args:
    cargo bench --package sovd-tests --bench load -- {{ args }}

# Checks advisories, licenses, sources and allowed dependencies; requires cargo-deny.
deny *args:
    cargo deny check {{ args }}
