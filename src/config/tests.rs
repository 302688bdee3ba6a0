//! Tests of the configuration: layers, errors with their place, secrets from files.

use std::path::Path;

use super::*;
use crate::config::layers::DEFAULTS;

fn load(flags: &CliOverrides, env: &[(&str, &str)]) -> Result<Config, String> {
    let env = env.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
    Config::from_layers(flags, env).map_err(|e| e.to_string())
}

fn with_file(text: &str, env: &[(&str, &str)]) -> Result<Config, String> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    let flags = CliOverrides { config: Some(file.path().to_owned()), ..CliOverrides::default() };
    load(&flags, env).map_err(|e| e.replace(file.path().to_str().unwrap(), "keyhouse.toml"))
}

#[test]
fn the_example_is_complete_and_is_the_defaults() {
    // `build` panics for a setting that the example lacks; and the example can be used as a file.
    let config = load(&CliOverrides::default(), &[]).unwrap();
    assert_eq!(config.listen.to_string(), "127.0.0.1:8080");
    assert!(matches!(&config.database, Location::Folder(folder) if folder == Path::new("./keyhouse-data")));
    assert_eq!(config.brand, None);
    assert_eq!(with_file(DEFAULTS, &[]).unwrap().listen, config.listen);
    for line in DEFAULTS.lines().filter(|line| line.contains(" = ") && !line.starts_with('#')) {
        let above = DEFAULTS[..DEFAULTS.find(&format!("\n{line}")).unwrap()].lines().last().unwrap();
        assert!(above.starts_with("# "), "`{line}` has a line of meaning above it");
    }
}

#[test]
fn flags_beat_environment_beats_file_beats_default() {
    let file = "listen = \"127.0.0.1:1\"\nlog = \"debug\"\n";
    assert_eq!(with_file(file, &[]).unwrap().listen.port(), 1);
    assert_eq!(with_file(file, &[("KEYHOUSE_LISTEN", "127.0.0.1:2")]).unwrap().listen.port(), 2);
    let flags = CliOverrides { listen: Some("127.0.0.1:3".into()), ..CliOverrides::default() };
    assert_eq!(load(&flags, &[("KEYHOUSE_LISTEN", "127.0.0.1:2")]).unwrap().listen.port(), 3);
}

#[test]
fn faults_name_their_place_and_the_nearest_right_name() {
    for (file, says) in [
        ("# a comment\nlistne = \"x\"\n", "keyhouse.toml:2: there is no setting `listne`; did you mean `listen`?"),
        ("[token]\nbrnd = \"x\"\n", "keyhouse.toml:2: there is no setting `token.brnd`; did you mean `token.brand`?"),
        ("\nlisten = 8080\n", "keyhouse.toml:2: `listen` must be of type string, not integer"),
        (
            "listen = \"8080\"\n",
            "keyhouse.toml:1: `listen`: must be an address and a port, such as 127.0.0.1:8080 or [::1]:8080",
        ),
        ("[tokens]\n", "keyhouse.toml:1: there is no section `tokens`; did you mean `token`?"),
        (
            "log = \"inof\"\n",
            "keyhouse.toml:1: `log`: `inof` is not one of error, warn, info, debug, trace, off or target=level",
        ),
        ("[cache]\nkeys = -1\n", "keyhouse.toml:2: `cache.keys` must be a number from 0 to 1000000000"),
        ("shutdown_grace_seconds = 60\n", "keyhouse.toml:1: `shutdown_grace_seconds` must be a number from 0 to 5"),
        (
            "[token]\nbrand = \"P\"\n",
            "keyhouse.toml:2: `token.brand`: a token brand has 2 to 10 characters, a-z and 0-9",
        ),
        (
            "[forward_auth]\nkey_header = \"X API Key\"\n",
            "keyhouse.toml:2: `forward_auth.key_header`: must be the name of a header, such as X-API-Key",
        ),
        (
            "[forward_auth]\nkey_header = \"X-Forwarded-Method\"\n",
            "keyhouse.toml:2: `forward_auth.key_header`: this header is reserved; choose another, such as X-API-Key",
        ),
        (
            "[forward_auth]\nenabled = 1\n",
            "keyhouse.toml:2: `forward_auth.enabled` must be of type boolean, not integer",
        ),
        (
            "[forward_auth]\nidentity_jwt = true\n",
            "keyhouse.toml:2: `forward_auth.identity_jwt` needs `forward_auth.identity_secret`; to generate one, run `openssl rand -hex 32`",
        ),
        (
            "[forward_auth]\nidentity_jwt = true\nidentity_secret = \"short\"\n",
            "keyhouse.toml:3: `forward_auth.identity_secret`: must have at least 32 characters; to generate one, run `openssl rand -hex 32`",
        ),
        (
            "trusted_proxies = [\"proxy\"]\n",
            "keyhouse.toml:1: `trusted_proxies`: \"proxy\" is neither an address nor a network such as 10.0.0.0/8",
        ),
        (
            "data = \"a\"\ndatabase_url = \"postgres://x/y\"\n",
            "keyhouse.toml:1 and keyhouse.toml:2 name two databases; leave one out",
        ),
    ] {
        assert_eq!(with_file(file, &[]).unwrap_err(), says);
    }
    assert!(with_file("listen = \n", &[]).unwrap_err().starts_with("keyhouse.toml:1: "));
    assert_eq!(
        load(&CliOverrides::default(), &[("KEYHOUSE_LISTN", "x")]).unwrap_err(),
        "the environment variable KEYHOUSE_LISTN is not a setting; did you mean KEYHOUSE_LISTEN?"
    );
    assert_eq!(
        load(&CliOverrides::default(), &[("KEYHOUSE_FORWARD_AUTH_ENABLED", "no")]).unwrap_err(),
        "the environment variable KEYHOUSE_FORWARD_AUTH_ENABLED must be true or false"
    );
    assert_eq!(
        load(&CliOverrides::default(), &[("KEYHOUSE_SHUTDOWN_GRACE_SECONDS", "two")]).unwrap_err(),
        "the environment variable KEYHOUSE_SHUTDOWN_GRACE_SECONDS must be a whole number"
    );
}

