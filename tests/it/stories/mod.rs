//! Promises, told from beginning to end.

mod crash;
mod lease;
mod lifecycle;
mod race;
mod shell_and_server;
