//! Several writers of one key at a time.

use super::{get, put, send, start};

const WRITERS: usize = 16;
const ROUNDS: usize = 20;

#[tokio::test(flavor = "multi_thread")]
async fn of_all_who_make_a_key_at_a_time_one_is_told_that_it_was_absent() {
    let (_larder, clients) = start().await;
    for (headers, others) in [(vec![], 204), (vec![("if-none-match", "*")], 412)] {
        for round in 0..ROUNDS {
            let path = format!("/kv/n/{others}/{round}");
            let tasks = (0..WRITERS).map(|writer| {
                let (client, path, headers) = (clients[writer % 2], path.clone(), headers.clone());
                tokio::spawn(async move {
                    send(&client, "PUT", &path, &headers, writer.to_string()).await
                })
            });
            let tasks: Vec<_> = tasks.collect();
            let (mut made, mut last) = (0, (0, String::new()));
            for (writer, task) in tasks.into_iter().enumerate() {
                let reply = task.await.unwrap();
                if reply.status != 201 {
                    assert_eq!(reply.status, others, "{reply:?}");
                }
                made += usize::from(reply.status == 201);
                if let Some(tag) = reply.header("etag") {
                    let version = tag.trim_matches('"').parse::<u64>().unwrap();
                    last = last.max((version, writer.to_string()));
                }
            }
            assert_eq!(made, 1, "{path}");
            assert_eq!(get(&clients[0], &path).await.body, last.1);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_change_is_lost_by_those_who_demand_the_version_that_they_read() {
    let (_larder, clients) = start().await;
    put(&clients[0], "/kv/n/count", "0").await;
    // One tag is judged by the writer alone; of a list the version is read first.
    let tasks = (0..WRITERS).map(|writer| {
        let client = clients[writer % 2];
        tokio::spawn(async move {
            let mut added = 0;
            while added < ROUNDS {
                let found = get(&client, "/kv/n/count").await;
                let tag = found.header("etag").unwrap().to_owned();
                let tag = if writer % 4 < 2 { tag } else { format!("\"1\", {tag}") };
                let count: usize = String::from_utf8_lossy(&found.body).parse().unwrap();
                let count = (count + 1).to_string();
                let reply = send(&client, "PUT", "/kv/n/count", &[("if-match", &tag)], count).await;
                assert!(matches!(reply.status, 204 | 412), "{reply:?}");
                added += usize::from(reply.status == 204);
            }
        })
    });
    let tasks: Vec<_> = tasks.collect();
    for task in tasks {
        task.await.unwrap();
    }
    let total = (WRITERS * ROUNDS).to_string();
    assert_eq!(get(&clients[0], "/kv/n/count").await.body, total);
}
