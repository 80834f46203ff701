//! What one operation of Tokio costs: the twin of ringo-micro, with the same benches.
//!
//! ```text
//! tokio-micro list             the benches, a line each: BENCH THREADS
//! tokio-micro BENCH THREADS    one line of CSV:
//!                              peer,bench,params,ops,seconds,ns_per_op,extra
//! tokio-micro --quick          each bench once, briefly: shows that they work
//! ```
//!
//! Exits with 2 for a bench or a number of threads that there is not, with 3 if a bench does not
//! compute what it should. One thread is the current_thread runtime, two are the multi_thread
//! runtime with two workers.

mod channels;
mod process;
mod selects;
mod tasks;
mod waiting;

use std::future::Future;
use std::io::Write;
use std::pin::Pin;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

/// Scales the amount of work; 1 in a real run.
static DIVISOR: AtomicI64 = AtomicI64::new(1);

pub fn divisor() -> i64 {
    DIVISOR.load(Ordering::Relaxed)
}

/// What a bench found. Most leave it to `measure` to take the time.
#[derive(Default)]
pub struct Measured {
    pub operations: i64,
    pub right: bool,
    /// The part that counts, if not all of it does.
    pub elapsed: Option<Duration>,
    /// What stands in for the nanoseconds of elapsed time per operation.
    pub ns_per_op: Option<f64>,
    /// More to tell, in words of the form name=value.
    pub extra: String,
}

impl Measured {
    pub fn new(operations: i64, right: bool) -> Self {
        Measured {
            operations,
            right,
            ..Default::default()
        }
    }
}

type Run = fn() -> Pin<Box<dyn Future<Output = Measured> + Send>>;

struct Bench {
    name: &'static str,
    params: &'static str,
    run: Run,
    most_threads: usize,
}

macro_rules! bench {
    ($name:expr, $params:expr, $run:path, $most_threads:expr) => {
        Bench {
            name: $name,
            params: $params,
            run: || Box::pin($run()),
            most_threads: $most_threads,
        }
    };
}

/// What is measured, in ringo-micro's words, and after a semicolon what Tokio does otherwise: it
/// has no unbuffered channels, so that one of capacity 1 has to do.
static BENCHES: &[Bench] = &[
    bench!("spawn_join", "batches of 1000", tasks::spawn_join, 2),
    bench!("spawn_seq", "", tasks::spawn_seq, 2),
    bench!("await_call", "not inlined", tasks::await_call, 1),
    bench!(
        "chan_unbuf_pingpong",
        "round trips; mpsc of capacity 1",
        channels::chan_unbuf_pingpong,
        2
    ),
    bench!("chan_buf", "1:1 capacity 128", channels::chan_buf, 2),
    bench!(
        "chan_mpmc",
        "4:4 capacity 128; async-channel",
        channels::chan_mpmc,
        2
    ),
    bench!(
        "chan_popular",
        "1:1000 unbuffered; async-channel of capacity 1",
        channels::chan_popular,
        2
    ),
    bench!(
        "select4",
        "unbuffered; mpsc of capacity 1",
        selects::select4,
        2
    ),
    bench!("select4_buf", "capacity 128", selects::select4_buf, 2),
    bench!(
        "select_timeout",
        "ready channel and a timer of 1 s",
        selects::select_timeout,
        2
    ),
    bench!("mutex", "4 goroutines", tasks::mutex, 2),
    bench!("yield", "2 goroutines", tasks::yields, 2),
    bench!("timers", "sleeps of 1 to 1000 ms", waiting::timers, 2),
    bench!(
        "mem_tasks",
        "blocked on a channel; async-channel",
        waiting::mem_tasks,
        2
    ),
    bench!("skynet", "leaves by join handles", tasks::skynet, 2),
    bench!(
        "skynet_chan",
        "leaves by unbuffered channels; mpsc of capacity 1",
        tasks::skynet_chan,
        2
    ),
    bench!(
        "sieve",
        "primes by unbuffered channels; mpsc of capacity 1",
        channels::sieve,
        2
    ),
    bench!(
        "ctx_cancel",
        "waiting goroutines; CancellationToken",
        waiting::ctx_cancel,
        2
    ),
];

fn list(to: &mut dyn Write) {
    for bench in BENCHES {
        for threads in 1..=bench.most_threads {
            writeln!(to, "{} {}", bench.name, threads).expect("cannot write");
        }
    }
}

/// Without the driver for sockets, which no bench needs: the runtime polls it whenever all have
/// yielded.
fn runtime(threads: usize) -> tokio::runtime::Runtime {
    let mut builder = match threads {
        1 => tokio::runtime::Builder::new_current_thread(),
        _ => tokio::runtime::Builder::new_multi_thread(),
    };
    if threads > 1 {
        builder.worker_threads(threads);
    }
    builder.enable_time().build().expect("no runtime")
}

/// Returns the status to exit with.
fn measure(bench: &Bench, threads: usize) -> i32 {
    let runtime = runtime(threads);
    // As a task of its own: what block_on itself runs is none, and dearer to wake.
    let (found, elapsed) = runtime.block_on(async {
        let run = (bench.run)();
        tokio::spawn(async move {
            let start = Instant::now();
            let found = run.await;
            let elapsed = found.elapsed.unwrap_or_else(|| start.elapsed());
            (found, elapsed)
        })
        .await
        .expect("the bench failed")
    });
    runtime.shutdown_background();
    let seconds = elapsed.as_secs_f64();
    let ns_per_op = found
        .ns_per_op
        .unwrap_or(seconds * 1e9 / found.operations as f64);
    let space = if found.extra.is_empty() { "" } else { " " };
    println!(
        "tokio,{},{},{},{:.6},{:.2},threads={}{}{}",
        bench.name, bench.params, found.operations, seconds, ns_per_op, threads, space, found.extra
    );
    if found.right {
        return 0;
    }
    eprintln!("tokio-micro: {} computed a wrong result", bench.name);
    3
}

fn quick() -> i32 {
    DIVISOR.store(1000, Ordering::Relaxed);
    let mut worst = 0;
    for bench in BENCHES {
        for threads in 1..=bench.most_threads {
            worst = worst.max(measure(bench, threads));
        }
    }
    worst
}

fn usage() -> i32 {
    eprintln!("usage: tokio-micro list | --quick | BENCH THREADS");
    list(&mut std::io::stderr());
    2
}

fn run(args: &[&str]) -> i32 {
    match args {
        ["list"] => {
            list(&mut std::io::stdout());
            0
        }
        ["--quick"] => quick(),
        [name, threads] => {
            let bench = BENCHES.iter().find(|bench| bench.name == *name);
            match (bench, threads.parse()) {
                (Some(bench), Ok(threads)) if (1..=bench.most_threads).contains(&threads) => {
                    measure(bench, threads)
                }
                _ => usage(),
            }
        }
        _ => usage(),
    }
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    std::process::exit(run(&args));
}
