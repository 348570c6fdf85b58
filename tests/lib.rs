//! End-to-end tests: see `law.rs`, `process/` (the compiled command, in one process) and `cloud/` (the deployed whole).
