//! People and programs on one host: people need a session of the portal, programs a key.

use std::time::Duration;

use rstest::rstest;

use crate::client::call;
use crate::recipe::Recipe;
use crate::stand::{Stand, UNKNOWN, within};
use crate::upstream::Upstream;

const SESSION: (&str, &str) = ("Cookie", "_oauth2_proxy=good");

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn people_need_a_session_and_programs_a_key(
    #[values(Recipe::Nginx, Recipe::Caddy, Recipe::Traefik)] recipe: Recipe,
) {
    let mut stand = Stand::new(200, &[]).await;
    let portal = Upstream::portal().await;
    let front = recipe.start_for_people_and_programs(stand.serving.address, stand.upstream.address, portal.address);
    within(Duration::from_secs(20), || call(front.address, "GET", "/", &[SESSION], b"").status == 200);
    let forged =
        [("X-Keyhouse-Team", "forged"), ("X-Auth-Request-Email", "forged"), ("X_Auth_Request_Email", "forged")];
    let key = |bearer| [("Authorization", bearer), SESSION, forged[0], forged[1], forged[2]];

    // A person with a session, and one without.
    let person = call(front.address, "GET", "/orders", &[SESSION, forged[0], forged[1], forged[2]], b"");
    assert_eq!(person.status, 200);
    assert_eq!(person.received("x-auth-request-email"), ["ada@example.com"]);
    assert!(!person.json()["headers"].to_string().contains("forged"), "{}", person.json());
    assert!(person.received("x-keyhouse-team").is_empty());
    let before = stand.upstream.calls();
    for method in ["GET", "POST"] {
        let guest = call(front.address, method, "/orders", &forged, b"");
        assert_eq!(guest.status, 302, "{guest:?}");
        assert!(guest.header("location")[0].contains("/oauth2/start"), "{guest:?}");
    }
    let expired = [("Cookie", "_oauth2_proxy=expired"), ("Accept", "text/html")];
    let person = call(front.address, "GET", "/orders", &expired, b"");
    assert_eq!((person.status, person.header("www-authenticate").len()), (302, 0), "an expired session: {person:?}");
    assert_eq!(call(front.address, "GET", "/oauth2/start", &[], b"").header("x-portal"), ["sign-in"]);
    assert_eq!(stand.upstream.calls(), before);

    // A program, with a session beside the key or without: the session never counts, and no answer is a redirect.
    let program = call(front.address, "POST", "/orders", &key(&stand.writer.bearer), b"{}");
    assert_eq!(program.status, 200, "{program:?}");
    assert_eq!(program.received("x-keyhouse-key"), [stand.writer.id.as_str()]);
    assert!(program.received("x-auth-request-email").is_empty());
    assert!(!program.json()["headers"].to_string().contains("forged"), "{}", program.json());
    assert!(!program.json().to_string().contains(&stand.writer.token));
    let before = stand.upstream.calls();
    for (method, bearer, status, code) in [
        ("GET", UNKNOWN, 401, "invalid_token"),
        ("GET", &stand.revoked.bearer, 401, "invalid_token"),
        ("GET", "Basic dXNlcjpwYXNz", 401, "invalid_token"),
        ("POST", &stand.reader.bearer, 403, "scope_insufficient"),
        ("GET", &stand.spent.bearer, 429, "rate_limit_exceeded"),
    ] {
        for path in ["/orders", "/oauth2/start", "/oauth2/auth"] {
            // nginx keeps the portal's own question to itself.
            if path == "/oauth2/auth" && recipe == Recipe::Nginx {
                continue;
            }
            let refused = call(front.address, method, path, &key(bearer), b"");
            assert_eq!((refused.status, refused.code().as_str()), (status, code), "{method} {path}");
            assert!(refused.header("location").is_empty());
        }
    }
    // A browser that sends credentials of its own, as for a site with HTTP basic authentication, is not sent to sign in.
    let browser = [("Accept", "text/html"), ("Sec-Fetch-Mode", "navigate"), ("Authorization", "Basic dXNlcjpwYXNz")];
    let refused = call(front.address, "GET", "/orders", &browser, b"");
    assert_eq!((refused.status, refused.header("location").len()), (401, 0), "{refused:?}");
    assert_eq!(refused.header("www-authenticate").len(), 1);
    assert_eq!(stand.upstream.calls(), before);

    let preflight = [("Origin", "https://a.example"), ("Access-Control-Request-Method", "POST"), forged[0], forged[1]];
    let answer = call(front.address, "OPTIONS", "/orders", &preflight, b"");
    assert_eq!((answer.status, answer.header("access-control-allow-origin")), (200, vec!["*"]));
    assert!(!answer.json().to_string().contains("forged"));
    assert_eq!(call(front.address, "OPTIONS", "/orders", &preflight[..1], b"").status, 302);

    // While Keyhouse is away, people still reach the service.
    stand.serving.kill();
    let away = call(front.address, "GET", "/orders", &key(&stand.writer.bearer), b"");
    assert_eq!((away.status, away.header("location").len()), (503, 0));
    // Traefik can change the status of an answer, but not its body.
    if recipe != Recipe::Traefik {
        assert_eq!(away.code(), "service_unavailable");
    }
    assert_eq!(call(front.address, "GET", "/orders", &[SESSION], b"").status, 200);
}
