// An echo server as one writes it with tokio: a task for each connection. Measured beside ringo's.
use std::io::Write;
use std::net::Ipv4Addr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{signal, SignalKind};

const USAGE: &str = "usage: tokio-echo [--port N] [--threads N] [--buffer N]
  --port N     listen there; 0: a free one, which is printed (0)
  --threads N  that run tasks (1)
  --buffer N   bytes to receive at a time (65536)";

struct Settings {
    port: u16,
    threads: usize,
    buffer: usize,
}

fn refuse(why: String) -> ! {
    eprintln!("tokio-echo: {}\n{}", why, USAGE);
    std::process::exit(2);
}

fn number<T: std::str::FromStr + PartialOrd>(flag: &str, text: &str, least: T) -> T {
    match text.parse() {
        Ok(value) if value >= least => value,
        _ => refuse(format!("{} cannot be '{}'", flag, text)),
    }
}

fn settings() -> Settings {
    let mut found = Settings {
        port: 0,
        threads: 1,
        buffer: 64 << 10,
    };
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        if argument == "--help" {
            println!("{}", USAGE);
            std::process::exit(0);
        }
        let (flag, joined) = match argument.split_once('=') {
            Some((flag, value)) => (flag.to_string(), Some(value.to_string())),
            None => (argument, None),
        };
        if !["--port", "--threads", "--buffer"].contains(&flag.as_str()) {
            refuse(format!("unknown argument {}", flag));
        }
        let value = match joined.or_else(|| arguments.next()) {
            Some(value) => value,
            None => refuse(format!("{} needs a value", flag)),
        };
        match flag.as_str() {
            "--port" => found.port = number(&flag, &value, 0),
            "--threads" => found.threads = number(&flag, &value, 1),
            _ => found.buffer = number(&flag, &value, 1),
        }
    }
    found
}

// On one thread the scheduler that needs no locks is what one would take.
fn runtime(threads: usize) -> std::io::Result<Runtime> {
    if threads == 1 {
        Builder::new_current_thread().enable_all().build()
    } else {
        Builder::new_multi_thread()
            .worker_threads(threads)
            .enable_all()
            .build()
    }
}

async fn echo(mut stream: TcpStream, size: usize) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = Vec::with_capacity(size); // not filled with zeros
    loop {
        buffer.clear();
        if stream.read_buf(&mut buffer).await? == 0 {
            return Ok(());
        }
        stream.write_all(&buffer).await?;
    }
}

async fn serve(listener: TcpListener, size: usize) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                tokio::spawn(echo(stream, size));
            }
            Err(error) => {
                // Out of descriptors, say: whoever is in the backlog stays there for a moment.
                eprintln!("tokio-echo: {}", error);
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
    }
}

async fn run(settings: &Settings) -> std::io::Result<()> {
    // Before the line below, whose reader may send the signal at once.
    let mut interrupt = signal(SignalKind::interrupt())?;
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind((Ipv4Addr::LOCALHOST, settings.port).into())?;
    let listener = socket.listen(4096)?; // TcpListener::bind takes 1024
    println!("listening on {}", listener.local_addr()?);
    std::io::stdout().flush()?;
    tokio::spawn(serve(listener, settings.buffer));
    interrupt.recv().await;
    Ok(())
}

fn main() {
    let settings = settings();
    let outcome = runtime(settings.threads).and_then(|runtime| runtime.block_on(run(&settings)));
    if let Err(error) = outcome {
        eprintln!("tokio-echo: {}", error);
        std::process::exit(1);
    }
}
