//! `nopal rollout`: whether policies are in force on every node.

use std::thread::sleep;
use std::time::{Duration, Instant};

use super::Outcome;
use crate::args::Rollout as Options;
use crate::report;
use crate::rollout::{Answer, CannotAsk, Question, Rollout};

/// How long one agent may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// The pause before nodes that lag are asked again.
const PAUSE: Duration = Duration::from_secs(1);

pub(super) fn run(options: &Options) -> Outcome {
    match answer(options) {
        Ok(answer) => {
            report::print(&report::rollout::rollout(
                &answer,
                options.policy.as_ref(),
                options.format,
            ));
            if answer.is_everywhere() {
                Outcome::Fine
            } else {
                Outcome::Found
            }
        }
        Err(error) => {
            report::print_error(&format!("error: {error}"));
            Outcome::Unreadable
        }
    }
}

fn answer(options: &Options) -> Result<Answer, CannotAsk> {
    let begun = Instant::now();
    let mut rollout = Rollout::new(Question {
        kubectl: options.cluster.kubectl(),
        policy: options.policy.clone(),
        selector: options.selector.clone(),
        port: options.port,
    })?;
    loop {
        let left = options.timeout.saturating_sub(begun.elapsed());
        let patience = if options.wait {
            left.min(PATIENCE)
        } else {
            PATIENCE
        };
        let answer = rollout.ask(patience)?;
        let is_over = begun.elapsed() + PAUSE >= options.timeout;
        if answer.is_everywhere() || !options.wait || is_over {
            return Ok(answer);
        }
        sleep(PAUSE);
    }
}
