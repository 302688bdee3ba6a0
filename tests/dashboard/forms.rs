//! Forms: for whom they act, and what becomes of what was typed.

use rstest::rstest;
use std::time::Duration;

use super::{PASSWORD, between, faults};
use test_support::{Answer, Engine, TestApp, assert_text};

const KEYS: &str = "/t/acme/settings/integrations/api-keys";
const MINUTE: Duration = Duration::from_secs(60);

/// The hidden fields of a page's own form, unescaped. The sidebar has forms of its own.
fn hidden_fields(page: &Answer) -> Vec<(String, String)> {
    let main = page.text().split_once("<main").map_or("", |(_, main)| main);
    let inputs = main.split("<input type=\"hidden\" name=\"").skip(1);
    inputs
        .map(|rest| {
            let (name, rest) = rest.split_once("\" value=\"").expect("a value");
            let value = rest.split('"').next().unwrap_or_default();
            (name.to_owned(), unescape(value))
        })
        .collect()
}

fn unescape(text: &str) -> String {
    text.replace("&#34;", "\"").replace("&#39;", "'").replace("&#60;", "<").replace("&#62;", ">").replace("&#38;", "&")
}

fn header_bytes(answer: &Answer) -> usize {
    let lines = answer.headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4);
    "HTTP/1.1 303 See Other\r\n".len() + lines.sum::<usize>() + 2
}

