//! The notice on the API keys page that keys of the team were reported as leaked, and dismissing it.

use axum::extract::State;

use super::authorize::{Authorized, AuthorizedForm};
use super::forms::EmptyForm;
use super::key_row::PAGE;
use super::layout::TimeTag;
use super::rejection::{PageResult, Rejection, see_other};
use crate::web::AppState;
use keyhouse_domain::ids::KeyId;
use keyhouse_domain::permission::ManageKeys;

/// One report of a leaked key.
pub(super) struct NoticeRow {
    pub(super) key: KeyId,
    /// The key's prefix and name, and what was done.
    pub(super) detail: String,
    pub(super) by: String,
    pub(super) at: TimeTag,
}

/// The reports that no member of the team has dismissed yet, the latest first.
pub(super) async fn rows(state: &AppState, access: &Authorized<ManageKeys>) -> Result<Vec<NoticeRow>, Rejection> {
    let now = state.app.clock().now();
    let notices = state.app.leak_notices(access.team().id).await?;
    let row = |notice: keyhouse_domain::leak::LeakNotice| NoticeRow {
        key: notice.key,
        detail: notice.detail,
        by: notice.by,
        at: TimeTag::past(notice.at, now),
    };
    Ok(notices.into_iter().map(row).collect())
}

pub(super) async fn dismiss(
    State(state): State<AppState>,
    AuthorizedForm { access, raw, .. }: AuthorizedForm<Authorized<ManageKeys>, EmptyForm>,
) -> PageResult {
    match state.app.dismiss_leak_notices(&access.permit).await? {
        Ok(()) => Ok(see_other(&access.path(PAGE))),
        Err(_forbidden) => Err(access.permission_lost(&state, &raw).await),
    }
}
