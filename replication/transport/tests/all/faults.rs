//! Restarts, deaths, crossings, strangers and hostile peers.

use crate::kit;

use eport_authority::Validity;
use eport_model::{Code, Coded, Lineage, codes};
use eport_transport::{CloseCode, Config, Error, Peer, Purpose, Transport};
use kit::{Event, Federation, Node, Recorder, config, id, pair, until};
use std::sync::Arc;
use std::time::{Duration, Instant};
use time::OffsetDateTime;

async fn fails_with(node: &Node, peer: &str, code: Code) {
    let what = format!("{peer} fails with {code}");
    until(&what, || node.transport.failure(id(peer)).is_some_and(|f| f.code == code)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_restarts_on_its_port_is_reached_again_within_a_second() {
    let f = Federation::new();
    // Both orders of ids: who dials, and who wins, differs.
    for (stays, restarts) in [("gz-a-1", "sz-a-1"), ("sz-a-1", "gz-a-1")] {
        let a = Node::start(f.tls(stays), config(stays)).await;
        let b = Node::start(f.tls(restarts), config(restarts)).await;
        a.knows(&[&b]);
        b.knows(&[&a]);
        until("connected", || a.sees(&b) && b.sees(&a)).await;
        let listen = b.transport.local_addr();
        b.transport.shutdown().await;
        until("the end is seen", || a.seen.count(&Event::Disconnected(b.id)) == 1).await;
        assert!(a.ask(&b, "x").await.is_err());
        let b = Node::start(f.tls(restarts), Config { listen, incarnation: 2, ..config(restarts) }).await;
        let start = Instant::now();
        b.knows(&[&a]);
        until("asked again", || a.sees(&b)).await;
        assert_eq!(a.ask(&b, "xy").await.unwrap(), "yx");
        assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
        assert_eq!(a.transport.peer(b.id).unwrap().incarnation, 2);
    }
}

/// A killed process sends no close: its tasks and socket vanish with its runtime, and the other side still believes in
/// the old connection when the new incarnation dials.
#[test]
fn a_killed_node_that_restarts_replaces_its_old_connection_within_a_second() {
    let f = Federation::new();
    for (stays, killed) in [("gz-a-1", "sz-a-1"), ("sz-a-1", "gz-a-1")] {
        let (ours, theirs) = (runtime(), runtime());
        let a = ours.block_on(Node::start(f.tls(stays), config(stays)));
        let b = theirs.block_on(Node::start(f.tls(killed), config(killed)));
        a.knows_in(&ours, &b);
        b.knows_in(&theirs, &a);
        ours.block_on(until("connected", || a.sees(&b) && b.sees(&a)));
        let (listen, b_id) = (b.transport.local_addr(), b.id);
        // One question for each of the two connections, so that both stand.
        let ask = |purpose| a.transport.request(b_id, purpose, "xy".into(), Duration::from_secs(1));
        for purpose in [Purpose::Raft, Purpose::Forward] {
            assert_eq!(ours.block_on(ask(purpose)).unwrap(), "yx");
        }
        theirs.shutdown_timeout(Duration::from_secs(5));
        drop(b);
        assert_eq!(a.seen.count(&Event::Disconnected(b_id)), 0, "the kill must not be heard");
        let theirs = runtime();
        let start = Instant::now();
        let b = theirs.block_on(async {
            let again = Config { listen, incarnation: 2, ..config(killed) };
            let mut started =
                Transport::start(again.clone(), f.tls(killed), Arc::new(Recorder::default())).await;
            while started.is_err() && start.elapsed() < Duration::from_secs(5) {
                tokio::time::sleep(Duration::from_millis(5)).await;
                started = Transport::start(again.clone(), f.tls(killed), Arc::new(Recorder::default())).await;
            }
            started.unwrap()
        });
        let start = Instant::now();
        theirs.block_on(async { b.set_peers(vec![a.peer()]) });
        ours.block_on(async {
            until("switched", || a.transport.peer(b_id).is_some_and(|p| p.incarnation == 2)).await;
            for purpose in [Purpose::Raft, Purpose::Forward] {
                assert_eq!(ask(purpose).await.unwrap(), "yx");
            }
        });
        assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
        let ends: Vec<Event> = a.seen.events();
        assert_eq!(ends, [Event::Connected(b_id), Event::Disconnected(b_id), Event::Connected(b_id)]);
    }
}

#[test]
fn a_silent_death_is_noticed_after_the_idle_timeout() {
    let f = Federation::new();
    let quick = |name| Config {
        keep_alive: Duration::from_millis(100),
        idle_timeout: Duration::from_millis(500),
        ..config(name)
    };
    let (ours, theirs) = (runtime(), runtime());
    let a = ours.block_on(Node::start(f.tls("gz-a-1"), quick("gz-a-1")));
    let b = theirs.block_on(Node::start(f.tls("sz-a-1"), quick("sz-a-1")));
    a.knows_in(&ours, &b);
    ours.block_on(async {
        until("connected", || a.sees(&b) && b.sees(&a)).await;
        // Longer than the idle timeout: keep-alives hold the connection.
        tokio::time::sleep(Duration::from_millis(1200)).await;
        assert_eq!(a.seen.events(), [Event::Connected(b.id)]);
    });
    let b_id = b.id;
    theirs.shutdown_timeout(Duration::from_secs(5));
    ours.block_on(async {
        until("disconnected", || a.seen.count(&Event::Disconnected(b_id)) == 1).await;
        assert!(!a.transport.connected().borrow().contains(&b_id));
        fails_with(&a, "sz-a-1", codes::PEER_UNREACHABLE).await;
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dials_that_cross_leave_exactly_one_connection_that_both_agree_on() {
    let f = Federation::new();
    for round in 0..15 {
        let a = Node::start(f.tls("gz-a-1"), config("gz-a-1")).await;
        let b = Node::start(f.tls("sz-a-1"), config("sz-a-1")).await;
        // `knows` of the larger id gives the smaller a head start; without it both dial in the same moment.
        b.knows(&[&a]);
        tokio::time::sleep(Duration::from_millis(round * 5)).await;
        a.knows(&[&b]);
        let number = |n: &Node, o: &Node| n.transport.peer(o.id).map(|p| p.connection);
        until("one connection", || {
            number(&a, &b).is_some()
                && number(&a, &b) == number(&b, &a)
                && a.transport.connections_open() == 1
                && b.transport.connections_open() == 1
        })
        .await;
        let agreed = number(&a, &b);
        assert_eq!(b.ask(&a, "xy").await.unwrap(), "yx");
        assert_eq!(a.ask(&b, "xy").await.unwrap(), "yx");
        assert_eq!((number(&a, &b), number(&b, &a)), (agreed, agreed), "round {round}: it stays");
        a.transport.shutdown().await;
        b.transport.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shutdown_is_quick_and_frees_the_port_also_while_a_dead_peer_is_dialled() {
    let f = Federation::new();
    let a = Node::start(f.tls("gz-a-1"), config("gz-a-1")).await;
    // Takes packets and never answers, so the dial cannot end by itself.
    let dead = std::net::UdpSocket::bind(kit::loopback()).unwrap();
    a.transport.set_peers(vec![Peer { node: id("sz-a-1"), addr: dead.local_addr().unwrap() }]);
    until("a dial under way", || a.transport.connections_open() == 1).await;
    let (start, addr) = (Instant::now(), a.transport.local_addr());
    a.transport.shutdown().await;
    assert!(start.elapsed() < Duration::from_millis(1500), "{:?}", start.elapsed());
    assert!(std::net::UdpSocket::bind(addr).is_ok(), "the port is free");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_removed_peer_is_let_go_and_a_closed_one_comes_back() {
    let f = Federation::new();
    let a = Node::start(f.tls("gz-a-1"), config("gz-a-1")).await;
    let b = Node::start(f.tls("sz-a-1"), config("sz-a-1")).await;
    a.knows(&[&b]);
    until("connected", || a.sees(&b) && b.sees(&a)).await;
    a.transport.close_peer(b.id, "test");
    until("back", || a.seen.count(&Event::Connected(b.id)) == 2 && b.sees(&a)).await;
    a.knows(&[]);
    until("gone", || !a.sees(&b) && !b.sees(&a)).await;
    until("counted", || a.seen.count(&Event::Disconnected(b.id)) == 2).await;
    a.knows(&[&b]);
    until("listed again", || a.sees(&b) && b.sees(&a)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_old_connection_is_replaced_before_it_is_closed() {
    let young = |name| Config { age_max: Duration::from_millis(300), ..config(name) };
    let (a, b) = pair(young("gz-a-1"), young("sz-a-1")).await;
    let number = || a.transport.peer(b.id).map(|p| p.connection);
    let first = number();
    until("another connection", || number().is_some() && number() != first).await;
    until("both", || b.transport.peer(a.id).map(|p| p.connection) == number()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_federations_node_is_refused_and_told_so() {
    let (ours, theirs) = (Federation::new(), Federation::new());
    let a = Node::start(ours.tls("gz-a-1"), config("gz-a-1")).await;
    let b = Node::start(theirs.tls("sz-a-1"), config("sz-a-1")).await;
    a.knows(&[&b]);
    b.knows(&[&a]);
    fails_with(&a, "sz-a-1", codes::CERT_REFUSED).await;
    fails_with(&b, "gz-a-1", codes::CERT_REFUSED).await;
    assert_eq!((a.seen.events(), b.seen.events()), (vec![], vec![]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_that_expires_ends_its_connections_and_opens_no_new_ones() {
    let f = Federation::new();
    let now = OffsetDateTime::now_utc();
    let short =
        Validity { not_before: now - time::Duration::hours(1), not_after: now + time::Duration::seconds(3) };
    let a = Node::start(f.tls("gz-a-1"), config("gz-a-1")).await;
    let b = Node::start(f.tls_for("sz-a-1", short), config("sz-a-1")).await;
    a.knows(&[&b]);
    until("connected", || a.sees(&b)).await;
    until("closed at its end", || a.seen.count(&Event::Disconnected(b.id)) == 1).await;
    fails_with(&a, "sz-a-1", codes::CERT_EXPIRED).await;
    b.knows(&[&a]);
    fails_with(&b, "gz-a-1", codes::CERT_EXPIRED).await;
    assert!(!a.sees(&b));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revocation_closes_live_connections_at_once_and_refuses_new_ones() {
    let f = Federation::new();
    let (ta, tb) = (f.tls("gz-a-1"), f.tls("sz-a-1"));
    let (revocations, serial) = (ta.revocations().clone(), tb.me().serial);
    let a = Node::start(ta, config("gz-a-1")).await;
    let b = Node::start(tb, config("sz-a-1")).await;
    a.knows(&[&b]);
    until("connected", || a.sees(&b) && b.sees(&a)).await;
    assert_eq!(a.transport.close_revoked(), 0);
    revocations.add(serial);
    assert_eq!(a.transport.close_revoked(), 1);
    until("closed on both sides", || !a.sees(&b) && !b.sees(&a)).await;
    fails_with(&b, "gz-a-1", codes::CERT_REVOKED).await;
    fails_with(&a, "sz-a-1", codes::CERT_REVOKED).await;
    b.knows(&[&a]);
    fails_with(&b, "gz-a-1", codes::CERT_REVOKED).await;
    revocations.replace([]);
    until("forgiven", || a.sees(&b)).await;
    let hit = a.transport.close_where(CloseCode::Removed, |peer| peer.subject.node() == Some(b.id));
    assert_eq!(hit, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_lineage_is_refused_with_a_reason_that_both_see() {
    let f = Federation::new();
    let a = Node::start(f.tls("gz-a-1"), config("gz-a-1")).await;
    let lineage = Lineage::from_bytes([2; 16]);
    let b = Node::start(f.tls("sz-a-1"), Config { lineage, ..config("sz-a-1") }).await;
    b.knows(&[&a]);
    fails_with(&b, "gz-a-1", codes::LINEAGE_FOREIGN).await;
    fails_with(&a, "sz-a-1", codes::LINEAGE_FOREIGN).await;
    assert!(b.transport.failure(a.id).unwrap().detail.contains("lineage"));
    assert_eq!((a.seen.events(), b.seen.events()), (vec![], vec![]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_node_at_a_listed_address_is_not_taken_for_the_listed_one() {
    let f = Federation::new();
    let a = Node::start(f.tls("gz-a-1"), config("gz-a-1")).await;
    let b = Node::start(f.tls("sz-a-1"), config("sz-a-1")).await;
    a.transport.set_peers(vec![Peer { node: id("gz-c-1"), addr: b.transport.local_addr() }]);
    fails_with(&a, "gz-c-1", codes::CERT_REFUSED).await;
    assert_eq!(b.seen.events(), []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_taken_port_and_a_foreign_certificate_stop_the_start_with_their_codes() {
    let f = Federation::new();
    let a = Node::start(f.tls("gz-a-1"), config("gz-a-1")).await;
    let listen = a.transport.local_addr();
    let start = |tls, config| async {
        Transport::start(config, tls, Arc::new(Recorder::default())).await.unwrap_err()
    };
    let taken = start(f.tls("sz-a-1"), Config { listen, ..config("sz-a-1") }).await;
    assert!(matches!(taken, Error::PortTaken(addr) if addr == listen));
    assert_eq!(taken.code(), codes::PORT_TAKEN);
    let other = start(f.tls("sz-a-1"), config("gz-c-1")).await;
    assert!(matches!(other, Error::NotMe { .. }), "{other}");
}

#[test]
fn r2_no_quinn_constructor_that_turns_early_data_on_is_used() {
    // The compiled-in folder may be of another checkout that shares the target folder.
    let here = std::env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), std::path::PathBuf::from);
    let src = here.join("src");
    let mut files = 0;
    for entry in std::fs::read_dir(src).unwrap() {
        let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
        files += 1;
        for banned in ["with_single_cert", "with_root_certificates", "with_platform_verifier", "into_0rtt"] {
            assert!(!text.contains(banned), "{banned}");
        }
    }
    assert!(files > 5);
}

/// The codes of `tls` and `authority`, which may not depend on `model`, are the published ones.
#[test]
fn codes_of_certificates_are_the_published_ones() {
    use eport_tls::Refused;
    assert_eq!(Code(Refused::Missing.code()), codes::CERT_MISSING);
    assert_eq!(Code(Refused::Expired.code()), codes::CERT_EXPIRED);
    assert_eq!(Code(Refused::UnknownIssuer.code()), codes::CERT_REFUSED);
    assert_eq!(Code(Refused::Revoked("01".parse().unwrap()).code()), codes::CERT_REVOKED);
    let exposed = eport_tls::Error::KeyExposed { path: "k".into(), mode: 0o644 };
    assert_eq!(Code(exposed.code()), codes::KEY_EXPOSED);
    let exposed = eport_authority::Error::KeyExposed { path: "k".into(), mode: 0o644 };
    assert_eq!(Code(exposed.code()), codes::KEY_EXPOSED);
    let refused = eport_authority::Error::Refused { subject: "s".into(), reason: "r".into() };
    assert_eq!(Code(refused.code()), codes::ISSUE_REFUSED);
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

impl Node {
    fn knows_in(&self, runtime: &tokio::runtime::Runtime, other: &Node) {
        let _guard = runtime.enter();
        self.knows(&[other]);
    }
}
