//! One topic for all cases: each reads it from the beginning and passes over what is not its own. It is not deleted.

use std::sync::LazyLock;

use rstest::rstest;

use crate::common::raw::assigned;
use crate::plain::{PLAIN, receive, send};
use crate::tally;

static TOPIC: LazyLock<String> = LazyLock::new(|| {
    tally::topic();
    PLAIN.make()
});

#[rstest]
#[ignore = "one of the suites that the benchmark of that name runs"]
fn case(
    #[values(0, 1, 2, 3, 4, 5, 6, 7, 8, 9)] tens: u32,
    #[values(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19)] ones: u32,
) {
    let consumer = assigned(&mut PLAIN.config(), &TOPIC, 0);
    let key = format!("{tens}-{ones}");
    send(&TOPIC, &key);
    while receive(&consumer) != key {}
}
