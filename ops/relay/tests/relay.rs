//! A relay between two sockets that stand for two nodes, and between a caller and an API.
// Tests: an unwrap is an assertion, and they read the real clock.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

use eport_relay::{
    Answer, Change, Counts, End, HELD_BYTES_MAX, LinkState, Path, Plan, Question, Relay, Rule, ask,
};
use std::net::{Ipv4Addr, SocketAddr, TcpListener as StdListener, UdpSocket as StdUdp};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};

/// Far above what a busy machine needs.
const LIMIT: Duration = Duration::from_secs(60);

/// Two nodes, the relay between them and its folder.
struct World {
    a: UdpSocket,
    b: UdpSocket,
    api_b: TcpListener,
    plan: Plan,
    relay: Option<Relay>,
    dir: tempfile::TempDir,
}

/// An address whose UDP and TCP port are free. It is given back before the relay takes it: tests of one process do not
/// bind between the two.
fn free() -> SocketAddr {
    for _ in 0..100 {
        let tcp = StdListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let addr = tcp.local_addr().unwrap();
        if StdUdp::bind(addr).is_ok() {
            return addr;
        }
    }
    panic!("no free port");
}

impl World {
    async fn new() -> Self {
        let a = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let b = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let api_b = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let end = |node: &str, site: &str, quic: SocketAddr, api: SocketAddr| End {
            node: node.parse().unwrap(),
            site: site.parse().unwrap(),
            quic,
            api,
        };
        let at_a = end("gz-a-1", "gz-a", a.local_addr().unwrap(), a.local_addr().unwrap());
        let at_b = end("sz-a-1", "sz-a", b.local_addr().unwrap(), api_b.local_addr().unwrap());
        let paths = vec![
            Path { from: at_a, to: at_b, listen: free() },
            Path { from: at_b, to: at_a, listen: free() },
        ];
        let plan = Plan { seed: 11, paths };
        let dir = tempfile::tempdir().unwrap();
        let relay = Some(Relay::start(&plan, dir.path()).await.unwrap());
        Self { a, b, api_b, plan, relay, dir }
    }

    fn relay(&self) -> &Relay {
        self.relay.as_ref().unwrap()
    }

    /// Where A reaches B.
    fn to_b(&self) -> SocketAddr {
        self.plan.paths[0].listen
    }

    fn to_a(&self) -> SocketAddr {
        self.plan.paths[1].listen
    }

    fn rule(&self, from: &str, rule: Rule) {
        let (from, to) = if from == "gz-a" { ("gz-a", "sz-a") } else { ("sz-a", "gz-a") };
        let change = Change {
            from: from.parse().unwrap(),
            to: to.parse().unwrap(),
            rule,
            seed: Some(5),
            cut_ms: None,
        };
        self.relay().set(&[change]).unwrap();
    }

    fn counts(&self, from: &str) -> Counts {
        self.relay().links().into_iter().find(|l| l.from.as_str() == from).unwrap().counts
    }

