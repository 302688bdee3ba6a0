//! Writes that are refused before their body is read, by common clients, directly and through proxies: the refusal
//! arrives, and the next call on the same connection pool succeeds.

use std::net::SocketAddr;
use std::process::Command;

use rstest::rstest;
use test_support::TestDatabase;
use test_support::balancer::Balancer;
use test_support::nginx::{Nginx, Upstream};
use test_support::process::ServerProcess;

use super::{demo, here, token, tool};

#[derive(Debug, Clone, Copy)]
enum Client {
    Requests,
    Httpx,
    Aiohttp,
    Axios,
}

const CLIENTS: [Client; 4] = [Client::Requests, Client::Httpx, Client::Aiohttp, Client::Axios];

#[derive(Debug, Clone, Copy)]
enum Path {
    Direct,
    NginxPooled,
    NginxPerRequest,
    HaProxy,
}

/// What the client reports as wrong; empty if nothing is.
fn report(client: Client, serving: &ServerProcess, address: SocketAddr) -> String {
    let mut command = match client {
        Client::Axios => Command::new(tool("bin/node")),
        _ => Command::new(tool("python/bin/python")),
    };
    match client {
        Client::Axios => command.arg(here("refused_writes.mjs")),
        Client::Requests => command.arg(here("refused_writes.py")).arg("requests"),
        Client::Httpx => command.arg(here("refused_writes.py")).arg("httpx"),
        Client::Aiohttp => command.arg(here("refused_writes.py")).arg("aiohttp"),
    };
    let output = command
        .arg(format!("http://{address}"))
        .env("AXIOS", tool("node_modules/axios/index.js"))
        .env("TOKEN", token(serving, 2))
        .env("READ_ONLY_TOKEN", token(serving, 1))
        .output()
        .expect("the client starts");
    let printed = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() || !printed.is_empty(), "{client:?} failed without a word: {}", output.status);
    printed
}

#[rstest]
fn a_refused_write_is_answered_and_the_next_call_succeeds(
    #[values(Path::Direct, Path::NginxPooled, Path::NginxPerRequest, Path::HaProxy)] path: Path,
) {
    let place = TestDatabase::folder();
    let serving = demo(&place);
    let nginx = |upstream| Nginx::start(&tool("bin/nginx"), serving.address, upstream);
    let reports = |address| CLIENTS.map(|client| (client, report(client, &serving, address)));
    let reports = match path {
        Path::Direct => reports(serving.address),
        Path::NginxPooled => reports(nginx(Upstream::Pooled).address()),
        Path::NginxPerRequest => reports(nginx(Upstream::PerRequest).address()),
        Path::HaProxy => reports(Balancer::in_front_of(&[serving.address]).address()),
    };
    let wrong: Vec<_> = reports.into_iter().filter(|(_, report)| !report.is_empty()).collect();
    let lines: Vec<_> = wrong.iter().map(|(client, report)| format!("{client:?}:\n{report}")).collect();
    assert!(lines.is_empty(), "{path:?}\n{}", lines.join("\n"));
}
