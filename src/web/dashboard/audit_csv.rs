//! The audit log as a CSV file.

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use futures_util::stream;

use super::audit::filter;
use super::authorize::Authorized;
use super::rejection::PageResult;
use crate::app::App;
use crate::web::AppState;
use crate::web::extract::Query;
use keyhouse_domain::audit::{AuditEvent, AuditFilter};
use keyhouse_domain::permission::ManageTeam;
use keyhouse_domain::team::Team;
use keyhouse_store::StoreError;

/// Events read at once.
const BATCH: u32 = 500;

/// All events that match the filter, newest first, sent while they are read: never all in memory.
pub(super) async fn index(State(state): State<AppState>, access: Authorized<ManageTeam>, query: Query) -> PageResult {
    let filter = filter(&query, state.app.clock().now());
    let first = state.app.queries().audit_events(access.team().id, &filter, None, BATCH).await?;
    let state = (state.app.clone(), access.team().clone(), filter, Some(first), true);
    let rows = stream::try_unfold(state, |(app, team, filter, batch, is_first)| async move {
        let Some(batch) = batch else { return Ok::<_, StoreError>(None) };
        let text = lines(&batch, is_first);
        let next = next_batch(&app, &team, &filter, &batch).await?;
        Ok(Some((text, (app, team, filter, next, false))))
    });
    let disposition = format!("attachment; filename=\"audit-{}.csv\"", access.team().slug.as_str());
    let headers =
        [(header::CONTENT_TYPE, "text/csv; charset=utf-8".to_owned()), (header::CONTENT_DISPOSITION, disposition)];
    let response: Response = (headers, Body::from_stream(rows)).into_response();
    Ok(response)
}

async fn next_batch(
    app: &App,
    team: &Team,
    filter: &AuditFilter,
    batch: &[AuditEvent],
) -> Result<Option<Vec<AuditEvent>>, StoreError> {
    match batch.last() {
        Some(last) if batch.len() == BATCH as usize => {
            app.queries().audit_events(team.id, filter, Some(last.id), BATCH).await.map(Some)
        }
        _ => Ok(None),
    }
}

/// Excel reads a file without it in the system's own encoding instead of UTF-8.
const BYTE_ORDER_MARK: [u8; 3] = [0xEF, 0xBB, 0xBF];

fn lines(events: &[AuditEvent], with_header: bool) -> Bytes {
    let mut out = Vec::new();
    if with_header {
        out.extend(BYTE_ORDER_MARK);
    }
    let quoted = csv::QuoteStyle::Always;
    let mut writer = csv::WriterBuilder::new().quote_style(quoted).terminator(csv::Terminator::CRLF).from_writer(out);
    // Writing to a vector can't fail.
    let mut write = |cells: [&str; 9]| writer.write_record(cells.map(escape_formulas)).unwrap_or_default();
    if with_header {
        write(["time", "id", "action", "by", "by_id", "by_email", "target", "detail", "from"]);
    }
    for event in events {
        let by_email = event.by_email.as_ref().map_or_else(String::new, ToString::to_string);
        let by_id = event.by.person.map_or(String::new(), |person| person.to_string());
        write([
            &event.at.to_string(),
            &event.id.to_string(),
            event.action.as_str(),
            &event.by.name,
            &by_id,
            &by_email,
            &event.target,
            &event.detail,
            &event.source,
        ]);
    }
    writer.into_inner().unwrap_or_default().into()
}

/// Puts an apostrophe before each character that would make a spreadsheet run the cell as a formula: at the start of the
/// cell, and after what a spreadsheet with other settings reads as the end of a cell.
fn escape_formulas(cell: &str) -> String {
    let mut escaped = String::with_capacity(cell.len());
    let mut at_start = true;
    for c in cell.chars() {
        let is_first = escaped.is_empty();
        let starts_formula = matches!(c, '=' | '+' | '-' | '@' | '\u{FF1D}' | '\u{FF0B}' | '\u{FF0D}' | '\u{FF20}');
        if at_start && starts_formula || is_first && matches!(c, '\t' | '\r' | '\n') {
            escaped.push('\'');
        }
        at_start = matches!(c, ';' | ',' | '\t' | '\r' | '\n') || at_start && c == ' ';
        escaped.push(c);
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_never_starts_a_formula_whatever_separates_cells() {
        for (cell, escaped) in [
            ("Ada", "Ada"),
            ("a-b=c", "a-b=c"),
            ("=1+1", "'=1+1"),
            ("-1", "'-1"),
            ("\u{FF1D}1", "'\u{FF1D}1"),
            ("x;=1+1;y", "x;'=1+1;y"),
            ("x; @y", "x; '@y"),
            ("x\t+1", "x\t'+1"),
            ("\tx", "'\tx"),
        ] {
            assert_eq!(escape_formulas(cell), escaped);
        }
    }
}
