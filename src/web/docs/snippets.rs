//! The guide's cURL commands as the same request in Python, Node, Go and PHP, with highlighting.

use std::fmt::Write;

use serde_json::Value;

/// A language that examples are shown in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Language {
    #[default]
    Curl,
    Python,
    Node,
    Go,
    Php,
}

impl Language {
    pub(super) const ALL: [Self; 5] = [Self::Curl, Self::Python, Self::Node, Self::Go, Self::Php];

    pub(super) const fn label(self) -> &'static str {
        match self {
            Self::Curl => "cURL",
            Self::Python => "Python",
            Self::Node => "Node",
            Self::Go => "Go",
            Self::Php => "PHP",
        }
    }

    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Curl => "curl",
            Self::Python => "python",
            Self::Node => "node",
            Self::Go => "go",
            Self::Php => "php",
        }
    }

    pub(super) fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|language| language.as_str() == text)
    }
}

/// A request of an example. Its texts may contain the shell variables `$KEYHOUSE_URL`, `$TOKEN` and `$ID`.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Call {
    pub method: String,
    pub url: String,
    pub headers: Vec<(String, String)>,
    pub body: Option<String>,
}

impl Call {
    /// Reads a shell command of one `curl` with the options that the guide uses. Anything else is `None`.
    pub(super) fn parse(command: &str) -> Option<Self> {
        let mut words = words(command)?.into_iter();
        if words.next()? != "curl" {
            return None;
        }
        let mut call = Self::default();
        while let Some(word) = words.next() {
            match word.as_str() {
                "-X" => call.method = words.next()?,
                "-d" => call.body = Some(words.next()?),
                "-H" => {
                    let header = words.next()?;
                    let (name, value) = header.split_once(": ")?;
                    call.headers.push((name.to_owned(), value.to_owned()));
                }
                "-i" => {}
                url if url.starts_with("$KEYHOUSE_URL") && call.url.is_empty() => call.url = word,
                _ => return None,
            }
        }
        if call.method.is_empty() {
            call.method = if call.body.is_some() { "POST" } else { "GET" }.to_owned();
        }
        (!call.url.is_empty()).then_some(call)
    }

    /// The request as source text.
    pub(super) fn source(&self, language: Language) -> String {
        match language {
            Language::Curl => self.curl(),
            Language::Python => self.python(),
            Language::Node => self.node(),
            Language::Go => self.go(),
            Language::Php => self.php(),
        }
    }

    fn curl(&self) -> String {
        let implied = if self.body.is_some() { "POST" } else { "GET" };
        let method = if self.method == implied { String::new() } else { format!("-X {} ", self.method) };
        let mut text = format!("curl {method}\"{}\"", self.url);
        for (name, value) in &self.headers {
            let _infallible = write!(text, " \\\n  -H \"{name}: {value}\"");
        }
        if let Some(body) = &self.body {
            let _infallible = write!(text, " \\\n  -d '{body}'");
        }
        text.push('\n');
        text
    }

    fn python(&self) -> String {
        let string = |text: &str| match has_variable(text) {
            true => format!("f\"{}\"", with_variables(text, |name| format!("{{os.environ['{name}']}}"))),
            false => quoted(text),
        };
        let mut text = format!(
            "import os\n\nimport requests\n\nresponse = requests.{}(\n    {},\n    headers={{\n",
            self.method.to_lowercase(),
            string(&self.url)
        );
        for (name, value) in self.headers.iter().filter(|(name, _)| name != "Content-Type") {
            let _infallible = writeln!(text, "        {}: {},", quoted(name), string(value));
        }
        text.push_str("    },\n");
        if let Some(body) = self.json() {
            let fields: Vec<_> = body
                .iter()
                .map(|(name, value)| format!("        {}: {},\n", quoted(name), python_literal(value)))
                .collect();
            let _infallible = write!(text, "    json={{\n{}    }},\n", fields.concat());
        }
        text.push_str("    timeout=10,\n)\nprint(response.status_code, response.json())\n");
        text
    }

    fn node(&self) -> String {
        let string = |text: &str| match has_variable(text) {
            true => format!("`{}`", with_variables(text, |name| format!("${{process.env.{name}}}"))),
            false => quoted(text),
        };
        let mut text = format!("const response = await fetch({}, {{\n", string(&self.url));
        if self.method != "GET" {
            let _infallible = writeln!(text, "  method: {},", quoted(&self.method));
        }
        text.push_str("  headers: {\n");
        for (name, value) in &self.headers {
            let name = if name.contains('-') { quoted(name) } else { name.clone() };
            let _infallible = writeln!(text, "    {name}: {},", string(value));
        }
        text.push_str("  },\n");
        if let Some(body) = self.json() {
            let fields: Vec<_> = body.iter().map(|(name, value)| format!("    {name}: {value},\n")).collect();
            let _infallible = write!(text, "  body: JSON.stringify({{\n{}  }}),\n", fields.concat());
        }
        text.push_str("});\nconsole.log(response.status, await response.json());\n");
        text
    }

