//! Waiting for the first of several things, in the random order that select! has by default.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::sleep;

use crate::channels::produce;
use crate::{divisor, Measured};

async fn select_over_four(capacity: usize) -> Measured {
    let each = 500_000 / divisor();
    let start = || {
        let (sender, receiver) = mpsc::channel(capacity);
        tokio::spawn(produce(sender, each));
        receiver
    };
    let (mut a, mut b, mut c, mut d) = (start(), start(), start(), start());
    let mut sum = 0;
    // A channel whose sender has gone is a disabled branch.
    for _ in 0..4 * each {
        tokio::select! {
            Some(x) = a.recv() => sum += x,
            Some(x) = b.recv() => sum += x,
            Some(x) = c.recv() => sum += x,
            Some(x) = d.recv() => sum += x,
        }
    }
    Measured::new(4 * each, sum == 4 * (each * (each + 1) / 2))
}

pub async fn select4() -> Measured {
    select_over_four(1).await
}

pub async fn select4_buf() -> Measured {
    select_over_four(128).await
}

/// The timer takes effect only when it is looked at: not at all whenever the ready channel comes
/// first in the random order.
pub async fn select_timeout() -> Measured {
    let count = 1_000_000 / divisor();
    let (sender, mut ready) = mpsc::channel(1);
    let mut sum = 0;
    let mut timeouts = 0;
    for _ in 0..count {
        sender.try_send(1).unwrap();
        tokio::select! {
            Some(x) = ready.recv() => sum += x,
            () = sleep(Duration::from_secs(1)) => timeouts += 1,
        }
    }
    Measured::new(count, sum == count && timeouts == 0)
}
