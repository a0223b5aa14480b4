//! Progress on a terminal: a bar for the part at hand and the tasks under way, with the lines of [`super::Plain`] above.

use std::collections::BTreeMap;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::Plain;
use crate::events::{Event, Kind, Subscriber};

/// Shows progress on a terminal.
pub struct Live {
    plain: Plain,
    bars: MultiProgress,
    phase: Option<ProgressBar>,
    running: BTreeMap<String, ProgressBar>,
    colours: bool,
}

/// How many running tasks are shown at once: more would scroll the lines away.
const SHOWN: usize = 6;

impl Live {
    /// A display on standard output.
    pub fn new() -> Self {
        Self {
            plain: Plain::default(),
            bars: MultiProgress::with_draw_target(ProgressDrawTarget::stdout()),
            phase: None,
            running: BTreeMap::new(),
            colours: anstream::AutoStream::choice(&std::io::stdout()) != anstream::ColorChoice::Never,
        }
    }

    fn end_phase(&mut self) {
        if let Some(phase) = self.phase.take() {
            phase.finish_and_clear();
        }
        for bar in std::mem::take(&mut self.running).into_values() {
            bar.finish_and_clear();
        }
    }
}

impl Default for Live {
    fn default() -> Self {
        Self::new()
    }
}

impl Subscriber for Live {
    fn take(&mut self, event: &Event) -> Result<(), String> {
        match &event.kind {
            Kind::PhaseStarted { tasks, .. } => {
                self.end_phase();
                let bar = self.bars.add(ProgressBar::new(*tasks as u64));
                if let Ok(style) = ProgressStyle::with_template("  {bar:30} {pos}/{len} {elapsed}") {
                    bar.set_style(style);
                }
                self.phase = Some(bar);
            }
            Kind::TaskStarted { task, title, clusters, .. } if self.running.len() < SHOWN => {
                let bar = self.bars.add(ProgressBar::new_spinner());
                bar.set_message(format!("{title} [{}]", clusters.join(" ")));
                self.running.insert(task.clone(), bar);
            }
            Kind::TaskProgress { task, message } => {
                if let Some(bar) = self.running.get(task) {
                    bar.set_message(message.clone());
                }
            }
            Kind::TaskSucceeded { task, .. } | Kind::TaskFailed { task, .. } | Kind::TaskSkipped { task, .. } => {
                if let Some(bar) = self.running.remove(task) {
                    bar.finish_and_clear();
                }
                self.phase.iter().for_each(|bar| bar.inc(1));
            }
            Kind::VerdictReached(_) | Kind::Removed { .. } => self.phase.iter().for_each(|bar| bar.inc(1)),
            Kind::PhaseFinished { .. } | Kind::RunFinished { .. } => self.end_phase(),
            _ => {}
        }
        for line in self.plain.lines(event) {
            let line = if self.colours { line } else { anstream::adapter::strip_str(&line).to_string() };
            self.bars.println(line).map_err(|error| format!("the terminal: {error}"))?;
        }
        Ok(())
    }
}
