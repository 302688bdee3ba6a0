//! Parses the text of `/metrics`.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use keyhouse::app::App;

/// Every sample by its name with labels, as in the text.
#[derive(Debug, Default)]
pub struct Metrics(BTreeMap<String, f64>);

impl Metrics {
    pub fn read(address: SocketAddr) -> Self {
        let mut socket = TcpStream::connect(address).expect("the metrics listener accepts");
        let request = "GET /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
        socket.write_all(request.as_bytes()).expect("the request can be sent");
        let mut text = String::new();
        socket.read_to_string(&mut text).expect("a response");
        Self::parse(text.split_once("\r\n\r\n").map_or("", |(_, body)| body))
    }

    pub fn of(app: &App) -> Self {
        Self::parse(&app.metrics_text().expect("the metrics can be written"))
    }

    pub fn parse(text: &str) -> Self {
        let samples = text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| {
            let (name, value) = line.rsplit_once(' ')?;
            Some((name.to_owned(), value.parse().ok()?))
        });
        Self(samples.collect())
    }

    pub fn value(&self, name: &str) -> Option<f64> {
        self.0.get(name).copied()
    }

    /// The sum over all labels; `None` if there is no such metric.
    pub fn sum(&self, name: &str) -> Option<f64> {
        let labelled = format!("{name}{{");
        let is_it = |known: &str| known == name || known.starts_with(&labelled);
        let mut values = self.0.iter().filter(|(known, _)| is_it(known)).map(|(_, value)| value).peekable();
        values.peek()?;
        Some(values.sum())
    }

    /// The upper bound of the bucket that contains this quantile; `None` without observations.
    pub fn quantile(&self, name: &str, share: f64) -> Option<f64> {
        let buckets = self.0.iter().filter_map(|(known, count)| {
            let bound = known.strip_prefix(name)?.strip_prefix("_bucket{")?.split("le=\"").nth(1)?.split('"').next()?;
            Some((bound.replace("+Inf", "inf").parse::<f64>().ok()?, *count))
        });
        let mut buckets: Vec<_> = buckets.collect();
        buckets.sort_by(|one, other| one.0.total_cmp(&other.0));
        let all = buckets.last().map(|(_, count)| *count).filter(|count| *count > 0.0)?;
        buckets.into_iter().find(|(_, count)| *count >= share * all).map(|(bound, _)| bound)
    }
}
