//! One execution of the procedure: provision, apply, observe, judge, tear down, prove.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::diagnosis::{self, Diagnosis};
use crate::document;
use crate::engine::{self, Graph, Limits, Observer, Summary, TaskSpec};
use crate::environment::Environment;
use crate::events::{EventSink, Finding, Kind, Level, Outcome as VerdictOutcome, Phase, Verdict};
use crate::exit::ExitCode;
use crate::faults::Fault;
use crate::invariants::{self, Subject};
use crate::journal::Journal;
use crate::observation::{self, Observation};
use crate::procedure::{self, Phase as StepPhase, Task, World};
use crate::run_directory::{self, RunDirectory};
use crate::teardown;
use crate::topology::Topology;

/// How often a task is tried, and how long it waits before the second attempt.
const ATTEMPTS: u32 = 4;
const BACKOFF: Duration = Duration::from_millis(200);

/// What a run is to do.
pub struct Options {
    /// What is wanted.
    pub topology: Topology,
    /// Where it runs.
    pub environment: Arc<dyn Environment>,
    /// Its directory.
    pub directory: RunDirectory,
    /// Where its events go.
    pub sink: EventSink,
    /// A deviation to make on purpose.
    pub fault: Option<Fault>,
    /// Whether to leave everything in place.
    pub keep: bool,
    /// Cancelled by the first signal: nothing new is started, and everything is taken down.
    pub interrupt: CancellationToken,
    /// Cancelled by the second signal: teardown stops too.
    pub abort: CancellationToken,
}

/// What a run came to.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// How the command ends.
    pub exit: ExitCode,
    /// What was judged.
    pub verdicts: Vec<Verdict>,
    /// Why each failed probe failed.
    pub diagnoses: Vec<Diagnosis>,
    /// Tasks that failed, and why.
    pub failures: BTreeMap<String, String>,
    /// What is left.
    pub left: Vec<String>,
    /// What was seen.
    pub observation: Observation,
}

/// Runs the procedure.
///
/// # Errors
/// When the run cannot even begin: its journal cannot be written. Everything else is in the outcome.
pub async fn run(options: Options) -> Result<Outcome, Box<dyn std::error::Error + Send + Sync>> {
    let handle = serde_json::to_value(options.environment.handle())?;
    let topology = serde_json::to_value(&options.topology)?;
    let journal =
        Journal::create(&options.directory.file(run_directory::JOURNAL), &options.directory.id, handle, topology)?;
    let world = Arc::new(World::new(
        options.topology.clone(),
        options.environment.clone(),
        options.directory.id.clone(),
        options.directory.path.clone(),
        Arc::new(journal),
    ));
    let sink = &options.sink;
    sink.emit(started(&options));
    let mut tasks = procedure::tasks(&world.topology);
    if let Some(fault) = &options.fault {
        tasks = fault.change_tasks(&world.topology, tasks);
    }
    let stage = Stage { world: &world, sink, interrupt: &options.interrupt, tasks: &tasks };
    let mut failures = BTreeMap::new();
    let provisioned = stage.run(Phase::Provision, &[StepPhase::Provision]).await?;
    note(&mut failures, &provisioned);
    let mut applied = Summary::default();
    let (mut verdicts, mut diagnoses) = (Vec::new(), Vec::new());
    let mut observation = Observation::default();
    if provisioned.is_success() && !options.interrupt.is_cancelled() {
        applied = stage.run(Phase::Apply, &[StepPhase::Apply]).await?;
        note(&mut failures, &applied);
        if !options.interrupt.is_cancelled() {
            let (seen, checked) = stage.observe().await?;
            note(&mut failures, &checked);
            observation = seen;
            (verdicts, diagnoses) = judge(&world.topology, &observation, sink);
            save(&options.directory, &observation, sink).await;
        }
    }
    let interrupted = options.interrupt.is_cancelled();
    let left = if options.keep && !interrupted { Vec::new() } else { take_down(&options, &world).await };
    let exit = exit_code(interrupted, provisioned.is_success(), applied.is_success(), &verdicts, left.is_empty());
    sink.emit(Kind::RunFinished { exit_code: exit.code(), meaning: exit.to_string(), duration_ms: sink.elapsed_ms() });
    Ok(Outcome { exit, verdicts, diagnoses, failures, left, observation })
}

