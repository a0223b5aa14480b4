//! Writing the packets of a host into a file that tcpdump and Wireshark read: classic pcap, as `tcpdump -i any -w` does.

use std::cell::RefCell;
use std::fs::File;
use std::io::{self, BufWriter, Read as _, Write};
use std::os::fd::AsFd as _;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::SignalFd;
use pcap_file::pcap::{PcapHeader, PcapPacket, PcapWriter};
use pcap_file::{DataLink, Endianness, PcapError, TsResolution};

use super::cooked::{LARGEST, PacketSocket};
use super::{Door, EnterError};

/// Where packets are written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// A file, which is replaced.
    File(PathBuf),
    /// Standard output.
    Stdout,
}

impl std::fmt::Display for Output {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Output::File(path) => path.display().fmt(f),
            Output::Stdout => f.write_str("standard output"),
        }
    }
}

/// When a capture ends by itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Limits {
    /// After so many packets.
    pub count: Option<u64>,
    /// After so long.
    pub duration: Option<Duration>,
}

/// Why packets are not captured.
#[derive(Debug, thiserror::Error)]
pub enum CaptureError {
    /// The host cannot be entered.
    #[error(transparent)]
    Enter(#[from] EnterError),
    /// The packets cannot be had.
    #[error("the packets of {host} cannot be had: {source}")]
    Socket {
        /// The host.
        host: String,
        /// Why not.
        source: io::Error,
    },
    /// They cannot be written.
    #[error("{output} cannot be written: {source}\n  to mend it: name another file with --output")]
    Write {
        /// Where.
        output: Output,
        /// Why not.
        source: io::Error,
    },
}

/// What a capture brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Captured {
    /// Packets written.
    pub packets: u64,
    /// Packets that the kernel dropped since the capture did not keep up.
    pub dropped: u32,
}

impl Captured {
    /// The line for the person.
    pub fn describe(&self, output: &Output) -> String {
        let packets = if self.packets == 1 { "packet" } else { "packets" };
        let dropped = match self.dropped {
            0 => String::new(),
            dropped => format!("; {dropped} more were dropped: the capture did not keep up"),
        };
        format!("{} {packets} written to {output}{dropped}", self.packets)
    }
}

/// Captures until a limit, SIGINT or SIGTERM. Calls `ready` once every packet from then on is seen. To be called while the
/// process has one thread. When the lab ends, so does the process, with exit code 1 and the same line.
///
/// # Errors
/// [`CaptureError`]; what was written until then is readable.
pub fn capture(door: &Door, output: &Output, limits: Limits, ready: impl FnOnce()) -> Result<Captured, CaptureError> {
    let failed = |source| CaptureError::Socket { host: door.host.clone(), source };
    let unwritten = |source| CaptureError::Write { output: output.clone(), source };
    let signals: SigSet = [Signal::SIGINT, Signal::SIGTERM].into_iter().collect();
    signals.thread_block().map_err(|error| failed(error.into()))?;
    let signals = SignalFd::new(&signals).map_err(|error| failed(error.into()))?;
    let lab = door.until_the_end()?;
    door.join_user_namespace()?;
    door.join_network()?;
    let mut socket = PacketSocket::open().map_err(failed)?;
    let sink: Box<dyn Write> = match output {
        Output::File(path) => Box::new(File::create(path).map_err(unwritten)?),
        Output::Stdout => Box::new(io::stdout()),
    };
    let mut records = Records::begin(sink).map_err(unwritten)?;
    let written = Arc::new(AtomicU64::new(0));
    let (counted, to) = (Arc::clone(&written), output.clone());
    // A thread of its own: the capture itself may be held up by whoever reads what it writes, and its socket would keep
    // the network of a lab that is gone.
    let watch = std::thread::Builder::new().name("lab".into()).spawn(move || {
        let mut lab = lab;
        // Nothing is ever sent: whatever comes of it is the end.
        let _ = lab.read(&mut [0]);
        let captured = Captured { packets: counted.load(Ordering::Acquire), dropped: 0 };
        anstream::eprintln!("the lab has ended; {}", captured.describe(&to));
        std::process::exit(1);
    });
    watch.map_err(failed)?;
    ready();
    let end = limits.duration.map(|duration| Instant::now() + duration);
    loop {
        while let Some(packet) = socket.next().map_err(failed)? {
            match records.write(packet.at, packet.bytes) {
                // Whoever read it has enough.
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(total(&written, &socket)),
                result => result.map_err(unwritten)?,
            }
            let packets = written.fetch_add(1, Ordering::AcqRel) + 1;
            // Packets may come so fast that it never waits.
            let is_late = end.is_some_and(|end| Instant::now() >= end);
            if limits.count.is_some_and(|count| packets >= count) || is_late || is_told(&signals).map_err(failed)? {
                return Ok(total(&written, &socket));
            }
        }
        if end.is_some_and(|end| Instant::now() >= end) || wait(&socket, &signals, end).map_err(failed)? {
            return Ok(total(&written, &socket));
        }
    }
}

