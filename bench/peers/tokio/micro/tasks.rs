//! Starting tasks, calling and ending them, and taking turns.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::sync::{mpsc, Mutex};
use tokio::task::JoinHandle;

use crate::{divisor, Measured};

async fn same(x: i64) -> i64 {
    x
}

/// A list of handles is what comes nearest to a WaitGroup, and is cheaper than a JoinSet.
pub async fn spawn_join() -> Measured {
    let batches = 1000 / divisor();
    let mut handles = Vec::with_capacity(1000);
    let mut sum = 0;
    for _ in 0..batches {
        for _ in 0..1000 {
            handles.push(tokio::spawn(same(1)));
        }
        for handle in handles.drain(..) {
            sum += handle.await.unwrap();
        }
    }
    Measured::new(batches * 1000, sum == batches * 1000)
}

async fn add_one(x: i64) -> i64 {
    x + 1
}

pub async fn spawn_seq() -> Measured {
    let count = 1_000_000 / divisor();
    let mut x = 0;
    for _ in 0..count {
        x = tokio::spawn(add_one(x)).await.unwrap();
    }
    Measured::new(count, x == count)
}

/// Keeps the compiler from making the awaited function a part of the one that awaits.
struct NotInlined<F>(F);

impl<F: Future> Future for NotInlined<F> {
    type Output = F::Output;

    #[inline(never)]
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        // SAFETY: the future is pinned where self is, and is never moved out of it.
        unsafe { self.map_unchecked_mut(|it| &mut it.0) }.poll(context)
    }
}

/// A future that is awaited is a part of its caller's: nothing is allocated.
pub async fn await_call() -> Measured {
    let count = 10_000_000 / divisor();
    let mut x = 0;
    for _ in 0..count {
        x = NotInlined(add_one(x)).await;
    }
    Measured::new(count, x == count)
}

/// Tokio's own mutex, which may be held over an await; so short a section would rather take the
/// standard library's.
pub async fn mutex() -> Measured {
    let each = 1_000_000 / divisor();
    let counter = Arc::new(Mutex::new(0));
    let lock_often = |counter: Arc<Mutex<i64>>| async move {
        for _ in 0..each {
            *counter.lock().await += 1;
        }
    };
    let tasks: Vec<_> = (0..4)
        .map(|_| tokio::spawn(lock_often(counter.clone())))
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let right = *counter.lock().await == 4 * each;
    Measured::new(4 * each, right)
}

async fn yield_often(count: i64) {
    for _ in 0..count {
        tokio::task::yield_now().await;
    }
}

pub async fn yields() -> Measured {
    let each = 5_000_000 / divisor();
    let first = tokio::spawn(yield_often(each));
    let second = tokio::spawn(yield_often(each));
    first.await.unwrap();
    second.await.unwrap();
    Measured::new(2 * each, true)
}

/// A tree in which each task starts ten, down to the leaves, and adds up their numbers.
fn skynet_node(number: i64, leaves: i64) -> JoinHandle<i64> {
    tokio::spawn(async move {
        if leaves == 1 {
            return number;
        }
        let tenth = leaves / 10;
        let mut children = Vec::with_capacity(10);
        children.extend((0..10).map(|i| skynet_node(number + i * tenth, tenth)));
        let mut sum = 0;
        for child in children {
            sum += child.await.unwrap();
        }
        sum
    })
}

pub async fn skynet() -> Measured {
    let leaves = 1_000_000 / divisor();
    let sum = skynet_node(0, leaves).await.unwrap();
    Measured::new(leaves, sum == leaves * (leaves - 1) / 2)
}

fn start_skynet_chan_node(result: mpsc::Sender<i64>, number: i64, leaves: i64) {
    tokio::spawn(async move {
        if leaves == 1 {
            result.send(number).await.unwrap();
            return;
        }
        let tenth = leaves / 10;
        let (sender, mut results) = mpsc::channel(1);
        for i in 0..10 {
            start_skynet_chan_node(sender.clone(), number + i * tenth, tenth);
        }
        let mut sum = 0;
        for _ in 0..10 {
            sum += results.recv().await.unwrap();
        }
        result.send(sum).await.unwrap();
    });
}

pub async fn skynet_chan() -> Measured {
    let leaves = 1_000_000 / divisor();
    let (sender, mut result) = mpsc::channel(1);
    start_skynet_chan_node(sender, 0, leaves);
    let sum = result.recv().await.unwrap();
    Measured::new(leaves, sum == leaves * (leaves - 1) / 2)
}