fn note(failures: &mut BTreeMap<String, String>, summary: &Summary) {
    failures.extend(summary.failures().map(|(task, failure)| (task.to_owned(), failure.to_string())));
}

/// Whether every invariant holds.
pub fn holds(verdicts: &[Verdict]) -> bool {
    !verdicts.iter().any(|it| matches!(it.outcome, VerdictOutcome::Fail | VerdictOutcome::Blocked { .. }))
}

/// Observes what stands of a kept run and judges it: the document's own verification (step 3), and every reading.
/// Changes nothing but the nginx service and the probers, which it deploys and deletes.
///
/// # Errors
/// When the tasks form no graph.
pub async fn verify(
    environment: Arc<dyn Environment>,
    topology: Topology,
    directory: &RunDirectory,
    journal: Journal,
    sink: &EventSink,
    interrupt: &CancellationToken,
) -> Result<(Observation, Vec<Verdict>), engine::GraphError> {
    let world =
        Arc::new(World::new(topology, environment, directory.id.clone(), directory.path.clone(), Arc::new(journal)));
    recall(&world, directory).await;
    let again =
        ["get-context", "get-vpc-id", "write-nginx-manifest", "deploy-nginx", "await-nginx-name", "deploy-probers"];
    let tasks: Vec<_> = procedure::tasks(&world.topology)
        .into_iter()
        .filter(|task| {
            again.contains(&task.step.id) || matches!(task.step.phase, StepPhase::Check | StepPhase::CleanUp)
        })
        .collect();
    let stage = Stage { world: &world, sink, interrupt, tasks: &tasks };
    stage.execute(&[StepPhase::Provision, StepPhase::Apply]).await?;
    let (observation, _) = stage.observe().await?;
    let (verdicts, _) = judge(&world.topology, &observation, sink);
    Ok((observation, verdicts))
}

/// What the run's own files tell about the time before: the configuration files and the back-ups of CoreDNS.
async fn recall(world: &World, directory: &RunDirectory) {
    for index in world.topology.indices() {
        let name = &world.cluster(index).name;
        let config = tokio::fs::read_to_string(directory.file(&format!("cluster_{index}.yaml"))).await.ok();
        let backup = tokio::fs::read_to_string(directory.file(&format!("{name}-coredns.yaml.bk"))).await.ok();
        world.learn(index, |facts| (facts.config, facts.coredns_backup) = (config, backup));
    }
}

fn started(options: &Options) -> Kind {
    Kind::RunStarted {
        scenario: options.topology.name.clone(),
        environment: options.environment.name().to_owned(),
        network: options.environment.network().to_owned(),
        network_because: options.environment.network_because().map(str::to_owned),
        programs: options.environment.programs(),
        clusters: options.topology.clusters.iter().map(|it| (it.name.clone(), it.region.clone())).collect(),
        fault: options.fault.as_ref().map(|fault| fault.title.clone()),
    }
}

/// The code that says most: what an operator has to act upon first comes first.
fn exit_code(interrupted: bool, provisioned: bool, applied: bool, verdicts: &[Verdict], clean: bool) -> ExitCode {
    let failed = !holds(verdicts);
    match (interrupted, clean) {
        (true, true) => ExitCode::Interrupted,
        (true, false) => ExitCode::InterruptedNotClean,
        (false, false) => ExitCode::LeftOver,
        (false, true) if !provisioned => ExitCode::NotProvisioned,
        (false, true) if failed || !applied => ExitCode::Failed,
        (false, true) => ExitCode::Passed,
    }
}

/// Judges an observation and tells every verdict, why each failed probe failed, and every clause that no invariant
/// checks.
pub fn judge(topology: &Topology, observation: &Observation, sink: &EventSink) -> (Vec<Verdict>, Vec<Diagnosis>) {
    let began = sink.elapsed_ms();
    let verdicts: Vec<_> = invariants::judge(topology, observation).iter().map(|it| told(topology, it)).collect();
    sink.emit(Kind::PhaseStarted { phase: Phase::Judge, tasks: verdicts.len() });
    for verdict in &verdicts {
        sink.emit(Kind::VerdictReached(verdict.clone()));
    }
    let diagnoses = diagnosis::diagnose(topology, observation);
    for diagnosis in &diagnoses {
        sink.emit(Kind::ProbeDiagnosed(diagnosis::told(topology, diagnosis)));
    }
    for (clause, reason) in invariants::unchecked_clauses() {
        sink.emit(Kind::ClauseUnchecked { clause: clause.to_string(), reason: reason.to_string() });
    }
    sink.emit(Kind::PhaseFinished { phase: Phase::Judge, duration_ms: sink.elapsed_ms() - began });
    (verdicts, diagnoses)
}

