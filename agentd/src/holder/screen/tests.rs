use super::*;
use alacritty_terminal::grid::Grid;
use alacritty_terminal::index::{Column, Line};
use alacritty_terminal::term::TermMode;
use alacritty_terminal::term::cell::{Cell, Flags};
use proptest::prelude::*;

fn size(columns: u16, rows: u16) -> Size {
    Size { columns, rows }
}

/// What a person sees of a cell, and what is written over it later.
fn seen(row: &[Cell], column: usize) -> String {
    let cell = &row[column];
    let halves = Flags::WIDE_CHAR | Flags::WIDE_CHAR_SPACER | Flags::LEADING_WIDE_CHAR_SPACER;
    let pair = |at: usize| {
        row[at].flags.contains(Flags::WIDE_CHAR)
            && row.get(at + 1).is_some_and(|next| next.flags.contains(Flags::WIDE_CHAR_SPACER))
    };
    let whole = pair(column) || !cell.flags.intersects(halves);
    let second = column > 0 && pair(column - 1);
    let c = match cell.c {
        _ if !whole || second => ' ',
        '\t' => ' ',
        c => c,
    };
    let marks: String = cell.zerowidth().filter(|_| whole).unwrap_or_default().iter().collect();
    // The second half of a wide character looks like the first.
    let cell = if second { &row[column - 1] } else { cell };
    let flags = cell.flags.difference(halves | Flags::WRAPLINE);
    format!("{c}{marks} {:?} {:?} {flags:?} {:?}", cell.fg, cell.bg, cell.underline_color())
}

fn lines(grid: &Grid<Cell>) -> Vec<Vec<String>> {
    let first = -(grid.history_size() as i32);
    let columns = grid.columns();
    (first..grid.screen_lines() as i32)
        .map(|line| (0..columns).map(|column| seen(&grid[Line(line)][..], column)).collect())
        .collect()
}

fn trimmed(text: &[Vec<String>]) -> Vec<String> {
    text.iter().map(|line| line.join("|")).collect()
}

/// Everything of a terminal that shows, now or later.
fn state(screen: &mut Screen) -> Vec<String> {
    let mode = *screen.term.mode();
    let mut all = trimmed(&lines(screen.term.grid()));
    let cursor = &screen.term.grid().cursor;
    all.push(format!("cursor {:?} {}", cursor.point, cursor.input_needs_wrap));
    let template = |cell: &Cell| {
        let flags = cell.flags.difference(Flags::WRAPLINE);
        format!("{:?} {:?} {flags:?} {:?}", cell.fg, cell.bg, cell.underline_color())
    };
    all.push(format!("{} {:?}", template(&cursor.template), cursor.charsets));
    let saved = &screen.term.grid().saved_cursor;
    all.push(format!("saved {:?} {} {:?}", saved.point, template(&saved.template), saved.charsets));
    let Extras { tabs, region, charset, keyboard, cursor, .. } = &screen.extras;
    // What a program that has left the other screen forgot to take back there is its own.
    let keyboard = &keyboard[..=usize::from(mode.contains(TermMode::ALT_SCREEN))];
    all.push(format!("{mode:?} {tabs:?} {region:?} {charset:?} {keyboard:?} {cursor:?}"));
    all.push(screen.title().to_owned());
    all
}

/// Whether the cursor is where no position that counts from the scroll region can put it.
fn is_outside(screen: &Screen) -> bool {
    let line = screen.term.grid().cursor.point.line.0 as usize;
    screen.term.mode().contains(TermMode::ORIGIN)
        && screen.extras.region.is_some_and(|(top, bottom)| !(top..bottom).contains(&line))
}

fn same_after_redraw(screen: &mut Screen, lines: usize) -> Result<(), TestCaseError> {
    let drawn = screen.redraw(lines);
    let mut other = Screen::new(screen.size);
    other.feed(&drawn);
    let (wanted, got) = (state(screen), state(&mut other));
    let outside = is_outside(screen);
    for (at, (wanted, got)) in wanted.iter().zip(&got).enumerate() {
        if outside && wanted.starts_with("cursor ") {
            continue;
        }
        prop_assert_eq!(
            wanted,
            got,
            "{} of {}: {}",
            at,
            wanted.len(),
            String::from_utf8_lossy(&drawn).escape_debug()
        );
    }
    prop_assert_eq!(wanted.len(), got.len());
    // The main screen, when the other one is left.
    if screen.term.mode().contains(TermMode::ALT_SCREEN) {
        screen.feed(b"\x1b[?1049l");
        other.feed(b"\x1b[?1049l");
        prop_assert_eq!(state(screen), state(&mut other));
    }
    Ok(())
}

