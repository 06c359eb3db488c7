//! How far a long task is: a bar on a terminal, a line of figures every two seconds elsewhere.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use super::{age, count, size};
use crate::cli::failure::say;
use crate::control::{Event, Progress};

/// Between two lines of figures.
const PAUSE: Duration = Duration::from_secs(2);

/// Shows the events of one task on standard error.
pub struct Meter {
    verb: &'static str,
    bar: Option<ProgressBar>,
    began: Instant,
    next_line: Instant,
}

impl Meter {
    /// Nothing is shown before the first event. `verb` as in "writing".
    pub fn new(verb: &'static str) -> Meter {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::no_length();
            let look = "{prefix} {bar:30} {bytes}/{total_bytes} {bytes_per_sec} {eta} {wide_msg}";
            // The template is a constant that the tests have seen accepted.
            bar.set_style(ProgressStyle::with_template(look).unwrap_or_else(|_| ProgressStyle::default_bar()));
            bar.set_prefix(verb);
            bar
        });
        let began = Instant::now();
        Meter { verb, bar, began, next_line: began + PAUSE }
    }

    /// Takes in what the daemon tells.
    pub fn event(&mut self, event: Event) {
        match (event, &self.bar) {
            (Event::Message(text), Some(bar)) => bar.suspend(|| say(text)),
            (Event::Message(text), None) => say(text),
            // Whoever asks for files takes them in itself.
            (Event::Found(_), _) => {}
            // Whoever follows a job shows its progress.
            (Event::Job(_), _) => {}
            (Event::Progress(progress), Some(bar)) => {
                bar.set_length(progress.total_bytes);
                bar.set_position(progress.done_bytes);
                bar.set_message(progress.current.map(|path| path.to_string()).unwrap_or_default());
            }
            (Event::Progress(progress), None) => {
                let now = Instant::now();
                if now >= self.next_line {
                    self.next_line = now + PAUSE;
                    say(line(self.verb, &progress) + &speed(&progress, now - self.began));
                }
            }
        }
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        self.bar.iter().for_each(ProgressBar::finish_and_clear);
    }
}

/// Rate and what is left at that rate, once there is one.
fn speed(progress: &Progress, elapsed: Duration) -> String {
    let rate = progress.done_bytes as f64 / elapsed.as_secs_f64().max(0.001);
    if rate < 1.0 || progress.done_bytes > progress.total_bytes {
        return String::new();
    }
    let left = (progress.total_bytes - progress.done_bytes) as f64 / rate;
    format!(", {}/s, {} left", size(rate as u64), age(left))
}

fn line(verb: &str, progress: &Progress) -> String {
    let share = match progress.total_bytes {
        0 => String::new(),
        total => format!(" ({} %)", progress.done_bytes.min(total) as u128 * 100 / u128::from(total)),
    };
    format!(
        "{verb}: {} of {} files, {} of {}{share}",
        count(progress.done_files),
        count(progress.total_files),
        size(progress.done_bytes),
        size(progress.total_bytes)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_of_figures_tells_files_bytes_and_share() {
        let progress =
            Progress { done_files: 1200, total_files: 5000, done_bytes: 3 << 30, total_bytes: 12 << 30, current: None };
        assert_eq!(line("writing", &progress), "writing: 1,200 of 5,000 files, 3.0 GiB of 12.0 GiB (25 %)");
        assert_eq!(line("writing", &Progress::default()), "writing: 0 of 0 files, 0 B of 0 B");
        assert_eq!(speed(&progress, Duration::from_secs(30)), ", 102 MiB/s, 1 min 30 s left");
        assert_eq!(speed(&Progress::default(), Duration::from_secs(30)), "", "nothing is known yet");
    }
}