/// A verdict as an event tells it: clusters by their names.
fn told(topology: &Topology, verdict: &invariants::Verdict) -> Verdict {
    let heading = verdict.clauses.first().and_then(|id| document::clause(*id)).map_or("", |clause| clause.heading());
    let finding = |evidence: &[String], explanation: &str, remedy: &str| {
        Some(Finding { evidence: evidence.to_vec(), explanation: explanation.to_owned(), remedy: remedy.to_owned() })
    };
    let (outcome, finding) = match &verdict.outcome {
        invariants::Outcome::Pass => (VerdictOutcome::Pass, None),
        invariants::Outcome::Fail { evidence, explanation, remedy } => {
            (VerdictOutcome::Fail, finding(evidence, explanation, remedy))
        }
        invariants::Outcome::Blocked { by, evidence } => {
            let by: Vec<_> =
                by.iter().map(|root| format!("{} ({})", root.invariant, named(topology, root.subject))).collect();
            (VerdictOutcome::Blocked { by: by.join(", ") }, finding(evidence, "", ""))
        }
        invariants::Outcome::NotApplicable { reason } => {
            (VerdictOutcome::NotApplicable { reason: reason.clone() }, None)
        }
    };
    Verdict {
        invariant: verdict.invariant.to_string(),
        title: verdict.title.to_string(),
        level: match verdict.level {
            document::Level::Must => Level::Must,
            document::Level::Should => Level::Should,
        },
        heading: heading.to_owned(),
        clauses: verdict.clauses.iter().map(ToString::to_string).collect(),
        subject: named(topology, verdict.subject),
        outcome,
        finding,
    }
}

fn named(topology: &Topology, subject: Subject) -> String {
    let name = |index| topology.cluster(index).name.as_str();
    match subject {
        Subject::All => "all clusters".to_owned(),
        Subject::Cluster { cluster } => name(cluster).to_owned(),
        Subject::Pair { pair } => format!("{} and {}", name(pair.requester), name(pair.accepter)),
        Subject::Direction { from, to } => format!("{} to {}", name(from), name(to)),
    }
}

/// Saves an observation in the run directory. That it cannot be saved is told and changes nothing.
pub async fn save(directory: &RunDirectory, observation: &Observation, sink: &EventSink) {
    let path = directory.file(run_directory::OBSERVATION);
    let written = match serde_json::to_vec_pretty(observation) {
        Ok(json) => tokio::fs::write(&path, json).await.map_err(|error| error.to_string()),
        Err(error) => Err(error.to_string()),
    };
    if let Err(why) = written {
        sink.emit(Kind::Notice { message: format!("the observation is not saved: {}: {why}", path.display()) });
    }
}

async fn take_down(options: &Options, world: &World) -> Vec<String> {
    let result =
        teardown::take_down(&*options.environment, &world.journal, &world.topology, &options.sink, &options.abort)
            .await;
    match result {
        Ok(outcome) => {
            if outcome.is_clean() {
                options.environment.shutdown().await;
            }
            outcome.left
        }
        Err(error) => {
            options.sink.emit(Kind::Notice { message: format!("teardown did not happen: {error}") });
            vec!["everything that was made: teardown did not happen".to_owned()]
        }
    }
}

/// Runs the tasks of a phase.
pub struct Stage<'a> {
    /// What the tasks share.
    pub world: &'a Arc<World>,
    /// Where events go.
    pub sink: &'a EventSink,
    /// Starts nothing new when cancelled.
    pub interrupt: &'a CancellationToken,
    /// The tasks of the whole run.
    pub tasks: &'a [Task],
}