#[test]
fn kubernetes_service_links_are_ignored() {
    let links = |service: &str| {
        [
            ("SERVICE_HOST", "10.0.0.1"),
            ("SERVICE_PORT_HTTP", "80"),
            ("PORT", "tcp://10.0.0.1:80"),
            ("PORT_80_TCP", "tcp://10.0.0.1:80"),
            ("PORT_80_TCP_PORT", "80"),
            ("PORT_5353_UDP", "udp://10.0.0.1:5353"),
        ]
        .map(|(suffix, value)| (format!("{service}_{suffix}"), value.to_owned()))
    };
    for service in ["KEYHOUSE", "KEYHOUSE_REDIS", "KEYHOUSE_DATABASE_URL"] {
        let loaded = Config::from_layers(&CliOverrides::default(), links(service).into_iter());
        assert!(loaded.is_ok(), "{service}: {loaded:?}");
    }
    for (variable, value) in [("KEYHOUSE_PORT", "80"), ("KEYHOUSE_PORT_X_TCP", "x"), ("KEYHOUSE_PORT_80_TCPX", "x")] {
        assert!(load(&CliOverrides::default(), &[(variable, value)]).is_err(), "{variable}");
    }
}

#[test]
fn an_empty_value_is_an_error_and_never_another_database() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let path = file.path().to_str().unwrap();
    for text in ["", "\n", " \r\n"] {
        std::fs::write(file.path(), text).unwrap();
        for variable in ["KEYHOUSE_DATABASE_URL_FILE", "KEYHOUSE_REDIS_URL_FILE"] {
            let error = load(&CliOverrides::default(), &[(variable, path)]).unwrap_err();
            assert_eq!(error, format!("the environment variable {variable}: the file {path} is empty"));
        }
    }
    for variable in ["KEYHOUSE_DATABASE_URL", "KEYHOUSE_REDIS_URL", "KEYHOUSE_DATA", "KEYHOUSE_TRUSTED_PROXIES"] {
        let error = load(&CliOverrides::default(), &[(variable, " ")]).unwrap_err();
        assert!(error.contains(variable) && error.contains("is empty"), "{error}");
    }
    let flags = CliOverrides { database: Some(String::new()), ..CliOverrides::default() };
    assert_eq!(load(&flags, &[]).unwrap_err(), "--database is empty; give it a value, or leave it out");
}

#[test]
fn a_secret_may_come_from_a_file_and_is_never_repeated() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "postgres://u:hunter2@db/keyhouse\n").unwrap();
    let path = file.path().to_str().unwrap();
    let config = load(&CliOverrides::default(), &[("KEYHOUSE_DATABASE_URL_FILE", path)]).unwrap();
    assert!(matches!(config.database, Location::Postgres(_)));
    let shown = load(&CliOverrides::default(), &[("KEYHOUSE_DATABASE_URL", "mysql://u:hunter2@db")]).unwrap_err();
    assert!(shown.contains("KEYHOUSE_DATABASE_URL") && !shown.contains("hunter2"), "{shown}");
    for url in ["http://:hunter2@cache", "redis://:hunter2@", "redis://:hunter2@cache:port"] {
        let shown = load(&CliOverrides::default(), &[("KEYHOUSE_REDIS_URL", url)]).unwrap_err();
        assert!(shown.contains("KEYHOUSE_REDIS_URL") && !shown.contains("hunter2"), "{shown}");
    }
    let config = load(&CliOverrides::default(), &[("KEYHOUSE_REDIS_URL", "rediss://:hunter2@cache:6380/1")]).unwrap();
    assert!(config.redis.is_some() && !format!("{config:?}").contains("hunter2"));
}

#[test]
fn lists_come_from_the_environment_with_commas() {
    let config = load(&CliOverrides::default(), &[("KEYHOUSE_TRUSTED_PROXIES", "10.0.0.0/8, ::1")]).unwrap();
    assert_eq!(config.trusted_proxies.len(), 2);
}
