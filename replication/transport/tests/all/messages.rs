//! Messages and requests between nodes that are well.

use crate::kit;

use bytes::Bytes;
use eport_model::{Coded, codes};
use eport_transport::{Purpose, RequestError, SendError};
use kit::{Event, Federation, Node, config, id, pair, until};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(10);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_of_one_purpose_arrive_in_order() {
    let (a, b) = pair(config("gz-a-1"), config("sz-a-1")).await;
    for n in 0..2000u32 {
        let payload = Bytes::copy_from_slice(&n.to_le_bytes());
        a.transport.send(b.id, Purpose::Journal, payload).unwrap();
    }
    until("2000 messages", || b.seen.messages().len() == 2000).await;
    let got: Vec<u32> =
        b.seen.messages().iter().map(|m| u32::from_le_bytes(m[..].try_into().unwrap())).collect();
    assert_eq!(got, (0..2000).collect::<Vec<_>>());
    let first =
        b.seen.events().into_iter().find(|e| *e == Event::Connected(a.id) || matches!(e, Event::Message(..)));
    assert_eq!(first, Some(Event::Connected(a.id)), "connected comes before the first message");
    assert!(
        b.seen
            .events()
            .iter()
            .all(|e| !matches!(e, Event::Message(from, p, _) if *from != a.id || *p != Purpose::Journal))
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_is_reached_by_another_address_is_dialled_there_and_must_still_be_that_peer() {
    let f = Federation::new();
    let (b, c) = (
        Node::start(f.tls("sz-a-1"), config("sz-a-1")).await,
        Node::start(f.tls("gz-c-1"), config("gz-c-1")).await,
    );
    let nowhere = eport_transport::Peer { node: b.id, addr: "127.0.0.1:9".parse().unwrap() };
    let mut through = config("gz-a-1");
    through.via = [(b.id, b.transport.local_addr())].into();
    let a = Node::start(f.tls("gz-a-1"), through).await;
    a.transport.set_peers(vec![nowhere]);
    until("connected by the other address", || a.sees(&b)).await;
    let mut wrong = config("gz-b-1");
    wrong.via = [(b.id, c.transport.local_addr())].into();
    let d = Node::start(f.tls("gz-b-1"), wrong).await;
    d.transport.set_peers(vec![b.peer()]);
    until("somebody else is refused", || d.transport.failure(b.id).is_some()).await;
    assert!(!d.sees(&b) && !d.sees(&c));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_nodes_answer_each_other_and_tell_their_software() {
    let f = Federation::new();
    let mut nodes = Vec::new();
    for name in ["gz-a-1", "gz-c-1", "sz-a-1"] {
        let software = format!("1.0-{name}");
        nodes.push(Node::start(f.tls(name), eport_transport::Config { software, ..config(name) }).await);
    }
    for node in &nodes {
        node.knows(&nodes.iter().collect::<Vec<_>>());
    }
    for a in &nodes {
        let others: Vec<&Node> = nodes.iter().filter(|n| n.id != a.id).collect();
        until("all connected", || others.iter().all(|b| a.sees(b))).await;
        for b in others {
            assert_eq!(a.ask(b, "abc").await.unwrap(), "cba");
            let facts = a.transport.peer(b.id).unwrap();
            assert_eq!((facts.software, facts.incarnation), (format!("1.0-{}", b.id), 1));
            assert!(a.transport.last_seen(b.id).unwrap() < Duration::from_secs(5));
        }
        assert_eq!(a.transport.connected().borrow().len(), 2);
        assert_eq!(a.transport.peers().len(), 2);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn payloads_at_the_limit_pass_and_longer_ones_are_refused_before_sending() {
    let (a, b) = pair(config("gz-a-1"), config("sz-a-1")).await;
    for purpose in Purpose::ALL {
        let limit = purpose.payload_len_max();
        let long = Bytes::from(vec![7u8; limit + 1]);
        let refused = a.transport.request(b.id, purpose, long.clone(), LIMIT).await.unwrap_err();
        assert!(matches!(refused, RequestError::TooLong(_)), "{purpose}: {refused}");
        assert_eq!(refused.code(), codes::FRAME_TOO_LONG);
        assert!(matches!(a.transport.send(b.id, purpose, long.clone()), Err(SendError::TooLong(_))));
        let answer =
            a.transport.request(b.id, purpose, long.slice(1..), Duration::from_secs(60)).await.unwrap();
        assert_eq!(answer.len(), limit, "{purpose}");
    }
    let payload = Bytes::from(vec![9u8; Purpose::Journal.payload_len_max()]);
    a.transport.send(b.id, Purpose::Journal, payload.clone()).unwrap();
    until("a journal message at the limit", || b.seen.messages() == [payload.clone()]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bulk_connection_is_dialled_when_first_needed_and_only_once() {
    let (a, b) = pair(config("gz-a-1"), config("sz-a-1")).await;
    until("one connection", || a.transport.connections_open() == 1).await;
    let ask = |from: &Node, to: &Node| {
        let (transport, to) = (from.transport.clone(), to.id);
        async move { transport.request(to, Purpose::Forward, Bytes::from_static(b"ab"), LIMIT).await }
    };
    let answers = tokio::join!(ask(&a, &b), ask(&a, &b), ask(&b, &a), ask(&b, &a));
    for answer in [answers.0, answers.1, answers.2, answers.3] {
        // A crossing dial may cut a request of the losing connection off; that is a retryable error, never a hang.
        match answer {
            Ok(bytes) => assert_eq!(bytes, "ba"),
            Err(e) => assert!(e.retryable(), "{e}"),
        }
    }
    until("two connections", || a.transport.connections_open() == 2 && b.transport.connections_open() == 2)
        .await;
    assert_eq!(ask(&b, &a).await.unwrap(), "ba");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_without_answer_ends_at_its_timeout_and_others_go_on() {
    let (a, b) = pair(config("gz-a-1"), config("sz-a-1")).await;
    let limit = Duration::from_millis(200);
    let slow = a.transport.request(b.id, Purpose::Registry, Bytes::from_static(b"slow"), limit);
    let (slow, quick) = tokio::join!(slow, a.ask(&b, "xy"));
    let slow = slow.unwrap_err();
    assert!(matches!(slow, RequestError::Timeout { .. }) && slow.retryable(), "{slow}");
    assert_eq!(slow.code(), codes::PEER_TIMEOUT);
    assert_eq!(quick.unwrap(), "yx");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_requests_of_one_purpose_do_not_hold_up_another() {
    let limits = eport_transport::Config { requests_max: 2, ..config("sz-a-1") };
    let (a, b) = pair(config("gz-a-1"), limits).await;
    for _ in 0..8 {
        let (transport, to) = (a.transport.clone(), b.id);
        tokio::spawn(async move {
            transport.request(to, Purpose::Registry, Bytes::from_static(b"slow"), LIMIT).await
        });
    }
    let limit = Duration::from_secs(2);
    let raft = a.transport.request(b.id, Purpose::Raft, Bytes::from_static(b"vote"), limit).await;
    assert_eq!(raft.unwrap(), "etov");
}

/// On one thread the writer cannot run between two sends, so the second one must find the queue full.
#[tokio::test(flavor = "current_thread")]
async fn a_full_queue_refuses_at_once_and_empties_again() {
    let limits = eport_transport::Config { queue_count_max: 2, queue_bytes_max: 1000, ..config("gz-a-1") };
    let (a, b) = pair(limits, config("sz-a-1")).await;
    let send = |n: usize| a.transport.send(b.id, Purpose::Raft, Bytes::from(vec![0; n]));
    let full = Err(SendError::QueueFull { to: b.id, purpose: Purpose::Raft });
    assert_eq!((send(5000), send(1)), (Ok(()), full.clone()), "bytes");
    until("drained", || b.seen.messages().len() == 1).await;
    until("bytes given back", || send(1).is_ok()).await;
    until("drained", || b.seen.messages().len() == 2).await;
    assert_eq!((send(1), send(1), send(1)), (Ok(()), Ok(()), full), "count");
    assert_eq!(SendError::QueueFull { to: b.id, purpose: Purpose::Raft }.code(), codes::PEER_BUSY);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_connection_sending_and_asking_fail_at_once() {
    let f = Federation::new();
    let a = Node::start(f.tls("gz-a-1"), config("gz-a-1")).await;
    let nobody = id("nobody");
    let sent = a.transport.send(nobody, Purpose::Raft, Bytes::new());
    assert_eq!(sent, Err(SendError::NotConnected(nobody)));
    for purpose in [Purpose::Raft, Purpose::Forward] {
        let asked = a.transport.request(nobody, purpose, Bytes::new(), LIMIT).await;
        assert_eq!(asked, Err(RequestError::NotConnected(nobody)));
    }
    assert_eq!((a.transport.peer(nobody), a.transport.last_seen(nobody)), (None, None));
}