/// Sends a page's form, with more fields.
async fn send_on(app: &TestApp, cookie: &str, path: &str, page: &Answer, more: &[(&str, &str)]) -> Answer {
    let hidden = hidden_fields(page);
    let hidden: Vec<_> = hidden.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    app.call("POST", path).cookie(cookie).form(&[&hidden[..], more].concat()).await
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_form_does_nothing_under_the_session_of_another_person(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let app = TestApp::on(engine).await;
    let ada = app.set_up().await;
    let bob = app.join(&ada, "Bob", "admin").await;
    let (ada_id, bob_id) = (app.person_id(&ada).await.unwrap(), app.person_id(&bob).await.unwrap());
    let key = app.send(&ada, &format!("{KEYS}/new"), &[("name", "K"), ("mode", "test"), ("scope", "read_only")]).await;
    let key = between(key.text(), "?key=", "\"").to_owned();
    let member = format!("/t/acme/settings/members/{bob_id}");
    let forms: [(&str, &[(&str, &str)]); 11] = [
        ("/account", &[("do", "profile"), ("name", "Ada L"), ("email", "ada.l@example.com")]),
        ("/account", &[("do", "sign_out_everywhere")]),
        ("/sign-out", &[]),
        ("/t/acme/leave", &[]),
        (&format!("{KEYS}/new"), &[("name", "Mine"), ("mode", "test"), ("scope", "read_only")]),
        (&format!("{KEYS}/{key}/rename"), &[("name", "Renamed")]),
        (&format!("{KEYS}/{key}/revoke"), &[]),
        ("/t/acme/settings", &[("name", "Other")]),
        ("/t/acme/settings/members/invite", &[("email", "x@example.com"), ("role", "member")]),
        ("/t/acme/products/new", &[("name", "P"), ("unitPrice", "1"), ("currency", "EUR")]),
        (&format!("{member}/role"), &[("role", "member")]),
    ];
    for (path, fields) in forms {
        // Ada's form, Bob's cookie; then a form without a person.
        for owner in [&[("for", ada_id.as_str())][..], &[]] {
            let refused = app.call("POST", path).cookie(&bob).form(&[fields, owner].concat()).await;
            assert_eq!(refused.status, 409, "{path}");
            assert!(refused.text().contains("You are signed in as Bob"), "{path}");
        }
    }
    let audit = app.page(&ada, "/t/acme/settings/audit").await;
    for done in
        ["Changed their profile", "Signed out", "Renamed", "Revoked a key", "Left the team", "Created a product"]
    {
        assert!(!audit.text().contains(&format!(">{done}</span>")), "{done}");
    }
    // Nor in a team that only the first person is in.
    let eve = app.team("Globex").await;
    let outsider = app.browser("owner@globex.example").await;
    assert_eq!(eve.slug.as_str(), "globex");
    let refused = app.call("POST", "/t/acme/settings").cookie(&outsider).form(&[("for", &ada_id), ("name", "X")]).await;
    assert_eq!(refused.status, 409);
}

#[test]
fn every_form_that_is_posted_says_for_whom_it_is() {
    let templates = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("templates");
    for entry in std::fs::read_dir(templates).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        // These keep the fields of another form, or belong to any person who opens them.
        if ["confirm.html", "continue.html", "leaks.html", "sign_in.html", "link.html"].contains(&name.as_str()) {
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        for form in text.split("<form method=\"post\"").skip(1) {
            let form = form.split("</form>").next().unwrap();
            assert!(form.contains("name=\"for\" value=\"{{ layout.person_id }}\""), "{name}");
        }
    }
}

#[rstest]
#[case::short("Back end", 60)]
#[case::long_and_outside_ascii("ßж🔑", 2000)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_form_survives_the_end_of_its_session(
    #[case] text: &str,
    #[case] length: usize,
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let app = TestApp::on(engine).await;
    let ada = app.set_up().await;
    let ada_id = app.person_id(&ada).await.unwrap();
    let description: String = text.chars().cycle().take(length).collect();
    let path = "/t/acme/products/new?mode=test";
    let fields = [("name", "Vane"), ("unitPrice", "1"), ("currency", "EUR"), ("description", &description)];
    app.send(&ada, "/sign-out", &[]).await;
    let cut = app.call("POST", path).cookie(&ada).form(&[&fields[..], &[("for", &ada_id)]].concat()).await;
    assert_eq!((cut.status.as_u16(), cut.header("location")), (403, None));
    assert!(cut.text().contains("nothing was created or changed"));
    assert!(header_bytes(&cut) <= 3072);
    let wrong = send_on(&app, "none=1", "/sign-in", &cut, &[("email", "ada@example.com"), ("password", "wrong")]).await;
    assert_eq!(wrong.status, 422);
    let right = [("email", "ada@example.com"), ("password", PASSWORD)];
    let back = send_on(&app, "none=1", "/sign-in", &wrong, &right).await;
    assert_eq!(back.status, 200);
    assert!(header_bytes(&back) <= 3072);
    let action = unescape(between(back.text(), "<form method=\"post\" action=\"", "\""));
    assert_eq!(action, path);
    let done = send_on(&app, &back.cookie().unwrap(), &action, &back, &[]).await;
    assert_eq!(done.location(), "/t/acme/products?mode=test&done=created");
    let list = app.page(&back.cookie().unwrap(), done.location()).await;
    let product = between(list.text(), "<a class=\"ink\" href=\"", "\"");
    let product = app.page(&back.cookie().unwrap(), &unescape(product)).await;
    assert!(product.text().contains(&description), "{product}");
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kept_form_acts_for_its_own_person_alone(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let app = TestApp::on(engine).await;
    let ada = app.set_up().await;
    app.join(&ada, "Bob", "admin").await;
    let ada_id = app.person_id(&ada).await.unwrap();
    let profile = [("do", "profile"), ("name", "Ada Lovelace"), ("email", "ada@example.com"), ("for", &ada_id)];
    let cut = app.call("POST", "/account").form(&profile).await;
    let bob = [("email", "bob@example.com"), ("password", PASSWORD)];
    let back = send_on(&app, "none=1", "/sign-in", &cut, &bob).await;
    let refused = send_on(&app, &back.cookie().unwrap(), "/account", &back, &[]).await;
    assert!(refused.status == 409 && refused.text().contains("You are signed in as Bob"), "{refused}");

    let ada_again = [("email", "ada@example.com"), ("password", PASSWORD)];
    let back = send_on(&app, "none=1", "/sign-in", &cut, &ada_again).await;
    let done = send_on(&app, &back.cookie().unwrap(), "/account", &back, &[]).await;
    assert_eq!(done.location(), "/account?done=profile");
    assert!(app.page(&back.cookie().unwrap(), "/account").await.text().contains("Ada Lovelace"));
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn passwords_and_tokens_are_never_sent_back(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let app = TestApp::on(engine).await;
    app.set_up().await;
    let change = [("do", "password"), ("password", PASSWORD), ("new_password", "green kettle slow train")];
    let cut = app.call("POST", "/account").form(&change).await;
    assert!(!cut.text().contains(PASSWORD) && !cut.text().contains("green kettle"));
    assert!(cut.text().contains("fill in the form again"));
    let right = [("email", "ada@example.com"), ("password", PASSWORD)];
    let back = send_on(&app, "none=1", "/sign-in", &cut, &right).await;
    assert_eq!(back.location(), "/account", "the page, not half a form");
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_page_has_more_than_three_kibibytes_of_headers(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let app = TestApp::on(engine).await;
    let ada = app.set_up().await;
    let long = "%F0%9F%94%91".repeat(600);
    for path in [
        format!("/account?x={long}"),
        format!("/t/{long}"),
        format!("/t/acme/products?q={long}"),
        format!("/t/acme/products?status={long}&after=00000000-0000-4000-8000-000000000000"),
        format!("/sign-in?next=/{long}"),
        format!("/link/{long}"),
    ] {
        for answer in [app.get(&path).await, app.page(&ada, &path).await] {
            assert!(header_bytes(&answer) <= 3072, "{path}: {}", header_bytes(&answer));
        }
    }
    let next = format!("/{}", "x".repeat(50_000));
    let right = [("email", "ada@example.com"), ("password", PASSWORD), ("next", &next)];
    assert_eq!(app.call("POST", "/sign-in").form(&right).await.location(), "/");
    for elsewhere in ["https://evil.example", "//evil.example", "/\\evil.example"] {
        let right = [("email", "ada@example.com"), ("password", PASSWORD), ("next", elsewhere)];
        assert_eq!(app.call("POST", "/sign-in").form(&right).await.location(), "/", "{elsewhere}");
    }
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_gives_power_needs_a_recent_password_and_what_takes_it_does_not(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let app = TestApp::on(engine).await;
    let ada = app.set_up().await;
    let live = app.send(&ada, &format!("{KEYS}/new"), &[("name", "K"), ("mode", "live"), ("scope", "read_only")]).await;
    let live = between(live.text(), "?key=", "\"").to_owned();
    let ann = app.person_id(&app.join(&ada, "Ann", "admin").await).await.unwrap();
    let max = app.person_id(&app.join(&ada, "Max", "manager").await).await.unwrap();
    let mia = app.person_id(&app.join(&ada, "Mia", "member").await).await.unwrap();
    app.advance(16 * MINUTE);
    let members = "/t/acme/settings/members";
    let asks: [(&str, &[(&str, &str)]); 7] = [
        (&format!("{KEYS}/new"), &[("name", "L"), ("mode", "live"), ("scope", "read_only")]),
        (&format!("{members}/invite"), &[("email", "x@example.com"), ("role", "admin")]),
        (&format!("{members}/{max}/role"), &[("role", "admin")]),
        (&format!("{members}/{ann}/remove"), &[("keys", "keep")]),
        (&format!("{members}/{max}/hand-over"), &[]),
        ("/t/acme/settings/delete", &[("name", "Acme")]),
        ("/account", &[("do", "profile"), ("name", "Ada"), ("email", "ada2@example.com")]),
    ];
    for (path, fields) in asks {
        let asked = app.send(&ada, path, fields).await;
        assert!(asked.status == 403 && asked.text().contains("Confirm it’s you"), "{path}: {asked}");
        for (name, value) in fields {
            let kept = format!(r#"name="{name}" value="{value}""#);
            assert!(asked.text().contains(&kept), "{path}: {kept} in {asked}");
        }
        let wrong = app.send(&ada, path, &[fields, &[("confirm_password", "wrong")]].concat()).await;
        assert_eq!(faults(&wrong), ["Wrong password."], "{path}");
    }
    // One wrong password after the other: now the person is throttled, and can still revoke.
    for _ in 0..4 {
        app.send(&ada, asks[0].0, &[asks[0].1, &[("confirm_password", "wrong")]].concat()).await;
    }
    let throttled = app.send(&ada, asks[0].0, &[asks[0].1, &[("confirm_password", PASSWORD)]].concat()).await;
    assert_eq!(throttled.status, 429);
    let free: [(&str, &[(&str, &str)]); 5] = [
        (&format!("{KEYS}/{live}/revoke"), &[("name", "K")]),
        (&format!("{members}/{max}/role"), &[("role", "member")]),
        (&format!("{members}/{mia}/remove"), &[("keys", "revoke")]),
        (&format!("{members}/{ann}/role"), &[("role", "manager")]),
        (&format!("{members}/{ann}/remove"), &[("keys", "keep")]),
    ];
    for (path, fields) in free {
        assert_eq!(app.send(&ada, path, fields).await.status, 303, "{path}");
    }
    let invited = app.send(&ada, &format!("{members}/invite"), &[("email", "y@example.com"), ("role", "member")]).await;
    assert_eq!(invited.status, 200);
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_confirmation_that_does_not_match_keeps_what_was_typed(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let app = TestApp::on(engine).await;
    let ada = app.set_up().await;
    let wrong = app.send(&ada, "/t/acme/settings/delete", &[("name", "Acmee")]).await;
    assert_text!(faults(&wrong).join("\n"), @"That doesn’t match the team’s name.");
    assert!(wrong.text().contains(r#"name="name" value="Acmee""#));
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_that_a_colleague_changed_is_not_overwritten_unseen(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let app = TestApp::on(engine).await;
    let ada = app.set_up().await;
    let ann = app.join(&ada, "Ann", "admin").await;
    let key = app.send(&ada, &format!("{KEYS}/new"), &[("name", "K"), ("mode", "test"), ("scope", "read_only")]).await;
    let rename = format!("{KEYS}/{}/rename", between(key.text(), "?key=", "\""));
    let max = app.person_id(&app.join(&ada, "Max", "manager").await).await.unwrap();
    let role = format!("/t/acme/settings/members/{max}/role");
    let forms: [(&str, &str, [&str; 3]); 3] = [
        (&rename, "name", ["K", "Ann's", "Ada's"]),
        ("/t/acme/settings", "name", ["Acme", "Ann & Co", "Ada & Co"]),
        (&role, "role", ["manager", "member", "manager"]),
    ];
    for (path, field, [old, theirs, mine]) in forms {
        let opened = app.page(&ada, path).await;
        let version = unescape(between(opened.text(), "name=\"version\" value=\"", "\""));
        assert_eq!(version, old, "{path}");
        assert_eq!(app.send(&ann, path, &[(field, theirs), ("version", old)]).await.status, 303, "{path}");
        // With an error in between, and without.
        for value in ["", mine] {
            let refused = app.send(&ada, path, &[(field, value), ("version", &version)]).await;
            assert!(
                refused.status == 422 && refused.text().contains("since you opened this page"),
                "{path}: {refused}"
            );
        }
        let shown = app.send(&ada, path, &[(field, mine), ("version", &version)]).await;
        assert!(shown.text().contains("since you opened this page"), "{shown}");
        let version = unescape(between(shown.text(), "name=\"version\" value=\"", "\""));
        assert_eq!(version, theirs, "{path}");
        assert_eq!(app.send(&ada, path, &[(field, mine), ("version", &version)]).await.status, 303, "{path}");
    }
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn conditions_and_a_lifetime_that_a_colleague_changed_are_not_overwritten_unseen(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let app = TestApp::on(engine).await;
    let ada = app.set_up().await;
    let ann = app.join(&ada, "Ann", "admin").await;
    let key = app.send(&ada, &format!("{KEYS}/new"), &[("name", "K"), ("mode", "test"), ("scope", "read_only")]).await;
    let conditions = format!("{KEYS}/{}/conditions", between(key.text(), "?key=", "\""));
    let forms = [
        (conditions.as_str(), "allowed", ["never ", "203.0.113.0/24", "never 203.0.113.0/24", "198.51.100.7"]),
        ("/t/acme/settings", "lifetime", ["none", "90", "90", "30"]),
    ];
    for (path, field, [old, theirs, their_version, mine]) in forms {
        let version_in = |page: &Answer| {
            let form = page.text().rsplit("value=\"lifetime\">").next().unwrap_or_default();
            between(form, "name=\"version\" value=\"", "\"").to_owned()
        };
        let save = async |person: &str, value: &str, version: &str| {
            let fields =
                [("setting", "lifetime"), ("step", "save"), ("seen", value), (field, value), ("version", version)];
            app.send(person, path, &fields).await
        };
        let version = version_in(&app.page(&ada, path).await);
        assert_eq!(version, old, "{path}");
        assert_eq!(save(&ann, theirs, &version).await.status, 303, "{path}");
        // With an error in between, and without.
        for value in ["x", mine] {
            let refused = save(&ada, value, &version).await;
            assert!(
                refused.status == 422 && refused.text().contains("since you opened this page"),
                "{path}: {refused}"
            );
        }
        let shown = save(&ada, mine, &version).await;
        assert!(shown.text().contains(mine), "what was typed stays: {shown}");
        let version = version_in(&shown);
        assert_eq!(version, their_version, "{path}");
        assert_eq!(save(&ada, mine, &version).await.status, 303, "{path}");
    }
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_key_of_one_name_is_warned_about_once(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let app = TestApp::on(engine).await;
    let ada = app.set_up().await;
    let path = format!("{KEYS}/new");
    let fields = [("name", "Staging"), ("mode", "test"), ("scope", "read_only")];
    assert_eq!(app.send(&ada, &path, &fields).await.status, 200);
    let warned = app.send(&ada, &path, &fields).await;
    assert!(warned.status == 422 && warned.text().contains("Another active key is called"), "{warned}");
    let same_name = between(warned.text(), "name=\"same_name\" value=\"", "\"");
    assert_eq!(app.send(&ada, &path, &[&fields[..], &[("same_name", same_name)]].concat()).await.status, 200);

    let other = app.send(&ada, &path, &[("name", "Other"), ("mode", "test"), ("scope", "read_only")]).await;
    let id = between(other.text(), "data-list=\"/t/acme/settings/integrations/api-keys?key=", "\"");
    let rename = format!("{KEYS}/{id}/rename");
    let fields = [("name", "Staging"), ("version", "Other")];
    let warned = app.send(&ada, &rename, &fields).await;
    assert!(warned.status == 422 && warned.text().contains("or rename the key anyway"), "{warned}");
    let same_name = between(warned.text(), "name=\"same_name\" value=\"", "\"");
    assert_eq!(app.send(&ada, &rename, &[&fields[..], &[("same_name", same_name)]].concat()).await.status, 303);
    let unchanged = app.send(&ada, &rename, &[("name", "Staging"), ("version", "Staging")]).await;
    assert_eq!(unchanged.status, 303, "a name that is not changed needs no warning");
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_public_url_links_begin_with_the_origin_of_the_form(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let app = TestApp::on(engine).await;
    let ada = app.set_up().await;
    let owner = app.person_id(&ada).await.unwrap();
    let invite = |origin: &'static str| {
        let fields = [("email", "x@example.com"), ("role", "member"), ("for", owner.as_str())];
        let call = app.call("POST", "/t/acme/settings/members/invite").cookie(&ada).form(&fields);
        async move { call.header("origin", origin).await }
    };
    assert!(invite("https://keys.example.com").await.text().contains("https://keys.example.com/link/"));
    assert!(app.page(&ada, "/t/acme/settings").await.text().contains("<code>public_url</code> is not set"));
    assert!(app.get("/docs").await.text().contains("http://keyhouse.test/api/v1"));
}
