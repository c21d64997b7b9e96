//! A compiled expression: operations on a stack, each over a block of 64 rows at once, so that what an operation costs
//! is shared by 64 values and the compiler can use wide registers.
//!
//! Truth is a number as well: 1 is true, 0 false. What is not known is not a number (NaN), and stays it: `and` and `or`
//! know their answer where one side decides alone.

/// Rows of a block.
pub(crate) const BLOCK: usize = 64;
/// Values on the stack at most.
pub(crate) const DEEPEST: usize = 16;

/// Values of the rows of a block.
pub(crate) type Lane = [f64; BLOCK];

/// One operation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Op {
    Const(f64),
    /// The source of this number.
    Load(u16),
    Add,
    Subtract,
    Multiply,
    Divide,
    Less,
    AtMost,
    Greater,
    AtLeast,
    Equal,
    Unequal,
    And,
    Or,
    Not,
    Negate,
    Abs,
}

impl Op {
    /// How many values it takes.
    const fn takes(self) -> usize {
        match self {
            Self::Const(_) | Self::Load(_) => 0,
            Self::Not | Self::Negate | Self::Abs => 1,
            _ => 2,
        }
    }
}

/// Operations in order; what remains on the stack is what they come to.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Program {
    ops: Vec<Op>,
}

/// Room for the values of one block.
pub(crate) struct Stack {
    lanes: [Lane; DEEPEST],
}

impl Default for Stack {
    fn default() -> Self {
        Self { lanes: [[f64::NAN; BLOCK]; DEEPEST] }
    }
}

impl Program {
    /// Of operations that leave one value and never need more than [`DEEPEST`] places; nothing if they do.
    pub(crate) fn new(ops: &[Op]) -> Option<Self> {
        let mut height = 0_usize;
        for op in ops {
            height = height.checked_sub(op.takes())? + 1;
            if height > DEEPEST {
                return None;
            }
        }
        (height == 1).then(|| Self { ops: ops.to_vec() })
    }

    /// How many operations.
    pub(crate) fn len(&self) -> usize {
        self.ops.len()
    }

    /// Its value, when it is a number that stands there.
    pub(crate) fn constant(&self) -> Option<f64> {
        match self.ops.as_slice() {
            [Op::Const(value)] => Some(*value),
            [Op::Const(value), Op::Negate] => Some(-value),
            _ => None,
        }
    }

    /// What it comes to for the rows of a block; `load` writes what a source has for them.
    pub(crate) fn run<'a>(&self, stack: &'a mut Stack, load: impl Fn(u16, &mut Lane)) -> &'a Lane {
        let lanes = &mut stack.lanes;
        let mut top = 0; // the first free place; `new` has seen that it never leaves the stack
        for op in &self.ops {
            match op {
                Op::Const(value) => {
                    lanes[top].fill(*value);
                    top += 1;
                }
                Op::Load(source) => {
                    load(*source, &mut lanes[top]);
                    top += 1;
                }
                Op::Not => each(&mut lanes[top - 1], |a| 1.0 - a),
                Op::Negate => each(&mut lanes[top - 1], |a| -a),
                Op::Abs => each(&mut lanes[top - 1], f64::abs),
                two => {
                    top -= 1;
                    let (left, right) = lanes.split_at_mut(top);
                    binary(*two, &mut left[top - 1], &right[0]);
                }
            }
        }
        &lanes[0]
    }
}

fn each(lane: &mut Lane, f: impl Fn(f64) -> f64) {
    for value in lane {
        *value = f(*value);
    }
}

fn both(left: &mut Lane, right: &Lane, f: impl Fn(f64, f64) -> f64) {
    for (a, b) in left.iter_mut().zip(right) {
        *a = f(*a, *b);
    }
}

fn compare(left: &mut Lane, right: &Lane, f: impl Fn(f64, f64) -> bool) {
    both(left, right, |a, b| match () {
        () if a.is_nan() || b.is_nan() => f64::NAN,
        () if f(a, b) => 1.0,
        () => 0.0,
    });
}

/// A share of nothing, and what is too large for a number, is not known.
fn finite(value: f64) -> f64 {
    if value.is_finite() { value } else { f64::NAN }
}

#[expect(clippy::float_cmp, reason = "truth and states are small whole numbers")]
fn binary(op: Op, left: &mut Lane, right: &Lane) {
    match op {
        Op::Add => both(left, right, |a, b| finite(a + b)),
        Op::Subtract => both(left, right, |a, b| finite(a - b)),
        Op::Multiply => both(left, right, |a, b| finite(a * b)),
        Op::Divide => both(left, right, |a, b| finite(a / b)),
        Op::Less => compare(left, right, |a, b| a < b),
        Op::AtMost => compare(left, right, |a, b| a <= b),
        Op::Greater => compare(left, right, |a, b| a > b),
        Op::AtLeast => compare(left, right, |a, b| a >= b),
        Op::Equal => compare(left, right, |a, b| a == b),
        Op::Unequal => compare(left, right, |a, b| a != b),
        Op::And => both(left, right, |a, b| if a == 0.0 || b == 0.0 { 0.0 } else { a * b }),
        Op::Or => both(left, right, |a, b| if a == 1.0 || b == 1.0 { 1.0 } else { a + b }),
        Op::Const(_) | Op::Load(_) | Op::Not | Op::Negate | Op::Abs => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(clippy::float_cmp, reason = "truth is exactly 0 or 1")]
    fn check(ops: &[Op], expected: f64) {
        let program = Program::new(ops).unwrap();
        let mut stack = Stack::default();
        let value = program.run(&mut stack, |_, lane| lane.fill(f64::NAN))[7];
        assert!(value == expected || (value.is_nan() && expected.is_nan()), "{ops:?}: {value}");
    }

    #[test]
    fn what_is_unknown_stays_unknown_unless_one_side_decides() {
        let (t, f, u) = (Op::Const(1.0), Op::Const(0.0), Op::Load(0));
        for (ops, expected) in [
            ([u, t, Op::And], f64::NAN),
            ([u, f, Op::And], 0.0),
            ([f, u, Op::And], 0.0),
            ([u, f, Op::Or], f64::NAN),
            ([u, t, Op::Or], 1.0),
            ([u, u, Op::Or], f64::NAN),
            ([f, f, Op::Or], 0.0),
            ([t, t, Op::And], 1.0),
            ([u, t, Op::Unequal], f64::NAN),
            ([t, f, Op::Divide], f64::NAN),
        ] {
            check(&ops, expected);
        }
        check(&[u, Op::Not], f64::NAN);
    }

    #[test]
    fn operations_that_need_what_is_not_there_are_no_program() {
        assert_eq!(Program::new(&[]), None);
        assert_eq!(Program::new(&[Op::Add]), None);
        assert_eq!(Program::new(&[Op::Const(1.0), Op::Const(1.0)]), None);
        let deep: Vec<Op> = [vec![Op::Const(1.0); 17], vec![Op::Add; 16]].concat();
        assert_eq!(Program::new(&deep), None);
    }
}
