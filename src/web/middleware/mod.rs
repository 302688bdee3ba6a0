//! The layers around the handlers, one file each. `web/mod.rs` lists them in order.

pub(super) mod access_log;
pub(super) mod authenticate;
pub(super) mod client_ip;
pub(super) mod csrf;
pub(super) mod http_check;
pub(super) mod record_route;
pub(super) mod render_error;
pub(super) mod security_headers;
