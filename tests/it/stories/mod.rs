//! Promises, told from beginning to end.

mod cluster;
mod crash;
mod histories;
mod lease;
mod lifecycle;
mod places;
mod race;
mod shell_and_server;
