//! A line at the end of a terminal that says what is waited for, drawn again and again until that is over.

use std::{
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use textwrap::core::display_width;

use super::{Glyphs, People, width};

/// How often it is drawn. What is over sooner is not shown at all.
const REDRAW: Duration = Duration::from_millis(120);
/// How wide a terminal is taken to be that does not tell, in columns.
const COLUMNS_DEFAULT: usize = 80;
/// Turns from one drawing to the next.
const WHEEL: [char; 8] = ['⣷', '⣯', '⣟', '⡿', '⢿', '⣻', '⣽', '⣾'];
const WHEEL_ASCII: [char; 4] = ['-', '\\', '|', '/'];

/// A line that is drawn, until it is dropped.
#[derive(Debug)]
pub(crate) struct LiveLine {
    shared: Arc<Shared>,
    drawing: Option<JoinHandle<()>>,
}

/// What the thread that draws is told.
#[derive(Debug, Default)]
struct Shared {
    told: Mutex<Told>,
    over: Condvar,
}

#[derive(Debug, Default)]
struct Told {
    news: String,
    phase: Phase,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Phase {
    #[default]
    Waiting,
    Over,
}

impl LiveLine {
    /// Draws on `people`, which is a terminal.
    pub(super) fn begin(people: Arc<Mutex<People>>, what: String, glyphs: Glyphs) -> Self {
        let shared = Arc::<Shared>::default();
        let told = Arc::clone(&shared);
        // Where no thread can be had, nothing is drawn: what is waited for is more important.
        let drawing = thread::Builder::new().name("line".to_owned()).spawn(move || told.draw(&people, &what, glyphs));
        Self { shared, drawing: drawing.ok() }
    }

    /// Shows this from the next drawing on.
    pub(crate) fn news(&self, news: String) {
        self.shared.told().news = news;
    }
}

impl Drop for LiveLine {
    fn drop(&mut self) {
        self.shared.told().phase = Phase::Over;
        self.shared.over.notify_one();
        // It ends by itself; a panic in it has been told.
        let _ = self.drawing.take().map(JoinHandle::join);
    }
}

impl Shared {
    fn told(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn draw(&self, people: &Mutex<People>, what: &str, glyphs: Glyphs) {
        let began = Instant::now();
        let people = || people.lock().unwrap_or_else(PoisonError::into_inner);
        for turn in 0.. {
            let (told, _) = self
                .over
                .wait_timeout_while(self.told(), REDRAW, |told| told.phase == Phase::Waiting)
                .unwrap_or_else(PoisonError::into_inner);
            match told.phase {
                Phase::Over => break,
                Phase::Waiting => {}
            }
            let news = told.news.clone();
            // Nobody who has news waits for the terminal.
            drop(told);
            // One column stays empty: some terminals go to the next line when the last one is filled.
            let columns = width(&std::io::stderr()).unwrap_or(COLUMNS_DEFAULT).saturating_sub(1);
            people().draw(cut(&line(turn, what, began.elapsed(), &news, glyphs), columns));
        }
        people().erase();
    }
}

fn line(turn: usize, what: &str, waited: Duration, news: &str, glyphs: Glyphs) -> String {
    let wheel = match glyphs {
        Glyphs::Unicode => &WHEEL[..],
        Glyphs::Ascii => &WHEEL_ASCII[..],
    };
    let (minutes, seconds) = (waited.as_secs() / 60, waited.as_secs() % 60);
    let waited = if minutes == 0 { format!("{seconds}s") } else { format!("{minutes}m{seconds:02}s") };
    format!("{} {what} ({waited}) {news}", wheel[turn % wheel.len()])
}

/// As much of a text as fits beside each other.
fn cut(text: &str, columns: usize) -> &str {
    let mut used = 0;
    let mut fits = text.char_indices().take_while(|(start, c)| {
        used += display_width(&text[*start..start + c.len_utf8()]);
        used <= columns
    });
    let end = fits.by_ref().last().map_or(0, |(start, c)| start + c.len_utf8());
    text[..end].trim_end()
}

#[cfg(test)]
mod tests {
    use std::io::{self, Write};

    use super::*;

    #[derive(Debug, Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl Written {
        fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
        }

        fn people(&self) -> Arc<Mutex<People>> {
            Arc::new(Mutex::new(People::new(self.clone())))
        }
    }

    impl Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn until(holds: impl Fn() -> bool) {
        let begun = Instant::now();
        while !holds() {
            assert!(begun.elapsed() < Duration::from_secs(60));
            thread::sleep(Duration::from_millis(5));
        }
    }

    #[test]
    fn it_says_what_is_waited_for_how_long_and_what_is_new() {
        for (turn, seconds, glyphs, expected) in [
            (0, 0, Glyphs::Ascii, "- asking (0s) news"),
            (5, 59, Glyphs::Ascii, "\\ asking (59s) news"),
            (2, 60, Glyphs::Ascii, "| asking (1m00s) news"),
            (8, 3_725, Glyphs::Unicode, "⣷ asking (62m05s) news"),
        ] {
            assert_eq!(line(turn, "asking", Duration::from_secs(seconds), "news", glyphs), expected);
        }
    }

    #[test]
    fn what_does_not_fit_beside_each_other_is_cut_off_by_its_width() {
        for (text, columns, expected) in [
            ("", 5, ""),
            ("short", 5, "short"),
            ("longer", 5, "longe"),
            ("a b c", 4, "a b"),
            ("日本語", 5, "日本"),
            ("日本語", 6, "日本語"),
            ("é", 0, ""),
        ] {
            assert_eq!(cut(text, columns), expected, "{text:?} {columns}");
        }
    }

    #[test]
    fn it_is_drawn_in_place_shows_news_and_leaves_nothing() {
        let written = Written::default();
        let line = LiveLine::begin(written.people(), "waiting".to_owned(), Glyphs::Ascii);
        until(|| written.text().contains("- waiting (") && written.text().contains("s)\u{1b}[K"));
        line.news("nobody there".to_owned());
        until(|| written.text().contains(") nobody there\u{1b}[K"));
        drop(line);
        let text = written.text();
        assert!(!text.contains('\n'), "{text:?}");
        assert!(text.ends_with("\r\u{1b}[K"), "{text:?}");
    }

    #[test]
    fn what_is_told_meanwhile_takes_its_place_and_it_is_drawn_below() {
        let written = Written::default();
        let people = written.people();
        let line = LiveLine::begin(Arc::clone(&people), "waiting".to_owned(), Glyphs::Ascii);
        until(|| written.text().contains("waiting"));
        {
            let mut people = people.lock().unwrap();
            people.erase();
            people.write_all(b"a note\n").unwrap();
        }
        until(|| written.text().split("a note\n").nth(1).is_some_and(|after| after.contains("waiting")));
        drop(line);
        assert!(written.text().contains("\r\u{1b}[Ka note\n\r"), "{:?}", written.text());
    }

    #[test]
    fn what_is_over_at_once_is_not_shown() {
        let written = Written::default();
        drop(LiveLine::begin(written.people(), "waiting".to_owned(), Glyphs::Ascii));
        // Also on a machine that is slow: either it was never drawn, or it is gone.
        let text = written.text();
        assert!(text.is_empty() || text.ends_with("\r\u{1b}[K"), "{text:?}");
    }
}
