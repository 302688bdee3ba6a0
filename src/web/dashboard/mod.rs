//! The pages for people: the keys page and the team behind it. Server-rendered; every form works without JavaScript.

mod account;
mod audit;
mod find_key;
mod forms;
mod invitations;
mod keys;
mod layout;
mod links;
mod members;
mod products;
mod rejection;
mod session;
mod sign_in;
mod team;

use axum::Router;
use axum::routing::get;

pub use layout::error_page;

use super::AppState;
use super::middleware::csrf;

/// All pages on one screen. A form is sent to the address it was read at. Each handler's signature says who may: a
/// `Authorized<R>` can't be had without the right.
#[rustfmt::skip]
pub fn routes(state: &AppState) -> Router<AppState> {
    Router::new()
        .route("/", get(sign_in::start))
        .route("/sign-in", get(sign_in::form).post(sign_in::sign_in))
        .route("/sign-out", get(sign_in::sign_out_form).post(sign_in::sign_out))
        .route("/link/{code}", get(links::look).post(links::enter))
        .route("/account", get(account::account).post(account::change))
        .route("/t/{team}", get(team::home))
        .route("/t/{team}/leave", get(account::leave_form).post(account::leave))
        .route("/t/{team}/products", get(products::list))
        .route("/t/{team}/products/new", get(products::new).post(products::create))
        .route("/t/{team}/products/{id}", get(products::look).post(products::change))
        .route("/t/{team}/settings", get(team::settings).post(team::rename))
        .route("/t/{team}/settings/delete", get(team::delete_form).post(team::delete))
        .route("/t/{team}/settings/members", get(members::list))
        .route("/t/{team}/settings/members/invite", get(invitations::invite_form).post(invitations::invite))
        .route("/t/{team}/settings/members/{person}/role", get(members::role_form).post(members::change_role))
        .route("/t/{team}/settings/members/{person}/remove", get(members::remove_form).post(members::remove))
        .route("/t/{team}/settings/members/{person}/hand-over", get(members::hand_over_form).post(members::hand_over))
        .route("/t/{team}/settings/invitations/{id}/withdraw", get(invitations::withdraw_form).post(invitations::withdraw))
        .route("/t/{team}/settings/integrations", get(team::integrations))
        .route("/t/{team}/settings/integrations/api-keys", get(keys::list))
        .route("/t/{team}/settings/integrations/api-keys/new", get(keys::new).post(keys::create))
        .route("/t/{team}/settings/integrations/api-keys/find", get(find_key::find_form).post(find_key::find_key))
        .route("/t/{team}/settings/integrations/api-keys/{key}/rename", get(keys::rename_form).post(keys::rename))
        .route("/t/{team}/settings/integrations/api-keys/{key}/revoke", get(keys::revoke_form).post(keys::revoke))
        .route("/t/{team}/settings/audit", get(audit::list))
        .route("/t/{team}/settings/audit.csv", get(audit::csv))
        .layer(axum::middleware::from_fn_with_state(state.clone(), session::write_cookies))
        .layer(axum::middleware::from_fn_with_state(state.clone(), csrf::same_origin))
}