    fn go(&self) -> String {
        let string = |text: &str| concatenated(text, " + ", |name| format!("os.Getenv(\"{name}\")"));
        let body = self.body.as_ref().map_or("nil".to_owned(), |body| format!("strings.NewReader(`{body}`)"));
        let strings = if self.body.is_some() { "\t\"strings\"\n" } else { "" };
        let mut text = format!(
            "package main\n\nimport (\n\t\"fmt\"\n\t\"io\"\n\t\"net/http\"\n\t\"os\"\n{strings})\n\nfunc main() {{\n\t\
             request, err := http.NewRequest({}, {}, {body})\n\tif err != nil {{\n\t\tpanic(err)\n\t}}\n",
            quoted(&self.method),
            string(&self.url),
        );
        for (name, value) in &self.headers {
            let _infallible = writeln!(text, "\trequest.Header.Set({}, {})", quoted(name), string(value));
        }
        text.push_str(
            "\tresponse, err := http.DefaultClient.Do(request)\n\tif err != nil {\n\t\tpanic(err)\n\t}\n\tdefer \
             response.Body.Close()\n\tbody, err := io.ReadAll(response.Body)\n\tif err != nil {\n\t\tpanic(err)\n\t}\n\t\
             fmt.Println(response.Status, string(body))\n}\n",
        );
        text
    }

    fn php(&self) -> String {
        let string = |text: &str| concatenated(text, " . ", |name| format!("getenv(\"{name}\")"));
        let mut text = format!("<?php\n$request = curl_init({});\ncurl_setopt_array($request, [\n", string(&self.url));
        if self.method != "GET" {
            let _infallible = writeln!(text, "    CURLOPT_CUSTOMREQUEST => {},", quoted(&self.method));
        }
        text.push_str("    CURLOPT_RETURNTRANSFER => true,\n    CURLOPT_HTTPHEADER => [\n");
        for (name, value) in &self.headers {
            let _infallible = writeln!(text, "        {},", string(&format!("{name}: {value}")));
        }
        text.push_str("    ],\n");
        if let Some(body) = &self.body {
            let _infallible = writeln!(text, "    CURLOPT_POSTFIELDS => '{body}',");
        }
        text.push_str("]);\n$body = curl_exec($request);\necho curl_getinfo($request, CURLINFO_RESPONSE_CODE), \" \", $body, \"\\n\";\n");
        text
    }

    /// The fields of the body, where it is a JSON object.
    fn json(&self) -> Option<serde_json::Map<String, Value>> {
        serde_json::from_str(self.body.as_deref()?).ok()
    }
}

/// Splits a command as a shell does: at white space outside quotes, with `\` before a line's end. `None` for a script.
fn words(command: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut quote = None;
    let command = command.trim().replace("\\\n", " ");
    for c in command.chars() {
        match (quote, c) {
            (None, '"' | '\'') => quote = Some(c),
            (Some(open), c) if c == open => quote = None,
            (None, ' ') if word.is_empty() => {}
            (None, ' ') => words.push(std::mem::take(&mut word)),
            (None, '\n' | '|' | ';' | '>' | '<' | '`') | (Some('"'), '\\' | '`') => return None,
            (_, c) => word.push(c),
        }
    }
    words.push(word);
    quote.is_none().then_some(words)
}

const VARIABLES: [&str; 2] = ["TOKEN", "ID"];

fn has_variable(text: &str) -> bool {
    VARIABLES.iter().any(|name| text.contains(&format!("${name}")))
}

/// The text with each variable written as `write` says.
fn with_variables(text: &str, write: impl Fn(&str) -> String) -> String {
    VARIABLES.iter().fold(text.to_owned(), |text, name| text.replace(&format!("${name}"), &write(name)))
}

/// String literals and variables joined by an operator, for languages whose literals hold no variables.
fn concatenated(text: &str, operator: &str, write: impl Fn(&str) -> String) -> String {
    let marked = with_variables(text, |name| format!("\0\x01{name}\0"));
    let parts = marked.split('\0').filter(|part| !part.is_empty());
    let parts: Vec<_> = parts.map(|part| part.strip_prefix('\x01').map_or_else(|| quoted(part), &write)).collect();
    parts.join(operator)
}

fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

fn python_literal(value: &Value) -> String {
    match value {
        Value::Null => "None".to_owned(),
        Value::Bool(true) => "True".to_owned(),
        Value::Bool(false) => "False".to_owned(),
        other => other.to_string(),
    }
}

const KEYWORDS: [&str; 22] = [
    "curl", "export", "keyhouse", "import", "print", "const", "await", "fetch", "package", "func", "if", "defer",
    "echo", "true", "false", "null", "nil", "None", "True", "False", "for", "from",
];

