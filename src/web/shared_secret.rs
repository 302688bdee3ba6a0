//! Secrets that are shared with another server by a setting: GitLab's, and that of the gateways that follow the feed.

use std::fmt;

use axum::http::{HeaderMap, header};
use sha2::{Digest, Sha256};

use super::AppState;
use super::context::RequestContext;
use super::error::{ApiError, ErrorCode};
use crate::app::infra::signing_key::{SECRET_MIN, SecretTooShort};

/// SHA-256 of a shared secret. `Debug` does not show it.
#[derive(Clone, Copy)]
pub struct SharedSecret([u8; 32]);

impl SharedSecret {
    /// Reads a setting.
    ///
    /// # Errors
    ///
    /// [`SecretTooShort`] below [`SECRET_MIN`] characters.
    pub fn parse(secret: &str) -> Result<Self, SecretTooShort> {
        match secret.chars().count() < SECRET_MIN {
            true => Err(SecretTooShort),
            false => Ok(Self(Sha256::digest(secret.as_bytes()).into())),
        }
    }

    /// Whether the `Authorization` header holds the secret, bare as GitLab sends it or after `Bearer`. Digests are compared:
    /// how much of one agrees shows nothing about the secret.
    fn is_in(&self, headers: &HeaderMap) -> bool {
        let mut values = headers.get_all(header::AUTHORIZATION).iter();
        let (Some(value), None) = (values.next(), values.next()) else { return false };
        let value = value.as_bytes();
        let bare = match value.split_at_checked(7) {
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case(b"bearer ") => rest,
            _ => value,
        };
        Sha256::digest(bare)[..] == self.0
    }

    /// 401 for a request without the secret; 429 if its network has sent many of them.
    pub(super) fn authorize(
        &self,
        state: &AppState,
        context: &RequestContext,
        headers: &HeaderMap,
        challenge: &'static str,
    ) -> Result<(), ApiError> {
        if self.is_in(headers) {
            return Ok(());
        }
        if let Some(wait) = state.app.count_bad_token(context.client_ip()) {
            return Err(ApiError::too_many(wait));
        }
        let error = ApiError::new(ErrorCode::InvalidToken).with_message("Invalid or missing shared secret");
        Err(error.with_header(header::WWW_AUTHENTICATE, challenge))
    }
}

impl fmt::Debug for SharedSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SharedSecret(…)")
    }
}
