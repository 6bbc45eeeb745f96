//! What is logged, for tests of what it says.

use std::fmt::{self, Write};
use std::sync::{Arc, LazyLock, Mutex};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Dispatch, Event, Level, Metadata, Subscriber};

/// While there is one subscriber alone, tracing asks the thread that comes to a message first whether anybody wants it,
/// and keeps its answer for all threads. So there is always another one.
static BESIDE: LazyLock<Dispatch> = LazyLock::new(|| Dispatch::new(Lines(Arc::default())));

/// Does a job, and gives what this thread warned of meanwhile: a line for each message, with its fields.
pub(crate) fn logged<T>(job: impl FnOnce() -> T) -> (T, Vec<String>) {
    LazyLock::force(&BESIDE);
    let lines = Arc::new(Mutex::new(Vec::new()));
    let done = tracing::subscriber::with_default(Lines(Arc::clone(&lines)), job);
    let lines = std::mem::take(&mut *lines.lock().unwrap());
    (done, lines)
}

struct Lines(Arc<Mutex<Vec<String>>>);

impl Subscriber for Lines {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= Level::WARN
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut line = Line(String::new());
        event.record(&mut line);
        self.0.lock().unwrap().push(line.0);
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let separator = if self.0.is_empty() { "" } else { " " };
        write!(self.0, "{separator}{field}={value:?}").unwrap();
    }
}
