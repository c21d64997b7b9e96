//! Finds among many texts what fits what is typed, best first. What fits a longer text is looked for
//! among what fitted the shorter one; what cannot fit is passed over by the letters it has; a search
//! that was overtaken by a key stops.

use nucleo_matcher::pattern::{CaseMatching, Normalization, Pattern};
use nucleo_matcher::{Config, Matcher, Utf32Str};
use pinyin::ToPinyin as _;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Best ones that are told.
pub const BEST: usize = 200;
/// Texts that are looked at between two looks at whether a key came.
const STRIDE: usize = 4096;
/// So many of those that fit are scored.
const SCORED: usize = 1000;
/// So many texts are worth a second thread.
const MANY: usize = 20_000;
/// What a choice of before counts more than others.
const RECENT: u32 = 40;

/// All of them, as they were when the finder was opened and as hosts told more since: one text after the other in one piece, because
/// they are gone through in order, and often.
#[derive(Clone, Default)]
pub struct Items {
    texts: String,
    /// Where each text begins, and where it and its sound end; the next one begins there.
    ends: Vec<[u32; 2]>,
    /// What letters and digits each has; all of them where that cannot be told.
    letters: Vec<u64>,
    /// Chosen before: the newest counts most.
    recent: HashMap<u32, u32>,
}

/// The letters and digits of a text, one bit each.
fn letters(text: &str) -> u64 {
    text.bytes().fold(0, |set, byte| {
        let bit = match byte.to_ascii_lowercase() {
            c @ b'a'..=b'z' => c - b'a',
            c @ b'0'..=b'9' => 26 + c - b'0',
            _ => return set,
        };
        set | 1 << bit
    })
}

/// With first letters of sounds in the place of Chinese characters, when there are any.
fn sound(text: &str) -> Option<Box<str>> {
    if text.is_ascii() {
        return None;
    }
    let mut found = false;
    let letter = |c: char| {
        let first = c.to_pinyin().and_then(|sound| sound.plain().chars().next());
        found |= first.is_some();
        first.unwrap_or(c)
    };
    let sound: String = text.chars().map(letter).collect();
    found.then(|| sound.into())
}

impl Items {
    /// These; `recent` has the numbers of those chosen before, newest first.
    pub fn new<'a>(each: impl Iterator<Item = &'a str>, recent: &[u32]) -> Self {
        let rank = |(at, item): (usize, &u32)| (*item, RECENT.saturating_sub(at as u32).max(1));
        let recent = recent.iter().enumerate().map(rank).collect();
        let mut items = Self { recent, ..Self::default() };
        items.extend(each);
        items
    }

    /// These, too, behind the others.
    fn extend<'a>(&mut self, each: impl Iterator<Item = &'a str>) {
        for text in each {
            self.texts.push_str(text);
            let end = self.texts.len() as u32;
            let sound = sound(text);
            self.texts.push_str(sound.as_deref().unwrap_or_default());
            self.ends.push([end, self.texts.len() as u32]);
            self.letters.push(match &sound {
                Some(sound) => letters(text) | letters(sound),
                None if text.is_ascii() => letters(text),
                // Of other letters some count as these.
                None => u64::MAX,
            });
        }
    }

    /// A text, and how it sounds if that is something else.
    fn get(&self, at: u32) -> (&str, Option<&str>) {
        let at = at as usize;
        let begin = at.checked_sub(1).map_or(0, |before| self.ends[before][1]) as usize;
        let [end, last] = self.ends[at].map(|end| end as usize);
        (&self.texts[begin..end], (end < last).then(|| &self.texts[end..last]))
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// For this text.
    pub text: String,
    /// How many fit.
    pub count: usize,
    /// The best of them, best first.
    pub best: Vec<u32>,
}

/// Where a letter that was typed stands in a text, counted in characters as they are seen.
pub fn hits(pattern: &str, text: &str, matcher: &mut Matcher) -> Vec<u32> {
    let pattern = parse(pattern);
    let (mut hits, mut buffer) = (Vec::new(), Vec::new());
    let found = pattern.indices(Utf32Str::new(text, &mut buffer), matcher, &mut hits);
    if found.is_none()
        && let Some(sound) = sound(text)
    {
        hits.clear();
        pattern.indices(Utf32Str::new(&sound, &mut buffer), matcher, &mut hits);
    }
    hits
}

fn parse(text: &str) -> Pattern {
    Pattern::parse(text, CaseMatching::Smart, Normalization::Smart)
}

/// A search that goes on from key to key.
pub struct Search {
    items: Arc<Items>,
    /// Texts typed so far, each the beginning of the next, with what fitted them.
    narrowed: Vec<(String, Vec<u32>)>,
    matchers: Vec<Matcher>,
    /// The newest question; an older one need not be answered.
    newest: Arc<AtomicU64>,
    work: Work,
}

