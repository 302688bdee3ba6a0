//! A short name for a browser, from its `User-Agent` header: so that people recognise their own sessions, and for nothing
//! else.

/// `Firefox on Linux`; `A browser` for an unknown header.
pub(super) fn describe(user_agent: &str) -> &'static str {
    macro_rules! browsers {
        ($($token:literal => $name:literal),* $(,)?) => {
            &[$(($token, [
                concat!($name, " on Windows"), concat!($name, " on Android"), concat!($name, " on iPhone"),
                concat!($name, " on iPad"), concat!($name, " on Mac"), concat!($name, " on Linux"), $name,
            ])),*]
        };
    }
    // In order: most browsers also name Chrome and Safari, and on iOS every browser names Safari.
    const BROWSERS: &[(&str, [&str; 7])] = browsers! {
        "Edg" => "Edge", "OPR/" => "Opera", "Firefox/" => "Firefox", "FxiOS/" => "Firefox", "CriOS/" => "Chrome",
        "Chrome/" => "Chrome", "Safari/" => "Safari", "curl/" => "curl", "" => "A browser",
    };
    let systems = ["Windows", "Android", "iPhone", "iPad", "Mac OS", "Linux"];
    let system = systems.iter().position(|system| user_agent.contains(system)).unwrap_or(systems.len());
    BROWSERS.iter().find(|(token, _)| user_agent.contains(token)).map_or("A browser", |(_, names)| names[system])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn browsers_are_named_by_their_own_token() {
        for (user_agent, name) in [
            ("Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/156.0 Safari/537.36", "Chrome on Linux"),
            (
                "Mozilla/5.0 (Windows NT 10.0) AppleWebKit/537.36 Chrome/156.0 Safari/537.36 Edg/156.0",
                "Edge on Windows",
            ),
            ("Mozilla/5.0 (Macintosh; Intel Mac OS X 14) Version/19 Safari/605", "Safari on Mac"),
            (
                "Mozilla/5.0 (iPhone; CPU iPhone OS 19_0 like Mac OS X) AppleWebKit/605.1 CriOS/156.0 Mobile Safari/604.1",
                "Chrome on iPhone",
            ),
            (
                "Mozilla/5.0 (iPad; CPU OS 19_0 like Mac OS X) AppleWebKit/605.1 FxiOS/150.0 Mobile Safari/605.1",
                "Firefox on iPad",
            ),
            ("curl/8.14", "curl"),
            ("", "A browser"),
        ] {
            assert_eq!(describe(user_agent), name);
        }
    }
}