impl Stage<'_> {
    /// Runs the tasks of some steps as a part of the run.
    ///
    /// # Errors
    /// When the tasks form no graph.
    pub async fn run(&self, phase: Phase, of: &[StepPhase]) -> Result<Summary, engine::GraphError> {
        let began = self.sink.elapsed_ms();
        let tasks = self.tasks.iter().filter(|task| of.contains(&task.step.phase)).count();
        self.sink.emit(Kind::PhaseStarted { phase, tasks });
        let summary = self.execute(of).await?;
        self.sink.emit(Kind::PhaseFinished { phase, duration_ms: self.sink.elapsed_ms() - began });
        Ok(summary)
    }

    async fn execute(&self, of: &[StepPhase]) -> Result<Summary, engine::GraphError> {
        let here: Vec<&Task> = self.tasks.iter().filter(|task| of.contains(&task.step.phase)).collect();
        let specs = here.iter().map(|task| {
            let (body, scope) = (task.body.clone(), task.scope);
            TaskSpec {
                id: task.id(),
                // What an earlier phase did is done.
                needs: task.needs.iter().filter(|need| here.iter().any(|it| it.id() == **need)).cloned().collect(),
                attempts: ATTEMPTS,
                backoff: BACKOFF,
                run: Arc::new(move |context| body(context, scope)),
            }
        });
        let graph = Graph::new(specs.collect())?;
        let observer: Arc<dyn Observer> = Arc::new(Teller {
            sink: self.sink.clone(),
            tasks: here.iter().map(|task| (task.id(), (*task).clone())).collect(),
            topology: self.world.topology.clone(),
        });
        Ok(engine::execute(&graph, self.world, &observer, self.interrupt, Limits::default()).await)
    }

    /// The check of step 3, the reading of everything, and the clean-up after the check.
    ///
    /// # Errors
    /// When the tasks form no graph.
    pub async fn observe(&self) -> Result<(Observation, Summary), engine::GraphError> {
        let began = self.sink.elapsed_ms();
        let phase = Phase::Observe;
        let of = [StepPhase::Check, StepPhase::CleanUp];
        self.sink.emit(Kind::PhaseStarted {
            phase,
            tasks: self.tasks.iter().filter(|task| of.contains(&task.step.phase)).count(),
        });
        let mut summary = self.execute(&[StepPhase::Check]).await?;
        let mut observation = observation::observe(self.world).await;
        summary.outcomes.extend(self.execute(&[StepPhase::CleanUp]).await?.outcomes);
        observation::look_after_check(self.world, &mut observation).await;
        self.sink.emit(Kind::PhaseFinished { phase, duration_ms: self.sink.elapsed_ms() - began });
        Ok((observation, summary))
    }
}

/// Tells what the engine does as events.
struct Teller {
    sink: EventSink,
    tasks: BTreeMap<String, Task>,
    topology: Topology,
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

impl Observer for Teller {
    fn started(&self, task: &str) {
        let Some(found) = self.tasks.get(task) else { return };
        self.sink.emit(Kind::TaskStarted {
            task: task.to_owned(),
            step: found.step.id.to_owned(),
            title: found.step.title.to_owned(),
            clusters: found.scope.names(&self.topology),
            heading: found.step.heading.to_owned(),
            clauses: found.step.clauses.iter().map(|clause| (*clause).to_owned()).collect(),
            gap: found.step.gap.map(str::to_owned),
        });
    }

    fn progress(&self, task: &str, message: &str) {
        self.sink.emit(Kind::TaskProgress { task: task.to_owned(), message: message.to_owned() });
    }

    fn retried(&self, task: &str, attempt: u32, failure: &engine::Failure, delay: Duration) {
        self.sink.emit(Kind::TaskRetried {
            task: task.to_owned(),
            attempt,
            failure: failure.clone(),
            delay_ms: millis(delay),
        });
    }

    fn probed(&self, task: &str, from: &str, to: &str, ok: bool, detail: &str) {
        self.sink.emit(Kind::ProbeFinished {
            task: task.to_owned(),
            from: from.to_owned(),
            to: to.to_owned(),
            ok,
            detail: detail.to_owned(),
        });
    }

    fn finished(&self, task: &str, outcome: &engine::Outcome, duration: Duration) {
        let (task, duration_ms) = (task.to_owned(), millis(duration));
        self.sink.emit(match outcome.clone() {
            engine::Outcome::Succeeded(done) => {
                Kind::TaskSucceeded { task, duration_ms, changed: done.changed, note: done.note }
            }
            engine::Outcome::Failed(failure) => Kind::TaskFailed { task, duration_ms, failure },
            engine::Outcome::Skipped { because } => Kind::TaskSkipped { task, because },
        });
    }
}
