//! Promises, told from beginning to end.

mod concurrent_creates;
mod crash;
mod database_file;
mod histories;
mod lease;
mod lifecycle;
mod nodes;
mod shell_and_server;
