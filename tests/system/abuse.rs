//! Floods of bad tokens, and clients that hold connections open.

use std::io::Write;
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use keyhouse::app::infra::rng::Rng;
use keyhouse_token::Mode;
use keyhouse_token::{Brand, RawToken};

use super::load::{Answered, Client, Load, form, get, now, p99};
use super::nodes::{Browser, OWNER, PASSWORD, new_key, set_up};
use super::{Outcome, Times, rounds};
use test_support::TestDatabase;
use test_support::process::ServerProcess;

/// No rate limit for good keys, the default one for bad tokens.
const SETTINGS: &[(&str, &str)] = &[("KEYHOUSE_RATE_LIMIT_REQUESTS", "0"), ("KEYHOUSE_OPS_LISTEN", "127.0.0.1:0")];

fn demo(place: &TestDatabase) -> (ServerProcess, String) {
    let serving = ServerProcess::start_with(place, "demo", "off", SETTINGS);
    let token = serving.said["keys"][0]["token"].as_str().expect("a token").to_owned();
    (serving, token)
}

/// Half of the tokens have a bad checksum, half are well formed and unknown.
pub(crate) fn invented_tokens() -> Outcome {
    let place = TestDatabase::folder();
    let (serving, token) = demo(&place);
    let good = |seconds| {
        let load =
            Load::start(serving.address, 1, &get("/api/v1/products?limit=1", &token), Some(Duration::from_millis(10)));
        std::thread::sleep(Duration::from_secs(seconds));
        load.finish()
    };
    let quiet = p99(&good(5));
    let lookups = lookups_for_bad_checksums(&serving, &token);
    let before = serving.resident_kib();
    let began = now();
    let attackers: Vec<_> = (0..8u64)
        .map(|seed| {
            let address = serving.address;
            std::thread::spawn(move || {
                let (rng, brand) = (Rng::seeded(seed), Brand::parse("pk").expect("a brand"));
                let mut client = Client::new(address);
                let mut counts = [0u32; 3];
                for n in 0..rounds(125_000) {
                    // A million per minute over all threads.
                    let due = began + Duration::from_micros(480) * n as u32;
                    std::thread::sleep(due.saturating_sub(now()));
                    let token = RawToken::from_entropy(&brand, Mode::Live, |bytes| rng.fill_bytes(bytes));
                    let text = token.expose();
                    let attempt = if n % 2 == 0 { text.to_owned() } else { format!("{}0", &text[..49]) };
                    match client.call(&get("/api/v1/key", &attempt)).map_or(0, |answer| answer.status) {
                        401 => counts[0] += 1,
                        429 => counts[1] += 1,
                        _ => counts[2] += 1,
                    }
                }
                counts
            })
        })
        .collect();
    let load =
        Load::start(serving.address, 1, &get("/api/v1/products?limit=1", &token), Some(Duration::from_millis(10)));
    let mut counts = [0; 3];
    for attacker in attackers {
        for (sum, count) in counts.iter_mut().zip(attacker.join().expect("an attacker")) {
            *sum += count;
        }
    }
    let answers = load.finish();
    let refused = answers.iter().filter(|answer| answer.status != 200).count();
    let ratio = p99(&answers).as_secs_f64() / quiet.as_secs_f64();
    let grown = serving.resident_kib().saturating_sub(before) / 1024;
    Outcome {
        times: Some(Times::of(answers.iter().map(|answer| answer.took))),
        n: counts.iter().sum::<u32>() as usize,
        counts: format!(
            "RSS + {grown} MiB, {} look-ups for 500 bad checksums, {refused} of {} good calls refused; {} × 401, \
             {} × 429, {} others in {:.0} s; p99 of a good key {ratio:.1} times that without load",
            lookups.unwrap_or(f64::NAN),
            answers.len(),
            counts[0],
            counts[1],
            counts[2],
            (now() - began).as_secs_f64()
        ),
        passed: grown <= 32 && lookups == Some(0.0) && refused == 0 && counts[2] == 0 && ratio <= 2.0,
    }
}

/// For 500 tokens, fewer than the rate limit for bad tokens; `None` if the metric is missing.
fn lookups_for_bad_checksums(serving: &ServerProcess, token: &str) -> Option<f64> {
    let lookups = || serving.metrics().sum("keyhouse_key_lookups_total");
    let before = lookups()?;
    let mut client = Client::new(serving.address);
    for n in 0..500 {
        let typo = format!("{}{n:03}{}", &token[..20], &token[23..]);
        let status = client.call(&get("/api/v1/key", &typo)).map_or(0, |answer| answer.status);
        assert!(status == 401 || typo == token, "a typo is answered {status}");
    }
    Some(lookups()? - before)
}

