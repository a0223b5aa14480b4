//! How long the whole procedure takes on the embedded environment: provision, apply, observe, judge, tear down, prove.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use acrossk8s::environment::{Embedded, EmbeddedOptions};
use acrossk8s::events::{EventSink, Recorder, Subscriber};
use acrossk8s::exit::ExitCode;
use acrossk8s::run::{self, Options};
use acrossk8s::run_directory::{self, RunDirectory};
use acrossk8s::scenario;
use acrossk8s::topology::Topology;
use acrossk8s_mocks::network::NetworkKind;
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use tokio_util::sync::CancellationToken;

type Error = Box<dyn std::error::Error + Send + Sync>;

/// One run as the command line does it, its lab and its record of events included.
async fn whole_run(topology: Topology, runs: &Path) -> Result<(), Error> {
    let directory = RunDirectory::create(runs)?;
    let recorder = Recorder::append(&directory.file(run_directory::EVENTS))?;
    let options = EmbeddedOptions { network: NetworkKind::Model, ..EmbeddedOptions::default() };
    let outcome = run::run(Options {
        topology,
        environment: Arc::new(Embedded::start(&options).await?),
        sink: EventSink::new(&directory.id, vec![Box::new(recorder) as Box<dyn Subscriber>]),
        directory,
        fault: None,
        keep: false,
        interrupt: CancellationToken::new(),
        abort: CancellationToken::new(),
    })
    .await?;
    // A run that does not do its work would be a fast one.
    if outcome.exit == ExitCode::Passed { Ok(()) } else { Err(format!("the run ended with {}", outcome.exit).into()) }
}

fn benchmark(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let mut group = criterion.benchmark_group("whole run");
    group.sample_size(10).measurement_time(Duration::from_secs(20));
    for (clusters, file) in
        [(2, "two-clusters.toml"), (3, "three-clusters.toml"), (5, "five-clusters.toml"), (20, "twenty-clusters.toml")]
    {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios").join(file);
        let topology = scenario::read(&path).expect("the scenario is sound");
        let runs = tempfile::tempdir().expect("a directory");
        group.bench_with_input(BenchmarkId::new("clusters", clusters), &topology, |bencher, topology| {
            bencher.to_async(&runtime).iter(|| async {
                whole_run(topology.clone(), runs.path()).await.expect("the run passes");
            });
        });
    }
    group.finish();
}

criterion_group!(benches, benchmark);
criterion_main!(benches);
