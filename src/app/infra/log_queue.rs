//! The queue of log lines: threads append lines to buffers in memory, and one thread writes them to the output, so that no
//! request waits for a slow reader of the log.
//!
//! A thread's lines stay in their order; lines of different threads may change places within a few milliseconds. A line
//! that finds its buffer full is dropped and counted. [`LogQueue::flush`] writes what is there, at a stop and on a panic.

use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError, TryLockError};
use std::thread::{self, Thread};
use std::time::Duration;

use super::per_thread::PerThread;

/// Most bytes that wait in one thread's buffer: about 2,000 lines of the access log.
const BUFFER_MAX: usize = 512 * 1024;
/// How long the writing thread collects lines before it writes them, so that a busy server makes 200 writes a second and
/// not one for each line.
const COLLECT_TIME: Duration = Duration::from_millis(5);
/// Longest time that a flush waits for the writing thread, whose write may be blocked by a reader that does not read.
const FLUSH_TIME_MAX: Duration = Duration::from_secs(1);
/// Dropped lines are reported once they are no longer dropped, or after so many batches.
const REPORT_AFTER: u32 = 200;

static QUEUE: OnceLock<LogQueue> = OnceLock::new();

/// The process's queue, if logging has been set up.
pub(crate) fn current() -> Option<&'static LogQueue> {
    QUEUE.get()
}

/// Sets up the process's queue and starts its thread. A later call changes nothing.
pub(crate) fn start(output: impl Write + Send + 'static) -> &'static LogQueue {
    let queue = QUEUE.get_or_init(|| LogQueue::new(output));
    queue.writer.get_or_init(|| {
        let spawned = thread::Builder::new().name("log writer".to_owned()).spawn(|| queue.write_forever());
        spawned.expect("the system can start a thread").thread().clone()
    });
    queue
}

pub(crate) struct LogQueue {
    buffers: PerThread<Vec<u8>>,
    /// Whether a line was appended since the writing thread began its last batch.
    has_lines: AtomicBool,
    /// Lines that found their buffer full, or that the output did not take.
    dropped: AtomicU64,
    output: Mutex<Output>,
    writer: OnceLock<Thread>,
}

struct Output {
    to: Box<dyn Write + Send>,
    /// An empty buffer, exchanged for a full one.
    spare: Vec<u8>,
}

impl LogQueue {
    fn new(output: impl Write + Send + 'static) -> Self {
        Self {
            buffers: PerThread::new(|_| Vec::new()),
            has_lines: AtomicBool::new(false),
            dropped: AtomicU64::new(0),
            output: Mutex::new(Output { to: Box::new(output), spare: Vec::new() }),
            writer: OnceLock::new(),
        }
    }

    /// Appends what `write` writes: one line, with its end. Does not wait for the output.
    pub(crate) fn append(&self, write: impl FnOnce(&mut Vec<u8>)) {
        let mut buffer = self.buffers.own();
        if buffer.len() >= BUFFER_MAX {
            self.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        write(&mut buffer);
        drop(buffer);
        // Read first: while lines are being collected, threads only share the flag and do not write to it.
        if !self.has_lines.load(Ordering::Relaxed)
            && !self.has_lines.swap(true, Ordering::AcqRel)
            && let Some(writer) = self.writer.get()
        {
            writer.unpark();
        }
    }

    /// Lines that were dropped since the process began.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Writes all lines that have been appended, or gives up after a second if the output is blocked.
    pub(crate) fn flush(&self) {
        let pause = Duration::from_millis(1);
        for _ in 0..FLUSH_TIME_MAX.as_millis() {
            match self.output.try_lock() {
                Ok(output) => return self.write_batch(output),
                Err(TryLockError::Poisoned(poisoned)) => return self.write_batch(poisoned.into_inner()),
                Err(TryLockError::WouldBlock) => thread::sleep(pause),
            }
        }
    }

    fn write_forever(&self) {
        let (mut reported, mut before, mut batches) = (0, 0, 0);
        loop {
            if !self.has_lines.load(Ordering::Acquire) {
                thread::park();
                continue;
            }
            thread::sleep(COLLECT_TIME);
            self.write_batch(self.output.lock().unwrap_or_else(PoisonError::into_inner));
            let dropped = self.dropped();
            batches += 1;
            if dropped > reported && (dropped == before || batches >= REPORT_AFTER) {
                tracing::warn!(lines = dropped - reported, "log lines were dropped: the reader of the log is too slow");
                (reported, batches) = (dropped, 0);
            }
            before = dropped;
        }
    }

    fn write_batch(&self, mut output: MutexGuard<'_, Output>) {
        // Before the buffers are emptied: a line that is appended later sets the flag again.
        self.has_lines.store(false, Ordering::SeqCst);
        let Output { to, spare: lines } = &mut *output;
        for mut buffer in self.buffers.all() {
            if buffer.is_empty() {
                continue;
            }
            std::mem::swap(&mut *buffer, lines);
            drop(buffer);
            if to.write_all(lines).is_err() {
                let lost = lines.iter().filter(|&&byte| byte == b'\n').count() as u64;
                self.dropped.fetch_add(lost, Ordering::Relaxed);
            }
            lines.clear();
        }
        let _best_effort = to.flush();
    }
}

/// Appends each write as one line, for a formatter that writes an event at once.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LineWriter(pub(crate) &'static LogQueue);

impl std::fmt::Debug for LogQueue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("LogQueue(..)")
    }
}

impl Write for LineWriter {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.append(|buffer| buffer.extend_from_slice(line));
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    /// An output whose content a test reads.
    #[derive(Clone, Default)]
    struct Shared(Arc<Mutex<Vec<u8>>>);

    impl Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_flush_writes_the_lines_of_all_threads_each_thread_s_in_order() {
        let output = Shared::default();
        let queue = LogQueue::new(output.clone());
        thread::scope(|scope| {
            for name in 0..4 {
                let queue = &queue;
                scope.spawn(move || (0..100).for_each(|n| queue.append(|line| writeln!(line, "{name} {n}").unwrap())));
            }
        });
        queue.flush();
        let text = String::from_utf8(output.0.lock().unwrap().clone()).unwrap();
        for name in 0..4 {
            let lines: Vec<_> = text.lines().filter(|line| line.starts_with(&format!("{name} "))).collect();
            assert_eq!(lines, (0..100).map(|n| format!("{name} {n}")).collect::<Vec<_>>());
        }
        assert_eq!(queue.dropped(), 0);
    }

    #[test]
    fn a_full_buffer_drops_lines_and_counts_them() {
        let output = Shared::default();
        let queue = LogQueue::new(output.clone());
        let line = [b'x'; 1024];
        for _ in 0..BUFFER_MAX / line.len() + 3 {
            queue.append(|buffer| buffer.extend_from_slice(&line));
        }
        assert_eq!(queue.dropped(), 3);
        queue.flush();
        assert_eq!(output.0.lock().unwrap().len(), BUFFER_MAX);
        queue.append(|buffer| buffer.extend_from_slice(b"again\n"));
        queue.flush();
        assert!(output.0.lock().unwrap().ends_with(b"xagain\n"), "there is room again after a flush");
    }

    #[test]
    fn a_flush_gives_up_while_the_output_is_blocked() {
        let queue = LogQueue::new(io::sink());
        let blocked = queue.output.lock().unwrap();
        queue.append(|buffer| buffer.extend_from_slice(b"line\n"));
        queue.flush();
        assert_eq!(queue.buffers.own().len(), 5, "nothing was lost");
        drop(blocked);
        queue.flush();
        assert!(queue.buffers.own().is_empty());
    }
}
