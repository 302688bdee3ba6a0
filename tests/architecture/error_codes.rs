//! The table of errors is a contract: its snapshot, and the same table in the guide.

use keyhouse::web::error::ErrorCode;

use test_support::assert_text;

#[test]
fn the_table_of_errors_has_not_changed() {
    let rows: Vec<_> = ErrorCode::ALL
        .iter()
        .map(|code| format!("{} {} {}: {}", code.status(), code.error_type(), code.code(), code.message()))
        .collect();
    assert_text!(rows.join("\n"), @"
    400 invalid_request_error bad_request: The request is not valid HTTP for this server
    400 invalid_request_error invalid_json: The request body is not a valid JSON object
    400 invalid_request_error validation_failed: Some fields are not valid; see details
    400 invalid_request_error invalid_cursor: The cursor in `after` is not from this list; start again without it
    400 invalid_request_error invalid_parameter: A query parameter is not valid
    400 invalid_request_error invalid_idempotency_key: Idempotency-Key must be given once, with 1 to 255 visible ASCII characters
    401 authentication_error invalid_token: Invalid or missing API token
    403 permission_error scope_insufficient: This key is read-only; use a Read & Write key for this call
    404 not_found_error product_not_found: No such product
    404 not_found_error route_not_found: No such path; see /docs for the list of endpoints
    405 invalid_request_error method_not_allowed: This path does not support this method; see the Allow header
    409 conflict_error sku_already_exists: Another product has this SKU; SKUs are unique within a team and mode, archived products included
    409 idempotency_error idempotency_key_in_use: A call with this Idempotency-Key is still running; try again shortly
    422 idempotency_error idempotency_key_reused: This Idempotency-Key was used for a call with another body
    412 invalid_request_error precondition_failed: The product has changed: its ETag does not match If-Match
    413 invalid_request_error payload_too_large: The request body is larger than 64 KiB
    414 invalid_request_error bad_request: The request target is longer than 8 KiB
    415 invalid_request_error unsupported_media_type: The request body must be uncompressed application/json in UTF-8
    429 rate_limit_error rate_limit_exceeded: Too many requests; retry after the number of seconds in Retry-After
    500 api_error internal_error: Internal server error; it is logged with this request id
    503 api_error service_unavailable: The service can't answer right now; try again shortly
    ");
}

/// The guide lists every code with the message of the table, and no other code.
#[test]
fn the_guide_has_the_same_table() {
    let guide = super::repository("docs/guide/errors.md");
    let row = |code: &ErrorCode| {
        format!("| {} | `{}` | `{}` | {} |", code.status(), code.error_type(), code.code(), code.message())
    };
    let table: Vec<_> = ErrorCode::ALL.iter().map(row).collect();
    let mut shown: Vec<_> = guide.lines().filter(|line| line.starts_with("| 4") || line.starts_with("| 5")).collect();
    for row in &table {
        assert!(shown.contains(&row.as_str()), "docs/guide/errors.md lacks {row}");
    }
    shown.retain(|row| !table.iter().any(|known| known == row));
    assert!(shown.is_empty(), "docs/guide/errors.md has rows of its own: {shown:?}");
}