/// HTML of source text: strings, numbers, keywords and comments in spans of the classes `s`, `n`, `k` and `c`; in JSON the
/// names of fields are `k`.
pub(super) fn highlight(source: &str) -> String {
    let mut html = String::with_capacity(source.len() * 2);
    let mut rest = source;
    let mut before = '\n';
    while let Some(c) = rest.chars().next() {
        let starts_word = !before.is_alphanumeric() && before != '_' && before != '-' && before != '.' && before != '$';
        let (class, length) = match c {
            '"' | '\'' | '`' if before != '\\' => match string_length(rest, c) {
                Some(length) => {
                    let is_name = rest[length..].starts_with("\": ") || rest[length..].starts_with(':');
                    (if is_name { "k" } else { "s" }, length)
                }
                None => ("", c.len_utf8()),
            },
            '#' if before.is_whitespace() => ("c", line_length(rest)),
            '/' if rest.starts_with("// ") => ("c", line_length(rest)),
            c if c.is_ascii_digit() && starts_word => {
                let length = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
                let is_number =
                    !rest[length..].starts_with(|c: char| c.is_alphanumeric() || c == '-' || c == ':' || c == '/');
                (if is_number { "n" } else { "" }, length)
            }
            c if c.is_ascii_alphabetic() && starts_word => {
                let length = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
                let is_word = KEYWORDS.contains(&&rest[..length]) && !rest[length..].starts_with(['=', ':', '/']);
                (if is_word { "k" } else { "" }, length)
            }
            c => ("", c.len_utf8()),
        };
        let (text, after) = rest.split_at(length);
        match class {
            "" => escape_into(&mut html, text),
            class => {
                let _infallible = write!(html, "<span class=\"{class}\">");
                escape_into(&mut html, text);
                html.push_str("</span>");
            }
        }
        before = text.chars().last().unwrap_or(before);
        rest = after;
    }
    html
}

/// The length of the string literal at the start of a text, quotes included.
fn string_length(text: &str, quote: char) -> Option<usize> {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if c == quote => return Some(at + 1),
            '\n' if quote != '`' => return None,
            _ => {}
        }
    }
    None
}

fn line_length(text: &str) -> usize {
    text.find('\n').unwrap_or(text.len())
}

/// Appends text with the characters that HTML reserves escaped.
pub(super) fn escape_into(html: &mut String, text: &str) {
    for c in text.chars() {
        match c {
            '&' => html.push_str("&amp;"),
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            '"' => html.push_str("&quot;"),
            c => html.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CREATE: &str = "curl \"$KEYHOUSE_URL/api/v1/products\" \\\n  -H \"Authorization: Bearer $TOKEN\" \\\n  -H \
                          \"Content-Type: application/json\" \\\n  -d '{\"name\": \"Vane\", \"sku\": null}'\n";

    #[test]
    fn a_curl_command_is_read_and_written_back_unchanged() {
        let call = Call::parse(CREATE).unwrap();
        assert_eq!((call.method.as_str(), call.headers.len()), ("POST", 2));
        assert_eq!(call.source(Language::Curl), CREATE);
    }

    #[test]
    fn a_script_is_not_read_as_one_request() {
        for script in ["for n in 1 2; do\n  curl $KEYHOUSE_URL/\ndone", "export TOKEN=x", "curl -o x $KEYHOUSE_URL/"] {
            assert_eq!(Call::parse(script), None, "{script}");
        }
    }

    #[test]
    fn variables_are_read_from_the_environment_in_every_language() {
        let call =
            Call::parse("curl -X DELETE \"$KEYHOUSE_URL/api/v1/products/$ID\" -H \"Authorization: Bearer $TOKEN\"");
        let call = call.unwrap();
        for (language, line) in [
            (Language::Python, "\"Authorization\": f\"Bearer {os.environ['TOKEN']}\","),
            (Language::Node, "await fetch(`$KEYHOUSE_URL/api/v1/products/${process.env.ID}`, {"),
            (Language::Go, "request.Header.Set(\"Authorization\", \"Bearer \" + os.Getenv(\"TOKEN\"))"),
            (Language::Php, "curl_init(\"$KEYHOUSE_URL/api/v1/products/\" . getenv(\"ID\"));"),
        ] {
            assert!(call.source(language).contains(line), "{}", call.source(language));
        }
    }

    #[test]
    fn highlighting_escapes_and_marks_names_strings_and_numbers() {
        let html = highlight("{\"a<b\": 1.5, \"c\": \"d&e\"}");
        assert_eq!(
            html,
            "{<span class=\"k\">&quot;a&lt;b&quot;</span>: <span class=\"n\">1.5</span>, <span \
             class=\"k\">&quot;c&quot;</span>: <span class=\"s\">&quot;d&amp;e&quot;</span>}"
        );
    }
}
