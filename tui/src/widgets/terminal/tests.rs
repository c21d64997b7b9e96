use super::*;
use crate::terminal::encoder::CURLY;
use crate::theme::{Depth, Theme};
use proptest::prelude::*;
use ratatui::buffer::Buffer;
use ratatui::layout::{Position, Rect};
use ratatui::style::{Color, Modifier};
use unicode_width::UnicodeWidthStr as _;

fn theme(depth: Depth) -> Theme {
    Theme::load("dark", depth).expect("theme")
}

fn screen(size: (u16, u16), bytes: &str) -> Screen {
    let mut screen = Screen::new(size);
    screen.feed(bytes.as_bytes());
    screen
}

fn drawn(screen: &Screen, (width, height): (u16, u16)) -> (Buffer, Option<Position>) {
    let area = Rect::new(0, 0, width, height);
    let mut buffer = Buffer::empty(area);
    let cursor = screen.draw(&mut buffer, area, &theme(Depth::True), &[]);
    (buffer, cursor)
}

/// As lines of text, as a terminal would show them.
fn text(screen: &Screen, size: (u16, u16)) -> String {
    let (buffer, cursor) = drawn(screen, size);
    let mut out = String::new();
    for y in 0..size.1 {
        let mut skip = 0;
        let mut line = String::new();
        for x in 0..size.0 {
            if skip > 0 {
                skip -= 1;
                continue;
            }
            let symbol = buffer[(x, y)].symbol();
            skip = symbol.width().saturating_sub(1);
            line.push_str(symbol);
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out + &cursor.map_or_else(|| "no cursor".to_owned(), |at| format!("cursor {},{}", at.x, at.y))
}

const SHOWN: &str = "\x1b]0;vim main.rs\x07\x1b[1;32mroot@web1\x1b[0m:\x1b[34m/srv\x1b[0m# ls --color\r\n\
    \x1b[01;34m目录一\x1b[0m  \x1b[4:3;58:2::255:0:0m报告.txt\x1b[0m  e\u{301}tude  \x1b[7mback\x1b[27m up\r\n\
    一二三四五六七八九十一二三四五六七八九十一二三四五六七八九十一二三四五六七八九十\r\n\
    \x1b]8;;https://example.com/\x07a link\x1b]8;;\x07  \x1b[9mgone\x1b[0m  \x1b[8mhidden\x1b[0m|\r\n$ ";

#[test]
fn a_screen_looks_the_same_at_three_sizes() {
    for size in [(60, 18), (24, 9), (11, 8)] {
        let screen = screen(size, SHOWN);
        insta::assert_snapshot!(format!("screen@{}x{}", size.0, size.1), text(&screen, size));
    }
}

#[test]
fn a_wide_character_is_never_cut_by_the_edge() {
    let mut screen = screen((10, 4), "ab一二三四\r\nx");
    assert_eq!(text(&screen, (10, 2)), "ab一二三四\nx\ncursor 1,1");
    // A place smaller than the screen: half of a character is none.
    assert_eq!(text(&screen, (5, 2)), "ab一\nx\ncursor 1,1");
    screen.feed("\r\n一二三四五".as_bytes());
    // The part around the cursor is seen: what is cut at the left edge is blank too.
    let (buffer, cursor) = drawn(&screen, (5, 4));
    assert_eq!(cursor, Some(Position::new(3, 2)));
    let row: Vec<&str> = (0..5).map(|x| buffer[(x, 2)].symbol()).collect();
    assert_eq!(row, [" ", "四", "", "五", ""]);
}

#[test]
fn a_blank_where_half_a_character_was_is_drawn() {
    let mut screen = screen((10, 1), "a一二");
    let (before, _) = drawn(&screen, (10, 1));
    screen.feed("\r一\x1b[K".as_bytes());
    let (after, _) = drawn(&screen, (10, 1));
    let sent: Vec<u16> = before.diff(&after).into_iter().map(|(x, ..)| x).collect();
    assert!(sent.contains(&2) && sent.contains(&4), "{sent:?}");
}

#[test]
fn colours_and_weights_arrive_and_come_down_to_what_the_terminal_has() {
    let screen = screen(
        (40, 3),
        "\x1b[1;3;2;38;2;250;80;80ma\x1b[0;38;5;196mb\x1b[0;31mc\x1b[0;4:3;58:2::1:2:3md\x1b[0;9;7me",
    );
    let area = Rect::new(0, 0, 40, 3);
    let at = |depth, x: u16| {
        let mut buffer = Buffer::empty(area);
        screen.draw(&mut buffer, area, &theme(depth), &[]);
        buffer[(x, 0)].clone()
    };
    let weights = Modifier::BOLD | Modifier::ITALIC | Modifier::DIM;
    let a = at(Depth::True, 0);
    assert_eq!((a.fg, a.modifier), (Color::Rgb(250, 80, 80), weights));
    assert_eq!(at(Depth::Sixteen, 0).fg, Color::Indexed(9));
    assert_eq!(at(Depth::Indexed, 0).fg, Color::Indexed(203));
    assert_eq!(at(Depth::None, 0).fg, Color::Reset);
    assert_eq!(
        [at(Depth::True, 1).fg, at(Depth::Sixteen, 1).fg],
        [Color::Indexed(196), Color::Indexed(1)]
    );
    assert_eq!([at(Depth::True, 2).fg, at(Depth::None, 2).fg], [Color::Indexed(1), Color::Reset]);
    let d = at(Depth::True, 3);
    assert_eq!(
        (d.underline_color, d.modifier),
        (Color::Rgb(1, 2, 3), Modifier::UNDERLINED | CURLY)
    );
    let plain = at(Depth::Indexed, 3);
    assert_eq!((plain.underline_color, plain.modifier), (Color::Reset, Modifier::UNDERLINED));
    assert_eq!(at(Depth::True, 4).modifier, Modifier::CROSSED_OUT | Modifier::REVERSED);
}

#[test]
fn what_is_asked_of_a_terminal_is_answered_and_the_clipboard_never_read() {
    let mut screen = screen((80, 24), "\x1b[c\x1b[6n\x1b]52;c;?\x07\x1b[5n");
    let answers = String::from_utf8(screen.answers()).expect("text");
    assert_eq!(answers, "\x1b[?6c\x1b[1;1R\x1b[0n");
    assert_eq!(screen.clipboard(), None);
    screen.feed(b"\x1b]11;?\x07");
    assert!(screen.answers().is_empty(), "a ground of the terminal's own is not known");
    screen.set_ground(Some([(1, 2, 3), (0xaa, 0xbb, 0xcc)]));
    screen.feed(b"\x1b]11;?\x07");
    assert_eq!(screen.answers(), b"\x1b]11;rgb:aaaa/bbbb/cccc\x07");
}

#[test]
fn what_goes_to_the_clipboard_is_handed_on_once() {
    let mut screen = screen((80, 24), "\x1b]52;c;aGVsbG8=\x07");
    assert_eq!(screen.clipboard().as_deref(), Some("hello"));
    assert_eq!(screen.clipboard(), None);
}

#[test]
fn a_title_is_harmless_and_short() {
    let mut screen = screen((80, 24), "\x1b]2;a\u{9b}2Jb\x07\x07\x07");
    assert_eq!((screen.title(), screen.bells()), ("a‹9b›2Jb", 2));
    screen.feed(format!("\x1b]2;{}\x07", "x".repeat(9000)).as_bytes());
    assert_eq!(screen.title().len(), TITLE);
}

#[test]
fn lines_are_broken_anew_and_nothing_is_lost() {
    let mut screen = screen((20, 5), "0123456789abcdefghij一二");
    screen.resize((10, 5));
    assert_eq!(text(&screen, (10, 2)), "abcdefghij\n一二\ncursor 4,1");
    assert_eq!(screen.history(), 1, "the first piece went up");
    screen.resize((20, 5));
    assert_eq!(text(&screen, (20, 5)), "0123456789abcdefghij\n一二\n\n\n\ncursor 4,1");
}

#[test]
fn the_other_screen_comes_and_goes_and_the_cursor_has_its_shape() {
    let mut screen = screen((20, 3), "shell\x1b[?1049h\x1b[2J\x1b[Hvim\x1b[5 q");
    assert_eq!(text(&screen, (20, 3)), "vim\n\n\ncursor 3,0");
    assert_eq!(screen.caret(), Some(Caret::Beam));
    screen.feed(b"\x1b[?25l");
    assert_eq!((screen.caret(), drawn(&screen, (20, 3)).1), (None, None));
    screen.feed(b"\x1b[?25h\x1b[?1049l\x1b[2 q");
    assert_eq!(text(&screen, (20, 3)), "shell\n\n\ncursor 5,0");
    assert_eq!(screen.caret(), Some(Caret::Block));
}

#[test]
fn an_update_that_is_left_open_is_shown_in_the_end() {
    let mut screen = screen((20, 2), "a\x1b[?2026hb");
    assert_eq!(text(&screen, (20, 1)), "a\ncursor 1,0");
    let until = screen.held_until().expect("held");
    while Instant::now() < until {
        std::thread::yield_now();
    }
    assert!(screen.release() && !screen.release());
    assert_eq!(text(&screen, (20, 1)), "ab\ncursor 2,0");
}

#[test]
fn ten_thousand_lines_are_kept_and_searched() {
    let mut screen = Screen::new((20, 5));
    for n in 0..12_000 {
        screen.feed(format!("line {n} 节点\r\n").as_bytes());
    }
    assert_eq!(screen.history(), HISTORY);
    screen.look(true);
    let mut find = Find::new("line 79[0-9]{2} 节").expect("regex");
    assert!(Find::new("(").is_none());
    let place = find.next(&screen, false).expect("found");
    screen.go(place);
    assert!(text(&screen, (20, 5)).contains("line 7999 节点"), "{}", text(&screen, (20, 5)));
    let place = find.next(&screen, true).expect("found: from the beginning again");
    screen.go(place);
    assert!(text(&screen, (20, 5)).contains("line 7900 节点"));
    let seen = find.seen(&screen);
    assert!((1..=5).contains(&seen.len()), "{seen:?}");
    screen.look(false);
    assert_eq!(screen.back(), 0);
}

#[test]
fn a_selection_holds_what_it_shows() {
    let mut screen = screen((20, 4), "one two\r\n一二三 x\r\nthree");
    let area = Rect::new(3, 2, 20, 4);
    let place = |screen: &Screen, x: u16, y: u16| screen.place(area, 3 + x, 2 + y);
    let from = place(&screen, 4, 0);
    screen.select_at(Kind::Simple, from);
    let to = place(&screen, 3, 1);
    screen.select_to(to);
    assert_eq!(screen.selected().as_deref(), Some("two\n一二"));
    let word = place(&screen, 1, 0);
    screen.select_at(Kind::Words, word);
    assert_eq!(screen.selected().as_deref(), Some("one"));
    screen.unselect();
    screen.look(true);
    screen.jump_end(false);
    screen.select(Kind::Lines);
    screen.jump(Jump::Down);
    assert_eq!(screen.selected().as_deref(), Some("one two\n一二三 x\n"));
}

#[test]
fn links_are_underlined_and_listed_and_never_sent() {
    let screen = screen((40, 3), SHOWN_LINKS);
    let links = screen.links();
    assert_eq!(links.len(), 1);
    assert_eq!((links[0].address.as_str(), links[0].text.as_str()), ("https://a.b/c", "here"));
    let (buffer, _) = drawn(&screen, (40, 3));
    assert!(buffer[(0, 0)].modifier.contains(Modifier::UNDERLINED));
    assert_eq!(buffer[(0, 0)].symbol(), "h");
}

const SHOWN_LINKS: &str = "\x1b]8;;https://a.b/c\x1b\\here\x1b]8;;\x1b\\ there";

#[test]
fn memory_is_bounded_whatever_a_host_sends() {
    let mut screen = Screen::new((80, 24));
    // A string without an end, marks without end on one cell, links as long as a book.
    screen.feed(b"\x1b]0;");
    let piece = [b'x'; 16 * 1024];
    for _ in 0..64 {
        screen.feed(&piece);
    }
    screen.feed("\r\nafter it\r\n".as_bytes());
    assert!(text(&screen, (80, 24)).contains("after it"), "the string was cut off");
    screen.feed("e".as_bytes());
    screen.feed("\u{301}".repeat(100_000).as_bytes());
    let (buffer, _) = drawn(&screen, (80, 24));
    let marks = buffer.content.iter().map(|cell| cell.symbol().chars().count()).max();
    assert_eq!(marks, Some(9));
    screen.feed(format!("\r\n\x1b]8;;http://{}\x07x\x1b]8;;\x07", "y".repeat(4000)).as_bytes());
    assert!(screen.links().is_empty());
    // As wide as can be: then fewer lines are kept.
    screen.resize((1000, 24));
    for _ in 0..5000 {
        screen.feed(b"z\r\n");
    }
    assert!(screen.history() * 1000 <= CELLS);
}

#[test]
fn text_without_an_end_is_shown_whole() {
    let mut screen = Screen::new((80, 24));
    let line = "一二三四五".repeat(20_000);
    screen.feed(line.as_bytes());
    let (buffer, _) = drawn(&screen, (80, 24));
    assert!(!buffer.content.iter().any(|cell| cell.symbol() == "\u{fffd}"));
}

/// Bytes as a hostile host would send them: sequences, halves of them, and anything.
fn hostile() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        4 => proptest::collection::vec(any::<u8>(), 0..40),
        4 => "[ -~]{0,30}".prop_map(String::into_bytes),
        2 => "\\PC{0,20}".prop_map(String::into_bytes),
        6 => (0u32..3000, 0u32..3000, "[@-~]")
            .prop_map(|(a, b, end)| format!("\x1b[{a};{b}{end}").into_bytes()),
        2 => (0u32..3000, "[hlq]").prop_map(|(a, end)| format!("\x1b[?{a}{end}").into_bytes()),
        2 => "(0|2|4;1|8|10|11|52;c|104|112);[!-~]{0,30}"
            .prop_map(|body| format!("\x1b]{body}\x07").into_bytes()),
        2 => "[\\x1b\\x0d\\x0a\\x08\\x09\\x0e\\x0f\\x84-\\x9f一🙂\\x{301}\\x{200d}\\x{202e}\\x{fe0f}]{0,20}"
            .prop_map(String::into_bytes),
        1 => Just(b"\x1b[?1049h".to_vec()),
        1 => Just(b"\x1b[?1049l".to_vec()),
        1 => Just(b"\x1b#8\x1bc\x1b(0\x1bD\x1bM\x1bE\x1bH".to_vec()),
        1 => (1u16..400, 1u16..99, "[bLMPSTX@]")
            .prop_map(|(a, top, end)| format!("\x1b[{top};{}r\x1b[{a}{end}", top + 3).into_bytes()),
    ];
    proptest::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn no_bytes_of_a_host_bring_it_down_or_reach_the_terminal(
        bytes in hostile(),
        sizes in proptest::collection::vec((0u16..130, 0u16..50), 1..5),
        cut in 1usize..64,
        jumps in proptest::collection::vec((-60i32..60, 0usize..5), 0..6),
    ) {
        let mut screen = Screen::new(sizes[0]);
        for (n, piece) in bytes.chunks(cut).enumerate() {
            screen.feed(piece);
            if n % 7 == 6 {
                screen.resize(sizes[n % sizes.len()]);
            }
        }
        screen.look(true);
        for (by, kind) in jumps {
            screen.jump_lines(by);
            screen.select([Kind::Simple, Kind::Words, Kind::Lines, Kind::Block][kind % 4]);
            screen.jump([Jump::WordRight, Jump::Left, Jump::Up, Jump::Bracket, Jump::Last][kind]);
            screen.selected();
        }
        if let Some(mut find) = Find::new("[a-z]+") {
            find.seen(&screen);
            find.next(&screen, true);
        }
        screen.links();
        for (width, height) in [(80, 24), (7, 3), (1, 1)] {
            let (buffer, cursor) = drawn(&screen, (width, height));
            prop_assert!(cursor.is_none_or(|at| at.x < width && at.y < height));
            for cell in &buffer.content {
                let steers = |c: char| c.is_control() || cmdr_protocol::display::is_harmful(c);
                prop_assert!(!cell.symbol().chars().any(steers), "{:?}", cell.symbol());
                prop_assert!(cell.symbol().width() <= 2);
            }
            for y in 0..height {
                prop_assert!(buffer[(width - 1, y)].symbol().width() <= 1, "cut by the edge");
            }
        }
        prop_assert!(screen.title().chars().count() <= TITLE);
        prop_assert!(screen.history() <= HISTORY);
    }
}

#[test]
fn movements_stay_within_the_margins_in_origin_mode_and_out_of_it() {
    let moves = "\x1b[9BX\x1b[9AY\x1b[2GZ\x1b[1Ev\x1b[9Fw";
    let shown = |bytes: String| {
        let screen = screen((20, 9), &bytes);
        (0..9).map(|row| screen.line(row).trim_end().to_owned()).collect::<Vec<_>>()
    };
    // Home in origin mode is the region's first line.
    let within = shown(format!("\x1b[?6h\x1b[4;6r{moves}"));
    assert_eq!(within, ["", "", "", "wZ", "v", "X", "", "", ""]);
    let outside = shown(format!("\x1b[4;6r\x1b[5;1H{moves}"));
    assert_eq!(outside, within, "what counts is where the cursor stands");
    let above = shown(format!("\x1b[4;6r\x1b[2;1H\x1b[9Aa\x1b[8;1H\x1b[9Bb\x1b[9Ac"));
    assert_eq!(above, ["a", "", "", " c", "", "", "", "", "b"]);
    let none = shown(format!("\x1b[30;40r{moves}"));
    assert_eq!(
        none,
        ["wZ", "v", "", "", "", "", "", "", "X"],
        "a region beyond the screen is none"
    );
}
