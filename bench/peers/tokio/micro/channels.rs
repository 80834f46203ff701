//! Channels: Tokio's mpsc where one task receives, and the crate async-channel where many do.

use tokio::sync::mpsc;

use crate::{divisor, Measured};

async fn answer(mut from: mpsc::Receiver<i64>, to: mpsc::Sender<i64>) {
    while let Some(x) = from.recv().await {
        to.send(x + 1).await.unwrap();
    }
}

pub async fn chan_unbuf_pingpong() -> Measured {
    let count = 1_000_000 / divisor();
    let (there, there_end) = mpsc::channel(1);
    let (back_end, mut back) = mpsc::channel(1);
    tokio::spawn(answer(there_end, back_end));
    let mut x = 0;
    for _ in 0..count {
        there.send(x).await.unwrap();
        x = back.recv().await.unwrap();
    }
    Measured::new(count, x == count)
}

pub async fn produce(to: mpsc::Sender<i64>, count: i64) {
    for i in 1..=count {
        to.send(i).await.unwrap();
    }
}

pub async fn chan_buf() -> Measured {
    let count = 10_000_000 / divisor();
    let (sender, mut items) = mpsc::channel(128);
    tokio::spawn(produce(sender, count));
    let mut sum = 0;
    while let Some(x) = items.recv().await {
        sum += x;
    }
    Measured::new(count, sum == count * (count + 1) / 2)
}

async fn produce_for_many(to: async_channel::Sender<i64>, count: i64) {
    for i in 1..=count {
        to.send(i).await.unwrap();
    }
}

async fn consume(from: async_channel::Receiver<i64>) -> i64 {
    let mut sum = 0;
    while let Ok(x) = from.recv().await {
        sum += x;
    }
    sum
}

/// Sends 1 to each through the channel from every producer, and has the consumers add up.
async fn many_to_many(producers: i64, consumers: i64, each: i64, capacity: usize) -> Measured {
    let (sender, receiver) = async_channel::bounded(capacity);
    let consumers: Vec<_> = (0..consumers)
        .map(|_| tokio::spawn(consume(receiver.clone())))
        .collect();
    for _ in 0..producers {
        tokio::spawn(produce_for_many(sender.clone(), each));
    }
    // The last sender to go closes the channel.
    drop(sender);
    let mut sum = 0;
    for consumer in consumers {
        sum += consumer.await.unwrap();
    }
    Measured::new(producers * each, sum == producers * (each * (each + 1) / 2))
}

pub async fn chan_mpmc() -> Measured {
    many_to_many(4, 4, 1_000_000 / divisor(), 128).await
}

pub async fn chan_popular() -> Measured {
    many_to_many(1, 1000, 1_000_000 / divisor(), 1).await
}

async fn generate(to: mpsc::Sender<i64>) {
    let mut i = 2;
    while to.send(i).await.is_ok() {
        i += 1;
    }
}

async fn filter(mut from: mpsc::Receiver<i64>, to: mpsc::Sender<i64>, prime: i64) {
    while let Some(x) = from.recv().await {
        if x % prime != 0 && to.send(x).await.is_err() {
            return;
        }
    }
}

pub async fn sieve() -> Measured {
    let (count, last) = if divisor() == 1 {
        (2000, 17389)
    } else {
        (20, 71)
    };
    let (sender, mut numbers) = mpsc::channel(1);
    tokio::spawn(generate(sender));
    let mut prime = 0;
    for _ in 0..count {
        prime = numbers.recv().await.unwrap();
        let (sender, filtered) = mpsc::channel(1);
        tokio::spawn(filter(numbers, sender, prime));
        numbers = filtered;
    }
    Measured::new(count, prime == last)
}
