//! The log: one JSON object a line, with the run, the pipeline and the step that it is about.

use crate::environment::Environment;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry, fmt};

/// Sets up the log of this process, on standard output, where Lambda and ECS collect it. The first call counts.
pub fn init(environment: &Environment) {
    let filter = EnvFilter::builder().parse_lossy(environment.log_filter());
    tracing_subscriber::registry()
        .with(layer(std::io::stdout).with_filter(filter))
        .try_init()
        .ok();
}

fn layer<W>(writer: W) -> impl Layer<Registry>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    fmt::layer()
        .json()
        .flatten_event(true)
        .with_current_span(false)
        .with_span_list(true)
        .with_writer(writer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{self, Write};
    use std::sync::{Arc, Mutex};

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_line_says_which_run_it_is_about() {
        let lines = Lines::default();
        let writer = lines.clone();
        let subscriber = tracing_subscriber::registry().with(layer(move || writer.clone()));
        tracing::subscriber::with_default(subscriber, || {
            let _span = tracing::info_span!("step", run = "a-1", step = "ingest").entered();
            tracing::warn!(attempt = 2, "slow");
        });
        let line: serde_json::Value = serde_json::from_slice(&lines.0.lock().unwrap()).unwrap();
        assert_eq!(
            (&line["level"], &line["message"], &line["attempt"]),
            (&"WARN".into(), &"slow".into(), &2.into())
        );
        assert_eq!(
            (&line["spans"][0]["run"], &line["spans"][0]["step"]),
            (&"a-1".into(), &"ingest".into())
        );
    }
}
