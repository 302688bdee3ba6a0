//! Layers around the handlers, one file each.

pub(super) mod authenticate;
pub(super) mod client_ip;
pub(super) mod csrf;
pub(super) mod security_headers;