    async fn until(&self, from: &str, what: &str, holds: impl Fn(&Counts) -> bool) {
        let end = Instant::now() + LIMIT;
        while !holds(&self.counts(from)) {
            assert!(Instant::now() < end, "{what}: {:?}", self.counts(from));
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    async fn hear(&self, socket: &UdpSocket) -> (Vec<u8>, SocketAddr) {
        let mut buffer = vec![0u8; 65_536];
        let (n, from) = tokio::time::timeout(LIMIT, socket.recv_from(&mut buffer)).await.unwrap().unwrap();
        buffer.truncate(n);
        (buffer, from)
    }

    /// True when nothing waits at a socket.
    fn silent(&self, socket: &UdpSocket) -> bool {
        socket.try_recv_from(&mut [0u8; 16]).is_err()
    }
}

#[tokio::test]
async fn both_nodes_see_one_fixed_address_for_the_other_whoever_dials() {
    let w = World::new().await;
    w.a.send_to(b"hello", w.to_b()).await.unwrap();
    let (said, from) = w.hear(&w.b).await;
    assert_eq!((said.as_slice(), from), (b"hello".as_slice(), w.to_a()));
    // The answer to that address comes back from the address that A dialled.
    w.b.send_to(b"well", from).await.unwrap();
    let (said, from) = w.hear(&w.a).await;
    assert_eq!((said.as_slice(), from), (b"well".as_slice(), w.to_b()));
}

#[tokio::test]
async fn a_cut_direction_passes_nothing_and_the_other_goes_on() {
    let w = World::new().await;
    w.rule("gz-a", Rule { cut: true, ..Rule::default() });
    for _ in 0..50 {
        w.a.send_to(b"lost", w.to_b()).await.unwrap();
    }
    w.until("gz-a", "all are lost", |c| c.lost_cut == 50).await;
    w.b.send_to(b"other way", w.to_a()).await.unwrap();
    assert_eq!(w.hear(&w.a).await.0, b"other way");
    assert!(w.silent(&w.b));
    w.rule("gz-a", Rule::default());
    w.a.send_to(b"healed", w.to_b()).await.unwrap();
    assert_eq!(w.hear(&w.b).await.0, b"healed", "nothing of before the healing arrives");
    assert_eq!(w.counts("gz-a").passed, 1);
}

#[tokio::test]
async fn what_is_under_way_when_the_link_is_cut_is_lost() {
    let w = World::new().await;
    w.rule("gz-a", Rule { delay_ms: 30_000, ..Rule::default() });
    w.a.send_to(b"under way", w.to_b()).await.unwrap();
    w.until("gz-a", "it is under way", |c| c.held_bytes == 9).await;
    w.rule("gz-a", Rule { cut: true, ..Rule::default() });
    assert_eq!((w.counts("gz-a").held_bytes, w.counts("gz-a").lost_cut), (0, 1));
    w.rule("gz-a", Rule::default());
    w.a.send_to(b"next", w.to_b()).await.unwrap();
    assert_eq!(w.hear(&w.b).await.0, b"next");
}

#[tokio::test]
async fn a_slow_link_delivers_in_order_and_never_early() {
    let w = World::new().await;
    w.rule("gz-a", Rule { delay_ms: 80, jitter_ms: 20, ..Rule::default() });
    let started = Instant::now();
    for n in 0..100u8 {
        w.a.send_to(&[n], w.to_b()).await.unwrap();
    }
    for n in 0..100u8 {
        assert_eq!(w.hear(&w.b).await.0, [n]);
        assert!(started.elapsed() >= Duration::from_millis(80), "{n} was early");
    }
}

#[tokio::test]
async fn memory_stays_within_its_bound_whatever_is_sent() {
    let w = World::new().await;
    w.rule("gz-a", Rule { delay_ms: 60_000, ..Rule::default() });
    let datagram = vec![7u8; 60_000];
    let mut sent = 0u64;
    // Until the relay has no more room; what the system's own buffer drops is sent again.
    let end = Instant::now() + LIMIT;
    while w.counts("gz-a").lost_full < 20 {
        assert!(Instant::now() < end, "{:?}", w.counts("gz-a"));
        w.a.send_to(&datagram, w.to_b()).await.unwrap();
        sent += 1;
        if sent.is_multiple_of(8) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
    let counts = w.counts("gz-a");
    assert!(counts.held_bytes_max <= HELD_BYTES_MAX as u64, "{counts:?}");
    assert!(counts.held_bytes_max > HELD_BYTES_MAX as u64 / 2, "the bound was not reached: {counts:?}");
}

#[tokio::test]
async fn a_spoiled_link_changes_one_bit_and_delivers_twice_what_it_says() {
    let w = World::new().await;
    w.rule("gz-a", Rule { corrupt_pct: 100.0, duplicate_pct: 100.0, ..Rule::default() });
    w.a.send_to(&[0u8; 64], w.to_b()).await.unwrap();
    let (first, second) = (w.hear(&w.b).await.0, w.hear(&w.b).await.0);
    assert_eq!(first, second);
    assert_eq!(first.iter().map(|b| b.count_ones()).sum::<u32>(), 1);
    w.rule("gz-a", Rule { loss_pct: 100.0, ..Rule::default() });
    w.a.send_to(b"lost", w.to_b()).await.unwrap();
    w.until("gz-a", "it is lost", |c| c.lost_drawn == 1).await;
    assert!(w.silent(&w.b));
}

#[tokio::test]
async fn a_relay_that_is_killed_and_started_again_carries_the_same_conversation() {
    let mut w = World::new().await;
    w.a.send_to(b"before", w.to_b()).await.unwrap();
    let (_, from) = w.hear(&w.b).await;
    drop(w.relay.take());
    // The ports are free once its tasks have ended.
    let end = Instant::now() + LIMIT;
    w.relay = loop {
        match Relay::start(&w.plan, w.dir.path()).await {
            Ok(relay) => break Some(relay),
            Err(e) => assert!(Instant::now() < end, "{e}"),
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    };
    w.b.send_to(b"after", from).await.unwrap();
    let (said, from) = w.hear(&w.a).await;
    assert_eq!((said.as_slice(), from), (b"after".as_slice(), w.to_b()));
}

#[tokio::test]
async fn a_stranger_on_the_path_reaches_nobody() {
    let w = World::new().await;
    let stranger = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    stranger.send_to(b"let me in", w.to_b()).await.unwrap();
    w.until("gz-a", "it is counted", |c| c.stray == 1).await;
    assert!(w.silent(&w.b));
}

#[tokio::test]
async fn a_burst_of_a_sender_that_batches_arrives_whole() {
    let w = World::new().await;
    // Below the system's default buffer, so that nothing is lost outside the relay.
    let out = w.a.into_std().unwrap();
    let state = quinn_udp::UdpSocketState::new((&out).into()).unwrap();
    let batch = state.max_gso_segments().min(40);
    let bytes: Vec<u8> = (0..batch).flat_map(|n| vec![u8::try_from(n).unwrap(); 1200]).collect();
    let to = w.plan.paths[0].listen;
    let transmit = quinn_udp::Transmit {
        destination: to,
        ecn: None,
        contents: &bytes,
        segment_size: Some(1200).filter(|_| batch > 1),
        src_ip: None,
    };
    state.send((&out).into(), &transmit).unwrap();
    let mut buffer = vec![0u8; 65_536];
    for n in 0..batch {
        let (len, _) = tokio::time::timeout(LIMIT, w.b.recv_from(&mut buffer)).await.unwrap().unwrap();
        assert_eq!((len, usize::from(buffer[0]), usize::from(buffer[1199])), (1200, n, n));
    }
}

#[tokio::test]
async fn a_caller_waits_through_a_cut_and_goes_on_after_it() {
    let w = World::new().await;
    let mut caller = TcpStream::connect(w.to_b()).await.unwrap();
    let (mut callee, _) = tokio::time::timeout(LIMIT, w.api_b.accept()).await.unwrap().unwrap();
    caller.write_all(b"first").await.unwrap();
    let mut heard = [0u8; 5];
    callee.read_exact(&mut heard).await.unwrap();
    w.rule("gz-a", Rule { cut: true, ..Rule::default() });
    caller.write_all(b"later").await.unwrap();
    callee.write_all(b"reply").await.unwrap();
    // The uncut direction proves that time has passed on the relay.
    caller.read_exact(&mut heard).await.unwrap();
    assert_eq!(&heard, b"reply");
    assert!(callee.try_read(&mut [0u8; 8]).is_err(), "nothing passes a cut");
    w.rule("gz-a", Rule::default());
    callee.read_exact(&mut heard).await.unwrap();
    assert_eq!(&heard, b"later");
    drop(caller);
    assert_eq!(callee.read(&mut [0u8; 8]).await.unwrap(), 0, "the end travels too");
}

#[tokio::test]
async fn rules_are_set_over_the_socket_of_the_folder_all_or_none() {
    let w = World::new().await;
    let change = |from: &str, to: &str, rule| Change {
        from: from.parse().unwrap(),
        to: to.parse().unwrap(),
        rule,
        seed: None,
        cut_ms: None,
    };
    let slow = Rule { delay_ms: 5, ..Rule::default() };
    let set = |changes| Question::Set { changes };
    let half = set(vec![change("gz-a", "sz-a", slow), change("gz-a", "xm-a", slow)]);
    assert!(matches!(ask(w.dir.path(), &half).await.unwrap(), Answer::Refused(why) if why.contains("xm-a")));
    let wild = set(vec![change("gz-a", "sz-a", Rule { loss_pct: 101.0, ..slow })]);
    assert!(
        matches!(ask(w.dir.path(), &wild).await.unwrap(), Answer::Refused(why) if why.contains("loss_pct"))
    );
    let shown = |answer| match answer {
        Answer::Links(links) => links,
        Answer::Refused(why) => panic!("{why}"),
    };
    let links: Vec<LinkState> = shown(ask(w.dir.path(), &Question::Show).await.unwrap());
    assert!(
        links.len() == 2 && links.iter().all(|l| l.rule.is_clear()),
        "a refused change changed something"
    );
    let links = shown(ask(w.dir.path(), &set(vec![change("gz-a", "sz-a", slow)])).await.unwrap());
    assert_eq!(links.iter().map(|l| l.rule.delay_ms).collect::<Vec<_>>(), [5, 0]);
}

#[tokio::test]
async fn a_plan_without_a_way_back_or_with_one_address_twice_is_refused() {
    let w = World::new().await;
    let dir = tempfile::tempdir().unwrap();
    let mut one_way = w.plan.clone();
    one_way.paths.pop();
    assert!(Relay::start(&one_way, dir.path()).await.is_err());
    let mut twice = w.plan.clone();
    twice.paths[1].listen = twice.paths[0].listen;
    assert!(Relay::start(&twice, dir.path()).await.is_err());
    let taken = Relay::start(&w.plan, dir.path()).await;
    assert_eq!(taken.err().map(|e| eport_model::Coded::code(&e)), Some(eport_model::codes::PORT_TAKEN));
}

#[tokio::test]
async fn a_cut_with_a_bound_is_mended_by_the_relay_itself_unless_another_rule_came() {
    let w = World::new().await;
    let cut = |ms| Change {
        from: "gz-a".parse().unwrap(),
        to: "sz-a".parse().unwrap(),
        rule: Rule { cut: true, delay_ms: 1, ..Rule::default() },
        seed: None,
        cut_ms: ms,
    };
    let rule = || w.relay().links().into_iter().find(|l| l.from.as_str() == "gz-a").unwrap().rule;
    w.relay().set(&[cut(Some(30))]).unwrap();
    assert!(rule().cut);
    let end = Instant::now() + LIMIT;
    while rule().cut {
        assert!(Instant::now() < end, "nobody mended it");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    assert_eq!(rule().delay_ms, 1, "only the cut goes away");
    w.relay().set(&[cut(Some(40))]).unwrap();
    w.relay().set(&[cut(None)]).unwrap();
    w.relay()
        .set(&[Change { from: "sz-a".parse().unwrap(), to: "gz-a".parse().unwrap(), ..cut(Some(80)) }])
        .unwrap();
    let other = || w.relay().links().into_iter().find(|l| l.from.as_str() == "sz-a").unwrap().rule;
    while other().cut {
        assert!(Instant::now() < end, "nobody mended the other direction");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    assert!(rule().cut, "the later cut has no bound: the timer of the earlier one is void");
}
