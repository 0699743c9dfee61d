//! What the log promises to who reads it.

use std::time::Duration;

use super::*;
use crate::model::{Position, Rule};

pub(crate) async fn pages_come_in_order_without_a_gap<F: Fixture>(fixture: F) {
    let (store, epoch) = ready(&fixture).await;
    let other = fixture.open().await;
    let mut appended: Vec<Rule> = Vec::new();
    for turn in 0..25 {
        let name = format!("t{turn}");
        Ask::task(&name, epoch).record(&store).await.unwrap();
        appended.extend(complete(if turn % 2 == 0 { &store } else { &other }, &name).await.rules);
    }
    for (store, limit) in [(&store, 7), (&other, 7), (&store, 1), (&other, 25), (&other, 1000)] {
        let (mut after, mut told) = (Position::START, Vec::new());
        loop {
            let page = store.log(after, limit).await.unwrap();
            assert!(page.entries.len() <= limit);
            assert_eq!((page.head.epoch, page.head.position.get()), (epoch, 25));
            assert!(page.upto >= after && page.upto <= page.head.position);
            told.extend(page.entries.into_iter().map(|entry| entry.rule));
            if page.upto == page.head.position {
                break;
            }
            assert!(page.upto > after, "a page that leaves something over moves on");
            after = page.upto;
        }
        assert_eq!(told, appended, "pages of {limit}");
    }
    let page = store.log(Position::new(25), 10).await.unwrap();
    assert_eq!((page.entries, page.upto.get()), (vec![], 25));
    assert!(appended.iter().zip(1..).all(|(rule, at)| rule.position.get() == at));
}

pub(crate) async fn rules_tell_the_audiences_they_concern<F: Fixture>(fixture: F) {
    let (store, epoch) = ready(&fixture).await;
    let (a, b) = ("https://a.example", "https://b.example");
    Ask::task("t", epoch).audience(a).record(&store).await.unwrap();
    Ask::task("t/child", epoch).audience(b).record(&store).await.unwrap();
    Ask::task("u", epoch).audience("https://c.example").record(&store).await.unwrap();
    let lease = Ask::task("v", epoch).audience(b).record(&store).await.unwrap();
    complete(&store, "t/child").await;
    complete(&store, "t").await;
    end(&store, EndTarget::Lease(lease.id)).await;
    end(&store, EndTarget::Workload(workload(WORKLOAD))).await;
    let page = fixture.open().await.log(Position::START, 10).await.unwrap();
    let told: Vec<Vec<AudienceUri>> = page
        .entries
        .into_iter()
        .map(|mut entry| {
            entry.audiences.sort();
            entry.audiences
        })
        .collect();
    assert_eq!(told, [vec![audience(b)], vec![audience(a), audience(b)], vec![audience(b)], vec![]]);
}

pub(crate) async fn another_broker_hears_that_the_log_moved<F: Fixture>(fixture: F) {
    let (store, epoch) = ready(&fixture).await;
    let other = fixture.open().await;
    Ask::task("t", epoch).record(&store).await.unwrap();
    for (listener, name) in [(&other, "t"), (&store, "u")] {
        Ask::task(name, epoch).record(&store).await.unwrap();
        let mut moved = listener.moved();
        moved.borrow_and_update();
        complete(&store, name).await;
        let heard = async {
            while listener.head().await.unwrap().position == Position::START {
                moved.changed().await.expect("the store lives");
            }
        };
        tokio::time::timeout(Duration::from_secs(5), heard).await.expect("nobody told it");
        tokio::time::timeout(Duration::from_secs(5), moved.changed()).await.expect("nobody told it").unwrap();
    }
}