/// What an answer took: this is what a key waits for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Work {
    /// Texts that were looked at.
    pub looked_at: usize,
    /// Texts that were scored, which takes a hundred times as long.
    pub scored: usize,
}

/// Threads that so many texts are worth.
fn threads(texts: usize) -> usize {
    if texts < MANY {
        return 1;
    }
    std::thread::available_parallelism().map_or(1, usize::from).min(4)
}

impl Search {
    /// Among these.
    pub fn new(items: Arc<Items>, newest: Arc<AtomicU64>) -> Self {
        let matchers = (0..threads(items.len())).map(|_| Matcher::new(Config::DEFAULT)).collect();
        Self { items, narrowed: Vec::new(), matchers, newest, work: Work::default() }
    }

    /// Among these, too: they stand behind the others. Of what was found so far nothing is looked at again.
    pub fn extend<'a>(&mut self, each: impl Iterator<Item = &'a str>) {
        let from = self.items.len() as u32;
        Arc::make_mut(&mut self.items).extend(each);
        while self.matchers.len() < threads(self.items.len()) {
            self.matchers.push(Matcher::new(Config::DEFAULT));
        }
        let new: Vec<u32> = (from..self.items.len() as u32).collect();
        let mut narrowed = std::mem::take(&mut self.narrowed);
        for (text, fits) in &mut narrowed {
            // No question overtakes this.
            let more = self.among(u64::MAX, text, Some(&new));
            fits.extend(more.into_iter().flat_map(|(_, more)| more));
        }
        self.narrowed = narrowed;
    }

    /// What the last answer took.
    pub const fn work(&self) -> Work {
        self.work
    }

    /// What fits this text; `None` when a newer question came meanwhile.
    pub fn find(&mut self, question: u64, text: &str) -> Option<Answer> {
        if text.trim().is_empty() {
            self.narrowed.clear();
            return Some(self.everything(text));
        }
        while let Some((typed, _)) = self.narrowed.last() {
            if text.starts_with(typed) && narrows(typed) {
                break;
            }
            self.narrowed.pop();
        }
        if let Some((typed, fits)) = self.narrowed.last()
            && typed == text
        {
            // Typed and taken back: only their order has to be found again.
            let fits = fits.clone();
            return self.among(question, text, Some(&fits)).map(|(answer, _)| answer);
        }
        let from = self.narrowed.last().map(|(_, fits)| fits.clone());
        let (answer, fits) = self.among(question, text, from.as_deref())?;
        self.narrowed.push((text.to_owned(), fits));
        Some(answer)
    }

    /// Those chosen before, then the others as they come.
    fn everything(&self, text: &str) -> Answer {
        let mut recent: Vec<(u32, u32)> =
            self.items.recent.iter().map(|(item, rank)| (*rank, *item)).collect();
        recent.sort_unstable_by_key(|(rank, item)| (Reverse(*rank), *item));
        let chosen = recent.into_iter().map(|(_, item)| item);
        let others = (0..self.items.len() as u32).filter(|at| !self.items.recent.contains_key(at));
        let best = chosen.chain(others).take(BEST).collect();
        Answer { text: text.to_owned(), count: self.items.len(), best }
    }

    fn among(
        &mut self,
        question: u64,
        text: &str,
        from: Option<&[u32]>,
    ) -> Option<(Answer, Vec<u32>)> {
        let total = from.map_or(self.items.len(), <[u32]>::len);
        let part = total.div_ceil(self.matchers.len()).max(1);
        let (items, newest) = (&*self.items, &*self.newest);
        let look = |matcher: &mut Matcher, n: usize| {
            let range = (n * part).min(total)..((n + 1) * part).min(total);
            let at = |i: usize| from.map_or(i as u32, |from| from[i]);
            let overtaken = || newest.load(Ordering::Relaxed) > question;
            Look { items, text, pattern: parse(text) }.all(range.map(at), matcher, overtaken)
        };
        let results: Vec<_> = match self.matchers.as_mut_slice() {
            [one] => vec![look(one, 0)],
            [first, rest @ ..] if total >= MANY => std::thread::scope(|scope| {
                let look = &look;
                let others: Vec<_> = (rest.iter_mut().enumerate())
                    .map(|(n, matcher)| scope.spawn(move || look(matcher, n + 1)))
                    .collect();
                let own = look(first, 0);
                let others = others.into_iter().map(|thread| thread.join().unwrap_or(None));
                std::iter::once(own).chain(others).collect()
            }),
            matchers => (matchers.iter_mut().enumerate()).map(|(n, m)| look(m, n)).collect(),
        };
        let (mut all, mut fits) = (Vec::new(), Vec::new());
        let mut work = Work { looked_at: total, scored: 0 };
        for result in results {
            let (best, found, scored) = result?;
            work.scored += scored;
            all.extend(best);
            fits.extend(found);
        }
        self.work = work;
        all.sort_unstable_by_key(|(score, at)| (Reverse(*score), *at));
        let best = all.into_iter().take(BEST).map(|(_, at)| at).collect();
        Some((Answer { text: text.to_owned(), count: fits.len(), best }, fits))
    }
}

