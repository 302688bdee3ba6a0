//! The pages for people: keys, products, and the team behind them. Rendered on the server; every form works without
//! JavaScript.

mod account;
mod audit;
mod audit_csv;
mod authorize;
mod checklist;
mod choice;
mod cookies;
mod docs_context;
mod error_frame;
mod forms;
mod home;
mod integrations;
mod invite;
mod key_conditions;
mod key_find;
mod key_former;
mod key_new;
mod key_pause;
mod key_receipt;
mod key_rename;
mod key_revoke;
mod key_rotate;
mod key_row;
mod key_show;
mod keys;
mod keys_of_person;
mod layout;
mod leak_notice;
mod leaks;
mod leave;
mod link;
mod member_email;
mod member_remove;
mod member_role;
mod members;
mod ownership;
mod product;
mod product_form;
mod products;
mod rejection;
mod requests;
mod responses;
mod safety;
mod session;
mod settings;
mod sign_in;
mod sign_out;
mod team_delete;
mod usage_chart;
mod user_agent;
mod withdraw;

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::routing::{get, post};

pub(in crate::web) use error_frame::keep_sidebar;
pub use responses::error_page;

use super::middleware::csrf;
use super::{AppState, theme};

/// All pages. A form is sent to the address of its page. The signature of each handler says who may use it: an
/// `Authorized<P>` can't be had without the permission `P`.
#[rustfmt::skip]
pub fn routes(state: &AppState) -> Router<AppState> {
    Router::new()
        .route("/", get(home::index))
        .route("/sign-in", get(sign_in::new).post(sign_in::create))
        .route("/sign-out", get(sign_out::show).post(sign_out::destroy))
        .route("/link/{code}", get(link::show).post(link::update))
        .route("/theme", post(theme::choose))
        .route("/leaks", get(leaks::show).post(leaks::create))
        .route("/account", get(account::show).post(account::update))
        .route("/account/docs", get(docs_context::show))
        .route("/t/{team}", get(home::show))
        .route("/t/{team}/leave", get(leave::show).post(leave::destroy))
        .route("/t/{team}/products", get(products::index))
        .route("/t/{team}/products/checklist", post(checklist::dismiss))
        .route("/t/{team}/products/new", get(product::new).post(product::create))
        .route("/t/{team}/products/{id}", get(product::edit).post(product::update))
        .route("/t/{team}/settings", get(settings::edit).post(settings::update))
        .route("/t/{team}/settings/delete", get(team_delete::show).post(team_delete::destroy))
        .route("/t/{team}/settings/members", get(members::index))
        .route("/t/{team}/settings/members/invite", get(invite::new).post(invite::create))
        .route("/t/{team}/settings/members/{person}/email", get(member_email::show).post(member_email::create))
        .route("/t/{team}/settings/members/{person}/role", get(member_role::edit).post(member_role::update))
        .route("/t/{team}/settings/members/{person}/remove", get(member_remove::show).post(member_remove::destroy))
        .route("/t/{team}/settings/members/{person}/hand-over", get(ownership::edit).post(ownership::update))
        .route("/t/{team}/settings/invitations/{id}/withdraw", get(withdraw::show).post(withdraw::destroy))
        .route("/t/{team}/settings/invitations/{id}/restore", post(withdraw::restore))
        .route("/t/{team}/settings/integrations", get(integrations::index))
        .route("/t/{team}/settings/integrations/api-keys", get(keys::index))
        .route("/t/{team}/settings/integrations/api-keys/new", get(key_new::new).post(key_new::create))
        .route("/t/{team}/settings/integrations/api-keys/find", get(key_find::show).post(key_find::create))
        .route("/t/{team}/settings/integrations/api-keys/leak-notice", post(leak_notice::dismiss))
        .route("/t/{team}/settings/integrations/api-keys/{key}", get(key_show::show))
        .route("/t/{team}/settings/integrations/api-keys/{key}/rename", get(key_rename::edit).post(key_rename::update))
        .route("/t/{team}/settings/integrations/api-keys/{key}/revoke", get(key_revoke::show).post(key_revoke::destroy))
        .route("/t/{team}/settings/integrations/api-keys/{key}/rotate", get(key_rotate::show).post(key_rotate::create))
        .route("/t/{team}/settings/integrations/api-keys/{key}/end-former", get(key_former::show).post(key_former::destroy))
        .route("/t/{team}/settings/integrations/api-keys/{key}/pause", get(key_pause::show).post(key_pause::update))
        .route("/t/{team}/settings/integrations/api-keys/{key}/resume", get(key_pause::show_resume).post(key_pause::resume))
        .route("/t/{team}/settings/integrations/api-keys/{key}/conditions", get(key_conditions::edit).post(key_conditions::update))
        .route("/t/{team}/settings/integrations/api-keys/created-by/{person}", get(keys_of_person::show).post(keys_of_person::destroy))
        .route("/t/{team}/settings/integrations/requests", get(requests::index))
        .route("/t/{team}/settings/audit", get(audit::index))
        .route("/t/{team}/settings/audit.csv", get(audit_csv::index))
        .layer(from_fn_with_state(state.clone(), authorize::remember_team))
        .layer(from_fn_with_state(state.clone(), csrf::same_origin))
}
