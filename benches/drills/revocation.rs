//! How long a revoked key goes on being admitted.

use std::time::Duration;

use super::load::{Answered, Client, now, p99_of};
use super::nodes::{Browser, FIFTY_A_SECOND, Key, database, new_key, revoke, serve, set_up, steady};
use super::{Seen, rounds};
use crate::harness::process::Serving;
use crate::harness::{Place, Server};

/// The browser revokes on the node that is then called, right after the answer.
pub fn same_node() -> Seen {
    let (mut calls, mut admitted) = (0, 0);
    let server = Server::start();
    for place in [Place::folder(), database(&server)] {
        set_up(&place);
        let node = serve(&place);
        let mut browser = Browser::of_owner(&node, &place);
        for _ in 0..5 {
            let victim = new_key(&place);
            let mut client = Client::new(node.address);
            let mut ask = || client.call(&victim.ask()).map_or(0, |answer| answer.status);
            assert_eq!((ask(), browser.revoke(&victim).status), (200, 303));
            let statuses: Vec<u16> = (0..rounds(100)).map(|_| ask()).collect();
            calls += statuses.len();
            admitted += statuses.iter().filter(|status| **status != 401).count();
        }
    }
    Seen { figure: format!("{admitted} of {calls} calls admitted"), kept: admitted == 0 }
}

/// Every other revocation is a browser's on the first of three nodes, the others are the shell's.
pub fn two_other_nodes() -> Seen {
    let server = Server::start();
    let place = database(&server);
    let good = set_up(&place);
    let nodes = [serve(&place), serve(&place), serve(&place)];
    let mut browser = Browser::of_owner(&nodes[0], &place);
    let mut by_browser = false;
    lateness(&place, &nodes[1..], &good, |victim| {
        by_browser = !by_browser;
        if !by_browser {
            return revoke(&place, victim);
        }
        let answer = browser.revoke(victim);
        assert_eq!(answer.status, 303, "revoked");
        answer.arrived()
    })
}

pub fn second_process() -> Seen {
    let place = Place::folder();
    let good = set_up(&place);
    let nodes = [serve(&place)];
    lateness(&place, &nodes, &good, |victim| revoke(&place, victim))
}

/// Revokes one key after the other while `nodes` are asked about each 50 times a second, and about a good key as well.
fn lateness(place: &Place, nodes: &[Serving], good: &Key, mut revoke: impl FnMut(&Key) -> Duration) -> Seen {
    let quiet: Vec<_> = nodes.iter().map(|node| steady(node, good)).collect();
    let (mut late, mut revived) = (Vec::new(), 0);
    for _ in 0..rounds(300) {
        let victim = new_key(place);
        let askers: Vec<_> = nodes.iter().map(|node| ask_until_refused(node, &victim)).collect();
        // Each round at another moment of the nodes' quarter seconds.
        std::thread::sleep(Duration::from_millis(100 + late.len() as u64 * 37 % 250));
        let revoked = revoke(&victim);
        for answers in askers.into_iter().map(|asker| asker.join().expect("a client")) {
            let last = answers.iter().filter(|answer| answer.status == 200).map(Answered::arrived).max();
            late.push(last.expect("it was good at first").saturating_sub(revoked));
            let refused = answers.iter().position(|answer| answer.status == 401).unwrap_or(answers.len());
            revived += answers[refused..].iter().filter(|answer| answer.status != 401).count();
        }
    }
    let refused = quiet.into_iter().flat_map(|load| load.finish()).filter(|answer| answer.status != 200).count();
    let (p99, max) = (p99_of(late.iter().copied()), late.iter().max().copied().unwrap_or_default());
    let told = |share| {
        let seen = nodes.iter().filter_map(|node| node.metrics().quantile("keyhouse_change_seen_seconds", share));
        seen.fold(f64::NAN, f64::max)
    };
    let (told_p99, told_max) = (told(0.99), told(1.0));
    // What the program says is an upper bound; what a client sees is a call's time and a pause between two calls coarser.
    let agrees = p99.as_secs_f64() <= told_p99 + 0.05 && told_p99 <= 0.5 && told_max <= 1.0;
    Seen {
        figure: format!(
            "p99 {:.2} s, max {:.2} s of {}, {revived} revived, {refused} good calls refused; the nodes say p99 ≤ {told_p99} s, max ≤ {told_max} s",
            p99.as_secs_f64(),
            max.as_secs_f64(),
            late.len()
        ),
        kept: p99 <= Duration::from_millis(500) && max <= Duration::from_secs(1) && revived + refused == 0 && agrees,
    }
}

/// Fifty calls a second, from the first 200 to the fifth refusal in a row.
fn ask_until_refused(node: &Serving, key: &Key) -> std::thread::JoinHandle<Vec<Answered>> {
    let (address, request) = (node.address, key.ask());
    std::thread::spawn(move || {
        let mut client = Client::new(address);
        let mut answers: Vec<Answered> = Vec::new();
        let began = now();
        while now() - began < Duration::from_secs(10) {
            answers.extend(client.call(&request));
            if answers.iter().rev().take_while(|answer| answer.status != 200).count() >= 5 {
                break;
            }
            std::thread::sleep(FIFTY_A_SECOND.unwrap_or_default());
        }
        answers
    })
}
