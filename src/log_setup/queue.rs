//! A bounded queue of lines and the thread that writes them.

use std::io;
use std::io::Write;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::Builder;
use std::time::Duration;

use crate::base::metrics::Counter;

/// Lines that may wait to be written.
const LINES_MAX: usize = 4096;
/// A longer line is cut.
const LINE_BYTES_MAX: usize = 2048;
/// Lines are written together up to this many bytes.
const WRITE_BYTES_MAX: usize = 64 * 1024;
/// How long a flush waits for a sink that does not take anything.
const FLUSH_MAX: Duration = Duration::from_millis(500);

enum Message {
    Line(Vec<u8>),
    /// Answer when everything before this is written.
    Flush(SyncSender<()>),
}

/// Puts whole lines into the queue. What does not fit is dropped and counted.
pub(super) struct LineWriter {
    line: Vec<u8>,
    queue: SyncSender<Message>,
    /// Lines that this queue did not take, which the log itself tells.
    lost: Arc<Counter>,
    /// The same for the metrics, which know of other losses too.
    dropped: &'static Counter,
}

impl LineWriter {
    /// Starts the thread that writes to `sink`. It ends with the last writer.
    pub(super) fn start(
        sink: impl Write + Send + 'static,
        dropped: &'static Counter,
    ) -> io::Result<LineWriter> {
        let (queue, lines) = sync_channel(LINES_MAX);
        let lost = Arc::new(Counter::default());
        let told = Arc::clone(&lost);
        Builder::new().name("log".to_owned()).spawn(move || write_lines(sink, &lines, &told))?;
        Ok(LineWriter { line: Vec::new(), queue, lost, dropped })
    }

    fn send(&mut self) {
        let mut line = std::mem::take(&mut self.line);
        if line.len() > LINE_BYTES_MAX {
            cut(&mut line);
        }
        if self.queue.try_send(Message::Line(line)).is_err() {
            self.lost.increment();
            self.dropped.increment();
        }
    }
}

/// Shortens a line without splitting a character.
fn cut(line: &mut Vec<u8>) {
    let is_inner = |byte: &u8| byte & 0xc0 == 0x80;
    let mut end = LINE_BYTES_MAX;
    while line.get(end).is_some_and(is_inner) {
        end -= 1;
    }
    line.truncate(end);
    line.extend_from_slice("…\n".as_bytes());
}

impl Clone for LineWriter {
    fn clone(&self) -> LineWriter {
        let (queue, lost) = (self.queue.clone(), Arc::clone(&self.lost));
        LineWriter { line: Vec::new(), queue, lost, dropped: self.dropped }
    }
}

impl Write for LineWriter {
    /// Gathers pieces until one ends a line; the events themselves hold no line ends.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.line.extend_from_slice(bytes);
        if bytes.ends_with(b"\n") {
            self.send();
        }
        Ok(bytes.len())
    }

    /// Waits until what was sent is written, but not for long.
    fn flush(&mut self) -> io::Result<()> {
        let (done, wait) = sync_channel(1);
        if self.queue.try_send(Message::Flush(done)).is_ok() {
            let _ = wait.recv_timeout(FLUSH_MAX);
        }
        Ok(())
    }
}

fn write_lines(mut sink: impl Write, queue: &Receiver<Message>, lost: &Counter) {
    let mut told = 0;
    let mut batch = Vec::new();
    // Blocked here while there is nothing to say: an idle broker's log thread never wakes.
    while let Ok(first) = queue.recv() {
        let mut next = Some(first);
        let mut flushed = Vec::new();
        while let Some(message) = next {
            match message {
                Message::Line(line) => batch.extend_from_slice(&line),
                Message::Flush(done) => flushed.push(done),
            }
            next = if batch.len() < WRITE_BYTES_MAX { queue.try_recv().ok() } else { None };
        }
        let count = lost.get();
        if count > told {
            let _ = writeln!(
                batch,
                "{count} log lines lost so far: they came faster than they were taken"
            );
            told = count;
        }
        // If nobody reads standard error any more, there is nobody to tell.
        let _ = sink.write_all(&batch).and_then(|()| sink.flush());
        batch.clear();
        batch.shrink_to(WRITE_BYTES_MAX);
        for done in flushed {
            let _ = done.try_send(());
        }
    }
}
