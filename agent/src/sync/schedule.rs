//! When the sync does what: a function of moments, without a clock.

use std::time::{Duration, Instant};

/// The times that the sync keeps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timing {
    /// Between the beginnings of two syncs under load at most, and so the longest that a change waits.
    pub window: Duration,
    /// The same at least.
    pub shortest_window: Duration,
    /// In between, a window is so many times as long as the last sync took, most of which is waiting for the kernel.
    pub share: u32,
    /// The first pause after a failure; it doubles with each further one.
    pub retry: Duration,
    /// The longest pause after a failure.
    pub longest_retry: Duration,
    /// How often everything in force is compared with what should be.
    pub verify: Duration,
    /// How long rules are in force before they are written to disk.
    pub save: Duration,
    /// Between two writes at least, while changes go on: each is one of all rules.
    pub save_apart: Duration,
    /// The pause after they could not be written.
    pub save_again: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            window: Duration::from_millis(50),
            shortest_window: Duration::from_millis(5),
            share: 5,
            retry: Duration::from_millis(200),
            longest_retry: Duration::from_secs(30),
            verify: Duration::from_secs(300),
            save: Duration::from_secs(2),
            save_apart: Duration::from_secs(10),
            save_again: Duration::from_secs(10),
        }
    }
}

/// What there is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Task {
    /// Putting changes in force.
    Sync,
    /// Undoing what others are told to have done.
    Look,
    /// Comparing everything.
    Verify,
    /// Writing to disk.
    Save,
}

/// When each task is due next.
#[derive(Debug)]
pub struct Schedule {
    timing: Timing,
    sync: Option<Instant>,
    look: Option<Instant>,
    verify: Option<Instant>,
    save: Option<Instant>,
    last_save: Option<Instant>,
    last_begin: Option<Instant>,
    /// How long the last sync took.
    last_took: Duration,
    failures: u32,
}

impl Schedule {
    /// Nothing is due.
    pub fn new(timing: Timing) -> Self {
        Self {
            timing,
            sync: None,
            look: None,
            verify: None,
            save: None,
            last_save: None,
            last_begin: None,
            last_took: Duration::ZERO,
            failures: 0,
        }
    }

    /// A change waits since `now`: it is due at once when it was quiet for a window, and otherwise when the window ends.
    /// After a failure the pause counts, whatever comes.
    pub fn change(&mut self, now: Instant) {
        let end = self.last_begin.map(|begin| begin + self.window());
        self.sync.get_or_insert(end.map_or(now, |end| end.max(now)));
    }

    /// A pod's start waits since `now` for what has come: it need not wait for other changes to gather, as long as no
    /// failure asks for a pause.
    pub fn waited_for(&mut self, now: Instant) {
        let end = self
            .last_begin
            .map(|begin| begin + self.timing.shortest_window);
        let due = end.map_or(now, |end| end.max(now));
        let known = self.sync.get_or_insert(due);
        if self.failures == 0 {
            *known = due.min(*known);
        }
    }

    /// How long to gather changes, by what the last sync cost: what is cheap need not wait for company.
    fn window(&self) -> Duration {
        let Timing {
            window: longest,
            shortest_window: shortest,
            share,
            ..
        } = self.timing;
        (self.last_took * share).min(longest).max(shortest)
    }

    /// A sync begins.
    pub fn begin(&mut self, now: Instant) {
        self.last_begin = Some(now);
        self.sync = None;
    }

    /// Everything is in force.
    pub fn succeeded(&mut self, now: Instant) {
        self.failures = 0;
        let Timing {
            save, save_apart, ..
        } = self.timing;
        let apart = self.last_save.map(|last| last + save_apart);
        self.save
            .get_or_insert(apart.map_or(now + save, |apart| apart.max(now + save)));
        self.verify.get_or_insert(now + self.timing.verify);
    }

    /// Something is to be looked at, no later than `at`.
    pub fn look(&mut self, at: Instant) {
        self.look = Some(self.look.map_or(at, |known| known.min(at)));
    }