fn total(written: &AtomicU64, socket: &PacketSocket) -> Captured {
    Captured { packets: written.load(Ordering::Acquire), dropped: socket.dropped }
}

/// Whether a signal has come.
fn is_told(signals: &SignalFd) -> io::Result<bool> {
    let mut polled = [PollFd::new(signals.as_fd(), PollFlags::POLLIN)];
    Ok(poll(&mut polled, PollTimeout::ZERO)? > 0)
}

/// Waits for a packet, a signal or the end. Returns whether it is a signal.
fn wait(socket: &PacketSocket, signals: &SignalFd, end: Option<Instant>) -> io::Result<bool> {
    let left = end.map(|end| end.saturating_duration_since(Instant::now()).as_millis() + 1);
    // Longer than the kernel waits at once is waited again.
    let timeout = left.map_or(PollTimeout::NONE, |left| PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX));
    let mut polled = [PollFd::new(socket.as_fd(), PollFlags::POLLIN), PollFd::new(signals.as_fd(), PollFlags::POLLIN)];
    match poll(&mut polled, timeout) {
        Ok(_) | Err(Errno::EINTR) => Ok(polled[1].any().unwrap_or_default()),
        Err(error) => Err(error.into()),
    }
}

/// The file: each record goes out whole, so that a capture that is killed leaves whole records.
struct Records {
    pcap: PcapWriter<Shared>,
    buffer: Shared,
}

/// What the writer of the format has, and what it does not give back to be flushed.
#[derive(Clone)]
struct Shared(Rc<RefCell<BufWriter<Box<dyn Write>>>>);

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.borrow_mut().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.borrow_mut().flush()
    }
}

impl Records {
    fn begin(sink: Box<dyn Write>) -> io::Result<Self> {
        // More than the largest record with its header.
        let buffer = Shared(Rc::new(RefCell::new(BufWriter::with_capacity(2 * LARGEST, sink))));
        let header = PcapHeader {
            datalink: DataLink::LINUX_SLL2,
            snaplen: LARGEST as u32,
            ts_resolution: TsResolution::MicroSecond,
            endianness: Endianness::native(),
            ..PcapHeader::default()
        };
        let pcap = PcapWriter::with_header(buffer.clone(), header).map_err(unwrapped)?;
        let mut records = Self { pcap, buffer };
        records.buffer.flush()?;
        Ok(records)
    }

    fn write(&mut self, at: Duration, bytes: &[u8]) -> io::Result<()> {
        let length = u32::try_from(bytes.len()).map_err(io::Error::other)?;
        self.pcap.write_packet(&PcapPacket::new(at, length, bytes)).map_err(unwrapped)?;
        self.buffer.flush()
    }
}

/// The error of I/O that it is, so that its kind is seen.
fn unwrapped(error: PcapError) -> io::Error {
    match error {
        PcapError::IoError(error) => error,
        error => io::Error::other(error),
    }
}