/// Pieces of what programs print.
fn piece() -> impl Strategy<Value = Vec<u8>> {
    let text = prop_oneof![
        "[a-z ]{1,30}",
        "[容器日é\u{301}́ x]{1,14}",
        Just("\r\n".to_owned()),
        Just("\n".to_owned()),
        Just("\r".to_owned()),
        Just("\t".to_owned()),
        Just("\u{8}".to_owned()),
        Just("\x0e".to_owned()),
        Just("\x0f".to_owned()),
    ];
    let n = 0u16..30;
    let csi = (proptest::collection::vec(n, 0..3), "[@ABCDEFGHIJKLMPSTXZdfgrsu`]").prop_map(
        |(numbers, last)| {
            let numbers: Vec<_> = numbers.iter().map(ToString::to_string).collect();
            format!("\x1b[{}{last}", numbers.join(";"))
        },
    );
    let colors = prop_oneof![
        (0u16..110).prop_map(|n| format!("\x1b[{n}m")),
        any::<u8>().prop_map(|n| format!("\x1b[38;5;{n}m")),
        any::<[u8; 3]>().prop_map(|[r, g, b]| format!("\x1b[48;2;{r};{g};{b}m")),
        (0u8..6).prop_map(|n| format!("\x1b[4:{n};58;5;{n}m")),
    ];
    let modes = (
        prop_oneof![
            Just("?1"),
            Just("?6"),
            Just("?7"),
            Just("?25"),
            Just("?1000"),
            Just("?1002"),
            Just("?1003"),
            Just("?1004"),
            Just("?1005"),
            Just("?1006"),
            Just("?1007"),
            Just("?1049"),
            Just("?2004"),
            Just("4"),
            Just("20"),
        ],
        "[hl]",
    )
        .prop_map(|(mode, how)| format!("\x1b[{mode}{how}"));
    let others = prop_oneof![
        Just("\x1b7"),
        Just("\x1b8"),
        Just("\x1bM"),
        Just("\x1bD"),
        Just("\x1bE"),
        Just("\x1bH"),
        Just("\x1b="),
        Just("\x1b>"),
        Just("\x1b(0"),
        Just("\x1b)0"),
        Just("\x1b(B"),
        Just("\x1b]2;a title\x07"),
        Just("\x1b[>5u"),
        Just("\x1b[<u"),
        Just("\x1b[=3;2u"),
        Just("\x1b[4 q"),
        Just("\x1b[5 q"),
        Just("\x1b#8"),
        Just("\x1b]8;;http://x\x07"),
        Just("\x1b]4;3;rgb:12/34/56\x07"),
    ]
    .prop_map(str::to_owned);
    prop_oneof![
        6 => text.prop_map(String::into_bytes),
        4 => csi.prop_map(String::into_bytes),
        2 => colors.prop_map(String::into_bytes),
        2 => modes.prop_map(String::into_bytes),
        2 => others.prop_map(String::into_bytes),
        1 => proptest::collection::vec(any::<u8>(), 1..20),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn a_terminal_that_is_drawn_anew_shows_the_same(
        columns in 2u16..24, rows in 1u16..8,
        pieces in proptest::collection::vec(piece(), 0..60),
    ) {
        let mut screen = Screen::new(size(columns, rows));
        for piece in &pieces {
            screen.feed(piece);
        }
        same_after_redraw(&mut screen, LINES)?;
    }

    #[test]
    fn nothing_that_is_printed_does_harm(
        bytes in proptest::collection::vec(any::<u8>(), 0..400),
        sizes in proptest::collection::vec((1u16..50, 1u16..20), 0..4),
    ) {
        let mut screen = Screen::new(size(20, 5));
        for (piece, (columns, rows)) in bytes.chunks(100).zip(sizes.iter().cycle()) {
            screen.feed(piece);
            screen.resize(size(*columns, *rows));
        }
        screen.redraw(LINES);
    }

    #[test]
    fn texts_that_are_too_long_are_left_out_wherever_they_are_cut(cut in 1usize..70_000) {
        let long = [b"a\x1b]2;".to_vec(), vec![b'x'; 60_000], b"\x07b\x1b]2;short\x07c".to_vec()].concat();
        let (mut strings, mut passed) = (Strings::default(), Vec::new());
        for piece in long.chunks(cut) {
            strings.pass(piece, |piece| passed.extend_from_slice(piece));
        }
        prop_assert!(passed.len() < 20_000);
        prop_assert!(passed.starts_with(b"a\x1b]2;xxx"));
        prop_assert!(passed.ends_with(b"b\x1b]2;short\x07c"));
    }
}

#[test]
fn a_cursor_that_went_back_to_a_stop_that_is_gone_is_drawn_there() {
    let mut screen = Screen::new(size(10, 1));
    screen.feed("0123456789\x1b[Z\x1b[g".as_bytes());
    same_after_redraw(&mut screen, LINES).unwrap();
}

#[test]
fn a_line_that_was_wrapped_can_be_wrapped_anew_after_it_was_drawn() {
    let mut screen = Screen::new(size(10, 4));
    screen.feed("0123456789容器abcdef\r\nnext".as_bytes());
    let drawn = screen.redraw(LINES);
    let mut other = Screen::new(size(10, 4));
    other.feed(&drawn);
    for screen in [&mut screen, &mut other] {
        screen.resize(size(30, 4));
    }
    assert_eq!(state(&mut screen), state(&mut other));
    let first: String = other.term.grid()[Line(0)][..].iter().map(|cell| cell.c).collect();
    assert!(first.starts_with("0123456789容 器 abcdef"), "{first}");
}

#[test]
fn scrollback_comes_as_far_as_it_is_wanted() {
    let mut screen = Screen::new(size(20, 3));
    for n in 0..5000 {
        screen.feed(format!("line {n}\r\n").as_bytes());
    }
    assert_eq!(screen.term.grid().history_size(), LINES);
    let text = String::from_utf8(screen.redraw(10)).unwrap();
    assert!(
        text.contains("line 4999") && text.contains("line 4988") && !text.contains("line 4987")
    );
    let all = String::from_utf8(screen.redraw(LINES)).unwrap();
    assert!(all.contains("line 2998\r\n") && !all.contains("line 2997\r\n"));
}

#[test]
fn marks_over_one_character_are_few() {
    let mut screen = Screen::new(size(20, 3));
    screen.feed(b"e");
    for _ in 0..1000 {
        screen.feed("\u{301}\x1b[D\x1b[C\u{302}".as_bytes());
    }
    let cell = &screen.term.grid()[Line(0)][Column(0)];
    assert_eq!(cell.zerowidth().unwrap().len(), 8);
}

#[test]
fn questions_are_answered_and_answers_do_not_pile_up() {
    let mut screen = Screen::new(size(20, 3));
    screen.feed(b"ab\x1b[6n");
    assert_eq!(screen.answers(), b"\x1b[1;3R");
    for _ in 0..10_000 {
        screen.feed(b"\x1b[c");
    }
    assert!(screen.answers().len() <= ANSWERS);
}

/// What floods are made of, and what interrupts them.
fn flood() -> impl Strategy<Value = Vec<u8>> {
    let line = prop_oneof![
        4 => "[ -~]{1,60}",
        1 => Just("\x1b[1;31mred \x1b[38:2:1:2:3mand so on".to_owned()),
        1 => Just("wide 节点 and tab\tand bell\x07".to_owned()),
        1 => Just(String::new()),
    ];
    let between = prop_oneof![
        Just(""),
        Just("\x1b[3;8r"),
        Just("\x1b[r"),
        Just("\x1b[?1049h"),
        Just("\x1b[?1049l"),
        Just("\x1b]0;title"),
        Just("\x07"),
        Just("\x1b[5"),
        Just("\x1b[2J\x1b[H"),
        Just("\x1b7"),
        Just("\x1b8"),
        Just("\x0e"),
        Just("\x1b[4h"),
        Just("\n\n"),
    ];
    let end = prop_oneof![5 => Just("\r\n"), 1 => Just("\n")];
    let part = (proptest::collection::vec(line, 1..6), end, 0usize..1500, between);
    proptest::collection::vec(part, 1..4).prop_map(|parts| {
        let mut all = Vec::new();
        for (lines, end, times, between) in parts {
            for _ in 0..times {
                for line in &lines {
                    all.extend_from_slice(line.as_bytes());
                    all.extend_from_slice(end.as_bytes());
                }
            }
            all.extend_from_slice(between.as_bytes());
        }
        all
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn a_flood_that_is_passed_over_leaves_what_it_would_have_left(
        bytes in flood(), pieces in proptest::collection::vec(1usize..400_000, 1..5),
    ) {
        let mut whole = Screen::new(size(40, 10));
        whole.feed(&bytes);
        let mut late = Screen::new(size(40, 10));
        let mut rest = &bytes[..];
        for piece in pieces {
            let (now, later) = rest.split_at(piece.min(rest.len()));
            late.later(now);
            late.pass_over();
            rest = later;
        }
        late.later(rest);
        late.catch_up();
        prop_assert_eq!(state(&mut whole), state(&mut late));
    }
}

#[test]
fn a_flood_of_lines_is_not_looked_at_whole() {
    let mut screen = Screen::new(size(80, 24));
    for n in 0..500_000 {
        screen.later(format!("line {n} of a flood that nobody can read\r\n").as_bytes());
    }
    screen.catch_up();
    assert!(screen.extras.written < 4_000_000, "{} characters", screen.extras.written);
    let shown = lines(screen.term.grid()).len();
    assert_eq!(shown, LINES + 24);
}

#[test]
fn movements_stay_within_the_margins_as_on_real_terminals() {
    let mut screen = Screen::new(size(20, 9));
    screen.feed(b"\x1b[?6h\x1b[4;6r\x1b[9BX\x1b[9AY\x1b[2GZ\x1b[1Ev\x1b[9Fw");
    let shown = |line: i32| {
        let row = &screen.term.grid()[Line(line)];
        (0..3).map(|column| row[Column(column)].c).collect::<String>()
    };
    assert_eq!([3, 4, 5].map(shown), ["wZ ", "v  ", "X  "]);
}
