//! Extractors: what a handler takes from a request, as its signature lists it.

mod body;
mod caller;
mod idempotency_key;
mod media_type;
mod path;
mod preconditions;
mod query;

pub(super) use body::{BODY_MAX, BODY_TIMEOUT, read, read_up_to};
pub(super) use body::{JsonBody, RawBody};
pub(super) use caller::{Caller, Reads, Writes, caller_for};
pub(super) use idempotency_key::IdempotencyKeyHeader;
pub(super) use media_type::is_media_type;
pub(super) use path::PathId;
pub(super) use preconditions::{Preconditions, entity_tag};
pub(super) use query::Query;
