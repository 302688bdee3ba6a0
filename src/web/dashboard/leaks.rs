//! `/leaks`: the page on which a token that was found is reported, without an account.

use askama::Template;
use axum::extract::State;
use serde::Deserialize;
use zeroize::Zeroizing;

use super::forms::{FieldErrors, RawForm};
use super::rejection::{PageResult, Rejection};
use super::responses;
use crate::app::leaks::LeakAction;
use crate::web::context::RequestContext;
use crate::web::leaks::{count_report, report_text};
use crate::web::{AppState, assets};

#[derive(Template)]
#[template(path = "leaks.html")]
struct LeaksPage {
    errors: FieldErrors,
    /// How many tokens the reported text had; `None` before a report.
    tokens: Option<usize>,
    /// What happens to the keys.
    effect: &'static str,
}

impl LeaksPage {
    fn new(state: &AppState, errors: FieldErrors, tokens: Option<usize>) -> Result<Self, Rejection> {
        if !state.leaks.public_report {
            return Err(Rejection::not_found());
        }
        let effect = match state.leaks.action {
            LeakAction::Revoke => "Any key that a reported token belongs to is revoked.",
            LeakAction::Pause => "Any key that a reported token belongs to is paused, and its team is notified.",
            LeakAction::Flag => "The team of any key that a reported token belongs to is notified.",
        };
        Ok(Self { errors, tokens, effect })
    }
}

pub(super) async fn show(State(state): State<AppState>) -> PageResult {
    Ok(responses::ok(&LeaksPage::new(&state, FieldErrors::default(), None)?))
}

#[derive(Deserialize)]
pub(super) struct LeaksForm {
    /// Any text.
    #[serde(default)]
    token: Zeroizing<String>,
}

pub(super) async fn create(State(state): State<AppState>, context: RequestContext, form: RawForm) -> PageResult {
    let form: LeaksForm = form.parse()?;
    // A disabled page answers 404 before anything is counted.
    LeaksPage::new(&state, FieldErrors::default(), None)?;
    count_report(&state, &context)?;
    let tokens = report_text(&state, &context, form.token.as_bytes()).await?;
    let errors = match tokens {
        0 => FieldErrors::one("token", "No Keyhouse token in this text. Paste the full token"),
        _ => FieldErrors::default(),
    };
    let page = LeaksPage::new(&state, errors, Some(tokens).filter(|tokens| *tokens > 0))?;
    Ok(responses::form(&page.errors, &page))
}