/// Guesses at the owner's password from a thousand networks behind a proxy, as fast as they are answered. The owner, whose
/// network is known, signs in and revokes keys meanwhile.
pub(crate) fn guesses() -> Outcome {
    let place = TestDatabase::folder();
    let mut keys = vec![set_up(&place)];
    keys.extend((1..10).map(|_| new_key(&place)));
    let settings = [("KEYHOUSE_TRUSTED_PROXIES", "127.0.0.1")];
    let serving = ServerProcess::start_with(&place, "serve", "off", &settings);
    let mut owner = Browser::of_owner(&serving, &place);
    let (address, before) = (serving.address, serving.resident_kib());
    let stop = Arc::new(AtomicBool::new(false));
    let attackers: Vec<_> = (0..8usize)
        .map(|thread| {
            let stop = Arc::clone(&stop);
            std::thread::spawn(move || {
                let mut client = Client::new(address);
                let guess = form("/sign-in", "none=1", &[("email", OWNER), ("password", "guess river quiet stone")]);
                let mut guesses = 0;
                for network in (0..1000).cycle().skip(thread * 125) {
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                    let from = format!("Host: a\r\nX-Forwarded-For: {}.{}.7.1", 20 + network / 250, network % 250);
                    guesses += usize::from(client.call(&guess.replacen("Host: a", &from, 1)).is_some());
                }
                guesses
            })
        })
        .collect();
    let sign_in = form("/sign-in", "none=1", &[("email", OWNER), ("password", PASSWORD)]);
    let (mut sign_ins, mut revocations, mut peak) = (Vec::<Answered>::new(), Vec::new(), before);
    // A person may sign in 30 times an hour, and the browser has done so 20 times.
    for n in 0..rounds(10) {
        std::thread::sleep(Duration::from_secs(1));
        sign_ins.extend(Client::new(address).call(&sign_in));
        if n % 2 == 1
            && let Some(key) = keys.pop()
        {
            revocations.push(owner.revoke(&key));
        }
        peak = peak.max(serving.resident_kib());
    }
    stop.store(true, Ordering::Relaxed);
    let guesses: usize = attackers.into_iter().map(|attacker| attacker.join().expect("an attacker")).sum();
    let done = |answers: &[Answered]| answers.iter().filter(|answer| answer.status == 303).count();
    let grown = peak.saturating_sub(before) / 1024;
    Outcome {
        times: Some(Times::of(sign_ins.iter().chain(&revocations).map(|answer| answer.took))),
        n: guesses,
        counts: format!(
            "{} of {} sign-ins and {} of {} revocations done; RSS + {grown} MiB at most",
            done(&sign_ins),
            rounds(10),
            done(&revocations),
            revocations.len()
        ),
        passed: done(&sign_ins) == rounds(10) && done(&revocations) == revocations.len() && grown <= 48,
    }
}

/// Three kinds of clients that hold a connection: a slow head, a slow body, a slow reader.
pub(crate) fn slow_clients() -> Outcome {
    let place = TestDatabase::folder();
    let (serving, token) = demo(&place);
    let good = || {
        let load =
            Load::start(serving.address, 1, &get("/api/v1/products?limit=1", &token), Some(Duration::from_millis(10)));
        std::thread::sleep(Duration::from_secs(8));
        load.finish()
    };
    let quiet = p99(&good());
    let connect = |bytes: &str| {
        let mut socket = TcpStream::connect(serving.address).expect("the server accepts connections");
        let _sent = socket.write_all(bytes.as_bytes());
        socket
    };
    let head = "GET /healthz HTTP/1.1\r\nHost: a\r\nX-Slow: ";
    let body = format!(
        "POST /api/v1/products HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{{"
    );
    // The stylesheet 200 times, 10 MB: more than the socket buffers hold.
    let page = serving.send(b"GET /docs HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    let style = page.split('"').find(|text| text.ends_with("keyhouse.css")).expect("a page of the docs").to_owned();
    let reader = get(&style, &token).repeat(200);
    let mut sockets: Vec<TcpStream> = Vec::new();
    for _ in 0..500 {
        sockets.push(connect(head));
        sockets.push(connect(&body));
    }
    let readers: Vec<_> = (0..500)
        .map(|_| {
            let socket = TcpStream::connect(serving.address).expect("the server accepts connections");
            socket.set_nonblocking(true).expect("a socket");
            let _sent = (&socket).write(reader.as_bytes());
            socket
        })
        .collect();
    let busy = good();
    let refused = busy.iter().filter(|answer| answer.status != 200).count();
    // 10 s for a head, 10 s for a body, 10 s for each write.
    let began = now();
    let mut open = usize::MAX;
    while open > 1 && now() - began < Duration::from_secs(60) {
        std::thread::sleep(Duration::from_millis(500));
        open = serving.connections();
    }
    let closed = (now() - began).as_secs_f64() + 8.0;
    drop((sockets, readers));
    let ratio = p99(&busy).as_secs_f64() / quiet.as_secs_f64();
    Outcome {
        times: Some(Times::of(busy.iter().map(|answer| answer.took))),
        n: 1500,
        counts: format!(
            "{open} connections open after {closed:.0} s, {refused} of {} good calls refused, p99 {ratio:.1} times \
             that without load",
            busy.len()
        ),
        passed: open <= 1 && refused == 0 && ratio <= 2.0,
    }
}