    /// It is not in force. `jitter`, between 0 and 1, keeps many agents from trying in step.
    pub fn failed(&mut self, now: Instant, jitter: f64) {
        let doubled = self.timing.retry * 2_u32.saturating_pow(self.failures.min(16));
        let pause = doubled.min(self.timing.longest_retry);
        self.failures += 1;
        self.sync = Some(now + pause.mul_f64(0.5 + jitter.clamp(0.0, 1.0) / 2.0));
    }

    /// The next task, and when it is due; `None` while there is nothing to wait for.
    pub fn next(&self) -> Option<(Instant, Task)> {
        let tasks = [
            (self.sync, Task::Sync),
            (self.save, Task::Save),
            (self.look, Task::Look),
            (self.verify, Task::Verify),
        ];
        let due = tasks
            .into_iter()
            .filter_map(|(at, task)| at.map(|at| (at, task)));
        // Of several that are due, syncs come first.
        due.min_by_key(|(at, task)| (*at, *task != Task::Sync))
    }

    /// What is in force could not be written to disk: an older state is there, which a boot would put in force.
    pub fn save_failed(&mut self, now: Instant) {
        self.save = Some(now + self.timing.save_again);
    }

    /// A task is done, with or without success.
    pub fn done(&mut self, task: Task, now: Instant) {
        match task {
            Task::Sync => {
                let begin = self.last_begin.unwrap_or(now);
                self.last_took = now.saturating_duration_since(begin);
            }
            Task::Look => self.look = None,
            Task::Verify => self.verify = Some(now + self.timing.verify),
            Task::Save => (self.save, self.last_save) = (None, Some(now)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn sync_at(schedule: &Schedule) -> Option<Instant> {
        schedule
            .next()
            .filter(|(_, task)| *task == Task::Sync)
            .map(|(at, _)| at)
    }

    #[test]
    fn a_change_is_due_at_once_when_quiet_and_at_the_end_of_the_window_under_load() {
        let start = Instant::now();
        let mut schedule = Schedule::new(Timing::default());
        assert_eq!(schedule.next(), None);
        schedule.change(start);
        assert_eq!(sync_at(&schedule), Some(start));
        schedule.begin(start);
        schedule.done(Task::Sync, start + 10 * MS);
        schedule.change(start + 20 * MS);
        schedule.change(start + 40 * MS);
        assert_eq!(sync_at(&schedule), Some(start + 50 * MS));
        schedule.begin(start + 50 * MS);
        schedule.done(Task::Sync, start + 60 * MS);
        schedule.change(start + 300 * MS);
        assert_eq!(sync_at(&schedule), Some(start + 300 * MS));
    }

    #[test]
    fn what_a_pod_waits_for_does_not_wait_for_company_except_after_a_failure() {
        let start = Instant::now();
        let mut schedule = Schedule::new(Timing::default());
        schedule.waited_for(start);
        assert_eq!(sync_at(&schedule), Some(start));
        schedule.begin(start);
        schedule.waited_for(start + MS);
        assert_eq!(sync_at(&schedule), Some(start + 5 * MS));
        schedule.begin(start + 5 * MS);
        schedule.done(Task::Sync, start + 25 * MS);
        schedule.change(start + 26 * MS);
        assert_eq!(sync_at(&schedule), Some(start + 55 * MS));
        schedule.waited_for(start + 30 * MS);
        assert_eq!(sync_at(&schedule), Some(start + 30 * MS));
        schedule.begin(start + 30 * MS);
        schedule.failed(start + 40 * MS, 1.0);
        schedule.waited_for(start + 41 * MS);
        assert_eq!(sync_at(&schedule), Some(start + 240 * MS));
    }

    #[test]
    fn a_window_is_as_long_as_the_last_sync_was_dear_within_bounds() {
        let start = Instant::now();
        for (took, window) in [(0, 5_000), (900, 5_000), (2_000, 10_000), (20_000, 50_000)] {
            let micros = Duration::from_micros;
            let mut schedule = Schedule::new(Timing::default());
            schedule.begin(start);
            schedule.done(Task::Sync, start + micros(took));
            schedule.change(start + micros(took));
            assert_eq!(sync_at(&schedule), Some(start + micros(window)), "{took}");
        }
    }

    #[test]
    fn pauses_after_failures_double_up_to_the_longest_and_end_with_a_success() {
        let now = Instant::now();
        let mut schedule = Schedule::new(Timing::default());
        let mut pauses = Vec::new();
        for _ in 0..10 {
            schedule.begin(now);
            schedule.failed(now, 1.0);
            schedule.change(now);
            pauses.push((sync_at(&schedule).unwrap() - now).as_millis());
        }
        assert_eq!(pauses[..4], [200, 400, 800, 1600]);
        assert_eq!(pauses[9], 30_000);
        schedule.succeeded(now);
        schedule.begin(now);
        schedule.failed(now, 0.0);
        assert_eq!(sync_at(&schedule), Some(now + 100 * MS));
    }

    #[test]
    fn rules_are_saved_once_and_compared_again_and_again() {
        let now = Instant::now();
        let timing = Timing::default();
        let mut schedule = Schedule::new(timing.clone());
        schedule.succeeded(now);
        assert_eq!(schedule.next(), Some((now + timing.save, Task::Save)));
        schedule.done(Task::Save, now + timing.save);
        let verify = now + timing.verify;
        assert_eq!(schedule.next(), Some((verify, Task::Verify)));
        schedule.done(Task::Verify, verify);
        let again = verify + timing.verify;
        assert_eq!(schedule.next(), Some((again, Task::Verify)));
    }

    #[test]
    fn rules_that_change_all_the_time_are_saved_now_and_then() {
        let now = Instant::now();
        let timing = Timing::default();
        let mut schedule = Schedule::new(timing.clone());
        let saves = |schedule: &mut Schedule, until: Instant| {
            let mut saves = Vec::new();
            for moment in (0..).map(|number| now + 500 * number * MS) {
                if moment > until {
                    return saves;
                }
                schedule.succeeded(moment);
                if schedule.next() == Some((moment, Task::Save)) {
                    schedule.done(Task::Save, moment);
                    saves.push((moment - now).as_secs());
                }
            }
            saves
        };
        assert_eq!(saves(&mut schedule, now + 30_000 * MS), [2, 12, 22]);
        // After a quiet time, a change is saved as soon as the first was.
        let quiet = now + 100_000 * MS;
        let mut schedule = Schedule::new(timing.clone());
        schedule.done(Task::Save, now);
        schedule.succeeded(quiet);
        assert_eq!(schedule.next(), Some((quiet + timing.save, Task::Save)));
    }

    #[test]
    fn what_could_not_be_saved_is_saved_again_though_nothing_changes() {
        let now = Instant::now();
        let timing = Timing::default();
        let mut schedule = Schedule::new(timing.clone());
        schedule.succeeded(now);
        schedule.done(Task::Save, now + timing.save);
        schedule.save_failed(now + timing.save);
        let again = now + timing.save + timing.save_again;
        assert_eq!(schedule.next(), Some((again, Task::Save)));
    }

    #[test]
    fn the_first_of_several_looks_counts_and_a_sync_comes_before_it() {
        let now = Instant::now();
        let mut schedule = Schedule::new(Timing::default());
        schedule.look(now + 20 * MS);
        schedule.look(now + 10 * MS);
        schedule.look(now + 30 * MS);
        assert_eq!(schedule.next(), Some((now + 10 * MS, Task::Look)));
        schedule.change(now + 10 * MS);
        assert_eq!(schedule.next(), Some((now + 10 * MS, Task::Sync)));
        schedule.begin(now + 10 * MS);
        schedule.done(Task::Look, now + 10 * MS);
        assert_eq!(schedule.next(), None);
    }
}