/// One look through a part of the texts.
struct Look<'a> {
    items: &'a Items,
    text: &'a str,
    pattern: Pattern,
}

/// The best with their scores, all that fit, and how many were scored.
type Found = (Vec<(u32, u32)>, Vec<u32>, usize);

impl Look<'_> {
    fn all(
        &self,
        numbers: impl Iterator<Item = u32>,
        matcher: &mut Matcher,
        overtaken: impl Fn() -> bool,
    ) -> Option<Found> {
        // Small letters and digits without signs: whether they come one after the other is all.
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_./:@ ".contains(c);
        let words: Vec<&[u8]> = if self.text.chars().all(plain) {
            self.text.split_ascii_whitespace().map(str::as_bytes).collect()
        } else {
            Vec::new()
        };
        let needs = if narrows(self.text) { letters(self.text) } else { 0 };
        let (mut fits, mut buffer, mut scored) = (Vec::new(), Vec::new(), 0);
        // Of very many that fit, those are scored that look best at first sight.
        let mut sighted: BinaryHeap<(u32, u32)> = BinaryHeap::new();
        for (seen, at) in numbers.enumerate() {
            if seen % STRIDE == 0 && overtaken() {
                return None;
            }
            if self.items.letters[at as usize] & needs != needs {
                continue;
            }
            let (text, sound) = self.items.get(at);
            let sight = if words.is_empty() || (sound.is_none() && !text.is_ascii()) {
                scored += 1;
                self.score(text, sound, matcher, &mut buffer).map(|score| u32::MAX - score)
            } else {
                let sight = |text: &str| at_sight(&words, text.as_bytes());
                sight(text).or_else(|| sight(sound?))
            };
            let Some(sight) = sight else { continue };
            fits.push(at);
            let sight = if self.items.recent.contains_key(&at) { 0 } else { sight };
            if sighted.len() < SCORED {
                sighted.push((sight, at));
            } else if sighted.peek().is_some_and(|worst| (sight, at) < *worst) {
                sighted.pop();
                sighted.push((sight, at));
            }
        }
        scored += sighted.len();
        let score = |(_, at)| {
            let (text, sound) = self.items.get(at);
            let score = self.score(text, sound, matcher, &mut buffer)?;
            Some((score + self.items.recent.get(&at).copied().unwrap_or(0), at))
        };
        Some((sighted.into_iter().filter_map(score).collect(), fits, scored))
    }

    fn score(
        &self,
        text: &str,
        sound: Option<&str>,
        matcher: &mut Matcher,
        buffer: &mut Vec<char>,
    ) -> Option<u32> {
        let mut score = |text| self.pattern.score(Utf32Str::new(text, buffer), matcher);
        score(text).or_else(|| score(sound?))
    }
}

/// Whether the letters of each word come one after the other, and if so how well at first sight: the
/// less the better. Words in one piece are better than scattered letters, at the start of a word better
/// than within, early better than late, short texts better than long ones.
fn at_sight(words: &[&[u8]], text: &[u8]) -> Option<u32> {
    let mut sight = text.len().min(255) as u32;
    for word in words {
        let mut at = 0;
        let mut first = None;
        let mut gaps = 0;
        for letter in *word {
            let upper = letter.to_ascii_uppercase();
            let found = memchr::memchr2(*letter, upper, text.get(at..)?)?;
            gaps += u32::from(found > 0 && first.is_some());
            at += found + 1;
            first = first.or(Some(at - 1));
        }
        let first = first.unwrap_or(0);
        let within = first > 0 && text[first - 1].is_ascii_alphanumeric();
        sight += gaps.min(15) * 4096 + u32::from(within) * 1024 + first.min(200) as u32 * 4;
    }
    Some(sight)
}

