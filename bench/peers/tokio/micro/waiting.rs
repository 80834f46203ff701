//! Very many tasks that wait.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::{yield_now, JoinHandle};
use tokio_util::sync::CancellationToken;

use crate::process::{cpu_time, peak_resident, resident};
use crate::{divisor, Measured};

/// Joins the tasks and counts those that found what they should.
async fn count_right(tasks: Vec<JoinHandle<bool>>) -> i64 {
    let mut right = 0;
    for task in tasks {
        right += i64::from(task.await.unwrap());
    }
    right
}

/// The CPU time of a sleeper, from its start to its end.
pub async fn timers() -> Measured {
    let count = 1_000_000 / divisor();
    let mut random: u64 = 1;
    let mut longest = Duration::ZERO;
    let mut sleepers = Vec::with_capacity(count as usize);
    let (start, cpu_start) = (Instant::now(), cpu_time());
    for _ in 0..count {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let duration = Duration::from_millis(1 + random % 1000);
        longest = longest.max(duration);
        sleepers.push(tokio::spawn(async move {
            tokio::time::sleep(duration).await;
            true
        }));
    }
    let woken = count_right(sleepers).await;
    let elapsed = start.elapsed();
    let cpu = cpu_time() - cpu_start;
    Measured {
        elapsed: Some(elapsed),
        ns_per_op: Some(cpu.as_nanos() as f64 / count as f64),
        extra: format!(
            "wall={:.3}s rss={}MB",
            elapsed.as_secs_f64() - 1.0,
            peak_resident() >> 20
        ),
        ..Measured::new(count, woken == count && elapsed >= longest)
    }
}

/// The resident memory of a task that waits to receive.
pub async fn mem_tasks() -> Measured {
    let count = 1_000_000 / divisor();
    let mut tasks = Vec::with_capacity(count as usize);
    let started = Arc::new(AtomicI64::new(0));
    let (never, receiver) = async_channel::bounded::<i64>(1);
    let before = resident();
    let start = Instant::now();
    for _ in 0..count {
        let receiver = receiver.clone();
        let started = started.clone();
        tasks.push(tokio::spawn(async move {
            started.fetch_add(1, Ordering::Relaxed);
            receiver.recv().await.is_err()
        }));
    }
    while started.load(Ordering::Relaxed) < count {
        yield_now().await;
    }
    let elapsed = start.elapsed();
    let each = (resident() - before) / count;
    never.close();
    let ended = count_right(tasks).await;
    Measured {
        elapsed: Some(elapsed),
        ns_per_op: Some(0.0),
        extra: format!("bytes={}", each),
        ..Measured::new(count, ended == count)
    }
}

/// From the cancellation until the last of those that waited for it has ended.
pub async fn ctx_cancel() -> Measured {
    let count = 100_000 / divisor();
    let mut tasks = Vec::with_capacity(count as usize);
    let started = Arc::new(AtomicI64::new(0));
    let token = CancellationToken::new();
    let set_up = Instant::now();
    for _ in 0..count {
        let token = token.clone();
        let started = started.clone();
        tasks.push(tokio::spawn(async move {
            started.fetch_add(1, Ordering::Relaxed);
            token.cancelled().await;
            token.is_cancelled()
        }));
    }
    while started.load(Ordering::Relaxed) < count {
        yield_now().await;
    }
    let start = Instant::now();
    token.cancel();
    let ended = count_right(tasks).await;
    Measured {
        elapsed: Some(start.elapsed()),
        extra: format!("setup={:.3}s", (start - set_up).as_secs_f64()),
        ..Measured::new(count, ended == count)
    }
}
