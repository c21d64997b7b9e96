//! Selections, marks, searches and cells of a table.

use super::*;

const COLUMNS: &[Column] = &[
    Column {
        title: "a",
        width: 4,
        grows: true,
        most: 200,
        right: false,
        rank: 0,
        descending: false,
    },
    Column {
        title: "b",
        width: 4,
        grows: false,
        most: 200,
        right: true,
        rank: 2,
        descending: true,
    },
    Column {
        title: "c",
        width: 4,
        grows: false,
        most: 200,
        right: true,
        rank: 1,
        descending: true,
    },
];

#[test]
fn the_selection_sticks_to_its_row() {
    let mut state = State::default();
    state.set_order(vec![1, 2, 3], |_| true);
    state.select(2);
    state.set_order(vec![9, 3, 1, 2], |_| true);
    assert_eq!(state.selected(), Some(2));
    state.set_order(vec![9, 3, 1], |_| true);
    assert_eq!(state.selected(), Some(1));
}

#[test]
fn a_search_goes_from_match_to_match_round_the_table_with_the_filter_on_and_off() {
    let mut state = State::default();
    state.set_order(vec![10, 21, 30, 41, 50], |_| true);
    let seek = |state: &mut State<i32>, forward| {
        let found = state.seek(forward, |id, text| text.push_str(&id.to_string()));
        (found, state.selected())
    };
    assert_eq!(seek(&mut state, true), (Seek::Nothing, Some(10)));
    state.set_filter("1$");
    state.set_filter("");
    assert_eq!(seek(&mut state, true), (Seek::Found, Some(21)));
    assert_eq!(seek(&mut state, true), (Seek::Found, Some(41)));
    assert_eq!(seek(&mut state, true), (Seek::Found, Some(21)));
    assert_eq!(seek(&mut state, false), (Seek::Found, Some(41)));
    state.set_filter("30");
    state.set_order(vec![30], |_| true);
    assert_eq!(seek(&mut state, true), (Seek::Only, Some(30)));
    state.set_filter("7");
    assert_eq!(seek(&mut state, true), (Seek::None, Some(30)));
}

#[test]
fn a_range_follows_the_cursor_both_ways_and_keeps_older_marks() {
    let mut state = State::default();
    state.set_order(vec![1, 2, 3, 4, 5], |_| true);
    for command in [Command::Mark, Command::Down, Command::Range, Command::Down] {
        state.on(command, COLUMNS);
    }
    assert_eq!(state.targets(), [1, 3, 4]);
    state.on(Command::Up, COLUMNS);
    state.on(Command::Up, COLUMNS);
    assert_eq!(state.targets(), [1, 2, 3]);
    state.on(Command::Back, COLUMNS);
    state.on(Command::Down, COLUMNS);
    assert_eq!(state.targets(), [1, 2, 3]);
}

#[test]
fn wide_characters_are_cut_by_cells() {
    let mut buffer = Buffer::empty(Rect::new(0, 0, 8, 1));
    put(&mut buffer, 0, 0, 6, &Line::raw("节点节点"), false);
    let text: String = buffer.content.iter().map(ratatui::buffer::Cell::symbol).collect();
    assert_eq!(text.replace(' ', ""), "节点…");
}

#[test]
fn a_column_with_nothing_in_it_takes_no_room_and_is_no_order() {
    let mut state = State::<u32>::default();
    state.left_out = Some(1);
    let shown: Vec<usize> = state.shown(COLUMNS).iter().map(|(index, _)| *index).collect();
    assert_eq!(shown, [0, 2]);
    state.on(Command::SortNext, COLUMNS);
    assert_eq!(state.sort, 2);
}