/// Whether whatever fits a longer text fits this one too: not where a sign turns the meaning round.
fn narrows(text: &str) -> bool {
    !text.contains(['!', '^', '$', '\'', '\\'])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn search(texts: &[&str], recent: &[u32]) -> Search {
        Search::new(Arc::new(Items::new(texts.iter().copied(), recent)), Arc::default())
    }

    fn found(search: &mut Search, text: &str) -> Vec<u32> {
        search.find(0, text).expect("not overtaken").best
    }

    #[test]
    fn typing_and_taking_back_finds_the_same_as_a_new_search() {
        let texts = ["web1", "web2", "db1 nginx", "nginx worker", "webb", "x", "Web!"];
        let mut one = search(&texts, &[]);
        for text in [
            "w", "we", "web", "web1", "web", "we", "wen", "n", "!w", "!we", "^w", "^we", "b$",
            "b$1",
        ] {
            assert_eq!(found(&mut one, text), found(&mut search(&texts, &[]), text), "{text}");
        }
    }

    #[test]
    fn what_comes_later_is_found_as_if_it_had_been_there() {
        let texts = ["web1", "web2", "db1 nginx", "nginx worker", "webb", "x", "Web!", "北京 web"];
        let mut one = search(&texts[..3], &[1]);
        for (n, text) in ["w", "we", "web", "we", "^w", "ng", "bj"].into_iter().enumerate() {
            if n > 0 && n + 2 < texts.len() {
                one.extend(texts[n + 2..n + 3].iter().copied());
            }
            let there = one.items.len();
            assert_eq!(
                found(&mut one, text),
                found(&mut search(&texts[..there], &[1]), text),
                "{text}"
            );
        }
        one.extend(std::iter::once("web3"));
        assert_eq!(found(&mut one, "web3"), [one.items.len() as u32 - 1]);
    }

    #[test]
    fn chinese_is_found_by_its_characters_and_by_the_first_letters_of_their_sounds() {
        let mut search = search(&["web1", "边缘-北京1", "上海2"], &[]);
        for text in ["北京", "bj", "bybj", "by bj1"] {
            assert_eq!(found(&mut search, text), [1], "{text}");
        }
        assert_eq!(hits("bj", "边缘-北京1", &mut Matcher::new(Config::DEFAULT)), [3, 4]);
    }

    #[test]
    fn what_was_chosen_before_comes_first() {
        let mut search = search(&["web1", "web2", "web3"], &[2, 1]);
        assert_eq!(found(&mut search, ""), [2, 1, 0]);
        assert_eq!(found(&mut search, "web"), [2, 1, 0]);
        assert_eq!(found(&mut search, "web1"), [0]);
    }

    #[test]
    fn a_question_that_was_overtaken_is_not_answered() {
        let newest = Arc::new(AtomicU64::new(2));
        let items = Arc::new(Items::new(["a"].into_iter(), &[]));
        let mut search = Search::new(items, newest);
        assert_eq!(search.find(1, "a"), None);
        assert!(search.find(2, "a").is_some());
    }

    /// What keeps a key below 16 ms, without a clock: few are scored however many fit, and a longer text looks only
    /// at what fitted the shorter one. `scripts/bench-finder` has the times.
    #[test]
    fn a_key_over_two_hundred_thousand_entries_scores_few_and_looks_only_at_what_fitted_before() {
        let programs =
            ["nginx: worker", "postgres -D /var/lib 边缘", "sshd [listener]", "tcp :8080"];
        let text = |n: usize| format!("web{} {} {}", n / 200, 300 + n % 30_000, programs[n % 4]);
        let texts: Vec<String> = (0..200_000).map(text).collect();
        let items = Items::new(texts.iter().map(String::as_str), &[]);
        let mut search = Search::new(Arc::new(items), Arc::default());
        for typed in ["web12 nginx", "e", "ssh lis", "808", "zzzz", "by"] {
            let mut before = texts.len();
            for end in 1..=typed.len() {
                let answer = search.find(0, &typed[..end]).expect("not overtaken");
                let Work { looked_at, scored } = search.work();
                assert!(scored <= SCORED * search.matchers.len(), "{}: {scored}", &typed[..end]);
                assert!(looked_at <= before, "{}: {looked_at} > {before}", &typed[..end]);
                assert!(answer.best.len() <= BEST && answer.count <= looked_at);
                before = answer.count;
            }
            search.find(0, "");
        }
    }

    #[test]
    fn many_are_found_on_several_threads_as_on_one() {
        let texts: Vec<String> = (0..MANY + 5).map(|n| format!("host-{n:05} nginx")).collect();
        let mut search = Search::new(
            Arc::new(Items::new(texts.iter().map(String::as_str), &[])),
            Arc::default(),
        );
        let answer = search.find(0, "ho 1999").expect("found");
        assert!(answer.best.contains(&19_990));
        assert!(answer.count >= 20);
        let narrower = search.find(0, "ho 19999").expect("found");
        assert_eq!(narrower.best[0], 19_999);
    }
}
